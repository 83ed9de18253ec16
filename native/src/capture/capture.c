/* The flow of a checkpoint: freeze, collect, write, let go. */
#include "capture/capture.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "callbacks/callbacks.h"
#include "capture/collect.h"
#include "context/codec.h"
#include "core/clock.h"
#include "core/error.h"
#include "descriptors/descriptors.h"
#include "files/files.h"
#include "freeze/freeze.h"
#include "memory/memory.h"
#include "proc/proc.h"
#include "sysv/sysv.h"

#define PROGRESS_INTERVAL_NS 100000000ull

const struct caesura_abi *caesura_abi(void)
{
    static const struct caesura_abi abi = {
        .version = CAESURA_ABI_VERSION,
        .error_size = sizeof(struct caesura_error),
        .request_size = sizeof(struct caesura_capture_request),
        .result_size = sizeof(struct caesura_capture_result),
    };
    return &abi;
}

void caesura_free(void *memory)
{
    free(memory);
}

void capture_log(struct caesura_capture *capture, int level, const char *fmt, ...)
{
    char line[1536];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (level == CAESURA_LOG_WARNING)
        capture->result.warnings++;
    if (capture->log)
        capture->log(capture->log_data, level, line);
}

void capture_refuse(struct caesura_capture *capture, int pid, int fd, const char *remedy, const char *fmt, ...)
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

struct target *capture_target(const struct caesura_capture *capture, int32_t inner_pid)
{
    for (size_t i = 0; i < capture->n_targets; i++)
        if (capture->targets[i].inner_pid == inner_pid)
            return &capture->targets[i];
    return NULL;
}

void capture_progress(struct caesura_capture *capture, uint64_t bytes)
{
    capture->progress_done += bytes;
    uint64_t now = clock_now_ns();
    if (!capture->progress || now - capture->progress_at_ns < PROGRESS_INTERVAL_NS)
        return;
    capture->progress_at_ns = now;
    if (capture->progress_total < capture->progress_done)
        capture->progress_total = capture->progress_done;
    capture->progress(capture->progress_data, capture->progress_done, capture->progress_total);
}

/* Pids in the processes' own namespace, and a handle on each process. */
static int targets_identify(struct caesura_capture *capture, struct caesura_error *err)
{
    for (size_t i = 0; i < capture->n_targets; i++) {
        struct target *target = &capture->targets[i];
        struct proc_status status;
        int rc = proc_status(target->pid, &status);
        if (rc == -ESRCH && target->zombie) {
            /* Its parent had waited for it before that was stopped. */
            free(target->tasks);
            memmove(target, target + 1, (--capture->n_targets - i) * sizeof *target);
            i--;
            continue;
        }
        if (rc)
            return error_errno(err, -rc, "cannot read the status of process %d", target->pid);
        target->inner_pid = status.inner_pid;
        target->parent = status.ppid;
        if (target->zombie)
            continue;
        target->pidfd = (int)syscall(SYS_pidfd_open, target->pid, 0);
        if (target->pidfd < 0)
            return error_errno(err, errno, "cannot open process %d", target->pid);
        for (size_t k = 0; k < target->n_tasks; k++) {
            rc = proc_task_status(target->pid, target->tasks[k].tid, &status);
            if (rc)
                return error_errno(err, -rc, "cannot read the status of task %d", target->tasks[k].tid);
            target->tasks[k].inner_tid = status.inner_pid;
        }
    }
    return 0;
}

/* Processes that share what only threads of one process may share here. */
static void refuse_sharing(struct caesura_capture *capture)
{
    static const struct {
        int type;
        const char *what;
    } kinds[] = {{KCMP_VM, "its memory"}, {KCMP_SIGHAND, "its signal handlers"}};

    for (size_t i = 0; i < capture->n_targets; i++)
        for (size_t k = 0; k < capture->n_targets; k++) {
            struct target *a = &capture->targets[i], *b = &capture->targets[k];
            /* Those that share are parent and child, or were made by one parent: no need to compare all with all. */
            if (i == k || a->zombie || b->zombie || (b->parent != a->pid && (b->parent != a->parent || k < i)))
                continue;
            for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++)
                if (!syscall(SYS_kcmp, a->pid, b->pid, kinds[n].type, 0, 0))
                    capture_refuse(capture, b->inner_pid, -1, "use threads (pthread_create) or fork",
                                   "process %d shares %s with process %d (clone with CLONE_VM or CLONE_SIGHAND)",
                                   b->inner_pid, kinds[n].what, a->inner_pid);
        }
}

/* Folder and umask in common with the parent (CLONE_FS). The first of those who share is named; it shares with nobody. */
static void find_shared_folders(struct caesura_capture *capture)
{
    for (size_t i = 0; i < capture->n_targets; i++)
        for (size_t k = 0; k < capture->n_targets; k++) {
            struct target *child = &capture->targets[i], *parent = &capture->targets[k];
            if (child->zombie || parent->zombie || child->parent != parent->pid ||
                syscall(SYS_kcmp, child->pid, parent->pid, KCMP_FS, 0, 0))
                continue;
            child->process->fs_of = parent->process->fs_of ? parent->process->fs_of : (uint32_t)parent->inner_pid;
        }
}

static int collect_all(struct caesura_capture *capture, struct caesura_error *err)
{
    struct context *context = &capture->context;
    int rc = targets_identify(capture, err);

    if (rc)
        return rc;
    if (!capture->n_targets)
        return error_set(err, CAESURA_ESRCH_, "every process of the scope has ended");
    context->processes = calloc(capture->n_targets + 1, sizeof *context->processes);
    if (!context->processes)
        return error_errno(err, ENOMEM, "cannot hold the state of the scope");
    context->n_processes = (uint32_t)capture->n_targets;
    for (size_t i = 0; i < capture->n_targets; i++)
        capture->targets[i].process = &context->processes[i];
    if ((rc = collect_scope(capture, err)))
        return rc;
    refuse_sharing(capture);
    for (size_t i = 0; i < capture->n_targets; i++) {
        struct target *target = &capture->targets[i];
        if ((rc = collect_process(capture, target, err)))
            return rc;
        capture->result.threads += (uint32_t)target->n_tasks;
        if (target->zombie)
            continue;
        if ((rc = memory_collect(capture, target, err)) || (rc = collect_by_calls(capture, target, err)))
            return rc;
    }
    find_shared_folders(capture);
    if ((rc = descriptors_capture(capture, err)) || (rc = sysv_collect(capture, err)))
        return rc;
    capture->result.processes = (uint32_t)capture->n_targets;
    if ((rc = files_decide(capture, err)))
        return rc;
    return memory_finish(capture, err);
}

/* A task that was killed gives its address space up some time before it is a zombie. */
static bool is_dying(pid_t tid)
{
    char *text;
    if (proc_read(tid, "statm", &text, NULL))
        return true;
    bool gone = strtoul(text, NULL, 10) == 0;
    free(text);
    return gone;
}

/* What a process that was killed meanwhile makes fail, fails in many ways; what is told is why. */
static int blame_the_dead(const struct caesura_capture *capture, int rc, struct caesura_error *err)
{
    for (size_t i = 0; rc && i < capture->n_targets; i++) {
        const struct target *target = &capture->targets[i];
        if (target->zombie || !is_dying(target->live_tid))
            continue;
        error_set(err, CAESURA_ESRCH_, "process %d ended while it was frozen", target->pid);
        return error_about(err, target->pid, -1);
    }
    return rc;
}

int caesura_capture_open(const struct caesura_capture_request *request, caesura_log_fn log, void *log_data,
                         struct caesura_capture **out, struct caesura_error *err)
{
    if (request->size != sizeof *request)
        return error_set(err, CAESURA_EVERSION, "the request has %u bytes, this library expects %zu", request->size,
                         sizeof *request);
    struct caesura_capture *capture = calloc(1, sizeof *capture);
    if (!capture)
        return error_errno(err, ENOMEM, "cannot prepare a checkpoint");
    capture->request = *request;
    capture->log = log;
    capture->log_data = log_data;
    capture->result.size = sizeof capture->result;
    if (getrandom(capture->result.set_id, sizeof capture->result.set_id, 0) < 0)
        memcpy(capture->result.set_id, &capture->frozen_at_ns, sizeof capture->frozen_at_ns);

    int rc = callbacks_freeze(capture, err);
    if (!rc)
        rc = blame_the_dead(capture, collect_all(capture, err), err);
    capture->result.collect_ns = clock_now_ns() - capture->frozen_at_ns - capture->result.freeze_ns;
    if (!rc && capture->refusals) {
        if (err)
            *err = capture->first_refusal;
        rc = -capture->first_refusal.code;
    }
    if (rc) {
        callbacks_decide(capture, -rc);
        caesura_capture_close(capture);
        return rc;
    }
    *out = capture;
    return 0;
}

size_t caesura_capture_count(const struct caesura_capture *capture)
{
    return capture->n_targets;
}

int32_t caesura_capture_pid(const struct caesura_capture *capture, size_t index)
{
    return index < capture->n_targets ? capture->targets[index].inner_pid : 0;
}

#define WRITE_RECORDS(record, list, type, owner)                                     \
    for (uint32_t i = 0; i < context->n_##list && !rc; i++) {                        \
        payload.size = 0;                                                            \
        record_encode_##record(&payload, &context->list[i]);                         \
        rc = context_writer_section(writer, type, (uint32_t)(owner), &payload, err); \
    }

static int write_common(struct caesura_capture *capture, struct context_writer *writer, struct caesura_error *err)
{
    const struct context *context = &capture->context;
    struct buffer payload = {0};

    record_encode_scope(&payload, &context->scope);
    int rc = context_writer_section(writer, SECTION_SCOPE, 0, &payload, err);
    WRITE_RECORDS(file, files, SECTION_FILE, context->files[i].id)
    WRITE_RECORDS(description, descriptions, SECTION_DESCRIPTION, context->descriptions[i].id)
    WRITE_RECORDS(lock, locks, SECTION_LOCK, 0)
    WRITE_RECORDS(tracked, tracked, SECTION_TRACKED, 0)
    WRITE_RECORDS(sysv, sysv, SECTION_SYSV, 0)
    buffer_free(&payload);
    return rc;
}

static int write_process(const struct process *process, struct context_writer *writer, struct caesura_error *err)
{
    struct buffer payload = {0};

    record_encode_process(&payload, process);
    int rc = context_writer_section(writer, SECTION_PROCESS, (uint32_t)process->pid, &payload, err);
    buffer_free(&payload);
    return rc;
}

static int write_all(struct caesura_capture *capture, struct context_writer *writers, size_t count,
                     struct caesura_error *err)
{
    int rc = write_common(capture, &writers[0], err);

    for (size_t i = 0; i < capture->n_targets && !rc; i++)
        rc = write_process(capture->targets[i].process, &writers[count == 1 ? 0 : i], err);
    for (size_t i = 0; i < capture->n_targets && !rc; i++)
        if (!capture->targets[i].zombie)
            rc = memory_write(capture, &capture->targets[i], &writers[count == 1 ? 0 : i], err);
    for (size_t i = 0; i < count; i++)
        capture->result.page_bytes += writers[i].data_bytes;
    if (!rc)
        rc = memory_write_shared(capture, &writers[0], err);
    if (!rc)
        rc = files_write(capture, &writers[0], err);
    for (size_t i = 0; i < count && !rc; i++)
        rc = context_writer_end(&writers[i], err);
    return rc;
}

int caesura_capture_write(struct caesura_capture *capture, const int32_t *fds, size_t count,
                          caesura_progress_fn progress, void *progress_data, struct caesura_error *err)
{
    if (count != 1 && count != capture->n_targets)
        return error_set(err, CAESURA_EINVAL_, "%zu files for a context of %zu processes", count, capture->n_targets);
    struct context_writer *writers = calloc(capture->n_targets + 1, sizeof *writers);
    int rc = writers ? 0 : error_errno(err, ENOMEM, "cannot write the context");

    capture->progress = progress;
    capture->progress_data = progress_data;
    capture->progress_done = capture->progress_total = 0;
    for (size_t i = 0; i < capture->n_targets; i++)
        if (!capture->targets[i].zombie)
            capture->progress_total += memory_estimate(capture, &capture->targets[i]);
    capture->progress_total += files_estimate(capture);
    for (size_t i = 0; i < count && !rc; i++)
        rc = context_writer_start(&writers[i], fds[i], capture->result.set_id, (uint32_t)i, (uint32_t)count, err);
    if (!rc)
        rc = blame_the_dead(capture, write_all(capture, writers, count, err), err);
    capture->written = !rc;
    for (size_t i = 0; writers && i < count; i++) {
        capture->result.total_bytes += writers[i].offset;
        context_writer_free(&writers[i]);
    }
    free(writers);
    return rc;
}

int caesura_capture_signal(struct caesura_capture *capture, int32_t signal, struct caesura_error *err)
{
    if (signal < 1 || signal > 64)
        return error_set(err, CAESURA_EINVAL_, "%d is not a signal number (1 to 64)", signal);
    if (capture->released)
        return error_set(err, CAESURA_EENGINE, "the scope runs already");
    for (size_t i = 0; i < capture->n_targets; i++)
        if (!capture->targets[i].zombie && !callbacks_take_signal(capture, &capture->targets[i], signal) &&
            kill(capture->targets[i].pid, signal) < 0 && errno != ESRCH)
            return error_errno(err, errno, "cannot send signal %d to process %d", signal, capture->targets[i].pid);
    return 0;
}

void caesura_capture_release(struct caesura_capture *capture)
{
    if (capture->released)
        return;
    callbacks_decide(capture, capture->written ? 0 : CAESURA_ETEMPFAIL);
    freeze_release(capture);
    callbacks_end(capture);
}

void caesura_capture_result(const struct caesura_capture *capture, struct caesura_capture_result *result)
{
    *result = capture->result;
}

void caesura_capture_close(struct caesura_capture *capture)
{
    if (!capture)
        return;
    caesura_capture_release(capture);
    for (size_t i = 0; i < capture->n_targets; i++) {
        if (capture->targets[i].pidfd >= 0)
            close(capture->targets[i].pidfd);
        free(capture->targets[i].tasks);
    }
    callbacks_free(capture);
    descriptors_free(capture);
    files_free(capture);
    context_free(&capture->context);
    free(capture->targets);
    free(capture);
}
