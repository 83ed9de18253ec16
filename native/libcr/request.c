/* request.c - asking for a checkpoint from within a program. */
#include "handle.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 32, WORD_BYTES = 32, PROGRAM_BYTES = sizeof libcr_prefix + 64 };

/* An argument vector whose numbers are in its own memory. */
struct words {
    char *argv[WORDS_MAX];
    char numbers[8][WORD_BYTES];
    char paths[2][PROGRAM_BYTES];
    int count, n_numbers;
};

static void add(struct words *words, const char *word)
{
    if (words->count < WORDS_MAX - 1)
        words->argv[words->count++] = (char *)(uintptr_t)word;
}

static void add_number(struct words *words, const char *option, long value)
{
    char *text = words->numbers[words->n_numbers++];

    if (option)
        add(words, option);
    snprintf(text, WORD_BYTES, "%ld", value);
    add(words, text);
}

EXPORTED int cri_init_checkpoint_args_t(cr_version_t version, cr_checkpoint_args_t *args)
{
    if (version != CR_CHECKPOINT_ARGS_VERSION || !args)
        return libcr_fail(EINVAL);
    *args = (cr_checkpoint_args_t){.cr_version = version, .cr_scope = (cr_scope_t)-1, .cr_fd = -1};
    return 0;
}

static pid_t target_of(const cr_checkpoint_args_t *args)
{
    if (args->cr_target)
        return args->cr_target;
    return args->cr_scope == CR_SCOPE_PGRP ? getpgrp() : args->cr_scope == CR_SCOPE_SESS ? getsid(0) : getpid();
}

static bool is_self(const cr_checkpoint_args_t *args, pid_t target)
{
    return target == (args->cr_scope == CR_SCOPE_PGRP   ? getpgrp()
                      : args->cr_scope == CR_SCOPE_SESS ? getsid(0)
                                                        : getpid());
}

/* What can be known without the engine. */
static int check(const cr_checkpoint_args_t *args)
{
    const unsigned flags = CR_CHKPT_PROHIBIT_SELF | CR_CHKPT_PTRACED_ALLOW | CR_CHKPT_PTRACED_SKIP |
                           CR_CHKPT_PTRACER_SKIP | CR_CHKPT_ASYNC_ERR | CR_CHKPT_DUMP_ALL;

    if (args->cr_version != CR_CHECKPOINT_ARGS_VERSION || (int)args->cr_scope < CR_SCOPE_PROC ||
        (int)args->cr_scope > CR_SCOPE_TREE || args->cr_target < 0 || args->cr_signal < 0 || args->cr_signal >= _NSIG ||
        (args->cr_flags & ~flags))
        return libcr_fail(EINVAL);
    if (args->cr_flags & CR_CHKPT_ASYNC_ERR)
        return 0;
    if (args->cr_fd != CR_DEST_CWD) {
        int mode = fcntl(args->cr_fd, F_GETFL);
        if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY)
            return libcr_fail(EBADF);
    }
    pid_t target = target_of(args);
    if (is_self(args, target))
        return args->cr_flags & CR_CHKPT_PROHIBIT_SELF ? libcr_fail(EDEADLK) : 0;
    /* Of a session only the engine knows the members. */
    if (args->cr_scope != CR_SCOPE_SESS && kill(args->cr_scope == CR_SCOPE_PGRP ? -target : target, 0) < 0)
        return -1;
    return 0;
}

static void build_words(const cr_checkpoint_args_t *args, const struct request *request, struct words *words)
{
    static const char *const scopes[] = {"--pid", "--pgid", "--sid", "--tree"};
    static const struct {
        unsigned flag;
        const char *option;
    } flags[] = {{CR_CHKPT_PROHIBIT_SELF, "--prohibit-self"}, {CR_CHKPT_PTRACED_ALLOW, "--ptraced-allow"},
                 {CR_CHKPT_PTRACED_SKIP, "--ptraced-skip"},   {CR_CHKPT_PTRACER_SKIP, "--ptracer-skip"},
                 {CR_CHKPT_DUMP_EXEC, "--save-exe"},          {CR_CHKPT_DUMP_PRIVATE, "--save-private"},
                 {CR_CHKPT_DUMP_SHARED, "--save-shared"}};

    snprintf(words->paths[0], PROGRAM_BYTES, "%s/libexec/caesura/cr-request", libcr_prefix);
    snprintf(words->paths[1], PROGRAM_BYTES, "%s/bin/cr_checkpoint", libcr_prefix);
    add(words, words->paths[0]);
    add(words, "checkpoint");
    add(words, request->path);
    add_number(words, NULL, args->cr_fd == CR_DEST_CWD ? -1 : args->cr_fd);
    add(words, words->paths[1]);
    add(words, scopes[args->cr_scope]);
    if (args->cr_fd == CR_DEST_CWD) {
        add(words, "--cwd");
    } else {
        add(words, "-F");
        add(words, "%");
    }
    if (args->cr_signal)
        add_number(words, "--signal", args->cr_signal);
    if (args->cr_timeout)
        add_number(words, "--time", args->cr_timeout);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (args->cr_flags & flags[i].flag)
            add(words, flags[i].option);
    add_number(words, "--requester", getpid());
    add_number(words, NULL, target_of(args));
}

EXPORTED int cr_request_checkpoint(cr_checkpoint_args_t *args, cr_checkpoint_handle_t *handle)
{
    struct words *words;
    pid_t child = 0;
    int status = 0;

    if (!args || !handle)
        return libcr_fail(EINVAL);
    if (check(args) < 0)
        return -1;
    struct request *request = request_new(false, handle);
    if (!request)
        return -1;
    if (!(words = calloc(1, sizeof *words))) {
        request_free(request);
        return libcr_fail(ENOMEM);
    }
    build_words(args, request, words);
    int rc = process_start(words->argv, args->cr_fd == CR_DEST_CWD ? -1 : args->cr_fd, true, &child);
    free(words);
    if (child > 0)
        while (waitpid(child, &status, __WALL) < 0 && errno == EINTR)
            ;
    if (rc < 0 || status) {
        request_free(request);
        return libcr_fail(rc < 0 ? -rc : EAGAIN);
    }
    return 0;
}

EXPORTED int cr_wait_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout)
{
    struct request *request = request_of(handle, false);
    return request ? request_wait(request, timeout) : -1;
}

EXPORTED int cr_log_checkpoint(cr_checkpoint_handle_t *handle, unsigned int length, char *buffer)
{
    struct request *request = request_of(handle, false);
    return request ? request_log(request, length, buffer) : -1;
}

/* Frees a request that is over; *child is who carried out a restart. Returns -1 with errno if it is not over, or not there. */
static int finish(struct request *request, pid_t *child, int *status)
{
    if (!request)
        return -1;
    bool restarted = control_load(restarts) != request->restarts;
    if (!restarted && !request_status(request, status))
        return libcr_fail(EAGAIN);
    *child = request->child;
    request_free(request);
    return restarted ? libcr_fail(CR_ERESTARTED) : 0;
}

EXPORTED int cr_reap_checkpoint(cr_checkpoint_handle_t *handle)
{
    pid_t child = 0;
    int status = 0;

    if (finish(request_of(handle, false), &child, &status) < 0)
        return -1;
    return status ? libcr_fail(request_errno(status)) : 1;
}

/* Wait, log, reap: the same for both kinds. */
static int poll_request(unsigned long *handle, struct timeval *timeout, char **message, bool restart)
{
    struct request *request = request_of(handle, restart);

    if (message)
        *message = NULL;
    if (!request)
        return CR_POLL_CHKPT_ERR_PRE;
    int rc = request_wait(request, timeout);
    if (rc <= 0)
        return rc < 0 ? CR_POLL_CHKPT_ERR_PRE : 0;
    int length = message ? request_log(request, 0, NULL) : 0;
    bool no_memory = length > 0 && !(*message = malloc((size_t)length));
    if (length > 0 && !no_memory)
        request_log(request, (unsigned)length, *message);
    rc = restart ? cr_reap_restart(handle) : cr_reap_checkpoint(handle);
    if (rc < 0)
        return CR_POLL_CHKPT_ERR_POST;
    return no_memory ? CR_POLL_CHKPT_ERR_LOG : rc;
}

EXPORTED int cr_poll_checkpoint_msg(cr_checkpoint_handle_t *handle, struct timeval *timeout, char **message)
{
    return poll_request(handle, timeout, message, false);
}

EXPORTED int cr_poll_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout)
{
    return poll_request(handle, timeout, NULL, false);
}

/* ---- the old calls ---- */

EXPORTED void cr_request_fd(int fd)
{
    cr_checkpoint_args_t args;
    cr_checkpoint_handle_t handle;

    cr_initialize_checkpoint_args_t(&args);
    args.cr_scope = CR_SCOPE_PROC;
    args.cr_fd = fd;
    if (cr_request_checkpoint(&args, &handle) < 0)
        abort();
    int rc;
    while ((rc = cr_poll_checkpoint(&handle, NULL)) == CR_POLL_CHKPT_ERR_PRE && errno == EINTR)
        ;
    if (rc < 0 && !(rc == CR_POLL_CHKPT_ERR_POST && errno == CR_ERESTARTED))
        abort();
}

EXPORTED void cr_request_file(const char *filename)
{
    int fd = open(filename, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        abort();
    cr_request_fd(fd);
    close(fd);
}

EXPORTED void cr_request(void)
{
    char name[32];

    snprintf(name, sizeof name, "context.%d", (int)getpid());
    cr_request_file(name);
}

/* ---- restarts ---- */

EXPORTED int cri_init_restart_args_t(cr_version_t version, cr_restart_args_t *args)
{
    if (version != CR_RESTART_ARGS_VERSION || !args)
        return libcr_fail(EINVAL);
    *args = (cr_restart_args_t){.cr_version = version, .cr_fd = -1, .cr_flags = CR_RSTRT_RESTORE_PID};
    return 0;
}

/* A path in an argument of --relocate. */
static char *escape(char *out, const char *path)
{
    for (; *path; path++) {
        if (*path == '=' || *path == '\\')
            *out++ = '\\';
        *out++ = *path;
    }
    return out;
}

static char *relocation(const struct cr_rstrt_relocate_pair *pair)
{
    char *text = malloc(2 * (strlen(pair->oldpath) + strlen(pair->newpath)) + 2);

    if (text) {
        char *at = escape(text, pair->oldpath);
        *at++ = '=';
        *escape(at, pair->newpath) = 0;
    }
    return text;
}

static int start_restart(const cr_restart_args_t *args, struct request *request)
{
    unsigned relocations = args->cr_relocate ? args->cr_relocate->count : 0;
    char program[PROGRAM_BYTES], command[PROGRAM_BYTES], number[WORD_BYTES], signal[WORD_BYTES],
        hook[sizeof request->path + 64];
    char *moved[CR_MAX_RSTRT_RELOC] = {0}, *argv[16 + 2 * CR_MAX_RSTRT_RELOC];
    int n = 0, rc = 0;

    snprintf(program, sizeof program, "%s/libexec/caesura/cr-request", libcr_prefix);
    snprintf(command, sizeof command, "%s/bin/cr_restart", libcr_prefix);
    snprintf(number, sizeof number, "%d", args->cr_fd);
    snprintf(signal, sizeof signal, "--signal=%d", args->cr_signal);
    snprintf(hook, sizeof hook, "--run-on-success=echo 0 > '%s'", request->path);
    char *head[] = {program, "restart", request->path, number, command, "-F", "%", hook};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        argv[n++] = head[i];
    argv[n++] = args->cr_flags & CR_RSTRT_RESTORE_PID ? "--restore-pid" : "--no-restore-pid";
    argv[n++] = args->cr_flags & CR_RSTRT_RESTORE_PGID ? "--restore-pgid" : "--no-restore-pgid";
    argv[n++] = args->cr_flags & CR_RSTRT_RESTORE_SID ? "--restore-sid" : "--no-restore-sid";
    if (args->cr_signal)
        argv[n++] = signal;
    for (unsigned i = 0; i < relocations && !rc; i++) {
        argv[n++] = "--relocate";
        argv[n++] = moved[i] = relocation(&args->cr_relocate->path[i]);
        rc = moved[i] ? 0 : -ENOMEM;
    }
    argv[n] = NULL;
    if (!rc)
        rc = process_start(argv, args->cr_fd, false, &request->child);
    for (unsigned i = 0; i < relocations; i++)
        free(moved[i]);
    return rc;
}

EXPORTED int cr_request_restart(cr_restart_args_t *args, cr_restart_handle_t *handle)
{
    const unsigned flags = CR_RSTRT_ASYNC_ERR | CR_RSTRT_RESTORE_PID | CR_RSTRT_RESTORE_PGID | CR_RSTRT_RESTORE_SID;

    if (!args || !handle || args->cr_version != CR_RESTART_ARGS_VERSION || args->cr_signal < 0 ||
        args->cr_signal >= _NSIG || (args->cr_flags & ~flags) ||
        (args->cr_relocate && args->cr_relocate->count > CR_MAX_RSTRT_RELOC))
        return libcr_fail(EINVAL);
    int mode = fcntl(args->cr_fd, F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_WRONLY)
        return libcr_fail(EBADF);
    struct request *request = request_new(true, handle);
    if (!request)
        return -1;
    int rc = start_restart(args, request);
    if (rc < 0) {
        if (request->child > 0)
            waitpid(request->child, NULL, 0);
        request_free(request);
        return libcr_fail(-rc);
    }
    return 0;
}

EXPORTED int cr_wait_restart(cr_restart_handle_t *handle, struct timeval *timeout)
{
    struct request *request = request_of(handle, true);
    return request ? request_wait(request, timeout) : -1;
}

EXPORTED int cr_log_restart(cr_restart_handle_t *handle, unsigned int length, char *buffer)
{
    struct request *request = request_of(handle, true);
    return request ? request_log(request, length, buffer) : -1;
}

EXPORTED int cr_reap_restart(cr_restart_handle_t *handle)
{
    pid_t child = 0;
    int status = 0;

    if (finish(request_of(handle, true), &child, &status) < 0)
        return -1;
    if (!status)
        return (int)child;
    waitpid(child, NULL, 0);
    return libcr_fail(request_errno(status));
}

EXPORTED int cr_poll_restart_msg(cr_restart_handle_t *handle, struct timeval *timeout, char **message)
{
    return poll_request(handle, timeout, message, true);
}

EXPORTED int cr_poll_restart(cr_restart_handle_t *handle, struct timeval *timeout)
{
    return poll_request(handle, timeout, NULL, true);
}
