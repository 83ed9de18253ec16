#include "cr_run/preload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

static const char separators[] = " :"; /* the loader takes both, with no way to quote them */

static bool is_ours(const char *entry, size_t length)
{
    static const char *const names[] = {"libcr_run.so", "libcr_omit.so"};
    const char *name = entry;

    for (size_t i = 0; i < length; i++)
        if (entry[i] == '/')
            name = entry + i + 1;
    length -= (size_t)(name - entry);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size = strlen(names[i]);
        if (length >= size && memcmp(name, names[i], size) == 0 && (length == size || name[size] == '.'))
            return true;
    }
    return false;
}

int preload_value(const char *prefix, bool omit, const char *current, char **value, struct caesura_error *err)
{
    size_t size = strlen(prefix) + (current ? strlen(current) : 0) + 64;

    if (strpbrk(prefix, separators)) {
        error_set(err, CAESURA_EINVAL_, "LD_PRELOAD cannot name a library in %s: there is a space or a colon in it",
                  prefix);
        return error_hint(err, "install Caesura in another folder");
    }
    char *text = malloc(size);
    if (!text)
        return error_set(err, CAESURA_ENOMEM_, "out of memory");
    /* The full path, where BLCR had the soname and needed the folder in LD_LIBRARY_PATH: that variable would change which
     * libraries the job finds, and be lost when a script sets its own. */
    int used = snprintf(text, size, "%s/lib/%s", prefix, omit ? "libcr_omit.so.0" : "libcr_run.so.0");
    while (current && *current) {
        size_t length = strcspn(current, separators);
        if (length > 0 && !is_ours(current, length))
            used += snprintf(text + used, size - (size_t)used, ":%.*s", (int)length, current);
        current += length;
        current += strspn(current, separators);
    }
    *value = text;
    return 0;
}
