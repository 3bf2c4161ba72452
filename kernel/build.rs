// SPDX-License-Identifier: GPL-2.0-only
//! For the bare-metal target: hands the linker script to the link, and builds the vDSO, which the
//! kernel carries as a file (`$VDSO_IMAGE`). Host builds need neither.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The library's name as a program knows it.
const SONAME: &str = "linux-vdso.so.1";

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../vdso");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let dir = env::var("CARGO_MANIFEST_DIR").unwrap();
    for arg in
        ["--script", &format!("{dir}/kernel.ld"), "--no-pie", "-zmax-page-size=4096", "--build-id=none"]
    {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
    let vdso = Path::new(&dir).join("../vdso");
    let image = build_vdso(&vdso, Path::new(&env::var("OUT_DIR").unwrap()));
    println!("cargo:rustc-env=VDSO_IMAGE={}", image.display());
}

/// Compiles the crate's one object, and links it as a shared library.
fn build_vdso(vdso: &Path, out: &Path) -> PathBuf {
    let (object, image) = (out.join("vdso.o"), out.join("vdso.so"));
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap());
    rustc.args(["--edition", "2024", "--crate-name", "vdso", "--crate-type", "lib", "--emit", "obj"]);
    rustc.arg("--target").arg(env::var_os("TARGET").unwrap());
    rustc.args(["--cfg", "vdso_image", "-Copt-level=3", "-Ccodegen-units=1", "-Cpanic=abort"]);
    rustc.args(["-Crelocation-model=pic", "-Cforce-unwind-tables=yes"]);
    run(rustc.arg("-o").arg(&object).arg(vdso.join("src/lib.rs")));

    let mut link = Command::new(rust_lld());
    link.args(["-flavor", "gnu", "-shared", "-soname", SONAME, "-Bsymbolic", "-z", "defs"]);
    link.args(["--hash-style=both", "--eh-frame-hdr", "--build-id=sha1", "--strip-all"]);
    link.args(["-z", "rodynamic", "-z", "max-page-size=4096", "-z", "noexecstack"]);
    run(link.arg("-T").arg(vdso.join("vdso.lds")).arg("-o").arg(&image).arg(&object));
    assert!(fs::read(&image).is_ok_and(|file| file.starts_with(b"\x7fELF")), "the linker made no vDSO");
    image
}

/// The linker that the bare-metal target uses anyway: it comes with Rust, else from the system.
fn rust_lld() -> PathBuf {
    let sysroot = Command::new(env::var_os("RUSTC").unwrap()).args(["--print", "sysroot"]).output().unwrap();
    let sysroot = String::from_utf8(sysroot.stdout).unwrap();
    let host = env::var("HOST").unwrap();
    let own = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin/rust-lld");
    if own.is_file() { own } else { "rust-lld".into() }
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{command:?}: {status}"),
        Err(e) => panic!("{command:?} cannot be started: {e}"),
    }
}
