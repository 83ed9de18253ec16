/* The address space of a stub: exchanged for that of the context. */
#include "restore/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/kernel_abi.h"
#include "proc/proc.h"
#include "restore/arena.h"
#include "restore/batch.h"
#include "restore/vdso.h"

/* A signal for the stubs' notifications: one that is not pending in the context, for two of the same would become one. */
static int notify_signal(const struct process *process)
{
    uint64_t pending = 0;
    const siginfo_t *info;

    for (uint32_t i = 0; i < process->n_pending; i++)
        if ((info = process->pending[i].siginfo.data) && process->pending[i].siginfo.size >= sizeof(int))
            pending |= 1ull << (((unsigned)info->si_signo - 1) & 63);
    for (uint32_t k = 0; k < process->n_threads; k++)
        for (uint32_t i = 0; i < process->threads[k].n_pending; i++)
            if ((info = process->threads[k].pending[i].siginfo.data) &&
                process->threads[k].pending[i].siginfo.size >= sizeof(int))
                pending |= 1ull << (((unsigned)info->si_signo - 1) & 63);
    for (unsigned signo = SIGURG; signo <= 64; signo++)
        if (!(pending >> (signo - 1) & 1))
            return (int)signo;
    return 0;
}

int build_attach(struct restore *restore, uint32_t index, struct build *build, struct caesura_error *err)
{
    const struct process *process = &restore->context->processes[index];
    pid_t pid = restore->pids[index];
    int status, notify = notify_signal(process);

    *build = (struct build){.restore = restore, .process = process};
    struct target *target = &build->target;
    *target = (struct target){.pid = pid, .live_tid = pid, .inner_pid = pid, .pidfd = -1};
    target->tasks = calloc(process->n_threads + 1, sizeof *target->tasks);
    if (!target->tasks || !notify)
        return error_errno(err, ENOMEM, "cannot build process %d", process->pid);
    target->n_tasks = 1;
    target->tasks[0] = (struct task){.tid = pid, .inner_tid = pid, .state = TASK_STOPPED};
    if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD) < 0 ||
        ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0 || waitpid(pid, &status, __WALL) < 0 || !WIFSTOPPED(status) ||
        ptrace(PTRACE_GETREGS, pid, 0, &target->tasks[0].regs) < 0)
        return error_errno(err, errno, "cannot attach to process %d of the restart", pid);
    return remote_adopt(target, restore->arena->code, restore->arena->scratch, notify, &build->remote, err);
}

static void unmap_all(struct batch *batch, const struct arena *arena)
{
    uint64_t end = arena->start + arena->size;
    batch_call(batch, "empty the address space", BATCH_ZERO_OR_MORE, 0, SYS_munmap, 0, arena->start, 0, 0, 0, 0);
    batch_call(batch, "empty the address space", BATCH_ZERO_OR_MORE, 0, SYS_munmap, end, ARCH_TASK_SIZE - end, 0, 0, 0,
               0);
}

/*
 * While it is filled a private map has to be writable; what it is to be is set afterwards. A map that gets no pages has its
 * protection from the beginning: a large reservation (PROT_NONE) must not count as memory that is going to be used.
 */
static int prot_to_fill(const struct map *map, bool filled)
{
    if (map->kind == MAP_KIND_FILE_SHARED || !filled)
        return (int)map->prot;
    return (int)(map->prot | PROT_READ | PROT_WRITE) & ~PROT_EXEC;
}

/* Marks the maps that a run of pages lies in. Maps are in the order of their addresses. */
static void mark_filled(const struct process *process, const struct format_extent *extent, bool *filled)
{
    uint32_t low = 0, high = process->n_maps;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (process->maps[middle].end <= extent->start)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < process->n_maps && process->maps[low].start < extent->start + extent->size; low++)
        filled[low] = true;
}

static bool *filled_maps(const struct build *build)
{
    const struct context_source *source = &build->restore->source;
    bool *filled = calloc(build->process->n_maps + 1, sizeof *filled);

    for (uint32_t i = 0; filled && i < source->n_data; i++)
        if (source->data[i].type == SECTION_PAGES && source->data[i].owner == (uint32_t)build->process->pid)
            for (uint32_t k = 0; k < source->data[i].count; k++)
                mark_filled(build->process, &source->data[i].extents[k], filled);
    return filled;
}

static int map_type(const struct map *map)
{
    int flags = MAP_FIXED_NOREPLACE | (map->kind == MAP_KIND_FILE_SHARED ? MAP_SHARED : MAP_PRIVATE);

    if (map->kind == MAP_KIND_ANON)
        flags |= MAP_ANONYMOUS;
    if (map->flags & MAP_IS_DROPPABLE)
        flags = (flags & ~(MAP_PRIVATE | MAP_SHARED)) | MAP_DROPPABLE;
    if (map->flags & MAP_IS_GROWSDOWN)
        flags |= MAP_GROWSDOWN;
    if (map->flags & MAP_IS_NORESERVE)
        flags |= MAP_NORESERVE;
    if (map->flags & MAP_IS_HUGETLB)
        flags |= MAP_HUGETLB | (int)(map->huge_shift << MAP_HUGE_SHIFT);
    return flags;
}

/*
 * Shared memory lies in the arena; old_size 0 makes a further map of a part of it. Huge pages do not allow that: the part is
 * moved, so what a process has mapped twice cannot be made again.
 */
static void map_shared_memory(struct batch *batch, const struct map *map, uint64_t object)
{
    uint64_t size = map->end - map->start, old_size = map->flags & MAP_IS_HUGETLB ? size : 0;
    batch_call(batch, "map shared memory", BATCH_EXACTLY, (int64_t)map->start, SYS_mremap, object + map->offset,
               old_size, size, MREMAP_MAYMOVE | MREMAP_FIXED, map->start, 0);
    batch_call(batch, "protect shared memory", BATCH_ZERO_OR_MORE, 0, SYS_mprotect, map->start, size, map->prot, 0, 0,
               0);
}

static int map_one(struct build *build, struct batch *batch, const struct map *map, bool filled,
                   struct caesura_error *err)
{
    const struct restore *restore = build->restore;
    int fd = -1;

    if (map->start >= map->end || map->end > ARCH_TASK_SIZE || (map->start | map->end) & (ARCH_PAGE_SIZE - 1))
        return error_set(err, CAESURA_EFORMAT, "process %d has a map with bad addresses", build->process->pid);
    if (map->kind == MAP_KIND_VDSO)
        return 0;
    if (map->kind != MAP_KIND_ANON) {
        if (!map->file || map->file > restore->context->n_files)
            return error_set(err, CAESURA_EFORMAT, "process %d has a map of no file", build->process->pid);
        if (arena_object(restore->arena, map)) {
            map_shared_memory(batch, map, arena_object(restore->arena, map));
            return 0;
        }
        fd = restore->file_fds[map->file];
        if (fd < 0)
            return error_set(err, CAESURA_EFORMAT, "the file of map %s of process %d was not opened", map->name,
                             build->process->pid);
    }
    batch_call(batch, "map memory", BATCH_EXACTLY, (int64_t)map->start, SYS_mmap, map->start, map->end - map->start,
               (uint64_t)prot_to_fill(map, filled), (uint64_t)map_type(map), (uint64_t)(int64_t)fd,
               map->kind == MAP_KIND_ANON ? 0 : map->offset);
    return 0;
}

static void fill_section(struct batch *batch, const struct context_data *data)
{
    struct iovec parts[FORMAT_FRAME_EXTENTS];
    uint64_t total = 0;

    for (uint32_t i = 0; i < data->count; i++) {
        parts[i] = (struct iovec){(void *)data->extents[i].start, data->extents[i].size};
        total += data->extents[i].size;
    }
    batch_room(batch, data->count * sizeof *parts);
    uint64_t list = batch_data(batch, parts, data->count * sizeof *parts);
    batch_call(batch, "read the memory", BATCH_EXACTLY, (int64_t)total, SYS_preadv, (uint64_t)data->fd, list,
               data->count, data->data_offset, 0, 0);
}

static void fill(struct build *build, struct batch *batch)
{
    const struct context_source *source = &build->restore->source;
    const struct process *process = build->process;

    for (uint32_t i = 0; i < source->n_data; i++)
        if (source->data[i].type == SECTION_PAGES && source->data[i].owner == (uint32_t)process->pid &&
            !vdso_is_data(process, &source->data[i]))
            fill_section(batch, &source->data[i]);
}

static const struct {
    uint32_t flag;
    int advice;
} advices[] = {
    {MAP_IS_DONTFORK, MADV_DONTFORK},     {MAP_IS_WIPEONFORK, MADV_WIPEONFORK}, {MAP_IS_DONTDUMP, MADV_DONTDUMP},
    {MAP_IS_MERGEABLE, MADV_MERGEABLE},   {MAP_IS_HUGEPAGE, MADV_HUGEPAGE},     {MAP_IS_NOHUGEPAGE, MADV_NOHUGEPAGE},
    {MAP_IS_SEQUENTIAL, MADV_SEQUENTIAL}, {MAP_IS_RANDOM, MADV_RANDOM},
};

/* Advice that decides how pages are made has to be given before they are. */
static void advise_one(struct batch *batch, const struct map *map)
{
    if (map->kind == MAP_KIND_VDSO)
        return; /* the kernel has given its own */
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (map->flags & advices[i].flag)
            batch_call(batch, "give advice for memory", BATCH_ZERO_OR_MORE, 0, SYS_madvise, map->start,
                       map->end - map->start, (uint64_t)advices[i].advice, 0, 0, 0);
}

static void name_one(struct batch *batch, const struct map *map)
{
    char name[128];
    if (sscanf(map->name, "[anon:%127[^]]", name) != 1)
        return;
    batch_room(batch, sizeof name);
    /* A kernel without names (before 5.17) has nothing to restore them with, and shows none. */
    batch_call(batch, "name memory", BATCH_ANYTHING, 0, SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, map->start,
               map->end - map->start, batch_data(batch, name, strlen(name) + 1), 0);
}

static void settle_one(struct batch *batch, const struct map *map, bool filled)
{
    uint64_t size = map->end - map->start;

    if (map->kind == MAP_KIND_VDSO)
        return;
    if (map->kind != MAP_KIND_FILE_SHARED && prot_to_fill(map, filled) != (int)map->prot)
        batch_call(batch, "protect memory", BATCH_ZERO_OR_MORE, 0, SYS_mprotect, map->start, size, map->prot, 0, 0, 0);
    if (map->kind == MAP_KIND_ANON)
        name_one(batch, map);
    if (map->flags & (MAP_IS_LOCKED | MAP_IS_LOCKONFAULT))
        batch_call(batch, "lock memory", BATCH_ZERO_OR_MORE, 0, SYS_mlock2, map->start, size,
                   map->flags & MAP_IS_LOCKONFAULT ? 1 /* MLOCK_ONFAULT */ : 0, 0, 0, 0);
}

static void guard_all(const struct process *process, struct batch *batch)
{
    for (uint32_t i = 0; i < process->n_guards; i++)
        batch_call(batch, "guard memory", BATCH_ZERO_OR_MORE, 0, SYS_madvise, process->guards[i].start,
                   process->guards[i].end - process->guards[i].start, MADV_GUARD_INSTALL, 0, 0, 0);
}

/* struct prctl_mm_map of prctl(2). */
struct mm_addresses {
    uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
    uint64_t arg_start, arg_end, env_start, env_end, auxv;
    uint32_t auxv_size, exe_fd;
};

static int set_addresses(struct build *build, struct batch *batch, struct caesura_error *err)
{
    const struct process *p = build->process;
    int exe = p->exe_file <= build->restore->context->n_files ? build->restore->file_fds[p->exe_file] : -1;
    struct mm_addresses addresses = {p->start_code,  p->end_code,  p->start_data, p->end_data,  p->start_brk, p->brk,
                                     p->start_stack, p->arg_start, p->arg_end,    p->env_start, p->env_end,   0,
                                     p->auxv.size,   (uint32_t)exe};

    batch_room(batch, sizeof addresses + p->auxv.size);
    addresses.auxv = batch_data(batch, p->auxv.data, p->auxv.size);
    uint64_t at = batch_data(batch, &addresses, sizeof addresses);
    batch_call(batch, "set the executable and the addresses", BATCH_ANYTHING, 0, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP,
               at, sizeof addresses, 0, 0);
    size_t last = batch->count - 1;
    int rc = batch_flush(batch);
    if (rc || !batch->calls[last].result)
        return rc;
    if (batch->calls[last].result != -EPERM)
        return error_errno(err, (int)-batch->calls[last].result,
                           "cannot set the executable and the addresses of process %d", p->pid);
    /* Without the right to set /proc/PID/exe: the process runs well, but shows cr-restore there. */
    restore_note(build->restore, "process %d: /proc/%d/exe will not show %s, since this user may not set it here",
                 p->pid, p->pid, p->exe);
    addresses.exe_fd = (uint32_t)-1;
    addresses.auxv = batch_data(batch, p->auxv.data, p->auxv.size);
    at = batch_data(batch, &addresses, sizeof addresses);
    batch_call(batch, "set the addresses", BATCH_ZERO_OR_MORE, 0, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, at,
               sizeof addresses, 0, 0);
    return batch_flush(batch);
}

static void set_actions(const struct process *process, struct batch *batch)
{
    for (uint32_t i = 0; i < process->n_actions; i++) {
        const struct action *action = &process->actions[i];
        uint64_t kernel[4] = {action->handler, action->flags, action->restorer, action->mask};
        if (action->signo == SIGKILL || action->signo == SIGSTOP)
            continue;
        batch_room(batch, sizeof kernel);
        batch_call(batch, "set a signal handler", BATCH_ZERO_OR_MORE, 0, SYS_rt_sigaction, action->signo,
                   batch_data(batch, kernel, sizeof kernel), 0, 8, 0, 0);
    }
}

int build_memory(struct build *build, struct caesura_error *err)
{
    const struct process *process = build->process;
    struct batch *batch = malloc(sizeof *batch);
    bool *filled = filled_maps(build);
    int rc = 0;

    if (!batch || !filled) {
        rc = error_errno(err, ENOMEM, "cannot build process %d", process->pid);
        goto out;
    }
    batch_start(batch, build->remote, &build->target.tasks[0], err);
    unmap_all(batch, build->restore->arena);
    if ((rc = batch_flush(batch)) || (rc = vdso_map(build, batch, err)))
        goto out;
    for (uint32_t i = 0; i < process->n_maps && !rc; i++)
        rc = map_one(build, batch, &process->maps[i], filled[i], err);
    for (uint32_t i = 0; i < process->n_maps && !rc; i++)
        advise_one(batch, &process->maps[i]);
    if (rc)
        goto out;
    fill(build, batch);
    for (uint32_t i = 0; i < process->n_maps; i++)
        settle_one(batch, &process->maps[i], filled[i]);
    guard_all(process, batch);
    if (process->lock_future)
        batch_call(batch, "lock future memory", BATCH_ZERO_OR_MORE, 0, SYS_mlockall,
                   MCL_FUTURE | (process->lock_future == LOCK_FUTURE_ONFAULT ? MCL_ONFAULT : 0), 0, 0, 0, 0, 0);
    set_actions(process, batch);
    if ((rc = batch_flush(batch)) || (rc = vdso_keep(build, batch, err)))
        goto out;
    rc = set_addresses(build, batch, err);
out:
    free(filled);
    free(batch);
    return rc;
}
