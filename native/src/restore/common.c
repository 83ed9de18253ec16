/* What descriptors/ and files/ need of a restart; also part of libcapture.so, which has both sides of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "restore/restore.h"

char *restore_path(const struct restore *restore, const char *path)
{
    for (size_t i = 0; i < restore->options.n_relocations; i++) {
        const struct relocation *move = &restore->options.relocations[i];
        size_t length = strcmp(move->from, "/") == 0 ? 0 : strlen(move->from);
        char *moved;
        if (strncmp(path, move->from, length) != 0 || (path[length] && path[length] != '/'))
            continue;
        const char *to = strcmp(move->to, "/") == 0 && path[length] ? "" : move->to;
        return asprintf(&moved, "%s%s", to, path + length) < 0 ? NULL : moved;
    }
    return strdup(path);
}

int restore_keep_fd(const struct restore *restore, int fd, struct caesura_error *err)
{
    int kept = fcntl(fd, F_DUPFD_CLOEXEC, restore->fd_base);
    int rc = kept < 0 ? error_errno(err, errno, "cannot keep descriptor %d above %d", fd, restore->fd_base) : kept;

    if (kept < 0 && err && (err->code == EINVAL || err->code == EMFILE))
        error_hint(err, "raise the limit of open files (ulimit -n) above %d", restore->fd_base + 64);
    close(fd);
    return rc;
}

static void say(const char *fmt, va_list args)
{
    fputs("cr_restart: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

void restore_note(const struct restore *restore, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if (!restore->options.quiet)
        say(fmt, args);
    va_end(args);
}

void restore_tell(const struct restore *restore, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if (!restore->options.quiet && (!restore->options.is_batch || restore->options.verbose))
        say(fmt, args);
    va_end(args);
}

pid_t restore_pid_now(const struct restore *restore, int32_t pid)
{
    for (uint32_t i = 0; i < restore->context->n_processes; i++)
        if (restore->context->processes[i].pid == pid)
            return restore->pids ? restore->pids[i] : pid;
    return 0;
}
