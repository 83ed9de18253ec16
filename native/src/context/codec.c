#include "context/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The length, and the first field. Together with lists that grow as their elements come, this bounds what hostile bytes can
 * make us allocate to a fixed multiple of their number, whatever counts they claim.
 */
#define RECORD_MIN_BYTES 8

static void encode_u32(struct buffer *buffer, const uint32_t *value)
{
    buffer_u32(buffer, *value);
}
static void encode_i32(struct buffer *buffer, const int32_t *value)
{
    buffer_u32(buffer, (uint32_t)*value);
}
static void encode_u64(struct buffer *buffer, const uint64_t *value)
{
    buffer_u64(buffer, *value);
}
static void encode_str(struct buffer *buffer, char *const *value)
{
    buffer_string(buffer, *value);
}
static void encode_blob(struct buffer *buffer, const struct blob *value)
{
    buffer_blob(buffer, value);
}

static void decode_u32(struct reader *reader, uint32_t *value)
{
    *value = reader->left ? reader_u32(reader) : 0;
}
static void decode_i32(struct reader *reader, int32_t *value)
{
    *value = reader->left ? (int32_t)reader_u32(reader) : 0;
}
static void decode_u64(struct reader *reader, uint64_t *value)
{
    *value = reader->left ? reader_u64(reader) : 0;
}

static void decode_str(struct reader *reader, char **value)
{
    *value = reader->left ? reader_string(reader) : strdup("");
    if (!*value && !reader->failed)
        reader_no_memory(reader);
}

static void decode_blob(struct reader *reader, struct blob *value)
{
    *value = (struct blob){0};
    if (reader->left)
        reader_blob(reader, value);
}

static void free_u32(const uint32_t *value)
{
    (void)value;
}
static void free_i32(const int32_t *value)
{
    (void)value;
}
static void free_u64(const uint64_t *value)
{
    (void)value;
}
static void free_str(char **value)
{
    free(*value);
}
static void free_blob(struct blob *value)
{
    free(value->data);
}

static void describe_u32(struct buffer *buffer, const uint32_t *value)
{
    buffer_format(buffer, "%u", *value);
}
static void describe_i32(struct buffer *buffer, const int32_t *value)
{
    buffer_format(buffer, "%d", *value);
}
static void describe_u64(struct buffer *buffer, const uint64_t *value)
{
    buffer_format(buffer, "%llu", (unsigned long long)*value);
}
static void describe_str(struct buffer *buffer, char *const *value)
{
    json_string(buffer, *value ? *value : "");
}

static void describe_blob(struct buffer *buffer, const struct blob *value)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = value->data;
    char *text = buffer_reserve(buffer, 2 * (size_t)value->size + 2);

    if (!text)
        return;
    *text++ = '"';
    for (uint32_t i = 0; i < value->size; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    *text = '"';
}

/* Length of the UTF-8 sequence at text if it is well formed (RFC 3629), else 0. */
static int utf8_length(const unsigned char *text)
{
    int size = text[0] < 0x80                       ? 1
               : text[0] >= 0xc2 && text[0] <= 0xdf ? 2
               : (text[0] & 0xf0) == 0xe0           ? 3
               : text[0] >= 0xf0 && text[0] <= 0xf4 ? 4
                                                    : 0;
    for (int i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f))
        return 0;
    if ((text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return size;
}

void json_string(struct buffer *buffer, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    buffer_bytes(buffer, "\"", 1);
    while (*at) {
        int size = utf8_length(at);
        if (size > 1 || (size == 1 && *at >= 0x20 && *at != '"' && *at != '\\' && *at != 0x7f))
            buffer_bytes(buffer, at, (size_t)size);
        else
            buffer_format(buffer, "\\u%04x", *at);
        at += size ? size : 1;
    }
    buffer_bytes(buffer, "\"", 1);
}

/* clang-format off */

/* Encoding. */
#define ENCODE_FIELD(kind, name) encode_##kind(buffer, &value->name);
#define ENCODE_LIST(record, name)                                                                                          \
    buffer_u32(buffer, value->n_##name);                                                                                   \
    for (uint32_t i = 0; i < value->n_##name; i++)                                                                         \
        record_encode_##record(buffer, &value->name[i]);
#define ENCODE(record, FIELDS)                                                                                             \
    void record_encode_##record(struct buffer *buffer, const struct record *value)                                        \
    {                                                                                                                      \
        size_t at = buffer->size;                                                                                          \
        buffer_u32(buffer, 0);                                                                                             \
        FIELDS(ENCODE_FIELD, ENCODE_LIST)                                                                                  \
        buffer_patch_u32(buffer, at, (uint32_t)(buffer->size - at - 4));                                                   \
    }
RECORDS(ENCODE)

/*
 * Decoding. Fields beyond the end of a record are zero (an older writer), bytes beyond the last field are skipped (a newer
 * one). A record that ends inside of a field is neither.
 */
#define DECODE_FIELD(kind, name) decode_##kind(fields, &value->name);
#define DECODE_LIST(record, name)                                                                                          \
    {                                                                                                                      \
        uint32_t count = fields->left ? reader_u32(fields) : 0;                                                            \
        if (count > fields->left / RECORD_MIN_BYTES)                                                                       \
            fields->failed = true;                                                                                         \
        for (; !fields->failed && count; count--) {                                                                        \
            struct record *element = list_add(&value->name, &value->n_##name);                                             \
            if (element)                                                                                                   \
                record_decode_##record(fields, element);                                                                   \
            else                                                                                                           \
                reader_no_memory(fields);                                                                                  \
        }                                                                                                                  \
    }
#define DECODE(record, FIELDS)                                                                                             \
    void record_decode_##record(struct reader *reader, struct record *value)                                              \
    {                                                                                                                      \
        *value = (struct record){0};                                                                                       \
        struct reader inner = reader_sub(reader, reader_u32(reader)), *fields = &inner;                                    \
        if (!inner.left)                                                                                                   \
            inner.failed = true;                                                                                           \
        FIELDS(DECODE_FIELD, DECODE_LIST)                                                                                  \
        reader->failed |= inner.failed;                                                                                    \
        reader->no_memory |= inner.no_memory;                                                                              \
    }
RECORDS(DECODE)

/* Freeing. */
#define FREE_FIELD(kind, name) free_##kind(&value->name);
#define FREE_LIST(record, name)                                                                                            \
    for (uint32_t i = 0; i < value->n_##name; i++)                                                                         \
        record_free_##record(&value->name[i]);                                                                             \
    free(value->name);
#define FREE(record, FIELDS)                                                                                               \
    void record_free_##record(struct record *value)                                                                       \
    {                                                                                                                      \
        FIELDS(FREE_FIELD, FREE_LIST)                                                                                      \
        *value = (struct record){0};                                                                                       \
    }
RECORDS(FREE)

/* Describing: {"pid":1,...}; every field is preceded by a comma but the first. */
#define DESCRIBE_FIELD(kind, name)                                                                                         \
    buffer_format(buffer, "%s\"" #name "\":", separator);                                                                  \
    separator = ",";                                                                                                       \
    describe_##kind(buffer, &value->name);
#define DESCRIBE_LIST(record, name)                                                                                        \
    buffer_format(buffer, "%s\"" #name "\":[", separator);                                                                 \
    separator = ",";                                                                                                       \
    for (uint32_t i = 0; i < value->n_##name; i++) {                                                                       \
        if (i)                                                                                                             \
            buffer_bytes(buffer, ",", 1);                                                                                  \
        record_describe_##record(buffer, &value->name[i]);                                                                 \
    }                                                                                                                      \
    buffer_bytes(buffer, "]", 1);
#define DESCRIBE(record, FIELDS)                                                                                           \
    void record_describe_##record(struct buffer *buffer, const struct record *value)                                      \
    {                                                                                                                      \
        const char *separator = "";                                                                                        \
        buffer_bytes(buffer, "{", 1);                                                                                      \
        FIELDS(DESCRIBE_FIELD, DESCRIBE_LIST)                                                                              \
        buffer_bytes(buffer, "}", 1);                                                                                      \
    }
RECORDS(DESCRIBE)

/* clang-format on */

/* The whole. */
#define CONTEXT_FREE(record, name)                   \
    for (uint32_t i = 0; i < context->n_##name; i++) \
        record_free_##record(&context->name[i]);     \
    free(context->name);

void context_free(struct context *context)
{
    record_free_scope(&context->scope);
    CONTEXT_FREE(file, files)
    CONTEXT_FREE(description, descriptions)
    CONTEXT_FREE(lock, locks)
    CONTEXT_FREE(tracked, tracked)
    CONTEXT_FREE(sysv, sysv)
    CONTEXT_FREE(process, processes)
    *context = (struct context){0};
}
