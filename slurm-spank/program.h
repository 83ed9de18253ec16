/* program.h - running one of our programs from inside of Slurm's: bounded in time and output, without a shell. */
#ifndef CAESURA_SLURM_PROGRAM_H
#define CAESURA_SLURM_PROGRAM_H

#include "caesura.h"

/** What came of a program. Output beyond the arrays is dropped; both end in NUL. */
struct program_result {
    int status; /**< as waitpid() gives it */
    char out[1024];
    char err[4096];
};

/**
 * Runs argv[0], an absolute path, with the environment envp, stdin from /dev/null and default signals, in a process group of
 * its own that is killed when the deadline passes. Returns 0 with *result filled, also for a status that is not 0; or a
 * negated code if it could not be started or did not end in time.
 */
int program_run(char *const argv[], char *const envp[], unsigned deadline_ms, struct program_result *result,
                struct caesura_error *err);

#endif
