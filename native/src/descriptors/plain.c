/* What is opened again by its name: regular files, folders, devices without state, paths (O_PATH). */
#include "descriptors/kinds.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "files/files.h"

#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d
#endif
#ifndef DMA_BUF_MAGIC
#define DMA_BUF_MAGIC 0x444d4142
#endif
#define MQUEUE_MAGIC 0x19800202u

/* ---- regular files ---- */

bool file_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    return S_ISREG(seen->st.st_mode) && seen_record(capture, seen)->name[0] == '/' &&
           seen->fs_type != SECRETMEM_MAGIC && seen->fs_type != DMA_BUF_MAGIC && seen->fs_type != MQUEUE_MAGIC;
}

int file_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    struct description *record = seen_record(capture, seen);
    bool writes = (record->flags & O_ACCMODE) != O_RDONLY;
    struct file_sighting sighting = {
        .path = record->name,
        .st = &seen->st,
        .fd = fd,
        .flags = !writes                    ? 0
                 : record->flags & O_APPEND ? FILE_APPENDED
                                            : FILE_WRITTEN,
        .pid = seen_pid(capture, seen),
        .holder_fd = seen->fd,
    };

    return files_note(capture, &sighting, &record->file, err);
}

/* What this user may not open, but was started with: one of our own streams. -1: it is none. */
static int open_own_stream(struct restore *restore, const struct description *description)
{
    const struct file *file = context_file(restore->context, description->file);
    char *path = file ? restore_path(restore, file->path) : NULL;
    int stream = path ? files_own_stream(file, path, description->flags) : -1;
    int own = stream < 0 ? -1 : restore->descriptions->outside[stream];

    free(path);
    if (own >= 0)
        restore->descriptions->is_own[description->id] = true;
    return own < 0 ? -1 : fcntl(own, F_DUPFD_CLOEXEC, 0);
}

int file_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    if (!description->file)
        return state_corrupt(description, err);
    int fd = files_open(restore, description->file, (int)description->flags, err);
    if (fd == -EACCES) {
        int own = open_own_stream(restore, description);
        fd = own < 0 ? fd : own;
    }
    return restore_take(restore, description->id, fd, err);
}

/* ---- folders ---- */

bool folder_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    return S_ISDIR(seen->st.st_mode) && seen_record(capture, seen)->name[0] == '/';
}

/* State: mode if the folder was removed, else nothing. */
int folder_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    auto_buffer state = {0};

    (void)fd;
    if (seen->st.st_nlink == 0)
        buffer_u32(&state, seen->st.st_mode & 07777);
    return state_set(seen_record(capture, seen), &state, err);
}

/* A removed folder is empty for ever, so any other empty removed folder does. */
static int open_removed_folder(const struct description *description, mode_t mode, struct caesura_error *err)
{
    char path[] = "/tmp/caesura-XXXXXX";

    if (!mkdtemp(path))
        return error_errno(err, errno, "cannot make a folder in place of the removed %s", description->name);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int saved = errno;
    if (fd >= 0)
        fchmod(fd, mode & 07777);
    rmdir(path);
    return fd < 0 ? error_errno(err, saved, "cannot open the removed folder %s", description->name) : fd;
}

int folder_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    int fd = description->state.size
                 ? open_removed_folder(description, reader_u32(&state), err)
                 : restore_open_path(restore, description->name, description->flags | O_DIRECTORY, err);
    return restore_take(restore, description->id, fd, err);
}

/* ---- devices ---- */

/* /dev/tty is the terminal of whoever opens it; the others have no state at all. */
static bool is_plain_device(dev_t device)
{
    unsigned number = minor(device);
    bool memory = major(device) == 1 && (number == 3 || number == 5 || number == 7 || number == 8 || number == 9);
    return memory || (major(device) == 5 && number == 0);
}

bool device_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    return S_ISCHR(seen->st.st_mode) && is_plain_device(seen->st.st_rdev) && seen_record(capture, seen)->name[0] == '/';
}

int device_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    auto_buffer state = {0};

    (void)fd;
    buffer_u64(&state, seen->st.st_rdev);
    return state_set(seen_record(capture, seen), &state, err);
}

static const char *device_name(dev_t device)
{
    static const char *const memory[] = {
        [3] = "/dev/null", [5] = "/dev/zero", [7] = "/dev/full", [8] = "/dev/random", [9] = "/dev/urandom"};
    return major(device) == 5 ? "/dev/tty" : memory[minor(device)];
}

int device_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    struct reader state = state_reader(description);
    dev_t device = reader_u64(&state);
    struct stat st;

    if (state.failed || !is_plain_device(device))
        return state_corrupt(description, err);
    /* By the name it had; where that is something else now, by the name that it has everywhere. */
    auto_fd fd = restore_open_path(restore, description->name, description->flags | O_NONBLOCK, err);
    if (fd < 0 || fstat(fd, &st) || !S_ISCHR(st.st_mode) || st.st_rdev != device) {
        cleanup_fd(&fd);
        fd = open(device_name(device), (int)description->flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    if (fd < 0 && major(device) == 5) {
        /* No controlling terminal here, as in a batch job: what cr_restart has instead of one. */
        restore_note(restore, "no terminal for /dev/tty: using the standard streams");
        int own = restore->descriptions->outside[(description->flags & O_ACCMODE) == O_RDONLY ? 0 : 1];
        fd = own >= 0 ? fcntl(own, F_DUPFD_CLOEXEC, 0) : -1;
    }
    if (fd < 0)
        return error_errno(err, errno, "cannot open %s again", device_name(device));
    return restore_take(restore, description->id, fd_release(&fd), err);
}

/* ---- O_PATH ---- */

bool path_probe(const struct caesura_capture *capture, const struct seen *seen)
{
    return seen_record(capture, seen)->flags & O_PATH;
}

int path_capture(struct caesura_capture *capture, struct seen *seen, int fd, struct caesura_error *err)
{
    const struct description *record = seen_record(capture, seen);
    bool deleted;

    (void)fd;
    (void)err;
    free(path_undeleted(record->name, &deleted));
    if (record->name[0] != '/' || (deleted && seen->st.st_nlink == 0))
        return seen_refuse(capture, seen, "close it before the checkpoint, or keep the file",
                           "an O_PATH descriptor on %s, which has no name", record->name);
    return 0;
}

int path_open(struct restore *restore, const struct description *description, struct caesura_error *err)
{
    return restore_take(restore, description->id,
                        restore_open_path(restore, description->name, description->flags, err), err);
}
