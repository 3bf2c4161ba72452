// SPDX-License-Identifier: GPL-2.0-only
//! `explain::…`: what `cargo xtask explain` shows is read from the running kernel, and is what the documents
//! say.

use libtest_mimic::{Failed, Trial};
use tests::machine::{kernel, rootfs};
use xtask::explain::idtentry::{Exception, Path};
use xtask::explain::nmi;
use xtask::explain::picture::Stage;
use xtask::explain::walk::{CtxState, Moment, StackKind};

/// The tests.
pub fn trials() -> Vec<Trial> {
    let walk = |e: Exception| Trial::test(format!("explain::idtentry_{}", e.name()), move || one(e));
    let mut trials = vec![Trial::test("explain::nmi", nested_nmi)];
    trials.extend(Exception::ALL.map(walk));
    trials
}

/// Ends the test with an error unless two values are equal.
macro_rules! equal {
    ($what:expr, $found:expr, $wanted:expr) => {{
        let (found, wanted) = (&$found, &$wanted);
        if found != wanted {
            return Err(format!("{}: {found:x?}, not {wanted:x?}", $what).into());
        }
    }};
}

/// The word of a stage's stack that has this name.
fn word(stage: &Stage, name: &str) -> Result<u64, Failed> {
    let found = stage.words.iter().find(|w| w.name == name);
    Ok(found.ok_or_else(|| format!("{} shows no {name}", stage.label))?.value)
}

/// The second NMI changes where the first one's `iret` leads, and nothing that the first has saved.
fn nested_nmi() -> Result<(), Failed> {
    let picture = nmi::picture(&kernel()?, &rootfs()?)?;
    let of = |label: &str| -> Vec<&Stage> { picture.stages.iter().filter(|s| s.label == label).collect() };
    let (first, repeat, iret) = (of("asm_nmi")[0], of("repeat_nmi"), of("nmi_iret"));
    let variable = "NMI executing variable";
    equal!("in the handler", word(of("nested_nmi")[0], variable)?, 1);
    equal!("before both irets", [word(iret[0], variable)?, word(iret[1], variable)?], [0, 0]);
    let leads_to = iret[0].words.iter().find(|w| w.name == "copied RIP").and_then(|w| w.leads_to.clone());
    equal!("the first iret leads to", leads_to.as_deref(), Some("repeat_nmi"));
    equal!("the second one to", word(iret[1], "copied RIP")?, word(first, "original RIP")?);
    for s in repeat.iter().chain(&iret) {
        equal!(&s.label, word(s, "Saved RIP")?, word(first, "original RIP")?);
    }
    if picture.as_html().matches("<h2>").count() != picture.stages.len() {
        return Err("the page lacks stages".into());
    }
    Ok(())
}

/// What follows upon what.
fn runs<T: PartialEq>(moments: &[Moment], of: impl Fn(&Moment) -> T) -> Vec<T> {
    let mut runs: Vec<T> = moments.iter().map(of).collect();
    runs.dedup();
    runs
}

/// Functions by which an exception comes, in order. Those of the way in, then what is its own.
fn expected(e: Exception) -> Vec<&'static str> {
    let sent = ["error_exit", "prepare_exit_to_usermode", "get_signal", "setup_rt_frame", "user_enter"];
    let left =
        ["context_tracking_enter", "swapgs_restore_regs_and_return_to_usermode", "native_irq_return_iret"];
    let entered = ["exception_enter", "context_tracking_exit"];
    let own: &[&str] = match e {
        Exception::DivideError | Exception::InvalidOp => {
            &["notify_die", "do_trap_no_signal", "set_trap", "force_sig_fault"]
        }
        Exception::Overflow | Exception::Int3 => {
            &["notify_die", "do_trap_no_signal", "set_trap", "force_sig"]
        }
        Exception::Debug => &["notify_die", "set_trap", "force_sig_fault"],
        Exception::GeneralProtection => &["set_trap", "force_sig"],
        Exception::PageFault => &["do_user_addr_fault", "bad_area_signal", "set_signal_archinfo"],
        Exception::DeviceNotAvailable => {
            let own = ["error_entry", "do_device_not_available", "exception_enter", "context_tracking_exit"];
            return [&own[..], &["math_emulate", "error_exit"], &left].concat();
        }
        Exception::Uaccess => {
            return vec![
                "error_entry",
                "do_page_fault",
                "exception_enter",
                "do_user_addr_fault",
                "fixup_exception",
                "error_exit",
                "restore_regs_and_return_to_kernel",
            ];
        }
    };
    let first = if matches!(e, Exception::Int3 | Exception::Debug) { "sync_regs" } else { "error_entry" };
    [&[first], &entered[..], own, &sent, &left].concat()
}

/// The walk comes by these, in this order.
fn comes_by(path: &Path, names: &[&str]) -> Result<(), Failed> {
    let mut at = 0;
    for name in names {
        let found = path.moments[at..].iter().position(|m| m.is_in(name));
        at += found.ok_or_else(|| format!("it does not come by {name} behind the {at}th instruction"))?;
    }
    Ok(())
}

fn one(e: Exception) -> Result<(), Failed> {
    let path = Path::walked(&kernel()?, &rootfs()?, e)?;
    comes_by(&path, &[&[&*format!("asm_{}", e.vector())], &*expected(e)].concat())?;
    saved(&path)?;
    states(&path)?;
    let stages = path.stages.len();
    let picture = path.picture();
    if stages < 12 || picture.as_html().matches("<h2>").count() != stages {
        return Err(format!("{stages} stages:\n{}", picture.as_text()).into());
    }
    Ok(())
}

/// `pt_regs` is what the registers were at the instruction.
fn saved(path: &Path) -> Result<(), Failed> {
    let (e, at) = (path.exception, path.moments[0].r);
    let behind = match e {
        Exception::Debug | Exception::Int3 => 1,
        Exception::Overflow => 2,
        _ => 0,
    };
    equal!("SS, RSP", (path.pt_regs[0], path.pt_regs[1]), (at.segments[1].into(), at.rsp()));
    // RF is the CPU's own to set.
    equal!("RFLAGS", path.pt_regs[2] & !0x1_0000, u64::from(at.rflags & !0x1_0000));
    equal!("CS, RIP", (path.pt_regs[3], path.pt_regs[4]), (at.segments[0].into(), at.rip + behind));
    equal!("orig_rax", path.pt_regs[5], u64::MAX);
    // As they are pushed, by the stub's numbers: RDI RSI RDX RCX RAX R8 R9 R10 R11 RBX RBP R12 … R15.
    let order = [5, 4, 3, 2, 0, 8, 9, 10, 11, 1, 6, 12, 13, 14, 15];
    equal!("general registers", &path.pt_regs[6..], &order.map(|i: usize| at.general[i])[..]);
    let error_code = match e {
        Exception::PageFault => 4,
        Exception::Uaccess => 2,
        Exception::GeneralProtection => 0,
        _ => u64::MAX,
    };
    equal!("the error code", path.error_code, error_code);
    Ok(())
}

/// Where context tracking, GS and the stack change, and where interrupts are off.
fn states(path: &Path) -> Result<(), Failed> {
    use CtxState::{Kernel, User};
    let (e, m) = (path.exception, &path.moments);
    let (ctx, gs) = if e.from_user() {
        (vec![User, Kernel, User], vec![false, true, false])
    } else {
        (vec![Kernel], vec![true])
    };
    equal!("ctx_state", runs(m, |m| m.ctx), ctx);
    equal!("GS is the kernel's", runs(m, |m| m.kernel_gs), gs);
    let stacks = match e {
        Exception::Debug => vec![StackKind::User, StackKind::Ist(2), StackKind::Thread, StackKind::User],
        Exception::Int3 => vec![StackKind::User, StackKind::Ist(4), StackKind::Thread, StackKind::User],
        Exception::Uaccess => vec![StackKind::Thread],
        _ => vec![StackKind::User, StackKind::Thread, StackKind::User],
    };
    equal!("stacks", runs(m, |m| m.stack), stacks);
    for pair in m.windows(2).filter(|p| p[0].ctx != p[1].ctx) {
        let function = if pair[1].ctx == Kernel { "context_tracking_exit" } else { "context_tracking_enter" };
        if !pair[0].is_in(function) {
            return Err(format!("ctx_state changes in {:?}", pair[0].functions).into());
        }
    }
    // The first and the last instruction of the kernel's.
    equal!("interrupts", [1, m.len() - 2].map(|i| m[i].r.rflags & 0x200), [0, 0]);
    Ok(())
}
