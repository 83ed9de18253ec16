#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIRST_ROOM = 64 << 10, SMALL_FILE = 8192 };

void ckpt_text_free(struct ckpt_text *text)
{
    if (text->data)
        munmap(text->data, text->room);
    *text = (struct ckpt_text){0};
}

static bool make_room(struct ckpt_text *text, size_t room)
{
    char *data = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (data == MAP_FAILED)
        return false;
    ckpt_text_free(text);
    text->data = data;
    text->room = room;
    return true;
}

/* Returns the length, `room` if the file does not fit, or -1. */
static ssize_t read_file(const char *path, char *data, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = 0;

    if (fd < 0)
        return -1;
    while (length < room && (got = read(fd, data + length, room - length)) > 0)
        length += got;
    close(fd);
    return got < 0 ? -1 : (ssize_t)length;
}

int ckpt_text_read(struct ckpt_text *text, const char *path, struct ckpt_error *error)
{
    ssize_t length;

    if (!text->data && !make_room(text, FIRST_ROOM))
        return ckpt_error_set(error, CKPT_ENOMEM_, "no memory to read %s into; raise the memory limit", path);
    /* Started over when it does not fit: a larger buffer is a change to the mappings that are being read about. */
    while ((length = read_file(path, text->data, text->room)) == (ssize_t)text->room) {
        if (!make_room(text, text->room * 2))
            return ckpt_error_set(error, CKPT_ENOMEM_, "no memory to read %s into; raise the memory limit", path);
    }
    if (length < 0)
        return ckpt_error_set(error, CKPT_EIO_, "%s cannot be read: %m; mount /proc", path);
    text->data[length] = '\0';
    text->length = length;
    return 0;
}

bool ckpt_mapping_next(char **cursor, struct ckpt_mapping *mapping)
{
    char *line = *cursor;
    char *end = strchr(line, '\n');
    char permission[5] = "";
    unsigned long inode = 0;
    int path_at = 0;

    if (!end)
        return false;
    *end = '\0';
    *cursor = end + 1;
    if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu %n", &mapping->start, &mapping->end, permission, &inode, &path_at) <
        4)
        return false;
    mapping->protection = (permission[0] == 'r' ? PROT_READ : 0) | (permission[1] == 'w' ? PROT_WRITE : 0) |
                          (permission[2] == 'x' ? PROT_EXEC : 0);
    mapping->shared = permission[3] == 's';
    mapping->file_backed = inode != 0;
    mapping->path = line + path_at;
    return true;
}

bool ckpt_mapping_is_kernels(const struct ckpt_mapping *mapping)
{
    static const char *const names[] = {"[vvar", "[vdso]", "[vsyscall]", "[uprobes]"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(mapping->path, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

int ckpt_read_memory_layout(struct ckpt_machine *machine, struct ckpt_error *error)
{
    /* The fields' numbers as in proc(5). */
    struct {
        int number;
        uint64_t *value;
    } wanted[] = {{26, &machine->start_code}, {27, &machine->end_code}, {28, &machine->start_stack},
                  {45, &machine->start_data}, {46, &machine->end_data}, {47, &machine->start_brk},
                  {48, &machine->arg_start},  {49, &machine->arg_end},  {50, &machine->env_start},
                  {51, &machine->env_end}};
    char text[SMALL_FILE];
    ssize_t length = read_file("/proc/self/stat", text, sizeof(text) - 1);
    int field = 2;
    size_t next = 0;
    char *at;

    if (length <= 0)
        return ckpt_error_set(error, CKPT_EIO_, "/proc/self/stat cannot be read: %m; mount /proc");
    text[length] = '\0';
    at = strrchr(text, ')'); /* ends the name, which may hold anything */
    while (at && next < sizeof(wanted) / sizeof(wanted[0]) && (at = strchr(at, ' '))) {
        at++;
        if (++field == wanted[next].number)
            *wanted[next++].value = strtoull(at, NULL, 10);
    }
    if (next < sizeof(wanted) / sizeof(wanted[0]))
        return ckpt_error_set(error, CKPT_EIO_, "/proc/self/stat has only %d fields; Linux 3.5 or newer is needed",
                              field);
    machine->brk = syscall(SYS_brk, 0);
    return 0;
}

int ckpt_count_threads(void)
{
    char text[SMALL_FILE];
    ssize_t length = read_file("/proc/self/status", text, sizeof(text) - 1);
    const char *at;

    if (length <= 0)
        return -1;
    text[length] = '\0';
    at = strstr(text, "\nThreads:");
    return at ? atoi(at + strlen("\nThreads:")) : -1;
}

bool ckpt_has_posix_timers(void)
{
    char text[SMALL_FILE];

    return read_file("/proc/self/timers", text, sizeof(text)) > 0;
}
