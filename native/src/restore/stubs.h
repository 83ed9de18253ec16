/*
 * stubs.h - forking the processes of a context, as stubs that wait to be attached to.
 */
#ifndef CAESURA_RESTORE_STUBS_H
#define CAESURA_RESTORE_STUBS_H

#include "restore/restore.h"
#include "restore/tree.h"

/**
 * Forks every process of the plan with its pid (unless options say no), lets them take their sessions, groups, descriptors
 * and folders, and returns when all wait. restore->pids is filled. On failure none is left.
 * Errors: EBUSY (a pid is taken), EPERM, ENOENT (a folder), and those of descriptors_install().
 */
int stubs_make(struct restore *restore, const struct tree *tree, struct caesura_error *err);
/** Ends all stubs and waits for those that are our children. */
void stubs_kill(struct restore *restore);

#endif
