#include "files/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"

#define NFS_MAGIC 0x6969u /* linux/magic.h: NFS_SUPER_MAGIC */

void identity_take(struct file *file, const struct stat *st)
{
    file->dev = st->st_dev;
    file->ino = st->st_ino;
    file->mode = st->st_mode;
    file->uid = st->st_uid;
    file->gid = st->st_gid;
    file->size = (uint64_t)st->st_size;
    file->mtime_ns = files_time_ns(&st->st_mtim);
    file->ctime_ns = files_time_ns(&st->st_ctim);
}

bool identity_is_below(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    while (length > 1 && folder[length - 1] == '/')
        length--;
    if (length == 1 && folder[0] == '/')
        return path[0] == '/';
    return length && strncmp(path, folder, length) == 0 && (path[length] == 0 || path[length] == '/');
}

bool identity_is_shm(const char *path)
{
    return identity_is_below(path, "/dev/shm") && path[strlen("/dev/shm")] == '/';
}

bool identity_is_silly_rename(const char *path, uint64_t fs_type)
{
    const char *slash = strrchr(path, '/');
    return fs_type == NFS_MAGIC && slash && strncmp(slash + 1, ".nfs", 4) == 0;
}

bool identity_is_zero(const uint8_t *data, size_t size)
{
    return !size || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

int identity_read(int fd, void *data, size_t size, uint64_t offset, const char *name, size_t *got,
                  struct caesura_error *err)
{
    *got = 0;
    while (*got < size) {
        ssize_t n = pread(fd, (uint8_t *)data + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "cannot read %s", name);
        if (!n)
            break;
        *got += (size_t)n;
    }
    return 0;
}

int identity_write(int fd, const void *data, size_t size, uint64_t offset, const char *name, struct caesura_error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const uint8_t *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_errno(err, n ? errno : EIO, "cannot write %s", name);
        done += (size_t)n;
    }
    return 0;
}

bool identity_next_data(int fd, uint64_t offset, uint64_t end, uint64_t *from, uint64_t *to)
{
    if (offset >= end)
        return false;
    off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        return false;
    *from = data < 0 ? offset : (uint64_t)data;
    if (*from >= end)
        return false;
    off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
    *to = hole < 0 || (uint64_t)hole > end ? end : (uint64_t)hole;
    return *to > *from;
}

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a folder";
    case S_IFLNK:
        return "a symbolic link";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a regular file";
    }
}

int identity_refuse_type(const char *path, mode_t mode, struct caesura_error *err)
{
    return error_set(err, CAESURA_EFILECHANGED, "%s is %s now; at the checkpoint it was a regular file", path,
                     type_name(mode));
}

int identity_reopen(int fd, int flags)
{
    char link[64];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int opened = open(link, flags | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

/* A program may make its file read-only while it goes on writing through its descriptor; the owner can do so again. */
static int reopen_at_any_mode(int fd, int flags, const struct stat *st)
{
    char link[64];

    int opened = identity_reopen(fd, flags);
    if (opened != -EACCES || st->st_uid != geteuid())
        return opened;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (chmod(link, (st->st_mode & 07777) | S_IRUSR | S_IWUSR) < 0)
        return -EACCES;
    opened = identity_reopen(fd, flags);
    if (chmod(link, st->st_mode & 07777) < 0 && opened >= 0) {
        int reason = errno;
        close(opened);
        return -reason;
    }
    return opened;
}

int identity_open(const char *path, int flags, struct caesura_error *err)
{
    struct stat st;

    /* O_PATH first: opening a pipe or a device that is there now could block or have an effect. */
    auto_close int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "cannot open %s", path);
    if (!S_ISREG(st.st_mode))
        return identity_refuse_type(path, st.st_mode, err);
    int opened = reopen_at_any_mode(fd, flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL), &st);
    if (opened < 0)
        return error_errno(err, -opened, "cannot open %s", path);
    return opened;
}
