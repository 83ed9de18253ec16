#include "proc/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A process that ended while we look gives ESRCH or ENOENT, depending on the moment. */
static int gone(int errno_value)
{
    if (errno_value == ENOENT || errno_value == ESRCH)
        return -ESRCH;
    return errno_value > 0 ? -errno_value : -EIO;
}

static int read_whole(const char *path, char **text, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t have = 0, capacity = 4096;

    if (fd < 0)
        return gone(errno);
    char *data = malloc(capacity);
    if (!data) {
        close(fd);
        return -ENOMEM;
    }
    for (;;) {
        ssize_t got = read(fd, data + have, capacity - have - 1);
        if (got < 0) {
            int rc = gone(errno);
            free(data);
            close(fd);
            return rc;
        }
        if (!got)
            break;
        have += (size_t)got;
        if (capacity - have > 1024)
            continue;
        char *grown = realloc(data, capacity * 2);
        if (!grown) {
            free(data);
            close(fd);
            return -ENOMEM;
        }
        data = grown;
        capacity *= 2;
    }
    close(fd);
    data[have] = 0;
    *text = data;
    if (size)
        *size = have;
    return 0;
}

int proc_read(pid_t pid, const char *name, char **text, size_t *size)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return read_whole(path, text, size);
}

int proc_read_system(const char *name, char **text)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%s", name);
    return read_whole(path, text, NULL);
}

int proc_read_task(pid_t pid, pid_t tid, const char *name, char **text, size_t *size)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", pid, tid, name);
    return read_whole(path, text, size);
}

int proc_link(pid_t pid, const char *name, char *buffer, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    ssize_t length = readlink(path, buffer, size - 1);
    if (length < 0)
        return gone(errno);
    if ((size_t)length >= size - 1)
        return -ENAMETOOLONG;
    buffer[length] = 0;
    return 0;
}

int proc_namespace(pid_t pid, const char *kind, uint64_t *number)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
    if (stat(path, &st) < 0)
        return gone(errno);
    *number = st.st_ino;
    return 0;
}

/* The value of "Name:\t..." or NULL. */
static const char *status_value(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, name, length) && line[length] == ':')
            return line + length + 1;
    }
    return NULL;
}

/* The last number of a list such as "NSpid:\t4711\t5". */
static pid_t last_number(const char *value, unsigned *count)
{
    long number = 0;
    unsigned seen = 0;
    while (value && *value && *value != '\n') {
        char *end;
        long next = strtol(value, &end, 10);
        if (end == value)
            break;
        number = next;
        value = end;
        seen++;
    }
    if (count)
        *count = seen;
    return (pid_t)number;
}

static void numbers(const char *value, uint32_t *list, uint32_t room, uint32_t *count)
{
    *count = 0;
    if (!value)
        return;
    while (*value && *value != '\n') {
        char *end;
        unsigned long number = strtoul(value, &end, 10);
        if (end == value)
            break;
        if (*count < room)
            list[*count] = (uint32_t)number;
        (*count)++;
        for (value = end; *value == ' ' || *value == '\t'; value++)
            ;
    }
}

static uint64_t hex(const char *text, const char *name)
{
    const char *value = status_value(text, name);
    return value ? strtoull(value, NULL, 16) : 0;
}

static long decimal(const char *text, const char *name)
{
    const char *value = status_value(text, name);
    return value ? strtol(value, NULL, 10) : 0;
}

int proc_parse_status(const char *text, struct proc_status *status)
{
    const char *state = status_value(text, "State");
    uint32_t count;

    *status = (struct proc_status){0};
    if (!state || !status_value(text, "Uid"))
        return -EINVAL;
    while (isspace((unsigned char)*state))
        state++;
    status->state = *state;
    status->ppid = (pid_t)decimal(text, "PPid");
    status->tracer = (pid_t)decimal(text, "TracerPid");
    status->inner_pid = last_number(status_value(text, "NSpid"), &status->levels);
    status->inner_tgid = last_number(status_value(text, "NStgid"), NULL);
    status->inner_pgid = last_number(status_value(text, "NSpgid"), NULL);
    status->inner_sid = last_number(status_value(text, "NSsid"), NULL);
    numbers(status_value(text, "Uid"), status->uid, 4, &count);
    numbers(status_value(text, "Gid"), status->gid, 4, &count);
    numbers(status_value(text, "Groups"), status->groups, sizeof status->groups / sizeof *status->groups,
            &status->n_groups);
    status->signals_pending = hex(text, "SigPnd");
    status->signals_shared_pending = hex(text, "ShdPnd");
    status->signals_ignored = hex(text, "SigIgn");
    status->signals_caught = hex(text, "SigCgt");
    status->cap_inheritable = hex(text, "CapInh");
    status->cap_permitted = hex(text, "CapPrm");
    status->cap_effective = hex(text, "CapEff");
    status->cap_bounding = hex(text, "CapBnd");
    status->cap_ambient = hex(text, "CapAmb");
    const char *mask = status_value(text, "Umask");
    status->umask = mask ? (uint32_t)strtoul(mask, NULL, 8) : 0;
    status->locked_kib = (uint64_t)decimal(text, "VmLck");
    status->no_new_privs = (uint32_t)decimal(text, "NoNewPrivs");
    status->seccomp = (uint32_t)decimal(text, "Seccomp");
    return 0;
}

int proc_parse_stat(const char *text, struct proc_stat *stat)
{
    /* The name in parentheses may hold anything, also ") ": the last parenthesis ends it. */
    const char *rest = strrchr(text, ')');
    uint64_t field[53] = {0};

    if (!rest || rest[1] != ' ' || !rest[2])
        return -EINVAL;
    *stat = (struct proc_stat){.state = rest[2]};
    rest += 3;
    for (int i = 4; i <= 52; i++) {
        char *end;
        field[i] = strtoull(rest, &end, 10);
        if (end == rest)
            return -EINVAL;
        rest = end;
    }
    stat->ppid = (pid_t)field[4];
    stat->pgid = (pid_t)field[5];
    stat->sid = (pid_t)field[6];
    stat->tty = (uint32_t)field[7];
    stat->tty_pgid = (pid_t)field[8];
    stat->start_time = field[22];
    stat->start_code = field[26];
    stat->end_code = field[27];
    stat->start_stack = field[28];
    stat->exit_signal = (uint32_t)field[38];
    stat->start_data = field[45];
    stat->end_data = field[46];
    stat->start_brk = field[47];
    stat->arg_start = field[48];
    stat->arg_end = field[49];
    stat->env_start = field[50];
    stat->env_end = field[51];
    stat->exit_status = (uint32_t)field[52];
    return 0;
}

/* A hexadecimal number and the character that has to end it. Not sscanf(): that measures all of the text at each call. */
static const char *parse_hex(const char *at, char end, uint64_t *value)
{
    char *after;
    *value = strtoull(at, &after, 16);
    return after != at && *after == end ? after + 1 : NULL;
}

static int parse_map_line(const char *line, const char *end, struct proc_map *map)
{
    uint64_t major, minor;
    char *name;

    if (!(line = parse_hex(line, '-', &map->start)) || !(line = parse_hex(line, ' ', &map->end)) || end - line < 5)
        return -EINVAL;
    memcpy(map->perms, line, 4);
    map->perms[4] = 0;
    if (!(line = parse_hex(line + 5, ' ', &map->offset)) || !(line = parse_hex(line, ':', &major)) ||
        !(line = parse_hex(line, ' ', &minor)))
        return -EINVAL;
    map->dev_major = (uint32_t)major;
    map->dev_minor = (uint32_t)minor;
    map->ino = strtoull(line, &name, 10);
    while (name < end && *name == ' ')
        name++;
    size_t length = (size_t)(end - name);
    if (length >= sizeof map->name)
        return -EINVAL;
    /* A newline in a name is shown as \012 and nothing else is escaped. */
    size_t out = 0;
    for (size_t in = 0; in < length; in++) {
        if (!strncmp(name + in, "\\012", 4)) {
            map->name[out++] = '\n';
            in += 3;
        } else {
            map->name[out++] = name[in];
        }
    }
    map->name[out] = 0;
    map->vm_flags[0] = 0;
    map->page_size = 0;
    return 0;
}

int proc_next_map(const char **text, struct proc_map *map)
{
    const char *line = *text;

    if (!*line)
        return 0;
    const char *end = strchrnul(line, '\n');
    int rc = parse_map_line(line, end, map);
    if (rc)
        return rc;
    line = *end ? end + 1 : end;
    /* In smaps the attributes follow; they begin with a capital letter, heads of entries with a hexadecimal digit in lower case. */
    while (*line >= 'A' && *line <= 'Z') {
        end = strchrnul(line, '\n');
        if (!strncmp(line, "VmFlags: ", 9)) {
            size_t length = (size_t)(end - line - 9);
            if (length >= sizeof map->vm_flags)
                return -EINVAL;
            memcpy(map->vm_flags, line + 9, length);
            map->vm_flags[length] = 0;
        }
        if (!strncmp(line, "KernelPageSize:", 15))
            map->page_size = strtoull(line + 15, NULL, 10) << 10;
        line = *end ? end + 1 : end;
    }
    *text = line;
    return 1;
}

bool proc_map_has_flag(const struct proc_map *map, const char *two_letters)
{
    for (const char *at = map->vm_flags; at[0] && at[1]; at += 3) {
        if (at[0] == two_letters[0] && at[1] == two_letters[1])
            return true;
        if (!at[2])
            break;
    }
    return false;
}

int proc_status(pid_t pid, struct proc_status *status)
{
    return proc_task_status(pid, pid, status);
}

int proc_task_status(pid_t pid, pid_t tid, struct proc_status *status)
{
    char *text;
    int rc = proc_read_task(pid, tid, "status", &text, NULL);
    if (rc)
        return rc;
    rc = proc_parse_status(text, status);
    free(text);
    return rc;
}

int proc_stat(pid_t pid, struct proc_stat *stat)
{
    char *text;
    int rc = proc_read(pid, "stat", &text, NULL);
    if (rc)
        return rc;
    rc = proc_parse_stat(text, stat);
    free(text);
    return rc;
}

static int pid_list_add(pid_t **list, size_t *count, size_t *capacity, pid_t pid)
{
    if (*count == *capacity) {
        size_t want = *capacity ? *capacity * 2 : 16;
        pid_t *grown = realloc(*list, want * sizeof **list);
        if (!grown)
            return -ENOMEM;
        *list = grown;
        *capacity = want;
    }
    (*list)[(*count)++] = pid;
    return 0;
}

/* Names in a folder that are numbers. */
static int numbered_entries(const char *path, pid_t **pids, size_t *count)
{
    DIR *folder = opendir(path);
    size_t capacity = 0;
    int rc = 0;

    *pids = NULL;
    *count = 0;
    if (!folder)
        return gone(errno);
    for (struct dirent *entry; !rc && (errno = 0, entry = readdir(folder));)
        if (isdigit((unsigned char)entry->d_name[0]))
            rc = pid_list_add(pids, count, &capacity, (pid_t)atoi(entry->d_name));
    if (!rc && errno)
        rc = gone(errno);
    closedir(folder);
    if (rc) {
        free(*pids);
        *pids = NULL;
        *count = 0;
    }
    return rc;
}

int proc_tasks(pid_t pid, pid_t **tids, size_t *count)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    return numbered_entries(path, tids, count);
}

int proc_all(pid_t **pids, size_t *count)
{
    return numbered_entries("/proc", pids, count);
}

int proc_children(pid_t pid, pid_t **pids, size_t *count)
{
    pid_t *tids;
    size_t n_tids, capacity = 0;
    int rc = proc_tasks(pid, &tids, &n_tids);

    *pids = NULL;
    *count = 0;
    for (size_t i = 0; !rc && i < n_tids; i++) {
        char *text = NULL;
        rc = proc_read_task(pid, tids[i], "children", &text, NULL);
        if (rc == -ESRCH) { /* the thread has ended */
            rc = 0;
            continue;
        }
        for (char *at = text, *end; !rc && at && *at; at = end) {
            long child = strtol(at, &end, 10);
            if (end == at)
                break;
            rc = pid_list_add(pids, count, &capacity, (pid_t)child);
        }
        free(text);
    }
    free(tids);
    if (rc) {
        free(*pids);
        *pids = NULL;
        *count = 0;
    }
    return rc;
}
