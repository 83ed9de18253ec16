#include "handle.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "caesura.h"

enum { REQUESTS_MAX = 64, FIRST_HANDLE = 0x10000 }; /* no value is a descriptor of anybody's */

static struct request requests[REQUESTS_MAX];
static cr_spinlock_t lock;

struct request *request_new(bool restart, unsigned long *handle)
{
    const char *folder = getenv("TMPDIR");
    struct request *request = NULL;

    cr_spinlock_lock(&lock);
    for (unsigned long i = 0; i < REQUESTS_MAX && !request; i++)
        if (!requests[i].used) {
            request = &requests[i];
            *request = (struct request){.used = true, .restart = restart, .restarts = control_load(restarts)};
            *handle = FIRST_HANDLE + i;
        }
    cr_spinlock_unlock(&lock);
    if (!request) {
        errno = EAGAIN;
        return NULL;
    }
    int length = snprintf(request->path, sizeof request->path - 8, "%s/.cr-request.XXXXXX",
                          folder && *folder == '/' && !strchr(folder, '\'') ? folder : "/tmp");
    int fd = length < (int)sizeof request->path - 8 ? mkostemp(request->path, O_CLOEXEC) : -1;
    if (fd < 0) {
        request->used = false;
        return NULL;
    }
    close(fd);
    return request;
}

struct request *request_of(const unsigned long *handle, bool restart)
{
    unsigned long index = handle ? *handle - FIRST_HANDLE : REQUESTS_MAX;

    if (index >= REQUESTS_MAX || !requests[index].used || requests[index].restart != restart) {
        errno = EINVAL;
        return NULL;
    }
    return &requests[index];
}

static void log_path(const struct request *request, char path[sizeof request->path + 8])
{
    snprintf(path, sizeof request->path + 8, "%s.log", request->path);
}

void request_free(struct request *request)
{
    char path[sizeof request->path + 8];

    log_path(request, path);
    unlink(path);
    unlink(request->path);
    request->used = false;
}

int request_status(const struct request *request, int *status)
{
    char text[16] = "", *end;
    int fd = open(request->path, O_RDONLY | O_CLOEXEC);
    siginfo_t info = {0};

    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) < 0)
            *text = 0;
        close(fd);
    }
    *status = (int)strtol(text, &end, 10);
    if (end > text && *end == '\n')
        return 1;
    /* A restart that failed ends without a word. It stays for its waitpid(). */
    if (!request->child || waitid(P_PID, (id_t)request->child, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
        return 0;
    *status = info.si_code == CLD_EXITED && info.si_status ? info.si_status : CR_ERSTRTABRT & 0xff;
    return 1;
}

/* Time left of a timeout that began at `begin`, as select(2) counts it. */
static bool is_over(const struct timespec *begin, const struct timeval *timeout)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - begin->tv_sec) * 1000000 + (now.tv_nsec - begin->tv_nsec) / 1000 >=
           timeout->tv_sec * 1000000 + timeout->tv_usec;
}

int request_wait(const struct request *request, struct timeval *timeout)
{
    const struct timespec nap = {.tv_nsec = 5000000};
    struct timespec begin;
    int status;

    if (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0 || timeout->tv_usec >= 1000000))
        return libcr_fail(EINVAL);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (;;) {
        uint32_t generation = control_load(generation);
        if (control_load(restarts) != request->restarts || request_status(request, &status))
            return 1;
        if (timeout && is_over(&begin, timeout))
            return 0;
        /* The checkpoint's own signal is none that the program has to know of. */
        if (nanosleep(&nap, NULL) < 0 && errno == EINTR && control_load(generation) == generation)
            return -1;
    }
}

int request_log(const struct request *request, unsigned length, char *buffer)
{
    char path[sizeof request->path + 8], byte;
    unsigned used = 0;

    log_path(request, path);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fread(&byte, 1, 1, file) == 1) {
        if (buffer && used + 1 < length)
            buffer[used] = byte;
        used++;
    }
    fclose(file);
    if (buffer && length)
        buffer[used + 1 < length ? used : length - 1] = 0;
    return used ? (int)used + 1 : 0;
}

int request_errno(int status)
{
    switch (status) {
    case CAESURA_EUNSUPPORTED:
        return ENOTSUP;
    case CAESURA_ETRUNCATED:
    case CAESURA_ECORRUPT:
    case CAESURA_EFORMAT:
    case CAESURA_EUSAGE:
        return EINVAL;
    case CAESURA_EUNTRUSTED:
        return EACCES;
    default:
        return status >= CAESURA_EUNSUPPORTED ? EIO : libcr_errno((uint32_t)status);
    }
}
