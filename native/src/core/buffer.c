#include "core/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

void *buffer_reserve(struct buffer *buffer, size_t size)
{
    if (buffer->failed)
        return NULL;
    if (size > buffer->capacity - buffer->size) {
        size_t want = buffer->capacity ? buffer->capacity : 256;
        /* Doubling must not run past the end of the type; so much memory is not to be had anyway. */
        bool possible = size < SIZE_MAX / 4 && buffer->size < SIZE_MAX / 4;
        while (possible && want - buffer->size < size)
            want *= 2;
        uint8_t *grown = possible ? realloc(buffer->data, want) : NULL;
        if (!grown) {
            buffer->failed = true;
            return NULL;
        }
        buffer->data = grown;
        buffer->capacity = want;
    }
    void *room = buffer->data + buffer->size;
    buffer->size += size;
    return room;
}

void buffer_bytes(struct buffer *buffer, const void *data, size_t size)
{
    void *room = buffer_reserve(buffer, size);
    if (room && size)
        memcpy(room, data, size);
}

void buffer_u32(struct buffer *buffer, uint32_t value)
{
    uint8_t bytes[4] = {value, value >> 8, value >> 16, value >> 24};
    buffer_bytes(buffer, bytes, sizeof bytes);
}

void buffer_u64(struct buffer *buffer, uint64_t value)
{
    buffer_u32(buffer, (uint32_t)value);
    buffer_u32(buffer, (uint32_t)(value >> 32));
}

void buffer_string(struct buffer *buffer, const char *text)
{
    size_t size = text ? strlen(text) : 0;
    buffer_u32(buffer, (uint32_t)size);
    buffer_bytes(buffer, text, size);
}

void buffer_blob(struct buffer *buffer, const struct blob *blob)
{
    buffer_u32(buffer, blob->size);
    buffer_bytes(buffer, blob->data, blob->size);
}

void buffer_patch_u32(struct buffer *buffer, size_t offset, uint32_t value)
{
    if (buffer->failed)
        return;
    for (int i = 0; i < 4; i++)
        buffer->data[offset + i] = (uint8_t)(value >> (8 * i));
}

void buffer_format(struct buffer *buffer, const char *fmt, ...)
{
    va_list args;
    char small[256];

    va_start(args, fmt);
    int size = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (size < (int)sizeof small) {
        buffer_bytes(buffer, small, (size_t)size);
        return;
    }
    char *room = buffer_reserve(buffer, (size_t)size + 1);
    if (!room)
        return;
    va_start(args, fmt);
    vsnprintf(room, (size_t)size + 1, fmt, args);
    va_end(args);
    buffer->size--;
}

void reader_no_memory(struct reader *reader)
{
    reader->failed = reader->no_memory = true;
}

const void *reader_bytes(struct reader *reader, size_t size)
{
    if (reader->failed || size > reader->left) {
        reader->failed = true;
        return NULL;
    }
    const void *bytes = reader->data;
    reader->data += size;
    reader->left -= size;
    return bytes;
}

uint32_t reader_u32(struct reader *reader)
{
    const uint8_t *b = reader_bytes(reader, 4);
    return b ? b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24 : 0;
}

uint64_t reader_u64(struct reader *reader)
{
    uint64_t low = reader_u32(reader);
    return low | (uint64_t)reader_u32(reader) << 32;
}

char *reader_string(struct reader *reader)
{
    uint32_t size = reader_u32(reader);
    const char *bytes = reader_bytes(reader, size);

    if (!bytes)
        return NULL;
    if (memchr(bytes, 0, size)) {
        reader->failed = true;
        return NULL;
    }
    char *text = malloc((size_t)size + 1);
    if (!text) {
        reader_no_memory(reader);
        return NULL;
    }
    memcpy(text, bytes, size);
    text[size] = 0;
    return text;
}

void reader_blob(struct reader *reader, struct blob *blob)
{
    *blob = (struct blob){0};
    uint32_t size = reader_u32(reader);
    const void *bytes = reader_bytes(reader, size);
    if (!bytes || !size)
        return;
    blob->data = malloc(size);
    if (!blob->data) {
        reader_no_memory(reader);
        return;
    }
    memcpy(blob->data, bytes, size);
    blob->size = size;
}

struct reader reader_sub(struct reader *reader, size_t size)
{
    const void *bytes = reader_bytes(reader, size);
    return (struct reader){.data = bytes, .left = bytes ? size : 0, .failed = !bytes};
}
