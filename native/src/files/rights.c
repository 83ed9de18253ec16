/* Files that the scope holds and its user could not open: a log of root's that a job has as its standard output. */
#include "files/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"

/* ---- checkpoint ---- */

/* Why the file cannot be opened again by its path as it is held, or 0. Its owner can give himself the right. */
static int why_closed(const struct file *file)
{
    int mode = file->flags & (FILE_WRITTEN | FILE_APPENDED) ? W_OK : R_OK;

    if (file->uid == geteuid() || faccessat(AT_FDCWD, file->path, mode, AT_EACCESS) == 0)
        return 0;
    return errno == EACCES || errno == EPERM ? errno : 0;
}

void files_tell_closed(struct caesura_capture *capture)
{
    for (uint32_t i = 0; i < capture->context.n_files; i++) {
        const struct file *file = &capture->context.files[i];
        const struct file_entry *entry = &capture->files->entries[i];
        int reason = file->kind == FILE_REGULAR && entry->pid ? why_closed(file) : 0;
        if (!reason)
            continue;
        if (entry->holder_fd < 0)
            capture_log(capture, CAESURA_LOG_WARNING,
                        "process %d maps %s, which this user cannot open (%s): a restart will need that right",
                        entry->pid, file->path, strerror(reason));
        else if (entry->holder_fd <= 2)
            capture_log(
                capture, CAESURA_LOG_WARNING,
                "process %d holds descriptor %d, %s, which this user cannot open (%s): a restart will need it as "
                "its own standard stream",
                entry->pid, entry->holder_fd, file->path, strerror(reason));
        else
            capture_log(
                capture, CAESURA_LOG_WARNING,
                "process %d holds descriptor %d, %s, which this user cannot open (%s): a restart will need that right",
                entry->pid, entry->holder_fd, file->path, strerror(reason));
    }
}

/* ---- restart ---- */

static bool is_standard_stream(const struct context *context, uint32_t description)
{
    for (uint32_t p = 0; p < context->n_processes; p++)
        for (uint32_t i = 0; i < context->processes[p].n_descriptors; i++)
            if (context->processes[p].descriptors[i].description == description &&
                context->processes[p].descriptors[i].fd <= 2)
                return true;
    return false;
}

int files_own_stream(const struct file *file, const char *path, uint32_t flags)
{
    struct stat there, own;
    int wanted = (int)flags & O_ACCMODE;

    /* Where not even the folder may be searched, the file is known by what it was. */
    bool known = lstat(path, &there) == 0;
    for (int fd = 0; fd <= 2; fd++) {
        int have = fcntl(fd, F_GETFL);
        if (have < 0 || ((have & O_ACCMODE) != O_RDWR && (have & O_ACCMODE) != wanted) || fstat(fd, &own) < 0)
            continue;
        if (known ? own.st_dev == there.st_dev && own.st_ino == there.st_ino
                  : own.st_dev == file->dev && own.st_ino == file->ino)
            return fd;
    }
    return -1;
}

bool files_is_own_stream(const struct restore *restore, const struct file *file, const char *path)
{
    const struct context *context = restore->context;
    bool found = false;

    for (uint32_t p = 0; p < context->n_processes; p++)
        for (uint32_t m = 0; m < context->processes[p].n_maps; m++)
            if (context->processes[p].maps[m].file == file->id)
                return false;
    for (uint32_t i = 0; i < context->n_descriptions; i++) {
        const struct description *description = &context->descriptions[i];
        if (description->file != file->id)
            continue;
        if (!is_standard_stream(context, description->id) || files_own_stream(file, path, description->flags) < 0)
            return false;
        found = true;
    }
    return found;
}
