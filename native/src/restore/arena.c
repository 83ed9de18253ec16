#include "restore/arena.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "core/arch_x86_64.h"
#include "core/error.h"
#include "proc/proc.h"
#include "remote/remote.h"
#include "sysv/sysv.h"

#define ALIGNMENT (2ull << 20) /* of a huge page */
#define LOWEST 0x100000000ull  /* keeps away from what programs without PIE use */

struct range {
    uint64_t start, end;
};

struct ranges {
    struct range *list;
    uint32_t count;
};

static int ranges_add(struct ranges *ranges, uint64_t start, uint64_t end)
{
    struct range *range = list_add(&ranges->list, &ranges->count);
    if (!range)
        return -ENOMEM;
    *range = (struct range){start, end};
    return 0;
}

static int by_start(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* All addresses that the context's processes or the builder use. */
static int used_ranges(const struct context *context, struct ranges *ranges)
{
    struct proc_map *map = malloc(sizeof *map);
    char *text;
    int rc = map ? proc_read(getpid(), "maps", &text, NULL) : -ENOMEM;

    if (rc) {
        free(map);
        return rc;
    }
    for (const char *at = text; !rc && proc_next_map(&at, map) > 0;)
        rc = ranges_add(ranges, map->start, map->end);
    free(text);
    free(map);
    for (uint32_t p = 0; p < context->n_processes; p++)
        for (uint32_t m = 0; m < context->processes[p].n_maps && !rc; m++)
            rc = ranges_add(ranges, context->processes[p].maps[m].start, context->processes[p].maps[m].end);
    return rc;
}

static uint64_t find_gap(const struct context *context, uint64_t size, uint64_t alignment)
{
    struct ranges ranges = {0};
    uint64_t free_from = LOWEST, found = 0;

    if (!used_ranges(context, &ranges) && ranges.count) {
        qsort(ranges.list, ranges.count, sizeof *ranges.list, by_start);
        for (uint32_t i = 0; i <= ranges.count && !found; i++) {
            uint64_t limit = i < ranges.count ? ranges.list[i].start : ARCH_TASK_SIZE;
            /* A distance to both neighbours, for stacks that grow. */
            uint64_t start = (free_from + ALIGNMENT + alignment - 1) & ~(alignment - 1);
            if (limit > start && limit - start > size + ALIGNMENT)
                found = start;
            if (i < ranges.count && ranges.list[i].end > free_from)
                free_from = ranges.list[i].end;
        }
    }
    free(ranges.list);
    return found;
}

static int map_at(uint64_t start, uint64_t size, int prot, int flags, struct caesura_error *err)
{
    void *got = mmap((void *)start, size, prot, flags | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == (void *)start)
        return 0;
    return error_errno(err, got == MAP_FAILED ? errno : EEXIST, "cannot map %llu bytes for the restart",
                       (unsigned long long)size);
}

static int fill_shared(const struct restore *restore, uint32_t id, uint64_t start, uint64_t size,
                       struct caesura_error *err)
{
    for (uint32_t i = 0; i < restore->source.n_data; i++) {
        const struct context_data *data = &restore->source.data[i];
        uint64_t from = data->data_offset;
        if (data->type != SECTION_CONTENT || data->owner != id)
            continue;
        for (uint32_t k = 0; k < data->count; from += data->extents[k++].size) {
            if (data->extents[k].start + data->extents[k].size > size)
                return error_set(err, CAESURA_EFORMAT, "contents of shared memory %u lie outside of it", id);
            char *to = (char *)(start + data->extents[k].start);
            for (uint64_t done = 0; done < data->extents[k].size;) {
                ssize_t got = pread(data->fd, to + done, data->extents[k].size - done, (off_t)(from + done));
                if (got <= 0)
                    return error_errno(err, got ? errno : EIO, "cannot read shared memory from the context");
                done += (uint64_t)got;
            }
        }
    }
    return 0;
}

/* Whether its maps did not reserve swap: they show it, and a large sparse object may only be possible so. */
static bool is_noreserve(const struct context *context, uint32_t id)
{
    for (uint32_t p = 0; p < context->n_processes; p++)
        for (uint32_t m = 0; m < context->processes[p].n_maps; m++)
            if (context->processes[p].maps[m].file == id && (context->processes[p].maps[m].flags & MAP_IS_NORESERVE))
                return true;
    return false;
}

/* Objects lie on borders of the largest page that they can have. */
static uint64_t alignment_of(const struct file *file)
{
    return file->huge_shift && 1ull << file->huge_shift > ALIGNMENT ? 1ull << file->huge_shift : ALIGNMENT;
}

static uint64_t round_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

static bool is_in_arena(const struct file *file)
{
    return file->kind == FILE_ANON_SHARED || file->kind == FILE_SYSV;
}

static bool is_read_only(const struct map *map)
{
    return !(map->prot & PROT_WRITE) && !(map->flags & MAP_IS_MAYWRITE);
}

static bool has_read_only_map(const struct context *context, uint32_t id)
{
    for (uint32_t p = 0; p < context->n_processes; p++)
        for (uint32_t m = 0; m < context->processes[p].n_maps; m++)
            if (context->processes[p].maps[m].file == id && is_read_only(&context->processes[p].maps[m]))
                return true;
    return false;
}

/* Gives every object its place, as offsets from the start; returns the size of all. */
static uint64_t place_all(const struct context *context, struct arena *arena, uint64_t *alignment)
{
    uint64_t at = ALIGNMENT; /* code and scratch come first */

    *alignment = ALIGNMENT;
    for (uint32_t i = 0; i < context->n_files; i++) {
        const struct file *file = &context->files[i];
        uint64_t own = alignment_of(file);
        if (!is_in_arena(file))
            continue;
        *alignment = own > *alignment ? own : *alignment;
        arena->shared[file->id] = round_up(at, own);
        at = round_up(arena->shared[file->id] + file->size, own);
        if (file->kind != FILE_SYSV || !has_read_only_map(context, file->id))
            continue;
        arena->read_only[file->id] = at;
        at = round_up(at + file->size, own);
    }
    return round_up(at, *alignment);
}

static int make_object(const struct restore *restore, const struct file *file, struct caesura_error *err)
{
    const struct arena *arena = restore->arena;
    uint64_t at = arena->shared[file->id];
    int rc;

    if (file->kind == FILE_SYSV) {
        rc = sysv_attach(restore, file, at, false, err);
        if (!rc && arena->read_only[file->id])
            rc = sysv_attach(restore, file, arena->read_only[file->id], true, err);
    } else {
        rc = map_at(at, file->huge_shift ? round_up(file->size, 1ull << file->huge_shift) : file->size,
                    PROT_READ | PROT_WRITE,
                    MAP_SHARED | (is_noreserve(restore->context, file->id) ? MAP_NORESERVE : 0) |
                        (file->huge_shift ? MAP_HUGETLB | (int)(file->huge_shift << MAP_HUGE_SHIFT) : 0),
                    err);
    }
    return rc ? rc : fill_shared(restore, file->id, at, file->size, err);
}

int arena_make(struct restore *restore, struct caesura_error *err)
{
    const struct context *context = restore->context;
    struct arena *arena = calloc(1, sizeof *arena);
    uint64_t alignment;
    int rc = 0;

    restore->arena = arena;
    if (!arena || !(arena->shared = calloc(context->n_files + 1, sizeof *arena->shared)) ||
        !(arena->read_only = calloc(context->n_files + 1, sizeof *arena->read_only)))
        return error_errno(err, ENOMEM, "cannot prepare the restart");
    arena->size = place_all(context, arena, &alignment);
    arena->start = find_gap(context, arena->size, alignment);
    if (!arena->start)
        return error_errno(err, ENOMEM, "no %llu addresses are free in all processes of the context",
                           (unsigned long long)arena->size);
    arena->code = arena->start;
    arena->scratch = arena->start + REMOTE_CODE_BYTES;
    for (uint32_t i = 0; i <= context->n_files; i++) {
        arena->shared[i] += arena->shared[i] ? arena->start : 0;
        arena->read_only[i] += arena->read_only[i] ? arena->start : 0;
    }
    if ((rc = map_at(arena->code, REMOTE_CODE_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE, err)) ||
        (rc = map_at(arena->scratch, REMOTE_SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, err)))
        return rc;
    for (uint32_t i = 0; i < context->n_files && !rc; i++)
        if (is_in_arena(&context->files[i]))
            rc = make_object(restore, &context->files[i], err);
    return rc;
}

uint64_t arena_object(const struct arena *arena, const struct map *map)
{
    return arena->read_only[map->file] && is_read_only(map) ? arena->read_only[map->file] : arena->shared[map->file];
}

void arena_leave(struct restore *restore)
{
    const struct context *context = restore->context;

    for (uint32_t i = 0; restore->arena && restore->arena->read_only && i < context->n_files; i++) {
        uint32_t id = context->files[i].id;
        if (context->files[i].kind != FILE_SYSV)
            continue;
        shmdt((const void *)restore->arena->shared[id]);
        if (restore->arena->read_only[id])
            shmdt((const void *)restore->arena->read_only[id]);
    }
}
