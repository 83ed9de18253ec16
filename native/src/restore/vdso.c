#include "restore/vdso.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"
#include "proc/proc.h"

struct range {
    uint64_t start, end;     /* of vvar and vdso together */
    uint64_t code, code_end; /* of the vdso itself */
};

static void range_add(struct range *range, uint64_t start, uint64_t end, const char *name)
{
    if (!range->start || start < range->start)
        range->start = start;
    if (end > range->end)
        range->end = end;
    if (!strcmp(name, "[vdso]")) {
        range->code = start;
        range->code_end = end;
    }
}

static struct range saved_range(const struct process *process)
{
    struct range range = {0};
    for (uint32_t i = 0; i < process->n_maps; i++)
        if (process->maps[i].kind == MAP_KIND_VDSO)
            range_add(&range, process->maps[i].start, process->maps[i].end, process->maps[i].name);
    return range;
}

static int current_range(pid_t pid, struct range *range, struct caesura_error *err)
{
    struct proc_map *map = malloc(sizeof *map);
    char *text;
    int rc = map ? proc_read(pid, "maps", &text, NULL) : -ENOMEM;

    *range = (struct range){0};
    if (!rc) {
        for (const char *at = text; proc_next_map(&at, map) > 0;)
            if (!strcmp(map->name, "[vdso]") || !strncmp(map->name, "[vvar", 5))
                range_add(range, map->start, map->end, map->name);
        free(text);
    }
    free(map);
    return rc ? error_errno(err, -rc, "cannot read the maps of process %d", pid) : 0;
}

bool vdso_is_data(const struct process *process, const struct context_data *data)
{
    struct range range = saved_range(process);
    return data->count && data->extents[0].start >= range.code && data->extents[0].start < range.code_end;
}

static const struct context_data *saved_code(const struct build *build)
{
    const struct context_source *source = &build->restore->source;
    for (uint32_t i = 0; i < source->n_data; i++)
        if (source->data[i].type == SECTION_PAGES && source->data[i].owner == (uint32_t)build->process->pid &&
            vdso_is_data(build->process, &source->data[i]))
            return &source->data[i];
    return NULL;
}

static int differs(struct build *build, struct caesura_error *err)
{
    error_set(err, CAESURA_EUNSUPPORTED,
              "this kernel's vdso differs from that of kernel %s, which process %d was started under",
              build->restore->context->scope.kernel, build->process->pid);
    error_hint(err, "restart on a node with the same kernel");
    return error_about(err, build->process->pid, -1);
}

/* Same code at the same place, and somewhere in it a system call instruction. */
static int compare(struct build *build, const struct range *range, struct caesura_error *err)
{
    const struct context_data *saved = saved_code(build);
    size_t size = range->code_end - range->code;
    uint8_t *now = malloc(size + 1), *then = malloc(size + 1);
    int rc = now && then ? remote_read(build->remote, range->code, now, size, err)
                         : error_errno(err, ENOMEM, "cannot compare the vdso");

    if (!rc && saved &&
        (saved->extents[0].size != size || pread(saved->fd, then, size, (off_t)saved->data_offset) != (ssize_t)size ||
         memcmp(now, then, size) != 0))
        rc = differs(build, err);
    for (size_t i = 0; !rc && i + 1 < size && !build->syscall_ip; i++)
        if (arch_is_syscall(now + i))
            build->syscall_ip = range->code + i;
    free(now);
    free(then);
    return rc;
}

int vdso_map(struct build *build, struct batch *batch, struct caesura_error *err)
{
    struct range wanted = saved_range(build->process), got;
    int rc;

    if (!wanted.start) {
        error_set(err, CAESURA_EUNSUPPORTED, "process %d has no vdso", build->process->pid);
        return error_about(err, build->process->pid, -1);
    }
    batch_call(batch, "map the vdso", BATCH_ZERO_OR_MORE, 0, ARCH_MAP_VDSO_NR, ARCH_MAP_VDSO_CODE, wanted.start, 0, 0,
               0, 0);
    if ((rc = batch_flush(batch)) || (rc = current_range(build->target.pid, &got, err)))
        return rc;
    if (memcmp(&wanted, &got, sizeof wanted) != 0)
        return differs(build, err);
    return compare(build, &got, err);
}
