/* SPDX-License-Identifier: GPL-2.0-only */
/* xprobe64 - one CPU exception per probe, from 64-bit user mode (plus compat-mode code reached by a
 * far jump).  usage: xprobe64 all | list | h NAME | d NAME | raw NAME   [-x PREFIX]
 * h: handled, d: default action, raw: in this very process (try it as init) */
#include "xharness.h"

/* Fixed mappings made by xmaps():
 * 10000000 RW 1 page, next page unmapped     10010000 R          10020000 PROT_NONE
 * 10030000 RW (no exec), holds RET           10040000 2 pages of a 100-byte file
 * 10050000 RX 1 page, next page unmapped     10060000 RW for pkey tests
 * 10070000 spare for --x / -w-               10080000 RW 2 pages: stack, page below (1007f000) unmapped
 * 100a0000 RW shared 2 pages */
static long xmaps(void)
{
	xmmap(0x10000000, 4096, PR|PW, MP|MA|MF, -1, 0);
	xmmap(0x10010000, 4096, PR, MP|MA|MF, -1, 0);
	xmmap(0x10020000, 4096, 0, MP|MA|MF, -1, 0);
	xmmap(0x10030000, 4096, PR|PW, MP|MA|MF, -1, 0);
	*(volatile u8 *)0x10030000 = 0xc3;
	long fd = SC(__NR_memfd_create, "f", 0);
	if (fd >= 0) { SC(__NR_ftruncate, fd, 100); xmmap(0x10040000, 8192, PR|PW|PX, MSH|MF, fd, 0); SC(__NR_close, fd); }
	xmmap(0x10050000, 4096, PR|PW, MP|MA|MF, -1, 0);
	memset((void *)0x10050000, 0x90, 4096);
	*(volatile u8 *)0x10050fff = 0x0f;   /* first byte of a two-byte opcode */
	*(volatile u8 *)0x10050ffe = 0xb8;   /* mov imm32,%eax : immediates in the next page */
	SC(__NR_mprotect, 0x10050000, 4096, PR|PX);
	xmmap(0x10060000, 4096, PR|PW, MP|MA|MF, -1, 0);
	*(volatile u8 *)0x10060000 = 0xc3;
	xmmap(0x10080000, 8192, PR|PW, MP|MA|MF, -1, 0);
	return 0;
}

/* ---------------- #DE 0 ---------------- */
P(de_div0_32,   0, "mov $1,%eax", "div %ecx")
P(de_div0_64,   0, "mov $1,%eax", "div %rcx")
P(de_idiv0_8,   0, "mov $1,%eax", "idiv %cl")
P(de_intmin_32, 0, "mov $0x80000000,%eax; cltd; mov $-1,%ecx", "idiv %ecx")
P(de_intmin_64, 0, "mov $1,%eax; shl $63,%rax; cqto; mov $-1,%rcx", "idiv %rcx")
P(de_quot_ovf,  0, "mov $2,%edx; mov $2,%ecx", "div %ecx")
P(de_div_mem0,  0, "mov $1,%eax", "divl 0x10000010")
/* ---------------- #DB 1 ---------------- */
P(db_tf,        0, "pushfq; orl $0x100,(%rsp); popfq", "nop")
P(db_tf_jmp,    0, "pushfq; orl $0x100,(%rsp); popfq", "jmp 1f; nop; 1:")
P(db_tf_sysc,   0, "mov $39,%eax; pushfq; orl $0x100,(%rsp); popfq", "syscall")
P(db_tf_int80,  0, "mov $20,%eax; pushfq; orl $0x100,(%rsp); popfq", "int $0x80")
P(db_tf_int3,   0, "pushfq; orl $0x100,(%rsp); popfq", "int3")
P(db_tf_ud2,    0, "pushfq; orl $0x100,(%rsp); popfq", "ud2")
P(db_tf_pf,     0, "pushfq; orl $0x100,(%rsp); popfq", "movb (%rcx),%al")
P(db_tf_rep,    0, "mov $3,%ecx; mov $0x10000000,%edi; pushfq; orl $0x100,(%rsp); popfq", "rep stosb")
P(db_tf_cpuid,  0, "pushfq; orl $0x100,(%rsp); popfq", "cpuid")
P(db_tf_popf,   0, "pushfq; pushfq; orl $0x100,(%rsp); popfq", "popfq")
P(db_tf_movss,  0, "mov %ss,%ecx; pushfq; orl $0x100,(%rsp); popfq", "mov %ecx,%ss; nop; nop")
P(db_tf_vdso_vsys,0,"pushfq; orl $0x100,(%rsp); popfq", "prefetcht0 (%rcx)")
P(db_icebp,     0, "", ".byte 0xf1")
P(db_int1,      0, "", ".byte 0xcd,0x01")
P(db_movss_icebp,0,"mov %ss,%ecx; mov %ecx,%ss", ".byte 0xf1")
/* ---------------- #BP 3 / #OF 4 / #BR 5 ---------------- */
P(bp_int3,      0, "", "int3")
P(bp_cd03,      0, "", ".byte 0xcd,0x03")
P(bp_rex_int3,  0, "", ".byte 0x48,0xcc")
P(of_int4,      0, "", ".byte 0xcd,0x04")
P(int_05,       0, "", ".byte 0xcd,0x05")
/* ---------------- #UD 6 ---------------- */
P(ud_ud2,       0, "", "ud2")
P(ud_ud1,       0, "", ".byte 0x0f,0xb9,0xc0")
P(ud_ud0,       0, "", ".byte 0x0f,0xff,0xc0")
P(ud_ud1_mem,   0, "", ".byte 0x0f,0xb9,0x00")
P(ud_lock_nop,  0, "", ".byte 0xf0,0x90")
P(ud_lock_mov,  0, "mov $0x10000000,%eax", ".byte 0xf0,0x89,0x00")
P(ud_lock_addr, 0, "", ".byte 0xf0,0x01,0xc0")
P(ud_lock_cmpxchg_reg,0,"", ".byte 0xf0,0x0f,0xb1,0xc8")
P(ud_op06,      0, "", ".byte 0x06")
P(ud_op0e,      0, "", ".byte 0x0e")
P(ud_op1f,      0, "", ".byte 0x1f")
P(ud_op27,      0, "", ".byte 0x27")
P(ud_op37,      0, "", ".byte 0x37")
P(ud_op60,      0, "", ".byte 0x60")
P(ud_op61,      0, "", ".byte 0x61")
P(ud_op62,      0, "", ".byte 0x62,0x00,0x00,0x00,0x00,0x00")
P(ud_op82,      0, "", ".byte 0x82,0xc0,0x01")
P(ud_op9a,      0, "", ".byte 0x9a,0,0,0,0,0x33,0")
P(ud_opce,      0, "", ".byte 0xce")
P(ud_opd4,      0, "", ".byte 0xd4,0x0a")
P(ud_opd6,      0, "", ".byte 0xd6")
P(ud_opea,      0, "", ".byte 0xea,0,0,0,0,0x33,0")
P(ud_0f04,      0, "", ".byte 0x0f,0x04")
P(ud_0f0a,      0, "", ".byte 0x0f,0x0a")
P(ud_0fa6,      0, "", ".byte 0x0f,0xa6,0x00")
P(ud_mov_cs,    0, "mov $0x33,%eax", ".byte 0x8e,0xc8")
P(ud_mov_seg6,  0, "", ".byte 0x8e,0xf0")
P(ud_mov_cr1,   0, "", ".byte 0x0f,0x20,0xc8")
P(ud_mov_cr5,   0, "", ".byte 0x0f,0x20,0xe8")
P(ud_lea_reg,   0, "", ".byte 0x8d,0xc0")
P(ud_rsm,       0, "", ".byte 0x0f,0xaa")
P(ud_vmcall,    0, "", ".byte 0x0f,0x01,0xc1")
P(ud_vmmcall,   0, "", ".byte 0x0f,0x01,0xd9")
P(ud_monitor,   0, "", ".byte 0x0f,0x01,0xc8")
P(ud_vmxoff,    0, "", ".byte 0x0f,0x01,0xc4")
P(ud_getsec,    0, "", ".byte 0x0f,0x37")
P(ud_popcnt_lock,0,"", ".byte 0xf0,0xf3,0x0f,0xb8,0xc0")
P(ud_vex_lock,  0, "", ".byte 0xf0,0xc5,0xf8,0x77")
P(ud_vex_66,    0, "", ".byte 0x66,0xc5,0xf8,0x77")
P(ud_vex_rex,   0, "", ".byte 0x48,0xc5,0xf8,0x77")
P(ud_fe_7,      0, "", ".byte 0xfe,0xf8")
P(ud_ff_7,      0, "", ".byte 0xff,0xf8")
P(ud_c6_1,      0, "", ".byte 0xc6,0xc8,0x00")
P(ud_xabort_notx,0,"", ".byte 0xc6,0xf8,0x01")
P(ud_0fc7_reg1, 0, "", ".byte 0x0f,0xc7,0xc8")
P(ud_fpu_d9d1,  0, "", ".byte 0xd9,0xd1")
P(ud_sysenter,  0, "", ".byte 0x0f,0x34")
/* ---------------- int N without a user gate: #GP, error = N*8+2 ---------------- */
P(int_00, 0, "", ".byte 0xcd,0x00")
P(int_02, 0, "", ".byte 0xcd,0x02")
P(int_06, 0, "", ".byte 0xcd,0x06")
P(int_07, 0, "", ".byte 0xcd,0x07")
P(int_08, 0, "", ".byte 0xcd,0x08")
P(int_09, 0, "", ".byte 0xcd,0x09")
P(int_0a, 0, "", ".byte 0xcd,0x0a")
P(int_0b, 0, "", ".byte 0xcd,0x0b")
P(int_0c, 0, "", ".byte 0xcd,0x0c")
P(int_0d, 0, "", ".byte 0xcd,0x0d")
P(int_0e, 0, "", ".byte 0xcd,0x0e")
P(int_0f, 0, "", ".byte 0xcd,0x0f")
P(int_10, 0, "", ".byte 0xcd,0x10")
P(int_11, 0, "", ".byte 0xcd,0x11")
P(int_12, 0, "", ".byte 0xcd,0x12")
P(int_13, 0, "", ".byte 0xcd,0x13")
P(int_14, 0, "", ".byte 0xcd,0x14")
P(int_15, 0, "", ".byte 0xcd,0x15")
P(int_1d, 0, "", ".byte 0xcd,0x1d")
P(int_1f, 0, "", ".byte 0xcd,0x1f")
P(int_20, 0, "", ".byte 0xcd,0x20")
P(int_21, 0, "", ".byte 0xcd,0x21")
P(int_30, 0, "", ".byte 0xcd,0x30")
P(int_7f, 0, "", ".byte 0xcd,0x7f")
P(int_80_getpid, 0, "mov $20,%eax", "int $0x80; test %eax,%eax; setg %al; movzbl %al,%eax")
P(int_80_enosys, 0, "mov $0x7fff,%eax", "int $0x80; mov %eax,%eax")
P(int_80_r8, 0, "mov $20,%eax; mov $0x1234,%r8d; mov $0x1234,%r9d; mov $0x1234,%r10d; mov $0x1234,%r11d", "int $0x80; mov %r8,%rax; add %r9,%rax; add %r10,%rax; add %r11,%rax")
P(int_81, 0, "", ".byte 0xcd,0x81")
P(int_ec, 0, "", ".byte 0xcd,0xec")
P(int_ff, 0, "", ".byte 0xcd,0xff")
/* ---------------- #NP #SS #GP through segment loads ---------------- */
struct ud { u32 ent, base, lim, bits; };
static long ldt_set(u32 ent, u32 bits) { struct ud d = { ent, 0, 0xfffff, bits }; return SC(__NR_modify_ldt, 1, &d, sizeof d); }
/* bits: 0 seg_32bit, 1-2 contents (0 data,1 expand-down,2 code), 3 read_exec_only, 4 limit_in_pages, 5 seg_not_present, 6 useable */
long s_ldt(void) asm("s_ldt");
long s_ldt(void)
{
	long r = ldt_set(0, 1|16|64);             /* 0x07 data, present */
	r |= ldt_set(1, 1|16|32|64);              /* 0x0f data, not present */
	r |= ldt_set(2, 1|(2<<1)|16|64);          /* 0x17 code32, present */
	r |= ldt_set(3, 1|(2<<1)|16|32|64);       /* 0x1f code32, not present */
	r |= ldt_set(4, 1|8|16|64);               /* 0x27 read-only data */
	r |= ldt_set(5, 1|(2<<1)|8|16|64);        /* 0x2f execute-only code32 */
	struct ud d = { 6, 0, 0xfff, 1|64 };      /* 0x37 data, limit 0xfff bytes */
	r |= SC(__NR_modify_ldt, 1, &d, sizeof d);
	return r;
}
P(seg_ds_ldt_ok,   s_ldt, "mov $7,%eax", "mov %eax,%ds; mov %ds,%eax")
P(np_ds,           s_ldt, "mov $0xf,%eax", "mov %eax,%ds")
P(np_es,           s_ldt, "mov $0xf,%eax", "mov %eax,%es")
P(np_fs,           s_ldt, "mov $0xf,%eax", "mov %eax,%fs")
P(np_gs,           s_ldt, "mov $0xf,%eax", "mov %eax,%gs")
P(i_np_lret,         s_ldt, "pushq $0x1f; pushq $0", "lretq")
P(i_np_iret,         s_ldt, "mov %rsp,%rax; pushq $0x2b; pushq %rax; pushq $0x202; pushq $0x1f; pushq $0x401000", "iretq")
#define FAR(sel) "movl $0x401000,cfar; movl $" #sel ",cfar+4"
P(np_ljmp,         s_ldt, FAR(0x1f), "ljmp *cfar")
P(gp_ljmp_kcs,     0, FAR(0x10), "ljmp *cfar")
P(gp_ljmp_null,    0, FAR(0), "ljmp *cfar")
P(gp_ljmp_data,    0, FAR(0x2b), "ljmp *cfar")
P(gp_ljmp_tss,     0, FAR(0x40), "ljmp *cfar")
P(gp_lcall_kcs,    0, FAR(0x10), "lcall *cfar")
P(gp_ljmp_badidx,  0, FAR(0x3fb), "ljmp *cfar")
P(np_lcall,        s_ldt, "movl $0x401000,0x10000020; movl $0x1f,0x10000024; mov $0x10000020,%eax", "lcall *(%rax)")
P(ss_np,           s_ldt, "mov $0xf,%eax", "mov %eax,%ss")
P(gp_ss_ro,        s_ldt, "mov $0x27,%eax", "mov %eax,%ss")
P(gp_ss_code,      s_ldt, "mov $0x17,%eax", "mov %eax,%ss")
P(gp_ds_xonly,     s_ldt, "mov $0x2f,%eax", "mov %eax,%ds")
P(gp_ss_null,      0, "xor %eax,%eax", "mov %eax,%ss")
P(gp_ss_kernel,    0, "mov $0x18,%eax", "mov %eax,%ss")
P(gp_ss_badidx,    0, "mov $0x3fb,%eax", "mov %eax,%ss")
P(gp_ss_rpl,       0, "mov $0x28,%eax", "mov %eax,%ss")
P(seg_ds_null,     0, "xor %eax,%eax", "mov %eax,%ds; mov %ds,%eax")
P(seg_ds_null3,    0, "mov $3,%eax", "mov %eax,%ds; mov %ds,%eax")
P(gp_ds_badidx,    0, "mov $0x3fb,%eax", "mov %eax,%ds")
P(gp_ds_kernel,    0, "mov $0x18,%eax", "mov %eax,%ds")
P(gp_ds_kcode,     0, "mov $0x10,%eax", "mov %eax,%ds")
P(gp_ds_tss,       0, "mov $0x40,%eax", "mov %eax,%ds")
P(gp_ds_noldt,     0, "mov $0x07,%eax", "mov %eax,%ds")
P(gp_fs_badidx,    0, "mov $0x3fb,%eax", "mov %eax,%fs")
P(gp_gs_badidx,    0, "mov $0x3fb,%eax", "mov %eax,%gs")
P(i_gp_lret_kcs,     0, "pushq $0x10; pushq $0", "lretq")
P(i_gp_lret_null,    0, "pushq $0; pushq $0", "lretq")
P(i_gp_lret_data,    0, "pushq $0x2b; pushq $0", "lretq")
P(i_gp_iret_kcs,     0, "mov %rsp,%rax; pushq $0x18; pushq %rax; pushq $0x202; pushq $0x10; pushq $0x401000", "iretq")
P(i_gp_iret_badss,   0, "mov %rsp,%rax; pushq $0; pushq %rax; pushq $0x202; pushq $0x33; pushq $0x401000", "iretq")
P(i_gp_iret_nt,      0, "pushfq; orl $0x4000,(%rsp); popfq; mov %rsp,%rax; pushq $0x2b; pushq %rax; pushq $0x202; pushq $0x33; pushq $0x401000", "iretq")
P(i_iret_noncanon,   0, "mov %rsp,%rax; pushq $0x2b; pushq %rax; pushq $0x202; pushq $0x33; mov $1,%ecx; shl $63,%rcx; pushq %rcx", "iretq")
P(i_iret_ok,         0, "mov %rsp,%rax; pushq $0x2b; pushq %rax; pushq $0x202; pushq $0x33; pushq $1f", "iretq; 1: mov $0x11,%eax")
P(lar_ucs,         0, "mov $0x33,%ecx", "lar %ecx,%eax")
P(lsl_cpunode,     0, "mov $0x7b,%ecx", "lsl %ecx,%eax")
/* ---------------- #SS by address ---------------- */
P(ss_rbp_noncanon, 0, "mov $1,%ebp; shl $63,%rbp", "movb (%rbp),%al")
P(ss_rsp_noncanon, 0, "mov $1,%ecx; shl $63,%rcx; mov %rcx,%rsp", "pop %rax")
P(ss_push_noncanon,0, "mov $1,%ecx; shl $63,%rcx; mov %rcx,%rsp", "push %rax")
P(ss_call_noncanon,0, "mov $1,%ecx; shl $63,%rcx; mov %rcx,%rsp", "call 1f; 1:")
P(ss_ret_noncanon, 0, "mov $1,%ecx; shl $63,%rcx; mov %rcx,%rsp", "ret")
/* ---------------- #GP ---------------- */
P(gp_hlt,      0, "", "hlt")
P(gp_cli,      0, "", "cli")
P(gp_sti,      0, "", "sti")
P(gp_in_al,    0, "mov $0x60,%edx", "in %dx,%al")
P(gp_in_imm,   0, "", "in $0x60,%eax")
P(gp_out,      0, "mov $0x80,%edx", "out %al,%dx")
P(gp_insb,     0, "mov $0x60,%edx; mov $0x10000000,%edi", "insb")
P(gp_outsb,    0, "mov $0x80,%edx; mov $0x10000000,%esi", "outsb")
P(gp_rep_outsb0,0,"mov $0x80,%edx; mov $0x10000000,%esi; xor %ecx,%ecx", "rep outsb")
P(gp_nc_read,  0, "mov $1,%eax; shl $63,%rax", "movb (%rax),%al")
P(gp_nc_read47,0, "mov $1,%eax; shl $47,%rax", "movb (%rax),%al")
P(gp_nc_write, 0, "mov $1,%ecx; shl $63,%rcx", "movb %al,(%rcx)")
P(gp_nc_jmp,   0, "mov $1,%eax; shl $63,%rax", "jmp *%rax")
P(gp_nc_call,  0, "mov $1,%eax; shl $63,%rax", "call *%rax")
P(gp_nc_ret,   0, "mov $1,%eax; shl $63,%rax; push %rax", "ret")
P(gp_nc_straddle,0,"mov $1,%eax; shl $47,%rax; sub $4,%rax", "movq (%rax),%rax")
P(gp_rdmsr,    0, "mov $0x1b,%ecx", "rdmsr")
P(gp_wrmsr,    0, "mov $0x1b,%ecx", "wrmsr")
P(gp_mov_cr0,  0, "", "mov %cr0,%rax")
P(gp_mov_tocr3,0, "", "mov %rax,%cr3")
P(gp_mov_cr8,  0, "", "mov %cr8,%rax")
P(gp_mov_dr7,  0, "", "mov %db7,%rax")
P(gp_lmsw,     0, "", "lmsw %ax")
P(gp_clts,     0, "", "clts")
P(gp_invlpg,   0, "mov $0x10000000,%eax", "invlpg (%rax)")
P(gp_invd,     0, "", "invd")
P(gp_wbinvd,   0, "", "wbinvd")
P(gp_lgdt,     0, "mov $0x10000000,%eax", "lgdt (%rax)")
P(gp_lidt,     0, "mov $0x10000000,%eax", "lidt (%rax)")
P(gp_lldt,     0, "", "lldt %ax")
P(gp_ltr,      0, "", "ltr %ax")
P(gp_swapgs,   0, "", "swapgs")
P(gp_sysret,   0, "mov $0x401000,%ecx; mov $0x202,%r11d", "sysretq")
P(gp_sysexit,  0, "mov $0x401000,%edx", "sysexit")
P(gp_xsetbv,   0, "mov $7,%eax", "xsetbv")
P(gp_xgetbv9,  0, "mov $9,%ecx", "xgetbv")
P(gp_rdpmc,    0, "", "rdpmc")
P(ok_rdtsc,    0, "", "rdtsc; xor %eax,%eax")
long s_tsd(void) asm("s_tsd");
long s_tsd(void) { return SC(__NR_prctl, 26, 2); }        /* PR_SET_TSC, PR_TSC_SIGSEGV */
P(gp_rdtsc_tsd, s_tsd, "", "rdtsc")
P(ok_rdtscp,   0, "", "rdtscp; mov %ecx,%eax")
P(gp_movaps,   0, "mov $0x10000008,%eax", "movaps (%rax),%xmm0")
P(gp_movaps_st,0, "mov $0x10000008,%eax", "movaps %xmm0,(%rax)")
P(gp_movntdq,  0, "mov $0x10000008,%eax", "movntdq %xmm0,(%rax)")
P(ok_movups,   0, "mov $0x10000008,%eax", "movups (%rax),%xmm0")
P(gp_addps_mis,0, "mov $0x10000008,%eax", "addps (%rax),%xmm0")
P(gp_vmovaps,  0, "mov $0x10000010,%eax", "vmovaps (%rax),%ymm0")
P(gp_cmpxchg16b,0,"mov $0x10000008,%esi", "cmpxchg16b (%rsi)")
P(gp_fxsave_mis,0,"mov $0x10000008,%eax", "fxsave (%rax)")
P(gp_fxrstor_mxcsr,0,"movl $0x037f,0x10000000; movl $0xffff0000,0x10000018; mov $0x10000000,%eax", "fxrstor (%rax)")
P(gp_ldmxcsr,  0, "movl $0x80001f80,0x10000000; mov $0x10000000,%eax", "ldmxcsr (%rax)")
P(gp_xrstor_hdr,0,"movl $0xffffffff,0x10000210; movl $0x1f80,0x10000018; mov $0x10000000,%edi; mov $7,%eax", "xrstor (%rdi)")
P(gp_xsave_mis,0, "mov $0x10000020,%edi; mov $7,%eax", "xsave (%rdi)")
P(gp_len16,    0, "", ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90")
P(ok_len15,    0, "", ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90")
P(ok_popf_if_iopl,0,"pushfq; andl $~0x200,(%rsp); orl $0x3000,(%rsp)", "popfq; pushfq; pop %rax; and $0x3200,%eax")
long s_iopl(void) asm("s_iopl");
long s_iopl(void) { return SC(__NR_iopl, 3); }
P(cli_iopl3,   s_iopl, "", "cli; mov $0x11,%eax")
P(sti_iopl3,   s_iopl, "", "sti; mov $0x12,%eax")
P(out_iopl3,   s_iopl, "mov $0x80,%edx", "out %al,%dx; mov $0x13,%eax")
P(hlt_iopl3,   s_iopl, "", "hlt")
long s_ioperm(void) asm("s_ioperm");
long s_ioperm(void) { return SC(__NR_ioperm, 0x80, 1, 1); }
P(out_ioperm,  s_ioperm, "mov $0x80,%edx", "out %al,%dx; mov $0x14,%eax")
P(gp_out16_ioperm, s_ioperm, "mov $0x80,%edx", "out %ax,%dx")
P(gp_out_ioperm2, s_ioperm, "mov $0x81,%edx", "out %al,%dx")
/* UMIP */
P(umip_sgdt,   0, "mov $0x10000000,%edi", "sgdt (%rdi); mov 0x10000002,%rax")
P(umip_sidt,   0, "mov $0x10000000,%edi", "sidt (%rdi); mov 0x10000002,%rax")
P(umip_sldt,   0, "", "sldt %eax")
P(umip_str,    0, "", "str %eax")
P(umip_smsw,   0, "", "smsw %eax")
P(umip_smsw_pf,0, "mov $0x10020000,%edi", "smsw (%rdi)")
P(umip_sgdt_pf,0, "mov $0x10020000,%edi", "sgdt (%rdi)")
/* ---------------- #PF ---------------- */
P(pf_null_rd,  0, "", "movb (%rcx),%al")
P(pf_null_wr,  0, "", "movb %al,(%rcx)")
P(pf_null_ex,  0, "", "jmp *%rcx")
P(pf_null_call,0, "", "call *%rcx")
P(pf_null_ofs, 0, "", "movl 0x123(%rcx),%eax")
P(pf_rmw_null, 0, "", "lock incl (%rcx)")
P(pf_unm_rd,   0, "mov $0x10001008,%ecx", "movl (%rcx),%eax")
P(pf_unm_wr,   0, "mov $0x10001008,%ecx", "movl %eax,(%rcx)")
P(pf_unm_ex,   0, "mov $0x10001008,%ecx", "jmp *%rcx")
P(pf_cross_rd, 0, "mov $0x10000ffc,%ecx", "movq (%rcx),%rax")
P(pf_cross_wr, 0, "mov $0x10000ffc,%ecx", "movq %rax,(%rcx)")
P(pf_ro_wr,    0, "mov $0x10010010,%ecx", "movl %eax,(%rcx)")
P(pf_ro_wr_touched,0,"mov $0x10010010,%ecx; mov (%rcx),%eax", "movl %eax,(%rcx)")
P(pf_ro_rmw,   0, "mov $0x10010010,%ecx", "lock addl $0,(%rcx)")
P(pf_ro_cmpxchg_nomatch,0,"mov $0x10010010,%ecx; mov $5,%eax", "lock cmpxchg %edx,(%rcx)")
P(pf_ro_ex,    0, "mov $0x10010010,%ecx", "jmp *%rcx")
P(pf_none_rd,  0, "mov $0x10020010,%ecx", "movl (%rcx),%eax")
P(pf_none_wr,  0, "mov $0x10020010,%ecx", "movl %eax,(%rcx)")
P(pf_none_ex,  0, "mov $0x10020010,%ecx", "jmp *%rcx")
P(pf_nx_ex,    0, "mov $0x10030000,%ecx", "jmp *%rcx")
P(pf_nx_call,  0, "mov $0x10030000,%ecx", "call *%rcx")
P(pf_text_wr,  0, "mov $0x401000,%ecx", "movb %al,(%rcx)")
P(pf_straddle_ex, 0, "mov $0x10050fff,%ecx", "jmp *%rcx")
P(pf_straddle_ex2,0, "mov $0x10050ffe,%ecx", "jmp *%rcx")
P(pf_eof_rd,   0, "mov $0x10041010,%ecx", "movl (%rcx),%eax")
P(pf_eof_wr,   0, "mov $0x10041010,%ecx", "movl %eax,(%rcx)")
P(pf_eof_ex,   0, "mov $0x10041010,%ecx", "jmp *%rcx")
P(ok_eof_same_page,0,"mov $0x10040ff0,%ecx", "movl (%rcx),%eax")
P(pf_kern_rd,  0, "mov $0xffff888000000000,%rcx", "movl (%rcx),%eax")
P(pf_kern_wr,  0, "mov $0xffff888000000000,%rcx", "movl %eax,(%rcx)")
P(pf_kern_ex,  0, "mov $0xffff888000000000,%rcx", "jmp *%rcx")
P(pf_ktext_rd, 0, "mov $0xffffffff81000000,%rcx", "movl (%rcx),%eax")
P(pf_kunm_rd,  0, "mov $0xffff800000000000,%rcx", "movl (%rcx),%eax")
P(pf_last_rd,  0, "mov $-1,%rcx", "movb (%rcx),%al")
P(pf_last_rd4, 0, "mov $-2,%rcx", "movl (%rcx),%eax")
P(pf_top_guard,0, "mov $0x7ffffffff000,%rcx", "movl (%rcx),%eax")
P(pf_high_unm, 0, "mov $0x7f0000000000,%rcx", "movb (%rcx),%al; mov $0,%eax")
P(pf_cpuentry, 0, "mov $0xfffffe0000000000,%rcx", "movl (%rcx),%eax")
P(pf_cpuentry_wr,0,"mov $0xfffffe0000000000,%rcx", "movl %eax,(%rcx)")
P(pf_stack_guard,0,"mov $0x10080000,%esp", "push %rax")
P(pf_stack_call,0,"mov $0x10080000,%esp", "call 1f; 1:")
P(pf_stack_pop,0, "mov $0x10081ffc,%esp", "pop %rax")
P(ok_stack_far,0, "lea -0x40000(%rsp),%rcx", "movb $1,(%rcx)")
P(pf_stack_rlimit,0, "lea -0x1000000(%rsp),%rcx; mov $0,%cl; and $~0xfff,%rcx", "movb $1,(%rcx)")
P(pf_rep_movs, 0, "mov $0x10000ff0,%edi; mov $0x10000000,%esi; mov $0x100,%ecx", "rep movsb")
P(pf_rep_stosq,0, "mov $0x10000f00,%edi; mov $0x100,%ecx", "rep stosq")
P(pf_fsbase,   0, "", "movl %fs:0,%eax")
P(ok_prefetch, 0, "", "prefetchw (%rcx); mov $0x15,%eax")
P(pf_clflush,  0, "", "clflush (%rcx)")
P(pf_enter,    0, "mov $0x10080010,%esp", "enter $0x20,$0; push %rax")
P(pf_maskmov_ok,0,"pxor %xmm0,%xmm0; pxor %xmm1,%xmm1; xor %edi,%edi", "maskmovdqu %xmm1,%xmm0; mov $0x16,%eax")
P(pf_fxsave,   0, "", "fxsave (%rcx)")
P(pf_lss,      0, "", "lss (%rcx),%eax")
P(pf_xchg,     0, "", "xchg %eax,(%rcx)")
P(pf_bt_mem,   0, "mov $-1,%eax", "btq %rax,0x10000000")
P(pf_movs_src, 0, "mov $0x10000000,%edi", "movsb")
P(pf_cmps,     0, "mov $0x10000000,%esi", "cmpsb")
P(pf_div_mem,  0, "", "divl (%rcx)")
P(pf_ret_null, 0, "push $0", "ret")
P(pf_addr32,   0, "mov $-1,%rax", "addr32 movb (%eax),%al")
P(vsys_call,   0, "mov $0xffffffffff600000,%rax; mov $0x10000000,%edi", "call *%rax; mov $0x17,%eax")
P(vsys_jmp400, 0, "mov $0xffffffffff600400,%rax; mov $0x10000000,%edi; lea 1f(%rip),%rcx; push %rcx", "jmp *%rax; 1: mov $0x18,%eax")
P(vsys_getcpu, 0, "mov $0xffffffffff600800,%rax; mov $0x10000000,%edi; mov $0x10000000,%esi; xor %edx,%edx", "call *%rax")
P(vsys_mid,    0, "mov $0xffffffffff600010,%rax", "call *%rax")
P(vsys_c00,    0, "mov $0xffffffffff600c00,%rax", "call *%rax")
P(vsys_read,   0, "mov $0xffffffffff600000,%rcx", "movl (%rcx),%eax")
P(vsys_write,  0, "mov $0xffffffffff600000,%rcx", "movl %eax,(%rcx)")
P(vsys_badptr, 0, "mov $0xffffffffff600000,%rax; mov $1,%edi", "call *%rax")
P(vsys_kernptr, 0, "mov $0xffffffffff600000,%rax; mov $0xffff800000001000,%rdi", "call *%rax")
P(vsys_tf,     0, "mov $0xffffffffff600000,%rax; mov $0x10000000,%edi; pushfq; orl $0x100,(%rsp); popfq", "call *%rax")
/* execute-only, write-only and protection keys */
long s_xo(void) asm("s_xo");
long s_xo(void) { long r = xmmap(0x10070000, 4096, PX, MP|MA|MF, -1, 0); return r == 0x10070000 ? 0 : r; }
P(pf_xonly_rd, s_xo, "mov $0x10070000,%ecx", "movl (%rcx),%eax")
P(pf_xonly_wr, s_xo, "mov $0x10070000,%ecx", "movl %eax,(%rcx)")
long s_wo(void) asm("s_wo");
long s_wo(void) { long r = xmmap(0x10070000, 4096, PW, MP|MA|MF, -1, 0); return r == 0x10070000 ? 0 : r; }
P(ok_wonly_rd, s_wo, "mov $0x10070000,%ecx", "movl (%rcx),%eax")
static long pkey(int rights)
{
	long k = SC(330, 0, rights);
	if (k < 0) return k;
	return SC(329, 0x10060000, 4096, PR|PW|PX, k);
}
long s_pk_ad(void) asm("s_pk_ad");
long s_pk_ad(void) { return pkey(1); }
long s_pk_wd(void) asm("s_pk_wd");
long s_pk_wd(void) { return pkey(2); }
P(pk_ad_rd,    s_pk_ad, "mov $0x10060010,%ecx", "movl (%rcx),%eax")
P(pk_ad_wr,    s_pk_ad, "mov $0x10060010,%ecx", "movl %eax,(%rcx)")
P(pk_ad_ex_ok, s_pk_ad, "mov $0x10060000,%ecx", "call *%rcx; mov $0x19,%eax")
P(pk_wd_rd_ok, s_pk_wd, "mov $0x10060010,%ecx", "movl (%rcx),%eax")
P(pk_wd_wr,    s_pk_wd, "mov $0x10060010,%ecx", "movl %eax,(%rcx)")
P(pk_wrpkru_ecx,0, "mov $1,%ecx", "wrpkru")
P(pk_rdpkru,   0, "", "rdpkru")
/* ---------------- #MF ---------------- */
#define CW(x) "fninit; movw $" #x ",0x10000000; fldcw 0x10000000;"
P(mf_inv,      0, CW(0x037e) "fldz; fldz; fdivp %st,%st(1)", "fwait")
P(mf_inv_sqrt, 0, CW(0x037e) "fld1; fchs; fsqrt", "fwait")
P(mf_stack_under,0,CW(0x037e) "fstp %st(0)", "fwait")
P(mf_stack_over,0,CW(0x037e) "fld1;fld1;fld1;fld1;fld1;fld1;fld1;fld1;fld1", "fwait")
P(mf_den,      0, CW(0x037d) "movl $1,0x10000010; flds 0x10000010", "fwait")
P(mf_div0,     0, CW(0x037b) "fld1; fldz; fdivrp %st,%st(1)", "fwait")
P(mf_ovf,      0, CW(0x0377) "movl $0x7f7fffff,0x10000010; flds 0x10000010; fmul %st(0),%st; fmul %st(0),%st; fstps 0x10000020", "fwait")
P(mf_und,      0, CW(0x036f) "movl $0x00800000,0x10000010; flds 0x10000010; fmul %st(0),%st; fstps 0x10000020", "fwait")
P(mf_prec,     0, CW(0x035f) "fld1; movl $0x40400000,0x10000010; fdivs 0x10000010", "fwait")
P(mf_next_insn,0, CW(0x037b) "fld1; fldz; fdivrp %st,%st(1)", "fld1")
P(mf_unmask_late,0,CW(0x037f) "fld1; fldz; fdivrp %st,%st(1); movw $0x037b,0x10000000; fldcw 0x10000000", "fwait")
P(mf_nowait_ok,0, CW(0x037b) "fld1; fldz; fdivrp %st,%st(1)", "fnstsw %ax; fnclex")
P(mf_emms,     0, CW(0x037b) "fld1; fldz; fdivrp %st,%st(1)", "emms")
P(mf_fxsave_ok,0, CW(0x037b) "fld1; fldz; fdivrp %st,%st(1)", "fxsave 0x10000000; fninit; mov $0x1a,%eax")
P(mf_inv_zde,  0, CW(0x037a) "fld1; fldz; fdivrp %st,%st(1)", "fwait")
P(mf_sticky_ie_then_ze,0, CW(0x037f) "fldz; fldz; fdivp %st,%st(1); movw $0x037a,0x10000000; fldcw 0x10000000", "fld1")
/* ---------------- #AC ---------------- */
#define AC "pushfq; orl $0x40000,(%rsp); popfq"
P(ac_rd4,      0, "mov $0x10000001,%ecx;" AC, "movl (%rcx),%eax")
P(ac_wr8,      0, "mov $0x10000004,%ecx;" AC, "movq %rax,(%rcx)")
P(ac_rd1_ok,   0, "mov $0x10000001,%ecx;" AC, "movb (%rcx),%al")
P(ac_unm,      0, "mov $0x10001001,%ecx;" AC, "movl (%rcx),%eax")
P(ac_push,     0, "mov $0x10000801,%esp; pushfq; orl $0x40000,(%rsp); popfq", "push %rax")
P(ac_syscall_ok,0,"mov $39,%eax;" AC, "syscall; pushfq; pop %rax; and $0x40000,%eax")
/* ---------------- #XF ---------------- */
#define MX(x) "movl $" #x ",0x10000000; ldmxcsr 0x10000000;"
P(xf_inv,      0, MX(0x1f00) "xorps %xmm0,%xmm0; xorps %xmm1,%xmm1", "divss %xmm1,%xmm0")
P(xf_inv_sqrt, 0, MX(0x1f00) "movl $0xbf800000,0x10000010; movss 0x10000010,%xmm1", "sqrtss %xmm1,%xmm0")
P(xf_den,      0, MX(0x1e80) "movl $1,0x10000010; movss 0x10000010,%xmm1; xorps %xmm0,%xmm0", "addss %xmm1,%xmm0")
P(xf_div0,     0, MX(0x1d80) "movl $0x3f800000,0x10000010; movss 0x10000010,%xmm0; xorps %xmm1,%xmm1", "divss %xmm1,%xmm0")
P(xf_ovf,      0, MX(0x1b80) "movl $0x7f7fffff,0x10000010; movss 0x10000010,%xmm0", "mulss %xmm0,%xmm0")
P(xf_und,      0, MX(0x1780) "movl $0x00800000,0x10000010; movss 0x10000010,%xmm0", "mulss %xmm0,%xmm0")
P(xf_prec,     0, MX(0x0f80) "movl $0x3f800000,0x10000010; movss 0x10000010,%xmm0; movl $0x40400000,0x10000014; movss 0x10000014,%xmm1", "divss %xmm1,%xmm0")
P(xf_cvt_inv,  0, MX(0x1f00) "movl $0x7fc00000,0x10000010; movss 0x10000010,%xmm0", "cvtss2si %xmm0,%eax")
P(xf_cvt_mem,  0, MX(0x1f00) "movl $0x7f800000,0x10000010", "cvttss2si 0x10000010,%eax")
P(xf_cmp_snan, 0, MX(0x1f00) "movl $0x7fa00000,0x10000010; movss 0x10000010,%xmm0", "ucomiss %xmm0,%xmm0")
P(xf_div0_pd,  0, MX(0x1d80) "mov $0x3ff0000000000000,%rax; movq %rax,%xmm0; pxor %xmm1,%xmm1", "divpd %xmm1,%xmm0")
P(xf_vdivps,   0, MX(0x1d80) "movl $0x3f800000,0x10000010; vbroadcastss 0x10000010,%ymm0; vxorps %ymm1,%ymm1,%ymm1", "vdivps %ymm1,%ymm0,%ymm0")
P(xf_sticky_ie_then_ze,0, MX(0x1c01) "movl $0x3f800000,0x10000010; movss 0x10000010,%xmm0; xorps %xmm1,%xmm1", "divss %xmm1,%xmm0")
P(xf_sticky_only_ok,0, MX(0x1c3f) "xorps %xmm0,%xmm0", "addss %xmm0,%xmm0; mov $0x1b,%eax")
/* ---------------- syscall entry corner cases ---------------- */
P(sys_efault,  0, "xor %eax,%eax; xor %edi,%edi; mov $1,%edi; mov $1,%eax; mov $0x1,%esi; mov $4,%edx", "syscall")
P(sys_efault_kern,0, "mov $1,%edi; mov $1,%eax; mov $0xffff888000000000,%rsi; mov $4,%edx", "syscall")
P(sys_efault_nc,0, "mov $1,%edi; mov $1,%eax; mov $0x8000000000000000,%rsi; mov $4,%edx", "syscall")
P(sys_enosys,  0, "mov $0x7fff,%eax", "syscall")
P(sys_neg1,    0, "mov $-1,%rax", "syscall")
P(sys_x32,     0, "mov $0x40000027,%eax", "syscall")
P(sys_hi32,    0, "mov $0x100000027,%rax", "syscall; test %rax,%rax; setg %al; movzbl %al,%eax")
P(sys_rcx_r11, 0, "mov $39,%eax", "syscall; 1: lea 1b(%rip),%rax; sub %rcx,%rax; shl $32,%rax; or %r11,%rax; and $~0xd5,%rax")
P(sys_nt,      0, "mov $39,%eax; pushfq; orl $0x4000,(%rsp); popfq", "syscall; pushfq; pop %rax; and $0x4000,%eax")
P(sys_df,      0, "mov $39,%eax; std", "syscall; pushfq; pop %rax; cld; and $0x400,%eax")
/* ---------------- compat-mode code in a 64-bit process ---------------- */
u8 cstack[8192] __attribute__((aligned(4096)));
u32 cbound[2] = { 1, 5 };
u32 cfar[2];
#define C32 "mov $cstack+8000,%esp; movl $1f,cfar; movl $0x23,cfar+4; mov $0x2b,%eax; mov %eax,%ds; mov %eax,%es; xor %eax,%eax; ljmp *cfar; .code32; 1: "
P(c32_into,    0, C32 "mov $0x7f,%al; add $1,%al", "into; .byte 0x66,0xea; .code64")
P(c32_into_no, 0, C32 "xor %eax,%eax", "into; ud2; .code64")
P(c32_bound,   0, C32 "mov $9,%eax", "bound %eax,cbound; .code64")
P(c32_bound_ok,0, C32 "mov $2,%eax", "bound %eax,cbound; ud2; .code64")
P(c32_ud2,     0, C32, "ud2; .code64")
P(c32_int3,    0, C32, "int3; .code64")
P(c32_int4,    0, C32, ".byte 0xcd,4; .code64")
P(c32_null,    0, C32 "xor %ecx,%ecx", "mov (%ecx),%eax; .code64")
P(c32_high,    0, C32 "mov $0xfffff000,%ecx", "mov (%ecx),%eax; .code64")
P(c32_div0,    0, C32 "xor %ecx,%ecx", "div %ecx; .code64")
P(c32_syscall, 0, C32 "mov $20,%eax", "syscall; ud2; .code64")
P(c32_sysenter,0, C32 "mov $20,%eax; mov %esp,%ebp", "sysenter; ud2; .code64")
P(c32_int80,   0, C32 "mov $20,%eax", "int $0x80; ud2; .code64")
P(c32_jmp_top, 0, C32 "mov $0xfffffff0,%ecx", "jmp *%ecx; .code64")

/* ---------------- hardware breakpoints through ptrace ---------------- */
static volatile u64 hwvar;
extern char hw_x[], hw_w[], hw_r[];
extern void hw_body(void);
asm(".text\nhw_body: nop\nhw_x: nop\n nop\nhw_w: movl $1,hwvar\n nop\nhw_r: movl hwvar,%eax\n nop\n ret\n");
static long dbgreg(long pid, int n, ul v) { return SC(__NR_ptrace, 6, pid, 848 + 8 * n, v); }
static ul getdbg(long pid, int n) { ul v = 0; SC(__NR_ptrace, 3, pid, 848 + 8 * n, &v); return v; }
static void hwbp(const char *name, void *fi, ul addr, ul dr7, int fwd)
{
	cur_name = name; cur_fi = fi;
	kmark(name, fwd ? "handled" : "default");
	long pid = fork_();
	if (!pid) {
		if (fwd) arm();
		if (SC(__NR_ptrace, 0, 0, 0, 0)) die(77);
		SC(__NR_kill, mypid(), STOP);
		hw_body();
		of("%s H NOFAULT\n", name); die(0);
	}
	int st = wait_(pid);
	of("%s T ", name); owait(st);
	of(" set=%ld,%ld", dbgreg(pid, 0, addr), dbgreg(pid, 7, dr7));
	SC(__NR_ptrace, 7, pid, 0, 0);
	st = wait_(pid); os(" -> "); owait(st);
	if ((st & 0xff) == 0x7f) {
		struct ksi si; memset(&si, 0, sizeof si);
		SC(__NR_ptrace, 0x4202, pid, 0, &si);
		ul rip = 0; SC(__NR_ptrace, 3, pid, 128, &rip);
		ul fl = 0; SC(__NR_ptrace, 3, pid, 144, &fl);
		of(" si_code=%d addr=", si.code); oaddr((ul)si.u.addr);
		os(" rip="); oaddr(rip);
		of(" rf=%d dr6=%lx dr7=%lx\n", (int)(fl >> 16) & 1, getdbg(pid, 6), getdbg(pid, 7));
		oflush();
		SC(__NR_ptrace, 7, pid, 0, TRAP);
		st = wait_(pid);
		of("%s %s ", name, fwd ? "H(end)" : "D"); owait(st);
		if ((st & 0xff) == 0x7f) { SC(__NR_kill, pid, KILL); wait_(pid); }
	}
	kmsg_drain(pid); oc('\n'); oflush();
}
extern char pt_nop[], pt_sys[], pt_i3[], pt_sv[]; extern void pt_b0(void), pt_b1(void), pt_b2(void), pt_b3(void);
asm(".text\npt_b0: int3\npt_nop: nop; nop; ret\npt_b1: mov $39,%eax; int3\npt_sys: syscall; nop; ret\n"
    "pt_b2: nop\npt_i3: int3; nop; ret\npt_b3: xor %ecx,%ecx\npt_sv: mov (%rcx),%eax; ret\n");
static void hw_all(void)
{
	norm_text = 1;
	for (int f = 1; f >= 0; f--) {
		hwbp("hwbp_exec", hw_x, (ul)hw_x, 0x1, f);
		hwbp("hwbp_write", hw_w, (ul)&hwvar, 0xd0001, f);
		hwbp("hwbp_rdwr", hw_w, (ul)&hwvar, 0xf0001, f);
	}
	/* single-step and int3 as the tracer sees them */
	static const char *const tn[] = { "pt_step", "pt_step_syscall", "pt_int3", "pt_step_int3", "pt_segv", "pt_syscall_stop" };
	for (int k = 0; k < 6; k++) {
		void (*b)(void) = k == 0 ? pt_b0 : k == 1 ? pt_b1 : k == 4 ? pt_b3 : k == 5 ? pt_b1 : pt_b2;
		cur_fi = k == 0 ? pt_nop : k == 1 || k == 5 ? pt_sys : k == 4 ? pt_sv : pt_i3;
		kmark(tn[k], "traced");
		long pid = fork_();
		if (!pid) { if (SC(__NR_ptrace, 0, 0, 0, 0)) die(77); if (k >= 2 && k != 5) SC(__NR_kill, mypid(), STOP); b(); die(0); }
		int st = wait_(pid);
		of("%s T ", tn[k]); owait(st);
		for (int i = 0; i < 4 && (st & 0xff) == 0x7f; i++) {
			SC(__NR_ptrace, k == 0 || k == 1 || (k == 3 && i < 400) ? 9 : k == 5 ? 24 : 7, pid, 0, 0);
			st = wait_(pid); os(" -> "); owait(st);
			if ((st & 0xff) != 0x7f) break;
			struct ksi si; memset(&si, 0, sizeof si);
			ul rip = 0, orax = 0, rax = 0, err = SC(__NR_ptrace, 0x4202, pid, 0, &si);
			SC(__NR_ptrace, 3, pid, 128, &rip); SC(__NR_ptrace, 3, pid, 120, &orax); SC(__NR_ptrace, 3, pid, 80, &rax);
			of(" {si_code=%d", si.code);
			if (k == 5) of(" pid_is_tracee=%d", si.u.rt.pid == (int)pid);
			else { os(" addr="); if (si.code == 0x80 || (si.code > 0 && si.code < 10)) oaddr((ul)si.u.addr); else os("-"); }
			if (k != 3) { os(" rip="); oaddr(rip); }
			of(" orig_rax=%ld}", orax); (void)err; (void)rax;
		}
		if ((st & 0xff) == 0x7f) { SC(__NR_kill, pid, KILL); wait_(pid); }
		kmsg_drain(pid); oc('\n'); oflush();
	}
	norm_text = 0;
}
static void info(void)
{
	u32 r[4]; cpuid(13, 0, r);
	(void)r;
}
static int xmain(int argc, char **argv)
{
	stk_base = (ul)argv;
	kmsg_open(); xmaps(); info();
	const char *m = argc > 1 ? argv[1] : "all", *n = argc > 2 && argv[2][0] != '-' ? argv[2] : 0;
	if (seq(m, "hw") || (seq(m, "all") && !n)) hw_all();
	for (struct probe *p = __start_probes; p < __stop_probes; p++) {
		if ((n && !starts(p->name, n)) || excluded(p->name, argc, argv)) continue;
		/* lret/iret executed in user mode: QEMU 7.2 TCG reads the user stack as supervisor, so with SMAP
		 * the kernel oopses.  Only run them when asked (run-linux.sh does, with SMAP masked). */
		if (starts(p->name, "i_") && !(n && starts(n, "i_"))) continue;
		if (seq(m, "list")) { of("%s\n", p->name); continue; }
		if (seq(m, "raw")) { if (!p->setup || !p->setup()) call_probe(p->fn); die(66); }   /* no fork, default action */
		if (!seq(m, "d") && !seq(m, "hw")) run_handled(p);
		if (!seq(m, "h") && !seq(m, "hw")) run_default(p);
	}
	if (seq(m, "all") && !n) {
		/* a few again without an alternate stack: same record expected, alt empty */
		use_alt = 0;
		for (struct probe *p = __start_probes; p < __stop_probes; p++)
			if (seq(p->name, "ud_ud2") || seq(p->name, "pf_null_rd") || seq(p->name, "pf_stack_guard") || seq(p->name, "bp_int3") || seq(p->name, "ss_rsp_noncanon")) {
				os("[noalt] "); run_handled(p);
			}
	}
	oflush();
	return 0;
}
