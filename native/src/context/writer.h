/*
 * writer.h - writes the sections of a context to one descriptor, front to back, never seeking.
 *
 * Thread rule: one writer, one thread. The descriptor stays the caller's.
 */
#ifndef CAESURA_CONTEXT_WRITER_H
#define CAESURA_CONTEXT_WRITER_H

#include "caesura.h"
#include "context/format.h"
#include "core/buffer.h"

struct context_writer {
    int fd;
    uint64_t offset;     /* bytes written */
    uint64_t data_bytes; /* of them, data of PAGES and CONTENT */
    uint64_t sections;
    uint32_t headers_checksum;
    struct buffer frame; /* payload under construction */
    size_t data_offset;  /* in it */
};

/** Writes the file header. set_id: 16 bytes. */
int context_writer_start(struct context_writer *writer, int fd, const uint8_t *set_id, uint32_t index, uint32_t count,
                         struct caesura_error *err);
/** Writes a section whose payload is a complete buffer; frees nothing. */
int context_writer_section(struct context_writer *writer, uint32_t type, uint32_t owner, const struct buffer *payload,
                           struct caesura_error *err);
/**
 * A PAGES or CONTENT section is written in two steps: context_writer_data() gives FORMAT_FRAME_BYTES of room, of which the
 * caller fills `size` bytes, the data of all extents one after the other; context_writer_commit() writes them.
 */
uint8_t *context_writer_data(struct context_writer *writer, struct caesura_error *err);
/** size is the sum of the sizes of the extents, count at most FORMAT_FRAME_EXTENTS; nothing is written if count is 0. */
int context_writer_commit(struct context_writer *writer, uint32_t type, uint32_t owner,
                          const struct format_extent *extents, uint32_t count, size_t size, struct caesura_error *err);
/** Writes the END section. */
int context_writer_end(struct context_writer *writer, struct caesura_error *err);
void context_writer_free(struct context_writer *writer);

#endif
