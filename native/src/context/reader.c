#include "context/reader.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context/check.h"
#include "context/codec.h"
#include "core/arch_x86_64.h"
#include "core/crc32c.h"
#include "core/error.h"

struct cursor {
    int fd;
    size_t index; /* of the file in the set */
    uint64_t offset;
    uint64_t sections;
    uint32_t headers_checksum;
    bool has_scope;
    uint8_t *payload; /* FORMAT_PAYLOAD_MAX at most, grown as needed */
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
        return rc == -CAESURA_ETRUNCATED ? error_set(err, CAESURA_EFORMAT, "not a context: too short for a header")
                                         : rc;
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

/* Into cursor->payload. */
static int read_bytes(struct cursor *cursor, uint64_t length, struct caesura_error *err)
{
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
    return 0;
}

static int read_payload(struct cursor *cursor, const struct format_section *section, struct caesura_error *err)
{
    uint64_t at = cursor->offset;
    int rc = read_bytes(cursor, section->length, err);

    if (!rc && crc32c(0, cursor->payload, section->length) != section->checksum)
        rc = error_set(err, CAESURA_ECORRUPT, "the section at byte %llu is damaged: its checksum does not match",
                       (unsigned long long)at);
    return rc;
}

#define DECODE_INTO(record, list)                                            \
    {                                                                        \
        struct record *value = list_add(&context->list, &context->n_##list); \
        if (!value)                                                          \
            return error_errno(err, ENOMEM, "cannot hold the context");      \
        record_decode_##record(&reader, value);                              \
        break;                                                               \
    }

/* SCOPE comes first, so that whoever reads along knows what this is; what is common to all processes is in the first file. */
static int check_place(struct cursor *cursor, const struct format_section *section, struct caesura_error *err)
{
    bool is_scope = section->type == SECTION_SCOPE,
         is_process = section->type == SECTION_PROCESS || section->type == SECTION_PAGES;
    bool is_known = section->type >= SECTION_SCOPE && section->type <= SECTION_CONTENT;

    if (cursor->index ? is_known && !is_process : is_scope == cursor->has_scope)
        return error_set(err, CAESURA_EFORMAT,
                         "a section of type %u stands where it may not, in file %zu of the context", section->type,
                         cursor->index + 1);
    cursor->has_scope = true;
    return 0;
}

static int decode_record(struct context *context, const struct format_section *section, const uint8_t *payload,
                         struct caesura_error *err)
{
    struct reader reader = {.data = payload, .left = section->length};

    switch (section->type) {
    case SECTION_SCOPE:
        record_decode_scope(&reader, &context->scope);
        break;
    case SECTION_FILE:
        DECODE_INTO(file, files)
    case SECTION_DESCRIPTION:
        DECODE_INTO(description, descriptions)
    case SECTION_LOCK:
        DECODE_INTO(lock, locks)
    case SECTION_TRACKED:
        DECODE_INTO(tracked, tracked)
    case SECTION_SYSV:
        DECODE_INTO(sysv, sysv)
    case SECTION_PROCESS:
        DECODE_INTO(process, processes)
    default:
        if (section->flags & SECTION_REQUIRED)
            return error_set(err, CAESURA_EFORMAT,
                             "the context has a section of type %u, which this release does not know", section->type);
        return 0;
    }
    if (reader.no_memory)
        return error_errno(err, ENOMEM, "cannot hold the context");
    if (reader.failed || reader.left)
        return error_set(err, CAESURA_EFORMAT, "a section of type %u does not hold what it should", section->type);
    return 0;
}

static int bad_table(const struct format_section *section, bool is_checked, struct caesura_error *err)
{
    /* Its checksum is over the data too: if that is not read, the table may also be merely damaged. */
    return error_set(err, is_checked ? CAESURA_EFORMAT : CAESURA_ECORRUPT,
                     "the table of extents of a section for %u is bad", section->owner);
}

/* Fills data from the beginning of the payload, of which `have` bytes were read. */
static int decode_table(const struct format_section *section, const uint8_t *payload, size_t have, bool is_checked,
                        struct context_data *data, struct caesura_error *err)
{
    struct format_extents prefix;
    uint64_t total = 0;

    if (have < sizeof prefix)
        return bad_table(section, is_checked, err);
    memcpy(&prefix, payload, sizeof prefix);
    size_t table = prefix.count * sizeof *data->extents;
    if (!prefix.count || prefix.count > FORMAT_FRAME_EXTENTS || have < sizeof prefix + table ||
        prefix.data_offset > section->length || prefix.data_offset < sizeof prefix + table)
        return bad_table(section, is_checked, err);
    data->extents = malloc(table);
    if (!data->extents)
        return error_errno(err, ENOMEM, "cannot hold the context");
    memcpy(data->extents, payload + sizeof prefix, table);
    data->count = prefix.count;
    data->data_offset = data->payload_offset + prefix.data_offset;
    for (uint32_t i = 0; i < prefix.count; i++) {
        const struct format_extent *extent = &data->extents[i];
        bool is_pages = !((extent->start | extent->size) & (ARCH_PAGE_SIZE - 1));
        if (!extent->size || extent->size > FORMAT_FRAME_BYTES || extent->start > INT64_MAX - extent->size ||
            (section->type == SECTION_PAGES && !is_pages))
            return bad_table(section, is_checked, err);
        total += extent->size;
    }
    if (total > FORMAT_FRAME_BYTES || prefix.data_offset + total != section->length)
        return bad_table(section, is_checked, err);
    return 0;
}

/* Without data_too only the table is read, and not checked. */
static int read_data_section(struct context_source *source, struct cursor *cursor, const struct format_section *section,
                             bool data_too, struct caesura_error *err)
{
    uint64_t payload_offset = cursor->offset;
    size_t have = data_too || section->length < FORMAT_TABLE_MAX ? section->length : FORMAT_TABLE_MAX;

    if (section->length > FORMAT_DATA_SECTION_MAX)
        return error_set(err, CAESURA_EFORMAT, "a section for %u holds %llu bytes of data, which is too much",
                         section->owner, (unsigned long long)section->length);
    int rc = data_too ? read_payload(cursor, section, err) : read_bytes(cursor, have, err);
    if (rc)
        return rc;
    struct context_data *data = list_add(&source->data, &source->n_data);
    if (!data)
        return error_errno(err, ENOMEM, "cannot hold the context");
    *data = (struct context_data){.type = section->type,
                                  .owner = section->owner,
                                  .fd = cursor->fd,
                                  .payload_offset = payload_offset,
                                  .length = section->length,
                                  .checksum = section->checksum};
    cursor->offset = payload_offset + section->length;
    return decode_table(section, cursor->payload, have, data_too, data, err);
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
        bool is_data;
        if ((rc = read_section(cursor, &section, err)))
            return rc;
        if (section.type == SECTION_END) {
            rc = read_payload(cursor, &section, err);
            return rc ? rc : check_end(cursor, &section, err);
        }
        is_data = section.type == SECTION_PAGES || section.type == SECTION_CONTENT;
        if ((rc = check_place(cursor, &section, err)))
            return rc;
        rc = is_data ? read_data_section(source, cursor, &section, data_too, err) : read_payload(cursor, &section, err);
        if (!rc && !is_data)
            rc = decode_record(&source->context, &section, cursor->payload, err);
        if (rc)
            return rc;
        cursor->sections++;
        cursor->headers_checksum = crc32c(cursor->headers_checksum, &section, FORMAT_SECTION_SUMMED);
    }
}

/* Which of the files is which: they may be given in any order, but each once. order: n_fds entries, indices of fds. */
static int read_headers(struct context_source *source, size_t *order, struct caesura_error *err)
{
    uint8_t set_id[sizeof source->header.set_id];

    for (size_t i = 0; i < source->n_fds; i++)
        order[i] = SIZE_MAX;
    for (size_t i = 0; i < source->n_fds; i++) {
        struct cursor cursor = {.fd = source->fds[i]};
        struct format_header header;
        int rc = read_header(&cursor, &header, err);
        if (rc)
            return rc;
        if (!i)
            memcpy(set_id, header.set_id, sizeof set_id);
        if (header.file_count != source->n_fds)
            return error_set(err, CAESURA_EFORMAT, "file %zu is one of %u files of a context, but %zu were given",
                             i + 1, header.file_count, source->n_fds);
        if (memcmp(header.set_id, set_id, sizeof set_id) != 0 || header.file_index >= source->n_fds)
            return error_set(err, CAESURA_EFORMAT, "file %zu is not one of the %u files of this context", i + 1,
                             header.file_count);
        if (order[header.file_index] != SIZE_MAX)
            return error_set(err, CAESURA_EFORMAT, "files %zu and %zu are the same file of the context",
                             order[header.file_index] + 1, i + 1);
        order[header.file_index] = i;
        if (!header.file_index)
            source->header = header;
    }
    return 0;
}

static int read_files(struct context_source *source, bool data_too, struct caesura_error *err)
{
    size_t *order = malloc(source->n_fds * sizeof *order);
    uint8_t *payload = NULL;
    size_t capacity = 0;
    int rc = order ? read_headers(source, order, err) : error_errno(err, ENOMEM, "cannot hold the context");

    for (size_t i = 0; i < source->n_fds && !rc; i++) {
        struct cursor cursor = {.fd = source->fds[order[i]],
                                .index = i,
                                .offset = sizeof(struct format_header),
                                .payload = payload,
                                .capacity = capacity};
        rc = read_file(source, &cursor, data_too, err);
        if (!rc && !i && !cursor.has_scope)
            rc = error_set(err, CAESURA_EFORMAT, "the context does not say what it is of: it has no scope section");
        payload = cursor.payload;
        capacity = cursor.capacity;
    }
    free(payload);
    free(order);
    return rc;
}

int context_source_open(struct context_source *source, const int32_t *fds, size_t n_fds, bool data_too,
                        struct caesura_error *err)
{
    *source = (struct context_source){.fds = fds, .n_fds = n_fds};
    if (!n_fds)
        return error_set(err, CAESURA_EINVAL_, "no context file given");
    int rc = read_files(source, data_too, err);
    return rc ? rc : context_check(source, err);
}

void context_source_free(struct context_source *source)
{
    context_free(&source->context);
    for (uint32_t i = 0; i < source->n_data; i++)
        free(source->data[i].extents);
    free(source->data);
    *source = (struct context_source){0};
}

/* Bytes read, 0 at the end, or -errno. The other end may have made the descriptor non-blocking: wait then. */
static ssize_t read_stream(int fd, void *data, size_t size)
{
    for (;;) {
        ssize_t got = read(fd, data, size);
        if (got >= 0)
            return got;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
        if (errno == EAGAIN && poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1) < 0 && errno != EINTR)
            return -errno;
    }
}

static int append(int file, const char *data, size_t size)
{
    while (size) {
        ssize_t done = write(file, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        data += done;
        size -= (size_t)done;
    }
    return 0;
}

int context_spool(int fd, int *spooled, struct caesura_error *err)
{
    char block[65536];
    ssize_t got;
    int rc = 0, file = memfd_create("context", MFD_CLOEXEC);

    if (file < 0)
        return error_errno(err, errno, "cannot make a place for the context read from descriptor %d", fd);
    while (!rc && (got = read_stream(fd, block, sizeof block)) != 0)
        rc = got < 0 ? error_errno(err, (int)-got, "cannot read the context from descriptor %d", fd)
                     : append(file, block, (size_t)got);
    if (rc) {
        close(file);
        return got < 0 ? rc : error_errno(err, -rc, "cannot hold the context read from descriptor %d", fd);
    }
    *spooled = file;
    return 0;
}
