#include "plan.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "kernel_state.h"
#include "proc.h"
#include "putback.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { PAGE = 4096, STACK_BYTES = 32 << 10, PLACE_TRIES = 8 };

static const uint64_t address_space_end = (UINT64_C(1) << 47) - PAGE;
static const uint64_t lowest_place = UINT64_C(4) << 30; /* above programs that are not position-independent */
static const uint64_t stack_gap = UINT64_C(2) << 20;    /* the kernel keeps half of that free below a stack */
static const uint64_t stack_bytes_max = UINT64_C(64) << 20;

static const char complaint[] = "pmckpt: the memory of the checkpoint cannot be put back; "
                                "raise the limits on memory (ulimit -v, -d) and try again\n";

/* Takes pieces from a block, in order. With no block it only counts. */
struct cutter {
    char *block;
    uint64_t used;
};

static void *cut(struct cutter *cutter, uint64_t bytes)
{
    uint64_t at = cutter->used;

    cutter->used += (bytes + 15) & ~UINT64_C(15);
    return cutter->block ? cutter->block + at : NULL;
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + PAGE - 1) & -(uint64_t)PAGE;
}

struct pieces {
    char *code;
    char *stack;
    struct ckpt_putback *putback;
    struct ckpt_handover *handover;
    struct ckpt_region *regions;
    struct ckpt_extent *extents;
    unsigned char *stub;
    char *complaint;
};

static uint64_t code_bytes(void)
{
    return (uint64_t)__stop_ckpt_putback - (uint64_t)__start_ckpt_putback;
}

/* Cuts the pieces, the code first, on pages of its own. Returns the bytes needed. */
static uint64_t cut_pieces(struct pieces *pieces, char *block, const struct ckpt_image *image)
{
    struct cutter cutter = {block, 0};

    pieces->code = cut(&cutter, round_up(code_bytes()));
    pieces->stack = cut(&cutter, STACK_BYTES);
    pieces->putback = cut(&cutter, sizeof(*pieces->putback));
    pieces->handover = cut(&cutter, sizeof(*pieces->handover));
    pieces->regions = cut(&cutter, image->regions_count * sizeof(*pieces->regions));
    pieces->extents = cut(&cutter, image->extents_count * sizeof(*pieces->extents));
    pieces->stub = cut(&cutter, image->vdso.vdso.bytes);
    pieces->complaint = cut(&cutter, sizeof(complaint));
    return round_up(cutter.used);
}

static uint64_t past(uint64_t at, uint64_t bytes, uint64_t start, uint64_t end)
{
    return at < end + stack_gap && at + bytes + stack_gap > start ? end + stack_gap : at;
}

/* Returns where the block is in nobody's way, neither now nor in the restored process; 0 if nowhere. */
static uint64_t find_place(const struct ckpt_image *image, const struct ckpt_text *maps, uint64_t bytes)
{
    const struct ckpt_vdso *vdso = &image->vdso.vdso;
    uint64_t at = lowest_place, before;
    struct ckpt_mapping mapping;

    /* Both lists ascend, but each step past one of them may lead into the other. */
    do {
        char *cursor = maps->data;

        before = at;
        while (ckpt_mapping_next(&cursor, &mapping)) {
            at = past(at, bytes, mapping.start, mapping.end);
            cursor[-1] = '\n'; /* for the next round */
        }
        for (size_t i = 0; i < image->regions_count; i++)
            at = past(at, bytes, image->regions[i].start, image->regions[i].end);
        if (vdso->bytes)
            at = past(at, bytes, vdso->start, vdso->code + vdso->bytes);
    } while (at != before);
    return at < address_space_end - bytes ? at : 0;
}

static int make_block(const struct ckpt_image *image, uint64_t bytes, char **block, struct ckpt_error *error)
{
    struct ckpt_text maps = {0};
    int result = ckpt_text_read(&maps, "/proc/self/maps", error);
    uint64_t at = result ? 0 : find_place(image, &maps, bytes);

    ckpt_text_free(&maps);
    if (result)
        return result;
    *block = MAP_FAILED;
    if (at)
        *block =
            mmap((void *)at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (*block == MAP_FAILED || (uint64_t)*block != at)
        return ckpt_error_set(error, CKPT_ENOMEM_,
                              "no place for %llu bytes to restore from: %m; raise the memory limit",
                              (unsigned long long)bytes);
    return 0;
}

/*
 * Gives the stack the room that it may grow to at once. Otherwise later mappings could be placed right below it, as
 * the kernel lays out the address space by this process's stack and not by the restored one.
 */
static void extend_stack(struct ckpt_region *regions, uint64_t count)
{
    struct rlimit limit;
    uint64_t bytes, lowest;

    if (getrlimit(RLIMIT_STACK, &limit))
        return;
    bytes = limit.rlim_cur < stack_bytes_max ? limit.rlim_cur & -(uint64_t)PAGE : stack_bytes_max;
    for (uint64_t i = 0; i < count; i++) {
        if (!(regions[i].flags & REGION_STACK))
            continue;
        lowest = (i ? regions[i - 1].end : 0) + stack_gap;
        if (regions[i].end - bytes > lowest)
            lowest = regions[i].end - bytes;
        if (lowest < regions[i].start)
            regions[i].start = lowest;
    }
}

static void fill_layout(struct ckpt_putback *putback, const struct ckpt_machine *machine)
{
    putback->layout = (struct prctl_mm_map){
        .start_code = machine->start_code,
        .end_code = machine->end_code,
        .start_data = machine->start_data,
        .end_data = machine->end_data,
        .start_brk = machine->start_brk,
        .brk = machine->brk,
        .start_stack = machine->start_stack,
        .arg_start = machine->arg_start,
        .arg_end = machine->arg_end,
        .env_start = machine->env_start,
        .env_end = machine->env_end,
        .exe_fd = -1,
    };
    putback->fs_base = machine->fs_base;
    putback->stack_pointer = machine->stack_pointer;
    putback->resume_address = machine->resume_address;
}

static bool kernel_has_same_vdso(const struct ckpt_vdso *wanted)
{
    struct ckpt_text maps = {0};
    struct ckpt_vdso_record ours;
    struct ckpt_error ignored;

    if (ckpt_text_read(&maps, "/proc/self/maps", &ignored))
        return false;
    ckpt_vdso_get(&maps, &ours);
    ckpt_text_free(&maps);
    return ours.vdso.bytes == wanted->bytes && ours.vdso.crc == wanted->crc &&
           ours.vdso.code - ours.vdso.start == wanted->code - wanted->start;
}

static void fill_pieces(const struct pieces *pieces, const struct ckpt_image *image)
{
    struct ckpt_putback *putback = pieces->putback;

    memcpy(pieces->code, __start_ckpt_putback, code_bytes());
    memcpy(pieces->regions, image->regions, image->regions_count * sizeof(*image->regions));
    memcpy(pieces->extents, image->extents, image->extents_count * sizeof(*image->extents));
    memcpy(pieces->complaint, complaint, sizeof(complaint));
    ckpt_vdso_write_stub(&image->vdso, pieces->stub);
    extend_stack(pieces->regions, image->regions_count);
    fill_layout(putback, &image->machine);
    putback->image_fd = image->fd;
    putback->top = address_space_end;
    putback->regions = pieces->regions;
    putback->regions_count = image->regions_count;
    putback->extents = pieces->extents;
    putback->extents_count = image->extents_count;
    putback->vdso = image->vdso.vdso;
    putback->vdso_is_ours = kernel_has_same_vdso(&image->vdso.vdso);
    putback->stub = pieces->stub;
    putback->handover = pieces->handover;
    putback->complaint = pieces->complaint;
    putback->complaint_bytes = sizeof(complaint) - 1;
    putback->exit_code = CKPT_ERSTRTABRT;
}

__attribute__((noreturn)) static void jump(const struct pieces *pieces)
{
    char *entry = pieces->code + ((char *)ckpt_putback_run - __start_ckpt_putback);

    __asm__ volatile("mov %0, %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call *%1"
                     :
                     : "r"(pieces->stack + STACK_BYTES), "r"(entry), "D"(pieces->putback)
                     : "memory");
    __builtin_unreachable();
}

int ckpt_become(const struct ckpt_image *image, const struct ckpt_handover *handover, struct ckpt_error *error)
{
    struct pieces pieces;
    uint64_t bytes = cut_pieces(&pieces, NULL, image);
    char *block;
    int result = make_block(image, bytes, &block, error);

    if (result)
        return result;
    cut_pieces(&pieces, block, image);
    fill_pieces(&pieces, image);
    *pieces.handover = *handover;
    pieces.handover->start = pieces.putback->start = (uint64_t)block;
    pieces.handover->bytes = pieces.putback->bytes = bytes;
    if (mprotect(pieces.code, pieces.stack - pieces.code, PROT_READ | PROT_EXEC)) {
        munmap(block, bytes);
        return ckpt_error_set(error, CKPT_EACCES_,
                              "the system does not let new memory hold code: %m; allow it (SELinux: execmem)");
    }
    if ((result = ckpt_rseq_unregister(error)) != 0) {
        munmap(block, bytes);
        return result;
    }
    jump(&pieces);
}
