// SPDX-License-Identifier: GPL-2.0-only
// A C++ program that throws out of a signal handler (-fnon-call-exceptions): the unwinder goes
// through the signal frame, by the restorer's unwind information, into the code that faulted.
#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <ucontext.h>
#include <unistd.h>

struct fault : std::runtime_error {
    siginfo_t info;
    fault(int sig, const siginfo_t &i) : std::runtime_error(strsignal(sig)), info(i) {}
};

struct witness {
    const char *where;
    ~witness() { std::printf("left: %s\n", where); }
};

static void thrower(int sig, siginfo_t *info, void *)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    throw fault(sig, *info);
}

static volatile int zero;
static int *volatile nowhere;

__attribute__((noinline)) static int read_nowhere() { witness w{"read_nowhere"}; return *nowhere; }
__attribute__((noinline)) static int divide() { witness w{"divide"}; return 42 / zero; }
__attribute__((noinline)) static int undefined() { witness w{"undefined"}; asm volatile("ud2"); return 0; }

__attribute__((noinline)) static int protected_write()
{
    witness w{"protected_write"};
    auto page = static_cast<volatile int *>(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    return page[3] = 1;
}

static void attempt(const char *name, int (*body)())
{
    try {
        std::printf("%s: returned %d\n", name, body());
    } catch (const fault &f) {
        std::printf("%s: %s, code %d, %s\n", name, f.what(), f.info.si_code,
                    f.info.si_addr ? "somewhere" : "at null");
    }
}

static void all(const char *)
{
    attempt("null", read_nowhere);
    attempt("divide", divide);
    attempt("undefined", undefined);
    attempt("protected", protected_write);
    for (int i = 0; i < 1000; i++) {
        try {
            throw std::string("thrown");
        } catch (const std::string &) {
        }
    }
}

int main()
{
    struct sigaction act = {};
    act.sa_sigaction = thrower;
    act.sa_flags = SA_SIGINFO;
    for (int sig : {SIGSEGV, SIGFPE, SIGILL, SIGBUS})
        sigaction(sig, &act, nullptr);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    all("main");
    std::thread(all, "thread").join();
    // The same from an alternate stack.
    static char stack[65536];
    stack_t alternate = {stack, 0, sizeof stack};
    sigaltstack(&alternate, nullptr);
    act.sa_flags |= SA_ONSTACK;
    sigaction(SIGSEGV, &act, nullptr);
    attempt("alternate stack", read_nowhere);
    std::printf("done\n");
}
