/*
 * The vdso: kernel code in every process, at an address that the C library remembers. A restored program needs it at
 * the old address. The same kernel can map it there; where the kernel is another one, a stub takes its place.
 */
#ifndef PMCKPT_VDSO_H
#define PMCKPT_VDSO_H

#include <stdbool.h>
#include <stddef.h>

#include "format.h"
#include "proc.h"

enum { VDSO_ENTRIES_MAX = 16 };

struct ckpt_vdso_record {
    struct ckpt_vdso vdso; /* bytes is 0 if there is none */
    struct ckpt_vdso_entry entries[VDSO_ENTRIES_MAX];
};

/* Looks for it in the text of /proc/self/maps, which it leaves unusable. */
void ckpt_vdso_get(struct ckpt_text *maps, struct ckpt_vdso_record *record);

/*
 * Fills `stub`, of record->vdso.bytes zeroed bytes, with functions at the old places that do the system calls.
 * They are slower, but any kernel has them.
 */
void ckpt_vdso_write_stub(const struct ckpt_vdso_record *record, unsigned char *stub);

#endif
