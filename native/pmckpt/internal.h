/* What the parts of pmckpt.o share. */
#ifndef PMCKPT_INTERNAL_H
#define PMCKPT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "format.h"
#include "pmckpt.h"

/*
 * How `checkpoint` hands over: the variable holds the number of a descriptor on the verified CHECKPOINT file, and
 * behind it "t" if files are to be cut back.
 */
#define CKPT_RESTORE_VARIABLE "CKPT_RESTORE_FROM"

/* calls.c: which functions with CKPT lines are active. */
extern struct ckpt_place ckpt_places_begin;
extern struct ckpt_place ckpt_places_end_is_in_pmceot_o_;
unsigned ckpt_depth(void);
/* Forgets calls below this one, which longjmp() may have ended. */
void ckpt_cut_calls(unsigned level);

/* save.c: takes a checkpoint, for the innermost call `level`; says so on standard error if it cannot. */
void ckpt_save(unsigned level);

/* switch.S */
void *ckpt_freeze(struct ckpt_machine *machine, void *(*save)(void *), void *argument);

/* wind.c: restoring, until the process has reached the place of the checkpoint. */
void ckpt_arrive(unsigned level);
void ckpt_left_while_winding(void) __attribute__((noreturn));

#endif
