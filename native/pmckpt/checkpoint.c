/*
 * checkpoint [-t] PROG CHECKPOINT [ARGUMENT...]
 *
 * Checks the CHECKPOINT file and the program, and then becomes the program, which restores itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "image.h"
#include "internal.h"
#include "kernel_state.h"
#include "program.h"

enum { HIGHEST_DESCRIPTOR = 1023 };

static const char usage[] =
    "usage: checkpoint [-t] PROG CHECKPOINT [ARGUMENT...]\n"
    "Goes on with PROG from its CHECKPOINT file. Preambles see the ARGUMENTs; default: those of the first start.\n"
    "  -t  cut files back that have grown since the checkpoint, instead of writing over what is there\n";

/* Opens the file, which must be one that only we, or root, could have written. */
static int open_checkpoint(const char *name, int *fd, struct ckpt_error *error)
{
    struct stat status;

    *fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0)
        return ckpt_error_set(error, ckpt_code_of_errno(errno), "%s cannot be opened: %m; name the CHECKPOINT file",
                              name);
    if (fstat(*fd, &status))
        return ckpt_error_set(error, CKPT_EIO_, "%s cannot be examined: %m; look at its disk", name);
    if ((status.st_uid != geteuid() && status.st_uid != 0) || status.st_mode & (S_IWGRP | S_IWOTH))
        return ckpt_error_set(error, CKPT_EUNTRUSTED,
                              "%s could have been written by somebody else, and would run as you; "
                              "if you know where it is from, copy it and chmod go-w the copy",
                              name);
    return 0;
}

/* Fills `path` with where the program is: by its name as it is, or in a folder of PATH. */
static bool find_program(const char *name, char *path, size_t room)
{
    const char *folders = getenv("PATH");
    int length;

    snprintf(path, room, "%s", name);
    if (access(path, F_OK) == 0)
        return true;
    if (strchr(name, '/') || !folders)
        return false;
    for (; *folders; folders += length + (folders[length] == ':')) {
        length = (int)strcspn(folders, ":");
        snprintf(path, room, "%.*s/%s", length, folders, name);
        if (length && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* The program must not start at all if it is the wrong one: it would not restore, but simply run. */
static int check_program(const struct ckpt_image *image, const char *path, struct ckpt_error *error)
{
    struct ckpt_program program;
    struct stat status;
    void *file = MAP_FAILED;
    bool is_program;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return ckpt_error_set(error, ckpt_code_of_errno(errno), "%s cannot be opened: %m; name the program", path);
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
        file = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file == MAP_FAILED)
        return ckpt_error_set(error, CKPT_EINVAL_, "%s is not a program; name the program first", path);
    is_program = ckpt_program_of_file(file, status.st_size, &program);
    munmap(file, status.st_size);
    if (!is_program)
        return ckpt_error_set(error, CKPT_EINVAL_,
                              "%s is not a program for this machine; "
                              "name the program itself, not a script that starts it",
                              path);
    if (!ckpt_program_equal(&program, &image->program))
        return ckpt_error_set(error, CKPT_EFILECHANGED,
                              "%s is not the program that wrote %s, or another build of it; that was %s", path,
                              image->name, image->program_path);
    return 0;
}

static int check_processor(const struct ckpt_image *image, struct ckpt_error *error)
{
    uint32_t have[CKPT_CPU_WORDS];

    ckpt_cpu_get(have);
    for (int i = 0; i < CKPT_CPU_WORDS; i++) {
        uint32_t missing = image->machine.cpu[i] & ~have[i];

        if (missing)
            return ckpt_error_set(error, CKPT_ECPU,
                                  "this processor lacks instructions that the program has chosen to use (word %d, bits "
                                  "%#x); restore it where it ran, or on a newer processor",
                                  i, missing);
    }
    return 0;
}

static bool is_taken(const struct ckpt_image *image, int number)
{
    for (size_t i = 0; i < image->files.count; i++) {
        if (image->files.list[i].descriptor.number == number)
            return true;
    }
    return fcntl(number, F_GETFD) >= 0;
}

/* Moves the descriptor, which the program is to inherit, out of the way of those that preambles will open. */
static int move_out_of_the_way(struct ckpt_image *image, struct ckpt_error *error)
{
    struct rlimit limit = {HIGHEST_DESCRIPTOR + 1, HIGHEST_DESCRIPTOR + 1};
    int number;

    getrlimit(RLIMIT_NOFILE, &limit);
    number = limit.rlim_cur > HIGHEST_DESCRIPTOR ? HIGHEST_DESCRIPTOR : (int)limit.rlim_cur - 1;
    while (number > STDERR_FILENO && is_taken(image, number))
        number--;
    if (number <= STDERR_FILENO || dup2(image->fd, number) < 0)
        return ckpt_error_set(error, CKPT_EBUSY_, "no descriptor is free below the limit; raise ulimit -n");
    close(image->fd);
    image->fd = number;
    return 0;
}

/* Returns only with an error. */
static int become_program(const struct ckpt_image *image, const char *path, char **arguments, bool cut,
                          struct ckpt_error *error)
{
    char from[32];

    snprintf(from, sizeof(from), "%d%s", image->fd, cut ? "t" : "");
    if (setenv(CKPT_RESTORE_VARIABLE, from, 1))
        return ckpt_error_set(error, CKPT_ENOMEM_, "no memory for the environment; raise the memory limit");
    /* A signal that the program will handle waits until it is there. */
    ckpt_set_signal_mask(image->machine.caught_signals);
    execv(path, arguments);
    return ckpt_error_set(error, ckpt_code_of_errno(errno), "%s cannot be started: %m; check its permissions", path);
}

static int restore(const char *program, const char *checkpoint, char **arguments, bool cut, struct ckpt_error *error)
{
    struct ckpt_image image;
    char path[PATH_MAX];
    int fd, result;

    if ((result = open_checkpoint(checkpoint, &fd, error)) != 0 ||
        (result = ckpt_image_read(&image, fd, checkpoint, true, error)) != 0)
        return result;
    if (!find_program(program, path, sizeof(path)))
        return ckpt_error_set(error, CKPT_ENOENT_, "there is no program %s, neither here nor in PATH; name the program",
                              program);
    if ((result = check_program(&image, path, error)) != 0 || (result = check_processor(&image, error)) != 0 ||
        (result = move_out_of_the_way(&image, error)) != 0)
        return result;
    return become_program(&image, path, arguments[1] ? arguments : image.arguments, cut, error);
}

int main(int argc, char **argv)
{
    struct ckpt_error error;
    bool cut = false;
    int option;

    while ((option = getopt(argc, argv, "+t")) != -1) {
        if (option != 't') {
            fputs(usage, stderr);
            return CKPT_EUSAGE;
        }
        cut = true;
    }
    argv += optind;
    if (argc - optind < 2) {
        fputs(usage, stderr);
        return CKPT_EUSAGE;
    }
    /* PROG CHECKPOINT ARGUMENT... becomes PROG ARGUMENT... */
    const char *program = argv[0];
    const char *checkpoint = argv[1];

    argv[1] = argv[0];
    restore(program, checkpoint, argv + 1, cut, &error);
    ckpt_say("not restored: %s", error.text);
    return error.code;
}
