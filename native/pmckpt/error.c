#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

int ckpt_error_set(struct ckpt_error *error, enum ckpt_code code, const char *format, ...)
{
    va_list arguments;

    error->code = code;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return -(int)code;
}

enum ckpt_code ckpt_code_of_errno(int error_number)
{
    switch (error_number) {
    case ENOENT:
        return CKPT_ENOENT_;
    case ENOTDIR:
        return CKPT_ENOTDIR_;
    case EISDIR:
        return CKPT_EISDIR_;
    case EACCES:
    case EPERM:
    case EROFS:
        return CKPT_EACCES_;
    case ENOMEM:
        return CKPT_ENOMEM_;
    case ENOSPC:
        return CKPT_ENOSPC_;
    case EDQUOT:
        return CKPT_EDQUOT_;
    default:
        return CKPT_EIO_;
    }
}

void ckpt_say(const char *format, ...)
{
    static const char prefix[] = "pmckpt: ";
    char line[1600] = "pmckpt: ";
    const int room = sizeof(line) - sizeof(prefix);
    int saved_errno = errno;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line + sizeof(prefix) - 1, room, format, arguments);
    va_end(arguments);
    if (length >= room)
        length = room - 1;
    length += sizeof(prefix) - 1;
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        errno = saved_errno; /* there is nobody left to tell */
    errno = saved_errno;
}
