#include "files/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

#include "core/error.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u /* since Linux 6.3 */
#endif
#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

/* Flags with which a file was once made or looked up, and which F_GETFL goes on showing in part. */
#define OPEN_IGNORED \
    (O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW | O_TMPFILE /* O_DIRECTORY is part of it */ | O_NOCTTY | O_ASYNC | O_PATH)

/* ---- objects without a name ---- */

static int make_memfd(const struct file *file, struct caesura_error *err)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    const char *slash = strrchr(file->path, '/');
    const char *name = file->kind == FILE_MEMFD ? file->path : slash ? slash + 1 : file->path;
    bool can_execute = file->mode & 0111;

    if (file->huge_shift)
        flags |= MFD_HUGETLB | file->huge_shift << MFD_HUGE_SHIFT;
    /* A site may make memfds not executable unless they say that they are to be (vm.memfd_noexec). */
    int fd = memfd_create(name, flags | (can_execute ? MFD_EXEC : 0));
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, flags);
    /* Names of other files may be longer than the 249 bytes of a memfd's. */
    if (fd < 0 && errno == EINVAL && file->kind != FILE_MEMFD)
        fd = memfd_create("caesura", flags);
    return fd < 0 ? error_errno(err, errno, "cannot make the memfd %s", file->path) : fd;
}

/* Whether programs in the folder of path may be mapped executable. */
static bool allows_executing(const char *folder)
{
    struct statvfs fs;
    return statvfs(folder, &fs) < 0 || !(fs.f_flag & ST_NOEXEC);
}

/* First the name that it had, so that /proc shows it as it did; it is gone again at once. -1: not possible there. */
static int make_unlinked_in(const char *folder, const char *path, mode_t mode)
{
    size_t size = strlen(folder) + 64;
    auto_free char *other = malloc(size);
    const char *name = path;

    if (!other)
        return -1;
    snprintf(other, size, "%s/.caesura-%d", folder, (int)getpid());
    for (int attempt = 0; attempt < 2; attempt++, name = other) {
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd < 0)
            continue;
        if (unlink(name) == 0)
            return fd;
        close(fd);
    }
    return -1;
}

static int make_unlinked(const char *path, mode_t mode, bool executable)
{
    auto_free char *folder = strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    int fd = -1;

    if (!slash)
        return -1;
    slash[slash == folder] = 0;
    if (!executable || allows_executing(folder))
        fd = make_unlinked_in(folder, path, mode);
    const char *elsewhere[] = {getenv("TMPDIR"), "/tmp"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere && fd < 0; i++)
        if (elsewhere[i] && elsewhere[i][0] == '/' && (!executable || allows_executing(elsewhere[i])))
            fd = open(elsewhere[i], O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    return fd;
}

static int make_object(struct restore *restore, uint32_t position, struct caesura_error *err)
{
    const struct file *file = &restore->context->files[position];
    /* Readable and writable until the end, or it could not be opened again; executable for who has to map it so. */
    mode_t mode = (file->mode & 0111) | 0600;
    auto_free char *path = restore_path(restore, file->path);
    int fd = -1;

    if (!path)
        return error_set(err, CAESURA_ENOMEM_, "cannot make %s", file->path);
    if (file->kind != FILE_MEMFD && path[0] == '/')
        fd = make_unlinked(path, mode, file->flags & FILE_EXECUTED);
    bool is_memfd = fd < 0;
    if (is_memfd)
        fd = make_memfd(file, err);
    if (fd < 0)
        return fd;
    if (!is_memfd)
        fchmod(fd, mode); /* the umask took part before */
    int rc = image_fill(restore, position, fd, err);
    if (rc) {
        close(fd);
        return rc;
    }
    /* The kernel lets no file become a process's executable that somebody has open for writing. */
    if ((file->flags & (FILE_EXECUTED | FILE_WRITTEN)) == FILE_EXECUTED) {
        int readable = identity_reopen(fd, O_RDONLY);
        close(fd);
        if (readable < 0)
            return error_errno(err, -readable, "cannot open the restored %s", file->path);
        fd = readable;
    }
    return restore_keep_fd(restore, fd, err);
}

/* The same inode for all who ask. */
static int open_object(struct restore *restore, uint32_t position, int flags, struct caesura_error *err)
{
    struct files_state *state = restore->files;
    const struct file *file = &restore->context->files[position];

    if (state->is_sealed)
        return error_set(err, CAESURA_EENGINE, "%s was opened after all files were sealed", file->path);
    if (state->objects[position] < 0) {
        int fd = make_object(restore, position, err);
        if (fd < 0)
            return fd;
        state->objects[position] = fd;
    }
    int fd = identity_reopen(state->objects[position], flags & ~OPEN_IGNORED);
    if (fd == -EINVAL && (flags & O_DIRECT))
        fd = identity_reopen(state->objects[position], flags & ~(OPEN_IGNORED | O_DIRECT));
    return fd < 0 ? error_errno(err, -fd, "cannot open the restored %s", file->path) : fd;
}

int files_seal(struct restore *restore, struct caesura_error *err)
{
    struct files_state *state;

    int rc = files_state_get(restore, &state, err);
    if (rc)
        return rc;
    state->is_sealed = true;
    for (uint32_t i = 0; i < restore->context->n_files && !rc; i++) {
        const struct file *file = &restore->context->files[i];
        if (state->objects[i] < 0)
            continue;
        /* The mode first: one of the seals (F_SEAL_EXEC) would forbid it. */
        files_restore_attributes(file, state->objects[i]);
        int seals = fcntl(state->objects[i], F_GET_SEALS);
        if (file->kind == FILE_MEMFD && file->seals && seals >= 0 && (file->seals & ~(uint32_t)seals) &&
            fcntl(state->objects[i], F_ADD_SEALS, (int)file->seals) < 0)
            rc = error_errno(err, errno, "cannot seal the memfd %s", file->path);
        close(state->objects[i]);
        state->objects[i] = -1;
    }
    return rc;
}

/* ---- files with a name ---- */

static int open_device(const char *path, int flags, struct caesura_error *err)
{
    struct stat st;
    auto_close int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "cannot open %s", path);
    if (!S_ISCHR(st.st_mode))
        return error_set(err, CAESURA_EFILECHANGED, "%s is no character device any more", path);
    int opened = identity_reopen(fd, flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW | O_DIRECTORY | O_ASYNC));
    return opened < 0 ? error_errno(err, -opened, "cannot open %s", path) : opened;
}

static int open_named(const struct restore *restore, const char *path, int flags, struct caesura_error *err)
{
    int fd = identity_open(path, flags, err);

    /* The file may be another's now, or on a file system that cannot do it: the program works without all the same. */
    if (fd == -EPERM && (flags & O_NOATIME))
        fd = identity_open(path, flags & ~O_NOATIME, err);
    if (fd == -EINVAL && (flags & O_DIRECT)) {
        fd = identity_open(path, flags & ~O_DIRECT, err);
        if (fd >= 0)
            restore_note(restore, "%s is opened without O_DIRECT, which its file system lacks", path);
    }
    return fd;
}

int files_open(struct restore *restore, uint32_t file_id, int flags, struct caesura_error *err)
{
    uint32_t position = files_position(restore->context, file_id);
    struct files_state *state;

    if (position == UINT32_MAX)
        return error_set(err, CAESURA_EFORMAT, "the context refers to file %u, which it does not have", file_id);
    const struct file *file = &restore->context->files[position];
    if (file->kind == FILE_ANON_SHARED || file->kind == FILE_SYSV)
        return error_set(err, CAESURA_EENGINE, "%s is shared memory, not a file", file->path);
    int rc = files_state_get(restore, &state, err);
    if (rc)
        return rc;
    auto_free char *path = restore_path(restore, file->path);
    if (!path)
        return error_set(err, CAESURA_ENOMEM_, "cannot open %s", file->path);
    struct file_plan *plan = &state->plans[position];
    if (!plan->known) {
        rc = plan_look(restore, file, path, plan, err);
        if (!rc)
            rc = plan_settle(restore, position, path, plan, err);
        if (rc) {
            plan->known = false;
            return rc;
        }
    }
    if (plan->action == ACTION_OBJECT || plan->action == ACTION_COPY)
        return open_object(restore, position, flags, err);
    if (file->kind == FILE_DEVICE)
        return open_device(path, flags, err);
    return open_named(restore, path, flags & ~OPEN_IGNORED, err);
}
