// SPDX-License-Identifier: GPL-2.0-only
//! The boot order, top to bottom (Linux 6.1, `init/main.c`).
//!
//! Both doors (`arch/x86/boot/pvh.rs`, and the `bootloader` crate) end in
//! [`start_kernel`] with a `BootInfo`; it ends as the idle task, after starting
//! [`kernel_init`], which becomes pid 1.

use crate::arch::x86::kernel::setup;
use crate::fs;
use crate::kernel::{fork, kunit, panic, printk, sched};
use crate::lib::cmdline;
use crate::locking::{IrqLock, local_irq_enable};
use alloc::vec::Vec;
use bootloader_api::BootInfo;

/// Longest command line (`COMMAND_LINE_SIZE`).
pub const COMMAND_LINE_SIZE: usize = 2048;

/// Ends an initramfs that carries a command line: `#CMDLINE\n`, the text, `\n`, the
/// text's length as a little-endian `u32`, and this. `cargo xtask image` writes it, as
/// the `bootloader` crate has no command line of its own.
const CMDLINE_TRAILER: &[u8; 8] = b"TRAPCMD1";

static BOOT_COMMAND_LINE: IrqLock<([u8; COMMAND_LINE_SIZE], usize)> =
    IrqLock::new(([0; COMMAND_LINE_SIZE], 0));

/// Records the command line; what is too long is cut.
pub fn set_boot_command_line(line: &[u8]) {
    let mut b = BOOT_COMMAND_LINE.lock();
    let n = line.len().min(COMMAND_LINE_SIZE - 1);
    b.0[..n].copy_from_slice(&line[..n]);
    b.1 = n;
}

/// The command line, as `/proc/cmdline` shows it (without the newline).
pub fn saved_command_line() -> Vec<u8> {
    let b = BOOT_COMMAND_LINE.lock();
    b.0[..b.1].to_vec()
}

/// Splits a trailing command line off an initramfs: (archive, command line).
fn split_cmdline_trailer(image: &[u8]) -> (&[u8], Option<&[u8]>) {
    let split = || {
        let body = image.strip_suffix(CMDLINE_TRAILER)?;
        let (body, len) = body.split_last_chunk::<4>()?;
        let body = body.strip_suffix(b"\n")?;
        let at = body.len().checked_sub(u32::from_le_bytes(*len) as usize)?;
        let (archive, text) = body.split_at(at);
        Some((archive.strip_suffix(b"#CMDLINE\n")?, text))
    };
    split().map_or((image, None), |(a, c)| (a, Some(c)))
}

/// Where both doors lead. The boot loader's stack is not ours to keep, so the first
/// thing is to leave it.
#[cfg(target_os = "none")]
pub fn start_kernel(info: &'static mut BootInfo) -> ! {
    extern "C" fn on_boot_stack(info: &'static mut BootInfo) -> ! {
        boot(info)
    }
    // Above it there is room for registers of user mode, as on every task's stack.
    let top = crate::arch::x86::boot::pvh::BOOT_STACK.top()
        - size_of::<crate::arch::x86::ptrace::PtRegs>().next_multiple_of(16);
    // SAFETY: nothing on the loader's stack is needed again; `info` is static.
    unsafe {
        core::arch::asm!("mov rsp, {}", "xor ebp, ebp", "call {}", "ud2", in(reg) top, sym on_boot_stack, in("rdi") info, options(noreturn));
    }
}

/// What runs once, in order.
#[cfg(target_os = "none")]
fn boot(info: &mut BootInfo) -> ! {
    let rsdp = info.rsdp_addr.into_option();
    // SAFETY: first thing at boot, on the boot stack, interrupts off.
    unsafe { setup::setup_arch(info) };
    let idle =
        fork::init_task(crate::arch::x86::boot::pvh::BOOT_STACK.top()).expect("memory for the boot task");
    sched::set_boot_task(&idle);
    sched::init_idle(idle);

    let (archive, trailer) = split_cmdline_trailer(setup::initrd());
    if let Some(line) = trailer {
        set_boot_command_line(line);
    }
    cmdline::parse(&saved_command_line());
    fs::exec::init();
    printk::setup_log_buf();
    crate::pr_notice!(
        "Linux version {} (Trapline) {}\n",
        crate::kernel::sys::UTS_RELEASE,
        crate::kernel::sys::UTS_VERSION
    );
    crate::pr_info!("Command line: {}\n", alloc::string::String::from_utf8_lossy(&saved_command_line()));
    cmdline::print_unknown_bootoptions();
    crate::arch::x86::kernel::fpu::xstate::fpu_init_system();
    crate::arch::x86::kernel::mce::mcheck_cpu_init();
    crate::arch::x86::kernel::hw_breakpoint::init_hw_breakpoint();
    crate::arch::x86::kernel::hw_nmi::register_nmi_cpu_backtrace_handler();
    if crate::arch::x86::kernel::nmi_selftest::enabled() || kunit::enabled() {
        // Every exception asks those who are registered: tests are only where there are tests.
        crate::arch::x86::kernel::nmi_selftest::init();
        crate::arch::x86::kernel::nmi_entries::init();
    }
    crate::arch::x86::entry::vsyscall_64::map_vsyscall();
    crate::arch::x86::entry::vdso::vma::init_vdso();
    crate::arch::x86::kernel::alternative::int3_selftest();
    crate::kernel::kprobes::init_kprobes();
    if crate::kernel::context_tracking::context_tracking_is_enabled() {
        crate::pr_info!("context_tracking: tracking user and kernel mode\n");
    }
    crate::drivers::tty::serial::init();
    cmdline::check_too_many();
    setup::time_init(rsdp, cmdline::number("tsc_early_khz"));
    crate::pr_info!(
        "Memory: {}K/{}K available\n",
        crate::mm::page_alloc::nr_free_pages() * 4,
        crate::mm::page_alloc::totalram_pages() * 4
    );
    crate::kernel::watchdog::lockup_detector_init();
    crate::kernel::sched::loadavg::init();
    local_irq_enable();
    crate::drivers::tty::serial::start();
    fs::initramfs::populate_rootfs(archive);
    // SAFETY: the archive is unpacked; nothing refers to it any more.
    unsafe { setup::free_initrd() };
    fork::user_mode_thread(kernel_init).expect("memory for the first process");
    cpu_idle()
}

/// The idle task: sleeps until an interrupt makes somebody runnable (`do_idle`).
#[cfg(target_os = "none")]
#[unsafe(link_section = ".cpuidle.text")]
fn cpu_idle() -> ! {
    loop {
        sched::schedule();
        printk::flush_pending();
        crate::locking::local_irq_disable();
        if sched::nr_running() == 0 {
            crate::arch::x86::kernel::nmi::local_touch_nmi();
            // `sti` takes effect after the next instruction: no wake-up is missed.
            x86_64::instructions::interrupts::enable_and_hlt();
        } else {
            local_irq_enable();
        }
    }
}

/// The first process: in-kernel tests if asked for, then `/init`.
extern "C" fn kernel_init(_: u64) {
    crate::mm::oom_kill::enable();
    kunit::run_if_enabled();
    console_on_rootfs();
    let argv = cmdline::init_args();
    let envp = cmdline::init_env();
    // Linux's rule: /init of the initramfs (or rdinit=), which is not run if it is not
    // there; then init=, which must work; then the usual places.
    let rdinit = cmdline::value("rdinit").unwrap_or_else(|| b"/init".to_vec());
    if fs::namei::exists(&rdinit) {
        match run_init_process(&rdinit, &argv, &envp) {
            Ok(()) => return,
            Err(e) => crate::pr_err!("Failed to execute {} (error -{})\n", lossy(&rdinit), e.0),
        }
    } else {
        prepare_namespace();
    }
    if let Some(init) = cmdline::value("init") {
        match run_init_process(&init, &argv, &envp) {
            Ok(()) => return,
            Err(e) => {
                panic::panic(format_args!("Requested init {} failed (error -{}).", lossy(&init), e.0));
            }
        }
    }
    for path in ["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"] {
        match run_init_process(path.as_bytes(), &argv, &envp) {
            Ok(()) => return,
            Err(crate::errno::ENOENT) => {}
            Err(e) => {
                crate::pr_err!("Starting init: {path} exists but couldn't execute it (error -{})\n", e.0);
            }
        }
    }
    panic::panic(format_args!(
        "No working init found.  Try passing init= option to kernel. \
         See Linux Documentation/admin-guide/init.rst for guidance."
    ));
}

/// Without an initramfs's `/init` Linux looks for a root device; there are no block
/// devices here (Linux 6.1, `init/do_mounts.c`, `mount_block_root`).
fn prepare_namespace() -> ! {
    let root = cmdline::value("root");
    let name = root.as_deref().map_or("(null)".into(), lossy);
    crate::pr_err!("/dev/root: Can't open blockdev\n");
    // Neither has a level of its own in Linux.
    crate::printk!(
        printk::KERN_DEFAULT,
        "VFS: Cannot open root device \"{name}\" or unknown-block(0,0): error -6\n"
    );
    crate::printk!(
        printk::KERN_DEFAULT,
        "Please append a correct \"root=\" boot option; here are the available partitions:\n"
    );
    panic::panic(format_args!("VFS: Unable to mount root fs on unknown-block(0,0)"));
}

/// Descriptors 0, 1 and 2 of the first process: the console (`console_on_rootfs`).
fn console_on_rootfs() {
    match fs::open::filp_open(b"/dev/console", linux_raw_sys::general::O_RDWR) {
        Ok(f) => {
            for _ in 0..3 {
                let _ = fs::file::fd_install(f.clone(), 0);
            }
        }
        Err(_) => crate::pr_err!("Warning: unable to open an initial console.\n"),
    }
}

fn lossy(b: &[u8]) -> alloc::borrow::Cow<'_, str> {
    alloc::string::String::from_utf8_lossy(b)
}

/// Turns the current task into the program at `path`.
fn run_init_process(path: &[u8], argv: &[Vec<u8>], envp: &[Vec<u8>]) -> crate::errno::Result {
    crate::pr_info!("Run {} as init process\n", lossy(path));
    let mut args = Vec::from([path.to_vec()]);
    args.extend_from_slice(argv);
    crate::pr_debug!("  with arguments:\n");
    for a in &args {
        crate::pr_debug!("    {}\n", lossy(a));
    }
    crate::pr_debug!("  with environment:\n");
    for e in envp {
        crate::pr_debug!("    {}\n", lossy(e));
    }
    fs::exec::kernel_execve(path, &args, envp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailer_is_split_off() {
        let mut image = b"070701 archive".to_vec();
        image.extend(b"#CMDLINE\nquiet init=/x\n");
        image.extend(13u32.to_le_bytes());
        image.extend(CMDLINE_TRAILER);
        assert_eq!(split_cmdline_trailer(&image), (&b"070701 archive"[..], Some(&b"quiet init=/x"[..])));
    }

    #[test]
    fn without_a_whole_trailer_the_archive_is_untouched() {
        for image in [&b""[..], b"TRAPCMD1", b"\xff\xff\xff\xffTRAPCMD1", b"x\n\x01\0\0\0TRAPCMD1"] {
            assert_eq!(split_cmdline_trailer(image), (image, None));
        }
    }
}
