/*
 * descriptors.h - open file descriptions and descriptor tables: looking at them, and making them again.
 *
 * docs/descriptors.md is the description for people: every kind, what comes back, and what is refused. Thread rule: capture
 * side, the thread that froze the scope; restore side, the builder or a stub, as said. Functions return 0, or a negated
 * code with *err filled.
 */
#ifndef CAESURA_DESCRIPTORS_H
#define CAESURA_DESCRIPTORS_H

#include <fcntl.h>

#include "capture/capture.h"
#include "restore/restore.h"

/**
 * Looks at every descriptor of every target: fills process->descriptors and files_of, context.descriptions and
 * context.locks, notes regular files with files_note(). What cannot be made again is named with capture_refuse(). Reads
 * data that is in pipes, sockets and the like without taking it out.
 */
int descriptors_capture(struct caesura_capture *capture, struct caesura_error *err);
void descriptors_free(struct caesura_capture *capture);

/**
 * In the builder, before it forks: makes every description, fills restore->description_fds (which it allocates if NULL).
 * Needs restore->fd_base and the builder's own stdin, stdout and stderr as cr_restart got them. It may leave behind one
 * child for each pipe from outside with unread data, which then copies stdin to it; no wait() without __WALL sees it.
 * It is also the place where soft RLIMIT_NOFILE is raised to the hard one. On failure call descriptors_close() all the same.
 */
int descriptors_open(struct restore *restore, struct caesura_error *err);
/**
 * In a stub: puts the process's descriptors to their numbers and closes every other one below restore->fd_base; POSIX locks
 * of the process are taken. Descriptors from fd_base on are left open, but those on files that the process has locked: the
 * kernel drops POSIX locks with any close of such a file. A process that shares its table (files_of) has to be forked with
 * CLONE_FILES by the one that owns it; then nothing is done for it here. Otherwise it gets a copy, with a note.
 */
int descriptors_install(struct restore *restore, const struct process *process, struct caesura_error *err);
/**
 * In the builder when all stubs exist and have their descriptors: what needs other processes to be there (pidfds, files of
 * /proc, epoll items, owners). Forks and reaps one short-lived child.
 */
int descriptors_connect(struct restore *restore, struct caesura_error *err);
/**
 * In a stub, after descriptors_connect(): takes what that made. Only needed (descriptors_finish_needed()) if the context has
 * descriptors that can be opened no earlier.
 */
int descriptors_finish(struct restore *restore, const struct process *process, struct caesura_error *err);
bool descriptors_finish_needed(const struct restore *restore);
/** In the builder, when all stubs have been forked and are connected: closes its copies, so that pipes can end; frees. */
void descriptors_close(struct restore *restore);

/* A POSIX lock as the argument of fcntl(fd, F_SETLK, &lock). */
struct descriptor_lock {
    int fd;
    struct flock lock;
};

/**
 * The POSIX locks of a process, heap memory of the caller's. For a process that has a locked file mapped: the descriptor
 * for mapping has to be closed after descriptors_install(), which drops the locks, so they have to be taken once more.
 */
int descriptors_locks(const struct restore *restore, const struct process *process, struct descriptor_lock **locks,
                      size_t *count, struct caesura_error *err);

#endif
