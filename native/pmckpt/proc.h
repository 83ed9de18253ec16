/* What /proc says about this process. */
#ifndef PMCKPT_PROC_H
#define PMCKPT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "format.h"

/*
 * A text in a mapping of its own, which is shared memory: so the kernel never merges it with a neighbour, and a walk
 * over the mappings can tell it from what belongs to the program.
 */
struct ckpt_text {
    char *data; /* NULL: nothing */
    size_t length;
    size_t room;
};

/* Reads a file of /proc whole; there is a zero behind its end. May be called again on the same text. */
int ckpt_text_read(struct ckpt_text *text, const char *path, struct ckpt_error *error);
void ckpt_text_free(struct ckpt_text *text);

struct ckpt_mapping {
    uint64_t start, end;
    uint32_t protection; /* PROT_* */
    bool shared;
    bool file_backed;
    const char *path; /* "" if anonymous; lives in the text */
};

/*
 * Takes the next line of /proc/self/maps at *cursor, which starts as the text's data and is moved on. The line is
 * cut up in place. Returns false at the end.
 */
bool ckpt_mapping_next(char **cursor, struct ckpt_mapping *mapping);

/* Whether it is the kernel's: [vvar...], [vdso] and the like. */
bool ckpt_mapping_is_kernels(const struct ckpt_mapping *mapping);

/* Fills the fields start_code to env_end. */
int ckpt_read_memory_layout(struct ckpt_machine *machine, struct ckpt_error *error);

/* Number of threads, or -1. */
int ckpt_count_threads(void);

/* Whether there are timers of timer_create(). False if the kernel does not say. */
bool ckpt_has_posix_timers(void);

#endif
