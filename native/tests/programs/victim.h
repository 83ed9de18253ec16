/*
 * victim.h - what the victim programs share.
 *
 * A victim sets up one kind of state, calls ready(), waits with wait_go() - there checkpoints, kills and restarts happen -
 * and looks at everything again with check(). Exit status: 0 all is as before, 1 something differs (stderr says what),
 * 2 the state could not be set up, 77 this machine or user cannot show it.
 *
 * It talks to the driver by files in its first working folder only: it makes "ready" (its pid is in it) and waits for "go".
 * Processes of one victim find each other by files too ("mark.NAME"), unless sharing is what is tested.
 *
 * Two lines of a victim's first comment are read by the driver: "Cases:" (arguments, one run each) and "Driver:" (options,
 * see test_state.py).
 */
#ifndef VICTIM_H
#define VICTIM_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DIFFERS = 1, NO_SETUP = 2, SKIPPED = 77, PAGE = 4096 };

static char victim_folder[3072];
static _Atomic int victim_failures;

__attribute__((constructor)) static inline void victim_remember_folder(void)
{
    if (!getcwd(victim_folder, sizeof victim_folder))
        victim_folder[0] = '\0';
}

/* ---- verdicts ---- */

__attribute__((format(printf, 4, 5))) static inline void victim_say(const char *file, int line, const char *what,
                                                                    const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *name = strrchr(file, '/');
    dprintf(STDERR_FILENO, "%s:%d: [%d] %s: %s\n", name ? name + 1 : file, line, (int)getpid(), what, text);
}

/** Says what differs if cond is false; the program goes on and exits with 1 at the end. */
#define check(cond, ...) \
    ((cond) ? (void)0 : (victim_say(__FILE__, __LINE__, "differs: " #cond, __VA_ARGS__), (void)victim_failures++))

/** For steps without which there is nothing to test. */
#define need(cond)    \
    ((cond) ? (void)0 \
            : (victim_say(__FILE__, __LINE__, "cannot set up: " #cond, "%s", strerror(errno)), _exit(NO_SETUP)))

#define skip(...) (victim_say(__FILE__, __LINE__, "skipped", __VA_ARGS__), _exit(SKIPPED))

#define same(what, is, was)                                                                     \
    do {                                                                                        \
        long long is_ = (long long)(is), was_ = (long long)(was);                               \
        check(is_ == was_, "%s is %lld (%#llx), was %lld (%#llx)", what, is_, is_, was_, was_); \
    } while (0)

#define same_text(what, is, was) check(strcmp(is, was) == 0, "%s is \"%s\", was \"%s\"", what, is, was)

/** Ends the process with its verdict. */
__attribute__((noreturn)) static inline void finish(void)
{
    exit(victim_failures ? DIFFERS : 0);
}

/* ---- the driver, and other processes of this victim ---- */

/** Copies as much of a text as fits. */
static inline void copy_text(char *to, size_t size, const char *from)
{
    size_t length = strnlen(from, size - 1);
    memcpy(to, from, length);
    to[length] = '\0';
}

static inline void victim_path(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", victim_folder, name);
}

static inline void victim_nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static inline void write_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    need(fd >= 0);
    need(write(fd, data, size) == (ssize_t)size);
    close(fd);
}

/** Makes a file appear with all its contents at once. */
static inline void announce(const char *name, long value)
{
    char temporary[8192], path[4096], text[32];
    victim_path(path, sizeof path, name);
    snprintf(temporary, sizeof temporary, "%s.%d~", path, (int)syscall(SYS_gettid));
    snprintf(text, sizeof text, "%ld\n", value);
    write_file(temporary, text, strlen(text));
    need(rename(temporary, path) == 0);
}

static inline bool is_there(const char *name)
{
    char path[4096];
    struct stat st;
    victim_path(path, sizeof path, name);
    return stat(path, &st) == 0;
}

static inline void mark(const char *name)
{
    char file[256];
    snprintf(file, sizeof file, "mark.%s", name);
    announce(file, getpid());
}

static inline void await_mark(const char *name)
{
    char file[256];
    snprintf(file, sizeof file, "mark.%s", name);
    while (!is_there(file))
        victim_nap();
}

static inline void ready(void)
{
    announce("ready", getpid());
}

static inline bool go(void)
{
    return is_there("go");
}

static inline void wait_go(void)
{
    while (!go())
        victim_nap();
}

/** The same without ever sleeping. */
static inline void wait_go_busy(void)
{
    while (!go())
        ;
}

/** Waits for a child that ends with finish(); its failures become ours. */
static inline void reap(pid_t pid)
{
    int status;
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    check(got == pid, "waitpid(%d): %s", (int)pid, strerror(errno));
    if (got == pid)
        check(status == 0, "child %d ended with %#x", (int)pid, status);
}

/** fork() that cannot fail. */
static inline pid_t fork_child(void)
{
    fflush(NULL);
    pid_t pid = fork();
    need(pid >= 0);
    return pid;
}

/* ---- contents ---- */

static inline uint64_t victim_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 33);
}

/** Byte at an offset of the pattern of a seed; it is never the same twice in a page or in two pages. */
static inline unsigned char pattern_byte(uint64_t seed, size_t at)
{
    return (unsigned char)(victim_mix(seed * 1000003 + at / 8) >> (at % 8 * 8));
}

static inline void fill(void *memory, size_t size, uint64_t seed)
{
    unsigned char *p = memory;
    for (size_t i = 0; i < size; i++)
        p[i] = pattern_byte(seed, i);
}

/** Offset of the first byte that differs from the pattern, or -1. */
static inline long mismatch(const void *memory, size_t size, uint64_t seed)
{
    const volatile unsigned char *p = memory;
    for (size_t i = 0; i < size; i++)
        if (p[i] != pattern_byte(seed, i))
            return (long)i;
    return -1;
}

#define check_pattern(memory, size, seed)                                                         \
    do {                                                                                          \
        long at_ = mismatch(memory, size, seed);                                                  \
        check(at_ < 0, "contents of %s change at byte %ld of %zu", #memory, at_, (size_t)(size)); \
    } while (0)

static inline bool all_zero(const void *memory, size_t size)
{
    const volatile unsigned char *p = memory;
    for (size_t i = 0; i < size; i++)
        if (p[i])
            return false;
    return true;
}

/* ---- looking at /proc without the heap ---- */

/** Reads a file whole; ends it with NUL. Returns its length, -1 on error. */
static inline ssize_t read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t length = 0;
    ssize_t n;
    while (length + 1 < size && (n = read(fd, buffer + length, size - 1 - length)) > 0)
        length += (size_t)n;
    buffer[length] = '\0';
    close(fd);
    return (ssize_t)length;
}

/** Value of a "Key:   value" line in a /proc file; false if there is none. */
static inline bool proc_value(const char *path, const char *key, char *value, size_t size)
{
    static _Thread_local char text[16384];
    if (read_file(path, text, sizeof text) < 0)
        return false;
    size_t length = strlen(key);
    for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, length) == 0 && line[length] == ':') {
            line += length + 1;
            line += strspn(line, " \t");
            snprintf(value, size, "%.*s", (int)strcspn(line, "\n"), line);
            return true;
        }
    }
    return false;
}

static inline long proc_number(const char *path, const char *key)
{
    char value[128];
    return proc_value(path, key, value, sizeof value) ? strtol(value, NULL, 0) : -1;
}

/** Line of /proc/self/maps that covers an address, or for key "VmFlags" and so on that line of smaps. */
static inline bool map_line(const void *address, const char *key, char *line, size_t size)
{
    FILE *file = fopen(key ? "/proc/self/smaps" : "/proc/self/maps", "re");
    char text[1024];
    bool inside = false, found = false;
    need(file);
    while (!found && fgets(text, sizeof text, file)) {
        unsigned long start, end;
        text[strcspn(text, "\n")] = '\0';
        if (sscanf(text, "%lx-%lx ", &start, &end) == 2) {
            inside = start <= (unsigned long)address && (unsigned long)address < end;
            found = inside && !key;
        } else if (inside && key && strncmp(text, key, strlen(key)) == 0) {
            found = true;
        }
        if (found)
            copy_text(line, size, text);
    }
    fclose(file);
    return found;
}

static inline void vm_flags(const void *address, char *flags, size_t size)
{
    char line[512] = "";
    map_line(address, "VmFlags:", line, sizeof line);
    /* Soft-dirty marks belong to whoever tracks memory, not to the program. */
    for (char *mark; (mark = strstr(line, " sd"));)
        memmove(mark, mark + 3, strlen(mark + 3) + 1);
    copy_text(flags, size, line);
}

/** Compares two texts line by line. */
static inline void same_lines(const char *what, const char *is, const char *was)
{
    while (*is || *was) {
        int is_length = (int)strcspn(is, "\n"), was_length = (int)strcspn(was, "\n");
        check(is_length == was_length && strncmp(is, was, (size_t)was_length) == 0, "%s: now \"%.*s\", was \"%.*s\"",
              what, is_length, is, was_length, was);
        is += is_length + (is[is_length] == '\n');
        was += was_length + (was[was_length] == '\n');
    }
}

/** Number of the system call that a thread of this process is blocked in; -1: it is running. */
static inline long blocked_call(pid_t tid)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", (int)tid);
    if (read_file(path, text, sizeof text) <= 0 || text[0] < '0' || text[0] > '9')
        return -1;
    return strtol(text, NULL, 10);
}

/** Waits until the thread is blocked in that call, or in restart_syscall() that goes on with it; false after 20 s. */
static inline bool await_blocked(pid_t tid, long number)
{
    for (int i = 0; i < 20000; i++) {
        long now = blocked_call(tid);
        if (now == number || now == SYS_restart_syscall)
            return true;
        victim_nap();
    }
    return false;
}

static inline char process_state(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_file(path, text, sizeof text) <= 0)
        return '-';
    char *after = strrchr(text, ')');
    return after ? (char)after[2] : '-';
}

static inline bool await_state(pid_t pid, char state)
{
    for (int i = 0; i < 20000; i++) {
        if (process_state(pid) == state)
            return true;
        victim_nap();
    }
    return false;
}

/* ---- time ---- */

static inline int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* ---- memory ---- */

static inline void *map_memory(size_t size, int flags)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    need(p != MAP_FAILED);
    return p;
}

static inline bool is_case(int argc, char **argv, const char *name)
{
    return argc > 1 && strcmp(argv[1], name) == 0;
}

#endif
