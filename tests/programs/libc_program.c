// SPDX-License-Identifier: GPL-2.0-only
// What ordinary C programs ask of a libc, glibc or musl, and it of the kernel: threads with
// thread-local storage, locks, cancellation and cleanup, arenas of malloc, stdio in files and
// memory, locale, time, environment, processes and pipes, and a fault in a thread.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#define THREADS 6

static __thread long mine = 7;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t table = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int arrived, made, destroyed;
static long total;

static void destroy(void *value) { __atomic_add_fetch(&destroyed, (int)(long)value, __ATOMIC_SEQ_CST); }
static void make_key(void) { made += pthread_key_create(&key, destroy) == 0; }

static void *work(void *arg)
{
    long n = (long)arg;
    pthread_once(&once, make_key);
    pthread_setspecific(key, (void *)1);
    // Each thread gets an arena of its own, grows it and gives it back.
    char *blocks[64];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 64; i++) {
            blocks[i] = malloc(100 + i * 177 + round);
            memset(blocks[i], (int)n, 100 + i * 177 + round);
        }
        for (int i = 0; i < 64; i++) {
            mine += blocks[i][99] == n;
            free(blocks[i]);
        }
    }
    pthread_mutex_lock(&lock);
    if (++arrived == THREADS)
        pthread_cond_broadcast(&changed);
    while (arrived < THREADS)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    pthread_rwlock_wrlock(&table);
    total += mine;
    pthread_rwlock_unlock(&table);
    return (void *)(n * n);
}

static void threads(void)
{
    pthread_t all[THREADS];
    long squares = 0;
    for (long n = 0; n < THREADS; n++)
        if (pthread_create(&all[n], NULL, work, (void *)n))
            printf("pthread_create: %s\n", strerror(errno));
    for (int n = 0; n < THREADS; n++) {
        void *result;
        pthread_join(all[n], &result);
        squares += (long)result;
    }
    printf("threads: squares %ld, total %ld, mine %ld, keys %d, destroyed %d\n", squares, total, mine, made,
           destroyed);
}

static int cleaned;
static void clean(void *arg) { cleaned += (int)(long)arg; }

static void *sleeper(void *arg)
{
    sem_post(arg);
    pthread_cleanup_push(clean, (void *)3);
    for (;;)
        sleep(100);
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancellation(void)
{
    pthread_t thread;
    sem_t ready;
    void *result;
    sem_init(&ready, 0, 0);
    pthread_create(&thread, NULL, sleeper, &ready);
    sem_wait(&ready);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("cancelled: %d, cleaned %d\n", result == PTHREAD_CANCELED, cleaned);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 2000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int r = sem_timedwait(&ready, &until);
    printf("semaphore: %d %d\n", r, errno == ETIMEDOUT);
}

static __thread sigjmp_buf back;
static void on_fault(int sig, siginfo_t *info, void *context)
{
    siglongjmp(back, sig);
}

static void *faulty(void *arg)
{
    static char stack[THREADS][65536];
    stack_t alternate = { .ss_sp = stack[(long)arg], .ss_size = sizeof stack[0] };
    sigaltstack(&alternate, NULL);
    int sig = sigsetjmp(back, 1);
    if (!sig)
        *(volatile int *)(long)arg = 1;
    return (void *)(long)sig;
}

static void faults(void)
{
    struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    pthread_t all[THREADS];
    long signals = 0;
    sigaction(SIGSEGV, &act, NULL);
    for (long n = 0; n < THREADS; n++)
        pthread_create(&all[n], NULL, faulty, (void *)n);
    for (int n = 0; n < THREADS; n++) {
        void *result;
        pthread_join(all[n], &result);
        signals += (long)result;
    }
    printf("faults: %ld\n", signals / THREADS);
}

static void files(void)
{
    char name[] = "/tmp/libc_program.XXXXXX", line[64];
    int fd = mkstemp(name), lines = 0;
    FILE *file = fdopen(fd, "w+");
    struct stat st;
    for (int i = 0; i < 500; i++)
        fprintf(file, "line %d of %5.2f\n", i, i / 7.0);
    rewind(file);
    while (fgets(line, sizeof line, file))
        lines++;
    fseek(file, -10, SEEK_END);
    line[fread(line, 1, 9, file)] = 0;
    fstat(fd, &st);
    printf("files: %d lines, %ld bytes, ends in '%s'\n", lines, (long)st.st_size, line);
    fclose(file);
    char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd = open(name, O_RDONLY), 0);
    printf("mapped: %.6s\n", map);
    munmap(map, 4096);
    close(fd);
    unlink(name);
    int gone = access(name, F_OK);
    printf("gone: %d %d\n", gone, errno == ENOENT);
    char *text;
    size_t size;
    file = open_memstream(&text, &size);
    fprintf(file, "%s %d", "in memory", 42);
    fclose(file);
    printf("memory: %s (%zu)\n", text, size);
    free(text);
}

static void locales(void)
{
    wchar_t wide[16];
    printf("locale: %s %s\n", setlocale(LC_ALL, "C") ? "C" : "none", setlocale(LC_ALL, "xx_YY") ? "xx" : "none");
    printf("wide: %zu, %g, %s\n", mbstowcs(wide, "abc", 16), strtod("0x1.8p3", NULL),
           setenv("TZ", "UTC", 1) ? "?" : getenv("TZ"));
    time_t then = 1000000000;
    struct tm tm;
    strftime((char *)wide, sizeof wide, "%Y-%m-%d %H:%M:%S", localtime_r(&then, &tm));
    printf("time: %s\n", (char *)wide);
}

static void processes(void)
{
    int status, pipes[2];
    char line[32] = "";
    if (pipe(pipes))
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        dprintf(pipes[1], "from the child");
        abort();
    }
    close(pipes[1]);
    ssize_t n = read(pipes[0], line, sizeof line - 1);
    waitpid(pid, &status, 0);
    printf("child: %zd '%s', signal %d\n", n, line, WTERMSIG(status));
    char *words[] = { "again", "one", "two", NULL };
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, words, environ))
        printf("posix_spawn failed\n");
    waitpid(pid, &status, 0);
    printf("spawned: %d\n", WEXITSTATUS(status));
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    printf("stack: %ld kB, page %ld\n", (long)limit.rlim_cur / 1024, sysconf(_SC_PAGESIZE));
}

static void at_exit(void) { puts("at exit"); }

int main(int argc, char **argv)
{
    if (argc > 1)
        return argc;
    setvbuf(stdout, NULL, _IOLBF, 0);
    atexit(at_exit);
    threads();
    cancellation();
    faults();
    files();
    locales();
    processes();
    char *large = malloc(64 << 20);
    large[0] = large[(64 << 20) - 1] = 1;
    large = realloc(large, 100 << 20);
    printf("large: %d\n", large[0] + large[(64 << 20) - 1]);
    free(large);
    return 0;
}
