// SPDX-License-Identifier: GPL-2.0-only
//! `image KERNEL RAMDISK OUTPUT`: makes a disk image that a BIOS boots.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, ramdisk, output] = words.as_slice() else {
        eprintln!("usage: image KERNEL RAMDISK OUTPUT");
        return ExitCode::from(2);
    };
    let mut boot = bootloader::BiosBoot::new(Path::new(kernel));
    boot.set_ramdisk(Path::new(ramdisk));
    match boot.create_disk_image(Path::new(output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
