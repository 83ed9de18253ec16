/* install.c - the arguments of plugstack.conf, and where the installed tree is. */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

#define PLACE "/lib/slurm/" /* of this library below the prefix */

/* From this library's own path, links followed, so that the tree can be moved and Slurm's plugin folder may hold a link. */
static void from_own_path(struct plugin_install *install)
{
    char path[PATH_MAX];
    Dl_info self;

    if (!dladdr((void *)from_own_path, &self) || !self.dli_fname || !realpath(self.dli_fname, path)) {
        snprintf(install->why, sizeof install->why,
                 "the plugin's own path is not known; give prefix= in plugstack.conf");
        return;
    }
    char *name = strrchr(path, '/');
    char *place = name - strlen(PLACE) + 1;
    if (place <= path || strncmp(place, PLACE, strlen(PLACE)) != 0) {
        snprintf(install->why, sizeof install->why,
                 "the plugin is not in the lib/slurm folder of an installation; give prefix= in plugstack.conf");
        return;
    }
    snprintf(install->prefix, sizeof install->prefix, "%.*s", (int)(place - path), path);
}

/* The signals that users and sites may give a meaning to; 0 for any other. */
static int signal_number(const char *name)
{
    if (strcmp(name, "USR1") == 0)
        return SIGUSR1;
    return strcmp(name, "USR2") == 0 ? SIGUSR2 : 0;
}

void install_read(int argc, char **argv, bool complain, struct plugin_install *install)
{
    void (*log)(const char *, ...) = complain ? slurm_error : slurm_verbose;
    const char *prefix = NULL;

    *install = (struct plugin_install){0};
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "prefix=/", 8) == 0 && strlen(argv[i]) < sizeof install->prefix / 2)
            prefix = argv[i] + 7;
        else if (strncmp(argv[i], "warning-signal=", 15) == 0 && signal_number(argv[i] + 15) != 0)
            install->warning_signal = signal_number(argv[i] + 15);
        else
            log("caesura: argument in plugstack.conf ignored: %s (known: prefix=/FOLDER, warning-signal=USR1|USR2)",
                argv[i]);
    }
    if (prefix)
        snprintf(install->prefix, sizeof install->prefix, "%s", prefix);
    else
        from_own_path(install);
}
