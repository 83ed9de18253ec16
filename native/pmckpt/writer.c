#include "writer.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crc32c.h"

enum { OPEN_TRIES = 10, PIECE_BYTES = 1 << 20 };

static int fail_io(const struct ckpt_writer *writer, struct ckpt_error *error)
{
    return ckpt_error_set(error, ckpt_code_of_errno(errno),
                          "%s cannot be written: %m; free space there, or set CKPTFN and CKPTFNTEMP to another place",
                          writer->temporary_name);
}

/* Locks the open file. Returns 1 if its name has meanwhile gone to another file. */
static int lock_temporary(struct ckpt_writer *writer, struct ckpt_error *error)
{
    struct stat opened, named;

    if (fstat(writer->fd, &opened))
        return fail_io(writer, error);
    if (!S_ISREG(opened.st_mode) || opened.st_uid != geteuid())
        return ckpt_error_set(error, CKPT_EACCES_, "%s is not a regular file of your own; remove it, or set CKPTFNTEMP",
                              writer->temporary_name);
    /* File systems without locks are served, too; only two processes with one name are then not told apart. */
    if (flock(writer->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return ckpt_error_set(error, CKPT_EBUSY_,
                              "%s is just being written by another process; give each its own CKPTFN and CKPTFNTEMP",
                              writer->temporary_name);
    if (lstat(writer->temporary_name, &named) || named.st_dev != opened.st_dev || named.st_ino != opened.st_ino)
        return 1;
    if (ftruncate(writer->fd, 0) || fchmod(writer->fd, 0600))
        return fail_io(writer, error);
    return 0;
}

int ckpt_writer_open(struct ckpt_writer *writer, const char *name, const char *temporary_name, struct ckpt_error *error)
{
    const struct ckpt_file_header header = {CKPT_MAGIC, CKPT_VERSION, EM_X86_64};
    int result = 1;

    writer->name = name;
    writer->temporary_name = temporary_name;
    writer->crc = 0;
    writer->bytes = 0;
    writer->buffered = 0;
    for (int tries = 0; result == 1 && tries < OPEN_TRIES; tries++) {
        writer->fd = open(temporary_name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (writer->fd < 0)
            return ckpt_error_set(error, ckpt_code_of_errno(errno),
                                  "%s cannot be opened: %m; set CKPTFN and CKPTFNTEMP to a place that you can write to",
                                  temporary_name);
        result = lock_temporary(writer, error);
        if (result != 0) {
            close(writer->fd);
            writer->fd = -1;
        }
    }
    if (result == 1)
        return ckpt_error_set(error, CKPT_EBUSY_,
                              "%s keeps being replaced; give each process its own CKPTFN and CKPTFNTEMP",
                              temporary_name);
    if (result != 0)
        return result;
    return ckpt_writer_put(writer, &header, sizeof(header), error);
}

/*
 * In pieces, so that what is summed is still in the cache, and a page that cannot be read is an error of the call.
 * Not by write(): the C library's is a cancellation point, which changes the thread's own record meanwhile.
 */
static int write_out(struct ckpt_writer *writer, const char *data, size_t bytes, struct ckpt_error *error)
{
    while (bytes) {
        ssize_t written = syscall(SYS_write, writer->fd, data, bytes < PIECE_BYTES ? bytes : PIECE_BYTES);

        if (written < 0 && errno == EFAULT)
            return ckpt_error_set(error, CKPT_EUNSUPPORTED,
                                  "the memory at %p cannot be read, maybe it maps more than a file has; unmap it",
                                  (const void *)data);
        if (written < 0 && errno != EINTR)
            return fail_io(writer, error);
        if (written <= 0)
            continue;
        writer->crc = ckpt_crc32c(writer->crc, data, written);
        data += written;
        bytes -= written;
    }
    return 0;
}

static int flush(struct ckpt_writer *writer, struct ckpt_error *error)
{
    size_t bytes = writer->buffered;

    writer->buffered = 0;
    return write_out(writer, writer->buffer, bytes, error);
}

int ckpt_writer_put(struct ckpt_writer *writer, const void *data, size_t bytes, struct ckpt_error *error)
{
    int result = 0;

    writer->bytes += bytes;
    if (bytes > sizeof(writer->buffer) - writer->buffered && (result = flush(writer, error)) != 0)
        return result;
    if (bytes > sizeof(writer->buffer))
        return write_out(writer, data, bytes, error);
    memcpy(writer->buffer + writer->buffered, data, bytes);
    writer->buffered += bytes;
    return 0;
}

int ckpt_writer_record(struct ckpt_writer *writer, enum ckpt_record_type type, uint64_t bytes, struct ckpt_error *error)
{
    const struct ckpt_record record = {.type = type, .bytes = bytes};

    return ckpt_writer_put(writer, &record, sizeof(record), error);
}

int ckpt_writer_pad(struct ckpt_writer *writer, struct ckpt_error *error)
{
    static const char zeros[8];

    return ckpt_writer_put(writer, zeros, -writer->bytes % 8, error);
}

static void sync_folder(const char *name)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(name, '/');
    int length = slash ? (int)(slash - name) + 1 : 0;
    int fd;

    snprintf(folder, sizeof(folder), "%.*s.", length, name);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return; /* write permission is enough for a folder to hold a checkpoint */
    if (fsync(fd) && errno != EINVAL)
        ckpt_say("warning: %s was written, but its folder cannot be written to disk: %m; look at that disk", name);
    close(fd);
}

int ckpt_writer_commit(struct ckpt_writer *writer, struct ckpt_error *error)
{
    struct ckpt_end end = {.bytes = writer->bytes};
    int result = flush(writer, error);

    if (result)
        return result;
    end.crc = writer->crc;
    if ((result = ckpt_writer_record(writer, RECORD_END, sizeof(end), error)) != 0 ||
        (result = ckpt_writer_put(writer, &end, sizeof(end), error)) != 0 || (result = flush(writer, error)) != 0)
        return result;
    if (fsync(writer->fd))
        return fail_io(writer, error);
    if (rename(writer->temporary_name, writer->name))
        return ckpt_error_set(error, ckpt_code_of_errno(errno),
                              "%s cannot be renamed to %s: %m; set CKPTFN and CKPTFNTEMP to names in one file system",
                              writer->temporary_name, writer->name);
    close(writer->fd); /* and with it the lock */
    writer->fd = -1;
    sync_folder(writer->name);
    return 0;
}

void ckpt_writer_abandon(struct ckpt_writer *writer)
{
    if (writer->fd < 0)
        return;
    unlink(writer->temporary_name);
    close(writer->fd);
    writer->fd = -1;
}
