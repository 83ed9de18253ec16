/*
 * plan.h - the plan of a restart: the argument vector of cr-restore, which the engine writes into a pipe. Each argument is
 * ended by NUL; the first one is the word cr-restore.
 */
#ifndef CAESURA_LAUNCHER_PLAN_H
#define CAESURA_LAUNCHER_PLAN_H

#include <stddef.h>

#include "caesura.h"

struct plan {
    char *bytes; /**< owned by the plan for the life of the process */
    size_t size;
    size_t count; /**< arguments; 0: no restart is wanted */
};

/** Reads until the writer closes. Returns 0 or a negated code: EENGINE for an unfinished or too long plan, or an errno. */
int plan_read(int fd, struct plan *plan, struct caesura_error *err);

/** Becomes PREFIX/libexec/caesura/cr-restore. Returns a negated code if that fails. */
int plan_exec(const struct plan *plan, const char *prefix, struct caesura_error *err);

#endif
