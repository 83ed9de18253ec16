/* preload.h - BLCR's LD_PRELOAD rules for cr_run. */
#ifndef CAESURA_CR_RUN_PRELOAD_H
#define CAESURA_CR_RUN_PRELOAD_H

#include <stdbool.h>

#include "caesura.h"

/**
 * The new value of LD_PRELOAD: our library in front, then what current (may be NULL) held, without empty entries and without
 * our own libraries of an earlier cr_run. On success *value is heap memory of the caller's. Returns 0 or a negated code.
 */
int preload_value(const char *prefix, bool omit, const char *current, char **value, struct caesura_error *err);

#endif
