#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "crc32c.h"

enum { TAIL_BYTES = 4096, INHERITED_MAX = 64, KCMP_FILE = 0, MEMORY_DEVICES = 1 };

struct identity {
    int number;
    dev_t device;
    ino_t inode;
};

/* Both are a part of the program's memory, and so the same in every generation. */
static struct identity inherited[INHERITED_MAX];
static size_t inherited_count;
static struct ckpt_moved_back_list moved_back;
static pid_t moved_back_owner; /* a forked child has no business with its parent's files */

/* ---- which are open ---- */

/* Calls visit(number, argument) for every descriptor, in ascending order, until one returns nonzero. */
static int for_each_descriptor(int (*visit)(int number, void *argument), void *argument)
{
    struct entry {
        uint64_t inode, offset;
        unsigned short length;
        unsigned char type;
        char name[];
    };
    _Alignas(struct entry) char buffer[2048];
    int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = 0;
    long got;

    if (folder < 0)
        return -1;
    while (result == 0 && (got = syscall(SYS_getdents64, folder, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < got && result == 0;) {
            const struct entry *entry = (const void *)(buffer + at);
            int number = atoi(entry->name);

            at += entry->length;
            if (entry->name[0] != '.' && number != folder)
                result = visit(number, argument);
        }
    }
    close(folder);
    return result;
}

static int note_inherited(int number, void *argument)
{
    struct stat status;

    (void)argument;
    if (number > STDERR_FILENO && inherited_count < INHERITED_MAX && fstat(number, &status) == 0)
        inherited[inherited_count++] = (struct identity){number, status.st_dev, status.st_ino};
    return 0;
}

void ckpt_files_at_start(void)
{
    inherited_count = 0;
    for_each_descriptor(note_inherited, NULL);
}

static bool was_inherited(int number, const struct stat *status)
{
    for (size_t i = 0; i < inherited_count; i++) {
        if (inherited[i].number == number)
            return inherited[i].device == status->st_dev && inherited[i].inode == status->st_ino;
    }
    return false;
}

/* ---- taking a checkpoint ---- */

static bool is_writable(int status_flags)
{
    return !(status_flags & O_PATH) && (status_flags & O_ACCMODE) != O_RDONLY;
}

/* Sums the tail_bytes in front of position. Returns false if the file may not be read. */
static bool sum_tail(int number, const struct ckpt_descriptor *descriptor, uint32_t *crc)
{
    char name[64], tail[TAIL_BYTES];
    ssize_t got;
    int fd;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", number);
    fd = open(name, O_RDONLY | O_CLOEXEC); /* the descriptor itself may be for writing only */
    if (fd < 0)
        return false;
    got = pread(fd, tail, descriptor->tail_bytes, descriptor->position - descriptor->tail_bytes);
    close(fd);
    if (got != (ssize_t)descriptor->tail_bytes)
        return false;
    *crc = ckpt_crc32c(0, tail, got);
    return true;
}

static bool can_reopen(const char *path, const struct stat *status)
{
    struct stat named;

    if (path[0] != '/' || stat(path, &named) || named.st_dev != status->st_dev || named.st_ino != status->st_ino)
        return false;
    return S_ISREG(status->st_mode) || S_ISDIR(status->st_mode) ||
           (S_ISCHR(status->st_mode) && major(status->st_rdev) == MEMORY_DEVICES);
}

/* What this program takes the size to be: less than the file's while it stands in front of an older run's output. */
static off_t size_of(int number, const struct stat *status, off_t position)
{
    for (size_t i = 0; i < moved_back.count; i++) {
        const struct ckpt_moved_back *moved = &moved_back.files[i];

        if (moved->number == number && moved->device == status->st_dev && moved->inode == status->st_ino &&
            moved->size == status->st_size && position >= moved->position && position < moved->size)
            return position;
    }
    return status->st_size;
}

static int fill_regular(struct ckpt_file *file, const struct stat *status, struct ckpt_error *error)
{
    struct ckpt_descriptor *descriptor = &file->descriptor;
    int number = descriptor->number;
    off_t position = lseek(number, 0, SEEK_CUR);

    descriptor->flags |= DESCRIPTOR_REGULAR;
    descriptor->position = position < 0 ? 0 : position;
    descriptor->size = size_of(number, status, descriptor->position);
    if (status->st_nlink == 0 && number > STDERR_FILENO)
        return ckpt_error_set(error, CKPT_EUNSUPPORTED,
                              "descriptor %d is %s, which nobody could open again; "
                              "keep such files linked, or close them before the CKPT POINT",
                              number, file->path);
    if (!is_writable(descriptor->status_flags))
        return 0;
    if (fdatasync(number) && errno != EINVAL && errno != EROFS)
        return ckpt_error_set(error, ckpt_code_of_errno(errno),
                              "%s (descriptor %d) cannot be written to disk: %m; "
                              "look at that disk",
                              file->path, number);
    descriptor->tail_bytes = descriptor->position < descriptor->size ? descriptor->position : descriptor->size;
    if (descriptor->tail_bytes > TAIL_BYTES)
        descriptor->tail_bytes = TAIL_BYTES;
    if (descriptor->position <= descriptor->size && sum_tail(number, descriptor, &descriptor->tail_crc))
        descriptor->flags |= DESCRIPTOR_FINGERPRINT;
    return 0;
}

static int find_same(const struct ckpt_files *files, const struct ckpt_descriptor *descriptor)
{
    pid_t self = getpid();

    for (size_t i = 0; i < files->count; i++) {
        const struct ckpt_descriptor *lower = &files->list[i].descriptor;

        if (lower->device == descriptor->device && lower->inode == descriptor->inode &&
            syscall(SYS_kcmp, self, self, KCMP_FILE, lower->number, descriptor->number) == 0)
            return lower->number;
    }
    return -1;
}

static char *read_path(int number)
{
    char name[64], path[PATH_MAX];
    ssize_t length;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", number);
    length = readlink(name, path, sizeof(path) - 1);
    path[length < 0 ? 0 : length] = '\0';
    return strdup(path);
}

struct getting {
    struct ckpt_files *files;
    int own;
    struct ckpt_error *error;
};

static int get_descriptor(int number, void *argument)
{
    struct getting *getting = argument;
    struct ckpt_files *files = getting->files;
    struct ckpt_file *list, *file;
    struct ckpt_descriptor *descriptor;
    struct stat status = {0};

    if (number == getting->own)
        return 0;
    list = realloc(files->list, (files->count + 1) * sizeof(*list));
    if (!list)
        return ckpt_error_set(getting->error, CKPT_ENOMEM_, "no memory for the list of descriptors; free some");
    files->list = list;
    file = &list[files->count];
    *file = (struct ckpt_file){.path = read_path(number)};
    if (!file->path)
        return ckpt_error_set(getting->error, CKPT_ENOMEM_, "no memory for the list of descriptors; free some");
    descriptor = &file->descriptor;
    descriptor->number = number;
    descriptor->status_flags = fcntl(number, F_GETFL);
    descriptor->fd_flags = fcntl(number, F_GETFD);
    descriptor->same_as = -1;
    if (fstat(number, &status) == 0) {
        descriptor->device = status.st_dev;
        descriptor->inode = status.st_ino;
        descriptor->same_as = find_same(files, descriptor);
        if (can_reopen(file->path, &status))
            descriptor->flags |= DESCRIPTOR_REOPENABLE;
        if (was_inherited(number, &status))
            descriptor->flags |= DESCRIPTOR_INHERITED;
    }
    files->count++;
    if (S_ISREG(status.st_mode) && !(descriptor->status_flags & O_PATH))
        return fill_regular(file, &status, getting->error);
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    const struct ckpt_file *left = a, *right = b;

    return left->descriptor.number < right->descriptor.number ? -1 : 1;
}

int ckpt_files_get(struct ckpt_files *files, int own, struct ckpt_error *error)
{
    struct getting getting = {files, own, error};
    int result;

    *files = (struct ckpt_files){0};
    error->code = 0;
    result = for_each_descriptor(get_descriptor, &getting);
    if (result && error->code == 0)
        return ckpt_error_set(error, CKPT_EIO_, "/proc/self/fd cannot be read: %m; mount /proc");
    if (files->count)
        qsort(files->list, files->count, sizeof(*files->list), compare_numbers);
    return result;
}

void ckpt_files_free(struct ckpt_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->list[i].path);
    free(files->list);
    *files = (struct ckpt_files){0};
}

/* ---- restoring ---- */

static const struct ckpt_file *find_file(const struct ckpt_files *files, int number)
{
    for (size_t i = 0; i < files->count; i++) {
        if (files->list[i].descriptor.number == number)
            return &files->list[i];
    }
    return NULL;
}

struct closing {
    const struct ckpt_files *files;
    int keep;
    uint32_t only_with; /* descriptors of the checkpoint without these flags are closed as well */
};

static int close_other(int number, void *argument)
{
    const struct closing *closing = argument;
    const struct ckpt_file *file = find_file(closing->files, number);

    if (number == closing->keep || (file && (file->descriptor.flags & closing->only_with) == closing->only_with))
        return 0;
    if (closing->only_with && number <= STDERR_FILENO)
        return 0;
    close(number);
    return 0;
}

/* Takes up the number with something that cannot be read or written, so that no other file gets it. */
static void put_placeholder(int number)
{
    int fd = open("/dev/null", O_PATH | O_CLOEXEC);

    if (fd >= 0 && fd != number) {
        dup2(fd, number);
        close(fd);
    }
}

static bool is_open(int number)
{
    return fcntl(number, F_GETFD) >= 0;
}

void ckpt_files_make_start(const struct ckpt_files *files, int keep)
{
    struct closing closing = {files, keep, DESCRIPTOR_INHERITED};

    for_each_descriptor(close_other, &closing);
    for (size_t i = 0; i < files->count; i++) {
        const struct ckpt_descriptor *descriptor = &files->list[i].descriptor;

        if (descriptor->flags & DESCRIPTOR_INHERITED && !is_open(descriptor->number))
            put_placeholder(descriptor->number);
    }
}

/* Whether somebody, a preamble or the shell, has opened something under the number. */
static bool is_supplied(const struct ckpt_descriptor *descriptor)
{
    int flags = fcntl(descriptor->number, F_GETFL);

    return flags >= 0 && !(flags & O_PATH && !(descriptor->status_flags & O_PATH));
}

static int open_again(const struct ckpt_file *file, struct ckpt_error *error)
{
    const struct ckpt_descriptor *descriptor = &file->descriptor;
    int number = descriptor->number;
    int fd;

    if (descriptor->same_as >= 0 && is_open(descriptor->same_as)) {
        dup2(descriptor->same_as, number);
        return 0;
    }
    if (!(descriptor->flags & DESCRIPTOR_REOPENABLE)) {
        put_placeholder(number);
        ckpt_say("warning: descriptor %d was %s, which cannot be opened again; using it will fail with EBADF. "
                 "Open it in a preamble, in front of CKPT TOPS",
                 number, file->path);
        return 0;
    }
    fd = open(file->path, (descriptor->status_flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return ckpt_error_set(error, CKPT_EFILECHANGED,
                              "%s (descriptor %d) cannot be opened again: %m; "
                              "put the file back",
                              file->path, number);
    if (fd != number) {
        dup2(fd, number);
        close(fd);
    }
    return 0;
}

/* Checks that the file on the descriptor is the one of the checkpoint, and not shorter. */
static int check_regular(const struct ckpt_file *file, const struct stat *status, struct ckpt_error *error)
{
    const struct ckpt_descriptor *descriptor = &file->descriptor;
    int number = descriptor->number;
    uint32_t crc;

    if (status->st_size < descriptor->position && descriptor->position <= descriptor->size)
        return ckpt_error_set(
            error, CKPT_EFILECHANGED,
            "descriptor %d is a file of %lld bytes, but at the checkpoint the program was at byte %lld "
            "of %s; %s",
            number, (long long)status->st_size, (long long)descriptor->position, file->path,
            number == STDIN_FILENO || !is_writable(descriptor->status_flags)
                ? "give it the same file"
                : "append to the same file with >>, or give it a pipe");
    if (!(descriptor->flags & DESCRIPTOR_FINGERPRINT))
        return 0;
    if (sum_tail(number, descriptor, &crc)
            ? crc != descriptor->tail_crc
            : status->st_dev != descriptor->device || status->st_ino != descriptor->inode)
        return ckpt_error_set(
            error, CKPT_EFILECHANGED,
            "descriptor %d is not, or no longer, the file that the program wrote: the bytes in front of "
            "byte %lld differ from those of %s at the checkpoint; "
            "append to the same file with >>, or give it a pipe",
            number, (long long)descriptor->position, file->path);
    return 0;
}

static int check_file(const struct ckpt_file *file, struct ckpt_error *error)
{
    const struct ckpt_descriptor *descriptor = &file->descriptor;
    struct stat status;

    if (!(descriptor->flags & DESCRIPTOR_REGULAR) || fstat(descriptor->number, &status))
        return 0;
    if (S_ISREG(status.st_mode))
        return check_regular(file, &status, error);
    if (descriptor->number == STDIN_FILENO && descriptor->position < descriptor->size)
        ckpt_say("warning: standard input was %s at byte %lld, but is something else now", file->path,
                 (long long)descriptor->position);
    return 0;
}

/* Moves a regular file back to where it was. */
static void move_back(const struct ckpt_file *file, bool cut, struct ckpt_moved_back_list *moved)
{
    const struct ckpt_descriptor *descriptor = &file->descriptor;
    int number = descriptor->number;
    bool at_end = descriptor->position == descriptor->size;
    struct stat status;
    int flags;

    if (!(descriptor->flags & DESCRIPTOR_REGULAR) || fstat(number, &status) || !S_ISREG(status.st_mode))
        return;
    flags = fcntl(number, F_GETFL);
    fcntl(number, F_SETFL, (flags & ~O_APPEND) | (descriptor->status_flags & O_APPEND));
    lseek(number, descriptor->position, SEEK_SET);
    if (!is_writable(flags) || status.st_size <= descriptor->size)
        return;
    /*
     * What has been written since then is overwritten, not cut off, so that somebody who follows the file with
     * tail -f sees each line once. A file that is appended to can only be cut.
     */
    if (cut || descriptor->status_flags & O_APPEND) {
        if (ftruncate(number, descriptor->size))
            ckpt_say("warning: %s (descriptor %d) cannot be cut back to %lld bytes: %m; output will be there twice",
                     file->path, number, (long long)descriptor->size);
    } else if (at_end && moved->count < MOVED_BACK_MAX) {
        moved->files[moved->count++] =
            (struct ckpt_moved_back){number, status.st_dev, status.st_ino, descriptor->position, status.st_size};
    }
}

int ckpt_files_put(const struct ckpt_files *files, bool cut, int keep, struct ckpt_moved_back_list *moved,
                   struct ckpt_error *error)
{
    struct closing closing = {files, keep, 0};
    int result;

    for_each_descriptor(close_other, &closing);
    for (size_t i = 0; i < files->count; i++) {
        if (!is_supplied(&files->list[i].descriptor) && (result = open_again(&files->list[i], error)) != 0)
            return result;
    }
    for (size_t i = 0; i < files->count; i++) {
        if ((result = check_file(&files->list[i], error)) != 0)
            return result;
    }
    moved->count = 0;
    for (size_t i = 0; i < files->count; i++) {
        fcntl(files->list[i].descriptor.number, F_SETFD, files->list[i].descriptor.fd_flags);
        move_back(&files->list[i], cut, moved);
    }
    return 0;
}

void ckpt_files_remember(const struct ckpt_moved_back_list *moved)
{
    moved_back = *moved;
    moved_back_owner = getpid();
}

void ckpt_files_at_end(void)
{
    if (moved_back.count == 0 || moved_back_owner != getpid())
        return;
    for (size_t i = 0; i < moved_back.count; i++) {
        const struct ckpt_moved_back *moved = &moved_back.files[i];
        struct stat status;
        off_t position;

        if (fstat(moved->number, &status) || status.st_dev != moved->device || status.st_ino != moved->inode)
            continue;
        /* What standard I/O still holds comes behind the cut. Longer than it was: the program has written over all of it. In front of the place: it moved about in there. */
        position = lseek(moved->number, 0, SEEK_CUR);
        if (status.st_size == moved->size && position >= moved->position && position < moved->size &&
            ftruncate(moved->number, position))
            ckpt_say("warning: descriptor %d still has older output behind byte %lld: %m; cut it off with truncate -s",
                     moved->number, (long long)position);
    }
}
