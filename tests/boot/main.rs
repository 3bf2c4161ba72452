// SPDX-License-Identifier: GPL-2.0-only
//! The tests that boot. One process boots once for many tests; under
//! `cargo nextest`, where each test is a process, each boots only for itself.

mod archives;
mod bench;
mod cores;
mod doors;
mod explain;
mod fuzz;
mod kselftest;
mod kunit;
mod machine_check;
mod modes;
mod nmi;
mod oracle;
mod programs;
mod provoke;
mod runtimes;
mod shell;
mod sysrq;
mod user_stack;

use libtest_mimic::Arguments;

fn main() {
    let args = Arguments::from_args();
    let mut trials = doors::trials();
    trials.extend(archives::trials());
    trials.extend(bench::trials());
    trials.extend(cores::trials());
    trials.extend(explain::trials());
    trials.extend(fuzz::trials());
    trials.extend(kselftest::trials());
    trials.extend(modes::trials());
    trials.extend(machine_check::trials());
    trials.extend(nmi::trials());
    trials.extend(provoke::trials());
    trials.extend(shell::trials());
    trials.extend(sysrq::trials());
    trials.extend(runtimes::trials());
    trials.extend(user_stack::trials());
    trials.extend(kunit::trials(&args));
    trials.extend(oracle::trials());
    trials.extend(programs::trials(&args));
    libtest_mimic::run(&args, trials).exit();
}
