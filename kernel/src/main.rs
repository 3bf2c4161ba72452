// SPDX-License-Identifier: GPL-2.0-only
//! The kernel image: the `bootloader_api` entry point and the panic handler around
//! the `trapline` library.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
mod image {
    use bootloader_api::{BootInfo, BootloaderConfig, config::Mapping, entry_point};

    /// What the `bootloader` crate has to set up for us; the PVH door does the same.
    static CONFIG: BootloaderConfig = {
        let mut c = BootloaderConfig::new_default();
        c.mappings.physical_memory = Some(Mapping::FixedAddress(0xffff_8880_0000_0000));
        c.mappings.dynamic_range_start = Some(0xffff_a000_0000_0000);
        c.mappings.dynamic_range_end = Some(0xffff_b000_0000_0000);
        c.kernel_stack_size = 64 * 1024;
        c
    };

    entry_point!(main, config = &CONFIG);

    fn main(info: &'static mut BootInfo) -> ! {
        trapline::init::start_kernel(info)
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        trapline::kernel::panic::rust_panic(info)
    }
}

/// There is nothing to run on the host; the library's unit tests are what it builds for.
#[cfg(not(target_os = "none"))]
fn main() {}
