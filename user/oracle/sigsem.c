/* SPDX-License-Identifier: GPL-2.0-only */
/* sigsem - signal semantics around exceptions: frames, rt_sigreturn, alternate stacks, forced signals,
 * siginfo sources, default actions, ordering, restart.   usage: sigsem all | NAME-PREFIX...  */
#include "xharness.h"
static long xmaps(void) { return 0; }
/* xharness wants a probe section: give it a harmless entry */
P(none, 0, "", "nop")

static int pfd[2];
static char *selfpath;
static volatile int cnt;
static ul kself(int s) { return SC(__NR_kill, mypid(), s); }
static void msleep(int ms) { long ts[2] = { ms / 1000, (ms % 1000) * 1000000l }; SC(__NR_nanosleep, ts, 0); }
static const char *tname;
#define L(f, ...) (of("%s " f "\n", tname, ##__VA_ARGS__), oflush())   /* arguments are evaluated before anything is printed */
extern void fault_null(void); extern char fault_at[];
asm(".text\nfault_null: xor %ecx,%ecx\n xor %eax,%eax\nfault_at: movb %al,(%rcx)\n ret\n");
static u64 mask_get(void) { u64 m = 0; SC(__NR_rt_sigprocmask, 0, 0, &m, 8); return m; }
static void mask_set(u64 m) { SC(__NR_rt_sigprocmask, 2, &m, 0, 8); }
#define B(s) (1ull << ((s) - 1))

static void osi(struct ksi *si)
{
	of("signo=%d errno=%d code=%d", si->signo, si->err, si->code);
}
static int wpid;  /* expected sender, printed symbolically */
static void opid(int p) { if (!p) os("0"); else if (p == mypid()) os("self"); else if (p == wpid) os("child"); else if (p == SC(__NR_getppid)) os("parent"); else if (!p) os("0"); else os("other"); }
static void h_print(int s, struct ksi *si, struct kuc *uc)
{
	of("%s handler", tname); oframe(s, si, uc); of(" mask=%llx uc_mask=%llx\n", mask_get(), uc->mask); oflush();
	cnt++;
}
static void h_exit(int s, struct ksi *si, struct kuc *uc) { h_print(s, si, uc); die(0); }
static void h_user(int s, struct ksi *si, struct kuc *uc)
{
	of("%s handler ", tname); osi(si);
	of(" pid="); opid(si->u.rt.pid); of(" uid=%d val=%lx\n", si->u.rt.uid, si->u.rt.val); oflush(); cnt++;
}
static void h_chld(int s, struct ksi *si, struct kuc *uc)
{
	of("%s handler ", tname); osi(si);
	of(" pid="); opid(si->u.chld.pid); of(" uid=%d status=%d\n", si->u.chld.uid, si->u.chld.status); oflush(); cnt++;
}
static void h_tm(int s, struct ksi *si, struct kuc *uc)
{
	of("%s handler ", tname); osi(si);
	of(" tid=%d overrun=%d val=%lx\n", si->u.tm.tid, si->u.tm.overrun, si->u.tm.val); oflush(); cnt++;
}
static void h_cnt(int s) { cnt++; }
static struct ksi saved;
static void h_save(int s, struct ksi *si, struct kuc *uc) { saved = *si; cnt++; }
static void wait_cnt(int n) { for (int i = 0; i < 400 && cnt < n; i++) msleep(5); }

/* ================= frame layout ================= */
u64 ent[20];
extern void h_entry(int, struct ksi *, struct kuc *);
asm(".text\nh_entry: mov %rsp,ent\n mov %rdi,ent+8\n mov %rsi,ent+16\n mov %rdx,ent+24\n mov %rax,ent+32\n mov %rbx,ent+40\n mov %rcx,ent+48\n mov %r12,ent+56\n"
    " pushfq\n pop %rax\n mov %rax,ent+64\n stmxcsr ent+72\n fnstcw ent+80\n movq %xmm3,ent+88\n mov %cs,%eax\n mov %eax,ent+96\n mov %ss,%eax\n mov %eax,ent+104\n mov %ds,%eax\n mov %eax,ent+112\n mov %fs,%eax\n mov %eax,ent+120\n"
    " mov (%rsp),%rax\n mov %rax,ent+128\n mov %r11,ent+136\n jmp h_entry2\n");
void h_entry2(int s, struct ksi *si, struct kuc *uc) __attribute__((used));
void h_entry2(int s, struct ksi *si, struct kuc *uc)
{
	L("rsp%%16=%d ret=%s uc-rsp=%ld si-rsp=%ld sizeof_uc=%d sizeof_si=128", (int)(ent[0] & 15), ent[16] == (ul)restorer ? "restorer" : "?", (long)((ul)uc - ent[0]), (long)((ul)si - ent[0]), (int)sizeof(struct kuc));
	L("rdi==sig:%d rsi==si:%d rdx==uc:%d rax=%llx rbx=%llx rcx_kept:%d r12=%llx", ent[1] == s, ent[2] == (ul)si, ent[3] == (ul)uc, ent[4], ent[5], ent[6] == uc->cx, ent[7]);
	L("eflags_in_handler=%llx saved_eflags=%lx", ent[8] & ~0x8d4ull, (ul)uc->fl & ~0x8d4ul);
	L("mxcsr=%x fcw=%x xmm3=%llx cs=%x ss=%x ds=%x fs=%x", (u32)ent[9], (u32)(u16)ent[10], ent[11], (u32)ent[12], (u32)ent[13], (u32)ent[14], (u32)ent[15]);
	u64 *x = (u64 *)(uc->fp + 160 + 3 * 16);
	L("saved: mxcsr=%x fcw=%x xmm3=%llx", *(u32 *)(uc->fp + 24), *(u16 *)uc->fp, x[0]);
	u32 sz = *(u32 *)(uc->fp + 480);
	if (*(u32 *)(uc->fp + 464) == 0x46505853)
		L("fp%%64=%d gap(saved_rsp-128 - fp_end)<64:%d si_end<=fp:%d link=%lx uc_flags=%llx oldmask=%llx gs=%x fs=%x xfeatures_is_xcr0:1 (see fp=)", (int)((ul)uc->fp & 63),
		  uc->sp - 128 - ((ul)uc->fp + sz + 4) < 64, (ul)si + 128 <= (ul)uc->fp, (ul)uc->link, uc->flags, uc->oldmask, (int)uc->gs, (int)uc->fs);
	L("fp raw: magic1=%x extended_size=%d xfeatures=%llx xstate_size=%d magic2_at_size=%x xstate_bv=%llx xcomp_bv=%llx", *(u32 *)(uc->fp + 464), (int)*(u32 *)(uc->fp + 468), *(u64 *)(uc->fp + 472), (int)*(u32 *)(uc->fp + 480),
	  *(u32 *)(uc->fp + 464) == 0x46505853 && *(u32 *)(uc->fp + 480) > 512 ? *(u32 *)(uc->fp + *(u32 *)(uc->fp + 480)) : 0, *(u64 *)(uc->fp + 512), *(u64 *)(uc->fp + 520));
	of("%s reserved8:", tname); for (int i = 0; i < 8; i++) of(" %llx", uc->res[i]); oc('\n'); oflush();
	die(0);
}
static void t_frame(void)
{
	act(USR1, h_entry, SA_SIGINFO, 0);
	u32 mx = 0x1f00, cw = 0x037e; u64 v = 0x1122334455667788;
	mx = 0x5f80;
	long pid = mypid();
	asm volatile("ldmxcsr %0; fninit; fldcw %1; movq %2,%%xmm3; mov %3,%%rdi; mov $10,%%esi; mov $62,%%eax; mov $0xb0b0,%%rbx; mov $0xc12,%%r12; std; stc; syscall; cld"
		     :: "m"(mx), "m"(cw), "m"(v), "r"(pid) : "rax", "rbx", "rcx", "rdx", "rdi", "rsi", "r11", "r12", "memory");
}
static void t_frame_fault(void)
{
	act(SEGV, h_entry, SA_SIGINFO, 0);
	asm volatile("mov $0xb0b0,%%rbx; mov $0xc12,%%r12; mov $0xcc,%%ecx; std; stc; movb %%al,(%%rcx); cld" ::: "rax", "rbx", "rcx", "r12", "memory");
}
/* ================= rt_sigreturn with edited frames ================= */
u64 sr_x, sr_fl, sr_mx, sr_rsp;
extern void sr_go(long pid); extern char sr_after[], sr_c32[], sr_fault[];
asm(".text\nsr_go: push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n mov %rsp,sr_rsp\n"
    " movl $0x5f80,sr_mx\n ldmxcsr sr_mx\n mov $0x5566778899aabbcc,%rax\n movq %rax,%xmm0\n mov $10,%esi\n mov $62,%eax\n syscall\n"
    "sr_after: pushfq\n pop sr_fl\n movq %xmm0,sr_x\n stmxcsr sr_mx\n mov sr_rsp,%rsp\n push $0x202\n popfq\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
    ".code32\nsr_c32: int3\n.code64\n");
static void (*srmod)(struct kuc *);
static void h_sr(int s, struct ksi *si, struct kuc *uc) { srmod(uc); }
static void srun(const char *what, void (*m)(struct kuc *), int withsegv)
{
	srmod = m; cur_fi = sr_after;
	long pid = fork_();
	if (!pid) {
		act(USR1, h_sr, SA_SIGINFO, 0);
		if (withsegv) {
			static const int s[] = { SEGV, ILL, BUS, FPE, TRAP };
			struct kstack k = { altstk, 0, .size = sizeof altstk }; SC(__NR_sigaltstack, &k, 0);
			for (int i = 0; i < 5; i++) act(s[i], h_exit, SA_SIGINFO | SA_ONSTACK, 0);
		} else SC(__NR_prctl, 15, "sr_default");
		of("%s[%s%s] ", tname, what, withsegv ? "" : ",dfl"); oflush();
		tname = "";
		sr_go(mypid());
		of("resumed fl=%llx xmm0=%s mxcsr=%x\n", sr_fl & ~0x8d5ull, sr_x == 0x5566778899aabbcc ? "kept" : sr_x == 0 ? "zero" : "other", (u32)sr_mx);
		die(0);
	}
	int st = wait_(pid);
	if (st) {
		of("=> "); owait(st);
		kmsg_drain(pid); oc('\n'); oflush();
	} else {
		unsigned k = olen; of("%s[%s](log)", tname, what); unsigned j = olen;
		kmsg_drain(pid);
		if (olen == j) olen = k; else { oc('\n'); oflush(); }
	}
}
static int has_xs(struct kuc *u) { return u->fp && *(u32 *)(u->fp + 464) == 0x46505853; }
#define M(n, body) static void n(struct kuc *u) { body; }
M(m_none, )
M(m_rip_nc, u->ip = 1ull << 63)
M(m_rip_kern, u->ip = 0xffffffff81000000)
M(m_rip_0, u->ip = 0)
M(m_rip_top, u->ip = 0x7fffffffffff)
M(m_rip_47, u->ip = 0x800000000000)
M(m_cs_0, u->cs = 0)
M(m_cs_3, u->cs = 3)
M(m_cs_k, u->cs = 0x10)
M(m_cs_d, u->cs = 0x2b)
M(m_cs_rpl0, u->cs = 0x30)
M(m_cs_c32, u->cs = 0x23; u->ip = (ul)sr_c32)
M(m_cs_ldt, u->cs = 0x0f)
M(m_cs_bad, u->cs = 0xfffb)
M(m_ss_0, u->ss = 0)
M(m_ss_0ns, u->ss = 0; u->flags &= ~4ull)
M(m_ss_k, u->ss = 0x18)
M(m_ss_bad, u->ss = 0xfffb)
M(m_ss_badns, u->ss = 0xfffb; u->flags &= ~4ull)
M(m_ss_cs, u->ss = 0x33)
M(m_ss_noflags, u->flags = 0; u->ss = 0)
M(m_sp_nc, u->sp = 1ull << 63)
M(m_fl_all, u->fl = 0xffffffffffffffffull & ~0x100ull)
M(m_fl_0, u->fl = 0)
M(m_fl_tf, u->fl |= 0x100)
M(m_fl_ac_id, u->fl |= 0x240000)
M(m_fl_iopl_vm_nt, u->fl |= 0x3000 | 0x20000 | 0x4000)
M(m_fp_null, u->fp = 0)
M(m_fp_odd, u->fp += 1)
M(m_fp_16, u->fp += 16)
M(m_fp_unm, u->fp = (u8 *)0x1000)
M(m_fp_kern, u->fp = (u8 *)0xffff888000000000)
M(m_fp_nc, u->fp = (u8 *)0x8000000000000000)
M(m_fp_magic1, *(u32 *)(u->fp + 464) = 0)
M(m_fp_magic2, if (has_xs(u)) *(u32 *)(u->fp + *(u32 *)(u->fp + 480)) = 0)
M(m_fp_xf0, *(u64 *)(u->fp + 472) = 0)
M(m_fp_xfall, *(u64 *)(u->fp + 472) = ~0ull)
M(m_fp_xfsse, *(u64 *)(u->fp + 472) = 2)
M(m_fp_sz0, *(u32 *)(u->fp + 480) = 0)
M(m_fp_szbig, *(u32 *)(u->fp + 480) = 0x10000)
M(m_fp_ext0, *(u32 *)(u->fp + 468) = 0)
M(m_fp_bv_all, if (has_xs(u)) *(u64 *)(u->fp + 512) = ~0ull)
M(m_fp_bv_0, if (has_xs(u)) *(u64 *)(u->fp + 512) = 0)
M(m_fp_comp, if (has_xs(u)) *(u64 *)(u->fp + 520) = 1ull << 63)
M(m_fp_hres, if (has_xs(u)) *(u64 *)(u->fp + 528) = 1)
M(m_fp_mxcsr, *(u32 *)(u->fp + 24) |= 0x80000000)
M(m_fp_mxcsr_ok, *(u32 *)(u->fp + 24) = 0x1fa0)
M(m_fp_xmm, *(u64 *)(u->fp + 160) = 0)
M(m_nofpxstate, u->flags &= ~1ull)
M(m_mask_all, u->mask = ~0ull)
M(m_stack_bad, u->st.sp = (void *)1; u->st.size = 1; u->st.flags = 0)
M(m_stack_flags, u->st.flags = 0x1234)
M(m_link, u->link = (void *)-1l)
static void t_sigreturn(void)
{
#define S(x) srun(#x, m_##x, 1)
#define S2(x) srun(#x, m_##x, 1), srun(#x, m_##x, 0)
	S(none); S2(rip_nc); S2(rip_kern); S(rip_0); S(rip_top); S2(rip_47); S2(cs_0); S(cs_3); S2(cs_k); S2(cs_d); S(cs_rpl0); S2(cs_c32); S(cs_ldt); S2(cs_bad);
	S(ss_0); S(ss_0ns); S2(ss_k); S2(ss_bad); S(ss_badns); S(ss_cs); S(ss_noflags); S(sp_nc);
	S(fl_all); S(fl_0); S(fl_tf); S(fl_ac_id); S(fl_iopl_vm_nt);
	S(fp_null); S2(fp_odd); S(fp_16); S2(fp_unm); S2(fp_kern); S(fp_nc); S(fp_magic1); S(fp_magic2); S(fp_xf0); S(fp_xfall); S(fp_xfsse); S(fp_sz0); S(fp_szbig); S(fp_ext0);
	S(fp_bv_all); S(fp_bv_0); S2(fp_comp); S2(fp_hres); S2(fp_mxcsr); S(fp_mxcsr_ok); S(fp_xmm); S(nofpxstate); S(mask_all); S(stack_bad); S(stack_flags); S(link);
}
static void t_sigreturn_raw_dfl(void) { asm volatile("mov $0x1000,%%rsp; mov $15,%%eax; syscall; ud2" ::: "memory"); }
static void t_sigreturn_raw_kern(void) { asm volatile("mov $0xffff888000000000,%%rsp; mov $15,%%eax; syscall; ud2" ::: "memory"); }
static void t_sigreturn_raw_h(void)
{
	struct kstack k = { altstk, 0, .size = sizeof altstk }; SC(__NR_sigaltstack, &k, 0);
	act(SEGV, h_exit, SA_SIGINFO | SA_ONSTACK, 0); cur_fi = 0;
	asm volatile("mov $0x1000,%%rsp; mov $15,%%eax; syscall; ud2" ::: "memory");
}
/* ================= forced signals ================= */
static void t_blocked_segv(void) { act(SEGV, h_exit, SA_SIGINFO, 0); mask_set(B(SEGV)); fault_null(); }
static void t_blocked_segv_dfl(void) { mask_set(~0ull); fault_null(); }
static void t_ignored_segv(void) { act(SEGV, (void *)1, 0, 0); fault_null(); }
static void t_ignored_fpe(void) { act(FPE, (void *)1, 0, 0); asm volatile("xor %%ecx,%%ecx; div %%ecx" ::: "eax", "ecx", "edx"); }
static void t_ignored_trap(void) { act(TRAP, (void *)1, 0, 0); asm volatile("int3"); }
static void t_blocked_trap(void) { mask_set(B(TRAP)); asm volatile("int3"); }
static void t_blocked_ill(void) { act(ILL, h_exit, SA_SIGINFO, 0); mask_set(B(ILL)); asm volatile("ud2"); }
static void t_blocked_bus(void) { mask_set(B(BUS)); asm volatile("xor %%eax,%%eax; .byte 0xcd,0x05" ::: "eax"); }
static void h_refault(int s, struct ksi *si, struct kuc *uc) { L("in handler depth=%d", ++cnt); if (cnt > 4) die(0); fault_null(); }
static void t_fault_in_handler(void) { act(SEGV, h_refault, SA_SIGINFO, 0); fault_null(); }
static void t_fault_in_handler_nodefer(void) { act(SEGV, h_refault, SA_SIGINFO | SA_NODEFER, 0); fault_null(); }
static void t_fault_in_handler_resethand(void) { act(SEGV, h_refault, SA_SIGINFO | SA_NODEFER | SA_RESETHAND, 0); fault_null(); }
static void h_ud(int s, struct ksi *si, struct kuc *uc) { L("segv handler, executing ud2"); asm volatile("ud2"); }
static void t_nested_other(void) { act(SEGV, h_ud, SA_SIGINFO, 0); act(ILL, h_exit, SA_SIGINFO, 0); fault_null(); }
static void h_skip(int s, struct ksi *si, struct kuc *uc) { h_print(s, si, uc); uc->ip += 2; }
static void t_handler_skip(void) { act(SEGV, h_skip, SA_SIGINFO, 0); cur_fi = fault_at; fault_null(); L("after fault, handled %d", cnt); act(USR1, h_print, SA_SIGINFO, 0); kself(USR1); L("note: REG_TRAPNO/ERR/CR2 above are stale from the SEGV"); }
static void h_ret(int s, struct ksi *si, struct kuc *uc) { if (++cnt == 3) { L("third time, exiting"); die(0); } }
static void t_handler_retry(void) { act(SEGV, h_ret, SA_SIGINFO, 0); fault_null(); }
static void t_kill_segv_user(void) { act(SEGV, h_print, SA_SIGINFO, 0); kself(SEGV); L("continued"); }
static void t_kill_segv_ign(void) { act(SEGV, (void *)1, 0, 0); kself(SEGV); L("kill(SEGV) ignored ok"); }
static void t_kill_segv_dfl(void) { kself(SEGV); }
static void t_no_restorer(void) { struct ksa s = { h_exit, SA_SIGINFO, 0, 0 }; long r = SC(__NR_rt_sigaction, USR1, &s, 0, 8); L("sigaction=%ld", r); kself(USR1); L("returned?"); }
static void t_no_restorer_segv(void) { struct ksa s = { h_exit, SA_SIGINFO, 0, 0 }; SC(__NR_rt_sigaction, SEGV, &s, 0, 8); fault_null(); }
static void t_handler_bad_addr(void) { act(USR1, (void *)0x123456000, SA_SIGINFO, 0); kself(USR1); }
static void t_handler_bad_addr_h(void) { cur_fi = 0; act(SEGV, h_exit, SA_SIGINFO, 0); act(USR1, (void *)0x123456000, SA_SIGINFO, 0); kself(USR1); }
static void t_handler_noncanon(void) { cur_fi = 0; act(SEGV, h_exit, SA_SIGINFO, 0); act(USR1, (void *)(1ul << 63), SA_SIGINFO, 0); kself(USR1); }
static void t_handler_kernel(void) { cur_fi = 0; act(SEGV, h_exit, SA_SIGINFO, 0); act(USR1, (void *)0xffffffff81000000, SA_SIGINFO, 0); kself(USR1); }
/* ================= alternate stacks ================= */
static void t_alt_small(void)
{
	struct kstack k = { altstk, 0, .size = 2047 }, o;
	L("size 2047: %ld", SC(__NR_sigaltstack, &k, 0));
	k.size = 2048; L("size 2048: %ld", SC(__NR_sigaltstack, &k, 0));
	k.flags = 1; L("flags SS_ONSTACK: %ld", SC(__NR_sigaltstack, &k, 0));
	k.flags = 4; L("flags 4: %ld", SC(__NR_sigaltstack, &k, 0));
	k.flags = 0x80000000; L("flags AUTODISARM: %ld", SC(__NR_sigaltstack, &k, 0));
	SC(__NR_sigaltstack, 0, &o); L("old flags=%x size=%llx", (u32)o.flags, o.size);
	k.flags = 0x80000002; L("flags AUTODISARM|DISABLE: %ld", SC(__NR_sigaltstack, &k, 0));
	SC(__NR_sigaltstack, 0, &o); L("old flags=%x size=%llx sp=%lx", (u32)o.flags, o.size, (ul)o.sp);
	k.flags = 2; k.size = 5; L("flags DISABLE size 5: %ld", SC(__NR_sigaltstack, &k, 0));
	SC(__NR_sigaltstack, 0, &o); L("old flags=%x size=%llx sp=%lx", (u32)o.flags, o.size, (ul)o.sp);
	L("bad pointer in: %ld  bad pointer out: %ld", SC(__NR_sigaltstack, 1, 0), SC(__NR_sigaltstack, 0, 1));
}
static void t_alt_overflow_usr1(void) { struct kstack k = { altstk, 0, .size = 2048 }; SC(__NR_sigaltstack, &k, 0); act(USR1, h_exit, SA_SIGINFO | SA_ONSTACK, 0); kself(USR1); L("no overflow: frame fits in 2048 bytes"); }
static void t_alt_overflow_segv(void) { struct kstack k = { altstk, 0, .size = 2048 }; SC(__NR_sigaltstack, &k, 0); act(SEGV, h_exit, SA_SIGINFO | SA_ONSTACK, 0); fault_null(); }
static void t_alt_overflow_usr1_h(void) { struct kstack k = { altstk, 0, .size = 2048 }; SC(__NR_sigaltstack, &k, 0); cur_fi = 0; act(SEGV, h_exit, SA_SIGINFO, 0); act(USR1, h_print, SA_SIGINFO | SA_ONSTACK, 0); kself(USR1); }
static void t_alt_unmapped_dfl(void) { struct kstack k = { (void *)0x10000000, 0, .size = 65536 }; SC(__NR_sigaltstack, &k, 0); act(USR1, h_exit, SA_SIGINFO | SA_ONSTACK, 0); kself(USR1); }
static void t_alt_unmapped_segvh(void) { struct kstack k = { (void *)0x10000000, 0, .size = 65536 }; SC(__NR_sigaltstack, &k, 0); cur_fi = 0; act(SEGV, h_exit, SA_SIGINFO, 0); act(USR1, h_print, SA_SIGINFO | SA_ONSTACK, 0); kself(USR1); }
static void t_alt_unmapped_segv_onalt(void) { struct kstack k = { (void *)0x10000000, 0, .size = 65536 }; SC(__NR_sigaltstack, &k, 0); act(SEGV, h_exit, SA_SIGINFO | SA_ONSTACK, 0); fault_null(); }
static void t_alt_kernel_addr(void) { struct kstack k = { (void *)0xffff888000000000, 0, .size = 65536 }; L("sigaltstack=%ld", SC(__NR_sigaltstack, &k, 0)); act(USR1, h_exit, SA_SIGINFO | SA_ONSTACK, 0); kself(USR1); }
static void t_alt_readonly(void) { xmmap(0x10000000, 65536, PR, MP|MA|MF, -1, 0); struct kstack k = { (void *)0x10000000, 0, .size = 65536 }; SC(__NR_sigaltstack, &k, 0); act(USR1, h_exit, SA_SIGINFO | SA_ONSTACK, 0); kself(USR1); }
static void h_alt1(int s, struct ksi *si, struct kuc *uc)
{
	struct kstack o, k = { altstk, 0, .size = 8192 }; SC(__NR_sigaltstack, 0, &o);
	L("in handler: on_alt=%d old.flags=%x uc.flags=%x uc.size=%llx; change while on it: %ld", (u8 *)&o >= altstk && (u8 *)&o < altstk + sizeof altstk, (u32)o.flags, (u32)uc->st.flags, uc->st.size, SC(__NR_sigaltstack, &k, 0));
}
static void t_alt_inhandler(void) { struct kstack k = { altstk, 0, .size = sizeof altstk }, o; SC(__NR_sigaltstack, &k, 0); act(USR1, h_alt1, SA_SIGINFO | SA_ONSTACK, 0); kself(USR1); SC(__NR_sigaltstack, 0, &o); L("after: flags=%x size=%llx", (u32)o.flags, o.size); }
static void t_alt_autodisarm(void) { struct kstack k = { altstk, (s32)0x80000000, .size = sizeof altstk }, o; SC(__NR_sigaltstack, &k, 0); act(USR1, h_alt1, SA_SIGINFO | SA_ONSTACK, 0); kself(USR1); SC(__NR_sigaltstack, 0, &o); L("after: flags=%x size=%llx", (u32)o.flags, o.size); }
static ul nsp[3];
static void h_n2(int s, struct ksi *si, struct kuc *uc) { nsp[1] = (ul)uc; }
static void h_n1(int s, struct ksi *si, struct kuc *uc) { nsp[0] = (ul)uc; kself(USR2); L("nested frame below first: %d, both on altstack: %d, outer mask had USR2: %d", nsp[1] < nsp[0], nsp[1] > (ul)altstk && nsp[0] < (ul)altstk + sizeof altstk, !!(mask_get() & B(USR2))); }
static void t_alt_nested(void) { struct kstack k = { altstk, 0, .size = sizeof altstk }; SC(__NR_sigaltstack, &k, 0); act(USR1, h_n1, SA_SIGINFO | SA_ONSTACK, 0); act(USR2, h_n2, SA_SIGINFO | SA_ONSTACK, 0); kself(USR1); }
static void h_deep(int s, struct ksi *si, struct kuc *uc) { cnt++; kself(USR1); }
static void t_alt_recurse(void) { struct kstack k = { altstk, 0, .size = 32768 }; SC(__NR_sigaltstack, &k, 0); act(USR1, h_deep, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, 0); kself(USR1); L("unreached"); }
static void t_alt_recurse_h(void) { struct kstack k = { altstk, 0, .size = 32768 }; SC(__NR_sigaltstack, &k, 0); cur_fi = 0; act(SEGV, h_exit, SA_SIGINFO | SA_ONSTACK, 0); act(USR1, h_deep, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, 0); kself(USR1); L("unreached"); }
static void t_stack_overflow_noalt(void) { act(SEGV, h_exit, SA_SIGINFO, 0); asm volatile("1: push %%rax; jmp 1b" ::: "memory"); }
static void t_stack_overflow_dfl(void) { asm volatile("1: push %%rax; jmp 1b" ::: "memory"); }
static void h_so(int s, struct ksi *si, struct kuc *uc) { L("sig=%d code=%d trapno=%d err=%llx addr_is_sp-8=%d addr==cr2=%d", s, si->code, (int)uc->trapno, uc->err, (ul)si->u.addr == uc->sp - 8, (ul)si->u.addr == uc->cr2); die(0); }
static void t_stack_overflow_alt(void) { struct kstack k = { altstk, 0, .size = sizeof altstk }; SC(__NR_sigaltstack, &k, 0); act(SEGV, h_so, SA_SIGINFO | SA_ONSTACK, 0); asm volatile("1: push %%rax; jmp 1b" ::: "memory"); }
/* ================= sigaction / mask rules ================= */
static void t_rules(void)
{
	struct ksa s = { (void *)1, SA_RESTORER, (void *)restorer, 0 }, o;
	for (int i = 0; i < 3; i++) {
		int n = (int[]){ KILL, STOP, 65 }[i];
		L("sigaction(%d,IGN)=%ld query=%ld", n, SC(__NR_rt_sigaction, n, &s, 0, 8), SC(__NR_rt_sigaction, n, 0, &o, 8));
	}
	L("sigaction(0)=%ld sigaction(64)=%ld size16=%ld", SC(__NR_rt_sigaction, 0, &s, 0, 8), SC(__NR_rt_sigaction, 64, &s, 0, 8), SC(__NR_rt_sigaction, USR1, &s, 0, 16));
	L("sigaction act=badptr %ld oact=badptr %ld", SC(__NR_rt_sigaction, USR1, 1, 0, 8), SC(__NR_rt_sigaction, USR1, 0, 1, 8));
	s.flags = ~0ul; s.mask = ~0ull; s.h = (void *)h_cnt; SC(__NR_rt_sigaction, USR1, &s, 0, 8); SC(__NR_rt_sigaction, USR1, 0, &o, 8);
	L("flags all-ones read back %lx mask %llx", o.flags, o.mask);
	mask_set(~0ull); L("mask all-ones reads back %llx", mask_get()); mask_set(0);
	u64 m = 0; L("sigprocmask bad how=%ld size4=%ld badptr=%ld", SC(__NR_rt_sigprocmask, 9, &m, 0, 8), SC(__NR_rt_sigprocmask, 0, &m, 0, 4), SC(__NR_rt_sigprocmask, 0, 1, 0, 8));
	L("kill sig 65=%ld sig -1=%ld sig0=%ld pid 0x7fffffff=%ld", SC(__NR_kill, mypid(), 65), SC(__NR_kill, mypid(), -1), SC(__NR_kill, mypid(), 0), SC(__NR_kill, 0x7fffffff, 0));
	L("tgkill 0,0=%ld tkill -1=%ld tgkill wrong tgid=%ld", SC(__NR_tgkill, 0, 0, 0), SC(__NR_tkill, -1, 0), SC(__NR_tgkill, 1, mypid(), 0));
	act(USR1, h_cnt, SA_RESETHAND, 0); kself(USR1); SC(__NR_rt_sigaction, USR1, 0, &o, 8); L("RESETHAND: cnt=%d handler now %lx flags %lx", cnt, (ul)o.h, o.flags);
}
static void t_defaults(void)
{
	for (int n = 1; n <= 64; n++) {
		long pid = fork_();
		if (!pid) { kself(n); die(0); }
		int st = 0; long r;
		r = SC(__NR_wait4, pid, &st, 2, 0);       /* WUNTRACED */
		of("%s %d(%s) ", tname, n, signame(n)); owait(st);
		if ((st & 0xff) == 0x7f) { SC(__NR_kill, pid, CONT); wait_(pid); }
		oc('\n'); oflush();
	}
}
static void t_core_flag(void)
{
	SC(__NR_chdir, "/tmp");
	u64 rl[2] = { ~0ull, ~0ull }; L("setrlimit core=%ld", SC(__NR_setrlimit, 4, rl));
	for (int i = 0; i < 6; i++) {
		static const int sg[] = { QUIT, ILL, SEGV, XCPU, SYS, TERM };
		long pid = fork_();
		if (!pid) { if (i == 2) fault_null(); kself(sg[i]); die(0); }
		int st = wait_(pid); of("%s %s ", tname, signame(sg[i])); owait(st); oc('\n'); oflush();
	}
	SC(__NR_unlink, "core");
	rl[0] = 0; SC(__NR_setrlimit, 4, rl);
}
/* ================= siginfo sources ================= */
static void t_si_kill(void) { act(USR1, h_user, SA_SIGINFO, 0); kself(USR1); SC(__NR_tgkill, mypid(), mypid(), USR1); SC(__NR_tkill, mypid(), USR1); }
static void t_si_queue(void)
{
	act(USR1, h_user, SA_SIGINFO, 0); act(34, h_user, SA_SIGINFO, 0);
	struct ksi si; memset(&si, 0, sizeof si); si.signo = USR1; si.code = -1; si.u.rt.pid = mypid(); si.u.rt.uid = 7; si.u.rt.val = 0xabcdef;
	L("sigqueue self=%ld", SC(__NR_rt_sigqueueinfo, mypid(), USR1, &si));
	si.code = 0; L("code 0 to self=%ld", SC(__NR_rt_sigqueueinfo, mypid(), USR1, &si));
	si.code = -6; L("code SI_TKILL to self=%ld", SC(__NR_rt_sigqueueinfo, mypid(), USR1, &si));
	si.code = 5; L("code 5 to self=%ld", SC(__NR_rt_sigqueueinfo, mypid(), USR1, &si));
	long pid = fork_(); if (!pid) { msleep(2000); die(0); }
	si.code = -1; L("sigqueue to child sig 0=%ld", SC(__NR_rt_sigqueueinfo, pid, 0, &si));
	si.code = 0; L("code 0 to child=%ld", SC(__NR_rt_sigqueueinfo, pid, USR1, &si));
	si.code = -6; L("code SI_TKILL to child=%ld", SC(__NR_rt_sigqueueinfo, pid, USR1, &si));
	SC(__NR_kill, pid, KILL); wait_(pid);
	mask_set(B(34)); for (int i = 1; i <= 3; i++) { si.code = -1; si.u.rt.val = i; SC(__NR_rt_sigqueueinfo, mypid(), 34, &si); } L("three RT queued, unblocking"); mask_set(0);
	mask_set(B(USR1)); for (int i = 1; i <= 3; i++) { si.u.rt.val = i; SC(__NR_rt_sigqueueinfo, mypid(), USR1, &si); } L("three USR1 queued, unblocking"); mask_set(0);
	si.code = -1; L("rt_tgsigqueueinfo=%ld", SC(__NR_rt_tgsigqueueinfo, mypid(), mypid(), USR1, &si));
}
static void t_si_segv_queued(void) { act(SEGV, h_print, SA_SIGINFO, 0); struct ksi si; memset(&si, 0, sizeof si); si.signo = 99; si.err = 3; si.code = 1; si.u.addr = (void *)0x4444; long r = SC(__NR_rt_sigqueueinfo, mypid(), SEGV, &si); L("forged SEGV_MAPERR to self=%ld", r); }
static void t_si_timer(void)
{
	act(ALRM, h_user, SA_SIGINFO, 0); act(34, h_tm, SA_SIGINFO, 0); act(VTALRM, h_user, SA_SIGINFO, 0); act(PROF, h_user, SA_SIGINFO, 0);
	long it[4] = { 0, 0, 0, 10000 }; cnt = 0; SC(__NR_setitimer, 0, it, 0); wait_cnt(1);
	cnt = 0; SC(__NR_alarm, 1); wait_cnt(1);
	cnt = 0; SC(__NR_setitimer, 1, it, 0); for (volatile long i = 0; !cnt && i < 2000000000; i++);
	cnt = 0; SC(__NR_setitimer, 2, it, 0); for (volatile long i = 0; !cnt && i < 2000000000; i++);
	struct { ul val; int signo, notify; u8 pad[48]; } ev; memset(&ev, 0, sizeof ev); ev.val = 0x7777; ev.signo = 34; ev.notify = 0;
	int id = -1; long tc = SC(__NR_timer_create, 1, &ev, &id); L("timer_create=%ld id=%d", tc, id);
	long its[4] = { 0, 0, 0, 10000000 }; cnt = 0; SC(__NR_timer_settime, id, 0, its, 0); wait_cnt(1);
	mask_set(B(34)); its[1] = 5000000; SC(__NR_timer_settime, id, 0, its, 0); msleep(60); its[1] = its[3] = 0; SC(__NR_timer_settime, id, 0, its, 0);
	u64 pend = 0; SC(__NR_rt_sigpending, &pend, 8); L("blocked periodic timer then disarmed: pending=%d", !!(pend & B(34)));
	act(34, h_cnt, 0, 0); mask_set(0); L("timer_getoverrun>0: %d", SC(__NR_timer_getoverrun, id) > 0);
}
static void t_si_chld(void)
{
	act(CHLD, h_chld, SA_SIGINFO, 0);
	for (int i = 0; i < 4; i++) {
		mask_set(B(CHLD));
		wpid = fork_();
		if (!wpid) { mask_set(0); if (i == 0) die(42); if (i == 1) kself(TERM); if (i == 2) { fault_null(); } if (i == 3) { u64 rl[2] = { ~0ull, ~0ull }; SC(__NR_setrlimit, 4, rl); SC(__NR_chdir, "/tmp"); kself(QUIT); } die(0); }
		struct ksi wi; memset(&wi, 0, sizeof wi);
		SC(__NR_waitid, 1, wpid, &wi, 4 | 0x01000000, 0); mask_set(0);
		of("%s waitid(WNOWAIT) ", tname); osi(&wi); of(" status=%d\n", wi.u.chld.status);
		int st = wait_(wpid); of("%s wait ", tname); owait(st); oc('\n'); oflush();
	}
	SC(__NR_unlink, "/tmp/core");
	/* stop / continue */
	mask_set(B(CHLD)); wpid = fork_(); if (!wpid) { mask_set(0); for (;;) msleep(1000); }
	struct { int sig; const char *n; } seq_[] = { { STOP, "STOP" }, { CONT, "CONT" }, { TSTP, "TSTP" }, { CONT, "CONT" }, { TTIN, "TTIN" }, { KILL, "KILL(while stopped)" } };
	for (int i = 0; i < 6; i++) {
		SC(__NR_kill, wpid, seq_[i].sig);
		struct ksi wi; memset(&wi, 0, sizeof wi);
		SC(__NR_waitid, 1, wpid, &wi, 2 | 4 | 8, 0);
		of("%s %s: waitid ", tname, seq_[i].n); osi(&wi); of(" status=%d\n", wi.u.chld.status); oflush();
		msleep(30); mask_set(0); mask_set(B(CHLD));
	}
	mask_set(0);
	act(CHLD, h_chld, SA_SIGINFO | SA_NOCLDSTOP, 0); cnt = 0;
	wpid = fork_(); if (!wpid) for (;;) msleep(1000);
	SC(__NR_kill, wpid, STOP); int st = 0; SC(__NR_wait4, wpid, &st, 2, 0); L("NOCLDSTOP: stop notified=%d", cnt);
	SC(__NR_kill, wpid, KILL); wait_(wpid);
	act(CHLD, h_chld, SA_SIGINFO | SA_NOCLDWAIT, 0); cnt = 0;
	wpid = fork_(); if (!wpid) die(3);
	L("NOCLDWAIT: wait4=%d", wait_(wpid)); wait_cnt(1); L("NOCLDWAIT: signalled=%d", cnt);
	act(CHLD, (void *)1, 0, 0); wpid = fork_(); if (!wpid) die(3); L("CHLD=IGN: wait4=%d", wait_(wpid));
	/* traced */
	act(CHLD, h_chld, SA_SIGINFO, 0); mask_set(B(CHLD));
	wpid = fork_(); if (!wpid) { SC(__NR_ptrace, 0, 0, 0, 0); asm volatile("int3"); die(0); }
	struct ksi wi; memset(&wi, 0, sizeof wi); SC(__NR_waitid, 1, wpid, &wi, 2 | 4, 0); of("%s traced int3: waitid ", tname); osi(&wi); of(" status=%d\n", wi.u.chld.status); oflush(); mask_set(0);
	SC(__NR_kill, wpid, KILL); wait_(wpid);
}
static void t_si_pipe(void)
{
	int p[2]; SC(__NR_pipe, p); SC(__NR_close, p[0]); act(PIPE, h_user, SA_SIGINFO, 0); L("write=%ld", SC(__NR_write, p[1], "x", 1));
	act(PIPE, (void *)1, 0, 0); L("ignored: write=%ld", SC(__NR_write, p[1], "x", 1));
	long pid = fork_(); if (!pid) { act(PIPE, 0, 0, 0); SC(__NR_write, p[1], "x", 1); die(0); }
	int st = wait_(pid); of("%s default: ", tname); owait(st); oc('\n'); oflush();
}
static void h_poll(int s, struct ksi *si, struct kuc *uc) { of("%s handler ", tname); osi(si); of(" band=%lx fd_ok=%d\n", (ul)si->u.poll.band, si->u.poll.fd == pfd[0]); oflush(); cnt++; }
static void t_si_io(void)
{
	SC(__NR_pipe, pfd); act(IO, h_poll, SA_SIGINFO, 0); act(35, h_poll, SA_SIGINFO, 0);
	SC(__NR_fcntl, pfd[0], 8, mypid()); SC(__NR_fcntl, pfd[0], 4, 020000);
	SC(__NR_write, pfd[1], "x", 1); L("plain O_ASYNC: %d", cnt);
	SC(__NR_fcntl, pfd[0], 10, 35); SC(__NR_write, pfd[1], "x", 1); L("F_SETSIG: %d", cnt);
}
static void t_si_limits(void)
{
	act(XFSZ, h_save, SA_SIGINFO, 0); act(XCPU, h_user, SA_SIGINFO, 0);
	u64 rl[2] = { 10, ~0ull }, old[2]; long fd = SC(__NR_open, "/tmp/xfsz", 0102 | 01000, 0600);
	SC(__NR_getrlimit, 1, old); SC(__NR_setrlimit, 1, rl);
	long a = SC(__NR_write, fd, "0123456789abcdef", 16), b = SC(__NR_write, fd, "x", 1);
	SC(__NR_setrlimit, 1, old); SC(__NR_unlink, "/tmp/xfsz");
	of("%s write at RLIMIT_FSIZE: %ld then %ld; handler ", tname, a, b); osi(&saved); of(" pid="); opid(saved.u.rt.pid); oc('\n'); oflush();
	u64 c[2] = { 1, 3 }; SC(__NR_setrlimit, 0, c); cnt = 0; for (volatile long i = 0; !cnt && i < 8000000000l; i++); L("XCPU delivered=%d", cnt);
}
static void t_si_pdeath(void)
{
	long p = fork_();
	if (!p) { long q = fork_(); if (!q) { act(USR2, h_user, SA_SIGINFO, 0); SC(__NR_prctl, 1, USR2); msleep(1000); die(0); } msleep(100); die(0); }
	wait_(p); msleep(200);
}
/* ================= ordering, masks, restart ================= */
static volatile int ordv[16]; static volatile int ordn;
static void h_ord(int s, struct ksi *si, struct kuc *uc) { if (ordn < 16) ordv[ordn++] = s; }
static void t_order(void)
{
	static const int s[] = { USR2, 35, 34, TERM, SEGV, USR1, HUP, CHLD, ILL };
	for (unsigned i = 0; i < 9; i++) act(s[i], h_ord, SA_SIGINFO, 0);
	mask_set(~0ull); for (unsigned i = 0; i < 9; i++) kself(s[i]); mask_set(0);
	of("%s handlers ran (innermost frame first):", tname); for (int i = 0; i < ordn; i++) of(" %d", ordv[i]); oc('\n'); oflush();
	ordn = 0; for (unsigned i = 0; i < 9; i++) act(s[i], h_ord, SA_SIGINFO, ~0ull);
	mask_set(~0ull); for (unsigned i = 0; i < 9; i++) kself(s[i]); mask_set(0);
	of("%s with sa_mask=all (delivery order):", tname); for (int i = 0; i < ordn; i++) of(" %d", ordv[i]); oc('\n'); oflush();
	/* thread-directed before process-directed */
	ordn = 0; mask_set(~0ull); kself(HUP); SC(__NR_tgkill, mypid(), mypid(), USR2); mask_set(0);
	of("%s kill(HUP)+tgkill(USR2), sa_mask=all:", tname); for (int i = 0; i < ordn; i++) of(" %d", ordv[i]); oc('\n'); oflush();
}
static void t_pending_rules(void)
{
	u64 p; mask_set(B(USR1) | B(CONT) | B(TSTP) | B(CHLD));
	kself(USR1); SC(__NR_rt_sigpending, &p, 8); L("pending after kill(USR1)=%llx", p);
	act(USR1, (void *)1, 0, 0); SC(__NR_rt_sigpending, &p, 8); L("after SIG_IGN=%llx", p);
	kself(CHLD); SC(__NR_rt_sigpending, &p, 8); L("blocked CHLD default-ignored: pending=%llx", p);
	kself(TSTP); SC(__NR_rt_sigpending, &p, 8); L("pending TSTP=%llx", p);
	kself(CONT); SC(__NR_rt_sigpending, &p, 8); L("then CONT=%llx (stop signals flushed)", p);
	kself(TSTP); SC(__NR_rt_sigpending, &p, 8); L("then TSTP=%llx (CONT flushed)", p);
	u64 m = B(USR1); act(USR1, h_cnt, 0, 0); kself(CONT); kself(USR1); struct ksi si; long ts[2] = { 0, 0 };
	long r = SC(__NR_rt_sigtimedwait, &m, &si, ts, 8); of("%s sigtimedwait=%ld ", tname, r); osi(&si); oc('\n'); oflush();
	L("sigtimedwait none=%ld", SC(__NR_rt_sigtimedwait, &m, &si, ts, 8));
}
static void rst(const char *n, ul fl, int how)
{
	cnt = 0; act(ALRM, h_cnt, fl, 0);
	int p[2]; SC(__NR_pipe, p);
	long it[4] = { 0, 0, 0, 80000 };
	long child = -1;
	if (how == 0 || how == 7) { child = fork_(); if (!child) { msleep(400); SC(__NR_write, p[1], "z", 1); die(0); } }
	if (how == 5) { child = fork_(); if (!child) { msleep(400); die(9); } }
	SC(__NR_setitimer, 0, it, 0);
	long r = -999; char c; long ts[2] = { 0, 400000000 }; int st;
	struct { int fd; short ev, rev; } pf = { p[0], 1, 0 };
	u64 m = 0; u32 fx = 5; u64 m2 = B(USR2); struct ksi si;
	switch (how) {
	case 0: r = SC(__NR_read, p[0], &c, 1); break;
	case 1: r = SC(__NR_nanosleep, ts, ts); break;
	case 2: r = SC(__NR_pause); break;
	case 3: r = SC(__NR_poll, &pf, 1, 400); break;
	case 4: r = SC(__NR_rt_sigsuspend, &m, 8); break;
	case 5: r = SC(__NR_wait4, child, &st, 0, 0) == child ? 1 : -999; if (r != 1) r = -4; break;
	case 6: r = SC(__NR_futex, &fx, 128, 5, ts, 0, 0); break;
	case 7: r = SC(__NR_ppoll, &pf, 1, 0, 0, 8); break;
	case 8: r = SC(__NR_rt_sigtimedwait, &m2, &si, ts, 8); break;
	case 9: r = SC(__NR_clock_nanosleep, 1, 0, ts, 0); break;
	case 10: { int e = SC(__NR_epoll_create1, 0); r = SC(__NR_epoll_wait, e, &si, 1, 400); break; }
	case 11: { struct { long s, u; } tv = { 0, 400000 }; r = SC(__NR_select, 0, 0, 0, 0, &tv); break; }
	}
	L("%s %s: ret=%ld handler=%d", n, fl & SA_RESTART ? "SA_RESTART" : "plain", r, cnt);
	if (child > 0) { SC(__NR_kill, child, KILL); SC(__NR_wait4, child, 0, 0, 0); }
	SC(__NR_close, p[0]); SC(__NR_close, p[1]);
}
static void t_restart(void)
{
	static const char *const n[] = { "read(pipe)", "nanosleep", "pause", "poll", "sigsuspend", "wait4", "futex_wait(timeout)", "ppoll", "sigtimedwait", "clock_nanosleep", "epoll_wait", "select" };
	for (int i = 0; i < 12; i++) { rst(n[i], 0, i); rst(n[i], SA_RESTART, i); }
}
/* what the frame of an interrupted, restartable system call looks like */
static void h_rs(int s, struct ksi *si, struct kuc *uc) { L("%s: saved rax=%ld rip-after-syscall=%ld", cnt ? "SA_RESTART" : "plain", (long)uc->ax, (long)uc->ip - (long)cur_fi); cnt++; SC(__NR_write, pfd[1], "q", 1); }
extern long rs_read(long fd, char *b); extern char rs_ip[];
asm(".text\nrs_read: xor %eax,%eax\n mov $1,%edx\n syscall\nrs_ip: ret\n");
static void t_restart_frame(void)
{
	char c; long it[4] = { 0, 0, 0, 20000 }; cur_fi = rs_ip;
	SC(__NR_pipe, pfd); act(ALRM, h_rs, SA_SIGINFO, 0); SC(__NR_setitimer, 0, it, 0); L("read=%ld", rs_read(pfd[0], &c));
	SC(__NR_read, pfd[0], &c, 1);
	act(ALRM, h_rs, SA_SIGINFO | SA_RESTART, 0); SC(__NR_setitimer, 0, it, 0); L("read=%ld", rs_read(pfd[0], &c));
}
static void t_mask_in_handler(void)
{
	act(USR1, h_print, SA_SIGINFO, B(USR2) | B(34)); cur_fi = 0; mask_set(B(HUP)); kself(USR1); L("after: %llx", mask_get());
	act(USR1, h_print, SA_SIGINFO | SA_NODEFER, 0); kself(USR1);
}
static void h_segv_in_thr(int s, struct ksi *si, struct kuc *uc) { L("thread handler sig=%d code=%d tid!=pid:%d", s, si->code, SC(__NR_gettid) != mypid()); die(7); }
static u8 tstk[65536] __attribute__((aligned(16)));
extern long mkthread(ul flags, void *sp, void (*fn)(void));
asm(".text\nmkthread: mov %rdx,%r9\n mov $56,%eax\n xor %edx,%edx\n xor %r10d,%r10d\n xor %r8d,%r8d\n syscall\n test %eax,%eax\n jnz 1f\n xor %ebp,%ebp\n call *%r9\n ud2\n1: ret\n");
static void thr_fault(void) { SC(__NR_prctl, 15, "thr"); fault_null(); }
static void t_thread_fault_dfl(void) { mkthread(0x50f00 & ~0, tstk + sizeof tstk - 64, thr_fault); for (;;) msleep(1000); }
static void t_thread_fault_h(void) { act(SEGV, h_segv_in_thr, SA_SIGINFO, 0); mkthread(0x50f00, tstk + sizeof tstk - 64, thr_fault); for (;;) msleep(1000); }
static void t_exec(void)
{
	struct kstack k = { altstk, 0, .size = sizeof altstk }; SC(__NR_sigaltstack, &k, 0);
	act(USR1, h_cnt, 0, 0); act(USR2, (void *)1, 0, 0); act(CHLD, (void *)1, 0, 0); mask_set(B(HUP) | B(TERM)); kself(HUP);
	char *av[] = { selfpath, "--exec2", 0 }; char *ev[] = { 0 }; SC(__NR_execve, selfpath, av, ev);
	L("exec failed");
}
static void exec2(void)
{
	struct kstack o; struct ksa a; u64 p; tname = "exec";
	SC(__NR_sigaltstack, 0, &o); L("after exec: altstack sp=%lx size=%llx flags=%x", (ul)o.sp, o.size, (u32)o.flags);
	SC(__NR_rt_sigaction, USR1, 0, &a, 8); L("USR1 handler=%lx flags=%lx restorer=%lx mask=%llx", (ul)a.h, a.flags, (ul)a.rest, a.mask);
	SC(__NR_rt_sigaction, USR2, 0, &a, 8); L("USR2 handler=%lx", (ul)a.h);
	SC(__NR_rt_sigaction, CHLD, 0, &a, 8); L("CHLD handler=%lx", (ul)a.h);
	SC(__NR_rt_sigpending, &p, 8); L("mask=%llx pending=%llx", mask_get(), p);
}
static void t_fork_inherit(void)
{
	struct kstack k = { altstk, 0, .size = sizeof altstk }, o; SC(__NR_sigaltstack, &k, 0); mask_set(B(HUP)); kself(HUP);
	long pid = fork_(); if (!pid) { u64 p; SC(__NR_sigaltstack, 0, &o); SC(__NR_rt_sigpending, &p, 8); L("child altstack size=%llx flags=%x mask=%llx pending=%llx", o.size, (u32)o.flags, mask_get(), p); die(0); }
	wait_(pid);
}
/* kernel-mode faults on user pointers must become EFAULT, never a signal */
static void t_efault(void)
{
	L("read(NULL)=%ld write(kern)=%ld write(noncanon)=%ld", SC(__NR_read, 0, 0, 1), SC(__NR_write, 1, 0xffff888000000000, 1), SC(__NR_write, 1, 1ul << 63, 1));
	L("uname(1)=%ld sigaction(1)=%ld open(1)=%ld execve(1)=%ld", SC(__NR_uname, 1), SC(__NR_rt_sigaction, USR1, 1, 0, 8), SC(__NR_open, 1, 0), SC(__NR_execve, 1, 0, 0));
	u8 *m = (u8 *)xmmap(0, 8192, PR|PW, MP|MA, -1, 0); SC(__NR_munmap, m + 4096, 4096);
	int p[2]; SC(__NR_pipe, p);
	L("write crossing into unmapped=%ld all-unmapped=%ld", SC(__NR_write, p[1], m + 4090, 100), SC(__NR_write, p[1], m + 4096, 100));
	SC(__NR_mprotect, m, 4096, PR); L("uname into read-only=%ld", SC(__NR_uname, m));
	L("clone child_tid bad ptr ignored"); 
}
static void t_sigchld_segv_wait(void) { long pid = fork_(); if (!pid) { SC(__NR_prctl, 15, "dies"); fault_null(); } int st = wait_(pid); of("%s ", tname); owait(st); kmsg_drain(pid); oc('\n'); oflush(); }
static void t_comm_special(void) { SC(__NR_prctl, 15, "a b\n\"c%s[1]"); fault_null(); }
static void t_auxv(void)
{
	long *p = start_sp + 1; while (*p) p++; p++; while (*p) p++; p++;
	u32 r[4]; cpuid(1, 0, r);
	of("%s types:", tname); for (long *q = p; *q; q += 2) of(" %ld", q[0]); oc('\n');
	for (; *p; p += 2) {
		if (p[0] == 16) L("AT_HWCAP==cpuid1.edx:%d", (u32)p[1] == r[3]);
		if (p[0] == 26 || p[0] == 51 || p[0] == 6 || p[0] == 17 || p[0] == 4 || p[0] == 5 || p[0] == 23) L("at[%ld]=%ld", p[0], p[1]);
		if (p[0] == 33 || p[0] == 25 || p[0] == 15) L("at[%ld] nonzero:%d", p[0], p[1] != 0);
	}
}

struct t { const char *n; void (*f)(void); };
#define T(x) { #x, t_##x }
static const struct t tests[] = {
	T(frame), T(frame_fault), T(sigreturn), T(sigreturn_raw_dfl), T(sigreturn_raw_kern), T(sigreturn_raw_h),
	T(blocked_segv), T(blocked_segv_dfl), T(ignored_segv), T(ignored_fpe), T(ignored_trap), T(blocked_trap), T(blocked_ill), T(blocked_bus),
	T(fault_in_handler), T(fault_in_handler_nodefer), T(fault_in_handler_resethand), T(nested_other), T(handler_skip), T(handler_retry),
	T(kill_segv_user), T(kill_segv_ign), T(kill_segv_dfl), T(no_restorer), T(no_restorer_segv), T(handler_bad_addr), T(handler_bad_addr_h), T(handler_noncanon), T(handler_kernel),
	T(alt_small), T(alt_overflow_usr1), T(alt_overflow_segv), T(alt_overflow_usr1_h), T(alt_unmapped_dfl), T(alt_unmapped_segvh), T(alt_unmapped_segv_onalt), T(alt_kernel_addr), T(alt_readonly),
	T(alt_inhandler), T(alt_autodisarm), T(alt_nested), T(alt_recurse), T(alt_recurse_h), T(stack_overflow_noalt), T(stack_overflow_dfl), T(stack_overflow_alt),
	T(rules), T(defaults), T(core_flag), T(si_kill), T(si_queue), T(si_segv_queued), T(si_timer), T(si_chld), T(si_pipe), T(si_io), T(si_limits), T(si_pdeath),
	T(order), T(pending_rules), T(restart), T(restart_frame), T(mask_in_handler), T(thread_fault_dfl), T(thread_fault_h), T(exec), T(fork_inherit), T(efault), T(sigchld_segv_wait), T(comm_special), T(auxv),
};
static int xmain(int argc, char **argv)
{
	stk_base = (ul)argv; norm_text = 1;
	selfpath = argv[0];
	if (argc > 1 && seq(argv[1], "--exec2")) { exec2(); die(0); }
	kmsg_open();
	for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
		int want = argc < 2 || seq(argv[1], "all");
		for (int j = 1; j < argc && !want; j++) want = starts(tests[i].n, argv[j]);
		if (!want) continue;
		tname = tests[i].n; kmark(tname, "sigsem");
		long pid = fork_();
		if (!pid) { SC(__NR_setpgid, 0, 0); tests[i].f(); die(0); }
		int st = wait_(pid);
		of("%s => ", tname); owait(st);
		cur_fi = fault_at; kmsg_drain(pid); cur_fi = 0; oc('\n'); oflush();
	}
	return 0;
}
