#include "context/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context/codec.h"
#include "core/arch_x86_64.h"
#include "core/crc32c.h"
#include "core/error.h"

struct cursor {
    int fd;
    size_t index;               /* of the file in the set, for messages */
    uint64_t offset;
    uint64_t sections;
    uint32_t headers_checksum;
    uint8_t *payload;           /* FORMAT_PAYLOAD_MAX at most, grown as needed */
    size_t capacity;
};

static int truncated(const struct cursor *cursor, struct caesura_error *err)
{
    return error_set(err, CAESURA_ETRUNCATED, "the context ends at byte %llu, before its end record",
                     (unsigned long long)cursor->offset);
}

static int read_exactly(struct cursor *cursor, void *data, size_t size, struct caesura_error *err)
{
    uint8_t *at = data;

    while (size) {
        ssize_t got = pread(cursor->fd, at, size, (off_t)cursor->offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, errno, "cannot read the context at byte %llu", (unsigned long long)cursor->offset);
        if (!got)
            return truncated(cursor, err);
        at += got;
        size -= (size_t)got;
        cursor->offset += (uint64_t)got;
    }
    return 0;
}

static int read_header(struct cursor *cursor, struct format_header *header, struct caesura_error *err)
{
    int rc = read_exactly(cursor, header, sizeof *header, err);
    if (rc && !(rc == -CAESURA_ETRUNCATED && cursor->offset >= sizeof header->magic))
        return rc == -CAESURA_ETRUNCATED ? error_set(err, CAESURA_EFORMAT, "not a context: too short for a header") : rc;
    if (memcmp(header->magic, FORMAT_MAGIC, sizeof header->magic) != 0)
        return error_set(err, CAESURA_EFORMAT, "not a context: it does not begin with the magic bytes");
    if (rc)
        return rc;
    if (header->checksum != crc32c(0, header, offsetof(struct format_header, checksum)))
        return error_set(err, CAESURA_ECORRUPT, "the header of the context is damaged");
    if (header->version != FORMAT_VERSION)
        return error_set(err, CAESURA_EFORMAT, "the context has format version %u; this release reads version %u",
                         header->version, FORMAT_VERSION);
    if (header->machine != ARCH_ELF_MACHINE || header->page_size != ARCH_PAGE_SIZE)
        return error_set(err, CAESURA_EBADARCH,
                         "the context was written on ELF machine %u with pages of %u bytes; this is " ARCH_NAME,
                         header->machine, header->page_size);
    return 0;
}

static int read_section(struct cursor *cursor, struct format_section *section, struct caesura_error *err)
{
    uint64_t at = cursor->offset;
    int rc = read_exactly(cursor, section, sizeof *section, err);
    if (rc)
        return rc;
    if (section->magic != FORMAT_SECTION_MAGIC ||
        section->header_checksum != crc32c(0, section, offsetof(struct format_section, header_checksum)))
        return error_set(err, CAESURA_ECORRUPT, "the section header at byte %llu is damaged", (unsigned long long)at);
    if (section->length > FORMAT_PAYLOAD_MAX)
        return error_set(err, CAESURA_EFORMAT, "the section at byte %llu claims %llu bytes", (unsigned long long)at,
                         (unsigned long long)section->length);
    return 0;
}

static int read_payload(struct cursor *cursor, uint64_t length, uint32_t checksum, struct caesura_error *err)
{
    uint64_t at = cursor->offset;

    /* Grown in steps, so that a false length meets the end of the file before it has claimed much memory. */
    for (uint64_t have = 0; have < length;) {
        uint64_t step = length - have < (4u << 20) ? length - have : 4u << 20;
        if (have + step > cursor->capacity) {
            uint8_t *grown = realloc(cursor->payload, have + step);
            if (!grown)
                return error_errno(err, ENOMEM, "cannot hold a section of %llu bytes", (unsigned long long)length);
            cursor->payload = grown;
            cursor->capacity = have + step;
        }
        int rc = read_exactly(cursor, cursor->payload + have, step, err);
        if (rc)
            return rc;
        have += step;
    }
    if (crc32c(0, cursor->payload, length) != checksum)
        return error_set(err, CAESURA_ECORRUPT, "the section at byte %llu is damaged: its checksum does not match",
                         (unsigned long long)at);
    return 0;
}

#define DECODE_INTO(record, list)                                                                                          \
    {                                                                                                                      \
        struct record *value = list_add(&context->list, &context->n_##list);                                              \
        if (!value)                                                                                                        \
            return error_errno(err, ENOMEM, "cannot hold the context");                                                   \
        record_decode_##record(&reader, value);                                                                           \
        break;                                                                                                             \
    }

static int decode_record(struct context *context, const struct format_section *section, const uint8_t *payload,
                         struct caesura_error *err)
{
    struct reader reader = {.data = payload, .left = section->length};

    switch (section->type) {
    case SECTION_SCOPE:
        record_free_scope(&context->scope);
        record_decode_scope(&reader, &context->scope);
        break;
    case SECTION_FILE: DECODE_INTO(file, files)
    case SECTION_DESCRIPTION: DECODE_INTO(description, descriptions)
    case SECTION_LOCK: DECODE_INTO(lock, locks)
    case SECTION_TRACKED: DECODE_INTO(tracked, tracked)
    case SECTION_PROCESS: DECODE_INTO(process, processes)
    default:
        if (section->flags & SECTION_REQUIRED)
            return error_set(err, CAESURA_EFORMAT, "the context has a section of type %u, which this release does not know",
                             section->type);
    }
    if (reader.failed)
        return error_set(err, CAESURA_EFORMAT, "a section of type %u does not hold what it should", section->type);
    return 0;
}

static int check_extents(const struct format_section *section, const struct format_extents *prefix,
                         const struct format_extent *extents, struct caesura_error *err)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < prefix->count; i++) {
        if (extents[i].size > FORMAT_FRAME_BYTES || extents[i].start > UINT64_MAX - FORMAT_FRAME_BYTES)
            return error_set(err, CAESURA_EFORMAT, "an extent of %u is out of bounds", section->owner);
        total += extents[i].size;
    }
    if (prefix->data_offset + total != section->length)
        return error_set(err, CAESURA_EFORMAT, "the extents of %u do not fill their section", section->owner);
    return 0;
}

/* Only the extents are read; the data stays in the file. */
static int read_data_section(struct context_source *source, struct cursor *cursor, const struct format_section *section,
                             struct caesura_error *err)
{
    struct format_extents prefix;
    uint64_t payload_offset = cursor->offset;
    struct context_data *data;

    if (section->length < sizeof prefix)
        return error_set(err, CAESURA_EFORMAT, "a data section is too short");
    int rc = read_exactly(cursor, &prefix, sizeof prefix, err);
    if (rc)
        return rc;
    if (prefix.count > FORMAT_FRAME_EXTENTS || prefix.data_offset > section->length ||
        sizeof prefix + prefix.count * sizeof(struct format_extent) > prefix.data_offset)
        return error_set(err, CAESURA_ECORRUPT, "a data section has a damaged table of extents");
    data = list_add(&source->data, &source->n_data);
    if (!data || !(data->extents = calloc(prefix.count + 1, sizeof *data->extents)))
        return error_errno(err, ENOMEM, "cannot hold the context");
    rc = read_exactly(cursor, data->extents, prefix.count * sizeof *data->extents, err);
    if (!rc)
        rc = check_extents(section, &prefix, data->extents, err);
    data->type = section->type;
    data->owner = section->owner;
    data->fd = cursor->fd;
    data->payload_offset = payload_offset;
    data->length = section->length;
    data->checksum = section->checksum;
    data->count = prefix.count;
    data->data_offset = payload_offset + prefix.data_offset;
    cursor->offset = payload_offset + section->length;
    return rc;
}

static int check_end(struct cursor *cursor, const struct format_section *section, struct caesura_error *err)
{
    struct format_end end;
    char more;

    if (section->length != sizeof end)
        return error_set(err, CAESURA_EFORMAT, "the end record has a wrong size");
    memcpy(&end, cursor->payload, sizeof end);
    if (end.sections != cursor->sections || end.headers_checksum != cursor->headers_checksum)
        return error_set(err, CAESURA_ECORRUPT, "sections of the context are missing or out of order");
    if (pread(cursor->fd, &more, 1, (off_t)cursor->offset) > 0)
        return error_set(err, CAESURA_ECORRUPT, "the context goes on after its end record, at byte %llu",
                         (unsigned long long)cursor->offset);
    return 0;
}

static int read_file(struct context_source *source, struct cursor *cursor, bool data_too, struct caesura_error *err)
{
    struct format_section section;
    int rc;

    for (;;) {
        if ((rc = read_section(cursor, &section, err)))
            return rc;
        bool is_data = section.type == SECTION_PAGES || section.type == SECTION_CONTENT;
        uint64_t payload_offset = cursor->offset;
        if (!is_data || data_too) {
            if ((rc = read_payload(cursor, section.length, section.checksum, err)))
                return rc;
        }
        if (section.type == SECTION_END)
            return check_end(cursor, &section, err);
        if (is_data) {
            cursor->offset = payload_offset;
            rc = read_data_section(source, cursor, &section, err);
        } else {
            rc = decode_record(&source->context, &section, cursor->payload, err);
        }
        if (rc)
            return rc;
        cursor->sections++;
        cursor->headers_checksum = crc32c(cursor->headers_checksum, &section, sizeof section);
    }
}

int context_source_open(struct context_source *source, const int32_t *fds, size_t n_fds, bool data_too,
                        struct caesura_error *err)
{
    struct cursor cursor = {0};
    int rc = n_fds ? 0 : error_set(err, CAESURA_EINVAL_, "no context file given");

    *source = (struct context_source){.fds = fds, .n_fds = n_fds};
    for (size_t i = 0; i < n_fds && !rc; i++) {
        struct format_header header;
        cursor = (struct cursor){.fd = fds[i], .index = i, .payload = cursor.payload, .capacity = cursor.capacity};
        rc = read_header(&cursor, &header, err);
        if (rc)
            break;
        if (!i)
            source->header = header;
        if (header.file_count != n_fds || memcmp(header.set_id, source->header.set_id, sizeof header.set_id) != 0)
            rc = error_set(err, CAESURA_EFORMAT, "file %zu is not one of the %u files of this context", i + 1,
                           source->header.file_count);
        else
            rc = read_file(source, &cursor, data_too, err);
    }
    free(cursor.payload);
    return rc;
}

void context_source_free(struct context_source *source)
{
    context_free(&source->context);
    for (uint32_t i = 0; i < source->n_data; i++)
        free(source->data[i].extents);
    free(source->data);
    *source = (struct context_source){0};
}

int context_spool(int fd, int *spooled, struct caesura_error *err)
{
    char block[65536];
    int file = memfd_create("context", MFD_CLOEXEC);

    if (file < 0)
        return error_errno(err, errno, "cannot make a place for the context read from descriptor %d", fd);
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (got > 0 && write(file, block, (size_t)got) != got)) {
            int rc = error_errno(err, errno, "cannot read the context from descriptor %d", fd);
            close(file);
            return rc;
        }
        if (!got)
            break;
    }
    *spooled = file;
    return 0;
}
