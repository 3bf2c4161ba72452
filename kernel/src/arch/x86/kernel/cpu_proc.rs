// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/cpuinfo` (Linux 6.1, `arch/x86/kernel/cpu/proc.c`; the names of features are those of
//! `arch/x86/include/asm/cpufeatures.h`).
//!
//! What Linux found out about the processor, or decided, without CPUID (`rep_good`, `bugs` and such)
//! is not told.

use super::cpu::{brand_string, cpu_has_umip, has_smap};
use crate::fs::seq_file::SeqFile;
use crate::kernel::time::timekeeping::tsc_khz;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

/// A register of CPUID's answer.
#[derive(Clone, Copy)]
#[allow(clippy::upper_case_acronyms)]
enum Reg {
    EAX,
    EBX,
    ECX,
    EDX,
}
use Reg::{EAX, EBX, ECX, EDX};

impl Reg {
    fn of(self, r: CpuidResult) -> u32 {
        match self {
            EAX => r.eax,
            EBX => r.ebx,
            ECX => r.ecx,
            EDX => r.edx,
        }
    }
}

/// Where a word of features comes from, and the names of its bits, in Linux's order.
const WORDS: [(u32, u32, Reg, &str); 12] = [
    (
        1,
        0,
        EDX,
        "0:fpu 1:vme 2:de 3:pse 4:tsc 5:msr 6:pae 7:mce 8:cx8 9:apic 11:sep 12:mtrr 13:pge 14:mca 15:cmov \
        16:pat 17:pse36 18:pn 19:clflush 21:dts 22:acpi 23:mmx 24:fxsr 25:sse 26:sse2 27:ss 28:ht 29:tm \
        30:ia64 31:pbe",
    ),
    (
        0x8000_0001,
        0,
        EDX,
        "11:syscall 19:mp 20:nx 22:mmxext 25:fxsr_opt 26:pdpe1gb 27:rdtscp 29:lm 30:3dnowext 31:3dnow",
    ),
    (
        1,
        0,
        ECX,
        "0:pni 1:pclmulqdq 2:dtes64 3:monitor 4:ds_cpl 5:vmx 6:smx 7:est 8:tm2 9:ssse3 10:cid 11:sdbg 12:fma \
        13:cx16 14:xtpr 15:pdcm 17:pcid 18:dca 19:sse4_1 20:sse4_2 21:x2apic 22:movbe 23:popcnt \
        24:tsc_deadline_timer 25:aes 26:xsave 28:avx 29:f16c 30:rdrand 31:hypervisor",
    ),
    (
        0x8000_0001,
        0,
        ECX,
        "0:lahf_lm 1:cmp_legacy 2:svm 3:extapic 4:cr8_legacy 5:abm 6:sse4a 7:misalignsse 8:3dnowprefetch \
        9:osvw 10:ibs 11:xop 12:skinit 13:wdt 15:lwp 16:fma4 17:tce 19:nodeid_msr 21:tbm 22:topoext \
        23:perfctr_core 24:perfctr_nb 26:bpext 27:ptsc 28:perfctr_llc 29:mwaitx",
    ),
    (
        7,
        0,
        EBX,
        "0:fsgsbase 1:tsc_adjust 2:sgx 3:bmi1 4:hle 5:avx2 7:smep 8:bmi2 9:erms 10:invpcid 11:rtm 12:cqm \
        14:mpx 15:rdt_a 16:avx512f 17:avx512dq 18:rdseed 19:adx 20:smap 21:avx512ifma 23:clflushopt 24:clwb \
        25:intel_pt 26:avx512pf 27:avx512er 28:avx512cd 29:sha_ni 30:avx512bw 31:avx512vl",
    ),
    (0xd, 1, EAX, "0:xsaveopt 1:xsavec 2:xgetbv1 3:xsaves"),
    (7, 1, EAX, "4:avx_vnni 5:avx512_bf16"),
    (
        0x8000_0008,
        0,
        EBX,
        "0:clzero 1:irperf 2:xsaveerptr 4:rdpru 9:wbnoinvd 23:amd_ppin 25:virt_ssbd 27:cppc 31:brs",
    ),
    (
        6,
        0,
        EAX,
        "0:dtherm 1:ida 2:arat 4:pln 6:pts 7:hwp 8:hwp_notify 9:hwp_act_window 10:hwp_epp 11:hwp_pkg_req \
        19:hfi",
    ),
    (
        0x8000_000a,
        0,
        EDX,
        "0:npt 1:lbrv 2:svm_lock 3:nrip_save 4:tsc_scale 5:vmcb_clean 6:flushbyasid 7:decodeassists \
        10:pausefilter 12:pfthreshold 13:avic 15:v_vmsave_vmload 16:vgif 18:x2avic 20:v_spec_ctrl",
    ),
    (
        7,
        0,
        ECX,
        "1:avx512vbmi 2:umip 3:pku 4:ospke 5:waitpkg 6:avx512_vbmi2 8:gfni 9:vaes 10:vpclmulqdq \
        11:avx512_vnni 12:avx512_bitalg 13:tme 14:avx512_vpopcntdq 16:la57 22:rdpid 24:bus_lock_detect \
        25:cldemote 27:movdiri 28:movdir64b 29:enqcmd 30:sgx_lc",
    ),
    (
        7,
        0,
        EDX,
        "2:avx512_4vnniw 3:avx512_4fmaps 4:fsrm 8:avx512_vp2intersect 10:md_clear 14:serialize 16:tsxldtrk \
        18:pconfig 19:arch_lbr 20:ibt 22:amx_bf16 23:avx512_fp16 24:amx_tile 25:amx_int8 28:flush_l1d \
        29:arch_capabilities",
    ),
];

/// Bits of leaf `0x8000_0007`, from the lowest on; Linux has a name of nothing for the constant TSC.
const POWER: [&str; 13] = [
    "ts",
    "fid",
    "vid",
    "ttp",
    "tm",
    "stc",
    "100mhzsteps",
    "hwpstate",
    "",
    "cpb",
    "eff_freq_ro",
    "proc_feedback",
    "acc_power",
];

/// The processor's answer; zeroes for a leaf that it does not have.
fn cpuid(leaf: u32, sub: u32) -> CpuidResult {
    let highest = __cpuid_count(leaf & 0x8000_0000, 0).eax;
    if leaf > highest {
        return CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    __cpuid_count(leaf, sub)
}

/// The names of a word's bits that are set.
fn names(table: &'static str, word: u32) -> impl Iterator<Item = &'static str> {
    let pairs = table.split_whitespace().filter_map(|e| e.split_once(':'));
    pairs.filter(move |(bit, _)| bit.parse::<u32>().is_ok_and(|b| word >> b & 1 != 0)).map(|e| e.1)
}

/// Whether the kernel lets a feature be used.
fn usable(name: &str) -> bool {
    match name {
        // Its sign rule and the depth of its page tables.
        "fsgsbase" | "la57" => false,
        "smap" => has_smap(),
        "umip" => cpu_has_umip(),
        _ => true,
    }
}

/// `/proc/cpuinfo` (`show_cpuinfo`).
pub fn show_cpuinfo(o: &mut SeqFile) {
    let id = raw_cpuid::CpuId::new();
    let vendor = id.get_vendor_info().map_or_else(Default::default, |v| alloc::format!("{v}"));
    let (family, model, step) =
        id.get_feature_info().map_or((0, 0, 0), |f| (f.family_id(), f.model_id(), f.stepping_id()));
    writeln!(o, "processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}");
    writeln!(o, "model name\t: {}\nstepping\t: {step}", brand_string());
    let khz = tsc_khz();
    writeln!(o, "cpu MHz\t\t: {}.{:03}", khz / 1000, khz % 1000);
    let caches = cpuid(0x8000_0006, 0);
    if caches.ecx >> 16 != 0 {
        writeln!(o, "cache size\t: {} KB", caches.ecx >> 16);
    }
    let apic = cpuid(1, 0).ebx >> 24;
    o.put(b"physical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\n");
    writeln!(o, "apicid\t\t: {apic}\ninitial apicid\t: {apic}");
    writeln!(o, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {}\nwp\t\t: yes", cpuid(0, 0).eax);
    o.put(b"flags\t\t:");
    for (leaf, sub, reg, table) in WORDS {
        for name in names(table, reg.of(cpuid(leaf, sub))).filter(|n| usable(n)) {
            write!(o, " {name}");
        }
    }
    // What a loop of one instruction would do in a second, if the clock were its counter.
    writeln!(o, "\nbogomips\t: {}.{:02}", khz / 500, khz / 5 % 100);
    sizes(o, caches);
}

fn sizes(o: &mut SeqFile, caches: CpuidResult) {
    let entries = (caches.ebx >> 16 & 0xfff) + (caches.ebx & 0xfff);
    if entries != 0 {
        writeln!(o, "TLB size\t: {entries} 4K pages");
    }
    let line = (cpuid(1, 0).ebx >> 8 & 0xff) * 8;
    writeln!(o, "clflush size\t: {line}\ncache_alignment\t: {line}");
    let bits = cpuid(0x8000_0008, 0).eax;
    writeln!(o, "address sizes\t: {} bits physical, {} bits virtual", bits & 0xff, bits >> 8 & 0xff);
    o.put(b"power management:");
    let power = cpuid(0x8000_0007, 0).edx;
    for bit in (0..32).filter(|bit| power >> bit & 1 != 0) {
        match POWER.get(bit) {
            Some(&"") => {}
            Some(name) => write!(o, " {name}"),
            None => write!(o, " [{bit}]"),
        }
    }
    o.put(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_names() {
        assert!(names("0:fpu 1:vme 31:pbe", 1 << 31 | 1).eq(["fpu", "pbe"]));
        assert_eq!(names("0:fpu", 2).count(), 0);
        // Every entry of the table can be read.
        for (.., table) in WORDS {
            assert_eq!(names(table, u32::MAX).count(), table.split_whitespace().count());
        }
    }
}
