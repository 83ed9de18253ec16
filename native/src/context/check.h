/* check.h - whether the records of a context fit together. */
#ifndef CAESURA_CONTEXT_CHECK_H
#define CAESURA_CONTEXT_CHECK_H

#include "context/reader.h"

/**
 * Checks what every reader of the model may then rely on: files and open file descriptions are numbered from 1 in their
 * order, pids are positive and each there once, every reference between records leads somewhere, maps are in the order of
 * their addresses and do not overlap. EFORMAT, ENOMEM.
 */
int context_check(const struct context_source *source, struct caesura_error *err);

#endif
