#include "restore/stubs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "descriptors/descriptors.h"
#include "proc/proc.h"

/* Stages that all stubs reach together. */
enum stage { STAGE_BORN = 1, STAGE_LED, STAGE_JOINED, STAGE_OPENED, STAGE_CONNECTED, STAGE_SET };

/* Memory that builder and stubs share. */
struct stub_shared {
    _Atomic uint32_t arrived; /* at the stage after the one that is open */
    _Atomic uint32_t open;    /* stage that may be passed */
    _Atomic int failed;
    struct caesura_error error; /* of the first that failed */
    pid_t helpers[];            /* pids of passing leaders: sessions, then groups */
};

struct maker {
    struct restore *restore;
    const struct tree *tree;
    struct stub_shared *shared;
    size_t shared_size;
    pid_t builder;
    uint32_t stubs; /* that live on: no zombies */
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    struct timespec limit = {.tv_nsec = 50000000};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Ends a stub that cannot go on; the builder tells why and ends the others. */
static _Noreturn void stub_fail(struct maker *maker, const struct caesura_error *error)
{
    int none = 0;
    if (atomic_compare_exchange_strong(&maker->shared->failed, &none, 1)) {
        maker->shared->error = *error;
        atomic_store(&maker->shared->failed, 2);
    }
    _exit(1);
}

static _Noreturn void stub_fail_errno(struct maker *maker, int32_t pid, const char *what)
{
    struct caesura_error error;
    error_errno(&error, errno, "process %d: cannot %s", pid, what);
    error_about(&error, pid, -1);
    stub_fail(maker, &error);
}

/* Says that the next stage is reached and waits until all have reached it. */
static void stub_arrive(struct maker *maker, enum stage stage)
{
    struct stub_shared *shared = maker->shared;

    atomic_fetch_add(&shared->arrived, 1);
    futex_wake(&shared->arrived);
    for (uint32_t open; (open = atomic_load(&shared->open)) < (uint32_t)stage;) {
        futex_wait(&shared->open, open);
        if (atomic_load(&shared->failed) || kill(maker->builder, 0) < 0)
            _exit(1);
    }
}

/* fork() with a chosen pid (0: any) and without the C library's knowledge. flags: CLONE_FILES, CLONE_FS. */
static pid_t stub_clone_sharing(pid_t wanted, int exit_signal, uint64_t flags)
{
    struct clone_args args = {.exit_signal = (uint64_t)exit_signal, .flags = flags};
    if (wanted) {
        args.set_tid = (uint64_t)&wanted;
        args.set_tid_size = 1;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static pid_t stub_clone(pid_t wanted, int exit_signal)
{
    return stub_clone_sharing(wanted, exit_signal, 0);
}

static pid_t wanted_pid(const struct maker *maker, int32_t pid)
{
    return maker->restore->options.restore_pid ? pid : 0;
}

static void fail_to_fork(struct maker *maker, int32_t pid)
{
    struct caesura_error error;
    if (errno == EEXIST) {
        error_set(&error, CAESURA_EBUSY_, "pid %d is taken", pid);
    } else if (errno == EPERM) {
        error_set(&error, CAESURA_EPERM_, "this user may not choose pid %d here", pid);
        error_hint(&error, "use --pid-namespace=new, or give cr-restore the file capability cap_checkpoint_restore");
    } else {
        error_errno(&error, errno, "cannot fork process %d", pid);
    }
    error_about(&error, pid, -1);
    stub_fail(maker, &error);
}

static _Noreturn void stub_main(struct maker *maker, uint32_t index);

static void fork_process(struct maker *maker, uint32_t index)
{
    const struct process *process = &maker->restore->context->processes[index];
    /* What is shared is shared with the parent: tree_plan() has seen to that. */
    uint64_t shared = (process->files_of ? CLONE_FILES : 0) | (process->fs_of ? CLONE_FS : 0);
    pid_t pid = stub_clone_sharing(wanted_pid(maker, process->pid),
                                   process->exit_signal ? (int)process->exit_signal : SIGCHLD, shared);

    if (!pid)
        stub_main(maker, index);
    if (pid < 0)
        fail_to_fork(maker, process->pid);
    maker->restore->pids[index] = pid;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
}

/* Forks a process by a child that passes away, so that whoever adopts orphans gets it. */
static void fork_adopted(struct maker *maker, uint32_t index)
{
    pid_t passing = stub_clone(0, SIGCHLD);

    if (!passing) {
        fork_process(maker, index);
        _exit(0);
    }
    if (passing < 0)
        stub_fail_errno(maker, maker->restore->context->processes[index].pid, "fork");
    reap(passing);
}

static void fork_all(struct maker *maker, enum tree_birth birth, int parent, int session_maker)
{
    for (uint32_t i = 0; i < maker->restore->context->n_processes; i++) {
        const struct tree_node *node = &maker->tree->nodes[i];
        if (node->birth != birth || (parent >= -1 && node->parent != parent) ||
            (session_maker >= 0 && node->maker != session_maker))
            continue;
        if (birth == BIRTH_THROUGH_MEMBER || birth == BIRTH_ORPHANED)
            fork_adopted(maker, i);
        else
            fork_process(maker, i);
    }
}

#define ANY_PARENT (-2)
#define ANY_MAKER (-1)

static void leave_sigchld(void)
{
    sigset_t set;
    struct timespec now = {0};
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    while (sigtimedwait(&set, NULL, &now) > 0)
        ;
}

/* Every action to its default: what the context does not mention must not be what we had. */
static void reset_signals(void)
{
    uint64_t none[4] = {0}, all = ~0ull;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    for (int signo = 1; signo <= 64; signo++)
        syscall(SYS_rt_sigaction, signo, none, NULL, sizeof all);
}

static void take_session(struct maker *maker, const struct process *process)
{
    if (maker->restore->options.restore_sid && process->sid == process->pid && getsid(0) != getpid() && setsid() < 0)
        stub_fail_errno(maker, process->pid, "make its session");
}

/* The group's number now: its first process may have another pid than it had. */
static pid_t group_now(const struct maker *maker, int32_t pgid)
{
    pid_t now = restore_pid_now(maker->restore, pgid);
    for (uint32_t i = 0; i < maker->tree->n_helpers && !now; i++)
        if (maker->tree->helpers[i].sid == pgid)
            now = maker->shared->helpers[i];
    for (uint32_t i = 0; i < maker->tree->n_groups && !now; i++)
        if (maker->tree->groups[i].pgid == pgid)
            now = maker->shared->helpers[maker->tree->n_helpers + i];
    return now;
}

static void lead_groups(struct maker *maker, uint32_t index)
{
    const struct process *process = &maker->restore->context->processes[index];

    if (!maker->restore->options.restore_pgid)
        return;
    if (process->pgid == process->pid && getpgrp() != getpid() && setpgid(0, 0) < 0)
        stub_fail_errno(maker, process->pid, "lead its process group");
    for (uint32_t i = 0; i < maker->tree->n_groups; i++) {
        const struct tree_group *group = &maker->tree->groups[i];
        if (group->maker != (int)index)
            continue;
        pid_t leader = stub_clone(wanted_pid(maker, group->pgid), SIGCHLD);
        if (leader < 0)
            fail_to_fork(maker, group->pgid);
        if (!leader) {
            if (setpgid(0, 0) < 0)
                stub_fail_errno(maker, group->pgid, "lead a process group");
            for (uint32_t open; (open = atomic_load(&maker->shared->open)) < STAGE_JOINED;) {
                futex_wait(&maker->shared->open, open);
                if (atomic_load(&maker->shared->failed) || kill(maker->builder, 0) < 0)
                    _exit(1);
            }
            _exit(0);
        }
        if (setpgid(leader, leader) < 0)
            stub_fail_errno(maker, group->pgid, "lead a process group");
        maker->shared->helpers[maker->tree->n_helpers + i] = leader;
    }
}

static void join_group(struct maker *maker, const struct process *process)
{
    if (!maker->restore->options.restore_pgid || process->pgid <= 0 || process->pgid == process->pid)
        return;
    pid_t group = group_now(maker, process->pgid);
    if (group && getpgrp() != group && setpgid(0, group) < 0)
        stub_fail_errno(maker, process->pid, "join its process group");
}

static void reap_group_leaders(struct maker *maker, uint32_t index)
{
    for (uint32_t i = 0; i < maker->tree->n_groups && maker->restore->options.restore_pgid; i++)
        if (maker->tree->groups[i].maker == (int)index)
            reap(maker->shared->helpers[maker->tree->n_helpers + i]);
}

static _Noreturn void end_as_zombie(const struct process *process)
{
    struct rlimit no_core = {0, 0};
    uint64_t none = 0;

    if (process->command_line)
        prctl(PR_SET_NAME, process->command_line);
    if (WIFSIGNALED(process->exit_status)) {
        setrlimit(RLIMIT_CORE, &no_core);
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
        kill(getpid(), WTERMSIG(process->exit_status));
    }
    syscall(SYS_exit_group, WEXITSTATUS(process->exit_status));
    __builtin_unreachable();
}

/* Children that are to be zombies have to be it before their parent goes on, and their SIGCHLD was long ago. */
static void await_zombies(struct maker *maker, uint32_t index)
{
    siginfo_t info;
    for (uint32_t i = 0; i < maker->restore->context->n_processes; i++)
        if (maker->tree->nodes[i].parent == (int)index && maker->restore->context->processes[i].state == PROCESS_ZOMBIE)
            waitid(P_PID, (id_t)maker->restore->pids[i], &info, WEXITED | WNOWAIT | __WALL);
    leave_sigchld();
}

static void write_setting(struct maker *maker, const struct process *process, const char *name, const char *fmt,
                          long value)
{
    char path[64], text[32];
    snprintf(path, sizeof path, "/proc/self/%s", name);
    int size = snprintf(text, sizeof text, fmt, value);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t)size) != size)
        restore_note(maker->restore, "process %d: cannot set %s to %s: %s", process->pid, name, text, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* A folder that was removed while the process stood in it: made again, entered, removed. */
static int enter_removed(const char *path)
{
    char place[] = "/tmp/caesura-cwd-XXXXXX";
    char *made = NULL;

    if (mkdir(path, 0700) == 0)
        made = (char *)path;
    else
        made = mkdtemp(place);
    if (!made || chdir(made) < 0)
        return -1;
    return rmdir(made);
}

static void take_folders(struct maker *maker, const struct process *process)
{
    static const char removed[] = " (deleted)";
    char *path = restore_path(maker->restore, process->cwd);
    size_t length = path ? strlen(path) : 0, mark = sizeof removed - 1;

    if (!path)
        stub_fail_errno(maker, process->pid, "hold the name of its folder");
    if (length > mark && !strcmp(path + length - mark, removed)) {
        path[length - mark] = 0;
        if (enter_removed(path) < 0)
            stub_fail_errno(maker, process->pid, "enter its removed folder");
    } else if (chdir(path) < 0) {
        struct caesura_error error;
        error_errno(&error, errno, "process %d: cannot enter its folder %s", process->pid, path);
        error_about(&error, process->pid, -1);
        stub_fail(maker, &error);
    }
    free(path);
    /* Both names are as we see them, so the folder comes first. */
    if (strcmp(process->root, "/") != 0 && chroot(process->root) < 0)
        stub_fail_errno(maker, process->pid, "change to its root folder");
    umask((mode_t)process->umask);
}

static void take_settings(struct maker *maker, const struct process *process)
{
    char *text;
    long now = 0;

    if (!proc_read(getpid(), "oom_score_adj", &text, NULL)) {
        now = strtol(text, NULL, 10);
        free(text);
    }
    if (now != process->oom_score_adj)
        write_setting(maker, process, "oom_score_adj", "%ld", process->oom_score_adj);
    write_setting(maker, process, "coredump_filter", "0x%lx", (long)process->coredump_filter);
    prctl(PR_SET_THP_DISABLE, process->thp_disable, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, process->child_subreaper, 0, 0, 0);
}

/* The C library has told the kernel to write into its thread structure, which will be gone. */
static void forget_rseq(void)
{
    extern const ptrdiff_t __rseq_offset __attribute__((weak));
    extern const unsigned __rseq_size __attribute__((weak));
    if (&__rseq_offset && &__rseq_size && __rseq_size) {
        char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
        syscall(SYS_rseq, area, 32, 1 /* RSEQ_FLAG_UNREGISTER */, 0x53053053);
    }
}

/* The plan may have been impossible in a way that it could not see: then the restart is given up, not done wrongly. */
static void check_relations(struct maker *maker, uint32_t index)
{
    const struct restore *restore = maker->restore;
    const struct process *process = &restore->context->processes[index];
    int parent = maker->tree->nodes[index].parent;
    struct caesura_error error;

    if (parent >= 0 && getppid() != restore->pids[parent])
        error_set(&error, CAESURA_EUNSUPPORTED, "process %d cannot become a child of process %d again", process->pid,
                  process->ppid);
    else if (restore->options.restore_sid && restore->options.restore_pid && process->sid > 0 &&
             getsid(0) != process->sid)
        error_set(&error, CAESURA_EUNSUPPORTED, "process %d cannot get into session %d again", process->pid,
                  process->sid);
    else
        return;
    error_hint(&error, "restart without --restore-sid, and report the tree that ps -ejH shows");
    error_about(&error, process->pid, -1);
    stub_fail(maker, &error);
}

static _Noreturn void stub_main(struct maker *maker, uint32_t index)
{
    struct restore *restore = maker->restore;
    const struct process *process = &restore->context->processes[index];
    struct caesura_error error;

    reset_signals();
    restore->pids[index] = getpid();
    if (process->child_subreaper)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    fork_all(maker, BIRTH_BY_PARENT_EARLY, (int)index, ANY_MAKER);
    take_session(maker, process);
    fork_all(maker, BIRTH_BY_PARENT, (int)index, ANY_MAKER);
    fork_all(maker, BIRTH_THROUGH_MEMBER, ANY_PARENT, (int)index);
    stub_arrive(maker, STAGE_BORN);
    check_relations(maker, index);
    lead_groups(maker, index);
    stub_arrive(maker, STAGE_LED);
    join_group(maker, process);
    stub_arrive(maker, STAGE_JOINED);
    if (process->state == PROCESS_ZOMBIE)
        end_as_zombie(process);
    reap_group_leaders(maker, index);
    await_zombies(maker, index);
    if (descriptors_install(restore, process, &error))
        stub_fail(maker, &error);
    stub_arrive(maker, STAGE_OPENED);
    stub_arrive(maker, STAGE_CONNECTED);
    if (descriptors_finish_needed(restore) && descriptors_finish(restore, process, &error))
        stub_fail(maker, &error);
    take_settings(maker, process);
    take_folders(maker, process);
    forget_rseq();
    stub_arrive(maker, STAGE_SET);
    for (;;)
        syscall(SYS_pause);
}

static _Noreturn void helper_main(struct maker *maker, uint32_t helper)
{
    reset_signals();
    if (setsid() < 0)
        stub_fail_errno(maker, maker->tree->helpers[helper].sid, "make its session");
    for (uint32_t i = 0; i < maker->restore->context->n_processes; i++)
        if (maker->tree->nodes[i].birth == BIRTH_THROUGH_HELPER && maker->tree->nodes[i].maker == (int)helper)
            fork_process(maker, i);
    _exit(0);
}

static void fork_roots(struct maker *maker)
{
    for (uint32_t i = 0; i < maker->tree->n_helpers; i++) {
        pid_t pid = stub_clone(wanted_pid(maker, maker->tree->helpers[i].sid), SIGCHLD);
        if (!pid)
            helper_main(maker, i);
        if (pid < 0)
            fail_to_fork(maker, maker->tree->helpers[i].sid);
        maker->shared->helpers[i] = pid;
        reap(pid);
    }
    fork_all(maker, BIRTH_BY_BUILDER, -1, ANY_MAKER);
}

static void fork_orphans(struct maker *maker)
{
    fork_all(maker, BIRTH_ORPHANED, -1, ANY_MAKER);
}

/* A stub that ended by itself without a word: killed from outside, or a defect. */
static bool stub_missing(const struct maker *maker)
{
    const struct restore *restore = maker->restore;
    for (uint32_t i = 0; i < restore->context->n_processes; i++) {
        struct proc_stat stat;
        if (restore->pids[i] > 0 && restore->context->processes[i].state != PROCESS_ZOMBIE &&
            (proc_stat(restore->pids[i], &stat) || stat.state == 'Z' || stat.state == 'X'))
            return true;
    }
    return false;
}

static int await(struct maker *maker, enum stage stage, uint32_t count, struct caesura_error *err)
{
    struct stub_shared *shared = maker->shared;

    for (uint32_t arrived; (arrived = atomic_load(&shared->arrived)) < count;) {
        futex_wait(&shared->arrived, arrived);
        if (!atomic_load(&shared->failed) && atomic_load(&shared->arrived) == arrived && stub_missing(maker) &&
            !atomic_load(&shared->failed))
            return error_set(err, CAESURA_ERSTRTABRT,
                             "a process of the restart was killed while it was built (stage %d)", stage);
        if (atomic_load(&shared->failed)) {
            while (atomic_load(&shared->failed) != 2)
                syscall(SYS_sched_yield);
            if (err)
                *err = shared->error;
            return -shared->error.code;
        }
    }
    atomic_store(&shared->arrived, 0);
    if (stage != STAGE_SET) {
        atomic_store(&shared->open, stage);
        futex_wake(&shared->open);
    }
    return 0;
}

static int share(struct maker *maker, struct caesura_error *err)
{
    uint32_t processes = maker->restore->context->n_processes;
    size_t size = sizeof *maker->shared + (maker->tree->n_helpers + maker->tree->n_groups) * sizeof(pid_t);

    maker->shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    maker->shared_size = size;
    maker->restore->pids =
        mmap(NULL, processes * sizeof(pid_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (maker->shared == MAP_FAILED || maker->restore->pids == MAP_FAILED)
        return error_errno(err, errno, "cannot map memory for the restart");
    return 0;
}

/*
 * The builder forks no process itself, since a failure ends the one that forks: a child does, passes away, and whoever
 * adopts orphans gets what it has forked: the builder if adopt is set, else the host's init.
 */
static int pass(struct maker *maker, bool adopt, void (*fork_them)(struct maker *), struct caesura_error *err)
{
    prctl(PR_SET_CHILD_SUBREAPER, adopt);
    pid_t passing = stub_clone(0, SIGCHLD);
    if (!passing) {
        fork_them(maker);
        _exit(0);
    }
    int rc = passing < 0 ? error_errno(err, errno, "cannot fork") : 0;
    if (!rc)
        reap(passing);
    return rc;
}

int stubs_make(struct restore *restore, const struct tree *tree, struct caesura_error *err)
{
    struct maker maker = {.restore = restore, .tree = tree, .builder = getpid()};
    uint32_t all = restore->context->n_processes, living = 0;
    int rc = share(&maker, err);

    if (rc)
        return rc;
    for (uint32_t i = 0; i < all; i++)
        living += restore->context->processes[i].state != PROCESS_ZOMBIE;
    /* The builder stays who adopts until all are born, for some are adopted on their way. */
    rc = pass(&maker, false, fork_orphans, err);
    if (!rc)
        rc = pass(&maker, true, fork_roots, err);
    if (!rc)
        rc = await(&maker, STAGE_BORN, all, err);
    if (!rc)
        rc = await(&maker, STAGE_LED, all, err);
    if (!rc)
        rc = await(&maker, STAGE_JOINED, all, err);
    if (!rc)
        rc = await(&maker, STAGE_OPENED, living, err);
    /* All have arrived once more when they wait for this. */
    if (!rc)
        rc = descriptors_connect(restore, err);
    if (!rc)
        rc = await(&maker, STAGE_CONNECTED, living, err);
    if (!rc)
        rc = await(&maker, STAGE_SET, living, err);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    if (rc)
        stubs_kill(restore);
    munmap(maker.shared, maker.shared_size);
    return rc;
}

void stubs_kill(struct restore *restore)
{
    if (!restore->pids)
        return;
    for (uint32_t i = 0; i < restore->context->n_processes; i++)
        if (restore->pids[i] > 0)
            kill(restore->pids[i], SIGKILL);
    for (uint32_t i = 0; i < restore->context->n_processes; i++)
        if (restore->pids[i] > 0)
            reap(restore->pids[i]);
}
