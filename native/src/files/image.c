#include "files/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "core/crc32c.h"
#include "core/error.h"

#define SCRATCH_BYTES (64u << 10)

/* What is done with each range of the saved contents, in order and without gaps. data NULL: zeros. */
struct image_pass {
    const struct file *file;
    int fd;
    int (*range)(struct image_pass *pass, uint64_t offset, const uint8_t *data, uint64_t size,
                 struct caesura_error *err);
    bool differs;
    bool is_done; /* nothing more to learn */
    uint8_t scratch[SCRATCH_BYTES];
};

int image_index_make(const struct context_source *source, struct image_index *index, struct caesura_error *err)
{
    const struct context *context = &source->context;
    auto_free uint32_t *last = calloc((size_t)context->n_files + 1, sizeof *last);

    index->first = calloc((size_t)context->n_files + 1, sizeof *index->first);
    index->next = calloc((size_t)source->n_data + 1, sizeof *index->next);
    if (!last || !index->first || !index->next)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the files of the context");
    for (uint32_t i = 0; i < source->n_data; i++) {
        if (source->data[i].type != SECTION_CONTENT)
            continue;
        uint32_t position = files_position(context, source->data[i].owner);
        if (position == UINT32_MAX)
            return error_set(err, CAESURA_EFORMAT, "the context has contents of file %u, but no such file",
                             source->data[i].owner);
        *(last[position] ? &index->next[last[position] - 1] : &index->first[position]) = i + 1;
        last[position] = i + 1;
    }
    return 0;
}

void image_index_free(struct image_index *index)
{
    free(index->first);
    free(index->next);
    free(index->payload);
    *index = (struct image_index){0};
}

static int damaged(const struct file *file, struct caesura_error *err)
{
    return error_set(err, CAESURA_ECORRUPT, "the contents of %s are damaged in the context", file->path);
}

/* Reads a section and checks it; *data is where its data begins. */
static int load_section(struct image_index *index, const struct context_data *section, const struct file *file,
                        const uint8_t **data, struct caesura_error *err)
{
    size_t got;

    if (section->length > FORMAT_DATA_SECTION_MAX || section->data_offset < section->payload_offset)
        return error_set(err, CAESURA_EFORMAT, "the context holds contents of %s in a section of %llu bytes",
                         file->path, (unsigned long long)section->length);
    if (section->length > index->capacity) {
        uint8_t *grown = realloc(index->payload, section->length);
        if (!grown)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold contents of %s", file->path);
        index->payload = grown;
        index->capacity = section->length;
    }
    int rc =
        identity_read(section->fd, index->payload, section->length, section->payload_offset, "the context", &got, err);
    if (rc)
        return rc;
    if (got < section->length || crc32c(0, index->payload, section->length) != section->checksum)
        return damaged(file, err);
    *data = index->payload + (section->data_offset - section->payload_offset);
    return 0;
}

static int pass_over(const struct restore *restore, uint32_t position, struct image_pass *pass,
                     struct caesura_error *err)
{
    struct image_index *index = &restore->files->images;
    const struct file *file = &restore->context->files[position];
    uint64_t at = 0;
    int rc = 0;

    pass->file = file;
    for (uint32_t i = index->first[position]; i && !rc && !pass->is_done; i = index->next[i - 1]) {
        const struct context_data *section = &restore->source.data[i - 1];
        const uint8_t *data = NULL;
        if ((rc = load_section(index, section, file, &data, err)))
            break;
        for (uint32_t j = 0; j < section->count && !rc && !pass->is_done; j++) {
            const struct format_extent *extent = &section->extents[j];
            if (extent->start < at || extent->start + extent->size > file->size)
                return damaged(file, err);
            if (extent->start > at)
                rc = pass->range(pass, at, NULL, extent->start - at, err);
            if (!rc && extent->size)
                rc = pass->range(pass, extent->start, data, extent->size, err);
            at = extent->start + extent->size;
            data += extent->size;
        }
    }
    if (!rc && !pass->is_done && at < file->size)
        rc = pass->range(pass, at, NULL, file->size - at, err);
    return rc;
}

/* ---- comparing ---- */

/* Calls block for every piece of [offset, offset + size) in the file that is not what it should be. */
static int find_differences(struct image_pass *pass, uint64_t offset, const uint8_t *data, uint64_t size,
                            int (*block)(struct image_pass *pass, uint64_t offset, const uint8_t *data, size_t size,
                                         struct caesura_error *err),
                            struct caesura_error *err)
{
    uint64_t end = offset + size;

    for (uint64_t at = offset; at < end && !pass->is_done;) {
        uint64_t from = at, to = end;
        size_t got;
        if (!data && !identity_next_data(pass->fd, at, end, &from, &to))
            return 0;
        size_t step = to - from < SCRATCH_BYTES ? (size_t)(to - from) : SCRATCH_BYTES;
        int rc = identity_read(pass->fd, pass->scratch, step, from, pass->file->path, &got, err);
        memset(pass->scratch + (rc ? 0 : got), 0, rc ? 0 : step - got);
        for (size_t i = 0; i < step && !rc && !pass->is_done;) {
            size_t piece = FILES_BLOCK_BYTES - (size_t)((from + i) % FILES_BLOCK_BYTES);
            if (piece > step - i)
                piece = step - i;
            const uint8_t *wanted = data ? data + (from + i - offset) : NULL;
            if (wanted ? memcmp(pass->scratch + i, wanted, piece) != 0 : !identity_is_zero(pass->scratch + i, piece))
                rc = block(pass, from + i, wanted, piece, err);
            i += piece;
        }
        if (rc)
            return rc;
        at = from + step;
    }
    return 0;
}

static int note_difference(struct image_pass *pass, uint64_t offset, const uint8_t *data, size_t size,
                           struct caesura_error *err)
{
    (void)offset;
    (void)data;
    (void)size;
    (void)err;
    pass->differs = pass->is_done = true;
    return 0;
}

static int compare_range(struct image_pass *pass, uint64_t offset, const uint8_t *data, uint64_t size,
                         struct caesura_error *err)
{
    return find_differences(pass, offset, data, size, note_difference, err);
}

int image_matches(const struct restore *restore, uint32_t position, int fd, bool *matches, struct caesura_error *err)
{
    auto_free struct image_pass *pass = calloc(1, sizeof *pass);

    if (!pass)
        return error_set(err, CAESURA_ENOMEM_, "cannot compare files");
    pass->fd = fd;
    pass->range = compare_range;
    int rc = pass_over(restore, position, pass, err);
    *matches = !pass->differs;
    return rc;
}

/* ---- writing ---- */

/* Files on huge pages have no write(). */
static int fill_huge(const struct image_pass *pass, uint64_t offset, const uint8_t *data, uint64_t size,
                     struct caesura_error *err)
{
    uint64_t huge = 1ull << pass->file->huge_shift, start = offset & ~(huge - 1);
    size_t length = (size_t)((offset + size + huge - 1 - start) & ~(huge - 1));

    uint8_t *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, pass->fd, (off_t)start);
    if (map == MAP_FAILED)
        return error_errno(err, errno, "cannot fill %s on huge pages", pass->file->path);
    memcpy(map + (offset - start), data, size);
    munmap(map, length);
    return 0;
}

static int write_block(struct image_pass *pass, uint64_t offset, const uint8_t *data, size_t size,
                       struct caesura_error *err)
{
    static const uint8_t zeros[FILES_BLOCK_BYTES];

    if (!data && fallocate(pass->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) == 0)
        return 0;
    if (pass->file->huge_shift)
        return fill_huge(pass, offset, data ? data : zeros, size, err);
    return identity_write(pass->fd, data ? data : zeros, size, offset, pass->file->path, err);
}

static int rewrite_range(struct image_pass *pass, uint64_t offset, const uint8_t *data, uint64_t size,
                         struct caesura_error *err)
{
    return find_differences(pass, offset, data, size, write_block, err);
}

static int fill_range(struct image_pass *pass, uint64_t offset, const uint8_t *data, uint64_t size,
                      struct caesura_error *err)
{
    if (!data)
        return 0;
    if (pass->file->huge_shift)
        return fill_huge(pass, offset, data, size, err);
    return identity_write(pass->fd, data, size, offset, pass->file->path, err);
}

static int set_size(const struct file *file, int fd, struct caesura_error *err)
{
    if (file->size > INT64_MAX)
        return error_set(err, CAESURA_EFORMAT, "the context gives %s %llu bytes", file->path,
                         (unsigned long long)file->size);
    return ftruncate(fd, (off_t)file->size) < 0 ? error_errno(err, errno, "cannot set the size of %s", file->path) : 0;
}

static int write_pass(const struct restore *restore, uint32_t position, int fd,
                      int (*range)(struct image_pass *, uint64_t, const uint8_t *, uint64_t, struct caesura_error *),
                      struct caesura_error *err)
{
    auto_free struct image_pass *pass = calloc(1, sizeof *pass);

    if (!pass)
        return error_set(err, CAESURA_ENOMEM_, "cannot write files");
    int rc = set_size(&restore->context->files[position], fd, err);
    if (rc)
        return rc;
    pass->fd = fd;
    pass->range = range;
    return pass_over(restore, position, pass, err);
}

int image_rewrite(const struct restore *restore, uint32_t position, int fd, struct caesura_error *err)
{
    return write_pass(restore, position, fd, rewrite_range, err);
}

int image_fill(const struct restore *restore, uint32_t position, int fd, struct caesura_error *err)
{
    return write_pass(restore, position, fd, fill_range, err);
}
