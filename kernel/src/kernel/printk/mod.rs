// SPDX-License-Identifier: GPL-2.0-only
//! placeholder
/// KERN_EMERG..KERN_DEBUG are 0..7; KERN_CONT continues the last line.
pub const KERN_CONT: u8 = b'c';
/// Logs one message.
pub fn vprintk(_level: u8, _args: core::fmt::Arguments<'_>) {}
/// `printk!(level, "…", args)`
#[macro_export]
macro_rules! printk { ($l:expr, $($a:tt)*) => { $crate::kernel::printk::vprintk($l, format_args!($($a)*)) } }
/// KERN_EMERG
#[macro_export]
macro_rules! pr_emerg { ($($a:tt)*) => { $crate::printk!(0, $($a)*) } }
/// KERN_ALERT
#[macro_export]
macro_rules! pr_alert { ($($a:tt)*) => { $crate::printk!(1, $($a)*) } }
/// KERN_CRIT
#[macro_export]
macro_rules! pr_crit { ($($a:tt)*) => { $crate::printk!(2, $($a)*) } }
/// KERN_ERR
#[macro_export]
macro_rules! pr_err { ($($a:tt)*) => { $crate::printk!(3, $($a)*) } }
/// KERN_WARNING
#[macro_export]
macro_rules! pr_warn { ($($a:tt)*) => { $crate::printk!(4, $($a)*) } }
/// KERN_NOTICE
#[macro_export]
macro_rules! pr_notice { ($($a:tt)*) => { $crate::printk!(5, $($a)*) } }
/// KERN_INFO
#[macro_export]
macro_rules! pr_info { ($($a:tt)*) => { $crate::printk!(6, $($a)*) } }
/// KERN_DEBUG
#[macro_export]
macro_rules! pr_debug { ($($a:tt)*) => { $crate::printk!(7, $($a)*) } }
/// Continues the previous message (KERN_CONT)
#[macro_export]
macro_rules! pr_cont { ($($a:tt)*) => { $crate::printk!($crate::kernel::printk::KERN_CONT, $($a)*) } }
/// stub
pub fn show_unhandled_signals() -> &'static core::sync::atomic::AtomicBool {
    static S: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(true);
    &S
}
/// stub
pub fn printk_ratelimit(_: &str) -> bool {
    true
}
/// stub
pub fn print_vma_addr(_: &str, _: usize) {}
/// stub
pub struct HashedPtr(pub usize);
impl core::fmt::Display for HashedPtr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
