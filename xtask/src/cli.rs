// SPDX-License-Identifier: GPL-2.0-only
//! The commands and their options.

use crate::paths::Paths;
use crate::qemu;
use crate::tools::Install;
use crate::{build, run};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Builds, boots, tests and measures Trapline.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the kernel, the user programs and the initramfs
    Build(InstallArgs),
    /// Boot, and run the programs that carry an expectation, or one program
    Run(RunArgs),
}

/// May missing tools be installed?
#[derive(Debug, Clone, Args)]
pub struct InstallArgs {
    /// Stop instead of installing what is missing
    #[arg(long)]
    pub no_install: bool,
}

impl InstallArgs {
    /// The answer as the tools want it.
    pub fn install(&self) -> Install {
        if self.no_install { Install::Forbidden } else { Install::Allowed }
    }
}

/// The machine to boot on.
#[derive(Debug, Clone, Args)]
pub struct MachineArgs {
    /// Let the host's processor execute the guest
    #[arg(long)]
    pub kvm: bool,
    /// QEMU's name for the processor [default: max,-la57, or host with --kvm]
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,
    /// Memory
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    pub memory: u32,
    /// One more argument for QEMU; may be given more than once
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub qemu_arg: Vec<String>,
}

impl MachineArgs {
    /// The processor that was asked for.
    pub fn cpu_name(&self) -> String {
        let usual = if self.kvm { "host" } else { qemu::CPU };
        self.cpu.clone().unwrap_or_else(|| usual.to_owned())
    }
}

/// How to run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Files for the initramfs: a directory, or a cpio archive (may be gzipped)
    #[arg(long, value_name = "DIR|ARCHIVE")]
    pub rootfs: Option<PathBuf>,
    /// Words for the kernel's command line; may be given more than once
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub append: Vec<String>,
    /// Stop the machine after so many seconds; 0 for never
    #[arg(long, value_name = "S")]
    pub timeout: Option<u64>,
    /// Write one JSON record for each delivered signal
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
    /// A program in the rootfs (a path, or a name in /bin) or a static ELF file here, and its arguments
    #[arg(value_name = "PROG [ARGS]", trailing_var_arg = true)]
    pub prog: Vec<String>,
}

/// Does what the command line asks.
pub fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Build(args) => build::all(&Paths::find()?, args.install())?,
        Command::Run(args) => return run::main(&args),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_is_content() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
