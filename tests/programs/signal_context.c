// SPDX-License-Identifier: GPL-2.0-only
// What a C program finds in a handler's ucontext and may change there, and what of its own is as it
// was when the handler has returned: registers, the FPU's, the mask; calls that go on or do not; timers.
#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static char *base;
static volatile int zero;
static int hits;

// What the frame says of a fault; addresses as they are in the page.
static void on_fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *r = uc->uc_mcontext.gregs;
    char *at = info->si_addr;
    int in_page = at >= base && at < base + 4096, here = at == (char *)r[REG_RIP];
    printf("%s, code %d, trap %d, error %d, %s %d, cr2 %d, link %d, on stack %d\n", strsignal(sig), info->si_code,
           (int)r[REG_TRAPNO], (int)r[REG_ERR], in_page ? "page" : here ? "instruction" : "nowhere",
           in_page ? (int)(at - base) : 0, in_page ? (int)((char *)r[REG_CR2] - base) : 0, uc->uc_link != NULL,
           uc->uc_stack.ss_flags);
    siglongjmp(back, 1);
}

static void write_it(void) { *(volatile char *)(base + 12) = 1; }
static void read_it(void) { (void)*(volatile char *)(base + 20); }
static void divide(void) { zero = 42 / zero; }
static void undefined(void) { __asm__ volatile("ud2"); }
static void breakpoint(void) { __asm__ volatile("int3"); }

static void fault(const char *name, void (*body)(void))
{
    printf("%s: ", name);
    if (!sigsetjmp(back, 1)) {
        body();
        puts("nothing");
    }
}

static void faults(void)
{
    struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    for (int n = 0, all[] = { SIGSEGV, SIGFPE, SIGILL, SIGTRAP }; n < 4; n++)
        sigaction(all[n], &act, NULL);
    base = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    base[0] = 1;
    mprotect(base, 4096, PROT_READ);
    fault("write", write_it);
    mprotect(base, 4096, PROT_NONE);
    fault("no access", read_it);
    munmap(base, 4096);
    fault("unmapped", read_it);
    fault("divide", divide);
    fault("undefined", undefined);
    fault("breakpoint", breakpoint);
}

// The instruction is stepped over, and registers get other values.
static void on_change(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    uc->uc_mcontext.gregs[REG_RIP] += 2;
    uc->uc_mcontext.gregs[REG_RBX] += 40;
    uc->uc_mcontext.gregs[REG_R13] += 400;
    uc->uc_mcontext.fpregs->_xmm[7].element[0] += 4000;
    sigaddset(&uc->uc_sigmask, SIGUSR2);
    // What is there while the handler runs is its own.
    __asm__ volatile("pcmpeqd %%xmm6, %%xmm6; pcmpeqd %%xmm7, %%xmm7" ::: "xmm6", "xmm7");
    fesetround(FE_UPWARD);
    hits++;
}

static void changes(void)
{
    struct sigaction act = { .sa_sigaction = on_change, .sa_flags = SA_SIGINFO };
    long bx = 2, r13 = 2;
    int x6 = 6, x7 = 7;
    sigset_t mask;
    sigaction(SIGILL, &act, NULL);
    __asm__ volatile("movd %1, %%xmm6; movd %2, %%xmm7; ud2; movd %%xmm6, %1; movd %%xmm7, %2"
                     : "+b"(bx), "+r"(x6), "+r"(x7)
                     :
                     : "xmm6", "xmm7");
    __asm__ volatile("mov %0, %%r13; ud2; mov %%r13, %0" : "+r"(r13) : : "r13", "rbx");
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    printf("changed: %ld %ld %d, kept: %d %d, blocked: %d %d, hits %d\n", bx, r13, x7, x6,
           fegetround() == FE_TONEAREST, sigismember(&mask, SIGUSR2), sigismember(&mask, SIGILL), hits);
}

static int ends[2];

static void on_alarm(int sig)
{
    int saved = errno;
    hits++;
    (void)!write(ends[1], "x", 1);
    errno = saved;
}

// A read that the timer's signal interrupts: what it returns, and how much is left in the pipe.
static void interrupted(const char *name, int flags)
{
    struct sigaction act = { .sa_handler = on_alarm, .sa_flags = flags };
    struct itimerval soon = { .it_value.tv_usec = 20000 };
    char c;
    hits = 0;
    sigaction(SIGALRM, &act, NULL);
    // Should the signal never come, that is a result too.
    pid_t guard = fork();
    if (!guard) {
        sleep(10);
        (void)!write(ends[1], "y", 1);
        _exit(0);
    }
    setitimer(ITIMER_REAL, &soon, NULL);
    int got = read(ends[0], &c, 1);
    printf("%s: %d, interrupted %d, signals %d\n", name, got, got < 0 && errno == EINTR, hits);
    if (got < 0)
        (void)!read(ends[0], &c, 1);
    kill(guard, SIGKILL);
    waitpid(guard, NULL, 0);
}

static void timers(void)
{
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 77 };
    struct itimerspec soon = { .it_value.tv_nsec = 20000000 };
    struct timespec limit = { .tv_sec = 5 };
    siginfo_t info = { 0 };
    timer_t timer;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int made = timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
    timer_settime(timer, 0, &soon, NULL);
    int sig = sigtimedwait(&set, &info, &limit);
    printf("timer: made %d, signal %d, code %d, value %d\n", made, sig - SIGRTMIN, info.si_code,
           info.si_value.sival_int);
    timer_delete(timer);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    faults();
    changes();
    if (pipe(ends))
        return 1;
    interrupted("restarted", SA_RESTART);
    interrupted("not restarted", 0);
    timers();
    return 0;
}
