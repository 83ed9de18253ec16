/*
 * namespace.h - the namespaces of a job: pids of its own, and a /proc that shows them.
 *
 * An ordinary user gets them inside a user namespace in which his uid and gid keep their numbers; root gets them without
 * one, so that set-uid programs and other users' files go on to work as before.
 */
#ifndef CAESURA_SUPERVISOR_NAMESPACE_H
#define CAESURA_SUPERVISOR_NAMESPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "caesura.h"

/** Value of last_pid: choose a place by the supervisor's pid, so that jobs of one host have different pids. */
#define NAMESPACE_SPREAD (-1)

struct namespace_request {
    bool private_shm;            /**< an empty tmpfs on /dev/shm */
    bool own_ipc;                /**< also an IPC namespace */
    bool own_clocks;             /**< also a time namespace, with the two offsets below */
    int64_t monotonic_offset_ns; /**< added to the host's CLOCK_MONOTONIC */
    int64_t boottime_offset_ns;  /**< added to the host's CLOCK_BOOTTIME */
    int32_t last_pid; /**< the pid before the first one given out; 0: as the kernel likes; NAMESPACE_SPREAD */
};

struct namespace_child {
    pid_t pid;   /**< the job's init as the caller sees it; a child of the caller */
    int channel; /**< the supervisor's end, close-on-exec; see channel.h */
};

/** Runs as pid 1 with the inner end of the channel; what it returns becomes the exit status of pid 1. */
typedef int (*namespace_main_fn)(int channel, void *data);

/**
 * Makes the namespaces and runs main(channel, data) in a forked child that is their pid 1. When this returns 0, pid 1 is
 * the caller's child, /proc is mounted and SIGKILL will reach pid 1 if the caller dies; main may not have begun yet. The
 * caller itself stays where it is. Call it from a single-threaded process after signals_take().
 *
 * Returns 0 or a negated code: ENAMESPACE if the kernel or the site forbids a part of it (the message names the part and the
 * reason), else an errno. After a failure nothing is left behind.
 */
int namespace_enter(const struct namespace_request *request, namespace_main_fn main, void *data,
                    struct namespace_child *child, struct caesura_error *err);

/**
 * Where there can be no namespace: runs main(channel, data) in a forked child that adopts what its descendants leave behind.
 * When main returns, or sees that the supervisor is gone (init_reap_until() does), everything below that child is killed.
 * It cannot do so if it is itself killed, so the root should ask for PR_SET_PDEATHSIG. Returns 0 or a negated code.
 */
int namespace_without(namespace_main_fn main, void *data, struct namespace_child *child, struct caesura_error *err);

/**
 * The pid base of a job: a multiple of 512 that depends on host_pid only, with a quarter of the pids above it; 0 if
 * pid_max is too small for that.
 */
int32_t namespace_pid_base(pid_t host_pid, int32_t pid_max);

#endif
