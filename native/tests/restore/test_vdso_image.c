/* test_vdso_image.c - redirecting one vdso into another: the code is run; images that lie are refused without a fault. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/arch_x86_64.h"
#include "restore/vdso_image.h"

struct images {
    struct vdso_image now; /* a copy of this kernel's; its address is that of the real one */
    struct vdso_image old; /* another copy, at its own address */
};

static size_t vdso_size(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned long start = 0, end = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "[vdso]"))
            assert_int_equal(sscanf(line, "%lx-%lx", &start, &end), 2);
    fclose(maps);
    return end - start;
}

static int setup(void **state)
{
    struct images *images = calloc(1, sizeof *images);
    size_t size = vdso_size();
    const void *real = (const void *)getauxval(AT_SYSINFO_EHDR);

    if (!images || !size)
        return -1;
    images->now = (struct vdso_image){malloc(size), size, (uint64_t)real};
    images->old.bytes = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!images->now.bytes || images->old.bytes == MAP_FAILED)
        return -1;
    images->old.size = size;
    images->old.address = (uint64_t)images->old.bytes;
    memcpy(images->now.bytes, real, size);
    memcpy(images->old.bytes, real, size);
    *state = images;
    return 0;
}

static int teardown(void **state)
{
    struct images *images = *state;
    munmap(images->old.bytes, images->old.size);
    free(images->now.bytes);
    free(images);
    return 0;
}

/* Other letters for a name, in the strings of an image: it has no such function any more. */
static void take_away(struct vdso_image *image, const char *name)
{
    for (char *at = (char *)image->bytes;
         (at = memmem(at, image->bytes + image->size - (uint8_t *)at, name, strlen(name)));)
        *at ^= 0x20;
}

/* The symbol of that name, by looking through the image for its number: the tests trust the kernel's own linker. */
static uint64_t offset_of(const struct vdso_image *image, const char *name)
{
    const Elf64_Ehdr *header = (const void *)image->bytes;
    const Elf64_Phdr *parts = (const void *)(image->bytes + header->e_phoff);
    const char *names = NULL;
    const Elf64_Sym *symbols = NULL;

    for (int i = 0; i < header->e_phnum; i++)
        for (const Elf64_Dyn *d = (const void *)(image->bytes + parts[i].p_offset);
             parts[i].p_type == PT_DYNAMIC && d->d_tag != DT_NULL; d++) {
            if (d->d_tag == DT_SYMTAB)
                symbols = (const void *)(image->bytes + d->d_un.d_ptr);
            if (d->d_tag == DT_STRTAB)
                names = (const char *)image->bytes + d->d_un.d_ptr;
        }
    assert_non_null(symbols);
    for (const Elf64_Sym *symbol = symbols + 1; (const char *)symbol < names; symbol++)
        if (!strcmp(names + symbol->st_name, name))
            return symbol->st_value;
    fail_msg("this kernel's vdso has no %s", name);
    return 0;
}

static void redirect(struct images *images)
{
    const char *why = NULL;
    if (!vdso_image_redirect(&images->old, &images->now, &why))
        fail_msg("the vdso %s", why);
}

static void *function(const struct images *images, const char *name)
{
    return images->old.bytes + offset_of(&images->old, name);
}

static void check_clock(const struct images *images)
{
    int (*get)(clockid_t, struct timespec *) = function(images, "clock_gettime");
    struct timespec before, between = {0}, after;

    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(get(CLOCK_MONOTONIC, &between), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(before.tv_sec <= between.tv_sec && between.tv_sec <= after.tv_sec);
    assert_int_equal(get(1000, &between), -EINVAL);
}

static void goes_on_in_the_other(void **state)
{
    const uint8_t jump[] = {0x48, 0xb8};
    struct images *images = *state;
    uint64_t target;

    redirect(images);
    uint8_t *code = function(images, "clock_gettime");
    assert_memory_equal(code, jump, sizeof jump);
    memcpy(&target, code + sizeof jump, sizeof target);
    assert_true(target == images->now.address + offset_of(&images->now, "clock_gettime"));
    check_clock(images);
}

static void goes_on_in_the_kernel(void **state)
{
    struct images *images = *state;
    long (*cpu)(unsigned *, unsigned *, void *);
    unsigned number = ~0u;

    take_away(&images->now, "clock_gettime");
    take_away(&images->now, "getcpu");
    redirect(images);
    cpu = function(images, "getcpu");
    assert_memory_equal(cpu, ((uint8_t[]){0xb8}), 1); /* mov $nr,%eax */
    assert_int_equal(cpu(&number, NULL, NULL), 0);
    assert_true(number < (unsigned)sysconf(_SC_NPROCESSORS_CONF));
    check_clock(images);
}

/* getrandom() keeps its state in memory whose form is the other kernel's. */
static void random_numbers_come_from_the_kernel(void **state)
{
    struct images *images = *state;
    uint8_t bytes[32] = {0}, zeros[32] = {0}, junk[256];

    redirect(images);
    ssize_t (*random)(void *, size_t, unsigned, void *, size_t) = function(images, "__vdso_getrandom");
    memset(junk, 0x55, sizeof junk);
    assert_int_equal(random(bytes, sizeof bytes, 0, junk, sizeof junk), sizeof bytes);
    assert_memory_not_equal(bytes, zeros, sizeof bytes);
    for (size_t i = 0; i < sizeof junk; i++)
        assert_int_equal(junk[i], 0x55);
    assert_int_equal(random(NULL, 0, 0, junk, (size_t)-1), -ENOSYS);
}

static void unknown_functions_say_so(void **state)
{
    struct images *images = *state;
    uint64_t at = offset_of(&images->old, "__vdso_time");

    take_away(&images->old, "__vdso_time");
    take_away(&images->old, "time");
    redirect(images);
    assert_int_equal(((long (*)(void *))(images->old.bytes + at))(NULL), -ENOSYS);
}

static void knows_where_functions_begin(void **state)
{
    struct images *images = *state;
    uint64_t entry = images->old.address + offset_of(&images->old, "getcpu");

    assert_true(vdso_image_is_entry(&images->old, entry));
    assert_false(vdso_image_is_entry(&images->old, entry + 1));
    assert_false(vdso_image_is_entry(&images->old, images->old.address));
}

static void lies_are_refused(void **state)
{
    struct images *images = *state;
    const char *why = NULL;
    uint8_t *original = malloc(images->old.size);

    memcpy(original, images->old.bytes, images->old.size);
    memset(images->old.bytes, 0, images->old.size);
    assert_false(vdso_image_redirect(&images->old, &images->now, &why));
    assert_non_null(why);
    for (size_t size = 0; size < 4096; size += 7) {
        struct vdso_image cut = {malloc(size + 1), size, 0x1000};
        memcpy(cut.bytes, original, size);
        vdso_image_redirect(&cut, &images->now, &why);
        free(cut.bytes);
    }
    /* The tables are at the front. Under the sanitizers any access outside is found. */
    struct vdso_image copy = {malloc(images->old.size), images->old.size, 0x1000};
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t dice[6];
        assert_int_equal(getrandom(dice, sizeof dice, 0), sizeof dice);
        memcpy(copy.bytes, original, copy.size);
        for (unsigned i = 0; i < 2; i++)
            copy.bytes[(dice[3 * i] | dice[3 * i + 1] << 8) % 0x600] = dice[3 * i + 2];
        vdso_image_redirect(&copy, &images->now, &why);
        vdso_image_is_entry(&copy, 0x1000 + dice[0]);
    }
    free(copy.bytes);
    free(original);
}

static void finds_signal_frames(void **state)
{
    uint64_t words[ARCH_FRAME_WORDS] = {0x7ffc00001000, 0x7fff00000123, 0x246, 0x002b000000000033}, sp, ip;

    (void)state;
    assert_true(arch_is_signal_frame(words, &sp, &ip));
    assert_true(sp == words[0] && ip == words[1]);
    words[3] = 0x002b000000000023; /* 32-bit code */
    assert_false(arch_is_signal_frame(words, &sp, &ip));
    words[3] = 0x33;
    words[2] = 0x7fff00000246;
    assert_false(arch_is_signal_frame(words, &sp, &ip));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(goes_on_in_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(goes_on_in_the_kernel, setup, teardown),
        cmocka_unit_test_setup_teardown(random_numbers_come_from_the_kernel, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_functions_say_so, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_where_functions_begin, setup, teardown),
        cmocka_unit_test_setup_teardown(lies_are_refused, setup, teardown),
        cmocka_unit_test(finds_signal_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
