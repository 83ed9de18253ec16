/*
 * main.c - the native front of the engine: bin/cr_checkpoint, cr_restart, cr_info and cr_job are this one
 * program.
 *
 * It stays small and plain on purpose. As cr_checkpoint it may be part of the scope that it asks to checkpoint, so it waits
 * in nothing but waitpid(), with two descriptors less than a clever program would have.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "jvm/jvm.h"
#include "launcher/plan.h"
#include "supervisor/signals.h"

static volatile pid_t engine;
static const char *program = "caesura";

static int complain(const struct caesura_error *err)
{
    fprintf(stderr, "%s: %s\n", program, err->message);
    if (*err->remedy)
        fprintf(stderr, "%s: hint: %s\n", program, err->remedy);
    return err->code;
}

/*
 * The terminal's signals reach java too, which is in our process group; what somebody sends to us alone is passed on. What
 * java itself sent is the signal of `cr_checkpoint --term` for every process of the scope: it is meant for us, and
 * java must live to finish the context.
 */
static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code == SI_KERNEL)
        return;
    if (engine > 0 && info->si_pid != engine && info->si_pid != getpid()) {
        kill(engine, number);
        return;
    }
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
    kill(getpid(), number);
}

static void watch_signals(void)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART}, before;
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) /* nohup */
            sigaction(numbers[i], &action, NULL);
    }
}

/* Forks java. plan is the descriptor for the plan of a restart, or -1. Returns 0 or a negated code. */
static int start_engine(const struct jvm_call *call, const struct signal_state *before, struct caesura_error *err)
{
    sigset_t all, mask;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &mask); /* or a signal could come before there is somebody to pass it on to */
    pid_t pid = fork();
    if (pid == 0) {
        signals_restore(before);
        jvm_exec(call, err);
        _exit(complain(err));
    }
    if (pid < 0) {
        sigprocmask(SIG_SETMASK, &mask, NULL);
        return error_errno(err, errno, "cannot fork for the engine");
    }
    engine = pid;
    watch_signals();
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return 0;
}

/* The wait status of java; 0 if this process is the restored copy of a launcher, which has no child. */
static int wait_for_engine(void)
{
    int status;

    while (waitpid(engine, &status, 0) < 0)
        if (errno == ECHILD)
            return 0;
    return status;
}

static int run_checkpoint(struct jvm_call *call, const struct signal_state *before)
{
    struct caesura_error err;

    if (start_engine(call, before, &err) < 0)
        return complain(&err);
    exit_as(wait_for_engine());
}

static int run_restart(struct jvm_call *call, const struct signal_state *before)
{
    struct caesura_error err;
    struct plan plan = {0};
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) {
        error_errno(&err, errno, "cannot make a pipe");
        return complain(&err);
    }
    call->fd_variable = JVM_PLAN_FD;
    call->fd = ends[1];
    if (start_engine(call, before, &err) < 0)
        return complain(&err);
    close(ends[1]);
    int result = plan_read(ends[0], &plan, &err);
    close(ends[0]);
    int status = wait_for_engine();
    if (status != 0)
        exit_as(status);
    if (result < 0)
        return complain(&err);
    if (plan.count == 0)
        return 0; /* --help and the like */
    signals_restore(before);
    plan_exec(&plan, call->prefix, &err);
    return complain(&err);
}

static int run_alone(struct jvm_call *call, const struct signal_state *before)
{
    struct caesura_error err;

    signals_restore(before);
    jvm_exec(call, &err);
    return complain(&err);
}

static const struct {
    const char *name;
    int (*run)(struct jvm_call *call, const struct signal_state *before);
} commands[] = {
    {"cr_checkpoint", run_checkpoint},
    {"cr_restart", run_restart},
    {"cr_info", run_alone},
    {"cr_job", run_alone},
};

int main(int argc, char **argv)
{
    struct signal_state before;
    struct caesura_error err;
    struct jvm jvm;
    char prefix[PATH_MAX];

    signals_take(&before);
    if (argc > 0)
        program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(program, commands[i].name) != 0)
            continue;
        if (jvm_prefix(prefix, sizeof prefix, &err) < 0 || jvm_find(&jvm, &err) < 0)
            return complain(&err);
        struct jvm_call call = {
            .jvm = &jvm, .prefix = prefix, .command = program, .arguments = argv + 1, .fd = -1, .launcher = getpid()};
        return commands[i].run(&call, &before);
    }
    fprintf(stderr, "%s: call this program by the name of a command: cr_checkpoint, cr_restart, cr_info, cr_job\n",
            program);
    return CAESURA_EUSAGE;
}
