#include "files/internal.h"

#include <errno.h>
#include <string.h>

#include "core/error.h"

#define CHUNK_BYTES (256u << 10)

/* A file on its way into the context. */
struct saver {
    struct caesura_capture *capture;
    struct context_writer *writer;
    const struct file *file;
    struct format_extent extents[FORMAT_FRAME_EXTENTS];
    uint32_t n_extents;
    size_t used;    /* of frame */
    uint8_t *frame; /* of the writer; NULL: none begun */
    uint8_t chunk[CHUNK_BYTES];
};

static int flush(struct saver *saver, struct caesura_error *err)
{
    if (!saver->used)
        return 0;
    int rc = context_writer_commit(saver->writer, SECTION_CONTENT, saver->file->id, saver->extents, saver->n_extents,
                                   saver->used, err);
    saver->capture->result.file_bytes += saver->used;
    saver->n_extents = 0;
    saver->used = 0;
    saver->frame = NULL;
    return rc;
}

static int add_block(struct saver *saver, uint64_t offset, const uint8_t *data, size_t size, struct caesura_error *err)
{
    struct format_extent *last = saver->n_extents ? &saver->extents[saver->n_extents - 1] : NULL;
    bool follows = last && last->start + last->size == offset;

    if (saver->used + size > FORMAT_FRAME_BYTES || (!follows && saver->n_extents == FORMAT_FRAME_EXTENTS)) {
        int rc = flush(saver, err);
        if (rc)
            return rc;
        follows = false;
    }
    if (!saver->frame && !(saver->frame = context_writer_data(saver->writer, err)))
        return -CAESURA_ENOMEM_;
    if (!follows) {
        saver->extents[saver->n_extents++] = (struct format_extent){.start = offset};
        last = &saver->extents[saver->n_extents - 1];
    }
    memcpy(saver->frame + saver->used, data, size);
    saver->used += size;
    last->size += size;
    return 0;
}

static int refuse_shrunk(const struct file *file, struct caesura_error *err)
{
    error_set(err, CAESURA_EAGAIN_, "%s was cut while it was copied: somebody outside of the checkpoint writes it",
              file->path);
    return error_hint(err, "checkpoint again when nobody else writes the file, or include its writer in the scope");
}

/* Data from offset on; blocks of zeros stay out, so that they are holes after a restart. */
static int save_range(struct saver *saver, int fd, uint64_t offset, uint64_t end, struct caesura_error *err)
{
    while (offset < end) {
        size_t size = end - offset < CHUNK_BYTES ? (size_t)(end - offset) : CHUNK_BYTES, got;
        int rc = identity_read(fd, saver->chunk, size, offset, saver->file->path, &got, err);
        if (!rc && got < size)
            rc = refuse_shrunk(saver->file, err);
        for (size_t at = 0; at < size && !rc;) {
            /* Blocks are those of the file, wherever a range of data begins. */
            size_t block = FILES_BLOCK_BYTES - (size_t)((offset + at) % FILES_BLOCK_BYTES);
            if (block > size - at)
                block = size - at;
            if (!identity_is_zero(saver->chunk + at, block))
                rc = add_block(saver, offset + at, saver->chunk + at, block, err);
            at += block;
        }
        if (rc)
            return rc;
        offset += size;
        capture_progress(saver->capture, size);
    }
    return 0;
}

/* All of a file: its first file->size bytes can be had at the restart. */
static int save_file(struct saver *saver, int fd, bool shared, struct caesura_error *err)
{
    const struct file *file = saver->file;
    struct stat st;
    uint64_t from, to;
    int rc = 0;

    if (shared) {
        rc = save_range(saver, fd, 0, file->size, err);
    } else {
        uint64_t at = 0;
        for (; !rc && identity_next_data(fd, at, file->size, &from, &to); at = to) {
            capture_progress(saver->capture, from - at);
            rc = save_range(saver, fd, from, to, err);
        }
        capture_progress(saver->capture, file->size - at);
    }
    if (!rc)
        rc = flush(saver, err);
    if (rc)
        return rc;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "cannot look at %s", file->path);
    if ((uint64_t)st.st_size < file->size)
        return refuse_shrunk(file, err);
    if (files_time_ns(&st.st_mtim) != file->mtime_ns)
        capture_log(saver->capture, CAESURA_LOG_WARNING,
                    "%s was changed while it was copied: somebody outside of the checkpoint writes it", file->path);
    return 0;
}

static bool is_ours_to_save(const struct caesura_capture *capture, uint32_t index)
{
    const struct file *file = &capture->context.files[index];

    return file->content == FILE_CONTENT_SAVED &&
           (file->kind == FILE_REGULAR ||
            ((file->kind == FILE_DELETED || file->kind == FILE_MEMFD) && capture->files->entries[index].fd >= 0));
}

uint64_t files_estimate(const struct caesura_capture *capture)
{
    uint64_t total = 0;

    for (uint32_t i = 0; capture->files && i < capture->context.n_files; i++)
        if (is_ours_to_save(capture, i))
            total += capture->context.files[i].size;
    return total;
}

int files_write(struct caesura_capture *capture, struct context_writer *writer, struct caesura_error *err)
{
    bool shared;
    int rc = 0;

    if (!capture->files)
        return 0;
    auto_free struct saver *saver = calloc(1, sizeof *saver);
    if (!saver)
        return error_set(err, CAESURA_ENOMEM_, "cannot copy files");
    saver->capture = capture;
    saver->writer = writer;
    for (uint32_t i = 0; i < capture->context.n_files && !rc; i++) {
        saver->file = &capture->context.files[i];
        if (!is_ours_to_save(capture, i))
            continue;
        auto_close int fd = file_set_open(capture, i, &shared);
        if (fd == -ENOENT || fd == -ESTALE) {
            error_set(err, CAESURA_EAGAIN_, "%s was taken away while the checkpoint was under way", saver->file->path);
            return error_hint(err, "checkpoint again when nobody outside of it changes the file");
        }
        if (fd < 0)
            return error_errno(err, -fd, "cannot open %s", saver->file->path);
        rc = save_file(saver, fd, shared, err);
    }
    return rc;
}
