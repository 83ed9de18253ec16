/* test_files_restore.c - the restart side of files/: checking and rolling back. */
#include "files_world.h"

#include <sched.h>
#include <sys/mount.h>

/* ---- grown: cut ---- */

static void cuts_what_grew_and_keeps_the_tail(void **state)
{
    struct world *w = *state;
    put_text(in(w, "out.log"), "before\n");
    set_mtime(in(w, "out.log"), 1000);
    struct stat was = stat_of(in(w, "out.log"));
    uint32_t id = note(w, in(w, "out.log"), O_WRONLY | O_APPEND, FILE_APPENDED);
    save(w);
    add_text(in(w, "out.log"), "after\n");
    roll_back(w);
    expect_text(in(w, "out.log"), "before\n");
    expect_text(kept(w, "%2Fout.log.tail@7"), "after\n");
    struct stat now = stat_of(in(w, "out.log")), folder = stat_of(w->aside);
    assert_int_equal(now.st_ino, was.st_ino);
    assert_int_equal(now.st_mtim.tv_sec, 1000);
    assert_int_equal(folder.st_mode & 0777, 0700);
    assert_int_equal(stat_of(kept(w, "tail")).st_mode & 0777, 0600);
    expect_told("6 bytes written after the checkpoint were cut off");
    int fd = open_file(w, id, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "again\n", 6), 6);
    close(fd);
    expect_text(in(w, "out.log"), "before\nagain\n");
}

static void cuts_without_saved_contents(void **state)
{
    struct world *w = *state;
    size_t size = (1 << 20) + 5;
    put_pattern(in(w, "out.log"), size, 1);
    note(w, in(w, "out.log"), O_WRONLY | O_APPEND, FILE_APPENDED);
    save(w);
    assert_int_equal(w->restore.source.n_data, 0);
    add_text(in(w, "out.log"), "after\n");
    roll_back(w);
    expect_pattern(in(w, "out.log"), size, 1);
    expect_text(kept(w, "tail@1048581"), "after\n");
}

static void keeps_every_tail(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "12");
    note(w, in(w, "f"), O_WRONLY | O_APPEND, FILE_APPENDED);
    save(w);
    static const char *const names[] = {"f.tail@2", "f.tail@2.1", "f.tail@2.2"};
    for (int i = 0; i < 3; i++) {
        char tail[2] = {(char)('a' + i)};
        add_text(in(w, "f"), tail);
        restore_end(w);
        restore_begin(w);
        roll_back(w);
    }
    for (int i = 0; i < 3; i++) {
        char path[256], tail[2] = {(char)('a' + i)};
        snprintf(path, sizeof path, "%s/%%2Ftmp%%2F%s%%2F%s", w->aside, strrchr(w->root, '/') + 1, names[i]);
        expect_text(path, tail);
    }
}

static void names_in_the_aside_folder_tell_the_path(void **state)
{
    struct world *w = *state;
    char long_name[256];
    static const char *const names[] = {"two words", "new\nline", "100%", "a%2Fb", "\xff\xfe"};
    static const char *const encoded[] = {"%2Ftwo words.tail@1", "%2Fnew%0Aline.tail@1", "%2F100%25.tail@1",
                                          "%2Fa%252Fb.tail@1", "%2F\xff\xfe.tail@1"};
    memset(long_name, 'n', 255);
    long_name[255] = 0;
    put_text(in(w, long_name), "1");
    note(w, in(w, long_name), O_WRONLY | O_APPEND, FILE_APPENDED);
    for (int i = 0; i < 5; i++) {
        put_text(in(w, names[i]), "1");
        note(w, in(w, names[i]), O_WRONLY | O_APPEND, FILE_APPENDED);
    }
    save(w);
    add_text(in(w, long_name), "long");
    for (int i = 0; i < 5; i++)
        add_text(in(w, names[i]), names[i]);
    roll_back(w);
    for (int i = 0; i < 5; i++) {
        expect_text(in(w, names[i]), "1");
        expect_text(kept(w, encoded[i]), names[i]);
    }
    expect_text(kept(w, "nnnnnnnn.tail@1"), "long");
    assert_int_equal(all_kept(w), 6);
}

static void a_tail_with_a_hole_stays_sparse(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "1");
    note(w, in(w, "f"), O_WRONLY, FILE_WRITTEN);
    save(w);
    assert_int_equal(truncate(in(w, "f"), 1 << 28), 0);
    add_text(in(w, "f"), "end");
    roll_back(w);
    expect_text(in(w, "f"), "1");
    struct stat st = stat_of(kept(w, "tail@1"));
    assert_int_equal(st.st_size, (1 << 28) + 3 - 1);
    assert_true(st.st_blocks < 100);
}

/* ---- changed in place ---- */

static void restores_what_changed_in_place(void **state)
{
    struct world *w = *state;
    size_t size = 100000;
    put_pattern(in(w, "data"), size, 1);
    set_mtime(in(w, "data"), 1000);
    struct stat was = stat_of(in(w, "data"));
    note(w, in(w, "data"), O_RDWR, FILE_WRITTEN);
    save(w);
    uint8_t *changed = pattern(size + 10, 1);
    memcpy(changed + 50000, "changed", 8);
    put(in(w, "data"), changed, size + 10);
    roll_back(w);
    expect_pattern(in(w, "data"), size, 1);
    expect(kept(w, "data.replaced"), changed, size + 10);
    assert_int_equal(all_kept(w), 1);
    assert_int_equal(stat_of(in(w, "data")).st_ino, was.st_ino);
    assert_int_equal(stat_of(in(w, "data")).st_mtim.tv_sec, 1000);
    free(changed);
}

static void a_store_that_no_time_shows_is_undone(void **state)
{
    struct world *w = *state;
    put_text(in(w, "data"), "before");
    set_mtime(in(w, "data"), 1000);
    note(w, in(w, "data"), O_RDWR, FILE_WRITTEN | FILE_MAPPED);
    save(w);
    put_text(in(w, "data"), "after!");
    set_mtime(in(w, "data"), 1000);
    roll_back(w);
    expect_text(in(w, "data"), "before");
}

static void holes_come_back_where_data_was_written(void **state)
{
    struct world *w = *state;
    int fd = open(in(w, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    uint8_t *data = pattern(1 << 20, 3), *image = calloc(1, 1 << 20);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(pwrite(fd, "x", 1, 300001), 1);
    image[300001] = 'x';
    note_fd(w, fd, FILE_WRITTEN);
    save(w);
    assert_int_equal(pwrite(fd, data, 1 << 20, 0), 1 << 20);
    roll_back(w);
    expect_fd(fd, image, 1 << 20);
    assert_true(stat_of(in(w, "f")).st_blocks < 200);
    expect(kept(w, "f.replaced"), data, 1 << 20);
    close(fd);
    free(data);
    free(image);
}

static void restores_what_was_cut(void **state)
{
    struct world *w = *state;
    put_pattern(in(w, "f"), 20000, 1);
    put_pattern(in(w, "g"), 20000, 2);
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    note(w, in(w, "g"), O_RDWR, FILE_WRITTEN);
    save(w);
    assert_int_equal(truncate(in(w, "f"), 5000), 0);
    assert_int_equal(truncate(in(w, "g"), 0), 0);
    roll_back(w);
    expect_pattern(in(w, "f"), 20000, 1);
    expect_pattern(in(w, "g"), 20000, 2);
    uint8_t *rest = pattern(20000, 1);
    expect(kept(w, "f.replaced"), rest, 5000);
    assert_int_equal(all_kept(w), 1);
    free(rest);
}

static void leaves_alone_what_is_as_it_was(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "same");
    set_mtime(in(w, "f"), 1000);
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    save(w);
    struct stat was = stat_of(in(w, "f"));
    roll_back(w);
    struct stat now = stat_of(in(w, "f"));
    assert_int_equal(files_time_ns(&now.st_ctim), files_time_ns(&was.st_ctim));
    assert_false(exists(w->aside));
    assert_string_equal(told, "");
    /* Written again with the same contents: only the time goes back. */
    put_text(in(w, "f"), "same");
    roll_back(w);
    assert_int_equal(stat_of(in(w, "f")).st_mtim.tv_sec, 1000);
    assert_false(exists(w->aside));
}

static void writes_to_a_file_that_its_owner_made_read_only(void **state)
{
    struct world *w = *state;
    become_user(w);
    put_text(in(w, "f"), "before");
    uint32_t id = note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    save(w);
    put_text(in(w, "f"), "after!");
    assert_int_equal(chmod(in(w, "f"), 0444), 0);
    roll_back(w);
    expect_text(in(w, "f"), "before");
    int fd = open_file(w, id, O_RDWR);
    assert_int_equal(pwrite(fd, "B", 1, 0), 1);
    close(fd);
    assert_int_equal(stat_of(in(w, "f")).st_mode & 0777, 0444);
}

static void another_users_file_that_cannot_be_written_is_refused_before(void **state)
{
    struct world *w = *state;
    if (geteuid() != 0)
        skip();
    put_text(in(w, "f"), "before");
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    save(w);
    become_user(w);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EACCES_, "/f has to be brought back");
}

/* ---- without saved contents ---- */

static void over_the_limit_only_growth_is_undone(void **state)
{
    struct world *w = *state;
    w->capture.request.copy_limit_bytes = 3;
    put_text(in(w, "f"), "1234");
    put_text(in(w, "g"), "1234");
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    note(w, in(w, "g"), O_RDWR, FILE_WRITTEN);
    save(w);
    put_text(in(w, "f"), "x234567");
    put_text(in(w, "g"), "x234");
    set_mtime(in(w, "g"), 2000);
    roll_back(w);
    expect_text(in(w, "f"), "x234");
    expect_text(kept(w, "f.tail@4"), "567");
    expect_text(in(w, "g"), "x234");
    expect_told("/f was not saved: only what was added to it is taken away");
    expect_told("/g was not saved and has changed");
}

static void shorter_and_not_saved_is_refused_unless_allowed(void **state)
{
    struct world *w = *state;
    put_pattern(in(w, "f"), (1 << 20) + 5, 1);
    note(w, in(w, "f"), O_WRONLY | O_APPEND, FILE_APPENDED);
    save(w);
    assert_int_equal(truncate(in(w, "f"), 10), 0);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED, "/f is not what it was");
    assert_non_null(strstr(w->err.remedy, "--allow-changed-files"));
    w->restore.options.allow_changed_files = true;
    roll_back(w);
    expect_told("/f is shorter than at the checkpoint");
    assert_int_equal(stat_of(in(w, "f")).st_size, 10);
}

/* ---- missing ---- */

static void makes_missing_files_again(void **state)
{
    struct world *w = *state;
    assert_int_equal(mkdir(in(w, "a"), 0755), 0);
    assert_int_equal(mkdir(in(w, "a/b"), 0755), 0);
    put_text(in(w, "a/b/f"), "contents");
    assert_int_equal(chmod(in(w, "a/b/f"), 0640), 0);
    set_mtime(in(w, "a/b/f"), 1000);
    uint32_t id = note(w, in(w, "a/b/f"), O_WRONLY | O_APPEND, FILE_APPENDED);
    save(w);
    unlink(in(w, "a/b/f"));
    rmdir(in(w, "a/b"));
    rmdir(in(w, "a"));
    assert_int_equal(files_check(&w->restore, &w->err), 0);
    assert_false(exists(in(w, "a")));
    roll_back(w);
    expect_text(in(w, "a/b/f"), "contents");
    struct stat st = stat_of(in(w, "a/b/f"));
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_mtim.tv_sec, 1000);
    assert_int_equal(st.st_uid, geteuid());
    expect_told("/f was gone and has been made again");
    close(open_file(w, id, O_WRONLY | O_APPEND));
}

static void a_remade_file_lends_no_rights(void **state)
{
    struct world *w = *state;
    if (geteuid() != 0)
        skip();
    put_text(in(w, "f"), "x");
    assert_int_equal(chmod(in(w, "f"), 06755), 0);
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    save(w);
    unlink(in(w, "f"));
    become_user(w);
    roll_back(w);
    assert_int_equal(stat_of(in(w, "f")).st_uid, 65534);
    assert_int_equal(stat_of(in(w, "f")).st_mode & 07777, 0755);
}

static void missing_and_not_saved_is_refused(void **state)
{
    struct world *w = *state;
    char remedy[128];
    put_pattern(in(w, "f"), (1 << 20) + 5, 1);
    note(w, in(w, "f"), O_RDONLY, 0);
    save(w);
    assert_int_equal(rename(in(w, "f"), in(w, "moved")), 0);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_ENOENT_, "/f, which the context needs, is missing");
    snprintf(remedy, sizeof remedy, "--relocate %s=NEW", in(w, "f"));
    assert_non_null(strstr(w->err.remedy, remedy));
}

static void finds_files_at_their_new_place(void **state)
{
    struct world *w = *state;
    assert_int_equal(mkdir(in(w, "old"), 0755), 0);
    put_text(in(w, "old/log"), "before");
    put_text(in(w, "old/gone"), "saved");
    uint32_t id = note(w, in(w, "old/log"), O_WRONLY | O_APPEND, FILE_APPENDED);
    note(w, in(w, "old/gone"), O_WRONLY | O_APPEND, FILE_APPENDED);
    save(w);
    char *from = strdup(in(w, "old")), *to = strdup(in(w, "new"));
    w->restore.options.relocations[0] = (struct relocation){.from = from, .to = to};
    w->restore.options.n_relocations = 1;
    assert_int_equal(rename(from, to), 0);
    unlink(in(w, "new/gone"));
    add_text(in(w, "new/log"), " after");
    roll_back(w);
    expect_text(in(w, "new/log"), "before");
    expect_text(in(w, "new/gone"), "saved");
    assert_false(exists(from));
    kept(w, "%2Fnew%2Flog.tail@6");
    int fd = open_file(w, id, O_RDWR);
    expect_fd(fd, "before", 6);
    close(fd);
    free(from);
    free(to);
}

static void refuses_what_is_no_regular_file_any_more(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "x");
    uint32_t id = note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    save(w);
    w->restore.options.allow_changed_files = true;
    unlink(in(w, "f"));

    assert_int_equal(mkdir(in(w, "f"), 0755), 0);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED, "/f is a folder now");
    rmdir(in(w, "f"));
    assert_int_equal(mkfifo(in(w, "f"), 0600), 0);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED, "/f is a pipe now");
    expect_message(w, files_open(&w->restore, id, O_RDWR, &w->err), CAESURA_EFILECHANGED, "/f is a pipe now");
    unlink(in(w, "f"));
    put_text(in(w, "victim"), "unharmed, and longer");
    assert_int_equal(symlink(in(w, "victim"), in(w, "f")), 0);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED, "/f is a symbolic link now");
    expect_message(w, files_roll_back(&w->restore, &w->err), CAESURA_EFILECHANGED, "/f is a symbolic link now");
    expect_text(in(w, "victim"), "unharmed, and longer");
    if (geteuid() == 0) {
        unlink(in(w, "f"));
        if (mknod(in(w, "f"), S_IFCHR | 0600, 0x103) == 0)
            expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED, "/f is a device now");
    }
}

static void a_link_that_dangles_is_no_missing_file(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "x");
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    save(w);
    unlink(in(w, "f"));
    assert_int_equal(symlink(in(w, "victim"), in(w, "f")), 0);
    expect_message(w, files_roll_back(&w->restore, &w->err), CAESURA_EFILECHANGED, "/f is a symbolic link now");
    assert_false(exists(in(w, "victim")));
}

/* ---- the aside folder ---- */

static void a_folder_that_others_can_write_is_not_used(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "1");
    note(w, in(w, "f"), O_WRONLY | O_APPEND, FILE_APPENDED);
    save(w);
    add_text(in(w, "f"), "2");
    assert_int_equal(mkdir(w->aside, 0700), 0);
    assert_int_equal(chmod(w->aside, 0777), 0);
    expect_message(w, files_roll_back(&w->restore, &w->err), CAESURA_EUNTRUSTED, w->aside);
    expect_text(in(w, "f"), "12");
    rmdir(w->aside);
    assert_int_equal(symlink(w->root, w->aside), 0);
    assert_true(files_roll_back(&w->restore, &w->err) < 0);
    expect_text(in(w, "f"), "12");
    unlink(w->aside);
    w->restore.options.aside = NULL;
    expect_message(w, files_roll_back(&w->restore, &w->err), CAESURA_EINVAL_, "no folder");
    expect_text(in(w, "f"), "12");
}

static int full_disk(struct world *w)
{
    uint8_t *changed = pattern(500000, 2);
    put_text(in(w, "log"), "before");
    put_pattern(in(w, "data"), 500000, 1);
    note(w, in(w, "log"), O_WRONLY | O_APPEND, FILE_APPENDED);
    note(w, in(w, "data"), O_RDWR, FILE_WRITTEN);
    save(w);
    put(in(w, "log"), "before", 6);
    int fd = open(in(w, "log"), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, changed, 500000), 500000);
    close(fd);
    put(in(w, "data"), changed, 500000);
    assert_int_equal(mkdir(w->aside, 0700), 0);
    assert_int_equal(mount("none", w->aside, "tmpfs", 0, "size=256k,mode=0700"), 0);
    assert_int_equal(files_check(&w->restore, &w->err), 0);
    expect_message(w, files_roll_back(&w->restore, &w->err), CAESURA_ENOSPC_, "the folder for what is replaced");
    assert_int_equal(all_kept(w), 0);
    assert_int_equal(stat_of(in(w, "log")).st_size, 500006);
    expect(in(w, "data"), changed, 500000);
    /* With room for one of them: the other stays as it is. */
    assert_int_equal(mount("none", w->aside, "tmpfs", MS_REMOUNT, "size=700k"), 0);
    expect_message(w, files_roll_back(&w->restore, &w->err), CAESURA_ENOSPC_, "the folder for what is replaced");
    expect_text(in(w, "log"), "before");
    expect(kept(w, "log.tail@6"), changed, 500000);
    expect(in(w, "data"), changed, 500000);
    assert_int_equal(mount("none", w->aside, "tmpfs", MS_REMOUNT, "size=2m"), 0);
    roll_back(w);
    expect_pattern(in(w, "data"), 500000, 1);
    expect(kept(w, "data.replaced"), changed, 500000);
    free(changed);
    return 0;
}

static void nothing_is_lost_when_the_disk_is_full(void **state)
{
    struct world *w = *state;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(77);
        int rc = full_disk(w);
        files_end(&w->restore);
        umount2(w->aside, MNT_DETACH);
        _exit(rc);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("needs the right to mount: a full disk is not tried\n");
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        files_test(cuts_what_grew_and_keeps_the_tail),
        files_test(cuts_without_saved_contents),
        files_test(keeps_every_tail),
        files_test(names_in_the_aside_folder_tell_the_path),
        files_test(a_tail_with_a_hole_stays_sparse),
        files_test(restores_what_changed_in_place),
        files_test(a_store_that_no_time_shows_is_undone),
        files_test(holes_come_back_where_data_was_written),
        files_test(restores_what_was_cut),
        files_test(leaves_alone_what_is_as_it_was),
        files_test(writes_to_a_file_that_its_owner_made_read_only),
        files_test(another_users_file_that_cannot_be_written_is_refused_before),
        files_test(over_the_limit_only_growth_is_undone),
        files_test(shorter_and_not_saved_is_refused_unless_allowed),
        files_test(makes_missing_files_again),
        files_test(a_remade_file_lends_no_rights),
        files_test(missing_and_not_saved_is_refused),
        files_test(finds_files_at_their_new_place),
        files_test(refuses_what_is_no_regular_file_any_more),
        files_test(a_link_that_dangles_is_no_missing_file),
        files_test(a_folder_that_others_can_write_is_not_used),
        files_test(nothing_is_lost_when_the_disk_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
