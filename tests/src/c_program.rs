// SPDX-License-Identifier: GPL-2.0-only
//! A C program as others write them, with a libc, as `/init`.

use std::process::{Command, Stdio};
use tempfile::TempDir;
use xtask::tools::which;

/// What it says, in order.
pub const LINES: &[&str] =
    &["C: hello from pid 1", "C: SIGFPE code 1 in place", "C: child killed by 4", "C: bye"];

const SOURCE: &str = r#"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int code;
static void *volatile where;

static void on_fpe(int sig, siginfo_t *info, void *context)
{
    code = info->si_code;
    where = info->si_addr;
    siglongjmp(back, 1);
}

int main(void)
{
    struct sigaction act = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO };
    volatile int zero = 0;
    int status;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("C: hello from pid %d\n", getpid());
    sigaction(SIGFPE, &act, NULL);
    if (!sigsetjmp(back, 1))
        zero = 42 / zero;
    printf("C: SIGFPE code %d %s\n", code, where ? "in place" : "nowhere");
    pid_t pid = fork();
    if (pid == 0)
        __builtin_trap();
    if (waitpid(pid, &status, 0) != pid)
        printf("C: waitpid: errno %d\n", errno);
    printf("C: child killed by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
    char *heap = malloc(1 << 20);
    for (int i = 0; i < 1 << 20; i += 4096)
        heap[i] = 1;
    free(heap);
    printf("C: bye\n");
    reboot(RB_POWER_OFF);
    return 1;
}
"#;

/// Compiles it to `init` in a directory of its own, which also has `dev/`;
/// `None` where there is no compiler that can.
pub fn pack(flags: &[&str]) -> Result<Option<TempDir>, String> {
    compile(SOURCE, &[flags, &["-O1"]].concat())
}

/// As [`pack`], for any source.
pub fn compile(text: &str, flags: &[&str]) -> Result<Option<TempDir>, String> {
    let Some(compiler) = ["gcc", "cc", "clang"].into_iter().find(|name| which(name).is_some()) else {
        return Ok(None);
    };
    let dir = tempfile::tempdir().map_err(|error| format!("cannot make a temporary directory: {error}"))?;
    let source = dir.path().join("init.c");
    std::fs::write(&source, text).map_err(|error| format!("cannot write {}: {error}", source.display()))?;
    std::fs::create_dir(dir.path().join("dev")).map_err(|error| format!("cannot make dev: {error}"))?;
    let compiled = Command::new(compiler)
        .args(flags)
        .args(["-w", "-o", "init", "init.c"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(compiled.is_ok_and(|status| status.success()).then_some(dir))
}
