/*
 * proc.h - reading /proc/PID. Parsing is apart from reading: the proc_parse_* functions are pure.
 *
 * Pids handed in are those that the caller sees. A task that is gone gives -ESRCH.
 */
#ifndef CAESURA_PROC_H
#define CAESURA_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "caesura.h"

/* /proc/PID/status, as far as we need it. */
struct proc_status {
    char state; /* R S D T t Z X */
    pid_t ppid, tracer;
    pid_t inner_pid, inner_tgid, inner_pgid, inner_sid; /* in the innermost pid namespace */
    unsigned levels;                                    /* of pid namespaces that we see it through; 1: ours */
    uint32_t uid[4], gid[4];                            /* real, effective, saved, file system */
    uint32_t groups[256];
    uint32_t n_groups; /* may be larger than the array: then it is cut off */
    uint64_t signals_pending, signals_shared_pending, signals_ignored, signals_caught;
    uint64_t cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
    uint32_t no_new_privs, seccomp, umask;
    uint64_t locked_kib; /* VmLck */
};

/* /proc/PID/stat, as far as we need it. */
struct proc_stat {
    char state;
    pid_t ppid, pgid, sid, tty_pgid;
    uint64_t tty;
    uint32_t exit_signal;
    uint64_t start_time; /* in clock ticks since boot: tells a pid from its successor */
    uint64_t start_code, end_code, start_stack, start_data, end_data, start_brk;
    uint64_t arg_start, arg_end, env_start, env_end;
    uint32_t exit_status;
};

/* A line of /proc/PID/maps or the head of an entry of smaps, with VmFlags if from smaps. */
struct proc_map {
    uint64_t start, end, offset;
    char perms[5];
    uint32_t dev_major, dev_minor;
    uint64_t ino;
    char name[4096 + 64];
    uint64_t page_size; /* in bytes; 0 from maps */
    char vm_flags[256]; /* two-letter words each followed by a blank; empty from maps */
};

/** The whole of /proc/PID/NAME as heap memory with a NUL after it; *size may be NULL. Negative errno on failure. */
int proc_read(pid_t pid, const char *name, char **text, size_t *size);
/** /proc/NAME likewise. */
int proc_read_system(const char *name, char **text);
/** /proc/PID/task/TID/NAME likewise. */
int proc_read_task(pid_t pid, pid_t tid, const char *name, char **text, size_t *size);
/** Target of the link /proc/PID/NAME into a buffer of size bytes. Negative errno on failure. */
int proc_link(pid_t pid, const char *name, char *buffer, size_t size);
/** Number of the namespace (pid, user, mnt, net, ...) of a process. Negative errno on failure. */
int proc_namespace(pid_t pid, const char *kind, uint64_t *number);

int proc_parse_status(const char *text, struct proc_status *status);
int proc_parse_stat(const char *text, struct proc_stat *stat);
/** Parses the entry at *text and moves it to the next one. 1: *map is filled; 0: end; -EINVAL: not understood. */
int proc_next_map(const char **text, struct proc_map *map);
bool proc_map_has_flag(const struct proc_map *map, const char *two_letters);

int proc_status(pid_t pid, struct proc_status *status);
int proc_task_status(pid_t pid, pid_t tid, struct proc_status *status);
int proc_stat(pid_t pid, struct proc_stat *stat);

/** Thread ids of a process, heap memory. Negative errno on failure. */
int proc_tasks(pid_t pid, pid_t **tids, size_t *count);
/** Children of all threads of a process, heap memory. */
int proc_children(pid_t pid, pid_t **pids, size_t *count);
/** Every process that we see, heap memory. */
int proc_all(pid_t **pids, size_t *count);

#endif
