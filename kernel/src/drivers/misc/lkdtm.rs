// SPDX-License-Identifier: GPL-2.0-only
//! Provoking the kernel: writing a name to `provoke-crash/DIRECT` in debugfs makes it do
//! what the name says, to see what becomes of it (Linux 6.1, `drivers/misc/lkdtm/`). The
//! task that writes dies, the machine goes on (or panics, with `panic_on_oops`).
//!
//! The functions have the names that Linux gives them, for they stand in the oopses, which are
//! compared with Linux's (`tests/recorded/oopses.txt`).
#![allow(non_snake_case, reason = "Linux's names, as oopses show them")]

use crate::errno::{EINVAL, Result};
use crate::fs::debugfs::DebugFile;
use crate::fs::seq_file::SeqFile;
use crate::kernel::task::current;
use crate::mm::page_alloc::PAGE_SIZE;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

/// `/sys/kernel/debug/provoke-crash/DIRECT`.
pub static DIRECT: DebugFile =
    DebugFile { dir: "provoke-crash", name: "DIRECT", mode: 0o644, show, store: Some(direct_entry) };

/// A name, and what it does.
struct CrashType {
    name: &'static str,
    func: fn(),
}

macro_rules! crash_types {
    ($($name:ident => $func:ident;)*) => {
        static CRASH_TYPES: &[CrashType] = &[$(CrashType { name: stringify!($name), func: $func }),*];
    };
}

crash_types! {
    PANIC => lkdtm_PANIC;
    BUG => lkdtm_BUG;
    WARNING => lkdtm_WARNING;
    WARNING_MESSAGE => lkdtm_WARNING_MESSAGE;
    EXCEPTION => lkdtm_EXCEPTION;
    EXHAUST_STACK => lkdtm_EXHAUST_STACK;
    UNALIGNED_LOAD_STORE_WRITE => lkdtm_UNALIGNED_LOAD_STORE_WRITE;
    EXEC_DATA => lkdtm_EXEC_DATA;
    EXEC_STACK => lkdtm_EXEC_STACK;
    EXEC_KMALLOC => lkdtm_EXEC_KMALLOC;
    EXEC_VMALLOC => lkdtm_EXEC_VMALLOC;
    EXEC_RODATA => lkdtm_EXEC_RODATA;
    EXEC_USERSPACE => lkdtm_EXEC_USERSPACE;
    EXEC_NULL => lkdtm_EXEC_NULL;
    ACCESS_USERSPACE => lkdtm_ACCESS_USERSPACE;
    ACCESS_NULL => lkdtm_ACCESS_NULL;
    WRITE_RO => lkdtm_WRITE_RO;
    WRITE_KERN => lkdtm_WRITE_KERN;
    WRITE_OPD => lkdtm_WRITE_OPD;
    STACK_GUARD_PAGE_LEADING => lkdtm_STACK_GUARD_PAGE_LEADING;
    STACK_GUARD_PAGE_TRAILING => lkdtm_STACK_GUARD_PAGE_TRAILING;
    DOUBLE_FAULT => lkdtm_DOUBLE_FAULT;
    CORRUPT_PAC => lkdtm_CORRUPT_PAC;
    SOFTLOCKUP => lkdtm_SOFTLOCKUP;
    HARDLOCKUP => lkdtm_HARDLOCKUP;
}

fn show(o: &mut SeqFile) {
    o.put(b"Available crash types:\n");
    for t in CRASH_TYPES {
        writeln!(o, "{}", t.name);
    }
}

/// A name was written (`direct_entry`).
#[inline(never)]
fn direct_entry(text: &[u8]) -> Result {
    let name = text.trim_ascii();
    let t = CRASH_TYPES.iter().find(|t| t.name.as_bytes() == name).ok_or(EINVAL)?;
    crate::pr_info!("lkdtm: Performing direct entry {}\n", t.name);
    (t.func)();
    Ok(())
}

fn survived(what: &str) {
    crate::pr_err!("lkdtm: FAIL: survived {what}\n");
}

#[inline(never)]
fn lkdtm_PANIC() {
    crate::kernel::panic::panic(format_args!("dumptest"));
}

#[inline(never)]
fn lkdtm_BUG() {
    crate::bug!();
}

/// How often it has warned.
static WARNINGS: AtomicU32 = AtomicU32::new(0);

#[inline(never)]
fn lkdtm_WARNING() {
    crate::warn_on!(WARNINGS.fetch_add(1, Ordering::Relaxed) != u32::MAX);
}

#[inline(never)]
fn lkdtm_WARNING_MESSAGE() {
    let count = WARNINGS.fetch_add(1, Ordering::Relaxed) + 1;
    crate::warn_on!(black_box(true), "Warning message trigger count: {count}");
}

/// Reads a word without the compiler's opinion of the address.
fn load(addr: usize) -> u64 {
    let v: u64;
    // SAFETY: to fault is the purpose; the task dies of it.
    unsafe { core::arch::asm!("mov {}, [{}]", out(reg) v, in(reg) addr, options(nostack, readonly)) };
    v
}

/// Writes a word in the same way.
fn store(addr: usize, v: u64) {
    // SAFETY: as in `load`.
    unsafe { core::arch::asm!("mov [{}], {}", in(reg) addr, in(reg) v, options(nostack)) };
}

#[inline(never)]
fn lkdtm_EXCEPTION() {
    store(0, 0);
}

/// Calls itself until there is no stack left.
#[inline(never)]
fn recursive_loop(depth: u64) -> u64 {
    let frame = black_box([depth; 128]);
    if depth == 0 { frame[0] } else { recursive_loop(depth - 1) + frame[black_box(7)] }
}

#[inline(never)]
fn lkdtm_EXHAUST_STACK() {
    crate::pr_info!("lkdtm: Calling function with 1024 frame size to depth 32 ...\n");
    black_box(recursive_loop(32));
    survived("stack exhaustion");
}

#[inline(never)]
fn lkdtm_UNALIGNED_LOAD_STORE_WRITE() {
    let data = [1u8, 2, 3, 4, 5, 6, 7, 8, 9];
    let at = black_box(data.as_ptr() as usize + 1);
    store(at, load(at));
    // The processor does not mind, as on every x86.
    crate::pr_err!("lkdtm: XFAIL: arch has CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS\n");
}

/// What is executed where it must not be.
#[inline(never)]
extern "C" fn do_nothing() {}

/// Calls `do_nothing`, then what is at `addr`.
#[inline(always)]
fn execute(addr: usize) {
    crate::pr_info!("lkdtm: attempting ok execution at {:016x}\n", do_nothing as *const () as usize);
    do_nothing();
    crate::pr_info!("lkdtm: attempting bad execution at {addr:016x}\n");
    // SAFETY: as in `load`.
    unsafe { core::arch::asm!("call {}", in(reg) addr, clobber_abi("C")) };
    crate::pr_err!("lkdtm: FAIL: func returned\n");
}

/// Calls what is at `addr` in the kernel's memory.
#[inline(never)]
fn execute_location(addr: usize) {
    execute(addr);
}

/// Likewise, with what is at `addr` in user memory. Alike as they are, the compiler may make the two one, of
/// which traces then tell; not across sections.
#[inline(never)]
#[unsafe(link_section = ".text.execute_user_location")]
fn execute_user_location(addr: usize) {
    execute(addr);
}

/// `ret`, as data of several kinds.
const RET: u8 = 0xc3;
static DATA_AREA: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(RET as u64);
static RODATA: [u8; 16] = [RET; 16];

#[inline(never)]
fn lkdtm_EXEC_DATA() {
    execute_location(DATA_AREA.as_ptr() as usize);
}

#[inline(never)]
fn lkdtm_EXEC_STACK() {
    let code = black_box([RET; 16]);
    execute_location(code.as_ptr() as usize);
}

#[inline(never)]
fn lkdtm_EXEC_KMALLOC() {
    let code = alloc::boxed::Box::new([RET; 64]);
    execute_location(black_box(code.as_ptr()) as usize);
}

#[inline(never)]
fn lkdtm_EXEC_VMALLOC() {
    let Ok(at) = crate::mm::vmalloc::vmalloc(PAGE_SIZE) else { return };
    store(at, u64::from(RET));
    execute_location(at);
}

#[inline(never)]
fn lkdtm_EXEC_RODATA() {
    execute_location(RODATA.as_ptr() as usize);
}

/// A page of the task's own memory, with a word in it.
fn user_page(prot: u32) -> Option<usize> {
    use linux_raw_sys::general::{MAP_ANONYMOUS, MAP_PRIVATE};
    let at = crate::mm::mmap::sys_mmap(0, PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).ok()?;
    crate::arch::x86::lib::usercopy::put_user(at, &u64::from(RET)).ok()?;
    Some(at)
}

#[inline(never)]
fn lkdtm_EXEC_USERSPACE() {
    match user_page(7) {
        Some(at) => execute_user_location(at),
        None => crate::pr_warn!("lkdtm: Failed to allocate user memory\n"),
    }
}

#[inline(never)]
fn lkdtm_EXEC_NULL() {
    execute_location(0);
}

#[inline(never)]
fn lkdtm_ACCESS_USERSPACE() {
    let Some(at) = user_page(7) else {
        crate::pr_warn!("lkdtm: Failed to allocate user memory\n");
        return;
    };
    crate::pr_info!("lkdtm: attempting bad read at {at:016x}\n");
    black_box(load(at));
    survived("bad read");
    crate::pr_info!("lkdtm: attempting bad write at {at:016x}\n");
    store(at, 1);
    survived("bad write");
}

#[inline(never)]
fn lkdtm_ACCESS_NULL() {
    crate::pr_info!("lkdtm: attempting bad read at {:016x}\n", 0);
    black_box(load(0));
    survived("bad read");
}

#[inline(never)]
fn lkdtm_WRITE_RO() {
    let at = RODATA.as_ptr() as usize;
    crate::pr_info!("lkdtm: attempting bad rodata write at {at:016x}\n");
    store(at, 0x1234_5678);
    survived("bad write");
}

#[inline(never)]
fn lkdtm_WRITE_KERN() {
    let at = do_nothing as *const () as usize;
    crate::pr_info!("lkdtm: attempting bad 8 byte write at {at:016x}\n");
    store(at, 0);
    survived("bad write");
}

#[inline(never)]
fn lkdtm_WRITE_OPD() {
    crate::pr_info!("lkdtm: XFAIL: Platform doesn't use function descriptors.\n");
}

#[inline(never)]
fn lkdtm_STACK_GUARD_PAGE_LEADING() {
    crate::pr_info!("lkdtm: attempting bad read from page below current stack\n");
    black_box(load(current().stack.bottom() - 1));
    crate::pr_err!("lkdtm: FAIL: accessed page before stack!\n");
}

#[inline(never)]
fn lkdtm_STACK_GUARD_PAGE_TRAILING() {
    crate::pr_info!("lkdtm: attempting bad read from page above current stack\n");
    black_box(load(current().stack.top()));
    crate::pr_err!("lkdtm: FAIL: accessed page after stack!\n");
}

#[inline(never)]
fn lkdtm_DOUBLE_FAULT() {
    crate::pr_err!("lkdtm: XFAIL: this test is ia32-only\n");
}

#[inline(never)]
fn lkdtm_CORRUPT_PAC() {
    crate::pr_err!("lkdtm: XFAIL: this test is arm64-only\n");
}

/// Lets nobody else run, ever.
#[inline(never)]
fn lkdtm_SOFTLOCKUP() {
    loop {
        core::hint::spin_loop();
    }
}

/// Nor takes an interrupt.
#[inline(never)]
fn lkdtm_HARDLOCKUP() {
    crate::locking::local_irq_disable();
    loop {
        core::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(direct_entry(b"NO_SUCH_THING\n"), Err(EINVAL));
        assert_eq!(direct_entry(b""), Err(EINVAL));
        let mut o = SeqFile::new();
        show(&mut o);
        let text = alloc::string::String::from_utf8(o.finish().unwrap()).unwrap();
        assert!(text.starts_with("Available crash types:\nPANIC\n") && text.contains("\nEXEC_NULL\n"));
    }
}
