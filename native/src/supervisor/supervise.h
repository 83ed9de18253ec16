/*
 * supervise.h - the outside half: the process that the shell or the scheduler knows as the job.
 *
 * It passes signals on to the job's root, stops and continues with it, and ends as the root ended. It works with a job's init
 * as its child (init.h), which is pid 1 of a namespace or a subreaper, or with the root itself. The order of calls in a program:
 *
 *     signals_take(); [agent_start(); agent_await();] signals_block(); namespace_enter() or fork;
 *     supervise(); [agent_ended();] exit_as().
 */
#ifndef CAESURA_SUPERVISOR_SUPERVISE_H
#define CAESURA_SUPERVISOR_SUPERVISE_H

#include <stddef.h>
#include <sys/types.h>

#include "caesura.h"
#include "supervisor/agent.h"
#include "supervisor/signals.h"
#include "supervisor/task.h"

/**
 * Called once, when the root runs; root is its pid as seen from here, 0 if /proc does not tell. Descriptors are still as they
 * were. A result other than 0 ends supervise() at once with that exit status, for BLCR's hooks.
 */
typedef int (*supervise_started_fn)(pid_t root, void *data);

struct supervise_request {
    const char *program;                /**< name of the calling program, for messages */
    pid_t child;                        /**< our child: the job's init, or the root itself */
    int channel;                        /**< of the init; -1: child is the root. Closed at the end */
    const struct signal_state *signals; /**< what the job was given */
    struct agent *agent;                /**< NULL: none */
    const char *prefix, *folder;  /**< with agent: the installed tree, and the folder of the job, for its requests */
    struct batch_task *task;      /**< of a batch job, instead of agent; NULL: it is none */
    supervise_started_fn started; /**< NULL: none */
    void *data;                   /**< for started */
    const int *keep_fds;          /**< descriptors to leave open */
    size_t keep_count;
};

/**
 * Supervises until the root has ended and, where there is an init, that with everything else below it. Needs signals_block(). When the
 * root runs, stdin and stdout become /dev/null and descriptors from 3 on are closed, but for the agent's and keep_fds.
 * *wait_status is the root's, or that of pid 1 if that was killed, or the signal that came before there was a root.
 * Returns 0, or a negated code if there never was a root: what pid 1 reported with init_fail(), or an errno.
 */
int supervise(const struct supervise_request *request, int *wait_status, struct caesura_error *err);

#endif
