// SPDX-License-Identifier: GPL-2.0-only
//! Hands the linker script to the bare-metal link; host builds need none.

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        for arg in
            ["--script", &format!("{dir}/kernel.ld"), "--no-pie", "-zmax-page-size=4096", "--build-id=none"]
        {
            println!("cargo:rustc-link-arg-bins={arg}");
        }
    }
}
