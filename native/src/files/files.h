/*
 * files.h - regular files of a scope: which they are, what of them goes into the context, and bringing them back.
 *
 * docs/files.md is the description for people. Thread rule: capture side, the thread that froze the scope; restore side,
 * the builder. Functions return 0, or a negated code with *err filled, unless they say otherwise.
 */
#ifndef CAESURA_FILES_H
#define CAESURA_FILES_H

#include <sys/stat.h>

#include "capture/capture.h"
#include "restore/restore.h"

/* The source of the tmpfs that a supervisor mounts on a job's own /dev/shm, by which it is known again. */
#define FILES_SHM_SOURCE "caesura-shm"

/* How a process was seen to hold a file. */
struct file_sighting {
    const char *path;      /* as /proc shows it; " (deleted)" may follow */
    const struct stat *st; /* of the file itself; st_dev and st_ino identify it */
    int fd;                /* a descriptor of ours on it (stays the caller's; is duplicated), or -1 */
    uint32_t kind;         /* enum file_kind, 0: find out (regular or deleted) */
    uint32_t flags;        /* enum file_flags */
    int pid;               /* who holds it, for messages (inner pid) */
    int holder_fd;         /* at which descriptor; -1: mapped */
};

/* Capture. */

/**
 * Adds the file to the set, or the flags to the one that is there; *id is its number in the context. Every file record of
 * a context comes from here: context.files[id - 1] exists from now on, and may move when others are noted. A file that is
 * not regular needs its kind given.
 */
int files_note(struct caesura_capture *capture, const struct file_sighting *sighting, uint32_t *id,
               struct caesura_error *err);
/**
 * When all have been noted and the maps of all processes are in their records (the CAESURA_SAVE_ flags look there): takes
 * the census of --track, decides whose contents are saved, reads build-ids, completes capture->context.files and .tracked.
 * Warns about files over the limit. A file without a name that cannot be read is refused with capture_refuse(). One
 * without a name or a descriptor is left at FILE_CONTENT_NONE, for memory/ to save.
 */
int files_decide(struct caesura_capture *capture, struct caesura_error *err);
/** Most bytes that files_write() will write, for progress. */
uint64_t files_estimate(const struct caesura_capture *capture);
/**
 * Writes CONTENT sections for every file with FILE_CONTENT_SAVED that has a descriptor or a name, and counts them in
 * result.file_bytes. The scope must still stand still. Errors besides those of the writer: EAGAIN_ if somebody else cut a
 * file or took it away meanwhile, EIO_.
 */
int files_write(struct caesura_capture *capture, struct context_writer *writer, struct caesura_error *err);
/** Forgets the set and closes its descriptors; the records in capture->context stay. */
void files_free(struct caesura_capture *capture);

/* Restore. */

/**
 * Looks only: is every file there and what it was, as far as the context needs it? Changes that can be lived with are told
 * with restore_note(). Errors: ENOENT_ (gone and not saved), EFILECHANGED, EACCES_, EFORMAT.
 */
int files_check(const struct restore *restore, struct caesura_error *err);
/**
 * Brings files back to the checkpoint: cuts tails off, rewrites what changed, makes again what is missing; what is removed
 * goes to options.aside first. Call after files_check(), when nothing else can fail any more but lack of resources. If it
 * fails, the file named is as it was or its former contents are in options.aside; calling it again goes on.
 */
int files_roll_back(struct restore *restore, struct caesura_error *err);
/**
 * Opens the file of a description or map: by name, or, for those without one, the object that is made of the saved
 * contents. The same deleted file or memfd always gives the same object. flags: O_ACCMODE and others as F_GETFL
 * gave them; O_CREAT, O_EXCL, O_TRUNC, O_TMPFILE and O_NOFOLLOW are ignored. Returns the descriptor, close-on-exec,
 * the caller's. Not for FILE_ANON_SHARED and FILE_SYSV. Call after files_roll_back().
 */
int files_open(struct restore *restore, uint32_t file_id, int flags, struct caesura_error *err);
/**
 * Which of our own standard streams (0 to 2) is that file, and is open as flags (O_ACCMODE) say; -1: none. For files that we may
 * not open. path is the relocated one.
 */
int files_own_stream(const struct file *file, const char *path, uint32_t flags);
/**
 * Gives files without a name their mode, time and seals, which might forbid what opening and mapping still had to do, and
 * closes our own descriptors on them. Call when all descriptions are open and all maps made, and no map of ours is left on
 * a memfd; files_open() is then at its end.
 */
int files_seal(struct restore *restore, struct caesura_error *err);
/** Frees what belongs to files/ in restore, also after a failure. */
void files_end(struct restore *restore);

#endif
