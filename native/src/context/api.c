/* The part of caesura.h that reads contexts. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "caesura.h"
#include "context/codec.h"
#include "context/reader.h"
#include "core/error.h"

/* Descriptors that can seek: the caller's, or copies of what came through a pipe or socket. */
struct seekable {
    int32_t *fds;
    bool *is_copy;
    size_t count;
};

static void seekable_free(struct seekable *seekable)
{
    for (size_t i = 0; seekable->is_copy && i < seekable->count; i++)
        if (seekable->is_copy[i])
            close(seekable->fds[i]);
    free(seekable->fds);
    free(seekable->is_copy);
}

static int seekable_make(struct seekable *seekable, const int32_t *fds, size_t count, struct caesura_error *err)
{
    *seekable = (struct seekable){calloc(count + 1, sizeof *fds), calloc(count + 1, sizeof *seekable->is_copy), count};
    if (!seekable->fds || !seekable->is_copy)
        return error_errno(err, ENOMEM, "cannot read the context");
    for (size_t i = 0; i < count; i++) {
        seekable->fds[i] = fds[i];
        if (lseek(fds[i], 0, SEEK_CUR) >= 0 || errno != ESPIPE)
            continue;
        int rc = context_spool(fds[i], &seekable->fds[i], err);
        if (rc)
            return rc;
        seekable->is_copy[i] = true;
    }
    return 0;
}

#define DESCRIBE_LIST(record, list)                         \
    buffer_format(&json, ",\"" #list "\":[");               \
    for (uint32_t i = 0; i < context->n_##list; i++) {      \
        if (i)                                              \
            buffer_bytes(&json, ",", 1);                    \
        record_describe_##record(&json, &context->list[i]); \
    }                                                       \
    buffer_bytes(&json, "]", 1);

static int describe(const struct context_source *source, char **out, struct caesura_error *err)
{
    const struct context *context = &source->context;
    const struct format_header *header = &source->header;
    uint64_t page_bytes = 0, content_bytes = 0;
    struct buffer json = {0};

    for (uint32_t i = 0; i < source->n_data; i++)
        for (uint32_t k = 0; k < source->data[i].count; k++)
            *(source->data[i].type == SECTION_PAGES ? &page_bytes : &content_bytes) += source->data[i].extents[k].size;
    buffer_format(&json, "{\"version\":%u,\"machine\":%u,\"files_in_set\":%u,\"created_ns\":%llu,\"set_id\":\"",
                  header->version, header->machine, header->file_count, (unsigned long long)header->created_ns);
    for (size_t i = 0; i < sizeof header->set_id; i++)
        buffer_format(&json, "%02x", header->set_id[i]);
    buffer_format(&json, "\",\"page_bytes\":%llu,\"content_bytes\":%llu,\"scope\":", (unsigned long long)page_bytes,
                  (unsigned long long)content_bytes);
    record_describe_scope(&json, &context->scope);
    DESCRIBE_LIST(process, processes)
    DESCRIBE_LIST(file, files)
    DESCRIBE_LIST(description, descriptions)
    DESCRIBE_LIST(lock, locks)
    DESCRIBE_LIST(tracked, tracked)
    DESCRIBE_LIST(sysv, sysv)
    buffer_bytes(&json, "}", 2); /* with the NUL */
    if (json.failed) {
        buffer_free(&json);
        return error_errno(err, ENOMEM, "cannot describe the context");
    }
    *out = (char *)json.data;
    return 0;
}

/* Reads all of it, or describes it if json is not NULL. */
static int examine(const int32_t *fds, size_t count, char **json, struct caesura_error *err)
{
    struct context_source source = {0};
    struct seekable seekable;
    int rc = seekable_make(&seekable, fds, count, err);

    if (!rc)
        rc = context_source_open(&source, seekable.fds, count, !json, err);
    if (!rc && json)
        rc = describe(&source, json, err);
    context_source_free(&source);
    seekable_free(&seekable);
    return rc;
}

int caesura_context_verify(const int32_t *fds, size_t count, struct caesura_error *err)
{
    return examine(fds, count, NULL, err);
}

int caesura_context_describe(const int32_t *fds, size_t count, char **json, struct caesura_error *err)
{
    return examine(fds, count, json, err);
}
