/*
 * Stand-ins for functions of other folders, so that a folder can be tested before or without these. They are weak: where the
 * real ones are linked, those are taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "files/files.h"

#define WEAK __attribute__((weak))
#define FILES_MAX 32

/* Files without a name are kept open by the test itself, whose child the builder is. */
static struct {
    struct stat st;
    char path[256];
    int fd;
} kept[FILES_MAX];
static uint32_t n_kept;

WEAK int files_note(struct caesura_capture *capture, const struct file_sighting *sighting, uint32_t *id,
                    struct caesura_error *err)
{
    (void)capture;
    for (uint32_t i = n_kept; i > 0; i--)
        if (kept[i - 1].st.st_ino == sighting->st->st_ino && kept[i - 1].st.st_dev == sighting->st->st_dev) {
            *id = i;
            return 0;
        }
    if (n_kept == FILES_MAX)
        return error_set(err, CAESURA_ENOMEM_, "too many files for a test");
    kept[n_kept].st = *sighting->st;
    kept[n_kept].fd = sighting->st->st_nlink ? -1 : fcntl(sighting->fd, F_DUPFD_CLOEXEC, 9500);
    snprintf(kept[n_kept].path, sizeof kept[n_kept].path, "%s", sighting->path);
    *id = ++n_kept;
    return 0;
}

WEAK int files_open(struct restore *restore, uint32_t file_id, int flags, struct caesura_error *err)
{
    char link[64];

    (void)restore;
    snprintf(link, sizeof link, "/proc/self/fd/%d", kept[file_id - 1].fd);
    int fd = open(kept[file_id - 1].fd >= 0 ? link : kept[file_id - 1].path, (flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC);
    return fd < 0 ? error_errno(err, errno, "cannot open %s", kept[file_id - 1].path) : fd;
}

WEAK char *restore_path(const struct restore *restore, const char *path)
{
    (void)restore;
    return strdup(path);
}

WEAK int restore_keep_fd(const struct restore *restore, int fd, struct caesura_error *err)
{
    int kept_fd = fcntl(fd, F_DUPFD_CLOEXEC, restore->fd_base);
    int saved = errno;

    close(fd);
    return kept_fd < 0 ? error_errno(err, saved, "cannot keep a descriptor") : kept_fd;
}

WEAK void restore_note(const struct restore *restore, const char *fmt, ...)
{
    va_list args;

    (void)restore;
    if (!getenv("SCENE_VERBOSE"))
        return;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

WEAK void capture_log(struct caesura_capture *capture, int level, const char *fmt, ...)
{
    char line[1536];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (capture->log)
        capture->log(capture->log_data, level, line);
}

WEAK void capture_refuse(struct caesura_capture *capture, int pid, int fd, const char *remedy, const char *fmt, ...)
{
    struct caesura_error refusal;
    char what[1000];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    error_set(&refusal, CAESURA_EUNSUPPORTED, "%s", what);
    error_hint(&refusal, "%s", remedy);
    error_about(&refusal, pid, fd);
    if (!capture->refusals++)
        capture->first_refusal = refusal;
    capture_log(capture, CAESURA_LOG_REFUSAL, "%s; remedy: %s", what, remedy);
}

WEAK struct target *capture_target(const struct caesura_capture *capture, int32_t inner_pid)
{
    for (size_t i = 0; i < capture->n_targets; i++)
        if (capture->targets[i].inner_pid == inner_pid)
            return &capture->targets[i];
    return NULL;
}
