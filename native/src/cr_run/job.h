/* job.h - cr_run --checkpoint: a job of the `local` scheduler, with the engine's agent beside it. */
#ifndef CAESURA_CR_RUN_JOB_H
#define CAESURA_CR_RUN_JOB_H

#include <stdbool.h>

#include "caesura.h"
#include "supervisor/namespace.h"
#include "supervisor/root.h"

struct job {
    const char *program; /**< argv[0]'s last part, for messages */
    const char *prefix;  /**< the installed tree */
    const char *spec;
    const char *name; /**< NULL: the engine makes one */
    bool no_namespace;
    bool private_shm;
    char *const *command; /**< NULL-terminated, at least one */
};

/**
 * Runs the job and ends as it ended; returns only when it could not be started, with a negated code. Call it first of all,
 * while the signal state is what the program was started with.
 */
int job_run(const struct job *job, struct caesura_error *err);

/**
 * Starts command below an init of its own: in namespaces, or without where that is wanted or forbidden (which is said on
 * stderr). Returns 0 or a negated code.
 */
int job_start(struct root_command *command, bool no_namespace, bool private_shm, struct namespace_child *child,
              struct caesura_error *err);

#endif
