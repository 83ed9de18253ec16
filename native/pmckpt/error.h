/* Errors that are on their way to somebody who can print them. */
#ifndef PMCKPT_ERROR_H
#define PMCKPT_ERROR_H

/* The project's codes; `checkpoint` exits with them. */
enum ckpt_code {
#define CAESURA_ERROR(NAME, CODE, WHAT, REMEDY) CKPT_##NAME = (CODE),
#include "caesura_errors.def"
#undef CAESURA_ERROR
};

struct ckpt_error {
    int code;        /* enum ckpt_code */
    char text[1400]; /* what, which object; what to do */
};

/* Fills `error` and returns -code, for `return ckpt_error_set(...)`. Does not allocate. */
int ckpt_error_set(struct ckpt_error *error, enum ckpt_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The code for a file that could not be opened, from errno. */
enum ckpt_code ckpt_code_of_errno(int error_number);

/* Writes "pmckpt: " and the message as one line to standard error. Does not allocate, keeps errno. */
void ckpt_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
