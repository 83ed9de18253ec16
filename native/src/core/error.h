/* error.h - filling struct caesura_error. Functions of this library return 0 or the negated code that they put there. */
#ifndef CAESURA_CORE_ERROR_H
#define CAESURA_CORE_ERROR_H

#include "caesura.h"

/**
 * Sets code, message and the table's remedy; pid and fd become 0 and -1. err may be NULL. Returns -code. A code that is not
 * in the table (an errno without a row) gets no remedy.
 */
int error_set(struct caesura_error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** As error_set(), with ": strerror(errno_value)" appended and errno_value as the code. */
int error_errno(struct caesura_error *err, int errno_value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** Replaces the remedy. Returns -err->code, so that it can end a return statement. */
int error_hint(struct caesura_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Names the process and descriptor concerned (fd -1: none). Returns -err->code. */
int error_about(struct caesura_error *err, int pid, int fd);

/** The table's words for a code; NULL if it has no row. */
const char *error_what(int code);
const char *error_remedy(int code);

#endif
