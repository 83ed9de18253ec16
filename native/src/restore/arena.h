/*
 * arena.h - memory that stays where it is while a stub exchanges its address space: the code and scratch area for remote
 * calls, and the shared anonymous memory of the scope, which stubs inherit and move to its places.
 */
#ifndef CAESURA_RESTORE_ARENA_H
#define CAESURA_RESTORE_ARENA_H

#include "restore/restore.h"

struct arena {
    uint64_t start, size;   /* all of it */
    uint64_t code, scratch; /* see remote_adopt() */
    uint64_t *shared;       /* [file id] where the object lies, or 0; n_files + 1 entries */
};

/** Maps the arena in the builder, at addresses that no process of the context uses, and fills the shared objects. */
int arena_make(struct restore *restore, struct caesura_error *err);

#endif
