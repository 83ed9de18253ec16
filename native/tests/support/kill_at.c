/*
 * kill_at.c - runs a command and kills it with SIGKILL at the beginning of its Nth system call, whatever that is.
 *
 *     kill_at N COMMAND [ARGUMENT...]
 *
 * The calls of all its threads count, those of its child processes do not. With N = 0 it runs to its end. stdout gets one
 * line: "killed" or "ended STATUS", and the number of calls. Exit status 0, or 1 if this program failed.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "kill_at: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void run_command(char **command)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        die("PTRACE_TRACEME");
    raise(SIGSTOP);
    execvp(command[0], command);
    die(command[0]);
}

/* Entries and exits of calls alternate for each thread. */
static bool is_entry(pid_t tid)
{
    struct __ptrace_syscall_info info;
    return ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

int main(int argc, char **argv)
{
    long limit = argc > 2 ? atol(argv[1]) : -1, calls = 0;
    int status;
    if (limit < 0)
        return 1;
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        run_command(argv + 2);
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        die("waitpid");
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC;
    if (ptrace(PTRACE_SETOPTIONS, pid, NULL, options) < 0)
        die("PTRACE_SETOPTIONS");
    ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    for (;;) {
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0)
            die("waitpid");
        if (!WIFSTOPPED(status)) {
            if (tid != pid)
                continue;
            printf("%s %d after %ld calls\n", WIFSIGNALED(status) ? "killed" : "ended",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), calls);
            return 0;
        }
        int signal = WSTOPSIG(status);
        if (signal == (SIGTRAP | 0x80)) {
            if (is_entry(tid) && ++calls == limit)
                kill(pid, SIGKILL);
            signal = 0;
        } else if (status >> 16 || signal == SIGSTOP) {
            signal = 0;
        }
        ptrace(PTRACE_SYSCALL, tid, NULL, signal);
    }
}
