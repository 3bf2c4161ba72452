// SPDX-License-Identifier: GPL-2.0-only
//! Kprobes: functions that are called when the kernel comes to an instruction of its own
//! (Linux 6.1, `kernel/kprobes.c`).
//!
//! [`register_kprobe`] replaces the instruction's first byte by a breakpoint. Whoever comes
//! there calls the probe's `pre_handler`, executes a copy of the instruction, calls the
//! `post_handler`, and goes on behind the original. How, is the architecture's
//! ([`arch::x86::kernel::kprobes`](crate::arch::x86::kernel::kprobes)).
//!
//! A hit may come in any context, so it walks lists without a lock. Changes are made in process
//! context under [`KPROBE_MUTEX`]. A hit is dealt with from breakpoint to step with interrupts
//! off and without sleeping: on one CPU, process context running means that none is being
//! dealt with, and what was taken off the lists can be freed.

#[cfg(target_os = "none")]
#[path = "kprobes_kunit.rs"]
mod kprobes_kunit;

use crate::arch::x86::kernel::kprobes::{
    InsnSlot, arch_arm_kprobe, arch_disarm_kprobe, arch_init_kprobes, arch_prepare_kprobe, blacklist,
};
use crate::arch::x86::mm::init::kernel_text_address;
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EINVAL, ENOENT, ENOMEM, Result};
use crate::fs::debugfs::DebugFile;
use crate::fs::seq_file::SeqFile;
use crate::kernel::kallsyms;
use crate::locking::SpinLock;
use crate::mm::maccess::copy_from_kernel_nofault;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// What a probe does when it is hit. Both run with interrupts off, on an exception's stack,
/// and as if in an NMI: they take no lock.
pub trait KprobeHandler: Send + Sync {
    /// Before the instruction; `regs` are at it. Returning true says that the handler has set
    /// where to go on: the instruction is not executed, and nobody else is called.
    fn pre_handler(&self, _p: &Kprobe, _regs: &PtRegs) -> bool {
        false
    }
    /// Behind the instruction.
    fn post_handler(&self, _p: &Kprobe, _regs: &PtRegs) {}
}

/// Where a probe is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// So many bytes behind the beginning of a function.
    Symbol(&'a str, u64),
    /// At an address.
    Address(u64),
}

/// A probe (`struct kprobe`).
pub struct Kprobe {
    /// The instruction's address.
    pub addr: u64,
    handler: Box<dyn KprobeHandler>,
    /// Hits that its handler has not seen: they came while another was dealt with.
    pub nmissed: AtomicU64,
    disabled: AtomicBool,
}

impl Kprobe {
    /// Whether it is registered, but does not want to be called.
    pub fn disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }
}

/// A probe in its point's list.
struct Node {
    probe: Arc<Kprobe>,
    next: AtomicPtr<Node>,
}

/// An instruction that is probed, by one or more.
pub struct ProbePoint {
    /// Its address.
    pub addr: u64,
    /// The byte that the breakpoint replaces.
    opcode: u8,
    /// The copy.
    pub slot: InsnSlot,
    /// The breakpoint is there.
    armed: AtomicBool,
    probes: AtomicPtr<Node>,
    next: AtomicPtr<ProbePoint>,
}

const KPROBE_TABLE_SIZE: usize = 64;

/// All points, by address.
static KPROBE_TABLE: [AtomicPtr<ProbePoint>; KPROBE_TABLE_SIZE] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; KPROBE_TABLE_SIZE];

/// Held while probes come and go; no breakpoint is armed while it is set.
static KPROBE_MUTEX: SpinLock<AllDisarmed> = SpinLock::new(AllDisarmed(false));
/// Whether `kprobes/enabled` says 0.
struct AllDisarmed(bool);

#[inline(always)]
fn bucket(addr: u64) -> &'static AtomicPtr<ProbePoint> {
    &KPROBE_TABLE[(addr ^ addr >> 6) as usize % KPROBE_TABLE_SIZE]
}

#[inline(always)]
fn deref<T>(link: &AtomicPtr<T>) -> Option<&'static T> {
    // SAFETY: links are null or made by `Box::into_raw`, and freed when no walk can stand there.
    unsafe { link.load(Ordering::Acquire).as_ref() }
}

/// The probed instruction at `addr`.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
pub fn get_kprobe(addr: u64) -> Option<&'static ProbePoint> {
    let mut link = bucket(addr);
    while let Some(p) = deref(link) {
        if p.addr == addr {
            return Some(p);
        }
        link = &p.next;
    }
    None
}

impl ProbePoint {
    /// Tells the probes, until one goes elsewhere; returns whether one did
    /// (`aggr_pre_handler`).
    #[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
    pub fn call_pre_handlers(&self, regs: &PtRegs, addr: u64) -> bool {
        regs.ip.set(addr);
        let mut link = &self.probes;
        while let Some(n) = deref(link) {
            if !n.probe.disabled() && n.probe.handler.pre_handler(&n.probe, regs) {
                return true;
            }
            link = &n.next;
        }
        false
    }

    /// Tells the probes that the instruction was executed (`aggr_post_handler`).
    #[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
    pub fn call_post_handlers(&self, regs: &PtRegs) {
        let mut link = &self.probes;
        while let Some(n) = deref(link) {
            if !n.probe.disabled() {
                n.probe.handler.post_handler(&n.probe, regs);
            }
            link = &n.next;
        }
    }

    /// Counts a hit that nobody is told of (`kprobes_inc_nmissed_count`).
    #[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
    pub fn count_missed(&self) {
        let mut link = &self.probes;
        while let Some(n) = deref(link) {
            n.probe.nmissed.fetch_add(1, Ordering::Relaxed);
            link = &n.next;
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &'static Node> {
        core::iter::successors(deref(&self.probes), |n| deref(&n.next))
    }

    /// Puts the breakpoint there, or takes it away, as the probes want it.
    fn update(&self, all_disarmed: bool) -> Result {
        let wanted = !all_disarmed && self.nodes().any(|n| !n.probe.disabled());
        if wanted == self.armed.load(Ordering::Relaxed) {
            return Ok(());
        }
        if wanted {
            arch_arm_kprobe(self.addr)?;
        } else {
            arch_disarm_kprobe(self.addr, self.opcode)?;
        }
        self.armed.store(wanted, Ordering::Relaxed);
        Ok(())
    }
}

/// All points.
fn points() -> impl Iterator<Item = &'static ProbePoint> {
    KPROBE_TABLE.iter().flat_map(|b| core::iter::successors(deref(b), |p| deref(&p.next)))
}

/// Where a probe would be (`kprobe_addr`).
fn kprobe_addr(place: Place<'_>) -> Result<u64> {
    let addr = match place {
        Place::Address(a) => a,
        Place::Symbol(name, offset) => {
            kallsyms::lookup_name(name).ok_or(ENOENT)?.checked_add(offset).ok_or(EINVAL)?
        }
    };
    if kernel_text_address(addr as usize) && !within_kprobe_blacklist(addr) { Ok(addr) } else { Err(EINVAL) }
}

/// Whether `addr` is where no probe may be.
pub fn within_kprobe_blacklist(addr: u64) -> bool {
    blacklist().iter().any(|r| r.contains(&addr))
}

/// The function around `addr` as the compiler made it, and its address.
fn original_code(addr: u64) -> Result<(Vec<u8>, u64)> {
    let (_, offset, size) = kallsyms::lookup(addr).ok_or(EINVAL)?;
    let start = addr - offset;
    let mut code = Vec::new();
    code.try_reserve_exact(size as usize).map_err(|_| ENOMEM)?;
    code.resize(size as usize, 0);
    copy_from_kernel_nofault(&mut code, start as usize)?;
    for p in points().filter(|p| p.armed.load(Ordering::Relaxed)) {
        if let Some(b) = p.addr.checked_sub(start).and_then(|at| code.get_mut(at as usize)) {
            *b = p.opcode;
        }
    }
    Ok((code, start))
}

fn boxed<T>(v: T) -> Result<Box<T>> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| ENOMEM)?;
    one.push(v);
    let b: Box<[T]> = one.into_boxed_slice();
    // SAFETY: a slice of one element is that element, with the same layout.
    Ok(unsafe { Box::from_raw(Box::into_raw(b).cast::<T>()) })
}

/// The point at `addr`, made if there is none.
fn point_at(addr: u64) -> Result<&'static ProbePoint> {
    if let Some(p) = get_kprobe(addr) {
        return Ok(p);
    }
    let (code, start) = original_code(addr)?;
    let slot = arch_prepare_kprobe(addr, &code, start)?;
    let link = bucket(addr);
    let point = boxed(ProbePoint {
        addr,
        opcode: code[(addr - start) as usize],
        slot,
        armed: AtomicBool::new(false),
        probes: AtomicPtr::new(core::ptr::null_mut()),
        next: AtomicPtr::new(link.load(Ordering::Relaxed)),
    })?;
    let raw = Box::into_raw(point);
    link.store(raw, Ordering::Release);
    // SAFETY: just made; freed by `remove_point` only.
    Ok(unsafe { &*raw })
}

/// Takes `item` out of the list that begins at `link`, and frees it.
///
/// # Safety
/// Nobody may refer to it any more but the list.
unsafe fn unlink<T>(
    mut link: &'static AtomicPtr<T>,
    item: *const T,
    next: fn(&'static T) -> &'static AtomicPtr<T>,
) {
    while let Some(i) = deref(link) {
        if core::ptr::eq(i, item) {
            let raw = link.swap(next(i).load(Ordering::Relaxed), Ordering::Release);
            // SAFETY: made by `Box::into_raw`; off the list, as the caller promises for the rest.
            drop(unsafe { Box::from_raw(raw) });
            return;
        }
        link = next(i);
    }
}

/// Frees a point that nobody probes any more.
fn remove_if_unused(point: &'static ProbePoint) {
    if deref(&point.probes).is_none() {
        // SAFETY: its breakpoint is gone, and no hit is being dealt with (see the module's text).
        unsafe { unlink(bucket(point.addr), point, |p| &p.next) };
    }
}

/// Probes an instruction; `disabled` ones wait for [`enable_kprobe`].
///
/// # Errors
/// `ENOENT`: no such function. `EINVAL`: no code, code that must not be probed, or an
/// instruction that cannot be executed elsewhere. `EILSEQ`: not where an instruction begins.
/// `ENOMEM`.
pub fn register_kprobe(
    place: Place<'_>,
    handler: Box<dyn KprobeHandler>,
    disabled: bool,
) -> Result<Arc<Kprobe>> {
    let all = KPROBE_MUTEX.lock();
    let addr = kprobe_addr(place)?;
    let point = point_at(addr)?;
    let probe =
        Arc::new(Kprobe { addr, handler, nmissed: AtomicU64::new(0), disabled: AtomicBool::new(disabled) });
    let made = boxed(Node { probe: probe.clone(), next: AtomicPtr::new(core::ptr::null_mut()) });
    let armed = made.and_then(|node| {
        // Behind those that are there.
        let last = point.nodes().last().map_or(&point.probes, |n| &n.next);
        last.store(Box::into_raw(node), Ordering::Release);
        point.update(all.0)
    });
    if let Err(e) = armed {
        remove_probe(point, &probe);
        return Err(e);
    }
    Ok(probe)
}

fn remove_probe(point: &'static ProbePoint, probe: &Arc<Kprobe>) {
    if let Some(node) = point.nodes().find(|n| Arc::ptr_eq(&n.probe, probe)) {
        // SAFETY: no hit is being dealt with (see the module's text).
        unsafe { unlink(&point.probes, node, |n| &n.next) };
    }
    remove_if_unused(point);
}

/// Ends what [`register_kprobe`] began.
pub fn unregister_kprobe(probe: &Arc<Kprobe>) {
    let all = KPROBE_MUTEX.lock();
    let Some(point) = get_kprobe(probe.addr) else { return };
    probe.disabled.store(true, Ordering::Relaxed);
    if crate::warn_on!(point.update(all.0).is_err(), "a breakpoint could not be removed") {
        return;
    }
    remove_probe(point, probe);
}

/// Has a probe's handlers called, or not called.
fn set_disabled(probe: &Kprobe, disabled: bool) -> Result {
    let all = KPROBE_MUTEX.lock();
    let point = get_kprobe(probe.addr).ok_or(EINVAL)?;
    let before = probe.disabled.swap(disabled, Ordering::Relaxed);
    point.update(all.0).inspect_err(|_| probe.disabled.store(before, Ordering::Relaxed))
}

/// Has a disabled probe's handlers called.
pub fn enable_kprobe(probe: &Kprobe) -> Result {
    set_disabled(probe, false)
}

/// Has a probe's handlers not called for now.
pub fn disable_kprobe(probe: &Kprobe) -> Result {
    set_disabled(probe, true)
}

/// Arms or disarms all probes: what `kprobes/enabled` does.
fn set_all_disarmed(disarmed: bool) -> Result {
    let mut all = KPROBE_MUTEX.lock();
    if all.0 == disarmed {
        return Ok(());
    }
    all.0 = disarmed;
    points().try_for_each(|p| p.update(disarmed))?;
    crate::pr_info!("kprobes: Kprobes globally {}\n", if disarmed { "disabled" } else { "enabled" });
    Ok(())
}

/// At boot: ready for breakpoints.
pub fn init_kprobes() {
    crate::bug_on!(arch_init_kprobes().is_err());
}

/// `kprobes/list`: a line for each probe.
pub static LIST: DebugFile =
    DebugFile { dir: "kprobes", name: "list", mode: 0o400, show: show_list, store: None };
/// `kprobes/blacklist`: where no probe may be.
pub static BLACKLIST: DebugFile =
    DebugFile { dir: "kprobes", name: "blacklist", mode: 0o400, show: show_blacklist, store: None };
/// `kprobes/enabled`: whether breakpoints are armed at all.
pub static ENABLED: DebugFile = DebugFile {
    dir: "kprobes",
    name: "enabled",
    mode: 0o600,
    show: show_enabled,
    store: Some(store_enabled),
};

fn show_list(o: &mut SeqFile) {
    let all = KPROBE_MUTEX.lock();
    for p in points() {
        for n in p.nodes() {
            let (name, offset, _) = kallsyms::lookup(p.addr).unwrap_or(("", 0, 0));
            let state = if n.probe.disabled() || all.0 { "[DISABLED]" } else { "" };
            writeln!(o, "{:016x}  k  {name}+{offset:#x}    {state}", p.addr);
        }
    }
}

fn show_blacklist(o: &mut SeqFile) {
    let mut functions = kallsyms::iter().peekable();
    while let Some((start, name)) = functions.next() {
        let end = functions.peek().map_or(start, |f| f.0);
        if within_kprobe_blacklist(start) {
            writeln!(o, "0x{start:016x}-0x{end:016x}\t{name}");
        }
    }
}

fn show_enabled(o: &mut SeqFile) {
    writeln!(o, "{}", u8::from(!KPROBE_MUTEX.lock().0));
}

fn store_enabled(text: &[u8]) -> Result {
    match text.first() {
        Some(b'1' | b'y' | b'Y') => set_all_disarmed(false),
        Some(b'0' | b'n' | b'N') => set_all_disarmed(true),
        _ => Err(EINVAL),
    }
}
