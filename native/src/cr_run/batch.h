/* batch.h - cr_run as the task of a batch job: what the plugin or hook of the scheduler has put in the program's place. */
#ifndef CAESURA_CR_RUN_BATCH_H
#define CAESURA_CR_RUN_BATCH_H

#include "supervisor/task.h"

/**
 * Runs the task's command with these arguments (NULL-terminated, without the command itself) and ends as the job ended. The
 * job runs whatever is wrong on our side, but one thing: a job that was started before may have contexts, and is not run from
 * the start only because there is no engine to look. Call it before any signal is blocked.
 */
_Noreturn void batch_run(struct batch_task *task, char *const *arguments);

#endif
