#include "jvm/jvm.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/error.h"

enum { MAX_OPTIONS = 24, ADDED_VARIABLES = 3 };

/*
 * Variables of the job's environment that the engine does not get. The engine runs as the job's user, so this is not a
 * matter of rights: what a job preloads or wants its own Java to do must not make its checkpoints fail. LD_PRELOAD goes as
 * a whole (ours would mark the engine as a process of the job, others' profile or trace it), LD_LIBRARY_PATH because a
 * module's libz or libstdc++ would get into the JVM. Descriptor variables of an outer engine would name the wrong thing.
 */
static const char *const dropped[] = {"LD_PRELOAD",          "LD_LIBRARY_PATH",   "LD_AUDIT",         "LD_DEBUG",
                                      "LD_DEBUG_OUTPUT",     "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS",
                                      "CLASSPATH",           JVM_PLAN_FD,         JVM_AGENT_FD,       "CAESURA_PREFIX",
                                      "CAESURA_LAUNCHER_PID"};

int jvm_prefix(char *prefix, size_t size, struct caesura_error *err)
{
    static const char libexec[] = "/libexec/caesura";
    ssize_t length = readlink("/proc/self/exe", prefix, size - 1);

    if (length < 0)
        return error_errno(err, errno, "cannot read /proc/self/exe");
    if ((size_t)length == size - 1)
        return error_set(err, CAESURA_EENGINE, "the path of the installation is too long");
    prefix[length] = '\0';
    char *slash = strrchr(prefix, '/');
    *slash = '\0';
    size_t folder = strlen(prefix);
    if (folder > sizeof libexec && strcmp(prefix + folder - (sizeof libexec - 1), libexec) == 0) {
        prefix[folder - (sizeof libexec - 1)] = '\0';
        return 0;
    }
    slash = strrchr(prefix, '/');
    if (!slash || strcmp(slash, "/bin") != 0) {
        error_set(err, CAESURA_EENGINE, "%s is not the bin folder of an installation of Caesura", prefix);
        return error_hint(err, "install the whole tree; links may point to its programs");
    }
    *slash = '\0';
    return 0;
}

/* Major version out of the `release` file beside the real java; 0 if there is none. */
static int read_version(const char *java)
{
    char path[PATH_MAX + 16], line[256];
    int version = 0, minor = 0;

    if (!realpath(java, path))
        return 0;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return 0;
        *slash = '\0';
    }
    strcat(path, "/release");
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "JAVA_VERSION=\"%d.%d", &version, &minor) >= 1)
            break;
    fclose(file);
    return version == 1 ? minor : version; /* up to Java 8 they called themselves 1.8 */
}

/* What was looked at in vain, for the message. */
struct search {
    struct jvm *jvm;
    char old[512];
};

static bool try_java(struct search *search, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool try_java(struct search *search, const char *fmt, ...)
{
    struct jvm *jvm = search->jvm;
    va_list args;

    va_start(args, fmt);
    int size = vsnprintf(jvm->java, sizeof jvm->java, fmt, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof jvm->java || access(jvm->java, X_OK) < 0)
        return false;
    jvm->version = read_version(jvm->java);
    if (jvm->version == 0 || jvm->version >= JVM_OLDEST)
        return true;
    size_t used = strlen(search->old);
    snprintf(search->old + used, sizeof search->old - used, "%s%s is Java %d", used ? ", " : "", jvm->java,
             jvm->version);
    return false;
}

static bool find_in_path(struct search *search)
{
    const char *path = getenv("PATH");

    while (path && *path) {
        size_t length = strcspn(path, ":");
        /* Relative entries are skipped: what runs must not depend on where the command is called. */
        if (*path == '/' && try_java(search, "%.*s/java", (int)length, path))
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

static bool find_installed(struct search *search)
{
    glob_t found;
    bool good = false;

    if (glob("/usr/lib/jvm/*/bin/java", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && !good; i++)
            good = try_java(search, "%s", found.gl_pathv[i]);
        globfree(&found);
    }
    return good;
}

int jvm_find(struct jvm *jvm, struct caesura_error *err)
{
    struct search search = {.jvm = jvm};
    const char *home = getenv("JAVA_HOME");

    if ((home && *home && try_java(&search, "%s/bin/java", home)) || find_in_path(&search) || find_installed(&search))
        return 0;
    error_set(err, CAESURA_EENGINE, "no Java %d or newer found%s%s%s", JVM_OLDEST, *search.old ? " (" : "", search.old,
              *search.old ? ")" : "");
    return error_hint(err, "install a Java runtime, or set JAVA_HOME to one");
}

/* ---- the call -------------------------------------------------------------------------------------------------------- */

static size_t count_strings(char *const *strings)
{
    size_t count = 0;

    while (strings[count])
        count++;
    return count;
}

static char *format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *fmt, ...)
{
    va_list args;
    char *text;

    va_start(args, fmt);
    int size = vasprintf(&text, fmt, args);
    va_end(args);
    return size < 0 ? NULL : text;
}

/* NULL if memory runs out. Nothing is freed on the way to exec. */
static char **make_arguments(const struct jvm_call *call)
{
    size_t given = count_strings(call->arguments), n = 0;
    char **argv = calloc(MAX_OPTIONS + given + 1, sizeof *argv);
    char *archive = format("%s/libexec/caesura/engine.jsa", call->prefix);

    if (!argv || !archive)
        return NULL;
    argv[n++] = (char *)call->jvm->java;
    argv[n++] = "-XX:+UseSerialGC";
    argv[n++] = "-XX:TieredStopAtLevel=1";
    /* A command is over before compiled code pays, and each compilation wakes another thread, which on a busy node may wait
     * long for a processor: this halves the switches of thread of a command and costs it no processor time. */
    argv[n++] = "-XX:CompileThresholdScaling=20";
    argv[n++] = "-Xms2m"; /* Java would begin with a 64th of the machine's memory, and an agent stays for weeks */
    argv[n++] = "-XX:-UsePerfData"; /* no file in /tmp for every command */
    argv[n++] = "-Xlog:disable";    /* an archive made by another Java is no reason to write to the user's stdout */
    argv[n++] = "-Xshare:auto";
    if (access(archive, R_OK) == 0)
        argv[n++] = format("-XX:SharedArchiveFile=%s", archive);
    if (call->jvm->version >= 22)
        argv[n++] = "--enable-native-access=ALL-UNNAMED"; /* newer ones warn about JNA without it */
    argv[n++] = format("-Djna.boot.library.path=%s/libexec/caesura", call->prefix);
    argv[n++] = "-Djna.nounpack=true";
    argv[n++] = format("-Djna.library.path=%s/lib", call->prefix);
    argv[n++] = "-cp";
    argv[n++] = format("%s/libexec/caesura/*", call->prefix);
    argv[n++] = "io.caesura.cli.Main";
    argv[n++] = (char *)call->command;
    for (size_t i = 0; i < n; i++)
        if (!argv[i])
            return NULL;
    memcpy(argv + n, call->arguments, given * sizeof *argv);
    return argv;
}

static bool is_dropped(const char *variable)
{
    size_t length = strcspn(variable, "=");

    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        if (strlen(dropped[i]) == length && memcmp(dropped[i], variable, length) == 0)
            return true;
    return false;
}

static char **make_environment(const struct jvm_call *call, int fd)
{
    char **env = calloc(count_strings(environ) + ADDED_VARIABLES + 1, sizeof *env);
    size_t n = 0;

    if (!env)
        return NULL;
    for (char **variable = environ; *variable; variable++)
        if (!is_dropped(*variable))
            env[n++] = *variable;
    char **added = env + n;
    added[0] = format("CAESURA_PREFIX=%s", call->prefix);
    added[1] = format("CAESURA_LAUNCHER_PID=%d", (int)call->launcher);
    added[2] = call->fd_variable ? format("%s=%d", call->fd_variable, fd) : NULL;
    return added[0] && added[1] && (added[2] || !call->fd_variable) ? env : NULL;
}

/* F_DUPFD takes a free number only, so no inherited descriptor is ever lost. High, so that a low number which the user names
 * but did not open stays closed, and the error is the right one; lower where the limit on descriptors forbids it. */
static int move_fd(int fd)
{
    static const int floors[] = {900, 200, 50, 10, 3};
    int moved = -1;

    for (size_t i = 0; moved < 0 && i < sizeof floors / sizeof *floors; i++)
        moved = fcntl(fd, F_DUPFD, floors[i]);
    return moved;
}

int jvm_exec(const struct jvm_call *call, struct caesura_error *err)
{
    int fd = -1;

    /* java splits its class path at colons and knows no way to quote one. */
    if (strchr(call->prefix, ':')) {
        error_set(err, CAESURA_EENGINE, "Java cannot run from %s: there is a colon in it", call->prefix);
        return error_hint(err, "install Caesura in another folder");
    }
    if (call->fd_variable && (fd = move_fd(call->fd)) < 0)
        return error_errno(err, errno, "cannot give a descriptor to the engine");
    char **argv = make_arguments(call);
    char **env = make_environment(call, fd);
    if (!argv || !env)
        return error_set(err, CAESURA_ENOMEM_, "out of memory while starting Java");
    execve(call->jvm->java, argv, env);
    error_set(err, CAESURA_EENGINE, "cannot execute %s: %s", call->jvm->java, strerror(errno));
    return error_hint(err, "install a Java runtime, or set JAVA_HOME to one");
}
