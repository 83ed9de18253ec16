/*
 * reader.h - reads contexts: the index of sections, the model, and data on demand. Every byte read is checked.
 *
 * Works on seekable descriptors; context_spool() makes one of a pipe or socket. Bytes may be hostile: no length is trusted.
 */
#ifndef CAESURA_CONTEXT_READER_H
#define CAESURA_CONTEXT_READER_H

#include <stdbool.h>

#include "caesura.h"
#include "context/format.h"
#include "model/model.h"

/* A PAGES or CONTENT section. */
struct context_data {
    uint32_t type;
    uint32_t owner;
    int fd;                  /* the file that it is in */
    uint64_t payload_offset; /* in the file */
    uint64_t length;
    uint32_t checksum;
    struct format_extent *extents; /* owned by the context_source */
    uint32_t count;
    uint64_t data_offset; /* in the file */
};

struct context_source {
    const int32_t *fds; /* the caller's */
    size_t n_fds;
    struct format_header header; /* of the first file */
    struct context context;
    struct context_data *data;
    uint32_t n_data;
};

/**
 * Reads everything but the data, and checks all of it; with data_too also the checksums of PAGES and CONTENT. The caller
 * frees source with context_source_free() in any case. Errors: ETRUNCATED, ECORRUPT, EFORMAT, EBADARCH, EIO, ENOMEM.
 */
int context_source_open(struct context_source *source, const int32_t *fds, size_t n_fds, bool data_too,
                        struct caesura_error *err);
void context_source_free(struct context_source *source);

/** Copies what is left in a pipe or socket to an unnamed file; *spooled is a new descriptor. Not needed if fd can seek. */
int context_spool(int fd, int *spooled, struct caesura_error *err);

#endif
