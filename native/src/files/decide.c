#include "files/internal.h"

#include <errno.h>
#include <string.h>

#include "core/error.h"

static bool is_nameless(const struct file *file)
{
    return file->kind == FILE_DELETED || file->kind == FILE_MEMFD;
}

enum file_content files_content(const struct caesura_capture_request *request, const struct file *file, uint32_t mapped)
{
    bool asked = ((mapped & MAPPING_EXE) && (request->flags & CAESURA_SAVE_EXE)) ||
                 ((mapped & MAPPING_PRIVATE) && (request->flags & CAESURA_SAVE_PRIVATE)) ||
                 ((mapped & MAPPING_SHARED) && (request->flags & CAESURA_SAVE_SHARED));

    if (!is_nameless(file) && file->kind != FILE_REGULAR)
        return FILE_CONTENT_NONE;
    if (is_nameless(file) || asked || identity_is_shm(file->path) || (file->flags & FILE_PRIVATE_SHM))
        return FILE_CONTENT_SAVED;
    if (file->flags & (FILE_WRITTEN | FILE_TRACKED))
        return file->size <= request->copy_limit_bytes ? FILE_CONTENT_SAVED : FILE_CONTENT_OVER_LIMIT;
    /* Programs and libraries are known by their build-id, and every machine that is to run the job has them. */
    if (file->flags & FILE_EXECUTED)
        return FILE_CONTENT_NONE;
    return file->size <= FILES_SMALL_BYTES ? FILE_CONTENT_SAVED : FILE_CONTENT_NONE;
}

/* How each file is mapped, from the records of the processes: [index]. */
static uint32_t *mappings_of(const struct context *context)
{
    uint32_t *mapped = calloc((size_t)context->n_files + 1, sizeof *mapped);

    for (uint32_t i = 0; mapped && i < context->n_processes; i++) {
        const struct process *process = &context->processes[i];
        if (process->exe_file && process->exe_file <= context->n_files)
            mapped[process->exe_file - 1] |= MAPPING_EXE;
        for (uint32_t j = 0; j < process->n_maps; j++) {
            const struct map *map = &process->maps[j];
            if (map->file && map->file <= context->n_files)
                mapped[map->file - 1] |= map->kind == MAP_KIND_FILE_SHARED    ? MAPPING_SHARED
                                         : map->kind == MAP_KIND_FILE_PRIVATE ? MAPPING_PRIVATE
                                                                              : 0;
        }
    }
    /* The program itself is mapped privately too, but --save-private speaks of the others. */
    for (uint32_t i = 0; mapped && i < context->n_files; i++)
        if (mapped[i] & MAPPING_EXE)
            mapped[i] &= ~(uint32_t)MAPPING_PRIVATE;
    return mapped;
}

static void tell_unreadable(struct caesura_capture *capture, const struct file *file, const struct file_entry *entry,
                            int reason)
{
    if (is_nameless(file)) {
        capture_refuse(capture, entry->pid, entry->holder_fd,
                       "let the program keep the file's name, or give its owner the right to read it",
                       "%s: it has no name left and cannot be read: %s", file->path, strerror(reason));
        return;
    }
    capture_log(capture, file->flags & (FILE_WRITTEN | FILE_TRACKED) ? CAESURA_LOG_WARNING : CAESURA_LOG_DEBUG,
                "%s cannot be read (%s): its contents are not saved and cannot be rolled back at a restart", file->path,
                strerror(reason));
}

static void tell_over_limit(struct caesura_capture *capture, const struct file *file)
{
    capture_log(
        capture, CAESURA_LOG_WARNING,
        "%s has %llu bytes, over the limit of %llu for saved files: at a restart it is cut back to this size, but "
        "bytes changed in place after the checkpoint stay changed",
        file->path, (unsigned long long)file->size, (unsigned long long)capture->request.copy_limit_bytes);
}

/* What fd tells better than what was noted. */
static int look_closer(struct caesura_capture *capture, uint32_t index, int fd, struct caesura_error *err)
{
    struct file *file = &capture->context.files[index];
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "cannot look at %s", file->path);
    identity_take(file, &st);
    if (file->kind == FILE_DELETED && st.st_nlink > 0)
        capture_log(
            capture, CAESURA_LOG_WARNING,
            "%s: the name by which it was opened is gone, but it has others: a restart gives the processes a copy "
            "of their own",
            file->path);
    if (!(file->flags & FILE_EXECUTED))
        return 0;
    free(file->build_id.data);
    return elf_build_id(fd, file->path, &file->build_id, err);
}

static int decide_one(struct caesura_capture *capture, uint32_t index, uint32_t mapped, struct caesura_error *err)
{
    struct file *file = &capture->context.files[index];
    const struct file_entry *entry = &capture->files->entries[index];
    bool shared;
    int rc = 0;

    enum file_content content = files_content(&capture->request, file, mapped);
    if (is_nameless(file) && entry->fd < 0)
        return 0;
    if (content == FILE_CONTENT_SAVED || (file->flags & FILE_EXECUTED)) {
        auto_close int fd = file_set_open(capture, index, &shared);
        bool lacks_resources = fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM;
        if (fd >= 0 || lacks_resources)
            rc = lacks_resources ? error_errno(err, -fd, "cannot open %s", file->path)
                                 : look_closer(capture, index, fd, err);
        else if (content == FILE_CONTENT_SAVED)
            tell_unreadable(capture, file, entry, -fd);
        if (rc)
            return rc;
        /* It may have grown by somebody else's hand since it was noted. */
        content = files_content(&capture->request, file, mapped);
        if (fd < 0 && content == FILE_CONTENT_SAVED)
            content = FILE_CONTENT_NONE;
    }
    file->content = content;
    if (content == FILE_CONTENT_OVER_LIMIT)
        tell_over_limit(capture, file);
    return 0;
}

int files_decide(struct caesura_capture *capture, struct caesura_error *err)
{
    int rc = files_take_census(capture, err);
    if (!rc)
        rc = files_take_private_shm(capture, err);
    if (rc)
        return rc;
    auto_free uint32_t *mapped = mappings_of(&capture->context);
    if (!mapped)
        return error_set(err, CAESURA_ENOMEM_, "cannot look at %u files", capture->context.n_files);
    for (uint32_t i = 0; i < capture->context.n_files && !rc; i++)
        rc = decide_one(capture, i, mapped[i], err);
    if (!rc && capture->files)
        files_tell_closed(capture);
    return rc;
}
