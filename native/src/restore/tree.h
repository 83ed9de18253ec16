/*
 * tree.h - who has to fork whom, so that parents, sessions and groups come out as they were. A pure plan; no processes yet.
 *
 * A process is born in its parent's session. One that was adopted by another parent (an orphan), or whose parent has made
 * itself a new session since, cannot simply be forked by the parent it has now.
 */
#ifndef CAESURA_RESTORE_TREE_H
#define CAESURA_RESTORE_TREE_H

#include "restore/restore.h"

enum tree_birth {
    BIRTH_BY_BUILDER,      /* forked by the builder */
    BIRTH_BY_PARENT_EARLY, /* by its parent, before that makes its session */
    BIRTH_BY_PARENT,       /* by its parent */
    BIRTH_THROUGH_MEMBER,  /* by a passing child of `maker`, a process of its session, so that it is adopted */
    BIRTH_THROUGH_HELPER,  /* by a passing leader of its session, helper number `maker` */
    BIRTH_ORPHANED,        /* by a passing child of the builder, so that the host's init adopts it */
};

struct tree_node {
    enum tree_birth birth;
    int parent; /* index of the process, -1: the builder */
    int maker;
    int32_t birth_sid; /* session that it is born in, 0: any */
};

struct tree_helper { /* leader of a session that has no leader any more */
    int32_t sid;
};

struct tree_group { /* group whose first process is gone */
    int32_t pgid;
    int maker; /* a member, which makes the passing leader */
};

struct tree {
    struct tree_node *nodes; /* as the context's processes */
    struct tree_helper *helpers;
    uint32_t n_helpers;
    struct tree_group *groups;
    uint32_t n_groups;
};

/** builder_sid: the session that the builder is in. EUNSUPPORTED if the relations cannot be made again. */
int tree_plan(const struct restore *restore, int32_t builder_sid, struct tree *tree, struct caesura_error *err);
void tree_free(struct tree *tree);

#endif
