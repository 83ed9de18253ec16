/* The maps of an address space: what /proc/PID/smaps says, as records. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/error.h"
#include "files/files.h"
#include "memory/memory.h"
#include "memory/pages.h"
#include "proc/proc.h"

static const struct {
    char letters[3];
    uint32_t flag;
} flag_table[] = {
    {"gd", MAP_IS_GROWSDOWN},   {"ht", MAP_IS_HUGETLB},  {"nr", MAP_IS_NORESERVE},  {"lo", MAP_IS_LOCKED},
    {"lf", MAP_IS_LOCKONFAULT}, {"dc", MAP_IS_DONTFORK}, {"wf", MAP_IS_WIPEONFORK}, {"dd", MAP_IS_DONTDUMP},
    {"mg", MAP_IS_MERGEABLE},   {"hg", MAP_IS_HUGEPAGE}, {"nh", MAP_IS_NOHUGEPAGE}, {"sr", MAP_IS_SEQUENTIAL},
    {"rr", MAP_IS_RANDOM},      {"sl", MAP_IS_SEALED},   {"dp", MAP_IS_DROPPABLE},
};

static void refuse(struct caesura_capture *capture, const struct target *target, const struct proc_map *found,
                   const char *what, const char *remedy)
{
    capture_refuse(capture, target->inner_pid, -1, remedy, "process %d maps %s at %llx-%llx (%s)", target->inner_pid,
                   what, (unsigned long long)found->start, (unsigned long long)found->end,
                   found->name[0] ? found->name : "no name");
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && !strcmp(text + length - wanted, end);
}

/* What a file map is a map of; 0 if it cannot be taken. */
static uint32_t file_kind(struct caesura_capture *capture, const struct target *target, const struct proc_map *found)
{
    const char *name = found->name;

    if (!strncmp(name, "/dev/zero", 9) && found->dev_major == 0)
        return FILE_ANON_SHARED;
    if (!strncmp(name, "/anon_hugepage", 14))
        return FILE_ANON_SHARED;
    if (!strncmp(name, "/memfd:", 7))
        return FILE_MEMFD;
    if (!strncmp(name, "/SYSV", 5) && ends_with(name, " (deleted)"))
        return FILE_SYSV;
    if (!strncmp(name, "/[aio]", 6))
        refuse(capture, target, found, "an asynchronous I/O context (io_setup)", "disable native AIO in the program");
    else if (name[0] != '/')
        refuse(capture, target, found, "a kernel object",
               "close it before the checkpoint (io_uring, perf, packet socket ...)");
    else
        return ends_with(name, " (deleted)") ? FILE_DELETED : FILE_REGULAR;
    return 0;
}

/* Is the file at the path still the mapped one? The device of a map and of stat() may differ (btrfs, overlayfs). */
static bool stat_mapped(const struct target *target, const struct proc_map *found, struct stat *st)
{
    char path[sizeof found->name + 64];

    snprintf(path, sizeof path, "/proc/%d/map_files/%llx-%llx", target->live_tid, (unsigned long long)found->start,
             (unsigned long long)found->end);
    if (!stat(path, st))
        return true;
    snprintf(path, sizeof path, "/proc/%d/root%s", target->live_tid, found->name);
    return !stat(path, st) && st->st_ino == found->ino;
}

static int note_file(struct caesura_capture *capture, struct target *target, const struct proc_map *found,
                     struct map *map, struct caesura_error *err)
{
    struct stat st = {0};
    uint32_t kind = file_kind(capture, target, found);
    struct file_sighting sighting = {.path = found->name,
                                     .st = &st,
                                     .fd = -1,
                                     .kind = kind,
                                     .flags = FILE_MAPPED,
                                     .pid = target->inner_pid,
                                     .holder_fd = -1};

    if (!kind)
        return 0;
    if (kind == FILE_SYSV || !stat_mapped(target, found, &st)) {
        /* No file, or one without a name and without the right to look: identity from the map, contents through the map. */
        st = (struct stat){
            .st_dev = makedev(found->dev_major, found->dev_minor), .st_ino = found->ino, .st_mode = S_IFREG | 0600};
        if (kind == FILE_REGULAR)
            sighting.kind = kind = FILE_DELETED;
        if (kind == FILE_DELETED && map->kind == MAP_KIND_FILE_PRIVATE) {
            map->kind = MAP_KIND_ANON; /* all of its pages are written */
            return 0;
        }
    } else if (S_ISCHR(st.st_mode)) {
        if (strcmp(found->name, "/dev/zero") != 0) {
            refuse(capture, target, found, "a device", "unmap it before the checkpoint");
            return 0;
        }
        sighting.kind = FILE_DEVICE;
    }
    /* A shared map of a file that is open for writing can be made writable at any time. */
    if (map->flags & MAP_IS_MAYWRITE)
        sighting.flags |= FILE_WRITTEN;
    if (found->perms[2] == 'x')
        sighting.flags |= FILE_EXECUTED;
    return files_note(capture, &sighting, &map->file, err);
}

static bool is_special(const char *name, enum map_kind *kind)
{
    if (!strcmp(name, "[vdso]") || !strncmp(name, "[vvar", 5)) {
        *kind = MAP_KIND_VDSO;
        return true;
    }
    return false;
}

static int add_map(struct caesura_capture *capture, struct target *target, const struct proc_map *found,
                   struct caesura_error *err)
{
    struct process *process = target->process;
    enum map_kind special;
    struct map *map = list_add(&process->maps, &process->n_maps);

    if (!map || !(map->name = strdup(found->name)))
        return error_errno(err, ENOMEM, "cannot hold the maps of process %d", target->inner_pid);
    map->start = found->start;
    map->end = found->end;
    map->offset = found->offset;
    map->prot = (found->perms[0] == 'r' ? PROT_READ : 0) | (found->perms[1] == 'w' ? PROT_WRITE : 0) |
                (found->perms[2] == 'x' ? PROT_EXEC : 0);
    for (size_t i = 0; i < sizeof flag_table / sizeof *flag_table; i++)
        if (proc_map_has_flag(found, flag_table[i].letters))
            map->flags |= flag_table[i].flag;
    if ((map->flags & MAP_IS_HUGETLB) && found->page_size)
        map->huge_shift = (uint32_t)__builtin_ctzll(found->page_size);
    if (is_special(found->name, &special)) {
        map->kind = special;
        return 0;
    }
    if (proc_map_has_flag(found, "um") || proc_map_has_flag(found, "uw"))
        refuse(capture, target, found, "memory watched by a userfaultfd",
               "end the use of userfaultfd before the checkpoint");
    else if (proc_map_has_flag(found, "io") || proc_map_has_flag(found, "pf"))
        refuse(capture, target, found, "a device", "unmap it before the checkpoint");
    else if (proc_map_has_flag(found, "ss"))
        refuse(capture, target, found, "a shadow stack",
               "start the program without it (GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK)");
    bool anonymous = !found->ino && found->name[0] != '/';
    bool private_huge =
        (map->flags & MAP_IS_HUGETLB) && found->perms[3] == 'p' && !strncmp(found->name, "/anon_hugepage", 14);
    map->kind = anonymous || private_huge ? MAP_KIND_ANON
                : found->perms[3] == 's'  ? MAP_KIND_FILE_SHARED
                                          : MAP_KIND_FILE_PRIVATE;
    if (map->kind == MAP_KIND_FILE_SHARED && proc_map_has_flag(found, "mw"))
        map->flags |= MAP_IS_MAYWRITE;
    return map->kind == MAP_KIND_ANON ? 0 : note_file(capture, target, found, map, err);
}

static int find_guards(struct target *target, struct caesura_error *err)
{
    struct process *process = target->process;
    struct page_source source;
    struct page_runs runs = {0};
    int rc = page_source_open(target, &source, err);

    if (rc)
        return rc;
    for (uint32_t i = 0; i < process->n_maps && !rc; i++)
        if (process->maps[i].kind != MAP_KIND_VDSO && !(process->maps[i].flags & MAP_IS_HUGETLB))
            rc = pages_find_guards(&source, process->maps[i].start, process->maps[i].end, &runs, err);
    for (size_t i = 0; i < runs.count && !rc; i++) {
        struct guard *guard = list_add(&process->guards, &process->n_guards);
        if (!guard)
            rc = error_errno(err, ENOMEM, "cannot hold the maps of process %d", target->inner_pid);
        else
            *guard = (struct guard){runs.runs[i].start, runs.runs[i].end};
    }
    page_runs_free(&runs);
    page_source_close(&source);
    return rc;
}

int memory_collect(struct caesura_capture *capture, struct target *target, struct caesura_error *err)
{
    struct proc_map *found = malloc(sizeof *found);
    char *text;
    int rc = found ? proc_read(target->live_tid, "smaps", &text, NULL) : -ENOMEM;

    if (rc) {
        free(found);
        return error_errno(err, -rc, "cannot read the maps of process %d", target->inner_pid);
    }
    const char *at = text;
    int more = 0;
    while (!rc && (more = proc_next_map(&at, found)) > 0)
        if (strcmp(found->name, "[vsyscall]") != 0)
            rc = add_map(capture, target, found, err);
    if (!rc && more < 0)
        rc = error_set(err, CAESURA_EENGINE, "cannot understand /proc/%d/smaps", target->pid);
    free(text);
    free(found);
    return rc ? rc : find_guards(target, err);
}
