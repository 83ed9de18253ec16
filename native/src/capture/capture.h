/*
 * capture.h - the inside of struct caesura_capture, for the folders that fill it in (memory, descriptors, files).
 *
 * Two kinds of pid meet here: those that this process sees (targets, tasks: pid_t pid, tid) and those of the processes' own
 * pid namespace (everything in the model). proc_map_pid() of proc/ tells the latter. All of this runs on the thread that
 * froze the scope.
 */
#ifndef CAESURA_CAPTURE_H
#define CAESURA_CAPTURE_H

#include <stdbool.h>
#include <sys/types.h>

#include "caesura.h"
#include "context/writer.h"
#include "core/arch_x86_64.h"
#include "freeze/scope.h"
#include "model/model.h"

enum task_state { TASK_RUNNING, TASK_STOPPED, TASK_GONE };

/* A thread that we trace. */
struct task {
    pid_t tid;       /* as we see it */
    pid_t inner_tid; /* in its own namespace */
    arch_regs regs;  /* as they have to be when it goes on */
    uint64_t sigmask;
    enum task_state state;
    int stop_signal; /* of a group stop, 0: none */
    bool loose;      /* runs although the rest is stopped: a parent waits for it in vfork() */
};

struct remote;

/* A stopped process, or a zombie (then n_tasks is 0). */
struct target {
    pid_t pid;      /* as we see it */
    pid_t live_tid; /* a thread that has not ended, for what belongs to all threads: /proc/LIVE_TID/maps ... */
    pid_t inner_pid;
    pid_t parent; /* as we see it; 0 if outside of our namespace */
    bool zombie;
    bool was_stopped;        /* by a job control signal */
    bool foreign;            /* seen only because it was born during the freeze; not in the scope */
    int pidfd;               /* for pidfd_getfd(); -1 for zombies */
    struct process *process; /* its record in the model */
    struct task *tasks;      /* the first is the leader unless that has ended */
    size_t n_tasks;
    size_t capacity;
    struct remote *remote; /* while system calls are made through it; see remote/remote.h */
};

struct callbacks;       /* private to callbacks/ */
struct file_set;        /* private to files/ */
struct description_set; /* private to descriptors/ */

struct caesura_capture {
    struct caesura_capture_request request;
    caesura_log_fn log;
    void *log_data;
    struct context context; /* context.processes[i] belongs to targets[i] */
    struct target *targets;
    size_t n_targets;
    size_t capacity;
    size_t refusals;
    struct caesura_error first_refusal;
    struct callbacks *callbacks;
    struct pid_list left_out; /* processes that a callback of theirs left out, but not their children */
    struct caesura_capture_request *forwarded; /* scopes that callbacks have added */
    size_t n_forwarded;
    bool doomed;  /* a callback refused for good: the scope is killed */
    bool written; /* there is a context */
    struct file_set *files;
    struct description_set *descriptions;
    struct caesura_capture_result result;
    uint64_t frozen_at_ns; /* CLOCK_MONOTONIC */
    bool released;
    caesura_progress_fn progress;
    void *progress_data;
    uint64_t progress_done, progress_total, progress_at_ns;
};

/**
 * Notes an obstacle: what (kind, with the object's name) and what to do. Capture goes on looking, so that --check can name
 * all; caesura_capture_open() then fails with the first. fd -1: none. pid is the inner pid.
 */
void capture_refuse(struct caesura_capture *capture, int pid, int fd, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/** A line for the log, level as in caesura_log_level. */
void capture_log(struct caesura_capture *capture, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** The target with that inner pid, or NULL. */
struct target *capture_target(const struct caesura_capture *capture, int32_t inner_pid);

/** Counts bytes as done and tells the progress callback now and then. */
void capture_progress(struct caesura_capture *capture, uint64_t bytes);

#endif
