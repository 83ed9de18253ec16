#include "cr_run/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/error.h"
#include "cr_run/job.h"
#include "supervisor/supervise.h"

/* The command line as the scheduler meant it; the result is allocated. */
static char **command_line(const struct batch_task *task, char *const *arguments)
{
    size_t count = 0;

    while (arguments[count])
        count++;
    char **argv = calloc(count + 2, sizeof *argv);
    if (!argv)
        return NULL;
    argv[0] = task->command;
    for (size_t i = 0; i < count; i++)
        argv[i + 1] = arguments[i];
    return argv;
}

/* Without an engine: a first run is run as if we were not there. */
static _Noreturn void run_unprotected(const struct batch_task *task, char *const *argv, const struct caesura_error *err)
{
    if (task->restarts > 0) {
        fprintf(
            stderr,
            "caesura: %s; the job was started before and may have contexts, so it is not run from the start (%s; then "
            "queue it again)\n",
            err->message, err->remedy);
        exit(err->code);
    }
    fprintf(stderr, "caesura: %s; the job runs without checkpoints (%s)\n", err->message, err->remedy);
    signals_restore(task->signals);
    root_exec(task->program, argv);
}

_Noreturn void batch_run(struct batch_task *task, char *const *arguments)
{
    char **argv = command_line(task, arguments);
    struct caesura_error err = {0};
    struct namespace_child child;
    int status = 0;

    if (!argv) {
        error_set(&err, CAESURA_ENOMEM_, "out of memory");
        fprintf(stderr, "caesura: %s\n", err.message);
        exit(err.code);
    }
    if (task->refusal) {
        fprintf(stderr, "caesura: the job runs without checkpoints: %s\n", task->refusal);
        signals_restore(task->signals);
        root_exec(task->program, argv);
    }
    int result = task_begin(task, arguments, &status, &err);
    if (result > 0)
        exit(status);
    if (result < 0)
        run_unprotected(task, argv, &err);
    struct root_command command = {.program = task->program, .argv = argv, .signals = task->signals};
    signals_block();
    result = job_start(&command, false, false, &child, &err);
    if (result == 0) {
        struct supervise_request request = {.program = task->program,
                                            .child = child.pid,
                                            .channel = child.channel,
                                            .signals = task->signals,
                                            .task = task};
        result = supervise(&request, &status, &err);
    }
    if (result < 0)
        status = err.code << 8;
    task_ended(task, &status);
    if (result < 0)
        fprintf(stderr, "caesura: %s (%s)\n", err.message, err.remedy);
    exit_as(status);
}
