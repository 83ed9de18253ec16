#include "files/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "core/error.h"

#define DELETED_MARK " (deleted)"
#define MEMFD_PREFIX "/memfd:"
#define HUGETLBFS_MAGIC 0x958458f6u /* linux/magic.h */

/* ---- the set ---- */

/*
 * System V segments are a space of their own: the kernel shows their shmid as inode number, on the same internal file
 * system as memfds, whose real inode numbers may be the same.
 */
static uint32_t hash_of(uint64_t dev, uint64_t ino, bool sysv)
{
    uint64_t mixed = (ino * 0x9e3779b97f4a7c15u) ^ (dev * 0xc2b2ae3d27d4eb4fu) ^ sysv;
    return (uint32_t)(mixed >> 32) ^ (uint32_t)mixed;
}

static uint32_t *bucket_of(const struct file_set *set, const struct file *file)
{
    return &set->buckets[hash_of(file->dev, file->ino, file->kind == FILE_SYSV) & (set->n_buckets - 1)];
}

static void set_link(struct caesura_capture *capture, uint32_t index)
{
    uint32_t *bucket = bucket_of(capture->files, &capture->context.files[index]);
    capture->files->entries[index].next = *bucket;
    *bucket = index + 1;
}

static int set_grow(struct caesura_capture *capture, struct caesura_error *err)
{
    struct file_set *set = capture->files;

    if (!set) {
        set = capture->files = calloc(1, sizeof *set);
        if (!set)
            return error_set(err, CAESURA_ENOMEM_, "cannot hold the set of files");
    }
    if (set->n_entries < set->n_buckets)
        return 0;
    uint32_t wanted = set->n_buckets ? set->n_buckets * 2 : 64;
    uint32_t *buckets = calloc(wanted, sizeof *buckets);
    if (!buckets)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold a set of %u files", wanted);
    free(set->buckets);
    set->buckets = buckets;
    set->n_buckets = wanted;
    for (uint32_t i = 0; i < set->n_entries; i++)
        set_link(capture, i);
    return 0;
}

uint32_t file_set_find(const struct caesura_capture *capture, const struct stat *st, bool sysv, const char *path)
{
    const struct file_set *set = capture->files;

    if (!set || !set->n_buckets)
        return UINT32_MAX;
    uint32_t at = set->buckets[hash_of(st->st_dev, st->st_ino, sysv) & (set->n_buckets - 1)];
    for (; at; at = set->entries[at - 1].next) {
        const struct file *file = &capture->context.files[at - 1];
        if (file->dev == st->st_dev && file->ino == st->st_ino && (file->kind == FILE_SYSV) == sysv &&
            (!path || (file->kind == FILE_REGULAR && strcmp(file->path, path) == 0)))
            return at - 1;
    }
    return UINT32_MAX;
}

int file_set_add(struct caesura_capture *capture, const struct stat *st, uint32_t kind, const char *path,
                 uint32_t *index, struct caesura_error *err)
{
    int rc = set_grow(capture, err);
    if (rc)
        return rc;
    struct file_set *set = capture->files;
    char *own = strdup(path);
    struct file_entry *entry = list_add(&set->entries, &set->n_entries);
    struct file *file = NULL;
    if (own && entry)
        file = list_add(&capture->context.files, &capture->context.n_files);
    if (!file) {
        if (entry)
            set->n_entries--;
        free(own);
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the set of files");
    }
    *entry = (struct file_entry){.fd = -1, .holder_fd = -1};
    file->id = capture->context.n_files;
    file->kind = kind;
    file->path = own;
    identity_take(file, st);
    *index = file->id - 1;
    set_link(capture, *index);
    return 0;
}

void files_free(struct caesura_capture *capture)
{
    if (!capture->files)
        return;
    for (uint32_t i = 0; i < capture->files->n_entries; i++)
        files_close_fd(&capture->files->entries[i].fd);
    free(capture->files->entries);
    free(capture->files->buckets);
    free(capture->files);
    capture->files = NULL;
}

/* ---- what was sighted ---- */

static bool is_same_file(const char *path, const struct stat *st)
{
    struct stat there;
    return lstat(path, &there) == 0 && there.st_dev == st->st_dev && there.st_ino == st->st_ino;
}

static bool is_silly_renamed(const struct file_sighting *sighting)
{
    struct statfs fs;

    if (!strstr(sighting->path, "/.nfs"))
        return false;
    int rc = sighting->fd >= 0 ? fstatfs(sighting->fd, &fs) : statfs(sighting->path, &fs);
    return rc == 0 && identity_is_silly_rename(sighting->path, (uint64_t)fs.f_type);
}

/*
 * The kind, and the path without its mark. A file may really be called "x (deleted)". A file whose name was removed while
 * it has further hard links counts as deleted: nobody can tell the other names.
 */
static uint32_t sighting_kind(const struct file_sighting *sighting, char *path, size_t size)
{
    const struct stat *st = sighting->st;
    size_t length = strlen(sighting->path), mark = strlen(DELETED_MARK);
    bool marked = length > mark && strcmp(sighting->path + length - mark, DELETED_MARK) == 0 &&
                  !(st->st_nlink > 0 && is_same_file(sighting->path, st));
    bool gone = marked || st->st_nlink == 0 || sighting->path[0] != '/' || is_silly_renamed(sighting);
    const char *start = sighting->path;
    uint32_t kind = sighting->kind;

    if (!kind)
        kind = !gone                                                                          ? FILE_REGULAR
               : st->st_nlink == 0 && strncmp(start, MEMFD_PREFIX, strlen(MEMFD_PREFIX)) == 0 ? FILE_MEMFD
                                                                                              : FILE_DELETED;
    if (kind == FILE_REGULAR && gone)
        kind = FILE_DELETED;
    if (marked)
        length -= mark;
    if (kind == FILE_MEMFD && strncmp(start, MEMFD_PREFIX, strlen(MEMFD_PREFIX)) == 0) {
        start += strlen(MEMFD_PREFIX);
        length -= strlen(MEMFD_PREFIX);
    }
    snprintf(path, size, "%.*s", (int)length, start);
    return kind;
}

/* Keeps a descriptor, and looks at what only a descriptor tells. */
static int take_descriptor(struct caesura_capture *capture, uint32_t index, const struct file_sighting *sighting,
                           struct caesura_error *err)
{
    struct file *file = &capture->context.files[index];
    struct file_entry *entry = &capture->files->entries[index];
    struct statfs fs;

    if (sighting->fd < 0 || entry->fd >= 0)
        return 0;
    entry->fd = fcntl(sighting->fd, F_DUPFD_CLOEXEC, 3);
    /* What has a name is found again by it. */
    if (entry->fd < 0 && file->kind != FILE_REGULAR)
        return error_errno(err, errno, "cannot keep a descriptor on %s", file->path);
    if (entry->fd < 0)
        return 0;
    entry->pid = sighting->pid;
    entry->holder_fd = sighting->holder_fd;
    if (file->kind == FILE_MEMFD) {
        int seals = fcntl(entry->fd, F_GET_SEALS);
        file->seals = seals > 0 ? (uint32_t)seals : 0;
    }
    if (fstatfs(entry->fd, &fs) == 0 && (uint32_t)fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0)
        file->huge_shift = (uint32_t)__builtin_ctzl((unsigned long)fs.f_bsize);
    return 0;
}

int files_note(struct caesura_capture *capture, const struct file_sighting *sighting, uint32_t *id,
               struct caesura_error *err)
{
    size_t size = strlen(sighting->path) + 1;
    auto_free char *path = malloc(size);
    uint32_t index;
    int rc = 0;

    if (!path)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the name of %s", sighting->path);
    uint32_t kind = sighting_kind(sighting, path, size);
    if ((kind == FILE_REGULAR || kind == FILE_DELETED) && !S_ISREG(sighting->st->st_mode))
        return error_set(err, CAESURA_EENGINE, "%s was taken for a regular file", sighting->path);
    index = file_set_find(capture, sighting->st, kind == FILE_SYSV, NULL);
    if (index == UINT32_MAX) {
        rc = file_set_add(capture, sighting->st, kind, path, &index, err);
        if (rc || !capture->files)
            return rc;
        capture->files->entries[index].pid = sighting->pid;
        capture->files->entries[index].holder_fd = sighting->holder_fd;
    }
    struct file *file = &capture->context.files[index];
    if (file->kind == FILE_DELETED && kind == FILE_REGULAR) {
        /* Seen first by a name that is gone, now by another hard link: that one is good for all. */
        free(file->path);
        file->path = path;
        path = NULL;
        file->kind = FILE_REGULAR;
    }
    file->flags |= sighting->flags;
    *id = file->id;
    return take_descriptor(capture, index, sighting, err);
}

/* ---- reading what was noted ---- */

static int open_by_name(const char *path, const struct file *file)
{
    struct stat st;

    /* O_NONBLOCK: it may have become a pipe. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
    if (fd < 0 && errno == EPERM)
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_dev != file->dev || st.st_ino != file->ino) {
        close(fd);
        return -ESTALE;
    }
    return fd;
}

static int open_by_descriptor(int fd, bool *shared)
{
    int opened = identity_reopen(fd, O_RDONLY | O_NONBLOCK | O_NOATIME);
    if (opened == -EPERM)
        opened = identity_reopen(fd, O_RDONLY | O_NONBLOCK);
    if (opened >= 0)
        return opened;
    /* A file of mode 0 whose owner goes on reading it. */
    int flags = fcntl(fd, F_GETFL), copy;
    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY || (copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
        return opened;
    *shared = true;
    return copy;
}

int file_set_open(const struct caesura_capture *capture, uint32_t index, bool *shared)
{
    const struct file *file = &capture->context.files[index];
    const struct file_entry *entry = &capture->files->entries[index];

    *shared = false;
    if (entry->fd >= 0)
        return open_by_descriptor(entry->fd, shared);
    if (file->kind != FILE_REGULAR)
        return -ENOENT;
    int fd = open_by_name(file->path, file);
    const struct target *target = fd < 0 && entry->pid ? capture_target(capture, entry->pid) : NULL;
    if (!target)
        return fd;
    /* The holder may see other mounts than we do. */
    size_t size = strlen(file->path) + 64;
    auto_free char *path = malloc(size);
    if (!path)
        return -ENOMEM;
    snprintf(path, size, "/proc/%d/root%s", (int)target->pid, file->path);
    int seen = open_by_name(path, file);
    return seen >= 0 ? seen : fd;
}
