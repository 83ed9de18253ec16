/*
 * buffer.h - growing byte buffers, and bounded reading of bytes that may be hostile. Numbers are little-endian.
 *
 * Both remember the first failure, so that a caller checks once at the end: a writer that ran out of memory, a reader that
 * ran past its end. A failed reader returns zeros, empty blobs and no strings (NULL).
 */
#ifndef CAESURA_CORE_BUFFER_H
#define CAESURA_CORE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes of known length; data is owned by whoever owns the structure it is in. */
struct blob {
    void *data;
    uint32_t size;
};

struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed; /**< out of memory; contents are then useless */
};

void buffer_free(struct buffer *buffer);
/** Room for size more bytes at the end, which count as written; NULL on failure. */
void *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_bytes(struct buffer *buffer, const void *data, size_t size);
void buffer_u32(struct buffer *buffer, uint32_t value);
void buffer_u64(struct buffer *buffer, uint64_t value);
/** Length as u32, then the bytes without NUL; NULL is written as the empty string. */
void buffer_string(struct buffer *buffer, const char *text);
void buffer_blob(struct buffer *buffer, const struct blob *blob);
/** Overwrites four bytes at offset, which must exist. */
void buffer_patch_u32(struct buffer *buffer, size_t offset, uint32_t value);
/** Appends formatted text without its NUL. */
void buffer_format(struct buffer *buffer, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct reader {
    const uint8_t *data;
    size_t left;
    bool failed;
    bool no_memory; /**< failed, and not for what the bytes say */
};

/** Marks the reader as failed for want of memory. */
void reader_no_memory(struct reader *reader);

/** size bytes inside of the reader's memory, or NULL. */
const void *reader_bytes(struct reader *reader, size_t size);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
/** A copy on the heap; NULL only when failed. A string with a NUL inside counts as failure. */
char *reader_string(struct reader *reader);
void reader_blob(struct reader *reader, struct blob *blob);
/** A reader for the next size bytes, which the outer reader skips. Its failure is not the outer one's by itself. */
struct reader reader_sub(struct reader *reader, size_t size);

#endif
