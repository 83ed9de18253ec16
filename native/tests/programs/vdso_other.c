/*
 * vdso_other.c - a program that was started under another kernel's vdso. It makes one of its own: the functions without the
 * prefix __vdso_ go on at other places of the image than those that this kernel put them to.
 *   shifted  once
 *   chain    of every vdso that a restart gives it, so that each restart finds another one
 *   handler  a signal handler has interrupted it in the middle of the vdso: test_faults.py restarts that
 * Cases: shifted chain
 */
#include <elf.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <ucontext.h>

#include "victim.h"

enum { FUNCTIONS = 6, MOVED_BYTES = 32, TAIL = 1280, SYMBOLS = 64 };

static const char *const names[FUNCTIONS] = {"clock_gettime", "gettimeofday", "time",
                                             "clock_getres",  "getcpu",       "getrandom"};
static uintptr_t entries[FUNCTIONS]; /* where the program has found them in its first vdso */

static void poke(uintptr_t address, const void *data, size_t size)
{
    int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    need(fd >= 0 && pwrite(fd, data, size, (off_t)address) == (ssize_t)size);
    close(fd);
}

/* Start and end of the map that the kernel calls the vdso. */
static uintptr_t find_vdso(uintptr_t *end)
{
    static char text[65536];
    need(read_file("/proc/self/maps", text, sizeof text) > 0);
    char *line = strstr(text, "[vdso]");
    need(line);
    while (line > text && line[-1] != '\n')
        line--;
    unsigned long from, to;
    need(sscanf(line, "%lx-%lx", &from, &to) == 2);
    *end = to;
    return from;
}

static Elf64_Sym *symbols_of(uintptr_t base, const char **strings, size_t *count)
{
    const Elf64_Ehdr *header = (const void *)base;
    const Elf64_Phdr *parts = (const void *)(base + header->e_phoff);
    Elf64_Sym *symbols = NULL;
    for (int i = 0; i < header->e_phnum; i++)
        if (parts[i].p_type == PT_DYNAMIC)
            for (const Elf64_Dyn *d = (const void *)(base + parts[i].p_offset); d->d_tag != DT_NULL; d++) {
                if (d->d_tag == DT_SYMTAB)
                    symbols = (void *)(base + d->d_un.d_ptr);
                if (d->d_tag == DT_STRTAB)
                    *strings = (const void *)(base + d->d_un.d_ptr);
            }
    need(symbols && *strings && *strings > (const char *)symbols); /* as every linker has put them so far */
    *count = (size_t)(*strings - (const char *)symbols) / sizeof *symbols;
    need(*count < SYMBOLS);
    return symbols;
}

/* Where the vdso at base says that a function is; 0: nowhere. */
static uintptr_t look_up(uintptr_t base, const char *name)
{
    const char *strings = NULL;
    size_t count;
    const Elf64_Sym *symbols = symbols_of(base, &strings, &count);
    for (size_t i = 1; i < count; i++)
        if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC && !strcmp(strings + symbols[i].st_name, name))
            return base + symbols[i].st_value;
    return 0;
}

/* Moves every function without a prefix to unused bytes near the end. */
static void change(uintptr_t base, uintptr_t end)
{
    const char *strings = NULL;
    size_t count;
    uintptr_t place = end - TAIL;
    Elf64_Sym *symbols = symbols_of(base, &strings, &count);
    if (!all_zero((void *)place, TAIL))
        skip("this vdso has no room for other functions");
    for (size_t i = 1; i < count; i++) {
        unsigned char code[12] = {0x48, 0xb8, [10] = 0xff, 0xe0}; /* mov $entry,%rax; jmp *%rax */
        const char *name = strings + symbols[i].st_name;
        if (ELF64_ST_TYPE(symbols[i].st_info) != STT_FUNC || !strncmp(name, "__vdso_", 7))
            continue;
        uintptr_t entry = base + symbols[i].st_value;
        Elf64_Addr value = place - base;
        memcpy(code + 2, &entry, sizeof entry);
        poke(place, code, sizeof code);
        poke((uintptr_t)&symbols[i].st_value, &value, sizeof value);
        place += MOVED_BYTES;
    }
}

static int64_t as_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void check_clocks(void)
{
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE,
                                       CLOCK_PROCESS_CPUTIME_ID};
    int (*get)(clockid_t, struct timespec *) = (void *)entries[0],
                                          (*res)(clockid_t, struct timespec *) = (void *)entries[3];
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        struct timespec before = {0}, between = {0}, after = {0};
        need(syscall(SYS_clock_gettime, clocks[i], &before) == 0);
        check(get(clocks[i], &between) == 0, "clock %d", (int)clocks[i]);
        need(syscall(SYS_clock_gettime, clocks[i], &after) == 0);
        check(as_ns(between) >= as_ns(before) && as_ns(between) <= as_ns(after), "clock %d: %lld not in %lld to %lld",
              (int)clocks[i], (long long)as_ns(between), (long long)as_ns(before), (long long)as_ns(after));
        int64_t libc = now_ns(clocks[i]);
        check(libc >= as_ns(after), "clock %d of the C library is behind", (int)clocks[i]);
        need(syscall(SYS_clock_getres, clocks[i], &before) == 0);
        check(!res || (res(clocks[i], &after) == 0 && as_ns(before) == as_ns(after)), "resolution of clock %d",
              (int)clocks[i]);
    }
}

static void check_functions(void)
{
    int (*day)(struct timeval *, void *) = (void *)entries[1];
    time_t (*seconds)(time_t *) = (void *)entries[2];
    long (*cpu)(unsigned *, unsigned *, void *) = (void *)entries[4];
    ssize_t (*random)(void *, size_t, unsigned, void *, size_t) = (void *)entries[5];
    struct timeval t = {0};
    unsigned number = ~0u;
    unsigned char bytes[64] = {0};

    check_clocks();
    time_t now = (time_t)(now_ns(CLOCK_REALTIME) / 1000000000);
    check(day(&t, NULL) == 0 && llabs((long long)t.tv_sec - now) <= 1, "gettimeofday: %lld", (long long)t.tv_sec);
    check(llabs((long long)seconds(NULL) - now) <= 1, "time: %lld", (long long)seconds(NULL));
    check(cpu(&number, NULL, NULL) == 0 && number < (unsigned)sysconf(_SC_NPROCESSORS_CONF), "getcpu: %u", number);
    /* Without a state it is the system call. */
    check(!random || (random(bytes, sizeof bytes, 0, NULL, 0) == sizeof bytes && !all_zero(bytes, sizeof bytes)),
          "getrandom");
}

static void check_tables(uintptr_t first)
{
    char auxv[4096];
    ssize_t size = read_file("/proc/self/auxv", auxv, sizeof auxv);
    bool found = false;

    same("AT_SYSINFO_EHDR", getauxval(AT_SYSINFO_EHDR), first);
    for (ssize_t at = 0; at + 16 <= size; at += 16) {
        uint64_t pair[2];
        memcpy(pair, auxv + at, sizeof pair);
        found |= pair[0] == AT_SYSINFO_EHDR && pair[1] == first;
    }
    check(found, "/proc/self/auxv has another AT_SYSINFO_EHDR");
    for (int i = 0; i < FUNCTIONS; i++)
        same(names[i], look_up(first, names[i]), entries[i]);
}

static void on_illegal(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)info;
    ready();
    wait_go();
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

/* Interrupted behind the first instruction of what stands in the vdso. */
static void interrupt_inside(uintptr_t end)
{
    static const unsigned char code[] = {0x90, 0x0f, 0x0b, 0xc3}; /* nop; ud2; ret */
    struct sigaction action = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO};
    need(sigaction(SIGILL, &action, NULL) == 0);
    poke(end - TAIL + FUNCTIONS * MOVED_BYTES, code, sizeof code);
    ((void (*)(void))(end - TAIL + FUNCTIONS * MOVED_BYTES))();
}

int main(int argc, char **argv)
{
    uintptr_t end, first = find_vdso(&end), known = first;

    change(first, end);
    for (int i = 0; i < FUNCTIONS; i++)
        entries[i] = look_up(first, names[i]);
    need(entries[0] && entries[1] && entries[2] && entries[4]);
    check_functions();
    if (is_case(argc, argv, "handler")) {
        interrupt_inside(end);
        finish();
    }
    ready();
    while (!go()) {
        check_functions();
        uintptr_t now = find_vdso(&end);
        if (now != known && is_case(argc, argv, "chain"))
            change(now, end);
        known = now;
        victim_nap();
    }
    check_functions();
    check_tables(first);
    finish();
}
