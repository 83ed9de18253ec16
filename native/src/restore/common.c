/* What descriptors/ and files/ need of a restart; also part of libcapture.so, which has both sides of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

static int compare_pids(const void *a, const void *b)
{
    int32_t one = *(const int32_t *)a, other = *(const int32_t *)b;

    return (one > other) - (one < other);
}

int32_t restore_last_pid(const struct context *context, int32_t pid_max)
{
    size_t count = 0, capacity = 2;
    int32_t best = 0, gap = 0;

    for (uint32_t i = 0; i < context->n_processes; i++)
        capacity += 3 + context->processes[i].n_threads;
    int32_t *taken = calloc(capacity, sizeof *taken);
    if (!taken)
        return 0;
    taken[count++] = 1;
    taken[count++] = pid_max;
    for (uint32_t i = 0; i < context->n_processes; i++) {
        const struct process *process = &context->processes[i];
        taken[count++] = process->pid;
        taken[count++] = process->pgid;
        taken[count++] = process->sid;
        for (uint32_t k = 0; k < process->n_threads; k++)
            taken[count++] = process->threads[k].tid;
    }
    qsort(taken, count, sizeof *taken, compare_pids);
    for (size_t i = 1; i < count; i++) {
        if (taken[i - 1] < 1 || taken[i] > pid_max || taken[i] - taken[i - 1] <= gap)
            continue;
        gap = taken[i] - taken[i - 1];
        best = taken[i - 1];
    }
    free(taken);
    return best;
}
