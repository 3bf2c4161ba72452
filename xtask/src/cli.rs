// SPDX-License-Identifier: GPL-2.0-only
//! The commands and their options.

use crate::paths::Paths;
use crate::qemu;
use crate::tools::Install;
use crate::{bench, build, compare, explain, fuzz, image, run, selftests, shell, test};
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
    Build(BuildArgs),
    /// Boot, and run the programs that carry an expectation, or one program
    Run(RunArgs),
    /// Run the unit tests and the tests that boot
    Test(TestArgs),
    /// Boot Linux and Trapline alike, and show where they say different things
    Compare(CompareArgs),
    /// Compile Linux's own self-tests, and run them on Linux and here
    Kselftest(KselftestArgs),
    /// Hunt for panics, hangs, lost lines and differences from Linux with random cases
    Fuzz(FuzzArgs),
    /// Show what the kernel does, read from a running one
    #[command(subcommand)]
    Explain(Explained),
    /// Measure
    #[command(subcommand)]
    Bench(Bench),
    /// Make a disk image that a BIOS boots (optional; nothing else needs it)
    Image(ImageArgs),
}

/// What can be shown.
#[derive(Debug, Clone, Subcommand)]
pub enum Explained {
    /// The stack of an NMI that another one interrupts
    Nmi(ExplainArgs),
    /// The way of one exception through the kernel, with the stack, GS and ctx_state at each stage
    Idtentry {
        /// Which exception
        #[arg(value_enum, default_value_t)]
        exception: explain::idtentry::Exception,
        /// How to show it.
        #[command(flatten)]
        output: ExplainArgs,
    },
}

impl Explained {
    /// How to show it.
    #[must_use]
    pub fn output(&self) -> &ExplainArgs {
        match self {
            Self::Nmi(output) | Self::Idtentry { output, .. } => output,
        }
    }
}

/// How to show it.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Also write a page that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Boot: guest instructions up to /init, and seconds of the whole QEMU process
    Boot(BenchArgs),
    /// The common paths in guest instructions, beside Linux's and the budgets
    Rows(RowsArgs),
    /// The same with 50 000 mappings and 2 000 processes
    Scale(ScaleArgs),
    /// Which functions the instructions of one row are in
    Profile(ProfileArgs),
}

/// How to measure the common paths.
#[derive(Debug, Clone, Args)]
pub struct RowsArgs {
    /// Measure Linux too, this one, instead of showing what was recorded
    #[arg(long, value_name = "FILE", value_parser = bench::other_kernel)]
    pub kernel: Option<PathBuf>,
    /// Measure Linux too [default: Debian's linux-image-cloud-amd64], and write tests/recorded/bench.txt
    #[arg(long)]
    pub record: bool,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
}

/// How to measure with much around.
#[derive(Debug, Clone, Args)]
pub struct ScaleArgs {
    /// Measure another kernel, say Linux's
    #[arg(long, value_name = "FILE", value_parser = bench::other_kernel)]
    pub kernel: Option<PathBuf>,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
}

/// What to step through.
#[derive(Debug, Clone, Args)]
pub struct ProfileArgs {
    /// Print the instructions as well, in the order in which they ran
    #[arg(long)]
    pub listing: bool,
    /// A row of `bench rows`
    #[arg(value_name = "ROW")]
    pub row: String,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
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

/// What to build.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// Also the kernels that only tests boot
    #[arg(long)]
    pub test_kernels: bool,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
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
    /// Let programs dump core, and bring the files to this directory (with the default /init)
    #[arg(long, value_name = "DIR")]
    pub cores: Option<PathBuf>,
    /// So many NMIs a second, all the time (the kernel takes them without a word)
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub nmi_storm: Option<u32>,
    /// An NMI so many milliseconds after the first line; may be given more than once
    #[arg(long, value_name = "MS")]
    pub nmi_at: Vec<u64>,
    /// An interactive shell on this terminal, with the test programs to try (Ctrl-] X leaves)
    #[arg(long, conflicts_with_all = ["rootfs", "json", "cores", "nmi_storm", "nmi_at", "prog"])]
    pub shell: bool,
    /// The shell on Linux instead: Debian's kernel, or the one in a file
    #[arg(long, value_name = "FILE", requires = "shell", num_args = 0..=1, require_equals = true)]
    pub linux: Option<Option<PathBuf>>,
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

/// How to test.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Run the tests under cargo-nextest, one process for each
    #[arg(long)]
    pub nextest: bool,
    /// Run what fails again, by itself, and say so if it then passes (nextest has its own --retries)
    #[arg(long, conflicts_with = "nextest")]
    pub retry: bool,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
    /// Run only the tests whose name contains this
    pub filter: Option<String>,
    /// Arguments for the test programs (for nextest, with --nextest)
    #[arg(last = true, value_name = "ARGS")]
    pub rest: Vec<String>,
}

/// What to compare.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// The Linux kernel [default: Debian's linux-image-cloud-amd64, fetched and unpacked beside the build]
    #[arg(long, value_name = "FILE", value_parser = bench::other_kernel)]
    pub kernel: Option<PathBuf>,
    /// Write what Linux says to tests/recorded/
    #[arg(long)]
    pub record: bool,
    /// Stop a machine after so many seconds
    #[arg(long, value_name = "S", default_value_t = 300)]
    pub timeout: u64,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
    /// User programs, sets of probes (the names of tests/recorded/*.txt), or static ELF files here
    /// ("./a.out one two" with its arguments) [default: everything that is recorded]
    #[arg(value_name = "PROG|SET|FILE")]
    pub what: Vec<String>,
}

/// Which of Linux's self-tests to run.
#[derive(Debug, Clone, Args)]
pub struct KselftestArgs {
    /// Only fetch and compile them: `cargo xtask test` runs them from then on
    #[arg(long, conflicts_with_all = ["kernel", "recorded", "record", "output"])]
    pub fetch: bool,
    /// The Linux kernel [default: Debian's linux-image-cloud-amd64, fetched and unpacked beside the build]
    #[arg(long, value_name = "FILE", value_parser = bench::other_kernel)]
    pub kernel: Option<PathBuf>,
    /// Do not boot Linux: take what it said for tests/recorded/kselftest.txt
    #[arg(long, conflicts_with = "record")]
    pub recorded: bool,
    /// Write how the tests end on Linux to tests/recorded/kselftest.txt
    #[arg(long)]
    pub record: bool,
    /// Keep what the tests write in files in this directory
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// So many machines at a time [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
    /// Directories of tools/testing/selftests, or tests in them [default: everything]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// What to fuzz.
#[derive(Debug, Clone, Args)]
pub struct FuzzArgs {
    /// Begin no more rounds after so many minutes
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub minutes: f64,
    /// Which random cases
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Of each N rounds only the Ith, counted from 1, so that N machines share a campaign
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = fuzz::shard)]
    pub shard: (u64, u64),
    /// The first case
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first: u64,
    /// Only so many cases, in one round
    #[arg(long, value_name = "N")]
    pub cases: Option<u64>,
    /// Print the cases' registers and code
    #[arg(long)]
    pub show: bool,
    /// Do without Linux: look for panics, hangs and lost lines only
    #[arg(long, conflicts_with = "kernel")]
    pub alone: bool,
    /// The Linux kernel [default: Debian's linux-image-cloud-amd64, fetched and unpacked beside the build]
    #[arg(long, value_name = "FILE", value_parser = bench::other_kernel)]
    pub kernel: Option<PathBuf>,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
    /// Which fuzzers [default: all]
    #[arg(value_name = "KIND", value_enum)]
    pub kinds: Vec<fuzz::Kind>,
}

/// How to measure.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Measure another kernel, say Linux's, under the same conditions
    #[arg(long, value_name = "FILE", value_parser = bench::other_kernel)]
    pub kernel: Option<PathBuf>,
    /// Words for the kernel's command line
    #[arg(long, value_name = "STR", default_value = "", allow_hyphen_values = true)]
    pub append: String,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
}

/// How to make a disk image.
#[derive(Debug, Clone, Args)]
pub struct ImageArgs {
    /// Where the image goes [default: target/trapline/trapline.img]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Words for the kernel's command line; may be given more than once
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub append: Vec<String>,
    /// Boot the image
    #[arg(long)]
    pub run: bool,
    /// Stop the machine after so many seconds
    #[arg(long, value_name = "S", default_value_t = 300)]
    pub timeout: u64,
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Installing.
    #[command(flatten)]
    pub install: InstallArgs,
}

/// Does what the command line asks.
pub fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Build(args) => {
            let (paths, install) = (Paths::find()?, args.install.install());
            build::all(&paths, install)?;
            if args.test_kernels {
                build::test_kernels(&paths, install)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(args) if args.shell => shell::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Test(args) => test::main(&args),
        Command::Bench(what) => bench::main(&what),
        Command::Compare(args) => compare::main(&args),
        Command::Kselftest(args) => selftests::main(&args),
        Command::Fuzz(args) => fuzz::main(&args),
        Command::Explain(what) => explain::main(&what).map(|()| ExitCode::SUCCESS),
        Command::Image(args) => image::main(&args),
    }
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
