/*
 * vdso.h - the kernel's code and data that are mapped into every process.
 */
#ifndef CAESURA_RESTORE_VDSO_H
#define CAESURA_RESTORE_VDSO_H

#include "restore/batch.h"
#include "restore/exchange.h"

/**
 * Maps the running kernel's vdso to where the process had its own. EUNSUPPORTED if the two differ, for the program knows
 * addresses inside of it. Sets build->syscall_ip.
 */
int vdso_map(struct build *build, struct batch *batch, struct caesura_error *err);

/** Is this PAGES section of the vdso? Such are for comparison only. */
bool vdso_is_data(const struct process *process, const struct context_data *data);

#endif
