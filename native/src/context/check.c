#include "context/check.h"

#include <errno.h>
#include <stdlib.h>

#include "core/arch_x86_64.h"
#include "core/error.h"

#define FD_MAX (1 << 28) /* the kernel's own limit (sysctl fs.nr_open) is not higher than this on any system known */
#define SEMAPHORES_MAX 65535 /* of a set; the kernel's own limit (SEMMSL) is half of it */
#define HUGE_SHIFT_MAX 40    /* huge pages of any architecture are smaller; shifting by 64 is undefined */

/* The pids of the context, sorted: references are looked up in it. */
struct pids {
    int32_t *list;
    uint32_t count;
};

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static bool is_pid(const struct pids *pids, uint32_t number)
{
    int32_t pid = (int32_t)number;
    return pids->count && bsearch(&pid, pids->list, pids->count, sizeof pid, by_number);
}

static int pids_collect(const struct context *context, struct pids *pids, struct caesura_error *err)
{
    pids->count = context->n_processes;
    pids->list = calloc((size_t)pids->count + 1, sizeof *pids->list);
    if (!pids->list)
        return error_errno(err, ENOMEM, "cannot hold the context");
    for (uint32_t i = 0; i < pids->count; i++)
        pids->list[i] = context->processes[i].pid;
    qsort(pids->list, pids->count, sizeof *pids->list, by_number);
    for (uint32_t i = 0; i < pids->count; i++)
        if (pids->list[i] <= 0 || (i && pids->list[i] == pids->list[i - 1]))
            return error_set(err, CAESURA_EFORMAT, "the context has process %d %s", pids->list[i],
                             pids->list[i] <= 0 ? "" : "twice");
    return 0;
}

static int check_maps(const struct context *context, const struct process *process, struct caesura_error *err)
{
    uint64_t free_from = 0;

    for (uint32_t i = 0; i < process->n_maps; i++) {
        const struct map *map = &process->maps[i];
        if (map->start < free_from || map->start >= map->end || (map->start | map->end) & (ARCH_PAGE_SIZE - 1) ||
            map->file > context->n_files || map->huge_shift > HUGE_SHIFT_MAX)
            return error_set(err, CAESURA_EFORMAT,
                             "map %u of process %d does not fit the others, or its file is not there", i + 1,
                             process->pid);
        free_from = map->end;
    }
    return 0;
}

static int check_process(const struct context *context, const struct pids *pids, const struct process *process,
                         struct caesura_error *err)
{
    if (process->exe_file > context->n_files || (process->files_of && !is_pid(pids, process->files_of)) ||
        (process->fs_of && !is_pid(pids, process->fs_of)))
        return error_set(err, CAESURA_EFORMAT, "process %d refers to what the context does not have", process->pid);
    if (process->state < PROCESS_RUNNING || process->state > PROCESS_ZOMBIE ||
        (process->state != PROCESS_ZOMBIE && !process->n_threads))
        return error_set(err, CAESURA_EFORMAT, "process %d has state %u and %u threads", process->pid, process->state,
                         process->n_threads);
    for (uint32_t i = 0; i < process->n_descriptors; i++) {
        const struct descriptor *descriptor = &process->descriptors[i];
        if (descriptor->fd < 0 || descriptor->fd > FD_MAX || !descriptor->description ||
            descriptor->description > context->n_descriptions)
            return error_set(err, CAESURA_EFORMAT, "descriptor %d of process %d is of no open file of the context",
                             descriptor->fd, process->pid);
    }
    return check_maps(context, process, err);
}

static bool is_good_sysv(const struct context *context, const struct sysv *sysv)
{
    if (sysv->id < 0)
        return false;
    if (sysv->kind == SYSV_SEMAPHORES)
        return sysv->size && sysv->size <= SEMAPHORES_MAX && sysv->state.size == sysv->size * sizeof(uint16_t);
    return sysv->kind == SYSV_SEGMENT && sysv->size && sysv->file && sysv->file <= context->n_files &&
           context->files[sysv->file - 1].kind == FILE_SYSV && sysv->size <= context->files[sysv->file - 1].size;
}

static int check_common(const struct context *context, const struct pids *pids, struct caesura_error *err)
{
    for (uint32_t i = 0; i < context->n_files; i++)
        if (context->files[i].id != i + 1)
            return error_set(err, CAESURA_EFORMAT, "file %u of the context has number %u", i + 1, context->files[i].id);
    for (uint32_t i = 0; i < context->n_files; i++)
        if (context->files[i].huge_shift > HUGE_SHIFT_MAX)
            return error_set(err, CAESURA_EFORMAT, "file %u of the context lies on pages of 2^%u bytes", i + 1,
                             context->files[i].huge_shift);
    for (uint32_t i = 0; i < context->n_sysv; i++)
        if (!is_good_sysv(context, &context->sysv[i]))
            return error_set(err, CAESURA_EFORMAT, "System V object %u of the context is none", i + 1);
    for (uint32_t i = 0; i < context->n_descriptions; i++)
        if (context->descriptions[i].id != i + 1 || context->descriptions[i].file > context->n_files)
            return error_set(err, CAESURA_EFORMAT, "open file %u of the context has number %u, and is of file %u of %u",
                             i + 1, context->descriptions[i].id, context->descriptions[i].file, context->n_files);
    for (uint32_t i = 0; i < context->n_locks; i++) {
        const struct lock *lock = &context->locks[i];
        if (!lock->description || lock->description > context->n_descriptions ||
            (lock->kind == LOCK_POSIX && !is_pid(pids, (uint32_t)lock->pid)))
            return error_set(err, CAESURA_EFORMAT, "lock %u of the context belongs to nothing in it", i + 1);
    }
    return 0;
}

static int check_data(const struct context_source *source, const struct pids *pids, struct caesura_error *err)
{
    for (uint32_t i = 0; i < source->n_data; i++) {
        const struct context_data *data = &source->data[i];
        if (data->type == SECTION_PAGES ? !is_pid(pids, data->owner)
                                        : !data->owner || data->owner > source->context.n_files)
            return error_set(err, CAESURA_EFORMAT, "the context has %s %u, but no such %s",
                             data->type == SECTION_PAGES ? "memory of process" : "contents of file", data->owner,
                             data->type == SECTION_PAGES ? "process" : "file");
    }
    return 0;
}

int context_check(const struct context_source *source, struct caesura_error *err)
{
    const struct context *context = &source->context;
    struct pids pids = {0};
    int rc = pids_collect(context, &pids, err);

    if (!rc)
        rc = check_common(context, &pids, err);
    for (uint32_t i = 0; i < context->n_processes && !rc; i++)
        rc = check_process(context, &pids, &context->processes[i], err);
    if (!rc)
        rc = check_data(source, &pids, err);
    free(pids.list);
    return rc;
}
