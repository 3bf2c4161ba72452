// SPDX-License-Identifier: GPL-2.0-only
//! Provoking the kernel: writing a name to `provoke-crash/DIRECT` in debugfs makes it do
//! what the name says, to see what becomes of it (Linux 6.1, `drivers/misc/lkdtm/`). The
//! task that writes dies, the machine goes on (or panics, with `panic_on_oops`).

use crate::errno::{EINVAL, Result};
use crate::fs::debugfs::DebugFile;
use crate::fs::seq_file::SeqFile;
use crate::mm::page_alloc::PAGE_SIZE;
use core::hint::black_box;

/// `/sys/kernel/debug/provoke-crash/DIRECT`.
pub static DIRECT: DebugFile =
    DebugFile { dir: "provoke-crash", name: "DIRECT", mode: 0o644, show, store: Some(direct_entry) };

/// A name, and what it does.
struct CrashType {
    name: &'static str,
    func: fn(),
}

macro_rules! crash_types {
    ($($name:ident => $func:path;)*) => {
        static CRASH_TYPES: &[CrashType] = &[$(CrashType { name: stringify!($name), func: $func }),*];
    };
}

crash_types! {
    PANIC => panic;
    BUG => bug;
    WARNING => warning;
    WARNING_MESSAGE => warning_message;
    EXCEPTION => exception;
    EXHAUST_STACK => exhaust_stack;
    UNALIGNED_LOAD_STORE_WRITE => unaligned_load_store_write;
    EXEC_DATA => exec_data;
    EXEC_STACK => exec_stack;
    EXEC_KMALLOC => exec_kmalloc;
    EXEC_RODATA => exec_rodata;
    EXEC_USERSPACE => exec_userspace;
    EXEC_NULL => exec_null;
    ACCESS_USERSPACE => access_userspace;
    ACCESS_NULL => access_null;
    WRITE_RO => write_ro;
    WRITE_KERN => write_kern;
    SOFTLOCKUP => softlockup;
    HARDLOCKUP => hardlockup;
}

fn show(o: &mut SeqFile) {
    o.put(b"Available crash types:\n");
    for t in CRASH_TYPES {
        writeln!(o, "{}", t.name);
    }
}

/// A name was written (`direct_entry`).
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

fn panic() {
    crate::kernel::panic::panic(format_args!("dumptest"));
}

fn bug() {
    crate::bug!();
}

fn warning() {
    crate::warn_on!(black_box(true));
}

fn warning_message() {
    crate::warn_on!(black_box(true), "Warning message trigger count: {}\n", 1);
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

fn exception() {
    store(0, 0);
}

/// Calls itself until there is no stack left.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 128]);
    if depth == 0 { frame[0] } else { recurse(depth - 1) + frame[black_box(7)] }
}

fn exhaust_stack() {
    crate::pr_info!("lkdtm: Calling function with 1024 frame size to depth 64 ...\n");
    black_box(recurse(64));
    survived("stack exhaustion");
}

fn unaligned_load_store_write() {
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
fn execute_location(addr: usize) {
    crate::pr_info!("lkdtm: attempting ok execution at {:x}\n", do_nothing as *const () as usize);
    do_nothing();
    crate::pr_info!("lkdtm: attempting bad execution at {addr:x}\n");
    // SAFETY: as in `load`.
    unsafe { core::arch::asm!("call {}", in(reg) addr, clobber_abi("C")) };
    survived("bad execution");
}

/// `ret`, as data of several kinds.
const RET: u8 = 0xc3;
static DATA_AREA: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(RET as u64);
static RODATA: [u8; 16] = [RET; 16];

fn exec_data() {
    execute_location(DATA_AREA.as_ptr() as usize);
}

fn exec_stack() {
    let code = black_box([RET; 16]);
    execute_location(code.as_ptr() as usize);
}

fn exec_kmalloc() {
    let code = alloc::boxed::Box::new([RET; 64]);
    execute_location(black_box(code.as_ptr()) as usize);
}

fn exec_rodata() {
    execute_location(RODATA.as_ptr() as usize);
}

/// A page of the task's own memory, with a word in it.
fn user_page(prot: u32) -> Option<usize> {
    use linux_raw_sys::general::{MAP_ANONYMOUS, MAP_PRIVATE};
    let at = crate::mm::mmap::sys_mmap(0, PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).ok()?;
    crate::arch::x86::lib::usercopy::put_user(at, &u64::from(RET)).ok()?;
    Some(at)
}

fn exec_userspace() {
    match user_page(7) {
        Some(at) => execute_location(at),
        None => crate::pr_warn!("lkdtm: Failed to allocate user memory\n"),
    }
}

fn exec_null() {
    execute_location(0);
}

fn access_userspace() {
    let Some(at) = user_page(3) else {
        crate::pr_warn!("lkdtm: Failed to allocate user memory\n");
        return;
    };
    crate::pr_info!("lkdtm: attempting bad read at {at:x}\n");
    black_box(load(at));
    survived("bad read");
    crate::pr_info!("lkdtm: attempting bad write at {at:x}\n");
    store(at, 1);
    survived("bad write");
}

fn access_null() {
    crate::pr_info!("lkdtm: attempting bad read at {:016x}\n", 0);
    black_box(load(0));
    survived("bad read");
}

fn write_ro() {
    let at = RODATA.as_ptr() as usize;
    crate::pr_info!("lkdtm: attempting bad rodata write at {at:x}\n");
    store(at, 0x1234_5678);
    survived("bad write");
}

fn write_kern() {
    let at = do_nothing as *const () as usize;
    crate::pr_info!("lkdtm: attempting bad 8 byte write at {at:x}\n");
    store(at, 0);
    survived("bad write");
}

/// Lets nobody else run, ever.
fn softlockup() {
    loop {
        core::hint::spin_loop();
    }
}

/// Nor takes an interrupt.
fn hardlockup() {
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
