/* Compiled for itself: no library, no stack protector, no table of constants. See pmckpt.mk. */
#include "putback.h"

#include <asm/prctl.h>
#include <linux/mman.h>
#include <sys/syscall.h>

#ifndef ARCH_MAP_VDSO_64
#define ARCH_MAP_VDSO_64 0x2003
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define ALONE __attribute__((section("ckpt_putback")))
#define ALONE_INLINE static inline __attribute__((always_inline))

enum { PROT_READ_WRITE = 3, PROT_READ_EXECUTE = 5, PAGE = 4096, EINTR_NEGATIVE = -4, STDERR = 2 };

ALONE_INLINE long call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

ALONE_INLINE void give_up(const struct ckpt_putback *p)
{
    call(SYS_write, STDERR, (uint64_t)p->complaint, p->complaint_bytes, 0, 0, 0);
    for (;;)
        call(SYS_exit_group, p->exit_code, 0, 0, 0, 0, 0);
}

ALONE_INLINE void map(const struct ckpt_putback *p, uint64_t start, uint64_t bytes, uint64_t flags)
{
    long got = call(SYS_mmap, start, bytes, PROT_READ_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE | flags, -1, 0);

    if ((uint64_t)got != start)
        give_up(p);
}

ALONE_INLINE void put_vdso(const struct ckpt_putback *p)
{
    unsigned char present;

    if (p->vdso.bytes == 0)
        return;
    /* The kernel takes the address as a hint: look whether the code is there. */
    if (p->vdso_is_ours && call(SYS_arch_prctl, ARCH_MAP_VDSO_64, p->vdso.start, 0, 0, 0, 0) > 0 &&
        call(SYS_mincore, p->vdso.code, PAGE, (uint64_t)&present, 0, 0, 0) == 0)
        return;
    map(p, p->vdso.code, p->vdso.bytes, 0);
    for (uint64_t i = 0; i < p->vdso.bytes; i++)
        ((volatile unsigned char *)p->vdso.code)[i] = p->stub[i];
    if (call(SYS_mprotect, p->vdso.code, p->vdso.bytes, PROT_READ_EXECUTE, 0, 0, 0))
        give_up(p);
}

ALONE_INLINE void read_extent(const struct ckpt_putback *p, const struct ckpt_extent *extent)
{
    for (uint64_t done = 0; done < extent->bytes;) {
        long got =
            call(SYS_pread64, p->image_fd, extent->address + done, extent->bytes - done, extent->offset + done, 0, 0);

        if (got <= 0 && got != EINTR_NEGATIVE)
            give_up(p);
        done += got > 0 ? got : 0;
    }
}

ALONE void ckpt_putback_run(const struct ckpt_putback *p)
{
    call(SYS_munmap, 0, p->start, 0, 0, 0, 0);
    call(SYS_munmap, p->start + p->bytes, p->top - (p->start + p->bytes), 0, 0, 0, 0);
    put_vdso(p);
    for (uint64_t i = 0; i < p->regions_count; i++)
        map(p, p->regions[i].start, p->regions[i].end - p->regions[i].start,
            p->regions[i].flags & REGION_STACK ? MAP_GROWSDOWN : 0);
    for (uint64_t i = 0; i < p->extents_count; i++)
        read_extent(p, &p->extents[i]);
    for (uint64_t i = 0; i < p->regions_count; i++) {
        if (p->regions[i].protection != PROT_READ_WRITE &&
            call(SYS_mprotect, p->regions[i].start, p->regions[i].end - p->regions[i].start, p->regions[i].protection,
                 0, 0, 0))
            give_up(p);
    }
    call(SYS_close, p->image_fd, 0, 0, 0, 0, 0);
    /* Kernels without it know no more than where the heap goes on, and malloc() then finds other places. */
    call(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, (uint64_t)&p->layout, sizeof(p->layout), 0, 0);
    call(SYS_arch_prctl, ARCH_SET_FS, p->fs_base, 0, 0, 0, 0);
    __asm__ volatile("mov %0, %%rsp\n\t"
                     "jmp *%1"
                     :
                     : "r"(p->stack_pointer), "r"(p->resume_address), "a"(p->handover)
                     : "memory");
    __builtin_unreachable();
}
