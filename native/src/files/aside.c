#include "files/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/buffer.h"
#include "core/crc32c.h"
#include "core/error.h"

#define CHUNK_BYTES (256u << 10)
/* Room is left in a name of 255 bytes for kind, offset and number. */
#define NAME_BYTES 190u

int aside_open(struct restore *restore, struct caesura_error *err)
{
    const char *folder = restore->options.aside;
    struct files_state *state = restore->files;
    struct stat st;

    if (state->aside_fd >= 0)
        return 0;
    if (!folder)
        return error_set(err, CAESURA_EINVAL_,
                         "there is no folder for what is cut off or replaced: give one with --aside");
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return error_errno(err, errno, "cannot make the folder %s", folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = error_errno(err, errno, "cannot use the folder %s", folder);
        files_close_fd(&fd);
        return rc;
    }
    if (st.st_uid != geteuid() || (st.st_mode & 022)) {
        close(fd);
        error_set(err, CAESURA_EUNTRUSTED, "others can write to the folder %s, or it is not yours", folder);
        return error_hint(err, "give another folder with --aside, or take the right to write from others");
    }
    state->aside_fd = fd;
    state->aside_dev = st.st_dev;
    state->aside_ino = st.st_ino;
    return 0;
}

/* The path as one name that can be turned back: '/', '%' and control characters as %XX. A long one loses its beginning. */
static void encode(const char *path, char *name, size_t size)
{
    struct buffer full = {0};

    for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
        if (*c == '/' || *c == '%' || *c < 0x20 || *c == 0x7f)
            buffer_format(&full, "%%%02X", *c);
        else
            buffer_bytes(&full, c, 1);
    }
    if (full.failed)
        snprintf(name, size, "~%08x", crc32c(0, path, strlen(path)));
    else if (full.size <= NAME_BYTES)
        snprintf(name, size, "%.*s", (int)full.size, (const char *)full.data);
    else
        snprintf(name, size, "~%08x~%.*s", crc32c(0, path, strlen(path)), (int)NAME_BYTES - 10,
                 (const char *)full.data + full.size - (NAME_BYTES - 10));
    buffer_free(&full);
}

/* Makes an empty file with a name that was not there; nothing kept by an earlier restart is ever written over. */
static int make_kept(const struct files_state *state, const char *path, const char *kind, const uint64_t *from,
                     char **name, struct caesura_error *err)
{
    char encoded[NAME_BYTES + 1], place[32] = "";

    encode(path, encoded, sizeof encoded);
    if (from)
        snprintf(place, sizeof place, "@%llu", (unsigned long long)*from);
    *name = malloc(256);
    if (!*name)
        return error_set(err, CAESURA_ENOMEM_, "cannot keep %s", path);
    for (unsigned number = 0;; number++) {
        if (number)
            snprintf(*name, 256, "%s.%s%s.%u", encoded, kind, place, number);
        else
            snprintf(*name, 256, "%s.%s%s", encoded, kind, place);
        int fd = openat(state->aside_fd, *name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST || number == UINT32_MAX)
            break;
    }
    int rc = error_errno(err, errno, "cannot make a file in the folder for what is replaced, to keep %s", path);
    free(*name);
    *name = NULL;
    return rc;
}

static int copy_range(int from_fd, int to_fd, uint64_t from, uint64_t end, const char *path, struct caesura_error *err)
{
    auto_free uint8_t *chunk = malloc(CHUNK_BYTES);
    uint64_t start, stop, at = from;

    if (!chunk)
        return error_set(err, CAESURA_ENOMEM_, "cannot keep %s", path);
    while (identity_next_data(from_fd, at, end, &start, &stop)) {
        size_t size = stop - start < CHUNK_BYTES ? (size_t)(stop - start) : CHUNK_BYTES, got;
        int rc = identity_read(from_fd, chunk, size, start, path, &got, err);
        if (!rc && !got)
            break;
        if (!rc)
            rc = identity_write(to_fd, chunk, got, start - from, "the folder for what is replaced", err);
        if (rc)
            return rc;
        at = start + got;
    }
    if (ftruncate(to_fd, (off_t)(end - from)) < 0)
        return error_errno(err, errno, "cannot keep %s", path);
    return 0;
}

/* On stable storage before the only other copy goes away. */
static int make_stable(const struct files_state *state, int fd, const char *path, struct caesura_error *err)
{
    if (fsync(fd) < 0 || fsync(state->aside_fd) < 0)
        return error_errno(err, errno, "cannot keep %s: the copy is not on stable storage", path);
    return 0;
}

int aside_copy(struct restore *restore, int fd, const char *path, const char *kind, uint64_t from, char **name,
               struct caesura_error *err)
{
    const struct files_state *state = restore->files;
    struct stat st;

    *name = NULL;
    int rc = aside_open(restore, err);
    if (rc)
        return rc;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "cannot look at %s", path);
    auto_close int kept = make_kept(state, path, kind, strcmp(kind, "tail") == 0 ? &from : NULL, name, err);
    if (kept < 0 || !*name)
        return kept;
    rc = copy_range(fd, kept, from, (uint64_t)st.st_size, path, err);
    if (!rc) {
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
        futimens(kept, times);
        rc = make_stable(state, kept, path, err);
    }
    if (rc) {
        unlinkat(state->aside_fd, *name, 0);
        free(*name);
        *name = NULL;
    }
    return rc;
}

int aside_move(struct restore *restore, int folder_fd, const char *name, const char *path, char **kept,
               struct caesura_error *err)
{
    const struct files_state *state = restore->files;
    struct stat st, now;

    *kept = NULL;
    int rc = aside_open(restore, err);
    if (rc)
        return rc;
    /* The empty file holds the name, so that a rename cannot replace anything that is kept. */
    auto_close int placeholder = make_kept(state, path, "later", NULL, kept, err);
    if (placeholder < 0 || !*kept)
        return placeholder;
    if (renameat(folder_fd, name, state->aside_fd, *kept) == 0)
        return 0;
    int reason = errno;
    unlinkat(state->aside_fd, *kept, 0);
    free(*kept);
    *kept = NULL;
    if (reason != EXDEV)
        return error_errno(err, reason, "cannot move %s away", path);
    auto_close int fd = identity_open(path, O_RDONLY, err);
    if (fd < 0)
        return fd;
    rc = aside_copy(restore, fd, path, "later", 0, kept, err);
    if (rc)
        return rc;
    if (fstat(fd, &st) < 0 || fstatat(folder_fd, name, &now, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != now.st_ino ||
        st.st_dev != now.st_dev)
        return error_set(err, CAESURA_EAGAIN_, "%s is being changed by somebody else", path);
    if (unlinkat(folder_fd, name, 0) < 0)
        return error_errno(err, errno, "cannot remove %s after it was copied", path);
    return 0;
}
