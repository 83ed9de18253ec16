#include "supervisor/request.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void request_checkpoint(const struct supervise_request *request)
{
    const char *slash = strrchr(request->folder, '/');
    char command[PATH_MAX + 32];

    snprintf(command, sizeof command, "%s/bin/cr_checkpoint", request->prefix);
    pid_t pid = fork();
    if (pid < 0)
        fprintf(stderr, "%s: no checkpoint for the job, which asked for one: cannot fork: %s\n", request->program,
                strerror(errno));
    if (pid)
        return;
    /* As the agent: ^C at the terminal ends the job, and not the checkpoint of it first. */
    setpgid(0, 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    signals_restore(request->signals);
    execl(command, "cr_checkpoint", "--job", slash ? slash + 1 : request->folder, (char *)NULL);
    dprintf(STDERR_FILENO, "%s: cannot run %s: %s\n", request->program, command, strerror(errno));
    _exit(127);
}
