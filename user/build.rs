// SPDX-License-Identifier: GPL-2.0-only
//! Link arguments of the user programs, for the bare-metal target only.
//!
//! Every program is a static non-PIE executable at 0x400000 (`link.ld`), but
//! those whose name starts with `pie_`: they are static-PIE (`link-pie.ld`).

use std::{env, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-changed=link-pie.ld");
    println!("cargo:rerun-if-changed=src/bin");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let here = Path::new(&here);
    for entry in fs::read_dir(here.join("src/bin")).expect("src/bin is there") {
        let path = entry.expect("src/bin is readable").path();
        let Some(name) = path.file_stem().and_then(|s| s.to_str()) else {
            continue;
        };
        let arg = |a: &str| println!("cargo:rustc-link-arg-bin={name}={a}");
        if name.starts_with("pie_") {
            arg("-pie");
            arg("--no-dynamic-linker");
            arg(&format!("-T{}", here.join("link-pie.ld").display()));
        } else {
            arg(&format!("-T{}", here.join("link.ld").display()));
        }
        for common in ["-zmax-page-size=4096", "-znoexecstack", "--build-id=none", "--strip-debug"] {
            arg(common);
        }
    }
}
