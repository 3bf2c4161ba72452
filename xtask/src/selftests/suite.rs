// SPDX-License-Identifier: GPL-2.0-only
//! Which of Linux's self-tests there are, and what each takes to be compiled and run: facts
//! that the tests' own Makefiles state for a build inside Linux's tree.

use std::path::PathBuf;

/// One directory of `tools/testing/selftests`.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The directory.
    pub dir: &'static str,
    /// Flags for all its programs, relative to the directory.
    flags: &'static str,
    /// Sources that go into each of its programs.
    with: &'static str,
    /// Libraries.
    libs: &'static str,
    /// The programs; each from the source of its name.
    programs: &'static [&'static str],
    /// Programs with something of their own.
    special: &'static [Special],
    /// Files beside the programs.
    pub files: &'static [Beside],
}

/// A program that is not just compiled and run.
#[derive(Debug, Clone, Copy)]
struct Special {
    name: &'static str,
    /// Its source, without `.c`.
    source: &'static str,
    flags: &'static str,
    /// More sources.
    with: &'static str,
    args: &'static str,
    /// When it is killed, in seconds; 0 for the usual time.
    timeout: u32,
    /// Whether `cargo xtask test` leaves it out.
    slow: bool,
}

/// A file that a test wants beside itself.
#[derive(Debug, Clone, Copy)]
pub enum Beside {
    /// A text, executable.
    Script(&'static str, &'static str),
    /// A symbolic link.
    Link(&'static str, &'static str),
    /// A copy of a program that may not be executed.
    Denatured(&'static str, &'static str),
    /// A directory.
    Dir(&'static str),
    /// Just a file, whatever it has in it.
    Text(&'static str),
}

/// One self-test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// The directory.
    pub dir: &'static str,
    /// The program's name.
    pub name: &'static str,
    /// gcc's words, to be run in the directory.
    pub words: Vec<String>,
    /// Its arguments.
    pub args: &'static str,
    /// When it is killed, in seconds.
    pub timeout: u32,
    /// Whether it takes a minute or more, or ends as the load of the machine wills, and is left out of the tests of
    /// `cargo xtask test`.
    pub slow: bool,
}

impl Test {
    /// `DIR/NAME`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.dir, self.name)
    }

    /// Its place below the directory of what is built, and below `/selftests` in the guest.
    pub fn place(&self) -> PathBuf {
        PathBuf::from(self.dir).join(self.name)
    }
}

/// How long a test may take, in seconds, if nothing else is said: an emulator on a busy machine.
const USUAL: u32 = 60;

const fn group(dir: &'static str, flags: &'static str, programs: &'static [&'static str]) -> Group {
    Group { dir, flags, with: "", libs: "", programs, special: &[], files: &[] }
}

const fn special(name: &'static str, source: &'static str) -> Special {
    Special { name, source, flags: "", with: "", args: "", timeout: 0, slow: false }
}

const fn timed(name: &'static str, args: &'static str, timeout: u32) -> Special {
    Special { args, timeout, ..special(name, name) }
}

const fn slow(name: &'static str, args: &'static str, timeout: u32) -> Special {
    Special { slow: true, ..timed(name, args, timeout) }
}

const PLAIN: &str = "-pthread -D_GNU_SOURCE";

/// All of them. `x86` is its 64-bit half; the other is for a kernel that runs 32-bit ELF files.
pub const GROUPS: &[Group] = &[
    Group {
        special: &[
            Special {
                flags: "-Wl,-ereal_start",
                ..special("check_initial_reg_state", "check_initial_reg_state")
            },
            Special { with: "thunks.S", ..special("sysret_ss_attrs", "sysret_ss_attrs") },
        ],
        ..group(
            "x86",
            "-O2 -std=gnu99 -pthread -no-pie",
            &[
                "amx",
                "corrupt_xstate_header",
                "fsgsbase",
                "fsgsbase_restore",
                "ioperm",
                "iopl",
                "ldt_gdt",
                "mov_ss_trap",
                "ptrace_syscall",
                "sigaltstack",
                "sigreturn",
                "sigtrap_loop",
                "single_step_syscall",
                "syscall_arg_fault",
                "syscall_nt",
                "syscall_numbering",
                "sysret_rip",
                "test_mremap_vdso",
                "test_vsyscall",
            ],
        )
    },
    group("sigaltstack", "", &["sas"]),
    group(
        "ptrace",
        "-std=c99 -pthread -iquote ../../../../include/uapi",
        &["get_syscall_info", "peeksiginfo", "vmaccess"],
    ),
    group("breakpoints", "", &["breakpoint_test", "step_after_suspend_test"]),
    Group {
        with: "rseq.c",
        special: &[
            Special { args: "-T s -r 1000 -t 50", ..special("param_test", "param_test") },
            Special { args: "-T l -r 1000 -t 50", ..special("param_test_list", "param_test") },
            Special { args: "-T b -M -r 1000 -t 50", ..special("param_test_buffer", "param_test") },
            Special { args: "-T m -r 1000 -t 50", ..special("param_test_memcpy", "param_test") },
            Special { args: "-T i -r 1000 -t 50", ..special("param_test_increment", "param_test") },
            Special { args: "-T s -m 1 -7 -1 -y -r 1000 -t 50", ..special("param_test_yield", "param_test") },
            Special { args: "-T s -m 1 -7 -1 -k -r 1000 -t 50", ..special("param_test_kill", "param_test") },
            Special {
                args: "-T s -r 1000 -t 50",
                flags: "-DRSEQ_COMPARE_TWICE",
                ..special("param_test_compare_twice", "param_test")
            },
            Special {
                args: "-T s -r 1000 -t 50",
                flags: "-DBENCHMARK",
                ..special("param_test_benchmark", "param_test")
            },
        ],
        ..group("rseq", "-O2 -I. -I../../../include -pthread", &["basic_test", "basic_percpu_ops_test"])
    },
    Group {
        libs: "-lrt -lm",
        special: &[
            timed("inconsistency-check", "-c 20 -t 2", 60),
            timed("threadtest", "-t 5", 60),
            slow("clocksource-switch", "-t 5", 240),
            slow("adjtick", "", 60),
            slow("change_skew", "", 60),
            slow("freq-step", "", 60),
            slow("set-2038", "", 60),
            slow("skew_consistency", "", 60),
            slow("raw_skew", "", 180),
            slow("nsleep-lat", "", 120),
            slow("set-timer-lat", "", 120),
            slow("leap-a-day", "-s -i 1", 60),
            slow("leapcrash", "", 30),
            slow("alarmtimer-suspend", "", 30),
        ],
        ..group(
            "timers",
            "-O3 -pthread",
            &["posix_timers", "nanosleep", "mqueue-lat", "rtcpie", "set-tai", "set-tz"],
        )
    },
    group(
        "futex/functional",
        "-O2 -D_GNU_SOURCE= -pthread -I../include -I../..",
        &[
            "futex_wait_timeout",
            "futex_wait_wouldblock",
            "futex_requeue_pi",
            "futex_requeue_pi_signal_restart",
            "futex_requeue_pi_mismatched_ops",
            "futex_wait_uninitialized_heap",
            "futex_wait_private_mapped_file",
            "futex_wait",
            "futex_requeue",
            "futex_waitv",
        ],
    ),
    group("core", "", &["close_range_test"]),
    Group {
        special: &[
            Special {
                flags: "-fPIE -static-pie -Wl,-z,max-page-size=0x1000",
                ..special("load_address.static.0x1000", "load_address")
            },
            Special {
                flags: "-fPIE -static-pie -Wl,-z,max-page-size=0x200000",
                ..special("load_address.static.0x200000", "load_address")
            },
            Special {
                flags: "-fPIE -static-pie -Wl,-z,max-page-size=0x1000000",
                ..special("load_address.static.0x1000000", "load_address")
            },
        ],
        files: &[
            Beside::Script("script", "#!/bin/sh\nexit $*\n"),
            Beside::Link("execveat.symlink", "execveat"),
            Beside::Denatured("execveat.denatured", "execveat"),
            Beside::Dir("subdir"),
            Beside::Text("Makefile"),
        ],
        ..group("exec", "-D_GNU_SOURCE", &["execveat", "non-regular", "recursion-depth", "null-argv"])
    },
    Group {
        libs: "-lcap",
        ..group(
            "clone3",
            "-std=gnu99",
            &["clone3", "clone3_clear_sighand", "clone3_set_tid", "clone3_cap_checkpoint_restore"],
        )
    },
    group(
        "pidfd",
        PLAIN,
        &[
            "pidfd_test",
            "pidfd_fdinfo_test",
            "pidfd_open_test",
            "pidfd_poll_test",
            "pidfd_wait",
            "pidfd_getfd_test",
            "pidfd_setns_test",
        ],
    ),
    group("mincore", "", &["mincore_selftest"]),
    group("membarrier", PLAIN, &["membarrier_test_single_thread", "membarrier_test_multi_thread"]),
    Group {
        libs: "-lcap",
        special: &[timed("seccomp_benchmark", "10000", 60)],
        ..group("seccomp", PLAIN, &["seccomp_bpf"])
    },
    group("syscall_user_dispatch", PLAIN, &["sud_test", "sud_benchmark"]),
    group(
        "prctl",
        PLAIN,
        &["disable-tsc-test", "disable-tsc-ctxt-sw-stress-test", "disable-tsc-on-off-stress-test"],
    ),
    group("kcmp", PLAIN, &["kcmp_test"]),
    group(
        "proc",
        "-O2 -pthread -D_GNU_SOURCE",
        &[
            "fd-001-lookup",
            "fd-002-posix-eq",
            "fd-003-kthread",
            "proc-loadavg-001",
            "proc-empty-vm",
            "proc-pid-vm",
            "proc-self-map-files-001",
            "proc-self-map-files-002",
            "proc-self-syscall",
            "proc-self-wchan",
            "proc-tid0",
            "proc-uptime-001",
            "proc-uptime-002",
            "read",
            "self",
            "thread-self",
        ],
    ),
    Group {
        with: "parse_vdso.c",
        ..group(
            "vDSO",
            "-std=gnu99",
            &[
                "vdso_test_gettimeofday",
                "vdso_test_getcpu",
                "vdso_test_abi",
                "vdso_test_clock_getres",
                "vdso_test_correctness",
            ],
        )
    },
    Group { with: "common.c", ..group("memfd", "-D_FILE_OFFSET_BITS=64 -pthread", &["memfd_test"]) },
];

impl Group {
    /// Its tests.
    pub fn tests(&self) -> Vec<Test> {
        let plain = self.programs.iter().map(|&name| special(name, name));
        plain.chain(self.special.iter().copied()).map(|s| self.test(&s)).collect()
    }

    fn test(&self, s: &Special) -> Test {
        let mut words: Vec<String> = vec!["-w".into()];
        let mut add = |text: &str| words.extend(text.split_whitespace().map(str::to_owned));
        // One that is static and movable says so itself.
        if !s.flags.contains("-static") {
            add("-static");
        }
        add(self.flags);
        add(s.flags);
        add(&format!("{}.c", s.source));
        add(s.with);
        add(self.with);
        add(self.libs);
        let timeout = if s.timeout == 0 { USUAL } else { s.timeout };
        Test { dir: self.dir, name: s.name, words, args: s.args, timeout, slow: s.slow }
    }
}

/// The groups, each with those of its tests that are wanted: all, or those named (`DIR`, `NAME`
/// or `DIR/NAME`); or the name that means nothing.
pub fn select(names: &[String]) -> Result<Vec<(&'static Group, Vec<Test>)>, String> {
    let named = |test: &Test, name: &str| name == test.dir || name == test.name || name == test.key();
    let all = || GROUPS.iter().map(|group| (group, group.tests()));
    for name in names {
        if !all().any(|(_, tests)| tests.iter().any(|test| named(test, name))) {
            return Err(name.clone());
        }
    }
    let wanted = |test: &Test| names.is_empty() || names.iter().any(|name| named(test, name));
    let some = |(group, tests): (_, Vec<Test>)| (group, tests.into_iter().filter(wanted).collect::<Vec<_>>());
    Ok(all().map(some).filter(|(_, tests)| !tests.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_directories_or_tests() {
        let one = |name: &str| {
            let chosen = select(&[name.to_owned()]).unwrap();
            chosen.into_iter().flat_map(|(_, tests)| tests).map(|test| test.key()).collect::<Vec<_>>()
        };
        assert_eq!(one("sas"), ["sigaltstack/sas"]);
        assert_eq!(one("mincore"), ["mincore/mincore_selftest"]);
        assert_eq!(one("x86/iopl"), ["x86/iopl"]);
        assert_eq!(select(&["no".to_owned()]).unwrap_err(), "no");
        assert_eq!(select(&[]).unwrap().len(), GROUPS.len());
    }

    #[test]
    fn no_test_stands_twice() {
        let mut keys: Vec<String> = GROUPS.iter().flat_map(Group::tests).map(|test| test.key()).collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn words_for_gcc() {
        let tests = GROUPS.iter().flat_map(Group::tests).collect::<Vec<_>>();
        let words = |key: &str| tests.iter().find(|test| test.key() == key).unwrap().words.join(" ");
        assert_eq!(words("sigaltstack/sas"), "-w -static sas.c");
        assert!(words("x86/sysret_ss_attrs").ends_with("-no-pie sysret_ss_attrs.c thunks.S"));
        assert!(!words("exec/load_address.static.0x1000").contains("-static "));
    }
}
