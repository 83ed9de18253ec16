/* The part of caesura.h that reads contexts. */
#include <errno.h>
#include <stdlib.h>

#include "caesura.h"
#include "context/codec.h"
#include "context/reader.h"
#include "core/error.h"

int caesura_context_verify(const int32_t *fds, size_t count, struct caesura_error *err)
{
    struct context_source source;
    int rc = context_source_open(&source, fds, count, true, err);

    context_source_free(&source);
    return rc;
}

#define DESCRIBE_LIST(record, list)                                                                                        \
    buffer_format(&json, ",\"" #list "\":[");                                                                              \
    for (uint32_t i = 0; i < context->n_##list; i++) {                                                                     \
        if (i)                                                                                                             \
            buffer_bytes(&json, ",", 1);                                                                                   \
        record_describe_##record(&json, &context->list[i]);                                                               \
    }                                                                                                                      \
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
    buffer_bytes(&json, "}", 2);    /* with the NUL */
    if (json.failed) {
        buffer_free(&json);
        return error_errno(err, ENOMEM, "cannot describe the context");
    }
    *out = (char *)json.data;
    return 0;
}

int caesura_context_describe(const int32_t *fds, size_t count, char **json, struct caesura_error *err)
{
    struct context_source source;
    int rc = context_source_open(&source, fds, count, false, err);

    if (!rc)
        rc = describe(&source, json, err);
    context_source_free(&source);
    return rc;
}
