/* root.h - starting the first process of a job from a command line. */
#ifndef CAESURA_SUPERVISOR_ROOT_H
#define CAESURA_SUPERVISOR_ROOT_H

#include <stdbool.h>
#include <sys/types.h>

#include "caesura.h"
#include "supervisor/signals.h"
#include "supervisor/terminal.h"

struct root_command {
    const char *program;                /**< name of the calling program, for messages */
    char *const *argv;                  /**< NULL-terminated; argv[0] is looked for in PATH */
    const struct signal_state *signals; /**< what the job is to get */
    enum job_place place;
    bool die_with_parent; /**< where no namespace does it: SIGKILL when the parent ends */
};

/** Becomes the command. Prints why it could not and ends with 127 (not found) or 126, as shells do. */
_Noreturn void root_exec(const char *program, char *const *argv);

/** Forks the command's process; *root is its pid. An init_start_fn with a struct root_command. Returns 0 or an errno. */
int root_start(void *command, pid_t *root, struct caesura_error *err);

#endif
