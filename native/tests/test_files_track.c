/* test_files_track.c - the census of --track, and bringing tracked folders back. */
#include "files_world.h"

#include <signal.h>

static void track(struct world *w, const char *path)
{
    size_t i = 0;
    while (w->track[i])
        i++;
    w->track[i] = strdup(path);
}

static void make_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

static int close_track(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; w->track[i]; i++)
        free((char *)w->track[i]);
    free((char *)w->capture.request.exclude_path);
    return world_close_as_root(state);
}

#define track_test(name) cmocka_unit_test_setup_teardown(name, world_open, close_track)

static const struct file *record_of(const struct world *w, const char *path)
{
    for (uint32_t i = 0; i < w->capture.context.n_files; i++)
        if (strcmp(w->capture.context.files[i].path, path) == 0)
            return &w->capture.context.files[i];
    return NULL;
}

/* ---- the census ---- */

static void counts_regular_files_below(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "t"));
    make_folder(in(w, "t/sub"));
    make_folder(in(w, "outside"));
    put_text(in(w, "t/a"), "12");
    put_text(in(w, "t/sub/\xff new\nline %2F"), "345");
    put_text(in(w, "outside/x"), "x");
    assert_int_equal(symlink(in(w, "outside"), in(w, "t/folder-link")), 0);
    assert_int_equal(symlink(in(w, "outside/x"), in(w, "t/file-link")), 0);
    assert_int_equal(mkfifo(in(w, "t/pipe"), 0600), 0);
    track(w, in(w, "t/"));
    track(w, in(w, "outside/x"));
    save(w);
    const struct context *context = w->restore.context;
    assert_int_equal(context->n_files, 3);
    assert_int_equal(context->n_tracked, 2);
    const struct tracked *tracked = context->tracked;
    if (tracked) {
        assert_string_equal(tracked[0].path, in(w, "t"));
        assert_int_equal(tracked[0].files, 2);
        assert_int_equal(tracked[0].bytes, 5);
        assert_int_equal(tracked[1].files, 1);
    }
    const struct file *odd = record_of(w, in(w, "t/sub/\xff new\nline %2F"));
    assert_non_null(odd);
    assert_int_equal(odd->flags, FILE_TRACKED);
    assert_int_equal(odd->content, FILE_CONTENT_SAVED);
    assert_null(record_of(w, in(w, "t/folder-link/x")));
}

static void an_open_file_is_counted_once_and_each_hard_link_too(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "t"));
    put_text(in(w, "t/a"), "1");
    assert_int_equal(link(in(w, "t/a"), in(w, "t/b")), 0);
    uint32_t id = note(w, in(w, "t/a"), O_RDWR, FILE_WRITTEN);
    track(w, in(w, "t"));
    track(w, w->root);
    decide(w);
    assert_int_equal(w->capture.context.n_files, 2);
    assert_int_equal(file_of(w, id)->flags, FILE_WRITTEN | FILE_TRACKED);
    assert_int_equal(record_of(w, in(w, "t/b"))->flags, FILE_TRACKED);
    assert_int_equal(w->capture.context.tracked[1].files, 2);
}

static void leaves_the_store_out(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "store"));
    make_folder(in(w, "store2"));
    put_text(in(w, "store/context"), "x");
    put_text(in(w, "store2/x"), "x");
    w->capture.request.exclude_path = strdup(in(w, "store"));
    track(w, w->root);
    save(w);
    assert_int_equal(w->restore.context->n_files, 1);
    assert_non_null(record_of(w, in(w, "store2/x")));
    put_text(in(w, "store/context2"), "x");
    roll_back(w);
    expect_text(in(w, "store/context2"), "x");
}

static void a_tracked_path_is_taken_where_it_leads(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "real"));
    put_text(in(w, "real/f"), "x");
    assert_int_equal(symlink("real", in(w, "link")), 0);
    track(w, in(w, "link"));
    track(w, in(w, "link/not yet/there"));
    decide(w);
    assert_string_equal(w->capture.context.tracked[0].path, in(w, "real"));
    assert_string_equal(w->capture.context.tracked[1].path, in(w, "real/not yet/there"));
    assert_non_null(record_of(w, in(w, "real/f")));
}

static void refuses_what_it_cannot_look_at(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "closed"));
    become_user(w);
    make_folder(in(w, "t"));
    make_folder(in(w, "t/closed"));
    assert_int_equal(chmod(in(w, "t/closed"), 0), 0);
    track(w, in(w, "t"));
    w->capture.request.track_paths = w->track;
    expect_message(w, files_decide(&w->capture, &w->err), CAESURA_EACCES_, "/t/closed, which --track asks for");
    assert_int_equal(chmod(in(w, "t/closed"), 0700), 0);
    free((char *)w->track[0]);
    w->track[0] = strdup("relative");
    expect_message(w, files_decide(&w->capture, &w->err), CAESURA_EINVAL_, "not relative");
}

static void warns_of_tracked_files_over_the_limit(void **state)
{
    struct world *w = *state;
    w->capture.request.copy_limit_bytes = 3;
    put_text(in(w, "large"), "1234");
    track(w, w->root);
    save(w);
    expect_told("/large has 4 bytes, over the limit of 3");
    put_text(in(w, "large"), "x23456");
    roll_back(w);
    expect_text(in(w, "large"), "x234");
    expect_text(kept(w, "large.tail@4"), "56");
    unlink(in(w, "large"));
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_ENOENT_, "/large");
    w->restore.options.allow_changed_files = true;
    roll_back(w);
    expect_told("/large is gone and was not saved");
}

/* ---- bringing back ---- */

static void tracked_files_come_back(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"grown", "changed", "cut", "removed", "same", "below/removed"};
    make_folder(in(w, "t"));
    make_folder(in(w, "t/below"));
    for (int i = 0; i < 6; i++) {
        char path[64];
        snprintf(path, sizeof path, "t/%s", names[i]);
        put_text(in(w, path), "contents");
        set_mtime(in(w, path), 1000 + i);
    }
    track(w, in(w, "t"));
    save(w);
    add_text(in(w, "t/grown"), " and more");
    put_text(in(w, "t/changed"), "CONTENTS");
    put_text(in(w, "t/cut"), "con");
    unlink(in(w, "t/removed"));
    unlink(in(w, "t/below/removed"));
    rmdir(in(w, "t/below"));
    roll_back(w);
    for (int i = 0; i < 6; i++) {
        char path[64];
        snprintf(path, sizeof path, "t/%s", names[i]);
        expect_text(in(w, path), "contents");
        assert_int_equal(stat_of(in(w, path)).st_mtim.tv_sec, 1000 + i);
    }
    expect_text(kept(w, "grown.tail@8"), " and more");
    expect_text(kept(w, "changed.replaced"), "CONTENTS");
    expect_text(kept(w, "cut.replaced"), "con");
    assert_int_equal(all_kept(w), 3);
}

/* Contents changed, size and modification time not: the change time tells. */
static void a_change_that_hides_is_found(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "contents");
    set_mtime(in(w, "f"), 1000);
    track(w, w->root);
    save(w);
    put_text(in(w, "f"), "CONTENTS");
    set_mtime(in(w, "f"), 1000);
    /* As if the checkpoint had been long ago. */
    w->restore.source.header.created_ns += 60000000000u;
    roll_back(w);
    expect_text(in(w, "f"), "contents");
}

/* A file that is open may be changed through a map, which no time need show. */
static void times_prove_nothing_of_an_open_file(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "contents");
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    track(w, w->root);
    save(w);
    put_text(in(w, "f"), "CONTENTS");
    struct stat st = stat_of(in(w, "f"));
    w->restore.source.context.files[0].mtime_ns = files_time_ns(&st.st_mtim);
    w->restore.source.context.files[0].ctime_ns = files_time_ns(&st.st_ctim);
    w->restore.source.header.created_ns += 60000000000u;
    roll_back(w);
    expect_text(in(w, "f"), "contents");
}

/* Within a clock tick of the checkpoint all times may be as they were. */
static void times_close_to_the_checkpoint_prove_nothing(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "contents");
    put_text(in(w, "old"), "contents");
    track(w, w->root);
    save(w);
    put_text(in(w, "f"), "CONTENTS");
    put_text(in(w, "old"), "CONTENTS");
    struct file *files = w->restore.source.context.files;
    for (uint32_t i = 0; i < 2; i++) {
        struct stat st = stat_of(files[i].path);
        files[i].mtime_ns = files_time_ns(&st.st_mtim);
        files[i].ctime_ns = files_time_ns(&st.st_ctim);
    }
    w->restore.source.header.created_ns = files[0].ctime_ns + 1000000000u;
    roll_back(w);
    expect_text(in(w, "f"), "contents");
    /* Long before it they do: the file is not even read. */
    put_text(in(w, "f"), "CONTENTS");
    struct stat st = stat_of(in(w, "f"));
    files[0].mtime_ns = files_time_ns(&st.st_mtim);
    files[0].ctime_ns = files_time_ns(&st.st_ctim);
    w->restore.source.header.created_ns = files[0].ctime_ns + 3000000000u;
    roll_back(w);
    expect_text(in(w, "f"), "CONTENTS");
}

static void a_file_replaced_by_rename_does_not_drag_its_successor_along(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "t"));
    put_text(in(w, "t/result"), "first");
    assert_int_equal(chmod(in(w, "t/result"), 0640), 0);
    track(w, in(w, "t"));
    save(w);
    put_text(in(w, "successor"), "second");
    assert_int_equal(link(in(w, "successor"), in(w, "t/result.new")), 0);
    assert_int_equal(rename(in(w, "t/result.new"), in(w, "t/result")), 0);
    roll_back(w);
    expect_text(in(w, "t/result"), "first");
    expect_text(in(w, "successor"), "second");
    assert_int_equal(stat_of(in(w, "t/result")).st_mode & 07777, 0640);
    expect_text(kept(w, "result.replaced"), "second");
    assert_int_equal(all_kept(w), 1);
}

static void a_replaced_file_that_is_open_is_rewritten_where_it_is(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "t"));
    put_text(in(w, "t/result"), "first");
    uint32_t id = note(w, in(w, "t/result"), O_RDWR, FILE_WRITTEN);
    track(w, in(w, "t"));
    save(w);
    put_text(in(w, "t/result.new"), "second");
    assert_int_equal(rename(in(w, "t/result.new"), in(w, "t/result")), 0);
    ino_t ino = stat_of(in(w, "t/result")).st_ino;
    roll_back(w);
    expect_text(in(w, "t/result"), "first");
    assert_int_equal(stat_of(in(w, "t/result")).st_ino, ino);
    int fd = open_file(w, id, O_RDWR);
    expect_fd(fd, "first", 5);
    close(fd);
    expect_text(kept(w, "result.replaced"), "second");
}

static void a_program_that_runs_is_replaced(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "t"));
    uint8_t program[65536];
    int sleep_fd = open("/bin/sleep", O_RDONLY | O_CLOEXEC);
    ssize_t size = read(sleep_fd, program, sizeof program);
    close(sleep_fd);
    assert_true(size > 0 && size < (ssize_t)sizeof program);
    put_text(in(w, "t/program"), "of before");
    track(w, in(w, "t"));
    save(w);
    put(in(w, "t/program"), program, (size_t)size);
    assert_int_equal(chmod(in(w, "t/program"), 0755), 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl(in(w, "t/program"), "sleep", "60", NULL);
        _exit(1);
    }
    char link[64], running[256] = "";
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    while (!strstr(running, "/t/program")) {
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        assert_true(readlink(link, running, sizeof running - 1) > 0);
        usleep(1000);
    }
    roll_back(w);
    expect_text(in(w, "t/program"), "of before");
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- what came later ---- */

static void later_files_are_moved_away(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "t"));
    put_text(in(w, "t/f"), "x");
    put_text(in(w, "outside"), "unharmed");
    track(w, in(w, "t"));
    track(w, in(w, "not yet"));
    save(w);
    make_folder(in(w, "t/sub"));
    put_text(in(w, "t/sub/later"), "later");
    put_text(in(w, "t/new\nline"), "odd");
    assert_int_equal(symlink(in(w, "outside"), in(w, "t/link")), 0);
    assert_int_equal(symlink(w->root, in(w, "t/up")), 0);
    make_folder(in(w, "not yet"));
    put_text(in(w, "not yet/f"), "even later");
    ino_t ino = stat_of(in(w, "t/sub/later")).st_ino;
    roll_back(w);
    assert_false(exists(in(w, "t/sub/later")));
    assert_false(exists(in(w, "not yet/f")));
    expect_text(in(w, "t/f"), "x");
    expect_text(in(w, "outside"), "unharmed");
    assert_true(exists(in(w, "t/link")));
    expect_text(kept(w, "%2Fsub%2Flater.later"), "later");
    assert_int_equal(stat_of(kept(w, "%2Fsub%2Flater.later")).st_ino, ino);
    expect_text(kept(w, "%2Fnew%0Aline.later"), "odd");
    expect_text(kept(w, "%2Fnot yet%2Ff.later"), "even later");
    assert_int_equal(all_kept(w), 3);
    expect_told("2 files that came to");
    /* A second time: both are kept. */
    put_text(in(w, "t/sub/later"), "later still");
    roll_back(w);
    expect_text(kept(w, "%2Fsub%2Flater.later.1"), "later still");
}

static void later_files_cross_file_systems(void **state)
{
    struct world *w = *state;
    char tracked[64], path[96];
    snprintf(tracked, sizeof tracked, "/dev/shm/caesura-track-%d", (int)getpid());
    snprintf(path, sizeof path, "%s/later", tracked);
    struct stat shm = stat_of("/dev/shm"), tmp = stat_of(w->root);
    if (shm.st_dev == tmp.st_dev)
        skip();
    make_folder(tracked);
    track(w, tracked);
    save(w);
    put_text(path, "later");
    set_mtime(path, 1000);
    roll_back(w);
    assert_false(exists(path));
    expect_text(kept(w, "later.later"), "later");
    assert_int_equal(stat_of(kept(w, "later.later")).st_mtim.tv_sec, 1000);
    assert_int_equal(all_kept(w), 1);
    rmdir(tracked);
}

static void the_aside_folder_may_be_tracked_itself(void **state)
{
    struct world *w = *state;
    put_text(in(w, "a"), "1");
    put_text(in(w, "z"), "1");
    track(w, w->root);
    save(w);
    snprintf(w->aside, sizeof w->aside, "%s/m.aside", w->root);
    for (int i = 0; i < 2; i++) {
        add_text(in(w, "a"), "2");
        put_text(in(w, "later"), "later");
        roll_back(w);
        assert_int_equal(all_kept(w), 2 + 2 * i);
        restore_end(w);
        restore_begin(w);
    }
    expect_text(kept(w, "a.tail@1.1"), "2");
    /* Nothing to do, so that the folder is not even opened: it is left alone all the same. */
    told[0] = 0;
    roll_back(w);
    assert_string_equal(told, "");
    assert_int_equal(all_kept(w), 4);
}

static void our_own_output_stays(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "t"));
    track(w, in(w, "t"));
    save(w);
    put_text(in(w, "t/output"), "restarting\n");
    put_text(in(w, "t/context"), "");
    int out = open(in(w, "t/output"), O_WRONLY | O_APPEND | O_CLOEXEC), saved = dup(0);
    int context = open(in(w, "t/context"), O_RDONLY | O_CLOEXEC), *fds = (int *)w->restore.source.fds, kept_fd = fds[0];
    dup2(out, 0);
    fds[0] = context;
    roll_back(w);
    dup2(saved, 0);
    fds[0] = kept_fd;
    close(out);
    close(saved);
    close(context);
    expect_text(in(w, "t/output"), "restarting\n");
    assert_true(exists(in(w, "t/context")));
    roll_back(w);
    assert_false(exists(in(w, "t/output")));
}

static void a_tracked_folder_that_became_a_link_is_refused(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "t"));
    make_folder(in(w, "victim"));
    put_text(in(w, "victim/f"), "unharmed");
    track(w, in(w, "t"));
    save(w);
    rmdir(in(w, "t"));
    assert_int_equal(symlink("victim", in(w, "t")), 0);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED, "/t, which was tracked");
    assert_int_equal(files_roll_back(&w->restore, &w->err), 0);
    expect_text(in(w, "victim/f"), "unharmed");
}

static void a_folder_closed_later_does_not_stop_the_restart(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "t"));
    become_user(w);
    track(w, in(w, "t"));
    make_folder(in(w, "u"));
    free((char *)w->track[0]);
    w->track[0] = strdup(in(w, "u"));
    save(w);
    make_folder(in(w, "u/closed"));
    assert_int_equal(chmod(in(w, "u/closed"), 0), 0);
    roll_back(w);
    expect_told("/u/closed is tracked, but what came there after the checkpoint stays: Permission denied");
    assert_int_equal(chmod(in(w, "u/closed"), 0700), 0);
}

static void tracked_paths_are_relocated(void **state)
{
    struct world *w = *state;
    make_folder(in(w, "old"));
    put_text(in(w, "old/f"), "contents");
    track(w, in(w, "old"));
    save(w);
    char *from = strdup(in(w, "old")), *to = strdup(in(w, "new"));
    w->restore.options.relocations[0] = (struct relocation){.from = from, .to = to};
    w->restore.options.n_relocations = 1;
    assert_int_equal(rename(from, to), 0);
    put_text(in(w, "new/later"), "later");
    put_text(in(w, "new/f"), "CONTENTS");
    roll_back(w);
    expect_text(in(w, "new/f"), "contents");
    assert_false(exists(in(w, "new/later")));
    expect_text(kept(w, "%2Fnew%2Flater.later"), "later");
    free(from);
    free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        track_test(counts_regular_files_below),
        track_test(an_open_file_is_counted_once_and_each_hard_link_too),
        track_test(leaves_the_store_out),
        track_test(a_tracked_path_is_taken_where_it_leads),
        track_test(refuses_what_it_cannot_look_at),
        track_test(warns_of_tracked_files_over_the_limit),
        track_test(tracked_files_come_back),
        track_test(a_change_that_hides_is_found),
        track_test(times_close_to_the_checkpoint_prove_nothing),
        track_test(times_prove_nothing_of_an_open_file),
        track_test(a_file_replaced_by_rename_does_not_drag_its_successor_along),
        track_test(a_replaced_file_that_is_open_is_rewritten_where_it_is),
        track_test(a_program_that_runs_is_replaced),
        track_test(later_files_are_moved_away),
        track_test(later_files_cross_file_systems),
        track_test(the_aside_folder_may_be_tracked_itself),
        track_test(our_own_output_stays),
        track_test(a_tracked_folder_that_became_a_link_is_refused),
        track_test(a_folder_closed_later_does_not_stop_the_restart),
        track_test(tracked_paths_are_relocated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
