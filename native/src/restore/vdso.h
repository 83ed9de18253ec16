/*
 * vdso.h - the kernel's code and data that are mapped into every process.
 */
#ifndef CAESURA_RESTORE_VDSO_H
#define CAESURA_RESTORE_VDSO_H

#include "restore/batch.h"
#include "restore/exchange.h"

/**
 * Maps the running kernel's vdso: to where the process had its own, if that is the same, for the program knows addresses
 * inside of it; else to another place, and build->former_vdso is what vdso_keep() has to put to the old one. Sets
 * build->syscall_ip. EUNSUPPORTED if the old vdso cannot be made to go on in this one.
 */
int vdso_map(struct build *build, struct batch *batch, struct caesura_error *err);

/**
 * If there is a former vdso: maps it to its place. To be called when the memory is filled, since threads are looked at:
 * EUNSUPPORTED if one will go on in the middle of the former vdso.
 */
int vdso_keep(struct build *build, struct batch *batch, struct caesura_error *err);

/** Is this PAGES section of the vdso? Such are not filled in like others. */
bool vdso_is_data(const struct process *process, const struct context_data *data);

#endif
