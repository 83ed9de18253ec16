/*
 * fdinfo.h - understanding the text of /proc/PID/fdinfo/FD. Pure functions: reading the file is the caller's.
 *
 * Lines that are not known are skipped, since kernels add some; a known line that cannot be understood is an error, never
 * a zero.
 */
#ifndef CAESURA_PROC_FDINFO_H
#define CAESURA_PROC_FDINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "caesura.h"

/* "tfd:" of an epoll descriptor. */
struct fdinfo_item {
    int32_t fd;
    uint32_t events;
    uint64_t data;
    uint64_t ino; /* 0 if the kernel does not tell (before 4.14) */
    uint32_t dev; /* as the kernel numbers them: major << 20 | minor */
};

#define FDINFO_HANDLE_MAX 128 /* MAX_HANDLE_SZ */

/* "inotify wd:". */
struct fdinfo_watch {
    int32_t wd;
    uint64_t ino;
    uint32_t dev; /* as above */
    uint32_t mask;
    int32_t handle_type;
    uint32_t handle_size; /* 0: the file system has no handles */
    uint8_t handle[FDINFO_HANDLE_MAX];
};

enum fdinfo_lock_kind { FDINFO_FLOCK = 1, FDINFO_POSIX = 2, FDINFO_OFD = 3, FDINFO_LEASE = 4 };

/* "lock:". */
struct fdinfo_lock {
    enum fdinfo_lock_kind kind;
    bool write;
    int32_t pid; /* -1 for OFD locks */
    uint32_t major, minor;
    uint64_t ino;
    uint64_t start, end; /* last byte; UINT64_MAX: to the end of the file */
};

struct fdinfo {
    uint64_t position;
    uint32_t flags; /* O_*, with O_CLOEXEC if the descriptor has it */
    int32_t mount;

    bool has_eventfd;
    uint64_t eventfd_count;
    int eventfd_semaphore; /* -1: the kernel does not tell (before 6.5) */

    bool has_sigmask;
    uint64_t sigmask;

    bool has_timer;
    int32_t timer_clock;
    uint64_t timer_ticks;
    uint32_t timer_flags; /* TFD_TIMER_* */
    uint64_t timer_value_ns, timer_interval_ns;

    bool has_pid; /* a pidfd */
    int32_t pid;  /* as the reader of the text sees it; -1: the process is gone */

    int32_t tty_index; /* -1: not the master of a pseudo terminal */

    struct fdinfo_item *items;
    uint32_t n_items;
    struct fdinfo_watch *watches;
    uint32_t n_watches;
    struct fdinfo_lock *locks;
    uint32_t n_locks;
};

/** Fills info from NUL-terminated text; the caller frees it with fdinfo_free() in any case. Errors: EINVAL_, ENOMEM_. */
int fdinfo_parse(const char *text, struct fdinfo *info, struct caesura_error *err);
void fdinfo_free(struct fdinfo *info);

/** The device number that stat() gives for a number as the kernel keeps it. */
uint64_t fdinfo_dev(uint32_t dev);

#endif
