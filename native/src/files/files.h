/*
 * files.h - regular files of a scope: which they are, what of them goes into the context, and bringing them back.
 */
#ifndef CAESURA_FILES_H
#define CAESURA_FILES_H

#include <sys/stat.h>

#include "capture/capture.h"
#include "restore/restore.h"

/* How a process was seen to hold a file. */
struct file_sighting {
    const char *path;           /* as /proc shows it; " (deleted)" may follow */
    const struct stat *st;      /* of the file itself; st_dev and st_ino identify it */
    int fd;                     /* a descriptor of ours on it (stays the caller's; is duplicated), or -1 */
    uint32_t kind;              /* enum file_kind, 0: find out (regular or deleted) */
    uint32_t flags;             /* enum file_flags */
    int pid;                    /* who holds it, for messages (inner pid) */
    int holder_fd;              /* at which descriptor; -1: mapped */
};

/* Capture. */

/** Adds the file to the set, or the flags to the one that is there; *id is its number in the context. */
int files_note(struct caesura_capture *capture, const struct file_sighting *sighting, uint32_t *id,
               struct caesura_error *err);
/**
 * When all have been noted: takes the census of --track, decides whose contents are saved, reads build-ids, fills
 * capture->context.files and .tracked. Warns about files over the limit.
 */
int files_decide(struct caesura_capture *capture, struct caesura_error *err);
/** Writes CONTENT sections for every file with FILE_CONTENT_SAVED that has a descriptor or a name. */
int files_write(struct caesura_capture *capture, struct context_writer *writer, struct caesura_error *err);
void files_free(struct caesura_capture *capture);

/* Restore. */

/** Looks only: is every file there and what it was, as far as the context needs it? */
int files_check(const struct restore *restore, struct caesura_error *err);
/**
 * Brings files back to the checkpoint: cuts tails off, rewrites what changed, makes again what is missing; what is removed
 * goes to options.aside first. Call after files_check(), when nothing else can fail any more but lack of resources.
 */
int files_roll_back(struct restore *restore, struct caesura_error *err);
/**
 * Opens the file of a description or map: by name, or, for those without one, the object that is made of the saved
 * contents. The same deleted file or memfd always gives the same object. flags: O_ACCMODE and others as F_GETFL
 * gave them; O_CREAT, O_EXCL and O_TRUNC are ignored. Returns the descriptor.
 */
int files_open(struct restore *restore, uint32_t file_id, int flags, struct caesura_error *err);

#endif
