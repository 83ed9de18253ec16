#include "lib_scene.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "context/codec.h"
#include "context/reader.h"
#include "context/writer.h"
#include "core/error.h"
#include "descriptors/descriptors.h"
#include "files/files.h"

#define FD_BASE 6000
#define OWN_FD 9000 /* the harness's own descriptors in builder and stubs */

/* How the process that tries a damaged context ends; a sanitizer ends it with 1. */
enum { OPENED = 10, REFUSED = 11 };

struct stage *stage;
uint64_t scene_capture_ns;

void scene_die(const char *file, int line, const char *what)
{
    dprintf(OWN_FD, "%s:%d: %s: %s\n", file, line, what, strerror(errno));
    _exit(99);
}

/* ---- the processes ---- */

void scene_stop(void)
{
    raise(SIGSTOP);
    for (;;)
        pause();
}

static pid_t fork_with(long flags)
{
    int slot = stage->n_processes++;
    pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

    MUST(pid >= 0);
    if (pid) {
        stage->pids[slot] = pid;
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!(flags & CLONE_FILES))
        close(OWN_FD);
    return 0;
}

pid_t scene_fork(void)
{
    return fork_with(0);
}

pid_t scene_fork_sharing(void)
{
    return fork_with(CLONE_FILES);
}

static char state_of(pid_t pid)
{
    char path[64], text[512], *at;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return 'X';
    text[size] = 0;
    at = strrchr(text, ')');
    return at ? at[2] : 'X';
}

static void start(const struct scene *scene)
{
    int err = dup(2);

    memset(stage, 0, sizeof *stage);
    snprintf(stage->folder, sizeof stage->folder, "/tmp/scene-XXXXXX");
    assert_non_null(mkdtemp(stage->folder));
    stage->n_processes = 1;
    if (scene->prepare)
        scene->prepare(stage);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(err, OWN_FD);
        fcntl(OWN_FD, F_SETFD, FD_CLOEXEC);
        syscall(SYS_close_range, 0u, (unsigned)OWN_FD - 1, 0u);
        for (int i = 0; i <= 2; i++)
            MUST(open("/dev/null", O_RDWR) == i);
        MUST(!chdir(stage->folder));
        stage->pids[0] = getpid();
        scene->make(stage);
        close(OWN_FD);
        scene_stop();
    }
    close(err);
    stage->pids[0] = pid;
    for (int i = 0; i < stage->n_processes; i++)
        for (int tries = 0; (!stage->pids[i] || state_of(stage->pids[i]) != 'T') && tries < 2000; tries++) {
            if (state_of(pid) == 'Z' || state_of(pid) == 'X')
                fail_msg("the scene could not be made");
            usleep(5000);
        }
}

static void end_processes(void)
{
    for (int i = stage->n_processes - 1; i >= 0; i--)
        if (stage->pids[i] > 0)
            kill(stage->pids[i], SIGKILL);
    for (int i = stage->n_processes - 1; i >= 0; i--)
        while (stage->pids[i] > 0 && waitpid(stage->pids[i], NULL, 0) < 0 && errno == EINTR)
            ;
    /* The children of the first come to us, when that has ended. */
    for (int i = 0; i < stage->n_processes; i++)
        while (stage->pids[i] > 0 && waitpid(stage->pids[i], NULL, 0) > 0)
            ;
}

static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);

    for (struct dirent *at; folder && (at = readdir(folder));) {
        char inner[512];
        snprintf(inner, sizeof inner, "%s/%s", path, at->d_name);
        if (strcmp(at->d_name, ".") && strcmp(at->d_name, "..") && unlink(inner))
            remove_folder(inner);
    }
    if (folder)
        closedir(folder);
    rmdir(path);
}

/* ---- capture ---- */

static void log_line(void *data, int level, const char *text)
{
    (void)data;
    if (getenv("SCENE_VERBOSE"))
        fprintf(stderr, "    log %d: %s\n", level, text);
}

static void capture_start(struct caesura_capture *capture)
{
    size_t count = (size_t)stage->n_processes;

    *capture = (struct caesura_capture){.log = log_line, .request = {.copy_limit_bytes = 1 << 20}};
    capture->targets = calloc(count, sizeof *capture->targets);
    capture->n_targets = count;
    for (size_t i = 0; i < count; i++)
        assert_non_null(list_add(&capture->context.processes, &capture->context.n_processes));
    for (size_t i = 0; i < count; i++) {
        struct process *process = &capture->context.processes[i];
        process->pid = stage->pids[i];
        process->state = PROCESS_RUNNING;
        struct thread *thread = list_add(&process->threads, &process->n_threads);
        assert_non_null(thread);
        thread->tid = process->pid;
        process->pgid = getpgid(stage->pids[i]);
        capture->targets[i] = (struct target){
            .pid = stage->pids[i],
            .live_tid = stage->pids[i],
            .inner_pid = stage->pids[i],
            .pidfd = (int)syscall(SYS_pidfd_open, stage->pids[i], 0),
            .process = process,
        };
    }
}

static int capture_scene(struct caesura_capture *capture, struct caesura_error *err)
{
    struct timespec before, after;

    capture_start(capture);
    clock_gettime(CLOCK_MONOTONIC, &before);
    int rc = descriptors_capture(capture, err);
    clock_gettime(CLOCK_MONOTONIC, &after);
    scene_capture_ns =
        (uint64_t)(after.tv_sec - before.tv_sec) * 1000000000u + (uint64_t)after.tv_nsec - (uint64_t)before.tv_nsec;
    return rc ? rc : files_decide(capture, err);
}

static void capture_end(struct caesura_capture *capture)
{
    descriptors_free(capture);
    files_free(capture);
    for (size_t i = 0; i < capture->n_targets; i++)
        close(capture->targets[i].pidfd);
    free(capture->targets);
    context_free(&capture->context);
}

#define WRITE_LIST(record, list, section)                                                 \
    for (uint32_t i = 0; i < context->n_##list; i++) {                                    \
        struct buffer payload = {0};                                                      \
        record_encode_##record(&payload, &context->list[i]);                              \
        assert_false(payload.failed);                                                     \
        assert_int_equal(context_writer_section(&writer, section, 0, &payload, &err), 0); \
        buffer_free(&payload);                                                            \
    }

static int write_context(struct caesura_capture *capture)
{
    const struct context *context = &capture->context;
    static const uint8_t set_id[16];
    struct context_writer writer;
    struct caesura_error err = {0};
    int fd = memfd_create("context", MFD_CLOEXEC);

    struct buffer scope = {0};

    assert_int_equal(context_writer_start(&writer, fd, set_id, 0, 1, &err), 0);
    record_encode_scope(&scope, &context->scope);
    assert_int_equal(context_writer_section(&writer, SECTION_SCOPE, 0, &scope, &err), 0);
    buffer_free(&scope);
    WRITE_LIST(file, files, SECTION_FILE)
    WRITE_LIST(description, descriptions, SECTION_DESCRIPTION)
    WRITE_LIST(lock, locks, SECTION_LOCK)
    WRITE_LIST(process, processes, SECTION_PROCESS)
    assert_int_equal(files_write(capture, &writer, &err), 0);
    assert_int_equal(context_writer_end(&writer, &err), 0);
    context_writer_free(&writer);
    return fd;
}

/* ---- restore ---- */

static void report(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void report(int fd, const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    int size = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (write(fd, text, (size_t)size) < 0)
        _exit(98);
}

/* A restored process. answers: to the builder; orders: one byte for each step. */
static void play_stub(struct restore *restore, const struct scene *scene, int index, int answers, int orders)
{
    struct caesura_error err = {0};
    char order;

    int rc = descriptors_install(restore, &restore->context->processes[index], &err);
    report(answers, "%s", rc ? err.message : "ok");
    if (rc || read(orders, &order, 1) != 1)
        _exit(1);
    rc = descriptors_finish(restore, &restore->context->processes[index], &err);
    /* As the restorer does in the end: only the descriptors of the process stay. */
    syscall(SYS_close_range, (unsigned)FD_BASE, (unsigned)OWN_FD - 1, 0u);
    report(answers, "%s", rc ? err.message : "ok");
    if (rc || read(orders, &order, 1) != 1)
        _exit(1);
    const char *wrong = scene->verify(stage, index);
    report(answers, "%s", wrong ? wrong : "ok");
    if (read(orders, &order, 1) == 1) {
        wrong = scene->verify_later ? scene->verify_later(stage, index) : NULL;
        report(answers, "%s", wrong ? wrong : "ok");
    }
    if (read(orders, &order, 1) != 1)
        _exit(0);
    _exit(0);
}

struct stub {
    pid_t pid;
    int answers, orders;
};

static bool step(struct stub *stub, bool order, int result, const char *what)
{
    char answer[2048];

    if (order && write(stub->orders, "g", 1) != 1)
        return false;
    ssize_t size = read(stub->answers, answer, sizeof answer - 1);
    answer[size > 0 ? size : 0] = 0;
    if (strcmp(answer, "ok") == 0)
        return true;
    report(result, "%s: %s", what, size > 0 ? answer : "the process died");
    return false;
}

static int move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, OWN_FD);
    close(fd);
    return moved;
}

static bool fork_stubs(struct restore *restore, const struct scene *scene, struct stub *stubs, pid_t *pids, int result)
{
    for (int i = 0; i < stage->n_processes; i++) {
        int answers[2], orders[2];
        if (pipe(answers) || pipe(orders))
            return false;
        for (int k = 0; k < 2; k++) {
            answers[k] = move_up(answers[k]);
            orders[k] = move_up(orders[k]);
        }
        stubs[i].pid = pids[i] = stage->restored[i] = fork();
        if (!stubs[i].pid) {
            stage->restored[i] = getpid();
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            play_stub(restore, scene, i, answers[1], orders[0]);
        }
        close(answers[1]);
        close(orders[0]);
        stubs[i].answers = answers[0];
        stubs[i].orders = orders[1];
        if (!step(&stubs[i], false, result, "install"))
            return false;
    }
    return true;
}

/* In a process of its own: 0 if all was well, else the reason has been reported. */
static int play_builder(const struct scene *scene, int context_fd, int result)
{
    struct restore restore = {.fd_base = FD_BASE, .options = {.aside = "/tmp/scene.aside"}};
    struct stub stubs[SCENE_PROCESSES];
    pid_t pids[SCENE_PROCESSES];
    struct caesura_error err = {0};

    if (chdir(stage->folder))
        return 1;
    if (scene->builder)
        scene->builder(stage);
    if (context_source_open(&restore.source, &context_fd, 1, true, &err))
        return report(result, "reading the context: %s", err.message), 1;
    restore.context = &restore.source.context;
    restore.pids = pids;
    if (files_check(&restore, &err) || files_roll_back(&restore, &err) || descriptors_open(&restore, &err)) {
        descriptors_close(&restore);
        files_end(&restore);
        context_source_free(&restore.source);
        return report(result, "open: %s (%s)", err.message, err.remedy), 1;
    }
    if (!fork_stubs(&restore, scene, stubs, pids, result))
        return 1;
    if (descriptors_connect(&restore, &err))
        return report(result, "connect: %s", err.message), 1;
    descriptors_close(&restore);
    files_end(&restore);
    context_source_free(&restore.source);
    for (int i = 0; i < stage->n_processes; i++)
        if (!step(&stubs[i], true, result, "finish"))
            return 1;
    for (int i = 0; i < stage->n_processes; i++)
        if (!step(&stubs[i], true, result, "verify"))
            return 1;
    for (int i = stage->n_processes - 1; scene->verify_later && i >= 0; i--)
        if (!step(&stubs[i], true, result, "verify later"))
            return 1;
    for (int i = 0; i < stage->n_processes; i++) {
        kill(stubs[i].pid, SIGKILL);
        waitpid(stubs[i].pid, NULL, 0);
    }
    return 0;
}

pid_t scene_pid(int index)
{
    return stage->restored[index];
}

/* reason: room of 4096 bytes for what went wrong. */
static int restore_scene(const struct scene *scene, int context_fd, char *reason)
{
    size_t size = 0;
    int result[2], status = 0;

    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    pid_t builder = fork();
    if (!builder) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(60);
        close(result[0]);
        _exit(play_builder(scene, move_up(context_fd), move_up(result[1])));
    }
    close(result[1]);
    for (ssize_t got; size < 4095 && (got = read(result[0], reason + size, 4095 - size)) > 0;)
        size += (size_t)got;
    reason[size] = 0;
    close(result[0]);
    waitpid(builder, &status, 0);
    if (!size && status)
        snprintf(reason, 4096, "the builder died: %x", status);
    return size || status ? -1 : 0;
}

/* ---- the whole ---- */

static void stage_set(void)
{
    struct rlimit limit;

    if (stage)
        return;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(stage, MAP_FAILED);
}

static int play(const struct scene *scene, char *reason)
{
    struct caesura_capture capture;
    struct caesura_error err = {0};

    stage_set();
    start(scene);
    int rc = capture_scene(&capture, &err);
    int context_fd = rc || capture.refusals ? -1 : write_context(&capture);
    end_processes();
    if (rc || capture.refusals) {
        if (!rc)
            err = capture.first_refusal;
        capture_end(&capture);
        remove_folder(stage->folder);
        fail_msg("capture: %d %s (remedy: %s)", rc, err.message, err.remedy);
    }
    /* Our duplicates of the descriptions would keep locks. */
    capture_end(&capture);
    if (scene->between)
        scene->between(stage);
    rc = restore_scene(scene, context_fd, reason);
    close(context_fd);
    remove_folder(stage->folder);
    return rc;
}

void scene_play(const struct scene *scene)
{
    char reason[4096];

    if (play(scene, reason))
        fail_msg("%s", reason);
}

void scene_fail(const struct scene *scene, const char *what)
{
    char reason[4096];

    if (!play(scene, reason))
        fail_msg("the restart should have failed with \"%s\"", what);
    if (!strstr(reason, what))
        fail_msg("the restart failed with \"%s\"", reason);
}

/* Changes some bytes of some states; the same every time. */
static void damage(struct context *context, unsigned round)
{
    unsigned seed = round * 2654435761u;

    for (unsigned i = 0; i <= round % 4; i++) {
        seed = seed * 1103515245u + 12345u;
        struct description *description = &context->descriptions[(seed >> 8) % context->n_descriptions];
        uint8_t *bytes = description->state.data;
        seed = seed * 1103515245u + 12345u;
        if (!description->state.size)
            continue;
        size_t at = (seed >> 8) % description->state.size;
        seed = seed * 1103515245u + 12345u;
        bytes[at] = (uint8_t)(round % 2 ? seed >> 16 : (seed >> 16) % context->n_descriptions + 1);
        if ((seed >> 24) % 16 == 0)
            description->state.size = (uint32_t)at;
    }
}

static void open_damaged(struct context *context, unsigned round)
{
    struct restore restore = {.fd_base = FD_BASE, .context = context, .options = {.quiet = true}};
    pid_t pids[SCENE_PROCESSES];
    struct caesura_error err = {0};

    alarm(30);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGIO, SIG_IGN);
    for (int i = 0; i < SCENE_PROCESSES; i++)
        pids[i] = getpid();
    restore.pids = pids;
    if (chdir(stage->folder))
        _exit(3);
    damage(context, round);
    int rc = descriptors_open(&restore, &err);
    if (!rc)
        rc = descriptors_connect(&restore, &err);
    descriptors_close(&restore);
    files_end(&restore);
    _exit(rc ? REFUSED : OPENED);
}

void scene_damage(const struct scene *scene, int rounds)
{
    struct caesura_capture capture;
    struct caesura_error err = {0};
    int wrong = 0, status = 0, round = 0;

    stage_set();
    start(scene);
    assert_int_equal(capture_scene(&capture, &err), 0);
    assert_int_equal(capture.refusals, 0);
    end_processes();
    for (; round < rounds && !wrong; round++) {
        pid_t child = fork();
        if (!child)
            open_damaged(&capture.context, (unsigned)round);
        waitpid(child, &status, 0);
        wrong = !WIFEXITED(status) || (WEXITSTATUS(status) != OPENED && WEXITSTATUS(status) != REFUSED);
    }
    capture_end(&capture);
    remove_folder(stage->folder);
    if (wrong)
        fail_msg("round %d ended with %x", round - 1, status);
}

void scene_refuse(const struct scene *scene, int *fd, const char *what, const char *remedy)
{
    struct caesura_capture capture;
    struct caesura_error err = {0};

    stage_set();
    start(scene);
    int rc = capture_scene(&capture, &err);
    struct caesura_error refusal = capture.first_refusal;
    size_t count = capture.refusals;
    pid_t pid = stage->pids[0];
    int wanted = fd ? *fd : stage->fd[0];
    end_processes();
    if (scene->between)
        scene->between(stage);
    capture_end(&capture);
    remove_folder(stage->folder);
    if (rc)
        fail_msg("capture failed: %d %s", rc, err.message);
    assert_true(count > 0);
    assert_int_equal(refusal.code, CAESURA_EUNSUPPORTED);
    assert_int_equal(refusal.pid, pid);
    assert_int_equal(refusal.fd, wanted);
    char holds[64];
    snprintf(holds, sizeof holds, "process %d holds descriptor %d, ", pid, wanted);
    if (!strstr(refusal.message, what) || !strstr(refusal.message, holds) || !strstr(refusal.remedy, remedy))
        fail_msg("refused with \"%s\", remedy \"%s\"", refusal.message, refusal.remedy);
}
