// SPDX-License-Identifier: GPL-2.0-only
//! The in-kernel tests of what only a running kernel can show.

use super::Kunit;
use crate::arch::x86::lib::msr::{rdmsr, rdmsr_safe, wrmsr, wrmsr_safe};
use crate::arch::x86::lib::usercopy::{
    TASK_SIZE_MAX, clear_user, copy_from_user, copy_to_user, get_user, put_user,
};
use crate::arch::x86::mm::init::{self, START_KERNEL_MAP, lookup_kernel_address};
use crate::errno::{EFAULT, EIO, ERANGE};
use crate::kernel::kallsyms;
use crate::kernel::notifier::{
    DieArgs, DieNotifier, DieVal, NotifierBlock, NotifyResult, register_die_notifier, unregister_die_notifier,
};
use crate::kernel::printk::ringbuffer::{Info, LOG_LINE_MAX, Missing, RingBuffer, Storage};
use crate::mm::maccess::{copy_from_kernel_nofault, read_kernel_nofault};
use crate::mm::page_alloc::{Page, nr_free_pages};
use crate::{extable, kunit_assert, kunit_assert_eq, kunit_suite};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use x86_64::structures::paging::PageTableFlags as F;

/// An address of the kernel's half where nothing is mapped.
const HOLE: usize = 0xffff_a000_dead_0000;
const NON_CANONICAL: usize = 0x8000_0000_0000_0000;

kunit_suite! { "extable": recover_from_page_fault, recover_from_gp, recover_from_divide, vector_in_rax, rdmsr_of_nothing, wrmsr_of_nonsense, safe_msrs }

fn recover_from_page_fault(test: &mut Kunit) {
    kunit_assert_eq!(test, read_kernel_nofault(HOLE), Err(EFAULT));
    kunit_assert_eq!(test, read_kernel_nofault(0x1000), Err(ERANGE));
    let mut b = [0u8; 16];
    let text = init::kernel_text().0;
    kunit_assert_eq!(test, copy_from_kernel_nofault(&mut b, text), Ok(()));
    // Across the end of what is mapped.
    let end = (init::kernel_text().0..).step_by(4096).find(|&a| lookup_kernel_address(a).is_none());
    kunit_assert_eq!(test, copy_from_kernel_nofault(&mut b, end.unwrap_or(HOLE) - 8), Err(EFAULT));
}

/// Runs one access that faults; returns RAX as the fixup left it.
fn load_with_fixup(addr: usize) -> u64 {
    let mut ax = u64::MAX;
    // SAFETY: the load is listed in the exception table; AX is the only register that changes.
    unsafe {
        asm!("2: mov r8, [{a}]", "3:", extable!("2", "3b", 2), a = in(reg) addr, inout("rax") ax, out("r8") _, options(nostack));
    }
    ax
}

fn recover_from_gp(test: &mut Kunit) {
    kunit_assert_eq!(test, load_with_fixup(NON_CANONICAL), 13);
}

fn vector_in_rax(test: &mut Kunit) {
    kunit_assert_eq!(test, load_with_fixup(HOLE), 14);
}

fn recover_from_divide(test: &mut Kunit) {
    let mut ax = 7u64;
    // SAFETY: the division is listed in the exception table.
    unsafe {
        asm!("xor ecx, ecx", "2: div rcx", "3:", extable!("2", "3b", 2), inout("rax") ax, inout("rdx") 0u64 => _, out("rcx") _, options(nostack));
    }
    kunit_assert_eq!(test, ax, 0);
}

fn rdmsr_of_nothing(test: &mut Kunit) {
    let (mut ax, mut dx) = (1u32, 1u32);
    // SAFETY: listed in the exception table. An emulator may take every register for one that is
    // there, so what faults is a load.
    unsafe {
        asm!("2: mov r8, [{a}]", "3:", extable!("2", "3b", 4), a = in(reg) NON_CANONICAL, in("ecx") 0x4b56_4dffu32, inout("eax") ax, inout("edx") dx, out("r8") _, options(nostack));
    }
    kunit_assert_eq!(test, (ax, dx), (0, 0));
}

/// `IA32_PKRS`, whose upper half is reserved; many CPUs do not have it at all.
const MSR_IA32_PKRS: u32 = 0x6e1;
const MSR_EFER: u32 = 0xc000_0080;

fn wrmsr_of_nonsense(test: &mut Kunit) {
    let before = rdmsr_safe(MSR_IA32_PKRS);
    // SAFETY: nothing is written.
    unsafe { wrmsr(MSR_IA32_PKRS, 0x1234_5678_9abc_def0) };
    kunit_assert_eq!(test, rdmsr_safe(MSR_IA32_PKRS), before);
}

fn safe_msrs(test: &mut Kunit) {
    kunit_assert_eq!(test, wrmsr_safe(MSR_IA32_PKRS, u64::MAX), Err(EIO));
    let efer = rdmsr(MSR_EFER);
    kunit_assert!(test, efer & 1 << 10 != 0);
    kunit_assert_eq!(test, rdmsr_safe(MSR_EFER), Ok(efer));
    kunit_assert_eq!(test, wrmsr_safe(MSR_EFER, efer), Ok(()));
}

kunit_suite! { "usercopy": bad_pointers_are_efault, lengths_do_not_wrap }

fn bad_pointers_are_efault(test: &mut Kunit) {
    let mut b = [1u8; 24];
    for addr in [
        0,
        0x1000,
        0x7fff_0000_0000,
        TASK_SIZE_MAX - 8,
        TASK_SIZE_MAX,
        NON_CANONICAL,
        START_KERNEL_MAP + 0x10_0000,
    ] {
        kunit_assert_eq!(test, copy_from_user(&mut b, addr), Err(EFAULT));
        kunit_assert_eq!(test, copy_to_user(addr, &b), Err(EFAULT));
        kunit_assert_eq!(test, get_user::<u64>(addr), Err(EFAULT));
        kunit_assert_eq!(test, put_user(addr, &1u32), Err(EFAULT));
        kunit_assert_eq!(test, clear_user(addr, 5), 5);
    }
    // What was not read is zero.
    kunit_assert_eq!(test, b, [0; 24]);
}

fn lengths_do_not_wrap(test: &mut Kunit) {
    use crate::arch::x86::lib::usercopy::access_ok;
    kunit_assert!(test, !access_ok(usize::MAX, 2));
    kunit_assert!(test, !access_ok(1, usize::MAX));
    kunit_assert!(test, access_ok(TASK_SIZE_MAX, 0));
}

kunit_suite! { "printk": ring_wraps, ring_continues_lines }

static RING_STORAGE: Storage<16, 32> = Storage::new();
static RING: RingBuffer = RING_STORAGE.ring();

fn ring_wraps(test: &mut Kunit) {
    let mut text = [0; LOG_LINE_MAX];
    let start = RING.next_seq();
    for i in 0..100u64 {
        let message = [b'a' + (i % 26) as u8; 70];
        kunit_assert_eq!(test, RING.push(Info::default(), &message, true), Some(start + i));
    }
    kunit_assert_eq!(test, RING.read(start, &mut text), Err(Missing::Lost));
    let first = RING.first_valid_seq();
    kunit_assert!(test, first > start && first < RING.next_seq());
    for seq in first..RING.next_seq() {
        let info = RING.read(seq, &mut text);
        kunit_assert_eq!(test, info.map(|i| i.len), Ok(70));
        kunit_assert!(test, text[..70].iter().all(|&b| b == b'a' + ((seq - start) % 26) as u8));
    }
}

fn ring_continues_lines(test: &mut Kunit) {
    let mut text = [0; LOG_LINE_MAX];
    let seq = RING.push(Info::default(), b"begin", false).unwrap_or(0);
    kunit_assert!(test, RING.extend_last(0, b" end", true));
    kunit_assert_eq!(test, RING.read(seq, &mut text).map(|i| i.len), Ok(9));
    kunit_assert_eq!(test, &text[..9], &b"begin end"[..]);
}

kunit_suite! { "kallsyms": functions_have_names }

fn functions_have_names(test: &mut Kunit) {
    let addr = crate::kernel::panic::panic as *const () as u64;
    let Some((name, offset, size)) = kallsyms::lookup(addr) else {
        test.skip("this image has no symbol table");
        return;
    };
    kunit_assert_eq!(test, (name, offset), ("panic", 0));
    kunit_assert_eq!(test, kallsyms::lookup(addr + size - 1).map(|f| f.1), Some(size - 1));
    kunit_assert_eq!(test, kallsyms::lookup(init::kernel_text().1 as u64), None);
    kunit_assert_eq!(test, kallsyms::lookup_name("no such function"), None);
}

kunit_suite! { "notifier": notify_stop_hides_a_breakpoint }

/// Where the test's own `int3` is, and how often it was hit.
static INT3_AT: AtomicU64 = AtomicU64::new(0);
static INT3_HITS: AtomicU32 = AtomicU32::new(0);

fn on_int3(val: DieVal, args: &mut DieArgs<'_>) -> NotifyResult {
    // RIP is behind the instruction.
    if val == DieVal::Int3 && args.regs.ip.get() == INT3_AT.load(Ordering::Relaxed) + 1 {
        INT3_HITS.fetch_add(1, Ordering::Relaxed);
        return NotifyResult::Stop;
    }
    NotifyResult::Done
}

static ON_INT3: NotifierBlock<DieNotifier> = NotifierBlock::new(on_int3, 0);

fn notify_stop_hides_a_breakpoint(test: &mut Kunit) {
    let hits = INT3_HITS.load(Ordering::Relaxed);
    kunit_assert_eq!(test, register_die_notifier(&ON_INT3), Ok(()));
    // SAFETY: a breakpoint that the block above takes care of.
    unsafe {
        asm!("lea {t}, [rip + 2f]", "mov [{at}], {t}", "2: int3", t = out(reg) _, at = in(reg) INT3_AT.as_ptr());
    }
    let gone = unregister_die_notifier(&ON_INT3);
    kunit_assert_eq!(test, gone, Ok(()));
    kunit_assert_eq!(test, INT3_HITS.load(Ordering::Relaxed), hits + 1);
    kunit_assert!(test, !crate::arch::x86::kernel::irq::in_nmi());
}

kunit_suite! { "page_alloc": pages_are_counted, pages_are_zeroed }

fn pages_are_counted(test: &mut Kunit) {
    let free = nr_free_pages();
    let Ok(p) = Page::alloc() else {
        test.skip("no memory");
        return;
    };
    kunit_assert_eq!(test, (p.ref_count(), nr_free_pages()), (1, free - 1));
    let q = p.clone();
    kunit_assert_eq!(test, (p.ref_count(), q.phys()), (2, p.phys()));
    drop(p);
    kunit_assert_eq!(test, (q.ref_count(), nr_free_pages()), (1, free - 1));
    let raw = q.into_raw();
    // SAFETY: the reference that `into_raw` has just left there.
    drop(unsafe { Page::from_raw(raw) });
    kunit_assert_eq!(test, nr_free_pages(), free);
}

fn pages_are_zeroed(test: &mut Kunit) {
    let Ok(p) = Page::alloc() else {
        test.skip("no memory");
        return;
    };
    p.write(4000, &[0xff; 96]);
    drop(p);
    let Ok(p) = Page::alloc_zeroed() else {
        test.skip("no memory");
        return;
    };
    let mut b = [1; 96];
    p.read(4000, &mut b);
    kunit_assert_eq!(test, b, [0; 96]);
}

kunit_suite! { "mappings": sections_have_their_rights, nothing_is_writable_and_executable, what_the_cpu_has_is_on }

/// SMEP, SMAP, UMIP, NX and write protection, each where the CPU has it.
fn what_the_cpu_has_is_on(test: &mut Kunit) {
    use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags as C};
    use x86_64::registers::model_specific::{Efer, EferFlags};
    let id = raw_cpuid::CpuId::new();
    let has = id.get_extended_feature_info();
    let wanted = [
        (
            has.as_ref().is_some_and(raw_cpuid::ExtendedFeatures::has_smep),
            C::SUPERVISOR_MODE_EXECUTION_PROTECTION,
        ),
        (
            has.as_ref().is_some_and(raw_cpuid::ExtendedFeatures::has_smap),
            C::SUPERVISOR_MODE_ACCESS_PREVENTION,
        ),
        (
            has.as_ref().is_some_and(raw_cpuid::ExtendedFeatures::has_umip),
            C::USER_MODE_INSTRUCTION_PREVENTION,
        ),
    ];
    for (there, bit) in wanted {
        kunit_assert_eq!(test, Cr4::read().contains(bit), there);
    }
    kunit_assert!(test, Cr0::read().contains(Cr0Flags::WRITE_PROTECT));
    let nx = id.get_extended_processor_and_feature_identifiers().is_some_and(|f| f.has_execute_disable());
    kunit_assert_eq!(test, Efer::read().contains(EferFlags::NO_EXECUTE_ENABLE), nx);
}

fn rights(addr: usize) -> Option<(bool, bool)> {
    let (_, f) = lookup_kernel_address(addr)?;
    Some((f.contains(F::WRITABLE), !f.contains(F::NO_EXECUTE)))
}

fn sections_have_their_rights(test: &mut Kunit) {
    static READ_ONLY: [u64; 4] = [1, 2, 3, 4];
    static WRITABLE: AtomicU64 = AtomicU64::new(0);
    let (text, etext) = init::kernel_text();
    kunit_assert_eq!(test, rights(text), Some((false, true)));
    kunit_assert_eq!(test, rights(etext - 1), Some((false, true)));
    kunit_assert_eq!(test, rights(READ_ONLY.as_ptr() as usize), Some((false, false)));
    kunit_assert_eq!(test, rights(WRITABLE.as_ptr() as usize), Some((true, false)));
    let local = 0u8;
    kunit_assert_eq!(test, rights(&raw const local as usize), Some((true, false)));
}

/// Finds a mapping of the kernel's half that is writable and executable, by walking all tables
/// below `table`; `inherited` are the rights that the levels above leave.
fn find_wx(table: u64, level: u32, from: usize, inherited: F) -> Option<u64> {
    for i in from..512 {
        // SAFETY: a page table of the kernel, in the direct map.
        let raw = unsafe {
            core::ptr::with_exposed_provenance::<u64>(init::phys_to_virt(table).addr() + 8 * i)
                .read_volatile()
        };
        let f = F::from_bits_truncate(raw);
        if !f.contains(F::PRESENT) {
            continue;
        }
        // Write needs every level's leave; so does execution.
        let mut here = inherited;
        here.set(F::WRITABLE, inherited.contains(F::WRITABLE) && f.contains(F::WRITABLE));
        here.set(F::NO_EXECUTE, inherited.contains(F::NO_EXECUTE) || f.contains(F::NO_EXECUTE));
        if level == 0 || f.contains(F::HUGE_PAGE) {
            if here.contains(F::WRITABLE) && !here.contains(F::NO_EXECUTE) {
                return Some(raw);
            }
        } else if let Some(bad) = find_wx(raw & 0x000f_ffff_ffff_f000, level - 1, 0, here) {
            return Some(bad);
        }
    }
    None
}

fn nothing_is_writable_and_executable(test: &mut Kunit) {
    kunit_assert_eq!(test, find_wx(init::kernel_pgd(), 3, 256, F::WRITABLE), None);
}
