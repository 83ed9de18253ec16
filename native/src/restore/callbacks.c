#include "restore/callbacks.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "callbacks/find.h"
#include "core/error.h"
#include "proc/proc.h"

/* Path of the context, "" if it is not a file that can be found again. */
static void source_path(const struct restore *restore, char path[LIBCR_PATH_BYTES])
{
    char link[64];
    ssize_t length = 0;
    static const char gone[] = " (deleted)";

    snprintf(link, sizeof link, "/proc/self/fd/%d", restore->source.n_fds ? restore->source.fds[0] : -1);
    length = readlink(link, path, LIBCR_PATH_BYTES - 1);
    if (length < 0 || *path != '/')
        length = 0;
    path[length] = 0;
    size_t tail = sizeof gone - 1;
    if ((size_t)length >= tail && !strcmp(path + length - tail, gone))
        *path = 0;
}

/* With new pids the thread for callbacks has another number too. */
static int32_t helper_now(const struct build *build, int32_t helper)
{
    struct proc_status status;

    for (uint32_t i = 0; i < build->process->n_threads; i++)
        if (build->process->threads[i].tid == helper &&
            !proc_task_status(build->target.pid, build->target.tasks[i + (build->leader_ended ? 1 : 0)].tid, &status))
            return status.inner_pid;
    return 0;
}

int callbacks_restarted(struct build *build, struct caesura_error *err)
{
    const pid_t pid = build->target.pid;
    struct libcr_control control;
    struct libcr_found found;
    struct proc_status status;
    char path[LIBCR_PATH_BYTES];
    int rc = libcr_find(pid, &found);

    if (!rc && !found.address)
        return 0;
    if (rc == -CAESURA_EVERSION)
        return error_set(err, CAESURA_EVERSION, "process %d has a libcr of another release loaded",
                         build->process->pid);
    if (rc || (rc = proc_status(pid, &status)) || (rc = libcr_read(pid, found.address, &control)))
        return error_errno(err, -rc, "cannot look for libcr in process %d", build->process->pid);
    if (control.pid != build->process->pid)
        return 0; /* a child that has its parent's block, and no callbacks */
    bool running = control.request == LIBCR_SIGNALLED;
    source_path(build->restore, path);
    if ((rc = LIBCR_PUT(pid, found.address, pid, status.inner_pid)) ||
        (rc = LIBCR_PUT(pid, found.address, helper, helper_now(build, control.helper))) ||
        (rc = LIBCR_PUT(pid, found.address, latest, LIBCR_LATEST_SRC)) ||
        (rc = LIBCR_PUT(pid, found.address, restarts, control.restarts + 1)) ||
        (rc = LIBCR_PUT(pid, found.address, restart_requester, getpid())) ||
        (rc = libcr_write(pid, found.address, offsetof(struct libcr_control, src), path, strlen(path) + 1)) ||
        (running && ((rc = LIBCR_PUT(pid, found.address, final_signal, build->restore->options.signal)) ||
                     (rc = LIBCR_PUT(pid, found.address, verdict, LIBCR_RESTART)))) ||
        (!running && (rc = LIBCR_PUT(pid, found.address, request, LIBCR_IDLE))))
        return error_errno(err, -rc, "cannot tell process %d of its restart", build->process->pid);
    build->signal_left = running && build->restore->options.signal;
    return 0;
}
