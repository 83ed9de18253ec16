/*
 * inotify queues. The kernel tells inode and file handle of what is watched, not its name. The name is found through the
 * handle where that is permitted (CAP_DAC_READ_SEARCH), else by looking where programs usually watch: at working folders,
 * open files and folders, what contains them and what they contain.
 *
 * State: number of watches, then each: number, mask, path; in ascending order of numbers.
 */
#include "descriptors/kinds.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ENTRIES_MAX 20000  /* looked at in one folder */
#define NUMBER_MAX 1000000 /* each number below a watch's costs two system calls at restart */

bool inotify_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    const char *name = seen_record(capture, seen)->name;
    return !strcmp(name, "anon_inode:inotify") || !strcmp(name, "anon_inode:[inotify]");
}

static bool is_watched(const char *path, const struct fdinfo_watch *watch)
{
    struct stat st;
    return !lstat(path, &st) && st.st_ino == watch->ino && st.st_dev == fdinfo_dev(watch->dev);
}

/* A folder on the file system with that device number, to open handles on. */
static int mount_open(uint32_t dev)
{
    auto_memory char *line = NULL;
    size_t room = 0;
    unsigned device_major, device_minor;
    char path[4096];
    int fd = -1;

    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts && fd < 0 && getline(&line, &room, mounts) > 0)
        if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &device_major, &device_minor, path) == 3 &&
            makedev(device_major, device_minor) == fdinfo_dev(dev))
            fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (mounts)
        fclose(mounts);
    return fd;
}

static char *find_by_handle(const struct fdinfo_watch *watch)
{
    char memory[sizeof(struct file_handle) + FDINFO_HANDLE_MAX] __attribute__((aligned(8)));
    struct file_handle *handle = (struct file_handle *)memory;
    char link[64], path[PATH_MAX];

    auto_fd mount = watch->handle_size ? mount_open(watch->dev) : -1;
    if (mount < 0)
        return NULL;
    handle->handle_bytes = watch->handle_size;
    handle->handle_type = watch->handle_type;
    memcpy(handle->f_handle, watch->handle, watch->handle_size);
    auto_fd fd = open_by_handle_at(mount, handle, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0)
        return NULL;
    path[size] = 0;
    return is_watched(path, watch) ? strdup(path) : NULL;
}

static char *find_inside(const char *folder, const struct fdinfo_watch *watch)
{
    char path[PATH_MAX];
    char *found = NULL;
    DIR *entries = opendir(folder);

    for (int i = 0; entries && !found && i < ENTRIES_MAX; i++) {
        struct dirent *at = readdir(entries);
        if (!at)
            break;
        /* Inode numbers of entries are not those of what is mounted on them: look at every folder, too. */
        if (!strcmp(at->d_name, "..") || (at->d_ino != watch->ino && at->d_type != DT_DIR && at->d_type != DT_UNKNOWN))
            continue;
        snprintf(path, sizeof path, "%s/%s", strcmp(folder, "/") ? folder : "", at->d_name);
        if (is_watched(path, watch))
            found = strdup(path);
    }
    if (entries)
        closedir(entries);
    return found;
}

/* At path, in it, and in each folder above it. */
static char *find_near(const char *near, const struct fdinfo_watch *watch)
{
    char path[PATH_MAX];

    if (near[0] != '/' || strlen(near) >= sizeof path)
        return NULL;
    strcpy(path, near);
    for (;;) {
        char *found = is_watched(path, watch) ? strdup(path) : find_inside(path, watch);
        char *slash = strrchr(path, '/');
        if (found || !path[1])
            return found;
        slash[slash == path] = 0;
    }
}

static char *find_by_looking(const struct caesura_capture *capture, const struct fdinfo_watch *watch)
{
    static const char *const usual[] = {"/tmp", "/etc", "/dev", "/dev/shm", "/run"};
    char *found = NULL;

    for (size_t i = 0; i < sizeof usual / sizeof *usual && !found; i++)
        found = is_watched(usual[i], watch) ? strdup(usual[i]) : NULL;
    for (size_t i = 0; i < capture->n_targets && !found; i++) {
        char link[64], path[PATH_MAX];
        snprintf(link, sizeof link, "/proc/%d/cwd", capture->targets[i].pid);
        ssize_t size = readlink(link, path, sizeof path - 1);
        if (size <= 0)
            continue;
        path[size] = 0;
        found = find_near(path, watch);
    }
    for (uint32_t i = 0; i < capture->context.n_descriptions && !found; i++)
        found = find_near(capture->context.descriptions[i].name, watch);
    for (size_t i = 0; i < sizeof usual / sizeof *usual && !found; i++)
        found = find_inside(usual[i], watch);
    return found;
}

static int compare_watches(const void *a, const void *b)
{
    const struct fdinfo_watch *x = a, *y = b;
    return x->wd < y->wd ? -1 : x->wd > y->wd;
}

int inotify_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    struct fdinfo *info = &seen->info;
    auto_buffer state = {0};
    int unread = 0;

    if (ioctl(fd, FIONREAD, &unread) || unread)
        return seen_refuse(capture, seen, "try again: the program will read them at once when it runs",
                           "an inotify queue with %d bytes of unread events, which the kernel gives away only once",
                           unread);
    if (info->n_watches)
        qsort(info->watches, info->n_watches, sizeof *info->watches, compare_watches);
    buffer_u32(&state, info->n_watches);
    for (uint32_t i = 0; i < info->n_watches; i++) {
        const struct fdinfo_watch *watch = &info->watches[i];
        auto_memory char *path = find_by_handle(watch);
        if (!path)
            path = find_by_looking(capture, watch);
        if (!path || watch->wd > NUMBER_MAX)
            return seen_refuse(
                capture, seen, "run the checkpoint as root, or end the watch before it",
                "an inotify queue whose watch %d is on inode %llu of device %u:%u, whose name cannot be found",
                watch->wd, (unsigned long long)watch->ino, watch->dev >> 20, watch->dev & 0xfffff);
        buffer_u32(&state, (uint32_t)watch->wd);
        buffer_u32(&state, watch->mask);
        buffer_string(&state, path);
    }
    return state_set(seen_record(capture, seen), &state, err);
}

/* Numbers are given in order, each once: those not wanted are taken and given back. */
static int watch_add(struct restore *restore, int fd, int32_t number, uint32_t mask, const char *path,
                     struct caesura_error *err)
{
    auto_memory char *now = restore_path(restore, path);

    if (!now)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the name of %s", path);
    for (;;) {
        int wd = inotify_add_watch(fd, now, (mask & (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK)) | IN_DONT_FOLLOW);
        if (wd < 0)
            return error_errno(err, errno, "cannot watch %s", now);
        if (wd == number)
            return 0;
        if (wd > number)
            return error_set(err, CAESURA_ECORRUPT, "watch %d on %s cannot be had: the next number is %d", number, now,
                             wd);
        inotify_rm_watch(fd, wd);
        /* Giving back is an event; read them away before they overflow the queue. */
        char events[4096];
        while (read(fd, events, sizeof events) > 0)
            ;
    }
}

int inotify_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    auto_fd fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno, "cannot make an inotify queue");
    for (uint32_t count = reader_u32(&state); count; count--) {
        int32_t number = (int32_t)reader_u32(&state);
        uint32_t mask = reader_u32(&state);
        auto_memory char *path = reader_string(&state);
        if (state.failed || number < 1 || number > NUMBER_MAX)
            return state_corrupt(description, err);
        int rc = watch_add(restore, fd, number, mask, path, err);
        if (rc)
            return rc;
    }
    return restore_take(restore, description->id, fd_release(&fd), err);
}
