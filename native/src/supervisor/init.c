#include "supervisor/init.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/channel.h"
#include "supervisor/inherited.h"

/* Returns whether root has ended. A report that cannot be sent is noticed by the caller's poll(). */
static bool reap_all(pid_t root, int channel)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED | __WALL)) > 0) {
        if (pid != root)
            continue;
        if (WIFSTOPPED(status))
            channel_send(channel, CHANNEL_STOPPED, status, -1);
        else if (WIFCONTINUED(status))
            channel_send(channel, CHANNEL_CONTINUED, status, -1);
        else {
            channel_send(channel, CHANNEL_ENDED, status, -1);
            return true;
        }
    }
    return false;
}

static int announce(pid_t root, int channel)
{
    int pidfd = (int)syscall(SYS_pidfd_open, root, 0);

    if (pidfd < 0)
        return -errno;
    int result = channel_send(channel, CHANNEL_ROOT, 0, pidfd);
    close(pidfd);
    return result;
}

int init_reap_until(pid_t root, int channel)
{
    struct signalfd_siginfo info;
    sigset_t child;
    int result;

    inherited_detach(STDERR_FILENO);
    inherited_close(&channel, 1);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigaddset(&child, SIGURG); /* blocked, so that it reaches pid 1 of a namespace from within */
    sigprocmask(SIG_BLOCK, &child, NULL);
    if ((result = announce(root, channel)) < 0)
        return result;
    int signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return -errno;
    while (!reap_all(root, channel)) {
        struct pollfd entries[2] = {{.fd = signals, .events = POLLIN}, {.fd = channel}};
        if (poll(entries, 2, -1) < 0 && errno != EINTR) {
            result = -errno;
            break;
        }
        if (entries[1].revents) { /* only POLLHUP and POLLERR are possible: the supervisor is gone */
            result = -EPIPE;
            break;
        }
        while (read(signals, &info, sizeof info) == sizeof info)
            if (info.ssi_signo == SIGURG)
                channel_send(channel, CHANNEL_REQUEST, 0, -1);
    }
    close(signals);
    return result;
}

int init_fail(int channel, const struct caesura_error *err)
{
    return channel_send_error(channel, err);
}

int init_run(int channel, init_start_fn start, void *data)
{
    struct caesura_error err = {0};
    pid_t root;

    if (start(data, &root, &err) < 0) {
        init_fail(channel, &err);
        return 1;
    }
    return init_reap_until(root, channel) == 0 ? 0 : 1;
}
