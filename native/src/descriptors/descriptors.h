/*
 * descriptors.h - open file descriptions and descriptor tables: looking at them, and making them again.
 */
#ifndef CAESURA_DESCRIPTORS_H
#define CAESURA_DESCRIPTORS_H

#include "capture/capture.h"
#include "restore/restore.h"

/**
 * Looks at every descriptor of every target: fills process->descriptors, context.descriptions and context.locks, notes
 * regular files with files_note(). What cannot be made again is named with capture_refuse(). Reads data that is in pipes,
 * sockets and the like without taking it out.
 */
int descriptors_capture(struct caesura_capture *capture, struct caesura_error *err);
void descriptors_free(struct caesura_capture *capture);

/** In the builder, before it forks: makes every description, fills restore->description_fds. */
int descriptors_open(struct restore *restore, struct caesura_error *err);
/**
 * In a stub: puts the process's descriptors to their numbers and closes every other one below restore->fd_base; locks of
 * the process are taken, owners (F_SETOWN) set. Descriptors from fd_base on are left open.
 */
int descriptors_install(struct restore *restore, const struct process *process, struct caesura_error *err);
/**
 * In the builder when all stubs exist and have their descriptors: what needs other processes to be there (pidfd, epoll
 * items, ...).
 */
int descriptors_connect(struct restore *restore, struct caesura_error *err);

#endif
