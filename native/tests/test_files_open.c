/* test_files_open.c - the restart side of files/: files that are only read, programs, files without a name, opening. */
#include "files_world.h"

/* ---- read-only files ---- */

static void a_changed_script_is_read_from_an_own_copy(void **state)
{
    struct world *w = *state;
    put_text(in(w, "script"), "echo one\n");
    set_mtime(in(w, "script"), 1000);
    uint32_t id = note(w, in(w, "script"), O_RDONLY, 0);
    save(w);
    put_text(in(w, "script"), "echo two\n");
    roll_back(w);
    expect_text(in(w, "script"), "echo two\n");
    expect_told("/script has changed since the checkpoint: the processes get the saved copy");
    int one = open_file(w, id, O_RDONLY), two = open_file(w, id, O_RDONLY);
    struct stat a, b;
    assert_int_equal(fstat(one, &a), 0);
    assert_int_equal(fstat(two, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    assert_int_equal(a.st_nlink, 0);
    expect_fd(one, "echo one\n", 9);
    assert_int_equal(files_seal(&w->restore, &w->err), 0);
    assert_int_equal(fstat(one, &a), 0);
    assert_int_equal(a.st_mtim.tv_sec, 1000);
    assert_int_equal(a.st_mode & 0777, 0644);
    close(one);
    close(two);
    assert_false(exists(w->aside));
}

static void a_missing_script_is_read_from_an_own_copy(void **state)
{
    struct world *w = *state;
    put_text(in(w, "script"), "echo one\n");
    uint32_t id = note(w, in(w, "script"), O_RDONLY, 0);
    save(w);
    unlink(in(w, "script"));
    roll_back(w);
    int fd = open_file(w, id, O_RDONLY);
    expect_fd(fd, "echo one\n", 9);
    assert_false(exists(in(w, "script")));
    close(fd);
}

static void a_touched_script_is_the_same_script(void **state)
{
    struct world *w = *state;
    put_text(in(w, "script"), "echo one\n");
    uint32_t id = note(w, in(w, "script"), O_RDONLY, 0);
    save(w);
    set_mtime(in(w, "script"), 5000);
    roll_back(w);
    int fd = open_file(w, id, O_RDONLY);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_ino, stat_of(in(w, "script")).st_ino);
    assert_int_equal(stat_of(in(w, "script")).st_mtim.tv_sec, 5000);
    close(fd);
}

static void a_read_only_file_that_grew_is_used_if_it_was_not_saved(void **state)
{
    struct world *w = *state;
    put_text(in(w, "small"), "start");
    put_pattern(in(w, "large"), (1 << 20) + 5, 1);
    uint32_t small = note(w, in(w, "small"), O_RDONLY, 0), large = note(w, in(w, "large"), O_RDONLY, 0);
    save(w);
    add_text(in(w, "small"), " and more");
    add_text(in(w, "large"), "more");
    roll_back(w);
    expect_told("/small has changed since the checkpoint: the processes get the saved copy");
    expect_told("/large has grown since the checkpoint");
    int fd = open_file(w, small, O_RDONLY);
    expect_fd(fd, "start", 5);
    close(fd);
    fd = open_file(w, large, O_RDONLY);
    assert_int_equal(lseek(fd, 0, SEEK_END), (1 << 20) + 9);
    close(fd);
}

static void a_large_input_that_changed_is_refused_unless_allowed(void **state)
{
    struct world *w = *state;
    put_pattern(in(w, "input"), (1 << 20) + 5, 1);
    set_mtime(in(w, "input"), 1000);
    uint32_t id = note(w, in(w, "input"), O_RDONLY, 0);
    save(w);
    assert_int_equal(files_check(&w->restore, &w->err), 0);
    set_mtime(in(w, "input"), 2000);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED, "/input is not what it was");
    assert_non_null(strstr(w->err.message, "1000.000000000"));
    w->restore.options.allow_changed_files = true;
    roll_back(w);
    expect_told("/input has changed since the checkpoint and is used nevertheless");
    close(open_file(w, id, O_RDONLY));
}

/* ---- programs and libraries ---- */

/* A program with a build-id of our own making, from the test's own. */
static void put_program(const char *path, uint8_t mark)
{
    struct blob id = {0};
    struct caesura_error err;
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(self, &st), 0);
    uint8_t *program = malloc((size_t)st.st_size);
    assert_int_equal(pread(self, program, (size_t)st.st_size, 0), st.st_size);
    assert_int_equal(elf_build_id(self, "self", &id, &err), 0);
    assert_true(id.size > 0);
    uint8_t *at = memmem(program, (size_t)st.st_size, id.data, id.size);
    assert_non_null(at);
    at[0] = mark;
    put(path, program, (size_t)st.st_size);
    free(program);
    free(id.data);
    close(self);
}

static void programs_are_known_by_their_build_id(void **state)
{
    struct world *w = *state;
    put_program(in(w, "program"), 1);
    uint32_t id = note_mapped(w, in(w, "program"), FILE_EXECUTED);
    save(w);
    set_mtime(in(w, "program"), 5000);
    assert_int_equal(files_check(&w->restore, &w->err), 0);
    assert_string_equal(told, "");
    put_program(in(w, "program"), 2);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED,
                   "/program, which is mapped, is another build");
    assert_non_null(strstr(w->err.message, "build-id was 01"));
    assert_non_null(strstr(w->err.message, "is 02"));
    put_text(in(w, "program"), "#!/bin/sh");
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED, "and is not there");
    w->restore.options.allow_changed_files = true;
    roll_back(w);
    close(open_file(w, id, O_RDONLY));
    unlink(in(w, "program"));
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_ENOENT_, "/program, which the context needs");
}

static void programs_without_build_id_are_known_by_size_and_time(void **state)
{
    struct world *w = *state;
    put_text(in(w, "program"), "no elf");
    note_mapped(w, in(w, "program"), FILE_EXECUTED);
    save(w);
    assert_int_equal(files_check(&w->restore, &w->err), 0);
    set_mtime(in(w, "program"), 5000);
    expect_message(w, files_check(&w->restore, &w->err), CAESURA_EFILECHANGED, "/program is not what it was");
}

static void saved_programs_are_used_only_where_needed(void **state)
{
    struct world *w = *state;
    w->capture.request.flags = CAESURA_SAVE_EXE;
    put_program(in(w, "program"), 1);
    assert_int_equal(chmod(in(w, "program"), 0755), 0);
    uint32_t id = note_mapped(w, in(w, "program"), FILE_EXECUTED);
    struct process *process = list_add(&w->capture.context.processes, &w->capture.context.n_processes);
    process->exe_file = id;
    save(w);
    roll_back(w);
    int fd = open_file(w, id, O_RDONLY);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_ino, stat_of(in(w, "program")).st_ino);
    close(fd);
    for (int missing = 0; missing < 2; missing++) {
        if (missing)
            unlink(in(w, "program"));
        else
            put_program(in(w, "program"), 2);
        restore_end(w);
        restore_begin(w);
        roll_back(w);
        fd = open_file(w, id, O_RDONLY);
        struct blob build_id;
        assert_int_equal(elf_build_id(fd, "copy", &build_id, &w->err), 0);
        assert_int_equal(((uint8_t *)build_id.data)[0], 1);
        free(build_id.data);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_mode & 0100);
        assert_int_equal(exists(in(w, "program")), !missing);
        void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        assert_true(map != MAP_FAILED);
        munmap(map, 4096);
        close(fd);
    }
}

/* ---- opening ---- */

static void opens_one_file_with_different_flags(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "0123");
    uint32_t id = note(w, in(w, "f"), O_RDONLY, 0);
    note(w, in(w, "f"), O_WRONLY | O_APPEND, FILE_APPENDED);
    save(w);
    add_text(in(w, "f"), "tail");
    roll_back(w);
    int reader = open_file(w, id, O_RDONLY | O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW | 0100000 /* O_LARGEFILE */);
    int writer = open_file(w, id, O_WRONLY | O_APPEND);
    expect_fd(reader, "0123", 4);
    assert_int_equal(write(writer, "45", 2), 2);
    expect_fd(reader, "012345", 6);
    assert_int_equal(write(reader, "x", 1), -1);
    assert_int_equal(fcntl(writer, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
    assert_int_equal(fcntl(reader, F_GETFD), FD_CLOEXEC);
    close(reader);
    close(writer);
}

static uint32_t note_deleted(struct world *w, const char *path, const char *text, uint32_t flags)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, 0), 0);
    unlink(path);
    uint32_t id = note_fd(w, fd, flags);
    close(fd);
    return id;
}

static const char *proc_name(int fd)
{
    static char name[8192];
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, name, sizeof name - 1);
    assert_true(size > 0);
    name[size] = 0;
    return name;
}

static void deleted_files_come_back_without_a_name(void **state)
{
    struct world *w = *state;
    become_user(w);
    uint32_t id = note_deleted(w, in(w, "temporary"), "contents", FILE_WRITTEN);
    save(w);
    roll_back(w);
    int one = open_file(w, id, O_RDWR | O_TMPFILE), two = open_file(w, id, O_WRONLY | O_APPEND);
    char wanted[256];
    snprintf(wanted, sizeof wanted, "%s (deleted)", in(w, "temporary"));
    assert_string_equal(proc_name(one), wanted);
    assert_false(exists(in(w, "temporary")));
    assert_int_equal(write(two, "!", 1), 1);
    expect_fd(one, "contents!", 9);
    assert_int_equal(files_seal(&w->restore, &w->err), 0);
    struct stat st;
    assert_int_equal(fstat(one, &st), 0);
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_mode & 07777, 0);
    expect_message(w, files_open(&w->restore, id, O_RDONLY, &w->err), CAESURA_EENGINE, "was opened after");
    close(one);
    close(two);
}

static void a_deleted_files_name_may_be_taken(void **state)
{
    struct world *w = *state;
    uint32_t id = note_deleted(w, in(w, "temporary"), "contents", FILE_WRITTEN);
    save(w);
    put_text(in(w, "victim"), "unharmed");
    assert_int_equal(symlink(in(w, "victim"), in(w, "temporary")), 0);
    roll_back(w);
    int fd = open_file(w, id, O_RDWR);
    expect_fd(fd, "contents", 8);
    close(fd);
    assert_true(exists(in(w, "temporary")));
    expect_text(in(w, "victim"), "unharmed");
    /* Nothing but these two is left. */
    unlink(in(w, "temporary"));
    unlink(in(w, "victim"));
    assert_int_equal(rmdir(w->root), 0);
    assert_int_equal(mkdir(w->root, 0700), 0);
}

static void a_deleted_files_folder_may_be_gone(void **state)
{
    struct world *w = *state;
    assert_int_equal(mkdir(in(w, "folder"), 0755), 0);
    uint32_t id = note_deleted(w, in(w, "folder/temporary"), "contents", FILE_WRITTEN);
    save(w);
    assert_int_equal(rmdir(in(w, "folder")), 0);
    roll_back(w);
    int fd = open_file(w, id, O_RDWR), again = open_file(w, id, O_RDONLY);
    expect_fd(again, "contents", 8);
    close(fd);
    close(again);
    assert_false(exists(in(w, "folder")));
}

static void memfds_come_back_with_contents_and_seals(void **state)
{
    struct world *w = *state;
    uint8_t *data = pattern(100000, 1);
    int fd = memfd_create("my memory", MFD_CLOEXEC | MFD_ALLOW_SEALING),
        seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL;
    assert_int_equal(write(fd, data, 100000), 100000);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    uint32_t sealed = note_fd(w, fd, FILE_WRITTEN);
    close(fd);
    fd = memfd_create("plain", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, 5), 0);
    uint32_t plain = note_fd(w, fd, FILE_WRITTEN);
    close(fd);
    save(w);
    roll_back(w);
    int one = open_file(w, sealed, O_RDWR), two = open_file(w, sealed, O_RDONLY), three = open_file(w, plain, O_RDWR);
    assert_string_equal(proc_name(one), "/memfd:my memory (deleted)");
    assert_int_equal(fcntl(one, F_GET_SEALS), 0);
    assert_int_equal(files_seal(&w->restore, &w->err), 0);
    assert_int_equal(fcntl(one, F_GET_SEALS), seals);
    assert_int_equal(fcntl(three, F_GET_SEALS), F_SEAL_SEAL);
    assert_int_equal(pwrite(one, "x", 1, 0), -1);
    expect_fd(two, data, 100000);
    expect_fd(three, "\0\0\0\0\0", 5);
    close(one);
    close(two);
    close(three);
    free(data);
}

static void memfds_on_huge_pages_come_back(void **state)
{
    struct world *w = *state;
    const size_t huge = 2u << 20;
    int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | 21u << 26);
    char *map = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, 3 * (off_t)huge) == 0)
        map = mmap(NULL, 3 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        print_message("needs three free huge pages of 2 MiB (vm.nr_hugepages): not tried\n");
        close(fd);
        skip();
    }
    memcpy(map + huge + 5000, "middle", 7);
    munmap(map, 3 * huge);
    uint32_t id = note_fd(w, fd, FILE_WRITTEN);
    close(fd);
    assert_int_equal(file_of(w, id)->huge_shift, 21);
    save(w);
    roll_back(w);
    fd = open_file(w, id, O_RDWR);
    struct stat st;
    char middle[6];
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 3 * huge);
    assert_int_equal(st.st_blksize, huge);
    assert_int_equal(pread(fd, middle, 6, (off_t)huge + 5000), 6);
    assert_memory_equal(middle, "middle", 6);
    close(fd);
}

static void shared_memory_of_another_machine_is_made_again(void **state)
{
    struct world *w = *state;
    char written[64], read[64];
    w->capture.request.copy_limit_bytes = 0;
    snprintf(written, sizeof written, "/dev/shm/caesura-test-%d-w", (int)getpid());
    snprintf(read, sizeof read, "/dev/shm/caesura-test-%d-r", (int)getpid());
    put_text(written, "shared");
    put_text(read, "shared too");
    note_mapped(w, written, FILE_WRITTEN);
    note_mapped(w, read, 0);
    save(w);
    unlink(written);
    unlink(read);
    roll_back(w);
    expect_text(written, "shared");
    expect_text(read, "shared too");
    unlink(written);
    unlink(read);
}

static void opening_by_name_follows_no_link_and_waits_for_no_pipe(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "x");
    assert_int_equal(symlink("f", in(w, "link")), 0);
    assert_int_equal(mkfifo(in(w, "pipe"), 0600), 0);
    expect_message(w, identity_open(in(w, "link"), O_RDWR, &w->err), CAESURA_EFILECHANGED, "/link is a symbolic link");
    expect_message(w, identity_open(in(w, "pipe"), O_RDONLY, &w->err), CAESURA_EFILECHANGED, "/pipe is a pipe");
    expect_message(w, identity_open(w->root, O_RDONLY, &w->err), CAESURA_EFILECHANGED, "is a folder");
    expect_message(w, identity_open(in(w, "none"), O_RDWR | O_CREAT, &w->err), ENOENT, "/none");
}

static void devices_are_opened_by_name(void **state)
{
    struct world *w = *state;
    struct stat st = stat_of("/dev/zero");
    struct file_sighting sighting = {.path = "/dev/zero", .st = &st, .fd = -1, .kind = FILE_DEVICE};
    uint32_t id;
    assert_int_equal(files_note(&w->capture, &sighting, &id, &w->err), 0);
    save(w);
    roll_back(w);
    int fd = open_file(w, id, O_RDWR);
    char byte = 1;
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        files_test(a_changed_script_is_read_from_an_own_copy),
        files_test(a_missing_script_is_read_from_an_own_copy),
        files_test(a_touched_script_is_the_same_script),
        files_test(a_read_only_file_that_grew_is_used_if_it_was_not_saved),
        files_test(a_large_input_that_changed_is_refused_unless_allowed),
        files_test(programs_are_known_by_their_build_id),
        files_test(programs_without_build_id_are_known_by_size_and_time),
        files_test(saved_programs_are_used_only_where_needed),
        files_test(opens_one_file_with_different_flags),
        files_test(deleted_files_come_back_without_a_name),
        files_test(a_deleted_files_name_may_be_taken),
        files_test(a_deleted_files_folder_may_be_gone),
        files_test(memfds_come_back_with_contents_and_seals),
        files_test(memfds_on_huge_pages_come_back),
        files_test(shared_memory_of_another_machine_is_made_again),
        files_test(opening_by_name_follows_no_link_and_waits_for_no_pipe),
        files_test(devices_are_opened_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
