#include "restore/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/arch_x86_64.h"
#include "core/error.h"
#include "descriptors/descriptors.h"
#include "files/files.h"
#include "restore/arena.h"
#include "restore/callbacks.h"
#include "restore/exchange.h"
#include "restore/stubs.h"
#include "restore/tree.h"
#include "sysv/sysv.h"

int restore_check_cpu(const struct context *context, struct caesura_error *err)
{
    /* Bits of XCR0, Intel SDM volume 1, 13.1. */
    static const char *const names[] = {"x87",
                                        "SSE",
                                        "AVX",
                                        "MPX bounds",
                                        "MPX status",
                                        "AVX-512 masks",
                                        "AVX-512 upper ZMM",
                                        "AVX-512 ZMM16-31",
                                        "PT",
                                        "PKRU",
                                        "PASID",
                                        "CET user",
                                        "CET supervisor",
                                        "HDC",
                                        "UINTR",
                                        "LBR",
                                        "HWP",
                                        "AMX tile config",
                                        "AMX tile data",
                                        "APX"};
    uint64_t missing = context->scope.xfeatures & ~arch_xfeatures();
    char list[256] = "";

    if (!missing)
        return 0;
    for (size_t i = 0; i < 64; i++)
        if (missing >> i & 1)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", list[0] ? ", " : "",
                     i < sizeof names / sizeof *names ? names[i] : "unknown");
    return error_set(err, CAESURA_ECPU, "this processor lacks %s, which the processes of the context have state for",
                     list);
}

/* Descriptors of the builder start above all of the processes. */
static int choose_fd_base(struct restore *restore, struct caesura_error *err)
{
    const struct context *context = restore->context;
    struct rlimit limit;

    restore->fd_base = 128;
    for (uint32_t p = 0; p < context->n_processes; p++)
        for (uint32_t i = 0; i < context->processes[p].n_descriptors; i++) {
            int fd = context->processes[p].descriptors[i].fd;
            if (fd < 0 || fd > (1 << 28))
                return error_set(err, CAESURA_EFORMAT, "process %d has a descriptor %d", context->processes[p].pid, fd);
            if (fd >= restore->fd_base)
                restore->fd_base = fd + 1;
        }
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return 0;
}

static int keep_context(struct restore *restore, struct caesura_error *err)
{
    size_t count = restore->source.n_fds;

    restore->context_fds = calloc(count, sizeof *restore->context_fds);
    if (!restore->context_fds)
        return error_errno(err, ENOMEM, "cannot prepare the restart");
    for (size_t i = 0; i < count; i++) {
        int copy = dup(restore->source.fds[i]);
        int kept =
            copy < 0 ? error_errno(err, errno, "cannot keep the context open") : restore_keep_fd(restore, copy, err);
        if (kept < 0)
            return kept;
        restore->context_fds[i] = kept;
        for (uint32_t k = 0; k < restore->source.n_data; k++)
            if (restore->source.data[k].fd == restore->source.fds[i])
                restore->source.data[k].fd = kept;
    }
    restore->source.fds = restore->context_fds;
    return 0;
}

static int *unset_fds(uint32_t count)
{
    int *fds = malloc((count + 1) * sizeof *fds);
    for (uint32_t i = 0; fds && i <= count; i++)
        fds[i] = -1;
    return fds;
}

static int open_mapped(struct restore *restore, uint32_t id, bool writable, struct caesura_error *err)
{
    if (id > restore->context->n_files || !id)
        return error_set(err, CAESURA_EFORMAT, "file number %u of %u", id, restore->context->n_files);
    const struct file *file = context_file(restore->context, id);
    if (!file)
        return error_set(err, CAESURA_EFORMAT, "there is no file number %u", id);
    if (file->kind == FILE_ANON_SHARED || file->kind == FILE_SYSV || restore->file_fds[id] >= 0)
        return 0;
    int fd = files_open(restore, id, writable ? O_RDWR : O_RDONLY, err);
    if (fd < 0)
        return fd;
    restore->file_fds[id] = restore_keep_fd(restore, fd, err);
    return restore->file_fds[id] < 0 ? restore->file_fds[id] : 0;
}

/* Files of maps, first those that have to be writable: one descriptor serves all maps of a file. */
static int open_mapped_files(struct restore *restore, struct caesura_error *err)
{
    const struct context *context = restore->context;
    int rc = 0;

    for (int pass = 1; pass >= 0 && !rc; pass--)
        for (uint32_t p = 0; p < context->n_processes && !rc; p++) {
            const struct process *process = &context->processes[p];
            for (uint32_t m = 0; m < process->n_maps && !rc; m++) {
                const struct map *map = &process->maps[m];
                bool writable =
                    map->kind == MAP_KIND_FILE_SHARED && ((map->prot & 2) || (map->flags & MAP_IS_MAYWRITE));
                if (map->file && writable == pass)
                    rc = open_mapped(restore, map->file, writable, err);
            }
            if (!rc && !pass && process->exe_file)
                rc = open_mapped(restore, process->exe_file, false, err);
        }
    return rc;
}

static int prepare(struct restore *restore, struct caesura_error *err)
{
    const struct context *context = restore->context;
    int rc;

    for (uint32_t i = 0; i < context->n_files; i++)
        if (!context->files[i].id || context->files[i].id > context->n_files)
            return error_set(err, CAESURA_EFORMAT, "file number %u of %u", context->files[i].id, context->n_files);
    restore->description_fds = unset_fds(context->n_descriptions);
    restore->file_fds = unset_fds(context->n_files);
    if (!restore->description_fds || !restore->file_fds)
        return error_errno(err, ENOMEM, "cannot prepare the restart");
    if ((rc = choose_fd_base(restore, err)) || (rc = keep_context(restore, err)) || (rc = files_check(restore, err)) ||
        (rc = sysv_make(restore, err)) || (rc = arena_make(restore, err)) || (rc = sysv_settle(restore, err)) ||
        (rc = files_roll_back(restore, err)) || (rc = descriptors_open(restore, err)))
        return rc;
    return open_mapped_files(restore, err);
}

static int finish_and_release(struct build *build, struct caesura_error *err)
{
    int rc = build_finish(build, err);
    return rc ? rc : build_release(build, err);
}

/*
 * Address spaces one after the other, then, when all are there, what must not begin before: timers, signals. Processes that
 * are to be stopped come first, the younger before the older, for their parents are told of it.
 */
static int exchange_all(struct restore *restore, struct build *builds, struct caesura_error *err)
{
    const struct context *context = restore->context;
    int rc = 0;

    for (uint32_t i = 0; i < context->n_processes && !rc; i++)
        if (context->processes[i].state != PROCESS_ZOMBIE && !(rc = build_attach(restore, i, &builds[i], err)) &&
            !(rc = build_memory(&builds[i], err)) && !(rc = build_threads(&builds[i], err)))
            rc = callbacks_restarted(&builds[i], err);
    if (!rc)
        rc = files_seal(restore, err);
    for (uint32_t i = context->n_processes; i-- > 0 && !rc;)
        if (context->processes[i].state == PROCESS_STOPPED && !(rc = finish_and_release(&builds[i], err)))
            rc = build_await_stop(&builds[i], err);
    for (uint32_t i = 0; i < context->n_processes && !rc; i++)
        if (context->processes[i].state == PROCESS_RUNNING)
            rc = build_finish(&builds[i], err);
    for (uint32_t i = 0; i < context->n_processes && !rc; i++)
        if (context->processes[i].state == PROCESS_RUNNING)
            rc = build_release(&builds[i], err);
    return rc;
}

static void close_all(struct restore *restore)
{
    const struct context *context = restore->context;

    for (uint32_t i = 0; restore->file_fds && i <= context->n_files; i++)
        if (restore->file_fds[i] >= 0)
            close(restore->file_fds[i]);
    for (size_t i = 0; restore->context_fds && i < restore->source.n_fds; i++)
        close(restore->context_fds[i]);
}

int restore_build(struct restore *restore, pid_t *root, struct caesura_error *err)
{
    const struct context *context = restore->context;
    struct build *builds = calloc(context->n_processes, sizeof *builds);
    struct tree tree = {0};
    int rc = builds ? prepare(restore, err) : error_errno(err, ENOMEM, "cannot prepare the restart");

    if (!rc)
        rc = tree_plan(restore, getsid(0), &tree, err);
    if (!rc)
        rc = stubs_make(restore, &tree, err);
    if (!rc) {
        rc = exchange_all(restore, builds, err);
        for (uint32_t i = 0; i < context->n_processes; i++)
            build_free(&builds[i]);
        if (rc)
            stubs_kill(restore);
    }
    if (!rc)
        *root = restore->pids[0];
    if (rc)
        sysv_undo(restore);
    arena_leave(restore);
    descriptors_close(restore);
    files_end(restore);
    close_all(restore);
    tree_free(&tree);
    free(builds);
    return rc;
}
