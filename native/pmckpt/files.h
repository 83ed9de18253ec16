/* Descriptors: which are open and where they stand, and bringing them back to that. */
#ifndef PMCKPT_FILES_H
#define PMCKPT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "error.h"
#include "format.h"

struct ckpt_file {
    struct ckpt_descriptor descriptor;
    char *path; /* what the kernel calls it */
};

/* Sorted by number. */
struct ckpt_files {
    struct ckpt_file *list;
    size_t count;
};

/* Takes note of what is open at the start of the program, as that cannot be opened again by name. */
void ckpt_files_at_start(void);

/*
 * Fills `files` with what is open except `own`, and writes files that are open for writing to disk: what the checkpoint takes for
 * written has to survive a crash. The caller frees with ckpt_files_free(), also after an error.
 */
int ckpt_files_get(struct ckpt_files *files, int own, struct ckpt_error *error);
void ckpt_files_free(struct ckpt_files *files);

/*
 * Makes the numbers above 2 that are free or taken now those that were so at the start of the program, so that a
 * preamble gets the same numbers as then. Keeps the descriptor `keep`.
 */
void ckpt_files_make_start(const struct ckpt_files *files, int keep);

/* A file that stands at its place of the checkpoint, but still has what was written after that behind it. */
struct ckpt_moved_back {
    int number;
    dev_t device;
    ino_t inode;
    off_t position; /* bytes, also below */
    off_t size;
};

enum { MOVED_BACK_MAX = 32 };

struct ckpt_moved_back_list {
    size_t count;
    struct ckpt_moved_back files[MOVED_BACK_MAX];
};

/*
 * Brings the descriptors of this process, which preambles may have opened, to the state in `files`. All are checked
 * before the first is changed; a descriptor may then stand elsewhere, but no file is changed unless all is well.
 * With `cut`, files that have grown are cut back at once. Keeps the descriptor `keep`.
 */
int ckpt_files_put(const struct ckpt_files *files, bool cut, int keep, struct ckpt_moved_back_list *moved,
                   struct ckpt_error *error);

/* Makes `moved` the list that ckpt_files_at_end() and ckpt_files_get() go by. */
void ckpt_files_remember(const struct ckpt_moved_back_list *moved);

/* At the program's end: cuts off what is still left from before a crash behind the program's own output. */
void ckpt_files_at_end(void);

#endif
