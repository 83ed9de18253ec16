/* strerror.c - words for error numbers. */
#include "internal.h"

#include <string.h>

EXPORTED const char *cr_strerror(int errnum)
{
    static const struct {
        int code;
        const char *text;
    } ours[] = {
#define CAESURA_ERROR(name, code, what, remedy) {code, what},
#include "caesura_errors.def"
#undef CAESURA_ERROR
    };

    if (errnum <= CR_MIN_ERRCODE || errnum >= CR_MAX_ERRCODE)
        return strerror(errnum);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (ours[i].code == (errnum & 0xff))
            return ours[i].text;
    return "unknown error";
}
