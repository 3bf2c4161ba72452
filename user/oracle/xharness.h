/* SPDX-License-Identifier: GPL-2.0-only */
/* xharness.h - probe table, reporting handler, kernel-log normaliser. */
#include "mini.h"

#if defined(__x86_64__)
#define PTRD ".quad"
#define IP_FMT_BITS 64
#else
#define PTRD ".long"
#endif
struct probe { const char *name; void (*fn)(void); char *fi; long (*setup)(void); };
extern struct probe __start_probes[], __stop_probes[];

/* P(name, setup symbol or 0, preparation, instruction): one exception probe.
 * fi_<name> labels the instruction under test; control falls through to
 * probe_ret when nothing faults. */
#define P(name, setup, pre, insn) \
	asm(".text\n.balign 16\npr_" #name ": " pre "\nfi_" #name ": " insn "\n" \
	    " nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n jmp probe_ret\n" \
	    ".pushsection .rodata.str,\"a\"\n9: .string \"" #name "\"\n.popsection\n" \
	    ".pushsection probes,\"a\"\n" PTRD " 9b, pr_" #name ", fi_" #name ", " #setup "\n.popsection\n");

ul probe_sp, probe_target, probe_result;
extern long call_probe(void (*fn)(void));
#if defined(__x86_64__)
asm(".text\n.globl call_probe\ncall_probe: push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    " mov %rsp,probe_sp\n mov %rdi,probe_target\n"
    " xor %eax,%eax\n xor %ebx,%ebx\n xor %ecx,%ecx\n xor %edx,%edx\n xor %esi,%esi\n xor %edi,%edi\n xor %ebp,%ebp\n"
    " xor %r8d,%r8d\n xor %r9d,%r9d\n xor %r10d,%r10d\n xor %r11d,%r11d\n xor %r12d,%r12d\n xor %r13d,%r13d\n xor %r14d,%r14d\n xor %r15d,%r15d\n"
    " sub $1024,%rsp\n and $-64,%rsp\n jmp *probe_target\n"
    "probe_ret: mov probe_sp,%rsp\n push $0x202\n popfq\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");
#else
asm(".text\n.globl call_probe\ncall_probe: mov 4(%esp),%eax\n push %ebx\n push %ebp\n push %esi\n push %edi\n"
    " mov %esp,probe_sp\n mov %eax,probe_target\n"
    " xor %eax,%eax\n xor %ebx,%ebx\n xor %ecx,%ecx\n xor %edx,%edx\n xor %esi,%esi\n xor %edi,%edi\n xor %ebp,%ebp\n"
    " sub $1024,%esp\n and $-64,%esp\n jmp *probe_target\n"
    "probe_ret: mov probe_sp,%esp\n push $0x202\n popf\n pop %edi\n pop %esi\n pop %ebp\n pop %ebx\n ret\n");
#endif

static char *cur_fi; static const char *cur_name = "?";
static u8 altstk[65536] __attribute__((aligned(4096)));
static int use_alt = 1;

extern char __executable_start[], etext[];
static int norm_text;
static ul stk_base;   /* set by the harness: where its initial stack is */
static int in_stk(ul a)
{
#if defined(__x86_64__)
	if (a >= 0x7ffffffff000) return 0;
#endif
	return stk_base && a > stk_base - (100ul << 20) && a < stk_base + (1ul << 20);
}
static void oaddr(ul a)
{
	if (in_stk(a)) { os("STK"); return; }
	long d = (long)(a - (ul)cur_fi);
	if (!a) os("null");
	else if (cur_fi && d == 0) os("ip");
	else if (cur_fi && d > -64 && d < 64) of("ip%s%ld", d > 0 ? "+" : "", d);
	else if (norm_text && a >= (ul)__executable_start && a < (ul)etext) os("text");
	else of("%lx", a);
}
static void cpuid(u32 l, u32 s, u32 *r) { asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(l), "c"(s)); }

/* fp=none | fp=fxsave | fp=xsave (every software field agrees with CPUID/XCR0) | fp=BAD(...) */
static void ofp(u8 *fp)
{
	if (!fp) { os(" fp=none"); return; }
	u8 *base = fp;
#if !defined(__x86_64__)
	u32 lm = *(u32 *)(fp + 108);        /* status:16, magic:16 */
	if ((lm >> 16) == 0xffff) { os(" fp=fsave"); return; }
	if ((ul)fp & 15) of("(fp%%16=%d)", (int)((ul)fp & 15));
	fp += 112;
#endif
	u32 m1 = *(u32 *)(fp + 464), ext = *(u32 *)(fp + 468), sz = *(u32 *)(fp + 480);
	u64 xf = *(u64 *)(fp + 472);
	if (m1 != 0x46505853) { of(" fp=fxsave%s", m1 ? "(m1?)" : ""); return; }
	u32 r[4]; cpuid(1, 0, r);
	if (!(r[2] & (1 << 27))) {     /* no XSAVE: magic1 is still written, magic2 is not */
		if (xf == 0 && sz == 512 && ext == 516 + (int)(fp - base)) os(" fp=fxsave-m1"); else of(" fp=BAD(no-osxsave xf=%llx sz=%d ext=%d)", xf, (int)sz, (int)ext);
		return;
	}
	u32 lo, hi; asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	u64 xcr0 = lo | (u64)hi << 32;
	cpuid(13, 0, r);
	u32 m2 = *(u32 *)(fp + sz);
#if defined(__x86_64__)
	u32 head = 0;
#else
	u32 head = 112;
#endif
	if (m2 == 0x46505845 && xf == xcr0 && sz == r[1] && ext == sz + 4 + head && !((ul)fp & 63)) os(" fp=xsave");
	else of(" fp=BAD(m2=%x xf=%llx xcr0=%llx sz=%x cpuid=%x ext=%x align=%d)", m2, xf, xcr0, sz, r[1], ext, (int)((ul)fp & 63));
}
static void oframe(int sig, struct ksi *si, struct kuc *uc)
{
	of(" sig=%s(%d)", signame(sig), sig);
	if (si->signo != sig) of(" si_signo=%d", si->signo);
	of(" errno=%d code=%d", si->err, si->code);
	if (sig == ILL || sig == TRAP || sig == BUS || sig == FPE || sig == SEGV) {
		if (si->code == 0x80) {            /* SI_KERNEL: no address member is meaningful, show it anyway */
			os(" addr="); oaddr((ul)si->u.addr);
		} else if (si->code > 0) { os(" addr="); oaddr((ul)si->u.addr); }
		else of(" pid=%s", si->u.rt.pid == mypid() ? "self" : "other");
		if (sig == SEGV && si->code == 3) of(" lo=%lx hi=%lx", (ul)si->u.bnd.lo, (ul)si->u.bnd.hi);
		if (sig == SEGV && si->code == 4) of(" pkey=%d", (int)si->u.pk.pkey);
		if (sig == BUS && (si->code == 4 || si->code == 5)) of(" lsb=%d", (int)si->u.fault.lsb);
	}
	of(" trapno=%d err=%llx cr2=", (int)uc->trapno, (u64)uc->err); oaddr(uc->cr2);
	os(" rip="); oaddr(UIP(uc));
	of(" fl=%lx rf=%d tf=%d", (ul)UFL(uc) & ~0x8d5ul, (int)(UFL(uc) >> 16) & 1, (int)(UFL(uc) >> 8) & 1);
	of(" cs=%x ss=%x ucf=%x", (int)uc->cs, (int)uc->ss, (int)uc->flags);
	ofp(uc->fp);
	of(" alt=%s/%x/%x", uc->st.sp == 0 ? "0" : uc->st.sp == (void *)altstk ? "A" : "?", (ul)uc->st.size, (int)uc->st.flags);
}
static void handler(int sig, struct ksi *si, struct kuc *uc)
{
	of("%s H", cur_name); oframe(sig, si, uc); oc('\n');
	die(0);
}
static void arm(void)
{
	static const int s[] = { ILL, TRAP, BUS, FPE, SEGV, SYS, STKFLT };
	if (use_alt) { struct kstack k = { altstk, 0, .size = sizeof altstk }; SC(__NR_sigaltstack, &k, 0); }
	for (unsigned i = 0; i < sizeof s / sizeof *s; i++) act(s[i], handler, SA_SIGINFO | (use_alt ? SA_ONSTACK : 0), 0);
}

/* ---- kernel log ---- */
static int kfd = -1;
static void kmsg_open(void) { kfd = SC(__NR_open, "/dev/kmsg", 04002, 0); if (kfd >= 0) SC(__NR_lseek, kfd, 0, 2); }
static void kmark(const char *a, const char *b)
{
	if (kfd < 0) return;
	char t[128]; unsigned n = 0;
	for (const char *p = "<6>probe: "; *p; p++) t[n++] = *p;
	for (const char *p = a; *p && n < 100; p++) t[n++] = *p;
	t[n++] = ' ';
	for (const char *p = b; *p && n < 120; p++) t[n++] = *p;
	SC(__NR_write, kfd, t, n);
}
static int hexv(int c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }
static const char *gethex(const char *p, u64 *v) { *v = 0; while (hexv(*p) >= 0) *v = *v << 4 | hexv(*p++); return p; }
/* Rewrites one log line so that it is stable: [pid]->[PID], ip -> ip+N, sp -> SP, mapping -> [VMA],
 * "Code:" bytes checked against our own image and replaced by Code:match. */
static u64 last_ip;
static void knorm(const char *m, long pid)
{
	const char *p = m;
	if (starts(p, "Code: ") && !sfind(p, "Unable")) {
		/* locate <xx> */
		int at = -1, n = 0, ok = 1; u8 b[80];
		for (const char *q = p + 6; *q && n < 80;) {
			if (*q == ' ') { q++; continue; }
			if (*q == '<') { at = n; q++; }
			int h = hexv(q[0]), l = h < 0 ? -1 : hexv(q[1]);
			if (l < 0) { ok = 0; break; }
			b[n++] = h << 4 | l; q += 2;
			if (*q == '>') q++;
		}
		if (ok && at >= 0 && last_ip >= (ul)__executable_start + at && last_ip + n < (ul)etext && !memcmp(b, (u8 *)(ul)(last_ip - at), n))
			of("Code:match(%d<ip>%d)", at, n - at - 1);
		else os(p);
		return;
	}
	while (*p) {
		u64 v; const char *e;
		if (*p == '[') {
			long d = 0; const char *q = p + 1;
			while (*q >= '0' && *q <= '9') d = d * 10 + *q++ - '0';
			if (*q == ']' && q > p + 1 && (d == pid || d >= 2)) { os(d == pid ? "[PID]" : "[TID]"); p = q + 1; continue; }
			e = gethex(p + 1, &v);
			if (e > p + 1 && *e == '+') { e = gethex(e + 1, &v); if (*e == ']') { os("[VMA]"); p = e + 1; continue; } }
		}
		if ((starts(p, "ip:") && (p == m || p[-1] == ' ')) || starts(p, " ip ")) {
			int k = starts(p, "ip:") ? 3 : 4;
			e = gethex(p + k, &v); last_ip = v;
			while (k--) oc(*p++);
			oaddr(v); p = e; continue;
		}
		if ((starts(p, "sp:") && (p == m || p[-1] == ' ')) || starts(p, " sp ")) {
			int k = starts(p, "sp:") ? 3 : 4;
			e = gethex(p + k, &v); while (k--) oc(*p++);
			os("SP"); p = e; continue;
		}
		if (starts(p, " frame:")) { e = gethex(p + 7, &v); if (starts(e, "(____ptrval____)")) e += 16; os(" frame:HASHED"); p = e; continue; }
		if (starts(p, " at ")) {
			e = gethex(p + 4, &v); os(" at "); long d = (long)(v - (ul)cur_fi);
			if ((cur_fi && d > -64 && d < 64) || in_stk(v)) oaddr(v); else ox(v);
			p = e; continue;
		}
		oc(*p++);
	}
}
static void kmsg_drain(long pid)
{
	static char b[8192];
	if (kfd < 0) return;
	for (;;) {
		long n = SC(__NR_read, kfd, b, sizeof b - 1);
		if (n == -32) continue;
		if (n <= 0) break;
		b[n] = 0;
		unsigned pri = 0; char *p = b;
		while (*p >= '0' && *p <= '9') pri = pri * 10 + *p++ - '0';
		if (pri >= 8) continue;              /* facility != kernel: our own markers */
		while (*p && *p != ';') p++;
		char *e = ++p; while (*e && *e != '\n') e++;
		*e = 0;
		static const char *const noise[] = { "tsc:", "clocksource:", "random:", "perf:", "hrtimer:", "input:", "rcu:", "workqueue:", "sched:", "audit", "virtio", "loop:", "TSC found", "sched_clock:" };
		int skip = 0; for (unsigned i = 0; i < sizeof noise / sizeof *noise; i++) skip |= starts(p, noise[i]);
		if (skip) continue;
		of(" | <%u>", pri); knorm(p, pid);
	}
}
static long xmaps(void);
/* "-x PREFIX" anywhere on the command line excludes probes */
static int excluded(const char *n, int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i++) if (seq(argv[i], "-x") && starts(n, argv[i + 1])) return 1;
	return 0;
}
static void run_handled(struct probe *t)
{
	cur_name = t->name; cur_fi = t->fi;
	kmark(t->name, "handled");
	long pid = fork_();
	if (!pid) {
		arm();
		long r = t->setup ? t->setup() : 0;
		if (r) { of("%s H skip(setup=%ld)\n", t->name, r); die(0); }
		r = call_probe(t->fn);
		of("%s H NOFAULT ret=%lx\n", t->name, r);
		die(0);
	}
	int st = wait_(pid);
	if (st) { of("%s H !! ", t->name); owait(st); kmsg_drain(pid); oc('\n'); }
	else {
		/* a handled signal normally logs nothing; show it if it does */
		unsigned k = olen; of("%s H(log)", t->name); unsigned j = olen;
		kmsg_drain(pid);
		if (olen == j) olen = k; else oc('\n');
	}
	oflush();
}
static void run_default(struct probe *t)
{
	cur_name = t->name; cur_fi = t->fi;
	kmark(t->name, "default");
	long pid = fork_();
	if (!pid) {
		SC(__NR_prctl, 15, t->name);
		long r = t->setup ? t->setup() : 0;
		if (r) die(77);
		call_probe(t->fn);
		die(66);
	}
	int st = wait_(pid);
	of("%s D ", t->name);
	if (st == 77 << 8) os("skip"); else if (st == 66 << 8) os("NOFAULT"); else owait(st);
	kmsg_drain(pid);
	oc('\n'); oflush();
}
