/*
 * sig_stopped.c - a stopped child stays stopped, its stop is reported if it was not yet, and SIGCONT lets it go on.
 * Cases: reported unreported tstp threads
 */
#include <pthread.h>

#include "victim.h"

static _Atomic int running;

static void *thread(void *unused)
{
    running++;
    wait_go();
    await_mark("continued");
    return unused;
}

static void child(int signo, bool threads)
{
    pthread_t all[3];
    for (int i = 0; threads && i < 3; i++)
        need(pthread_create(&all[i], NULL, thread, NULL) == 0);
    while (threads && running < 3)
        victim_nap();
    /* SIGTSTP stops only where a parent in another group of the session could let us go on. */
    need(setpgid(0, 0) == 0);
    raise(signo);
    announce("mark.continued", 1);
    for (int i = 0; threads && i < 3; i++)
        pthread_join(all[i], NULL);
    exit(victim_failures ? 1 : 5);
}

int main(int argc, char **argv)
{
    int signo = is_case(argc, argv, "tstp") ? SIGTSTP : SIGSTOP, status = 0;
    bool unreported = !is_case(argc, argv, "reported");
    pid_t pid = fork_child();
    if (pid == 0)
        child(signo, is_case(argc, argv, "threads"));
    need(await_state(pid, 'T'));
    if (!unreported)
        need(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    ready();
    wait_go();

    same("state of the child", process_state(pid), 'T');
    check(!is_there("mark.continued"), "the child has run");
    if (unreported) {
        check(waitpid(pid, &status, WUNTRACED | WNOHANG) == pid, "the stop is not reported");
        check(WIFSTOPPED(status) && WSTOPSIG(status) == signo, "the stop is reported as %#x", status);
    } else {
        check(waitpid(pid, &status, WUNTRACED | WNOHANG) == 0, "the stop is reported again");
    }
    kill(pid, SIGCONT);
    check(waitpid(pid, &status, 0) == pid, "waitpid: %s", strerror(errno));
    check(WIFEXITED(status) && WEXITSTATUS(status) == 5, "the child ended with %#x", status);
    finish();
}
