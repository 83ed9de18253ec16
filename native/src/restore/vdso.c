/*
 * A program has pointers to functions of the vdso that it was started with. If that of this kernel is the same it is mapped to
 * the same place. If not, the program keeps the one it knows, as ordinary memory whose functions go on in this kernel's, which
 * is mapped elsewhere. A later checkpoint finds ordinary memory and a vdso, and knows nothing of all this.
 */
#include "restore/vdso.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/error.h"
#include "proc/proc.h"
#include "restore/arena.h"
#include "restore/vdso_image.h"

struct range {
    uint64_t start, end;     /* of vvar and vdso together */
    uint64_t code, code_end; /* of the vdso itself */
};

static void range_add(struct range *range, uint64_t start, uint64_t end, const char *name)
{
    if (!range->start || start < range->start)
        range->start = start;
    if (end > range->end)
        range->end = end;
    if (!strcmp(name, "[vdso]")) {
        range->code = start;
        range->code_end = end;
    }
}

static struct range saved_range(const struct process *process)
{
    struct range range = {0};
    for (uint32_t i = 0; i < process->n_maps; i++)
        if (process->maps[i].kind == MAP_KIND_VDSO)
            range_add(&range, process->maps[i].start, process->maps[i].end, process->maps[i].name);
    return range;
}

static int current_range(pid_t pid, struct range *range, struct caesura_error *err)
{
    struct proc_map *map = malloc(sizeof *map);
    char *text;
    int rc = map ? proc_read(pid, "maps", &text, NULL) : -ENOMEM;

    *range = (struct range){0};
    if (!rc) {
        for (const char *at = text; proc_next_map(&at, map) > 0;)
            if (!strcmp(map->name, "[vdso]") || !strncmp(map->name, "[vvar", 5))
                range_add(range, map->start, map->end, map->name);
        free(text);
    }
    free(map);
    return rc ? error_errno(err, -rc, "cannot read the maps of process %d", pid) : 0;
}

bool vdso_is_data(const struct process *process, const struct context_data *data)
{
    struct range range = saved_range(process);
    return data->count && data->extents[0].start >= range.code && data->extents[0].start < range.code_end;
}

static const struct context_data *saved_code(const struct build *build)
{
    const struct context_source *source = &build->restore->source;
    for (uint32_t i = 0; i < source->n_data; i++)
        if (source->data[i].type == SECTION_PAGES && source->data[i].owner == (uint32_t)build->process->pid &&
            vdso_is_data(build->process, &source->data[i]))
            return &source->data[i];
    return NULL;
}

static int refuse(const struct build *build, const char *why, struct caesura_error *err)
{
    error_set(err, CAESURA_EUNSUPPORTED,
              "this kernel's vdso differs from that of kernel %s, which process %d has, and %s",
              build->restore->context->scope.kernel, build->process->pid, why);
    error_hint(err, "restart on a node with the same kernel");
    return error_about(err, build->process->pid, -1);
}

/* The running kernel's, as mapped at range. The caller frees bytes. */
static int read_current(struct build *build, const struct range *range, struct vdso_image *image,
                        struct caesura_error *err)
{
    *image = (struct vdso_image){.size = range->code_end - range->code, .address = range->code};
    image->bytes = malloc(image->size + 1);
    if (!image->bytes)
        return error_errno(err, ENOMEM, "cannot compare the vdso");
    int rc = remote_read(build->remote, range->code, image->bytes, image->size, err);
    build->syscall_ip = 0;
    for (size_t i = 0; !rc && i + 1 < image->size && !build->syscall_ip; i++)
        if (arch_is_syscall(image->bytes + i))
            build->syscall_ip = range->code + i;
    return rc;
}

/* That of the context; bytes stay NULL if it has none. */
static int read_saved(struct build *build, const struct range *range, struct vdso_image *image,
                      struct caesura_error *err)
{
    const struct context_data *saved = saved_code(build);

    *image = (struct vdso_image){.size = range->code_end - range->code, .address = range->code};
    if (!saved)
        return 0;
    if (saved->count != 1 || saved->extents[0].start != range->code || saved->extents[0].size != image->size)
        return error_set(err, CAESURA_EFORMAT, "process %d has an incomplete vdso", build->process->pid);
    image->bytes = malloc(image->size + 1);
    if (!image->bytes)
        return error_errno(err, ENOMEM, "cannot compare the vdso");
    ssize_t got = pread(saved->fd, image->bytes, image->size, (off_t)saved->data_offset);
    return got == (ssize_t)image->size ? 0 : error_errno(err, got < 0 ? errno : EIO, "cannot read the vdso");
}

/* In the middle of the largest gap: far from whatever grows. Maps are in the order of their addresses. */
static uint64_t find_place(const struct build *build, uint64_t size)
{
    const struct process *process = build->process;
    const struct arena *arena = build->restore->arena;
    uint64_t from = ARCH_PAGE_SIZE, best = 0, best_size = size;

    for (uint32_t i = 0; i <= process->n_maps; i++) {
        uint64_t end = i < process->n_maps ? process->maps[i].start : ARCH_TASK_SIZE;
        /* The arena goes away at the end, but it is there now. */
        const uint64_t parts[2][2] = {{from, end < arena->start ? end : arena->start},
                                      {from > arena->start + arena->size ? from : arena->start + arena->size, end}};
        for (int k = 0; k < 2; k++)
            if (parts[k][1] > parts[k][0] && parts[k][1] - parts[k][0] > best_size) {
                best_size = parts[k][1] - parts[k][0];
                best = (parts[k][0] + (best_size - size) / 2) & ~(ARCH_PAGE_SIZE - 1);
            }
        if (i < process->n_maps)
            from = process->maps[i].end;
    }
    return best;
}

static int map_at(struct build *build, struct batch *batch, uint64_t address, struct range *got,
                  struct caesura_error *err)
{
    batch_call(batch, "map the vdso", BATCH_ZERO_OR_MORE, 0, ARCH_MAP_VDSO_NR, ARCH_MAP_VDSO_CODE, address, 0, 0, 0, 0);
    int rc = batch_flush(batch);
    return rc ? rc : current_range(build->target.pid, got, err);
}

/* Maps this kernel's vdso beside everything, and makes of the old one what is to stand at its place. */
static int map_elsewhere(struct build *build, struct batch *batch, const struct range *unwanted, struct vdso_image *old,
                         struct caesura_error *err)
{
    uint64_t size = unwanted->end - unwanted->start, place = find_place(build, size);
    struct vdso_image now = {0};
    struct range got;
    const char *why;
    int rc;

    batch_call(batch, "unmap the vdso", BATCH_ZERO_OR_MORE, 0, SYS_munmap, unwanted->start, size, 0, 0, 0, 0);
    if (!place)
        return refuse(build, "there is no room for another", err);
    if ((rc = map_at(build, batch, place, &got, err)))
        return rc;
    if (got.start != place)
        return error_set(err, CAESURA_EENGINE, "the kernel maps its vdso at %#llx instead of %#llx",
                         (unsigned long long)got.start, (unsigned long long)place);
    rc = read_current(build, &got, &now, err);
    if (!rc && !vdso_image_redirect(old, &now, &why))
        rc = refuse(build, why, err);
    free(now.bytes);
    return rc;
}

int vdso_map(struct build *build, struct batch *batch, struct caesura_error *err)
{
    struct range wanted = saved_range(build->process), got;
    struct vdso_image now = {0}, old = {0};
    int rc;

    if (!wanted.start || !wanted.code) {
        error_set(err, CAESURA_EUNSUPPORTED, "process %d has no vdso", build->process->pid);
        return error_about(err, build->process->pid, -1);
    }
    if ((rc = map_at(build, batch, wanted.start, &got, err)) || (rc = read_saved(build, &wanted, &old, err)) ||
        (rc = read_current(build, &got, &now, err)))
        goto out;
    bool same_place = memcmp(&wanted, &got, sizeof wanted) == 0;
    if (same_place && (!old.bytes || memcmp(old.bytes, now.bytes, now.size) == 0))
        goto out;
    if (!old.bytes)
        rc = refuse(build, "is not in the context", err);
    else
        rc = map_elsewhere(build, batch, &got, &old, err);
    if (!rc) {
        build->former_vdso = old.bytes;
        old.bytes = NULL;
        if (build->restore->options.verbose)
            restore_note(build->restore,
                         "process %d: was started under another vdso, of kernel %s; it goes on in this one's",
                         build->process->pid, build->restore->context->scope.kernel);
    }
out:
    free(now.bytes);
    free(old.bytes);
    return rc;
}

/* What the program keeps at the place of the vdso that it knows. Where the kernel's data were there is nothing to read. */
static void keep_map(const struct map *map, struct batch *batch)
{
    bool code = !strcmp(map->name, "[vdso]");

    batch_call(batch, "map memory", BATCH_EXACTLY, (int64_t)map->start, SYS_mmap, map->start, map->end - map->start,
               code ? PROT_READ | PROT_EXEC : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
               (uint64_t)-1, 0);
}

/* ---- threads that a signal has interrupted inside of the vdso ---- */

#define SCAN_BYTES 65536u
#define STACK_MAX (64ull << 20) /* what is looked through of one stack at most */
#define STACKS_MAX 8            /* of one thread: signal stacks, and what they interrupted */

struct stack {
    uint64_t start, end;
};

static int refuse_inside(const struct build *build, const struct thread *thread, struct caesura_error *err)
{
    error_set(
        err, CAESURA_EUNSUPPORTED,
        "this kernel's vdso differs from that of kernel %s, and thread %d of process %d was interrupted in the middle "
        "of it by a signal whose handler runs",
        build->restore->context->scope.kernel, thread->tid, build->process->pid);
    error_hint(err, "restart another context of the same processes, or on a node with the same kernel");
    return error_about(err, build->process->pid, -1);
}

static bool stands_inside(const struct vdso_image *image, uint64_t ip)
{
    return ip - image->address < image->size && !vdso_image_is_entry(image, ip);
}

/* The stack that an address is on: the thread's signal stack, or the rest of the map. */
static bool find_stack(const struct process *process, const struct thread *thread, uint64_t sp, struct stack *stack)
{
    if (thread->altstack_size && sp - thread->altstack_sp < thread->altstack_size) {
        *stack = (struct stack){sp & ~7ull, thread->altstack_sp + thread->altstack_size};
        return true;
    }
    for (uint32_t i = 0; i < process->n_maps; i++)
        if (sp >= process->maps[i].start && sp < process->maps[i].end && (process->maps[i].prot & PROT_READ)) {
            *stack = (struct stack){sp & ~7ull, process->maps[i].end};
            if (stack->end - stack->start > STACK_MAX)
                stack->end = stack->start + STACK_MAX;
            return true;
        }
    return false;
}

/* Looks for saved registers; *outer is the stack pointer of the last frame that came from another stack, or 0. */
static int scan_stack(struct build *build, const struct vdso_image *image, const struct thread *thread,
                      const struct stack *stack, uint64_t *outer, struct caesura_error *err)
{
    const size_t frame = ARCH_FRAME_WORDS * sizeof(uint64_t);
    uint64_t *words = malloc(SCAN_BYTES), sp, ip;
    int rc = words ? 0 : error_errno(err, ENOMEM, "cannot look through the stacks of process %d", build->process->pid);

    *outer = 0;
    /* Pieces overlap by a frame less one word. */
    for (uint64_t at = stack->start; !rc && stack->end - at >= frame; at += SCAN_BYTES - frame + sizeof *words) {
        size_t size = stack->end - at < SCAN_BYTES ? (stack->end - at) & ~(uint64_t)7 : SCAN_BYTES;
        rc = remote_read(build->remote, at, words, size, err);
        for (size_t i = 0; !rc && i + ARCH_FRAME_WORDS <= size / sizeof *words; i++) {
            if (!arch_is_signal_frame(words + i, &sp, &ip))
                continue;
            if (stands_inside(image, ip))
                rc = refuse_inside(build, thread, err);
            if (sp - stack->start >= stack->end - stack->start)
                *outer = sp;
        }
        if (size < SCAN_BYTES)
            break;
    }
    free(words);
    return rc;
}

/* What returns from a handler into the old vdso would run code that reads data which are not there. */
static int check_thread(struct build *build, const struct vdso_image *image, const struct thread *thread,
                        struct caesura_error *err)
{
    arch_regs regs;
    struct stack stack;

    if (thread->regs.size != sizeof regs)
        return 0; /* refused where registers are set */
    memcpy(&regs, thread->regs.data, sizeof regs);
    if (stands_inside(image, arch_ip(&regs)))
        return refuse_inside(build, thread, err);
    uint64_t sp = arch_sp(&regs);
    for (int i = 0; i < STACKS_MAX && sp && find_stack(build->process, thread, sp, &stack); i++) {
        int rc = scan_stack(build, image, thread, &stack, &sp, err);
        if (rc)
            return rc;
    }
    return 0;
}

int vdso_keep(struct build *build, struct batch *batch, struct caesura_error *err)
{
    struct range range = saved_range(build->process);
    const struct process *process = build->process;
    struct vdso_image image = {build->former_vdso, range.code_end - range.code, range.code};
    int rc;

    if (!image.bytes)
        return 0;
    for (uint32_t i = 0; i < process->n_maps; i++)
        if (process->maps[i].kind == MAP_KIND_VDSO)
            keep_map(&process->maps[i], batch);
    if (!(rc = batch_flush(batch)))
        rc = remote_write(build->remote, image.address, image.bytes, image.size, err);
    for (uint32_t i = 0; i < process->n_threads && !rc; i++)
        rc = check_thread(build, &image, &process->threads[i], err);
    return rc;
}
