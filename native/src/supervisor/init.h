/*
 * init.h - a job's init: starts the root, reaps orphans, reports. It is pid 1 of the job's namespace, or a subreaper.
 *
 * The job ends when its root ends, as it does in a batch system: the init then exits, and what is left is killed: in a
 * namespace by the kernel, else by namespace_without(). Pid 1 installs no handlers, on purpose. Signals for the job go to the root, straight from the supervisor; what
 * somebody sends to all processes of the job (a scheduler does) reaches the root too, and must not end pid 1 in passing: the
 * kernel drops signals without a handler for a pid 1, but SIGKILL and SIGSTOP from outside.
 */
#ifndef CAESURA_SUPERVISOR_INIT_H
#define CAESURA_SUPERVISOR_INIT_H

#include <sys/types.h>

#include "caesura.h"

/** Makes the root a child of the calling process. Returns 0 with its pid in *root, or a negated code. */
typedef int (*init_start_fn)(void *data, pid_t *root, struct caesura_error *err);

/**
 * For a namespace_main_fn: calls start, then init_reap_until(); if start fails, the supervisor gets its error. Returns the
 * exit status for pid 1.
 */
int init_run(int channel, init_start_fn start, void *data);

/**
 * Tells the supervisor about root, a child of the calling process, reaps everything until root has ended, and reports root's
 * stops and its wait status. All descriptors but the channel are let go, 0 to 2 become /dev/null, SIGCHLD is blocked.
 * Returns 0 when root has ended, or a negated errno when the supervisor has gone or pid 1 lacks a descriptor.
 */
int init_reap_until(pid_t root, int channel);

/** Reports that there will be no root; supervise() returns err. Returns 0 or a negated errno. */
int init_fail(int channel, const struct caesura_error *err);

#endif
