/*
 * test_supervise.c - the supervisor as cr-restore uses it: pid 1 builds the processes itself, and then becomes the reaping
 * init. What cr_run makes of it is in test_job.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/error.h"
#include "supervisor/agent.h"
#include "supervisor/channel.h"
#include "supervisor/init.h"
#include "supervisor/namespace.h"
#include "supervisor/supervise.h"

/* supervise() lets go of descriptors and blocks signals, so each test is the program that it tests, in a child. */
#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit(99);                                                      \
        }                                                                   \
    } while (0)

enum { SKIPPED = 77 };

static void in_child(void (*program)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        program();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_int_equal(status, 0);
}

static struct signal_state signals;

/* Skips where the site forbids namespaces; every other failure is one. */
static struct namespace_child enter(const struct namespace_request *request, namespace_main_fn main, void *data)
{
    struct namespace_child child;
    struct caesura_error err;

    signals_take(&signals);
    signals_block();
    int result = namespace_enter(request, main, data, &child, &err);
    if (result == -CAESURA_ENAMESPACE) {
        fprintf(stderr, "%s\n", err.message);
        _exit(SKIPPED);
    }
    CHECK(result == 0);
    return child;
}

static int watch(struct namespace_child child, supervise_started_fn started, void *data, int *status,
                 struct caesura_error *err)
{
    struct supervise_request request = {.program = "test_supervise",
                                        .child = child.pid,
                                        .channel = child.channel,
                                        .signals = &signals,
                                        .started = started,
                                        .data = data};

    return supervise(&request, status, err);
}

/* ---- pid 1 that makes the processes itself --------------------------------------------------------------------------- */

static int build_and_reap(int channel, void *data)
{
    const int *code = data;
    pid_t root = fork();

    if (root == 0) {
        /* An orphan for the init: its parent ends at once. */
        if (fork() == 0) {
            if (fork() == 0)
                usleep(20000);
            _exit(1);
        }
        usleep(100000);
        _exit(*code);
    }
    return init_reap_until(root, channel) == 0 ? 0 : 1;
}

static void status_of_a_built_root(void)
{
    struct namespace_request request = {.last_pid = 0};
    struct caesura_error err;
    int code = 42, status;

    struct namespace_child child = enter(&request, build_and_reap, &code);
    CHECK(watch(child, NULL, NULL, &status, &err) == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
}

static int fail_to_build(int channel, void *data)
{
    struct caesura_error err;

    (void)data;
    error_set(&err, CAESURA_EBUSY_, "pid %d is taken", 7);
    error_hint(&err, "wait");
    init_fail(channel, &err);
    return 1;
}

static void failure_of_pid_1_is_returned(void)
{
    struct namespace_request request = {.last_pid = 0};
    struct caesura_error err;
    int status;

    struct namespace_child child = enter(&request, fail_to_build, NULL);
    CHECK(watch(child, NULL, NULL, &status, &err) == -CAESURA_EBUSY_);
    CHECK(err.code == CAESURA_EBUSY_);
    CHECK(strcmp(err.message, "pid 7 is taken") == 0 && strcmp(err.remedy, "wait") == 0);
}

static int die_silently(int channel, void *data)
{
    (void)channel;
    (void)data;
    return 12;
}

static void pid_1_that_ends_without_a_word(void)
{
    struct namespace_request request = {.last_pid = 0};
    struct caesura_error err;
    int status;

    struct namespace_child child = enter(&request, die_silently, NULL);
    CHECK(watch(child, NULL, NULL, &status, &err) == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 12);
}

/* ---- the started callback -------------------------------------------------------------------------------------------- */

struct seen {
    pid_t root;
    pid_t init;
    int result;
    int keep;
};

static int on_started(pid_t root, void *data)
{
    struct seen *seen = data;
    char path[64];
    pid_t parent = 0;

    seen->root = root;
    snprintf(path, sizeof path, "/proc/%d/stat", root);
    FILE *file = fopen(path, "r");
    CHECK(file && fscanf(file, "%*d (%*[^)]) %*c %d", &parent) == 1);
    fclose(file);
    CHECK(parent == seen->init);
    CHECK(fcntl(seen->keep, F_GETFD) >= 0);
    return seen->result;
}

static void started_knows_the_root(void)
{
    struct namespace_request request = {.last_pid = 5000};
    struct caesura_error err;
    int code = 3, status;
    struct seen seen = {.keep = open("/dev/null", O_RDONLY)};
    int other = open("/dev/null", O_RDONLY);

    struct namespace_child child = enter(&request, build_and_reap, &code);
    seen.init = child.pid;
    struct supervise_request supervised = {.program = "test_supervise",
                                           .child = child.pid,
                                           .channel = child.channel,
                                           .signals = &signals,
                                           .started = on_started,
                                           .data = &seen,
                                           .keep_fds = &seen.keep,
                                           .keep_count = 1};
    CHECK(supervise(&supervised, &status, &err) == 0);
    CHECK(seen.root > 0 && WEXITSTATUS(status) == 3);
    CHECK(fcntl(seen.keep, F_GETFD) >= 0);
    CHECK(fcntl(other, F_GETFD) < 0 && errno == EBADF);
}

static void started_may_end_it(void)
{
    struct namespace_request request = {.last_pid = 0};
    struct caesura_error err;
    int code = 3, status;
    struct seen seen = {.result = 66, .keep = STDERR_FILENO};

    struct namespace_child child = enter(&request, build_and_reap, &code);
    seen.init = child.pid;
    CHECK(watch(child, on_started, &seen, &status, &err) == 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 66);
}

/* ---- without a namespace --------------------------------------------------------------------------------------------- */

static void root_as_a_direct_child(void)
{
    struct caesura_error err;
    struct seen seen = {.init = getpid(), .keep = STDERR_FILENO};
    int status;

    signals_take(&signals);
    signals_block();
    pid_t root = fork();
    if (root == 0) {
        usleep(50000);
        _exit(17);
    }
    struct namespace_child child = {.pid = root, .channel = -1};
    CHECK(watch(child, on_started, &seen, &status, &err) == 0);
    CHECK(seen.root == root && WEXITSTATUS(status) == 17);
}

/* ---- namespaces ------------------------------------------------------------------------------------------------------ */

static int64_t now_ns(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

struct clocks {
    struct namespace_request request;
    int64_t monotonic_ns, boottime_ns;
};

static int compare_clocks(int channel, void *data)
{
    const struct clocks *before = data;
    int64_t monotonic_ns = now_ns(CLOCK_MONOTONIC) - before->monotonic_ns - before->request.monotonic_offset_ns;
    int64_t boottime_ns = now_ns(CLOCK_BOOTTIME) - before->boottime_ns - before->request.boottime_offset_ns;
    const int64_t limit_ns = INT64_C(10000000000);

    (void)channel;
    fprintf(stderr, "off by %" PRId64 " and %" PRId64 " ns\n", monotonic_ns, boottime_ns);
    return monotonic_ns >= 0 && monotonic_ns < limit_ns && boottime_ns >= 0 && boottime_ns < limit_ns ? 0 : 1;
}

static void clocks_of_its_own(void)
{
    /* Ahead by 1000.5 s; and behind, by less than the host has been up. */
    int64_t behind_ns = now_ns(CLOCK_BOOTTIME) / 2;
    struct clocks clocks = {.request = {.own_clocks = true,
                                        .monotonic_offset_ns = INT64_C(1000500000000),
                                        .boottime_offset_ns = -behind_ns},
                            .monotonic_ns = now_ns(CLOCK_MONOTONIC),
                            .boottime_ns = now_ns(CLOCK_BOOTTIME)};
    struct caesura_error err;
    int status;

    struct namespace_child child = enter(&clocks.request, compare_clocks, &clocks);
    CHECK(watch(child, NULL, NULL, &status, &err) == 0);
    CHECK(status == 0);
}

static int see_pids(int channel, void *data)
{
    char self[32] = "";

    (void)channel;
    (void)data;
    if (getpid() != 1 || readlink("/proc/self", self, sizeof self - 1) < 0 || strcmp(self, "1") != 0)
        return 1;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    return child == 4711 ? 0 : 2;
}

static void pids_of_its_own(void)
{
    struct namespace_request request = {.last_pid = 4710};
    struct caesura_error err;
    int status;

    struct namespace_child child = enter(&request, see_pids, NULL);
    CHECK(watch(child, NULL, NULL, &status, &err) == 0);
    CHECK(status == 0);
}

static void impossible_request_is_an_error(void)
{
    struct namespace_request request = {.own_clocks = true, .monotonic_offset_ns = INT64_MIN / 2};
    struct namespace_child child;
    struct caesura_error err;

    signals_take(&signals);
    CHECK(namespace_enter(&request, see_pids, NULL, &child, &err) == -CAESURA_ENAMESPACE);
    CHECK(strncmp(err.message, "cannot ", 7) == 0 && err.remedy[0]);
    CHECK(waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
    /* Nothing is left open: standard descriptors only, and those that were there. */
    CHECK(open("/dev/null", O_RDONLY | O_CLOEXEC) <= 5);
}

static void test_pid_base(void **state)
{
    (void)state;
    /* Neighbours differ, a quarter of the pids stays above, and it works with any limit. */
    for (pid_t pid = 1; pid < 200000; pid += 7) {
        int32_t base = namespace_pid_base(pid, 32768);
        assert_int_equal(base % 512, 0);
        assert_in_range(base, 512, 24576);
        assert_int_not_equal(base, namespace_pid_base(pid + 1, 32768));
    }
    assert_in_range(namespace_pid_base(4194303, 4194304), 512, 3145728);
    assert_int_equal(namespace_pid_base(1, 301), 0);
    assert_int_equal(namespace_pid_base(1, -1), 0);
}

/* ---- the channel ----------------------------------------------------------------------------------------------------- */

static void test_channel(void **state)
{
    struct channel_message message;
    struct caesura_error err = {0};
    int ends[2], passed;
    char byte;

    (void)state;
    assert_int_equal(channel_open(ends, &err), 0);
    assert_int_equal(channel_receive(ends[0], false, &message, &passed), -EAGAIN);
    assert_int_equal(channel_send(ends[1], CHANNEL_STOPPED, 5, -1), 0);
    int file = open("/etc/passwd", O_RDONLY);
    assert_int_equal(channel_send(ends[1], CHANNEL_ROOT, 0, file), 0);
    error_set(&err, CAESURA_EBUSY_, "text");
    assert_int_equal(channel_send_error(ends[1], &err), 0);
    assert_int_equal(channel_receive(ends[0], true, &message, &passed), 1);
    assert_true(message.kind == CHANNEL_STOPPED && message.value == 5 && passed == -1);
    assert_int_equal(channel_receive(ends[0], true, &message, &passed), 1);
    assert_true(message.kind == CHANNEL_ROOT && passed >= 0);
    assert_int_equal(read(passed, &byte, 1), 1);
    assert_int_equal(fcntl(passed, F_GETFD), FD_CLOEXEC);
    assert_false(channel_is_dead(ends[0]));
    close(ends[1]);
    assert_true(channel_is_dead(ends[0]));
    assert_int_equal(channel_receive(ends[0], true, &message, &passed), 1);
    assert_true(message.kind == CHANNEL_FAILED && strcmp(message.error.message, "text") == 0);
    assert_int_equal(channel_receive(ends[0], true, &message, &passed), 0);
    assert_int_equal(channel_send(ends[0], CHANNEL_GO, 0, -1), -EPIPE);
    close(ends[0]);
    close(file);
}

#define IN_CHILD(name)                    \
    static void test_##name(void **state) \
    {                                     \
        (void)state;                      \
        in_child(name);                   \
    }
IN_CHILD(status_of_a_built_root)
IN_CHILD(failure_of_pid_1_is_returned)
IN_CHILD(pid_1_that_ends_without_a_word)
IN_CHILD(started_knows_the_root)
IN_CHILD(started_may_end_it)
IN_CHILD(root_as_a_direct_child)
IN_CHILD(clocks_of_its_own)
IN_CHILD(pids_of_its_own)
IN_CHILD(impossible_request_is_an_error)

/* An engine may be gone before it can be told that the job was started: what it said until then is still heard. */
static void test_engine_that_is_gone_is_heard(void **state)
{
    struct agent agent = {.program = "test", .fd = -1};
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    agent.fd = ends[0];
    assert_int_equal(write(ends[1], "oneshot\n", 8), 8);
    close(ends[1]);
    assert_false(agent_say(&agent, "started %d\n", 1));
    agent_reaped(&agent, 0);
    assert_true(agent.oneshot);
    assert_int_equal(agent.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pid_base),
        cmocka_unit_test(test_channel),
        cmocka_unit_test(test_status_of_a_built_root),
        cmocka_unit_test(test_failure_of_pid_1_is_returned),
        cmocka_unit_test(test_pid_1_that_ends_without_a_word),
        cmocka_unit_test(test_started_knows_the_root),
        cmocka_unit_test(test_started_may_end_it),
        cmocka_unit_test(test_root_as_a_direct_child),
        cmocka_unit_test(test_clocks_of_its_own),
        cmocka_unit_test(test_pids_of_its_own),
        cmocka_unit_test(test_impossible_request_is_an_error),
        cmocka_unit_test(test_engine_that_is_gone_is_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
