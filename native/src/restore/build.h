/* build.h - the flow of a restart, in the builder. */
#ifndef CAESURA_RESTORE_BUILD_H
#define CAESURA_RESTORE_BUILD_H

#include "restore/restore.h"

/**
 * Builds every process of restore->source and lets them run. *root is the eldest. On failure no process is left. fds are the
 * context's files, of which copies are made.
 */
int restore_build(struct restore *restore, pid_t *root, struct caesura_error *err);

/** Does this machine's processor have what the context needs? ECPU with the names of what is missing. */
int restore_check_cpu(const struct context *context, struct caesura_error *err);

#endif
