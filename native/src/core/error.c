#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int code;
    const char *what;
    const char *remedy;
} table[] = {
#define CAESURA_ERROR(name, code, what, remedy) {code, what, remedy},
#include "caesura_errors.def"
#undef CAESURA_ERROR
};

const char *error_what(int code)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == code)
            return table[i].what;
    return NULL;
}

const char *error_remedy(int code)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == code)
            return table[i].remedy;
    return NULL;
}

static void set(struct caesura_error *err, int code, const char *fmt, va_list args)
{
    const char *remedy = error_remedy(code);

    err->code = code;
    err->pid = 0;
    err->fd = -1;
    vsnprintf(err->message, sizeof err->message, fmt, args);
    snprintf(err->remedy, sizeof err->remedy, "%s", remedy ? remedy : "");
}

int error_set(struct caesura_error *err, int code, const char *fmt, ...)
{
    va_list args;

    if (err) {
        va_start(args, fmt);
        set(err, code, fmt, args);
        va_end(args);
    }
    return -code;
}

int error_errno(struct caesura_error *err, int errno_value, const char *fmt, ...)
{
    va_list args;

    if (err) {
        va_start(args, fmt);
        set(err, errno_value, fmt, args);
        va_end(args);
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s", strerror(errno_value));
    }
    return -errno_value;
}

int error_hint(struct caesura_error *err, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return 0;
    va_start(args, fmt);
    vsnprintf(err->remedy, sizeof err->remedy, fmt, args);
    va_end(args);
    return -err->code;
}

int error_about(struct caesura_error *err, int pid, int fd)
{
    if (!err)
        return 0;
    err->pid = pid;
    err->fd = fd;
    return -err->code;
}
