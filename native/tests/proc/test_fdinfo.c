/* The parser of fdinfo, on text as kernels write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "proc/fdinfo.h"

#define HEAD "pos:\t0\nflags:\t02000002\nmnt_id:\t17\nino:\t1038\n"

static struct fdinfo parsed(const char *text)
{
    struct fdinfo info;
    struct caesura_error err = {0};

    if (fdinfo_parse(text, &info, &err))
        fail_msg("%s", err.message);
    return info;
}

static void test_head(void **state)
{
    (void)state;
    struct fdinfo info = parsed("pos:\t4711\nflags:\t02102001\nmnt_id:\t27\nino:\t2146489\n");
    assert_int_equal(info.position, 4711);
    assert_int_equal(info.flags, 02102001);
    assert_int_equal(info.mount, 27);
    assert_int_equal(info.tty_index, -1);
    assert_false(info.has_eventfd || info.has_timer || info.has_sigmask || info.has_pid);
    fdinfo_free(&info);
    info = parsed("pos:\t-4096\nflags:\t0100000\nmnt_id:\t22\n");
    assert_true(info.position == (uint64_t)-4096);
    fdinfo_free(&info);
}

static void test_eventfd(void **state)
{
    (void)state;
    struct fdinfo info = parsed(HEAD "eventfd-count:       fffffffffffffffe\neventfd-id: 1\neventfd-semaphore: 1\n");
    assert_true(info.has_eventfd && info.eventfd_count == 0xfffffffffffffffeull && info.eventfd_semaphore == 1);
    fdinfo_free(&info);
    info = parsed(HEAD "eventfd-count:                5\n");
    assert_true(info.eventfd_count == 5 && info.eventfd_semaphore == -1);
    fdinfo_free(&info);
}

static void test_epoll(void **state)
{
    (void)state;
    struct fdinfo info = parsed(HEAD "tfd:        3 events: 80000019 data:                3  pos:0 ino:40e sdev:10\n"
                                     "tfd:        5 events:       19 data:     7f8300000005  pos:0 ino:4bce sdev:f\n"
                                     "tfd:       12 events:        1 data: ffffffffffffffff\n");
    assert_int_equal(info.n_items, 3);
    assert_int_equal(info.items[0].fd, 3);
    assert_true(info.items[0].events == 0x80000019u);
    assert_int_equal(info.items[0].ino, 0x40e);
    assert_int_equal(info.items[0].dev, 0x10);
    assert_true(info.items[1].data == 0x7f8300000005ull);
    assert_true(info.items[2].data == UINT64_MAX && !info.items[2].ino);
    fdinfo_free(&info);
}

static void test_timer(void **state)
{
    (void)state;
    struct fdinfo info =
        parsed(HEAD "clockid: 7\nticks: 3\nsettime flags: 03\nit_value: (49, 406576001)\nit_interval: (1, 0)\n");
    assert_true(info.has_timer && info.timer_clock == 7 && info.timer_ticks == 3 && info.timer_flags == 3);
    assert_true(info.timer_value_ns == 49406576001ull && info.timer_interval_ns == 1000000000ull);
    fdinfo_free(&info);
}

static void test_signalfd(void **state)
{
    (void)state;
    struct fdinfo info = parsed(HEAD "sigmask:\t8000000000000200\n");
    assert_true(info.has_sigmask && info.sigmask == 0x8000000000000200ull);
    fdinfo_free(&info);
}

static void test_inotify(void **state)
{
    static const uint8_t handle[] = {0xe8, 0xf7, 3, 0, 0, 0, 0, 0};

    (void)state;
    struct fdinfo info = parsed(HEAD "inotify wd:1 ino:3f7e8 sdev:fe00000 mask:300 ignored_mask:0 fhandle-bytes:8 "
                                     "fhandle-type:1 f_handle:e8f7030000000000\n"
                                     "inotify wd:1a ino:2 sdev:17 mask:80000002 ignored_mask:0\n");
    assert_int_equal(info.n_watches, 2);
    assert_int_equal(info.watches[0].wd, 1);
    assert_int_equal(info.watches[0].ino, 0x3f7e8);
    assert_int_equal(info.watches[0].mask, 0x300);
    assert_int_equal(info.watches[0].handle_size, 8);
    assert_memory_equal(info.watches[0].handle, handle, sizeof handle);
    assert_true(fdinfo_dev(info.watches[0].dev) == makedev(254, 0));
    assert_int_equal(info.watches[1].wd, 0x1a);
    assert_int_equal(info.watches[1].handle_size, 0);
    fdinfo_free(&info);
}

static void test_locks(void **state)
{
    (void)state;
    struct fdinfo info = parsed("pos:\t0\nflags:\t02100002\nmnt_id:\t27\n"
                                "lock:\t1: FLOCK  ADVISORY  WRITE 12347 fe:00:2146489 0 EOF\n"
                                "lock:\t2: POSIX  ADVISORY  READ 12347 fe:00:2146489 5 14\n"
                                "lock:\t3: OFDLCK ADVISORY  WRITE -1 00:1f:99 0 0\n"
                                "lock:\t4: LEASE  ACTIVE    READ 12347 fe:00:2146489 0 EOF\n");
    assert_int_equal(info.n_locks, 4);
    assert_true(info.locks[0].kind == FDINFO_FLOCK && info.locks[0].write && info.locks[0].end == UINT64_MAX);
    assert_true(info.locks[1].kind == FDINFO_POSIX && !info.locks[1].write && info.locks[1].pid == 12347 &&
                info.locks[1].start == 5 && info.locks[1].end == 14);
    assert_true(info.locks[1].major == 0xfe && info.locks[1].ino == 2146489);
    assert_true(info.locks[2].kind == FDINFO_OFD && info.locks[2].pid == -1 && info.locks[2].end == 0);
    assert_int_equal(info.locks[3].kind, FDINFO_LEASE);
    fdinfo_free(&info);
}

static void test_others(void **state)
{
    (void)state;
    struct fdinfo info = parsed(HEAD "Pid:\t-1\nNSpid:\t-1\n");
    assert_true(info.has_pid && info.pid == -1);
    fdinfo_free(&info);
    info = parsed(HEAD "tty-index:\t3\nsomething-new: whatever 1 2 3\n\n");
    assert_int_equal(info.tty_index, 3);
    fdinfo_free(&info);
}

static void test_bad_lines(void **state)
{
    static const char *const bad[] = {
        "pos:\tx\n",
        "flags:\t9\n",
        "flags:\t\n",
        "eventfd-count: -1\n",
        "eventfd-count: 1ffffffffffffffff\n",
        "clockid: one\n",
        "it_value: (1, 1000000000)\n",
        "it_value: (1, 2\n",
        "it_value: 1\n",
        "Pid:\t12x\n",
        "tfd: 3 events\n",
        "tfd: 1 events: 1 data: 1 pos:0 ino:zz\n",
        "inotify wd:1\n",
        "inotify wd:1 ino:2 sdev:3 mask:4 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:e8\n",
        "inotify wd:1 ino:2 sdev:3 mask:4 ignored_mask:0 fhandle-bytes:fff fhandle-type:1 f_handle:e8\n",
        "lock:\t1: FLOCK\n",
        "lock:\t1: SPELL ADVISORY WRITE 1 fe:00:1 0 EOF\n",
        "lock:\t1: POSIX ADVISORY WRITE 1 fe:00:1 9 5\n",
        "lock:\t1: POSIX ADVISORY MAYBE 1 fe:00:1 0 EOF\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fdinfo info;
        struct caesura_error err = {0};
        if (fdinfo_parse(bad[i], &info, &err) != -CAESURA_EINVAL_)
            fail_msg("\"%s\" was understood", bad[i]);
        char line[128];
        snprintf(line, sizeof line, "\"%.*s\"", (int)strcspn(bad[i], "\n"), bad[i]);
        assert_non_null(strstr(err.message, line));
        fdinfo_free(&info);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),  cmocka_unit_test(test_eventfd),  cmocka_unit_test(test_epoll),
        cmocka_unit_test(test_timer), cmocka_unit_test(test_signalfd), cmocka_unit_test(test_inotify),
        cmocka_unit_test(test_locks), cmocka_unit_test(test_others),   cmocka_unit_test(test_bad_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
