/*
 * The last step of a restore: code that replaces all memory of the process but its own, and jumps into the restored
 * program. It runs from a copy outside of everything, so it is position-independent and calls nobody.
 */
#ifndef PMCKPT_PUTBACK_H
#define PMCKPT_PUTBACK_H

#include <linux/prctl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"
#include "image.h"

struct ckpt_putback {
    int image_fd;
    uint64_t start, bytes; /* of what is not replaced; this struct and all it points to are in there */
    uint64_t top;          /* end of the address space */
    const struct ckpt_region *regions;
    uint64_t regions_count;
    const struct ckpt_extent *extents;
    uint64_t extents_count;
    struct ckpt_vdso vdso;     /* bytes is 0 if the program had none */
    bool vdso_is_ours;         /* the kernel's is the same */
    const unsigned char *stub; /* vdso.bytes, to take its place */
    struct prctl_mm_map layout;
    uint64_t fs_base, stack_pointer, resume_address;
    void *handover;        /* what ckpt_freeze() returns in the restored program */
    const char *complaint; /* what to say if there is no way on */
    uint64_t complaint_bytes;
    int exit_code;
};

/* The code to copy, which starts with ckpt_putback_run(). */
extern const char __start_ckpt_putback[], __stop_ckpt_putback[];

void ckpt_putback_run(const struct ckpt_putback *putback) __attribute__((noreturn));

#endif
