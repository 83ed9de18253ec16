#include "restore/tree.h"

#include <errno.h>
#include <stdlib.h>

#include "core/error.h"

/* Leaders of sessions one below the other, each born before its parent made its own. Bounds the recursion. */
#define NESTED_SESSIONS_MAX 256

static int index_of(const struct context *context, int32_t pid)
{
    for (uint32_t i = 0; i < context->n_processes; i++)
        if (context->processes[i].pid == pid)
            return (int)i;
    return -1;
}

static bool is_leader(const struct process *process)
{
    return process->sid == process->pid;
}

/*
 * The session that a process must be born in: its own, unless it made that itself; then that of a child which was born
 * before. 0 if it does not matter.
 */
static int32_t birth_session(const struct context *context, const struct tree *tree, uint32_t index, int depth)
{
    const struct process *process = &context->processes[index];

    if (!is_leader(process))
        return process->sid;
    if (depth > NESTED_SESSIONS_MAX)
        return 0; /* nobody nests so many; if so, the stubs find out (check_relations()) */
    for (uint32_t i = 0; i < context->n_processes; i++) {
        if (i == index || tree->nodes[i].parent != (int)index)
            continue;
        int32_t wanted = birth_session(context, tree, i, depth + 1);
        if (wanted && wanted != process->sid)
            return wanted;
    }
    return 0;
}

static int helper_for(struct tree *tree, int32_t sid, int *index, struct caesura_error *err)
{
    for (uint32_t i = 0; i < tree->n_helpers; i++)
        if (tree->helpers[i].sid == sid) {
            *index = (int)i;
            return 0;
        }
    struct tree_helper *helper = list_add(&tree->helpers, &tree->n_helpers);
    if (!helper)
        return error_errno(err, ENOMEM, "cannot plan the restart");
    helper->sid = sid;
    *index = (int)tree->n_helpers - 1;
    return 0;
}

/* Does a process that has what `of` has (0: its own) have it in common with its parent? */
static bool shares_with(uint32_t of, int32_t parent, uint32_t parent_of)
{
    return !of || of == (parent_of ? parent_of : (uint32_t)parent);
}

static int plan_one(const struct restore *restore, int32_t builder_sid, struct tree *tree, uint32_t index,
                    struct caesura_error *err)
{
    const struct context *context = restore->context;
    const struct process *process = &context->processes[index];
    struct tree_node *node = &tree->nodes[index];
    int32_t sid = restore->options.restore_sid ? node->birth_sid : 0;

    if (process->files_of || process->fs_of) {
        const struct process *parent = node->parent >= 0 ? &context->processes[node->parent] : NULL;
        if (!parent || !shares_with(process->files_of, parent->pid, parent->files_of) ||
            !shares_with(process->fs_of, parent->pid, parent->fs_of))
            return error_set(err, CAESURA_EUNSUPPORTED,
                             "process %d shares its descriptors or folder with one that is not its parent",
                             process->pid);
    }
    if (node->parent >= 0) {
        const struct process *parent = &context->processes[node->parent];
        node->birth = BIRTH_BY_PARENT;
        if (!sid || parent->sid == sid)
            return 0;
        node->birth = BIRTH_BY_PARENT_EARLY;
        if (is_leader(parent) && tree->nodes[node->parent].birth_sid == sid)
            return 0;
    } else {
        node->birth = process->ppid == 1 && !restore->new_namespace ? BIRTH_ORPHANED : BIRTH_BY_BUILDER;
        if (!sid || sid == builder_sid)
            return 0;
    }
    int leader = index_of(context, sid);
    if (leader >= 0 && leader != (int)index) {
        node->birth = BIRTH_THROUGH_MEMBER;
        node->maker = leader;
        return 0;
    }
    node->birth = BIRTH_THROUGH_HELPER;
    return helper_for(tree, sid, &node->maker, err);
}

static int plan_groups(const struct restore *restore, struct tree *tree, struct caesura_error *err)
{
    const struct context *context = restore->context;

    for (uint32_t i = 0; i < context->n_processes && restore->options.restore_pgid; i++) {
        const struct process *process = &context->processes[i];
        bool known = process->pgid <= 0 || index_of(context, process->pgid) >= 0;
        for (uint32_t k = 0; k < tree->n_helpers && !known; k++)
            known = tree->helpers[k].sid == process->pgid; /* the leader of a session leads its first group */
        for (uint32_t k = 0; k < tree->n_groups && !known; k++)
            known = tree->groups[k].pgid == process->pgid;
        if (known || process->state == PROCESS_ZOMBIE)
            continue;
        struct tree_group *group = list_add(&tree->groups, &tree->n_groups);
        if (!group)
            return error_errno(err, ENOMEM, "cannot plan the restart");
        *group = (struct tree_group){process->pgid, (int)i};
    }
    return 0;
}

/* Every process must come to be when those that it depends on have: a hostile or impossible context would wait for ever. */
static int check_order(const struct restore *restore, const struct tree *tree, struct caesura_error *err)
{
    uint32_t count = restore->context->n_processes, left = count;
    bool *made = calloc(count, sizeof *made), progress = true;

    if (!made)
        return error_errno(err, ENOMEM, "cannot plan the restart");
    while (progress && left) {
        progress = false;
        for (uint32_t i = 0; i < count; i++) {
            const struct tree_node *node = &tree->nodes[i];
            int needs = node->birth == BIRTH_THROUGH_MEMBER                                      ? node->maker
                        : node->birth == BIRTH_BY_PARENT || node->birth == BIRTH_BY_PARENT_EARLY ? node->parent
                                                                                                 : -1;
            if (made[i] || (needs >= 0 && !made[needs]))
                continue;
            made[i] = progress = true;
            left--;
        }
    }
    free(made);
    return left ? error_set(err, CAESURA_EUNSUPPORTED, "the sessions and parents of %u processes cannot be made again",
                            left)
                : 0;
}

int tree_plan(const struct restore *restore, int32_t builder_sid, struct tree *tree, struct caesura_error *err)
{
    const struct context *context = restore->context;
    int rc = 0;

    *tree = (struct tree){.nodes = calloc(context->n_processes, sizeof *tree->nodes)};
    if (!tree->nodes)
        return error_errno(err, ENOMEM, "cannot plan the restart");
    for (uint32_t i = 0; i < context->n_processes; i++) {
        tree->nodes[i].parent = index_of(context, context->processes[i].ppid);
        if (tree->nodes[i].parent == (int)i)
            return error_set(err, CAESURA_EFORMAT, "process %d is its own parent", context->processes[i].pid);
    }
    for (uint32_t i = 0; i < context->n_processes; i++)
        tree->nodes[i].birth_sid = birth_session(context, tree, i, 0);
    for (uint32_t i = 0; i < context->n_processes && !rc; i++)
        rc = plan_one(restore, builder_sid, tree, i, err);
    if (!rc)
        rc = check_order(restore, tree, err);
    return rc ? rc : plan_groups(restore, tree, err);
}

void tree_free(struct tree *tree)
{
    free(tree->nodes);
    free(tree->helpers);
    free(tree->groups);
    *tree = (struct tree){0};
}
