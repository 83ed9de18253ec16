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
    uint64_t *read_only;    /* the same for System V segments that a process has attached to read only */
};

/** Maps the arena in the builder, at addresses that no process of the context uses, and fills the shared objects. */
int arena_make(struct restore *restore, struct caesura_error *err);

/** Where a map of shared memory is a part of, or 0 if it is of something else. */
uint64_t arena_object(const struct arena *arena, const struct map *map);

/** Lets go of shared memory that lives as long as somebody has it attached. For the builder, at the end. */
void arena_leave(struct restore *restore);

#endif
