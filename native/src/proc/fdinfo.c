#include "proc/fdinfo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "core/error.h"
#include "model/model.h"

#define NS_PER_S 1000000000u

uint64_t fdinfo_dev(uint32_t dev)
{
    return makedev(dev >> 20, dev & 0xfffff);
}

/* The rest of line after name, without blanks; NULL if line does not begin so. */
static const char *value_of(const char *line, const char *name)
{
    size_t size = strlen(name);

    if (strncmp(line, name, size) != 0)
        return NULL;
    line += size;
    while (*line == ' ' || *line == '\t')
        line++;
    return line;
}

/* The whole of value as a number. */
static bool number_is(const char *value, int base, uint64_t *number)
{
    char *end;

    if (!*value || *value == '-' || *value == '+')
        return false;
    errno = 0;
    *number = strtoull(value, &end, base);
    return !errno && end != value && !*end;
}

static bool u32_is(const char *value, int base, uint32_t *number)
{
    uint64_t wide;

    if (!number_is(value, base, &wide) || wide > UINT32_MAX)
        return false;
    *number = (uint32_t)wide;
    return true;
}

static bool i32_is(const char *value, int32_t *number)
{
    char *end;

    errno = 0;
    long wide = strtol(value, &end, 10);
    if (errno || end == value || *end || wide < INT32_MIN || wide > INT32_MAX)
        return false;
    *number = (int32_t)wide;
    return true;
}

static bool time_is(const char *value, uint64_t *ns)
{
    unsigned long long seconds, rest;
    int end = 0;

    if (sscanf(value, "(%llu, %llu)%n", &seconds, &rest, &end) != 2 || !end || value[end] || rest >= NS_PER_S ||
        seconds > UINT64_MAX / NS_PER_S - 1)
        return false;
    *ns = seconds * NS_PER_S + rest;
    return true;
}

static int parse_item(const char *line, struct fdinfo *info)
{
    struct fdinfo_item *item = list_add(&info->items, &info->n_items);
    int used = 0;

    if (!item)
        return -ENOMEM;
    if (sscanf(line, "tfd: %" SCNd32 " events: %" SCNx32 " data: %" SCNx64 "%n", &item->fd, &item->events, &item->data,
               &used) != 3)
        return -EINVAL;
    if (!line[used + strspn(line + used, " ")])
        return 0;
    return sscanf(line + used, " pos:%*d ino:%" SCNx64 " sdev:%" SCNx32, &item->ino, &item->dev) == 2 ? 0 : -EINVAL;
}

static bool hex_is(const char *text, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        bytes[i] = (uint8_t)byte;
    }
    return true;
}

static int parse_watch(const char *line, struct fdinfo *info)
{
    struct fdinfo_watch *watch = list_add(&info->watches, &info->n_watches);
    int used = 0, handle = 0;

    if (!watch)
        return -ENOMEM;
    if (sscanf(line, "inotify wd:%" SCNx32 " ino:%" SCNx64 " sdev:%" SCNx32 " mask:%" SCNx32 " ignored_mask:%*x%n",
               (uint32_t *)&watch->wd, &watch->ino, &watch->dev, &watch->mask, &used) != 4)
        return -EINVAL;
    if (sscanf(line + used, " fhandle-bytes:%" SCNx32 " fhandle-type:%" SCNx32 " f_handle:%n", &watch->handle_size,
               (uint32_t *)&watch->handle_type, &handle) != 2) {
        watch->handle_size = 0;
        return 0;
    }
    const char *hex = line + used + handle;
    if (!handle || watch->handle_size > FDINFO_HANDLE_MAX || strlen(hex) < 2 * (size_t)watch->handle_size ||
        !hex_is(hex, watch->handle, watch->handle_size))
        return -EINVAL;
    return 0;
}

static int parse_lock(const char *value, struct fdinfo *info)
{
    struct fdinfo_lock *lock = list_add(&info->locks, &info->n_locks);
    char kind[16], state[16], type[16], end[32];

    if (!lock)
        return -ENOMEM;
    if (sscanf(value, "%*d: %15s %15s %15s %" SCNd32 " %" SCNx32 ":%" SCNx32 ":%" SCNu64 " %" SCNu64 " %31s", kind,
               state, type, &lock->pid, &lock->major, &lock->minor, &lock->ino, &lock->start, end) != 9)
        return -EINVAL;
    lock->kind = !strcmp(kind, "FLOCK")    ? FDINFO_FLOCK
                 : !strcmp(kind, "POSIX")  ? FDINFO_POSIX
                 : !strcmp(kind, "OFDLCK") ? FDINFO_OFD
                                           : FDINFO_LEASE;
    if (lock->kind == FDINFO_LEASE && strcmp(kind, "LEASE") != 0 && strcmp(kind, "DELEG") != 0)
        return -EINVAL;
    lock->write = !strcmp(type, "WRITE");
    if (!lock->write && strcmp(type, "READ") != 0 && lock->kind != FDINFO_LEASE)
        return -EINVAL;
    if (!strcmp(end, "EOF"))
        lock->end = UINT64_MAX;
    else if (!number_is(end, 10, &lock->end) || lock->end < lock->start)
        return -EINVAL;
    return 0;
}

/* One line without its newline: 0, or a negated errno. */
static int parse_line(const char *line, struct fdinfo *info)
{
    const char *value;
    uint64_t wide;

#define TAKE(name, test)                \
    if ((value = value_of(line, name))) \
        return (test) ? 0 : -EINVAL;
    /* Negative for files with addresses as offsets, such as /proc/PID/mem. */
    TAKE("pos:", number_is(value + (*value == '-'), 10, &wide) && (info->position = *value == '-' ? -wide : wide, true))
    TAKE("flags:", u32_is(value, 8, &info->flags))
    TAKE("mnt_id:", i32_is(value, &info->mount))
    TAKE("eventfd-count:", (info->has_eventfd = number_is(value, 16, &info->eventfd_count)))
    TAKE("eventfd-semaphore:", number_is(value, 10, &wide) && (info->eventfd_semaphore = wide != 0, true))
    TAKE("sigmask:", (info->has_sigmask = number_is(value, 16, &info->sigmask)))
    TAKE("clockid:", (info->has_timer = i32_is(value, &info->timer_clock)))
    TAKE("ticks:", number_is(value, 10, &info->timer_ticks))
    TAKE("settime flags:", u32_is(value, 8, &info->timer_flags))
    TAKE("it_value:", time_is(value, &info->timer_value_ns))
    TAKE("it_interval:", time_is(value, &info->timer_interval_ns))
    TAKE("Pid:", (info->has_pid = i32_is(value, &info->pid)))
    TAKE("tty-index:", i32_is(value, &info->tty_index))
#undef TAKE
    if (value_of(line, "tfd:"))
        return parse_item(line, info);
    if (value_of(line, "inotify wd:"))
        return parse_watch(line, info);
    if ((value = value_of(line, "lock:")))
        return parse_lock(value, info);
    return 0;
}

int fdinfo_parse(const char *text, struct fdinfo *info, struct caesura_error *err)
{
    char line[1024];

    *info = (struct fdinfo){.eventfd_semaphore = -1, .tty_index = -1, .mount = -1};
    while (*text) {
        size_t size = strcspn(text, "\n");
        int rc = 0;
        if (size < sizeof line) {
            memcpy(line, text, size);
            line[size] = 0;
            rc = parse_line(line, info);
        }
        if (rc == -ENOMEM)
            return error_set(err, CAESURA_ENOMEM_, "out of memory while reading fdinfo");
        if (rc)
            return error_set(err, CAESURA_EINVAL_, "a line of fdinfo is not understood: \"%s\"", line);
        text += size + (text[size] == '\n');
    }
    return 0;
}

void fdinfo_free(struct fdinfo *info)
{
    free(info->items);
    free(info->watches);
    free(info->locks);
    *info = (struct fdinfo){0};
}
