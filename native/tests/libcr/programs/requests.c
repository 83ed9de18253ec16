/* requests.c - asking for checkpoints and restarts from within. The first argument says which, the second is a context. */
#include <dirent.h>

#include "events.h"

static int count_fds(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    need(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static cr_checkpoint_args_t arguments(cr_scope_t scope, pid_t target, int fd)
{
    cr_checkpoint_args_t args;
    need(cr_initialize_checkpoint_args_t(&args) == 0);
    args.cr_scope = scope;
    args.cr_target = target;
    args.cr_fd = fd;
    return args;
}

static int create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    need(fd >= 0);
    return fd;
}

/* Of oneself, with a callback, into a file that is open here all the time. */
static void self(const char *context)
{
    cr_checkpoint_handle_t handle;
    char *message = NULL;
    callback(say, "S", CR_SIGNAL_CONTEXT);
    int fd = create(context);
    cr_checkpoint_args_t args = arguments(CR_SCOPE_PROC, 0, fd);
    int before = count_fds();
    need(cr_request_checkpoint(&args, &handle) == 0);
    same("descriptors", count_fds(), before);
    int rc;
    while ((rc = cr_poll_checkpoint_msg(&handle, NULL, &message)) == CR_POLL_CHKPT_ERR_PRE && errno == EINTR)
        ;
    if (rc == CR_POLL_CHKPT_ERR_POST)
        event("%s", errno == CR_ERESTARTED ? "restarted" : cr_strerror(errno));
    else
        event("taken %d", rc);
    if (message)
        event("message %s", message);
    free(message);
    close(fd);
    ready();
    wait_go();
    same("children", waitpid(-1, NULL, WNOHANG), -1);
}

/* By the old call, which returns when it is taken, and in the restarted one. */
static void old_call(const char *context)
{
    callback(say, "S", CR_SIGNAL_CONTEXT);
    if (*context)
        cr_request_file(context);
    else
        cr_request();
    event("back");
    ready();
    wait_go();
}

/* Of another process, step by step; then one that is refused, with its message. */
static void other(const char *context)
{
    cr_checkpoint_handle_t handle;
    struct timeval now = {0};
    char text[4096];
    pid_t child = fork_child();
    if (!child) {
        wait_go();
        _exit(0);
    }
    int fd = create(context);
    cr_checkpoint_args_t args = arguments(CR_SCOPE_TREE, child, fd);
    args.cr_timeout = 60;
    args.cr_flags = CR_CHKPT_PROHIBIT_SELF;
    need(cr_request_checkpoint(&args, &handle) == 0);
    check(cr_reap_checkpoint(&handle) == -1 && errno == EAGAIN, "reaped at once: %s", cr_strerror(errno));
    same("wait without waiting", cr_wait_checkpoint(&handle, &now), 0);
    same("poll without waiting", cr_poll_checkpoint(&handle, &now), 0);
    int waited = cr_wait_checkpoint(&handle, NULL);
    check(waited > 0, "wait: %s", cr_strerror(errno));
    check(cr_wait_checkpoint(&handle, NULL) > 0, "wait again: %s", cr_strerror(errno));
    check(cr_log_checkpoint(&handle, 0, NULL) >= 0, "log: %s", cr_strerror(errno));
    check(cr_reap_checkpoint(&handle) > 0, "reap: %s", cr_strerror(errno));
    check(cr_reap_checkpoint(&handle) == -1 && errno == EINVAL, "reaped twice");
    check(lseek(fd, 0, SEEK_END) > 0, "nothing was written");
    close(fd);

    /* Into our working folder. */
    char name[64];
    args = arguments(CR_SCOPE_PROC, child, CR_DEST_CWD);
    args.cr_flags = CR_CHKPT_DUMP_ALL;
    need(cr_request_checkpoint(&args, &handle) == 0);
    check(cr_poll_checkpoint(&handle, NULL) > 0, "poll: %s", cr_strerror(errno));
    snprintf(name, sizeof name, "context.%d", (int)child);
    check(access(name, F_OK) == 0, "there is no %s", name);

    /* Nobody has a session of that number: only the engine finds out. */
    args = arguments(CR_SCOPE_SESS, 4000000, CR_DEST_CWD);
    need(cr_request_checkpoint(&args, &handle) == 0);
    need(cr_wait_checkpoint(&handle, NULL) > 0);
    int length = cr_log_checkpoint(&handle, 0, NULL);
    check(length > 1 && length < (int)sizeof text, "length of the log: %d", length);
    same("log", cr_log_checkpoint(&handle, sizeof text, text), length);
    check(strstr(text, "4000000") != NULL && (int)strlen(text) == length - 1, "log: %s", text);
    check(cr_reap_checkpoint(&handle) == -1 && errno == ESRCH, "reap: %s", cr_strerror(errno));

    /* Its own tree, and the child with it: asynchronous errors come at the end. */
    args = arguments(CR_SCOPE_TREE, child, 12345);
    args.cr_flags = CR_CHKPT_ASYNC_ERR;
    need(cr_request_checkpoint(&args, &handle) == 0);
    check(cr_poll_checkpoint(&handle, NULL) == CR_POLL_CHKPT_ERR_POST && errno == EBADF, "%s", cr_strerror(errno));
    event("done");
    ready();
    wait_go();
    reap(child);
}

static pid_t outsider;

static int pull_in(void *unused)
{
    (void)unused;
    event("forward %d", cr_forward_checkpoint(CR_SCOPE_PROC, outsider));
    cr_checkpoint(CR_CHECKPOINT_READY);
    return 0;
}

/* The requester may not be in it, not even when somebody else's callback pulls it in. */
static void prohibited(const char *context)
{
    cr_checkpoint_handle_t handle;
    outsider = getpid();
    pid_t child = fork_child();
    if (!child) {
        need(cr_init() >= 0);
        callback(pull_in, "", CR_THREAD_CONTEXT);
        mark("child");
        wait_go();
        _exit(0);
    }
    await_mark("child");
    cr_checkpoint_args_t args = arguments(CR_SCOPE_PROC, child, create(context));
    args.cr_flags = CR_CHKPT_PROHIBIT_SELF;
    need(cr_request_checkpoint(&args, &handle) == 0);
    check(cr_poll_checkpoint(&handle, NULL) == CR_POLL_CHKPT_ERR_POST && errno == EDEADLK, "%s", cr_strerror(errno));
    event("done");
    ready();
    wait_go();
    reap(child);
}

/* A checkpoint of a child, its end, and its restart as a child of ours. */
static void restart(const char *context)
{
    cr_checkpoint_handle_t handle;
    cr_restart_handle_t again;
    cr_restart_args_t args;
    int status;
    pid_t child = fork_child();
    if (!child) {
        need(setsid() > 0);
        need(open("moved", O_WRONLY | O_CREAT, 0644) >= 0);
        mark("child");
        wait_go();
        _exit(7);
    }
    await_mark("child");
    int fd = create(context);
    cr_checkpoint_args_t taken = arguments(CR_SCOPE_TREE, child, fd);
    taken.cr_signal = SIGKILL;
    need(cr_request_checkpoint(&taken, &handle) == 0);
    check(cr_poll_checkpoint(&handle, NULL) > 0, "checkpoint: %s", cr_strerror(errno));
    close(fd);
    need(waitpid(child, &status, 0) == child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %x", status);

    /* What it has open has another name now. */
    need(rename("moved", "moved=here") == 0);
    struct cr_rstrt_relocate *moves = malloc(CR_RSTRT_RELOCATE_SIZE(1));
    need(moves);
    moves->count = 1;
    moves->path[0] = (struct cr_rstrt_relocate_pair){"/tmp/nothing", "/tmp/there"};
    char from[8192], to[8192];
    victim_path(from, sizeof from, "moved");
    victim_path(to, sizeof to, "moved=here");
    moves->path[0] = (struct cr_rstrt_relocate_pair){from, to};
    need(cr_initialize_restart_args_t(&args) == 0);
    args.cr_relocate = moves;
    args.cr_fd = open(context, O_RDONLY);
    need(args.cr_fd >= 0);
    int before = count_fds();
    need(cr_request_restart(&args, &again) == 0);
    same("descriptors", count_fds(), before);
    need(cr_wait_restart(&again, NULL) > 0);
    same("log", cr_log_restart(&again, 0, NULL), 0);
    pid_t root = cr_reap_restart(&again);
    check(root > 0, "restart: %s", cr_strerror(errno));
    close(args.cr_fd);
    free(moves);
    args.cr_relocate = NULL;
    event("restarted");
    ready();
    wait_go();
    need(waitpid(root, &status, 0) == root);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x", status);

    /* And one that fails: this is no context. */
    int nonsense = open("events", O_RDONLY);
    args.cr_fd = nonsense;
    need(cr_request_restart(&args, &again) == 0);
    check(cr_poll_restart(&again, NULL) == CR_POLL_RSTRT_ERR_POST && errno == EINVAL, "%s", cr_strerror(errno));
    same("children", waitpid(-1, NULL, WNOHANG), -1);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const char *);
    } cases[] = {{"self", self}, {"old", old_call}, {"other", other}, {"prohibited", prohibited}, {"restart", restart}};
    open_events();
    need(argc > 2 && cr_init() >= 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(argv[1], cases[i].name))
            cases[i].run(argv[2]);
    finish();
}
