/*
 * vdso_image.h - the vdso as a file in memory: an ELF library whose functions programs have found by name.
 *
 * Images of a context are hostile until shown otherwise: nothing outside of them is read or written whatever they say.
 */
#ifndef CAESURA_RESTORE_VDSO_IMAGE_H
#define CAESURA_RESTORE_VDSO_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vdso_image {
    uint8_t *bytes;   /* the caller's */
    size_t size;      /* of it, whole pages */
    uint64_t address; /* where it is mapped */
};

/**
 * Makes the functions of `old` go on in those of `now` with the same name, or in the kernel where `now` lacks one; its tables
 * stay. On failure returns false with *why, a constant; old->bytes may have been changed.
 */
bool vdso_image_redirect(struct vdso_image *old, const struct vdso_image *now, const char **why);

/** Is this the address of a function's first instruction? Only there may a redirected image be entered. */
bool vdso_image_is_entry(const struct vdso_image *image, uint64_t address);

#endif
