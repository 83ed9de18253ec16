#include "supervisor/inherited.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_KEPT = 32 };

void inherited_detach(int last)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return;
    for (int fd = 0; fd <= last; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

static int compare(const void *left, const void *right)
{
    const int a = *(const int *)left, b = *(const int *)right;

    return (a > b) - (a < b);
}

static void close_from_to(unsigned first, unsigned last)
{
    if (first <= last)
        syscall(SYS_close_range, first, last, 0);
}

void inherited_close(const int *keep, size_t count)
{
    int sorted[MAX_KEPT] = {0};
    size_t used = 0;
    unsigned next = 3;

    for (size_t i = 0; i < count && used < MAX_KEPT; i++)
        if (keep[i] >= 3)
            sorted[used++] = keep[i];
    qsort(sorted, used, sizeof *sorted, compare);
    for (size_t i = 0; i < used; i++) {
        close_from_to(next, (unsigned)sorted[i] - 1);
        next = (unsigned)sorted[i] + 1;
    }
    close_from_to(next, UINT_MAX);
}
