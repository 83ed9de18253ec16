/*
 * sysv.h - System V IPC: shared memory segments and semaphores of a scope, with their numbers.
 *
 * They belong to an IPC namespace, not to a process, so what belongs to a scope has to be found out: segments that it has
 * attached, and what its processes were the last to use. docs/limits.md says what that leaves out.
 */
#ifndef CAESURA_SYSV_H
#define CAESURA_SYSV_H

#include "capture/capture.h"
#include "restore/restore.h"

/**
 * Capture: fills context.sysv. Call when the maps of all processes are in their records. What cannot be taken (attached outside
 * of the scope too, attached by nobody, message queues) is refused with capture_refuse().
 */
int sysv_collect(struct caesura_capture *capture, struct caesura_error *err);

/**
 * Restore: makes all of it, with the old numbers, in the IPC namespace that we are in. Errors: EBUSY (a number or key is
 * taken), EPERM (this user may not choose numbers here).
 */
int sysv_make(struct restore *restore, struct caesura_error *err);
/** Attaches the segment of that file record at that address; we hold it then, so it lives even if it is to be removed. */
int sysv_attach(const struct restore *restore, const struct file *file, uint64_t address, bool read_only,
                struct caesura_error *err);
/** Gives segments owner, mode and locks, and marks those that were marked to be removed. Call when they are filled. */
int sysv_settle(const struct restore *restore, struct caesura_error *err);
/** Removes what sysv_make() has made, after a restart that failed. */
void sysv_undo(struct restore *restore);

#endif
