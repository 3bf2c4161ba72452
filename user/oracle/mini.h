/* SPDX-License-Identifier: GPL-2.0-only */
/* mini.h - tiny freestanding runtime shared by the oracle probes.
 *
 * No libc: raw system calls only, so the programs can run on a young kernel.
 * System calls the harness itself needs: write, exit_group, fork, wait4,
 * rt_sigaction, rt_sigprocmask, sigaltstack, mmap, mprotect, getpid.  All the
 * rest is optional (failure is ignored or makes one probe print "skip").
 */
#ifndef MINI_H
#define MINI_H
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdarg.h>

typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
typedef int32_t s32; typedef int64_t s64; typedef unsigned long ul;

#if defined(__x86_64__)
#include <asm/unistd_64.h>
static inline long sc6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
	long r;
	asm volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return r;
}
#define NR_MMAP __NR_mmap
#define NR_FORK __NR_fork
#else
#include <asm/unistd_32.h>
long sc6(long n, long a, long b, long c, long d, long e, long f);
asm(".text\n.globl sc6\nsc6: push %ebp\n push %ebx\n push %esi\n push %edi\n"
    " mov 20(%esp),%eax\n mov 24(%esp),%ebx\n mov 28(%esp),%ecx\n mov 32(%esp),%edx\n"
    " mov 36(%esp),%esi\n mov 40(%esp),%edi\n mov 44(%esp),%ebp\n int $0x80\n"
    " pop %edi\n pop %esi\n pop %ebx\n pop %ebp\n ret\n");
#define NR_MMAP __NR_mmap2
#define NR_FORK __NR_fork
#endif
#define SC(n, ...) SC_(n, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define SC_(n, a, b, c, d, e, f, ...) sc6((long)(n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline long mypid(void) { return sc6(__NR_getpid, 0, 0, 0, 0, 0, 0); }

void *memcpy(void *d, const void *s, size_t n) { u8 *a = d; const u8 *b = s; while (n--) *a++ = *b++; return d; }
void *memset(void *d, int c, size_t n) { u8 *a = d; while (n--) *a++ = c; return d; }
int memcmp(const void *x, const void *y, size_t n) { const u8 *a = x, *b = y; for (; n--; a++, b++) if (*a != *b) return *a - *b; return 0; }
static inline size_t slen(const char *s) { size_t n = 0; while (s[n]) n++; return n; }
static inline int seq(const char *a, const char *b) { while (*a && *a == *b) a++, b++; return *a == *b; }
static inline int starts(const char *a, const char *p) { while (*p) if (*a++ != *p++) return 0; return 1; }
static inline const char *sfind(const char *h, const char *n) { for (; *h; h++) if (starts(h, n)) return h; return 0; }

/* ---- line-buffered formatted output: %s %d %u %x %X(02) %c, l modifier for long/u64 ---- */
static char obuf[16384];
static unsigned olen;
static int ofd = 1;
static void oflush(void) { if (olen) { SC(__NR_write, ofd, obuf, olen); olen = 0; } }
static void oc(char c) { if (olen == sizeof obuf) oflush(); obuf[olen++] = c; }
static void os(const char *s) { while (*s) oc(*s++); }
static void ox(u64 v) { char t[20]; int i = 0; do t[i++] = "0123456789abcdef"[v & 15], v >>= 4; while (v); while (i) oc(t[--i]); }
static void od(s64 v)
{
	char t[24]; int i = 0;
	u64 w = v < 0 ? -(u64)v : (u64)v;
	if (v < 0) oc('-');
	/* no 64-bit division helper on i386: long division by hand */
	do {
		u64 q = 0, r = 0;
		for (int b = 63; b >= 0; b--) { r = (r << 1) | ((w >> b) & 1); if (r >= 10) { r -= 10; q |= 1ull << b; } }
		t[i++] = '0' + (int)r; w = q;
	} while (w);
	while (i) oc(t[--i]);
}
static void of(const char *f, ...)
{
	va_list ap; va_start(ap, f);
	for (; *f; f++) {
		if (*f != '%') { oc(*f); continue; }
		int l = 0;
		while (*++f == 'l') l++;
		switch (*f) {
		case 's': os(va_arg(ap, const char *)); break;
		case 'd': if (l > 1) od(va_arg(ap, s64)); else if (l) od(va_arg(ap, long)); else od(va_arg(ap, int)); break;
		case 'u': if (l) od((s64)va_arg(ap, ul)); else od(va_arg(ap, unsigned)); break;
		case 'x': os("0x"); if (l > 1) ox(va_arg(ap, u64)); else if (l) ox(va_arg(ap, ul)); else ox(va_arg(ap, unsigned)); break;
		case 'X': { unsigned v = va_arg(ap, unsigned); oc("0123456789abcdef"[(v >> 4) & 15]); oc("0123456789abcdef"[v & 15]); break; }
		case 'c': oc(va_arg(ap, int)); break;
		default: oc(*f);
		}
	}
	va_end(ap);
}
static void die(int c) __attribute__((noreturn));
static void die(int c) { oflush(); for (;;) SC(__NR_exit_group, c); }

/* ---- kernel ABI structures (own definitions) ---- */
struct ksa { void *h; ul flags; void *rest; u64 mask; } ;
#if defined(__x86_64__)
struct kstack { void *sp; s32 flags; s32 pad; u64 size; };
struct kuc { u64 flags; void *link; struct kstack st;
	u64 r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, fl;
	u16 cs, gs, fs, ss; u64 err, trapno, oldmask, cr2; u8 *fp; u64 res[8]; u64 mask; };
#define UIP(u) ((u)->ip)
#define USP(u) ((u)->sp)
#define UFL(u) ((u)->fl)
#else
struct kstack { void *sp; s32 flags; u32 size; };
struct kuc { u32 flags; void *link; struct kstack st;
	u32 gs, fs, es, ds, di, si, bp, sp, bx, dx, cx, ax, trapno, err, ip, cs, fl, spat, ss; u8 *fp; u32 oldmask, cr2; u64 mask; };
#define UIP(u) ((u)->ip)
#define USP(u) ((u)->sp)
#define UFL(u) ((u)->fl)
#endif
struct ksi { s32 signo, err, code;
#if defined(__x86_64__)
	s32 pad;
#endif
	union { u8 raw[112]; void *addr;
		struct { s32 pid, uid; ul val; } rt;
		struct { s32 pid, uid, status; long ut, st; } chld;
		struct { s32 tid, overrun; ul val; s32 priv; } tm;
		struct { long band; s32 fd; } poll;
		struct { void *addr; u16 lsb; } fault;
		struct { void *addr; void *lo, *hi; } bnd;
		struct { void *addr; ul pad; u32 pkey; } pk;
		struct { void *addr; s32 nr; u32 arch; } sys; } u; };

#define SA_NOCLDSTOP 1
#define SA_NOCLDWAIT 2
#define SA_SIGINFO 4
#define SA_RESTORER 0x04000000
#define SA_ONSTACK 0x08000000
#define SA_RESTART 0x10000000
#define SA_NODEFER 0x40000000
#define SA_RESETHAND 0x80000000u
enum { HUP = 1, INT, QUIT, ILL, TRAP, ABRT, BUS, FPE, KILL, USR1, SEGV, USR2, PIPE, ALRM, TERM, STKFLT, CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, XCPU, XFSZ, VTALRM, PROF, WINCH, IO, PWR, SYS, RTMIN };

extern void restorer(void);
#if defined(__x86_64__)
asm(".text\n.globl restorer\nrestorer: mov $15,%eax\n syscall\n ud2\n"
    ".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call cstart\n ud2\n");
static long act(int sig, void *h, ul fl, u64 mask)
{ struct ksa s = { h, fl | SA_RESTORER, (void *)restorer, mask }; return SC(__NR_rt_sigaction, sig, &s, 0, 8); }
#else
asm(".text\n.globl restorer\nrestorer: mov $173,%eax\n int $0x80\n ud2\n"
    ".globl _start\n_start: xor %ebp,%ebp\n mov %esp,%eax\n and $-16,%esp\n sub $12,%esp\n push %eax\n call cstart\n ud2\n");
static long act(int sig, void *h, ul fl, u64 mask)
{ struct ksa s = { h, fl | SA_RESTORER, (void *)restorer, mask }; return SC(__NR_rt_sigaction, sig, &s, 0, 8); }
#endif
static int xmain(int argc, char **argv);
void cstart(long *sp) __attribute__((used));
static long *start_sp;
void cstart(long *sp) { start_sp = sp; die(xmain((int)sp[0], (char **)(sp + 1))); }

static long xmmap(ul a, ul n, int prot, int fl, int fd, ul off)
{
#if defined(__x86_64__)
	return SC(NR_MMAP, a, n, prot, fl, fd, off);
#else
	return SC(NR_MMAP, a, n, prot, fl, fd, off >> 12);
#endif
}
#define PR 1
#define PW 2
#define PX 4
#define MP 2      /* MAP_PRIVATE */
#define MSH 1     /* MAP_SHARED */
#define MF 0x10   /* MAP_FIXED */
#define MA 0x20   /* MAP_ANONYMOUS */
static long fork_(void) { oflush(); return SC(NR_FORK); }
static int wait_(long pid) { int st = 0; long r; do r = SC(__NR_wait4, pid, &st, 0x40000000, 0); while (r == -4); return r < 0 ? (int)r : st; }
static const char *signame(int s)
{
	static const char *n[] = { "0","HUP","INT","QUIT","ILL","TRAP","ABRT","BUS","FPE","KILL","USR1","SEGV","USR2","PIPE","ALRM","TERM","STKFLT","CHLD","CONT","STOP","TSTP","TTIN","TTOU","URG","XCPU","XFSZ","VTALRM","PROF","WINCH","IO","PWR","SYS" };
	return s >= 0 && s < 32 ? n[s] : "RT";
}
static void owait(int st)
{
	if (st < 0) of("wait-error(%d)", st);
	else if ((st & 0x7f) == 0) of("exit(%d)", (st >> 8) & 255);
	else if ((st & 0xff) == 0x7f) of("stopped(%s)ev=%d", signame((st >> 8) & 255), st >> 16);
	else if (st == 0xffff) of("continued");
	else of("killed(%s/%d) core=%d", signame(st & 0x7f), st & 0x7f, !!(st & 0x80));
}
#endif
