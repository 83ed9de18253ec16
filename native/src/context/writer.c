#include "context/writer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/arch_x86_64.h"
#include "core/crc32c.h"
#include "core/error.h"

/* BLCR opens the target non-blocking, so a pipe or socket may be full: wait until it takes more. */
static int wait_writable(int fd, struct caesura_error *err)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
        return error_errno(err, errno, "cannot wait for the context's descriptor %d", fd);
    return 0;
}

static int write_all(struct context_writer *writer, const void *data, size_t size, struct caesura_error *err)
{
    const uint8_t *at = data;

    writer->offset += size;
    while (size) {
        ssize_t done = write(writer->fd, at, size);
        if (done < 0 && errno == EAGAIN) {
            int rc = wait_writable(writer->fd, err);
            if (rc)
                return rc;
            continue;
        }
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_errno(err, errno, "cannot write the context after %llu bytes",
                               (unsigned long long)(writer->offset - size));
        at += done;
        size -= (size_t)done;
    }
    return 0;
}

int context_writer_start(struct context_writer *writer, int fd, const uint8_t *set_id, uint32_t index, uint32_t count,
                         struct caesura_error *err)
{
    struct format_header header = {.version = FORMAT_VERSION,
                                   .machine = ARCH_ELF_MACHINE,
                                   .file_index = index,
                                   .file_count = count,
                                   .page_size = ARCH_PAGE_SIZE};
    struct timespec now;

    *writer = (struct context_writer){.fd = fd};
    clock_gettime(CLOCK_REALTIME, &now);
    header.created_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    memcpy(header.magic, FORMAT_MAGIC, sizeof header.magic);
    memcpy(header.set_id, set_id, sizeof header.set_id);
    header.checksum = crc32c(0, &header, offsetof(struct format_header, checksum));
    return write_all(writer, &header, sizeof header, err);
}

static int write_section(struct context_writer *writer, uint32_t type, uint32_t owner, const void *payload, size_t size,
                         struct caesura_error *err)
{
    struct format_section section = {.magic = FORMAT_SECTION_MAGIC,
                                     .type = type,
                                     .flags = SECTION_REQUIRED,
                                     .owner = owner,
                                     .length = size,
                                     .checksum = crc32c(0, payload, size)};
    section.header_checksum = crc32c(0, &section, offsetof(struct format_section, header_checksum));
    int rc = write_all(writer, &section, sizeof section, err);
    if (!rc)
        rc = write_all(writer, payload, size, err);
    writer->sections++;
    writer->headers_checksum = crc32c(writer->headers_checksum, &section, FORMAT_SECTION_SUMMED);
    return rc;
}

int context_writer_section(struct context_writer *writer, uint32_t type, uint32_t owner, const struct buffer *payload,
                           struct caesura_error *err)
{
    if (payload->failed)
        return error_errno(err, ENOMEM, "cannot build a section of the context");
    if (payload->size > FORMAT_PAYLOAD_MAX)
        return error_set(err, CAESURA_EUNSUPPORTED,
                         "the description of object %u needs %zu bytes, more than a context holds", owner,
                         payload->size);
    return write_section(writer, type, owner, payload->data, payload->size, err);
}

uint8_t *context_writer_data(struct context_writer *writer, struct caesura_error *err)
{
    /* The table has its full size whatever is put into it, so that the place of the data is known before its amount. */
    size_t head = FORMAT_TABLE_MAX;
    uint64_t data_at = writer->offset + sizeof(struct format_section) + head;

    writer->data_offset = head + (size_t)(-data_at & (ARCH_PAGE_SIZE - 1));
    writer->frame.size = 0;
    if (!buffer_reserve(&writer->frame, writer->data_offset + FORMAT_FRAME_BYTES)) {
        error_errno(err, ENOMEM, "cannot hold a piece of memory to write");
        return NULL;
    }
    memset(writer->frame.data, 0, writer->data_offset);
    return writer->frame.data + writer->data_offset;
}

int context_writer_commit(struct context_writer *writer, uint32_t type, uint32_t owner,
                          const struct format_extent *extents, uint32_t count, size_t size, struct caesura_error *err)
{
    struct format_extents head = {.count = count, .data_offset = (uint32_t)writer->data_offset};

    if (!count)
        return 0;
    memcpy(writer->frame.data, &head, sizeof head);
    memcpy(writer->frame.data + sizeof head, extents, count * sizeof *extents);
    writer->data_bytes += size;
    return write_section(writer, type, owner, writer->frame.data, writer->data_offset + size, err);
}

int context_writer_end(struct context_writer *writer, struct caesura_error *err)
{
    struct format_end end = {.sections = writer->sections, .headers_checksum = writer->headers_checksum};
    return write_section(writer, SECTION_END, 0, &end, sizeof end, err);
}

void context_writer_free(struct context_writer *writer)
{
    buffer_free(&writer->frame);
}
