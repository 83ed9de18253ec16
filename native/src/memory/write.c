/* Pages into the context. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "core/error.h"
#include "memory/memory.h"
#include "memory/pages.h"
#include "proc/proc.h"
#include "remote/remote.h"

/* A PAGES or CONTENT section in the making. */
struct frame {
    struct caesura_capture *capture;
    struct context_writer *writer;
    uint32_t type, owner;
    uint8_t *data;
    struct format_extent extents[FORMAT_FRAME_EXTENTS];
    uint32_t count;
    size_t size;
};

static int frame_flush(struct frame *frame, struct caesura_error *err)
{
    int rc =
        context_writer_commit(frame->writer, frame->type, frame->owner, frame->extents, frame->count, frame->size, err);
    capture_progress(frame->capture, frame->size);
    frame->count = 0;
    frame->size = 0;
    frame->data = NULL;
    return rc;
}

static void frame_extent(struct frame *frame, uint64_t start, size_t size)
{
    struct format_extent *last = frame->count ? &frame->extents[frame->count - 1] : NULL;
    if (last && last->start + last->size == start)
        last->size += size;
    else
        frame->extents[frame->count++] = (struct format_extent){start, size};
    frame->size += size;
}

/*
 * Reads a run (that fits) behind what the frame holds, and keeps of it what is not zero. shift is added to addresses to
 * give what the extent says.
 */
static int frame_read(struct frame *frame, const struct page_source *source, struct page_run run, bool readable,
                      bool keep_zeros, int64_t shift, struct caesura_error *err)
{
    uint8_t *from = frame->data + frame->size;
    int rc = pages_read(source, &run, 1, readable, from, err);

    for (uint64_t at = run.start; at < run.end && !rc; at += ARCH_PAGE_SIZE, from += ARCH_PAGE_SIZE) {
        if (!keep_zeros && bytes_are_zero(from, ARCH_PAGE_SIZE))
            continue;
        uint8_t *to = frame->data + frame->size;
        if (to != from)
            memmove(to, from, ARCH_PAGE_SIZE);
        frame_extent(frame, at + (uint64_t)shift, ARCH_PAGE_SIZE);
    }
    return rc;
}

static int frame_runs(struct frame *frame, const struct page_source *source, const struct page_runs *runs,
                      bool readable, bool keep_zeros, int64_t shift, struct caesura_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < runs->count && !rc; i++) {
        struct page_run left = runs->runs[i];
        while (left.start < left.end && !rc) {
            /* An extent is a page at least: with room for so many pages there is room for their extents. */
            uint64_t room = FORMAT_FRAME_BYTES - frame->size;
            if (room && (uint64_t)(FORMAT_FRAME_EXTENTS - frame->count) * ARCH_PAGE_SIZE < room)
                room = (FORMAT_FRAME_EXTENTS - frame->count) * ARCH_PAGE_SIZE;
            if (!room) {
                rc = frame_flush(frame, err);
                continue;
            }
            if (!frame->data && !(frame->data = context_writer_data(frame->writer, err)))
                return -ENOMEM;
            struct page_run part = {left.start, left.end - left.start < room ? left.end : left.start + room};
            rc = frame_read(frame, source, part, readable, keep_zeros, shift, err);
            left.start = part.end;
        }
    }
    return rc;
}

uint64_t memory_estimate(struct caesura_capture *capture, struct target *target)
{
    unsigned long long resident = 0;
    char *text;

    (void)capture;
    if (!proc_read(target->live_tid, "statm", &text, NULL)) {
        sscanf(text, "%*u %llu", &resident);
        free(text);
    }
    return resident * ARCH_PAGE_SIZE;
}

/* In a section of its own: a restart compares it with the vdso of its kernel, and does not fill it in. */
static int write_vdso(struct frame *frame, struct page_source *source, const struct map *map, struct caesura_error *err)
{
    struct page_run run = {map->start, map->end};
    struct page_runs runs = {.runs = &run, .count = 1};
    int rc = frame_flush(frame, err);

    if (!rc)
        rc = frame_runs(frame, source, &runs, true, true, 0, err);
    return rc ? rc : frame_flush(frame, err);
}

static int write_map(struct frame *frame, struct page_source *source, const struct map *map, struct caesura_error *err)
{
    struct page_runs runs = {0};
    bool file = map->kind == MAP_KIND_FILE_PRIVATE, vanished = map->kind == MAP_KIND_ANON && map->name[0] == '/';
    /* Pages of a file that cannot be opened any more are all taken, and not only those that are there by chance. */
    int rc = vanished && !(map->flags & MAP_IS_HUGETLB) ? page_runs_add(&runs, map->start, map->end, err)
                                                        : pages_find(source, map->start, map->end, file, &runs, err);
    if (!rc)
        rc = frame_runs(frame, source, &runs, map->prot & PROT_READ, file, 0, err);
    page_runs_free(&runs);
    return rc;
}

int memory_write(struct caesura_capture *capture, struct target *target, struct context_writer *writer,
                 struct caesura_error *err)
{
    struct frame *frame = calloc(1, sizeof *frame);
    struct page_source source;
    int rc = frame ? page_source_open(target, &source, err) : error_errno(err, ENOMEM, "cannot write memory");

    if (rc) {
        free(frame);
        return rc;
    }
    *frame = (struct frame){
        .capture = capture, .writer = writer, .type = SECTION_PAGES, .owner = (uint32_t)target->inner_pid};
    for (uint32_t i = 0; i < target->process->n_maps && !rc; i++) {
        const struct map *map = &target->process->maps[i];
        /* The vdso keeps the state of random numbers in such memory: two restarts must not give the same ones. */
        if (map->flags & MAP_IS_DROPPABLE)
            continue;
        if (map->kind == MAP_KIND_ANON || map->kind == MAP_KIND_FILE_PRIVATE)
            rc = write_map(frame, &source, map, err);
        else if (map->kind == MAP_KIND_VDSO && !strcmp(map->name, "[vdso]"))
            rc = write_vdso(frame, &source, map, err);
    }
    if (!rc)
        rc = frame_flush(frame, err);
    page_source_close(&source);
    free(frame);
    return rc;
}

/* Shared memory without a name, and what is mapped of a file without one and open nowhere: read through the maps. */
static bool through_maps(const struct file *file)
{
    return file->kind == FILE_ANON_SHARED || file->kind == FILE_SYSV ||
           ((file->kind == FILE_DELETED || file->kind == FILE_MEMFD) && file->content != FILE_CONTENT_SAVED);
}

int memory_finish(struct caesura_capture *capture, struct caesura_error *err)
{
    struct context *context = &capture->context;

    (void)err;
    for (uint32_t p = 0; p < context->n_processes; p++)
        for (uint32_t m = 0; m < context->processes[p].n_maps; m++) {
            const struct map *map = &context->processes[p].maps[m];
            struct file *file = map->file ? context_file(context, map->file) : NULL;
            if (!file || !through_maps(file))
                continue;
            uint64_t end = map->offset + (map->end - map->start);
            if (end > file->size)
                file->size = end;
            file->huge_shift = map->huge_shift;
        }
    for (uint32_t i = 0; i < context->n_files; i++)
        if (through_maps(&context->files[i]))
            context->files[i].content = FILE_CONTENT_SAVED, context->files[i].flags |= FILE_THROUGH_MAPS;
    return 0;
}

static bool swap_in_use(void)
{
    char *text, *total, *free_swap;
    bool in_use = true;

    if (proc_read_system("meminfo", &text))
        return true;
    total = strstr(text, "SwapTotal:");
    free_swap = strstr(text, "SwapFree:");
    if (total && free_swap)
        in_use = strtoull(total + 10, NULL, 10) != strtoull(free_swap + 9, NULL, 10);
    free(text);
    return in_use;
}

/*
 * Pages of a shared object that exist, whether or not this process has touched them: mincore() looks into the object
 * itself. It does not see what is swapped out; then everything is read.
 */
static int find_shared(struct remote *remote, struct target *target, const struct map *map, struct page_runs *runs,
                       struct caesura_error *err)
{
    uint8_t *resident = malloc(REMOTE_DATA_BYTES);
    int rc = resident ? 0 : error_errno(err, ENOMEM, "cannot hold the list of pages");

    for (uint64_t at = map->start; at < map->end && !rc;) {
        uint64_t pages = (map->end - at) / ARCH_PAGE_SIZE;
        int64_t result;
        if (pages > REMOTE_DATA_BYTES)
            pages = REMOTE_DATA_BYTES;
        rc = remote_call(remote, &target->tasks[0], &result, err, SYS_mincore, at, pages * ARCH_PAGE_SIZE,
                         remote_data(remote), 0, 0, 0);
        if (!rc && result < 0)
            rc = error_errno(err, (int)-result, "cannot look for pages of shared memory of process %d",
                             target->inner_pid);
        if (!rc)
            rc = remote_read(remote, remote_data(remote), resident, pages, err);
        for (uint64_t i = 0; i < pages && !rc; i++, at += ARCH_PAGE_SIZE)
            if (resident[i] & 1)
                rc = page_runs_add(runs, at, at + ARCH_PAGE_SIZE, err);
    }
    free(resident);
    return rc;
}

static int write_shared_map(struct frame *frame, struct target *target, const struct map *map, bool read_all,
                            struct caesura_error *err)
{
    struct page_runs runs = {0};
    struct page_source source = {.pagemap_fd = -1, .mem_fd = -1};
    struct remote *remote = NULL;
    int rc = page_source_open(target, &source, err);

    if (!rc && (read_all || (map->flags & MAP_IS_HUGETLB)))
        rc = page_runs_add(&runs, map->start, map->end, err);
    else if (!rc && !(rc = remote_begin(target, &remote, err)))
        rc = find_shared(remote, target, map, &runs, err);
    if (remote) {
        int end = remote_end(remote, rc ? NULL : err);
        rc = rc ? rc : end;
    }
    if (!rc)
        rc = frame_runs(frame, &source, &runs, map->prot & PROT_READ, false, (int64_t)(map->offset - map->start), err);
    page_source_close(&source);
    page_runs_free(&runs);
    return rc;
}

/* The first part of [*start, end) that no run holds; false if there is none. */
static bool next_uncovered(const struct page_runs *done, uint64_t *start, uint64_t end, uint64_t *part_end)
{
    bool moved = true;

    while (moved && *start < end) {
        moved = false;
        *part_end = end;
        for (size_t i = 0; i < done->count; i++) {
            if (done->runs[i].start <= *start && *start < done->runs[i].end) {
                *start = done->runs[i].end;
                moved = true;
            } else if (done->runs[i].start > *start && done->runs[i].start < *part_end) {
                *part_end = done->runs[i].start;
            }
        }
    }
    return *start < end;
}

/* What of a map no other map of the same file has shown yet: no byte is written twice. */
static int write_new_parts(struct frame *frame, struct target *target, const struct map *map, bool read_all,
                           struct page_runs *done, struct caesura_error *err)
{
    uint64_t at = map->offset, end = map->offset + (map->end - map->start), part_end;
    int rc = 0;

    while (!rc && next_uncovered(done, &at, end, &part_end)) {
        struct map part = *map;
        part.start = map->start + (at - map->offset);
        part.end = map->start + (part_end - map->offset);
        part.offset = at;
        rc = write_shared_map(frame, target, &part, read_all, err);
        if (!rc)
            rc = page_runs_add(done, at, part_end, err);
        at = part_end;
    }
    return rc;
}

/* A map through which a file can be read. */
struct view {
    struct target *target;
    const struct map *map;
};

static int by_offset(const void *a, const void *b)
{
    const struct view *x = a, *y = b;
    return x->map->offset < y->map->offset ? -1 : x->map->offset > y->map->offset;
}

static int find_views(struct caesura_capture *capture, uint32_t file, struct view **views, uint32_t *count,
                      struct caesura_error *err)
{
    for (size_t i = 0; i < capture->n_targets; i++) {
        struct process *process = capture->targets[i].process;
        for (uint32_t m = 0; m < process->n_maps; m++) {
            if (process->maps[m].file != file)
                continue;
            struct view *view = list_add(views, count);
            if (!view)
                return error_errno(err, ENOMEM, "cannot write memory");
            *view = (struct view){&capture->targets[i], &process->maps[m]};
        }
    }
    return 0;
}

/* The contents of a file are in a context in the order of their offsets. */
static int write_shared_file(struct caesura_capture *capture, struct context_writer *writer, const struct file *file,
                             bool read_all, struct caesura_error *err)
{
    struct page_runs done = {0};
    struct view *views = NULL;
    uint32_t count = 0;
    struct frame *frame = calloc(1, sizeof *frame);
    int rc =
        frame ? find_views(capture, file->id, &views, &count, err) : error_errno(err, ENOMEM, "cannot write memory");

    if (!rc && count) {
        qsort(views, count, sizeof *views, by_offset);
        *frame = (struct frame){.capture = capture, .writer = writer, .type = SECTION_CONTENT, .owner = file->id};
        for (uint32_t i = 0; i < count && !rc; i++)
            rc = write_new_parts(frame, views[i].target, views[i].map, read_all, &done, err);
        if (!rc)
            rc = frame_flush(frame, err);
    }
    page_runs_free(&done);
    free(views);
    free(frame);
    return rc;
}

int memory_write_shared(struct caesura_capture *capture, struct context_writer *writer, struct caesura_error *err)
{
    bool read_all = swap_in_use();
    int rc = 0;

    for (uint32_t i = 0; i < capture->context.n_files && !rc; i++)
        if (capture->context.files[i].flags & FILE_THROUGH_MAPS)
            rc = write_shared_file(capture, writer, &capture->context.files[i], read_all, err);
    return rc;
}
