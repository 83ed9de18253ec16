/* Which program it is. */
#ifndef PMCKPT_PROGRAM_H
#define PMCKPT_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "format.h"

/* Of the program that this process runs, from its memory. */
void ckpt_program_of_self(struct ckpt_program *program);

/* Of an ELF file for this architecture, all of which is at `file`. Returns false if it is none. */
bool ckpt_program_of_file(const void *file, size_t bytes, struct ckpt_program *program);

bool ckpt_program_equal(const struct ckpt_program *a, const struct ckpt_program *b);

#endif
