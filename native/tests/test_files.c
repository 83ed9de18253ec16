/* test_files.c - the capture side of files/: what is noted, whose contents are saved, and how. */
#include "files_world.h"

#include <elf.h>
#include <sys/mman.h>

#define F_DELETED_MARK " (deleted)"

/* ---- noting ---- */

static void notes_an_inode_once(void **state)
{
    struct world *w = *state;
    put_text(in(w, "a"), "x");
    assert_int_equal(link(in(w, "a"), in(w, "b")), 0);
    uint32_t first = note(w, in(w, "a"), O_RDONLY, 0);
    uint32_t second = note(w, in(w, "b"), O_WRONLY, FILE_WRITTEN);
    uint32_t third = note_mapped(w, in(w, "a"), FILE_EXECUTED);
    assert_int_equal(first, 1);
    assert_int_equal(second, first);
    assert_int_equal(third, first);
    assert_int_equal(file_of(w, 1)->flags, FILE_WRITTEN | FILE_MAPPED | FILE_EXECUTED);
    put_text(in(w, "c"), "x");
    assert_int_equal(note(w, in(w, "c"), O_RDONLY, 0), 2);
}

static void notes_thousands(void **state)
{
    struct world *w = *state;
    struct stat st = {.st_dev = 5, .st_nlink = 1, .st_mode = S_IFREG | 0644};
    for (uint32_t i = 0; i < 5000; i++) {
        st.st_ino = i;
        assert_int_equal(note_as(w, "/nowhere/x", -1, &st, 0), i + 1);
    }
    for (uint32_t i = 0; i < 5000; i += 17) {
        st.st_ino = i;
        assert_int_equal(note_as(w, "/nowhere/x", -1, &st, FILE_MAPPED), i + 1);
    }
}

static void tells_kinds_apart(void **state)
{
    struct world *w = *state;
    put_text(in(w, "really (deleted)"), "x");
    uint32_t real = note(w, in(w, "really (deleted)"), O_RDONLY, 0);
    assert_int_equal(file_of(w, real)->kind, FILE_REGULAR);
    assert_string_equal(file_of(w, real)->path, in(w, "really (deleted)"));

    put_text(in(w, "gone (deleted)"), "x");
    int fd = open(in(w, "gone (deleted)"), O_RDWR | O_CLOEXEC);
    unlink(in(w, "gone (deleted)"));
    uint32_t gone = note_fd(w, fd, FILE_WRITTEN);
    close(fd);
    assert_int_equal(file_of(w, gone)->kind, FILE_DELETED);
    assert_string_equal(file_of(w, gone)->path, in(w, "gone (deleted)"));

    fd = memfd_create("my memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    uint32_t memfd = note_fd(w, fd, FILE_WRITTEN);
    close(fd);
    assert_int_equal(file_of(w, memfd)->kind, FILE_MEMFD);
    assert_string_equal(file_of(w, memfd)->path, "my memory");
    assert_int_equal(file_of(w, memfd)->seals, F_SEAL_GROW);
}

static void a_live_hard_link_beats_a_removed_name(void **state)
{
    struct world *w = *state;
    put_text(in(w, "old"), "x");
    assert_int_equal(link(in(w, "old"), in(w, "new")), 0);
    int fd = open(in(w, "old"), O_RDONLY | O_CLOEXEC);
    unlink(in(w, "old"));
    uint32_t id = note_fd(w, fd, 0);
    close(fd);
    assert_int_equal(file_of(w, id)->kind, FILE_DELETED);
    decide(w);
    expect_told("it has others");
    assert_int_equal(note(w, in(w, "new"), O_RDONLY, 0), id);
    assert_int_equal(file_of(w, id)->kind, FILE_REGULAR);
    assert_string_equal(file_of(w, id)->path, in(w, "new"));
}

static void shared_segments_have_inode_numbers_of_their_own(void **state)
{
    struct world *w = *state;
    struct stat st = {.st_dev = 1, .st_ino = 3, .st_mode = S_IFREG | 0600};
    struct file_sighting segment = {.path = "/SYSV00000000" F_DELETED_MARK, .st = &st, .fd = -1, .kind = FILE_SYSV};
    struct file_sighting memory = {.path = "/dev/zero" F_DELETED_MARK, .st = &st, .fd = -1, .kind = FILE_ANON_SHARED};
    uint32_t a, b, c;
    assert_int_equal(files_note(&w->capture, &segment, &a, &w->err), 0);
    assert_int_equal(files_note(&w->capture, &memory, &b, &w->err), 0);
    assert_int_equal(files_note(&w->capture, &segment, &c, &w->err), 0);
    assert_int_not_equal(a, b);
    assert_int_equal(a, c);
    assert_string_equal(file_of(w, a)->path, "/SYSV00000000");
    decide(w);
    assert_int_equal(file_of(w, a)->content, FILE_CONTENT_NONE);
}

static void tells_paths_apart(void **state)
{
    (void)state;
    assert_true(identity_is_below("/a/b", "/a"));
    assert_true(identity_is_below("/a", "/a"));
    assert_true(identity_is_below("/a/b", "/a/"));
    assert_true(identity_is_below("/a", "/"));
    assert_false(identity_is_below("/ab", "/a"));
    assert_false(identity_is_below("/a", ""));
    assert_true(identity_is_shm("/dev/shm/x"));
    assert_false(identity_is_shm("/dev/shmx"));
    assert_true(identity_is_silly_rename("/d/.nfs00000001", 0x6969));
    assert_false(identity_is_silly_rename("/d/.nfs00000001", 0xef53));
    assert_false(identity_is_silly_rename("/.nfs/x", 0x6969));
}

/* ---- deciding ---- */

static void decides_by_rule(void **state)
{
    (void)state;
    static const struct {
        uint32_t kind, flags, mapped, request;
        uint64_t size;
        const char *path;
        enum file_content wanted;
    } cases[] = {
        {FILE_REGULAR, FILE_WRITTEN, 0, 0, LIMIT, "/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, FILE_WRITTEN, 0, 0, LIMIT + 1, "/f", FILE_CONTENT_OVER_LIMIT},
        {FILE_REGULAR, FILE_WRITTEN | FILE_APPENDED, 0, 0, LIMIT, "/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, FILE_APPENDED, 0, 0, 1 << 20, "/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, FILE_APPENDED, 0, 0, (1 << 20) + 1, "/f", FILE_CONTENT_NONE},
        {FILE_REGULAR, FILE_TRACKED, 0, 0, LIMIT, "/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, FILE_TRACKED | FILE_APPENDED, 0, 0, LIMIT + 1, "/f", FILE_CONTENT_OVER_LIMIT},
        {FILE_REGULAR, FILE_WRITTEN, 0, 0, LIMIT + 1, "/dev/shm/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, FILE_PRIVATE_SHM, 0, 0, LIMIT + 1, "/f", FILE_CONTENT_SAVED},
        {FILE_DELETED, FILE_WRITTEN, 0, 0, LIMIT + 1, "/f", FILE_CONTENT_SAVED},
        {FILE_DELETED, 0, 0, 0, LIMIT + 1, "/f", FILE_CONTENT_SAVED},
        {FILE_MEMFD, FILE_WRITTEN, 0, 0, LIMIT + 1, "f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, 0, 0, 0, 1 << 20, "/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, 0, 0, 0, (1 << 20) + 1, "/f", FILE_CONTENT_NONE},
        {FILE_REGULAR, FILE_MAPPED, MAPPING_PRIVATE, 0, 4096, "/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, FILE_EXECUTED, MAPPING_PRIVATE, 0, 4096, "/f", FILE_CONTENT_NONE},
        {FILE_REGULAR, FILE_EXECUTED, MAPPING_PRIVATE, CAESURA_SAVE_PRIVATE, LIMIT + 1, "/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, FILE_EXECUTED, MAPPING_PRIVATE, CAESURA_SAVE_EXE | CAESURA_SAVE_SHARED, 1, "/f",
         FILE_CONTENT_NONE},
        {FILE_REGULAR, FILE_EXECUTED, MAPPING_EXE, CAESURA_SAVE_EXE, LIMIT + 1, "/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, FILE_EXECUTED, MAPPING_EXE, CAESURA_SAVE_PRIVATE, 1, "/f", FILE_CONTENT_NONE},
        {FILE_REGULAR, FILE_MAPPED, MAPPING_SHARED, CAESURA_SAVE_SHARED, LIMIT + 1, "/f", FILE_CONTENT_SAVED},
        {FILE_REGULAR, FILE_MAPPED, MAPPING_SHARED, CAESURA_SAVE_PRIVATE, LIMIT + 1, "/f", FILE_CONTENT_NONE},
        {FILE_ANON_SHARED, FILE_WRITTEN, 0, 0, 1, "/dev/zero", FILE_CONTENT_NONE},
        {FILE_DEVICE, 0, 0, 0, 0, "/dev/zero", FILE_CONTENT_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct caesura_capture_request request = {.flags = cases[i].request, .copy_limit_bytes = LIMIT};
        const struct file file = {
            .kind = cases[i].kind, .flags = cases[i].flags, .size = cases[i].size, .path = (char *)cases[i].path};
        enum file_content content = files_content(&request, &file, cases[i].mapped);
        if (content != cases[i].wanted)
            print_error("case %zu\n", i);
        assert_int_equal(content, cases[i].wanted);
    }
}

static void takes_maps_from_the_processes(void **state)
{
    struct world *w = *state;
    w->capture.request.flags = CAESURA_SAVE_EXE | CAESURA_SAVE_SHARED;
    put_text(in(w, "exe"), "exe");
    put_text(in(w, "library"), "library");
    put_text(in(w, "table"), "table");
    uint32_t exe = note_mapped(w, in(w, "exe"), FILE_EXECUTED);
    uint32_t library = note_mapped(w, in(w, "library"), FILE_EXECUTED);
    uint32_t table = note_mapped(w, in(w, "table"), FILE_EXECUTED);
    struct context *context = &w->capture.context;
    struct process *process = list_add(&context->processes, &context->n_processes);
    process->exe_file = exe;
    const struct {
        uint32_t file, kind;
    } maps[] = {{exe, MAP_KIND_FILE_PRIVATE}, {library, MAP_KIND_FILE_PRIVATE}, {table, MAP_KIND_FILE_SHARED}};
    for (size_t i = 0; i < 3; i++) {
        struct map *map = list_add(&process->maps, &process->n_maps);
        map->file = maps[i].file;
        map->kind = maps[i].kind;
    }
    decide(w);
    assert_int_equal(file_of(w, exe)->content, FILE_CONTENT_SAVED);
    assert_int_equal(file_of(w, library)->content, FILE_CONTENT_NONE);
    assert_int_equal(file_of(w, table)->content, FILE_CONTENT_SAVED);
    w->capture.request.flags = CAESURA_SAVE_PRIVATE;
    decide(w);
    assert_int_equal(file_of(w, exe)->content, FILE_CONTENT_NONE);
    assert_int_equal(file_of(w, library)->content, FILE_CONTENT_SAVED);
    assert_int_equal(file_of(w, table)->content, FILE_CONTENT_NONE);
}

static void warns_of_files_over_the_limit(void **state)
{
    struct world *w = *state;
    w->capture.request.copy_limit_bytes = 3;
    put_text(in(w, "large"), "1234");
    put_text(in(w, "small"), "123");
    uint32_t large = note(w, in(w, "large"), O_RDWR, FILE_WRITTEN);
    uint32_t small = note(w, in(w, "small"), O_RDWR, FILE_WRITTEN);
    decide(w);
    assert_int_equal(file_of(w, large)->content, FILE_CONTENT_OVER_LIMIT);
    assert_int_equal(file_of(w, small)->content, FILE_CONTENT_SAVED);
    assert_int_equal(w->capture.result.warnings, 1);
    expect_told("warning: ");
    expect_told("/large has 4 bytes, over the limit of 3");
    assert_null(strstr(told, "/small"));
}

static void a_nameless_file_without_descriptor_is_left_to_others(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "x");
    struct stat st = stat_of(in(w, "f"));
    st.st_nlink = 0;
    uint32_t id = note_as(w, in(w, "f" F_DELETED_MARK), -1, &st, FILE_MAPPED);
    unlink(in(w, "f"));
    decide(w);
    assert_int_equal(file_of(w, id)->kind, FILE_DELETED);
    assert_int_equal(file_of(w, id)->content, FILE_CONTENT_NONE);
    assert_int_equal(w->capture.refusals, 0);
    /* memory/ says that it saves it: files_write() must not try as well. */
    file_of(w, id)->content = FILE_CONTENT_SAVED;
    assert_int_equal(files_estimate(&w->capture), 0);
    assert_int_equal(write_context(w), 0);
}

static void refuses_a_nameless_file_that_it_cannot_read(void **state)
{
    struct world *w = *state;
    become_user(w);
    int fd = open(in(w, "f"), O_WRONLY | O_CREAT | O_CLOEXEC, 0200);
    assert_true(fd >= 0);
    unlink(in(w, "f"));
    note_fd(w, fd, FILE_WRITTEN);
    decide(w);
    assert_int_equal(w->capture.refusals, 1);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "refused: 7 %d (", fd);
    expect_told(wanted);
    expect_told("cannot be read: Permission denied");
    close(fd);
}

static void warns_of_a_written_file_that_it_cannot_read(void **state)
{
    struct world *w = *state;
    become_user(w);
    int fd = open(in(w, "f"), O_WRONLY | O_CREAT | O_CLOEXEC, 0200);
    assert_true(fd >= 0);
    uint32_t id = note_fd(w, fd, FILE_WRITTEN);
    close(fd);
    decide(w);
    assert_int_equal(file_of(w, id)->content, FILE_CONTENT_NONE);
    assert_int_equal(w->capture.refusals, 0);
    expect_told("/f cannot be read (Permission denied)");
}

static void reads_a_file_of_mode_0_through_its_descriptor(void **state)
{
    struct world *w = *state;
    become_user(w);
    int fd = open(in(w, "f"), O_RDWR | O_CREAT | O_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "secret", 6), 6);
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    unlink(in(w, "f"));
    uint32_t id = note_fd(w, fd, FILE_WRITTEN);
    save(w);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 3);
    close(fd);
    fd = open_file(w, id, O_RDWR);
    expect_fd(fd, "secret", 6);
    close(fd);
}

/* ---- build-ids ---- */

struct small_elf {
    Elf64_Ehdr header;
    Elf64_Phdr phdrs[2];
    Elf64_Nhdr other;
    char other_name[4];
    uint32_t other_value;
    Elf64_Nhdr note;
    char name[4];
    uint8_t id[20];
    uint8_t room[60];
};

static struct small_elf elf_with(uint8_t id)
{
    struct small_elf elf = {
        .header = {.e_type = ET_DYN,
                   .e_machine = EM_X86_64,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_phnum = 2,
                   .e_phentsize = sizeof(Elf64_Phdr)},
        .phdrs = {{.p_type = PT_LOAD, .p_filesz = sizeof elf},
                  {.p_type = PT_NOTE,
                   .p_offset = offsetof(struct small_elf, other),
                   .p_align = 4,
                   .p_filesz = sizeof elf - offsetof(struct small_elf, other)}},
        .other = {.n_namesz = 4, .n_descsz = 4, .n_type = NT_GNU_ABI_TAG},
        .other_name = "GNU",
        .note = {.n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_BUILD_ID},
        .name = "GNU",
    };
    memcpy(elf.header.e_ident, ELFMAG, SELFMAG);
    elf.header.e_ident[EI_CLASS] = ELFCLASS64;
    elf.header.e_ident[EI_DATA] = ELFDATA2LSB;
    memset(elf.id, id, sizeof elf.id);
    return elf;
}

static uint32_t build_id_size(const struct world *w, const void *data, size_t size)
{
    struct blob id;
    struct caesura_error err;
    put(in(w, "elf"), data, size);
    int fd = open(in(w, "elf"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(elf_build_id(fd, "elf", &id, &err), 0);
    close(fd);
    uint32_t found = id.size;
    free(id.data);
    return found;
}

static void reads_the_build_id(void **state)
{
    struct world *w = *state;
    struct small_elf elf = elf_with(0xab);
    put(in(w, "elf"), &elf, sizeof elf);
    uint32_t id = note_mapped(w, in(w, "elf"), FILE_EXECUTED);
    put_text(in(w, "script"), "#!/bin/sh\n");
    uint32_t script = note_mapped(w, in(w, "script"), FILE_EXECUTED);
    decide(w);
    assert_int_equal(file_of(w, id)->build_id.size, 20);
    assert_memory_equal(file_of(w, id)->build_id.data, elf.id, 20);
    assert_int_equal(file_of(w, script)->build_id.size, 0);
}

static void survives_hostile_elf(void **state)
{
    const struct world *w = *state;
    const struct small_elf good = elf_with(1);
    struct small_elf elf = good;
    assert_int_equal(build_id_size(w, &good, sizeof good), 20);
    for (size_t cut = 0; cut < offsetof(struct small_elf, room); cut++)
        assert_int_equal(build_id_size(w, &good, cut), 0);
    elf.header.e_phnum = 0xffff;
    assert_int_equal(build_id_size(w, &elf, sizeof elf), 20);
    elf = good;
    elf.header.e_phoff = UINT64_MAX - 8;
    assert_int_equal(build_id_size(w, &elf, sizeof elf), 0);
    elf = good;
    elf.phdrs[1].p_offset = UINT64_MAX - 100;
    assert_int_equal(build_id_size(w, &elf, sizeof elf), 0);
    elf = good;
    elf.phdrs[1].p_filesz = UINT64_MAX;
    assert_int_equal(build_id_size(w, &elf, sizeof elf), 20);
    static const uint32_t sizes[] = {0, 1, 3, 4, 5, 65, 0x7fffffff, 0xfffffff0, 0xffffffff};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        elf = good;
        elf.other.n_namesz = sizes[i];
        build_id_size(w, &elf, sizeof elf);
        elf = good;
        elf.other.n_descsz = sizes[i];
        build_id_size(w, &elf, sizeof elf);
        elf = good;
        elf.note.n_descsz = sizes[i];
        build_id_size(w, &elf, sizeof elf);
        elf.phdrs[1].p_align = 8;
        build_id_size(w, &elf, sizeof elf);
    }
    elf = good;
    elf.note.n_descsz = 64;
    assert_int_equal(build_id_size(w, &elf, sizeof elf), 64);
    elf.note.n_descsz = 65;
    assert_int_equal(build_id_size(w, &elf, sizeof elf), 0);
    /* A note that ends within the room for notes, its padding not. */
    for (uint32_t size = 0; size < 40; size++) {
        elf = good;
        elf.other.n_descsz = 4 + size;
        elf.phdrs[1].p_filesz = sizeof elf.other + 4 + elf.other.n_descsz;
        assert_int_equal(build_id_size(w, &elf, sizeof elf), 0);
    }
}

/* ---- writing ---- */

static void does_not_move_a_shared_offset(void **state)
{
    struct world *w = *state;
    static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR};
    uint32_t ids[3];
    int fds[3];
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        put_text(in(w, name), "0123456789");
        fds[i] = open(in(w, name), modes[i] | O_CLOEXEC);
        assert_int_equal(lseek(fds[i], 4, SEEK_SET), 4);
        ids[i] = note_fd(w, fds[i], i ? FILE_WRITTEN : 0);
        unlink(in(w, name));
    }
    save(w);
    roll_back(w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lseek(fds[i], 0, SEEK_CUR), 4);
        close(fds[i]);
        int fd = open_file(w, ids[i], O_RDONLY);
        expect_fd(fd, "0123456789", 10);
        close(fd);
    }
}

static void writes_frames_within_their_bounds(void **state)
{
    struct world *w = *state;
    const size_t size = (3u << 20) + 777, blocks = 3000, bytes_of_blocks = blocks * 4096;
    put_pattern(in(w, "large"), size, 1);
    uint32_t large = note(w, in(w, "large"), O_RDWR, FILE_WRITTEN);
    /* Every other block is zero: more extents than one frame has room for. */
    uint8_t *striped = pattern(bytes_of_blocks, 2);
    for (size_t i = 0; i < blocks; i += 2)
        memset(striped + i * 4096, 0, 4096);
    put(in(w, "striped"), striped, bytes_of_blocks);
    uint32_t stripes = note(w, in(w, "striped"), O_RDWR, FILE_WRITTEN);
    w->capture.request.copy_limit_bytes = 64 << 20;
    save(w);
    uint64_t bytes[3] = {0};
    for (uint32_t i = 0; i < w->restore.source.n_data; i++) {
        const struct context_data *data = &w->restore.source.data[i];
        uint64_t total = 0;
        for (uint32_t j = 0; j < data->count; j++)
            total += data->extents[j].size;
        assert_true(total <= FORMAT_FRAME_BYTES && total > 0);
        assert_true(data->count <= FORMAT_FRAME_EXTENTS);
        assert_int_equal(data->data_offset % 4096, 0);
        bytes[data->owner] += total;
    }
    assert_int_equal(bytes[large], size);
    assert_int_equal(bytes[stripes], bytes_of_blocks / 2);
    assert_int_equal(w->capture.result.file_bytes, size + bytes_of_blocks / 2);
    assert_int_equal(w->capture.progress_done, files_estimate(&w->capture));
    unlink(in(w, "large"));
    unlink(in(w, "striped"));
    roll_back(w);
    expect_pattern(in(w, "large"), size, 1);
    expect(in(w, "striped"), striped, bytes_of_blocks);
    free(striped);
}

static void leaves_holes_out(void **state)
{
    struct world *w = *state;
    int fd = open(in(w, "sparse"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, 1 << 30), 0);
    assert_int_equal(pwrite(fd, "middle", 6, 500000001), 6);
    uint32_t id = note_fd(w, fd, FILE_WRITTEN);
    close(fd);
    w->capture.request.copy_limit_bytes = 2u << 30;
    save(w);
    assert_true(w->context_bytes < 100000);
    assert_int_equal(w->capture.progress_done, 1 << 30);
    unlink(in(w, "sparse"));
    roll_back(w);
    struct stat st = stat_of(in(w, "sparse"));
    assert_int_equal(st.st_size, 1 << 30);
    assert_true(st.st_blocks < 100);
    char middle[6];
    fd = open_file(w, id, O_RDONLY);
    assert_int_equal(pread(fd, middle, 6, 500000001), 6);
    assert_memory_equal(middle, "middle", 6);
    close(fd);
}

static void saves_a_file_of_no_bytes(void **state)
{
    struct world *w = *state;
    put_text(in(w, "empty"), "");
    note(w, in(w, "empty"), O_RDWR, FILE_WRITTEN);
    save(w);
    assert_int_equal(w->restore.source.n_data, 0);
    unlink(in(w, "empty"));
    roll_back(w);
    expect_text(in(w, "empty"), "");
    put_text(in(w, "empty"), "later");
    roll_back(w);
    expect_text(in(w, "empty"), "");
    expect_text(kept(w, "empty.tail@0"), "later");
}

static void a_file_cut_meanwhile_is_named(void **state)
{
    struct world *w = *state;
    put_pattern(in(w, "f"), 100000, 1);
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    decide(w);
    assert_int_equal(truncate(in(w, "f"), 50000), 0);
    expect_message(w, write_context(w), CAESURA_EAGAIN_, "/f was cut while it was copied");
    /* The rest a hole: reading alone would not show it. */
    assert_int_equal(truncate(in(w, "f"), 0), 0);
    expect_message(w, write_context(w), CAESURA_EAGAIN_, "/f was cut while it was copied");
}

static void a_file_taken_away_meanwhile_is_named(void **state)
{
    struct world *w = *state;
    w->track[0] = w->root;
    put_text(in(w, "f"), "x");
    decide(w);
    put_text(in(w, "g"), "x"); /* while the other holds its inode number */
    unlink(in(w, "f"));
    expect_message(w, write_context(w), CAESURA_EAGAIN_, "/f was taken away");
    assert_int_equal(rename(in(w, "g"), in(w, "f")), 0);
    expect_message(w, write_context(w), CAESURA_EAGAIN_, "/f was taken away");
}

static void a_file_changed_meanwhile_is_told(void **state)
{
    struct world *w = *state;
    put_text(in(w, "f"), "x");
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    decide(w);
    set_mtime(in(w, "f"), 1000);
    assert_int_equal(write_context(w), 0);
    expect_told("/f was changed while it was copied");
}

static void finds_damage_in_the_context(void **state)
{
    struct world *w = *state;
    put_pattern(in(w, "f"), 10000, 1);
    note(w, in(w, "f"), O_RDWR, FILE_WRITTEN);
    save(w);
    uint8_t byte;
    const struct context_data *data = w->restore.source.data;
    off_t at = data ? (off_t)data->data_offset + 5000 : 0;
    assert_int_equal(pread(w->context_fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(w->context_fd, &byte, 1, at), 1);
    unlink(in(w, "f"));
    assert_int_equal(files_check(&w->restore, &w->err), 0);
    expect_message(w, files_roll_back(&w->restore, &w->err), CAESURA_ECORRUPT, "/f are damaged");
    assert_false(exists(in(w, "f")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        files_test(notes_an_inode_once),
        files_test(notes_thousands),
        files_test(tells_kinds_apart),
        files_test(a_live_hard_link_beats_a_removed_name),
        files_test(shared_segments_have_inode_numbers_of_their_own),
        files_test(tells_paths_apart),
        files_test(decides_by_rule),
        files_test(takes_maps_from_the_processes),
        files_test(warns_of_files_over_the_limit),
        files_test(a_nameless_file_without_descriptor_is_left_to_others),
        files_test(refuses_a_nameless_file_that_it_cannot_read),
        files_test(warns_of_a_written_file_that_it_cannot_read),
        files_test(reads_a_file_of_mode_0_through_its_descriptor),
        files_test(reads_the_build_id),
        files_test(survives_hostile_elf),
        files_test(does_not_move_a_shared_offset),
        files_test(writes_frames_within_their_bounds),
        files_test(leaves_holes_out),
        files_test(saves_a_file_of_no_bytes),
        files_test(a_file_cut_meanwhile_is_named),
        files_test(a_file_taken_away_meanwhile_is_named),
        files_test(a_file_changed_meanwhile_is_told),
        files_test(finds_damage_in_the_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
