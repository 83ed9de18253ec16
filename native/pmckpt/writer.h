/* Writing a CHECKPOINT file so that it is there as a whole or not at all. */
#ifndef PMCKPT_WRITER_H
#define PMCKPT_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "format.h"

/*
 * It may be a part of the memory that it writes: nothing in it changes between the writing and the summing of the
 * same bytes.
 */
struct ckpt_writer {
    const char *name;           /* of the checkpoint file */
    const char *temporary_name; /* of the file that is written and then renamed */
    int fd;
    uint32_t crc;
    uint64_t bytes; /* put so far */
    size_t buffered;
    char buffer[4096];
};

/*
 * Opens the temporary file, empty, and writes the file header. A file that is left over from a process that died is
 * taken; one that a living process writes, or that belongs to somebody else, is an error. Names are not copied.
 */
int ckpt_writer_open(struct ckpt_writer *writer, const char *name, const char *temporary_name,
                     struct ckpt_error *error);

/* Starts a record; exactly `bytes` have to follow, after which ckpt_writer_pad() ends it. */
int ckpt_writer_record(struct ckpt_writer *writer, enum ckpt_record_type type, uint64_t bytes,
                       struct ckpt_error *error);
int ckpt_writer_put(struct ckpt_writer *writer, const void *data, size_t bytes, struct ckpt_error *error);
int ckpt_writer_pad(struct ckpt_writer *writer, struct ckpt_error *error);

/* Writes the last record, and makes the file the checkpoint file: durable, and instead of the former one. */
int ckpt_writer_commit(struct ckpt_writer *writer, struct ckpt_error *error);

/* Removes the temporary file after an error. */
void ckpt_writer_abandon(struct ckpt_writer *writer);

#endif
