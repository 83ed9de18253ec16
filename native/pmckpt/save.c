/* Taking a checkpoint. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "internal.h"
#include "kernel_state.h"
#include "plan.h"
#include "proc.h"
#include "program.h"
#include "vdso.h"
#include "writer.h"

enum { PAGE = 4096, PAGEMAP_ENTRIES = 512 };

static const uint64_t pagemap_present = UINT64_C(1) << 63;
static const uint64_t pagemap_swapped = UINT64_C(1) << 62;

static char checkpoint_name[PATH_MAX] = "CHECKPOINT";
static char temporary_name[PATH_MAX] = "CHECKPOINT.TEMP";

struct saving {
    struct ckpt_writer writer;
    struct ckpt_machine machine;
    struct ckpt_kernel_state kernel_state;
    struct ckpt_text text;
    int pagemap; /* descriptor, -1 if the kernel does not give it */
    struct ckpt_error error;
};

void ckpt_init(void)
{
    const char *name = getenv("CKPTFN");
    const char *temporary = getenv("CKPTFNTEMP");

    if (name && *name) {
        snprintf(checkpoint_name, sizeof(checkpoint_name), "%s", name);
        /* Beside it, as it could not be renamed out of another file system. */
        snprintf(temporary_name, sizeof(temporary_name), "%.*s.TEMP", PATH_MAX - 6, name);
    }
    if (temporary && *temporary)
        snprintf(temporary_name, sizeof(temporary_name), "%s", temporary);
}

/* ---- what stands against it ---- */

static int check_calls(unsigned level, struct ckpt_error *error)
{
    for (unsigned i = 0; i <= level; i++) {
        const struct ckpt_level *call = &ckpt_levels_[i];

        if (!call->place)
            return ckpt_error_set(
                error, CKPT_EUNSUPPORTED,
                "%s() in %s has called a function with CKPT lines without a CKPT POINT in front of the "
                "call; put one there",
                call->function, call->file);
        if (call->place <= &ckpt_places_begin || call->place >= &ckpt_places_end_is_in_pmceot_o_)
            return ckpt_error_set(error, CKPT_EUNSUPPORTED,
                                  "%s was linked out of order; link again with pmckpt.o first and pmceot.o last",
                                  call->file);
    }
    return 0;
}

static int check_process(struct ckpt_error *error)
{
    int threads = ckpt_count_threads();

    if (threads < 0)
        return ckpt_error_set(error, CKPT_EIO_, "/proc/self/status cannot be read; mount /proc");
    if (threads > 1)
        return ckpt_error_set(error, CKPT_EUNSUPPORTED,
                              "the process has %d threads, of which only one could be saved; "
                              "end the others before the CKPT POINT",
                              threads);
    if (ckpt_has_posix_timers())
        return ckpt_error_set(error, CKPT_EUNSUPPORTED,
                              "the process has a timer of timer_create(), which cannot be saved; use setitimer()");
    return 0;
}

/* ---- records ---- */

static int put_record(struct saving *saving, enum ckpt_record_type type, const void *data, size_t bytes,
                      const void *more, size_t more_bytes)
{
    struct ckpt_writer *writer = &saving->writer;
    struct ckpt_error *error = &saving->error;
    int result;

    if ((result = ckpt_writer_record(writer, type, bytes + more_bytes, error)) != 0 ||
        (result = ckpt_writer_put(writer, data, bytes, error)) != 0 ||
        (result = ckpt_writer_put(writer, more, more_bytes, error)) != 0)
        return result;
    return ckpt_writer_pad(writer, error);
}

static int put_program(struct saving *saving)
{
    struct ckpt_program program;
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    path[length < 0 ? 0 : length] = '\0';
    ckpt_program_of_self(&program);
    return put_record(saving, RECORD_PROGRAM, &program, sizeof(program), path, strlen(path) + 1);
}

static int put_arguments(struct saving *saving)
{
    int result = ckpt_text_read(&saving->text, "/proc/self/cmdline", &saving->error);

    if (result)
        return result;
    return put_record(saving, RECORD_ARGUMENTS, saving->text.data, saving->text.length, NULL, 0);
}

static int put_places(struct saving *saving, unsigned level)
{
    int result = ckpt_writer_record(&saving->writer, RECORD_PLACES, (level + 1) * sizeof(uint64_t), &saving->error);

    for (unsigned i = 0; i <= level && result == 0; i++) {
        uint64_t offset = (char *)ckpt_levels_[i].place - (char *)&ckpt_places_begin;

        result = ckpt_writer_put(&saving->writer, &offset, sizeof(offset), &saving->error);
    }
    return result;
}

static int put_files(struct saving *saving)
{
    struct ckpt_files files = {0};
    int result = ckpt_files_get(&files, saving->writer.fd, &saving->error);

    for (size_t i = 0; i < files.count && result == 0; i++) {
        const struct ckpt_file *file = &files.list[i];

        result = put_record(saving, RECORD_DESCRIPTOR, &file->descriptor, sizeof(file->descriptor), file->path,
                            strlen(file->path) + 1);
    }
    ckpt_files_free(&files);
    return result;
}

static int put_machine(struct saving *saving)
{
    int result = ckpt_read_memory_layout(&saving->machine, &saving->error);

    if (result)
        return result;
    ckpt_thread_registration_get(&saving->machine);
    ckpt_cpu_get(saving->machine.cpu);
    saving->machine.caught_signals = ckpt_caught_signals(&saving->kernel_state);
    return put_record(saving, RECORD_MACHINE, &saving->machine, sizeof(saving->machine), NULL, 0);
}

static int put_vdso(struct saving *saving)
{
    struct ckpt_vdso_record record;
    int result = ckpt_text_read(&saving->text, "/proc/self/maps", &saving->error);

    if (result)
        return result;
    ckpt_vdso_get(&saving->text, &record);
    if (record.vdso.bytes == 0)
        return 0;
    return put_record(saving, RECORD_VDSO, &record.vdso, sizeof(record.vdso), record.entries,
                      record.vdso.entries * sizeof(record.entries[0]));
}

/* ---- memory ---- */

static int put_bytes(struct saving *saving, uint64_t start, uint64_t end)
{
    return put_record(saving, RECORD_BYTES, &start, sizeof(start), (const void *)start, end - start);
}

/* Writes the pages that have ever been touched; the others read as zeros, then as now. */
static int put_touched(struct saving *saving, uint64_t start, uint64_t end)
{
    uint64_t entries[PAGEMAP_ENTRIES];
    uint64_t run = 0; /* start of the pages to write, 0 if none wait */
    int result = 0;

    for (uint64_t at = start; at < end && result == 0;) {
        uint64_t count = (end - at) / PAGE < PAGEMAP_ENTRIES ? (end - at) / PAGE : PAGEMAP_ENTRIES;

        if (pread(saving->pagemap, entries, count * sizeof(entries[0]), (off_t)(at / PAGE * sizeof(entries[0]))) !=
            (ssize_t)(count * sizeof(entries[0])))
            return ckpt_error_set(&saving->error, CKPT_EIO_, "/proc/self/pagemap cannot be read: %m; mount /proc");
        for (uint64_t i = 0; i < count && result == 0; i++, at += PAGE) {
            bool touched = entries[i] & (pagemap_present | pagemap_swapped);

            if (touched && !run)
                run = at;
            if (!touched && run) {
                result = put_bytes(saving, run, at);
                run = 0;
            }
        }
    }
    return run && result == 0 ? put_bytes(saving, run, end) : result;
}

static int put_contents(struct saving *saving, const struct ckpt_mapping *mapping)
{
    uint64_t stack_pointer = saving->machine.stack_pointer;

    /* Below the stack pointer there is only what is at work here. */
    if (stack_pointer >= mapping->start && stack_pointer < mapping->end)
        return put_bytes(saving, stack_pointer, mapping->end);
    if (!mapping->file_backed && saving->pagemap >= 0)
        return put_touched(saving, mapping->start, mapping->end);
    return put_bytes(saving, mapping->start, mapping->end);
}

static int put_mapping(struct saving *saving, const struct ckpt_mapping *mapping)
{
    uint64_t stack_pointer = saving->machine.stack_pointer;
    struct ckpt_region region = {.start = mapping->start, .end = mapping->end, .protection = mapping->protection};
    bool unreadable = !(mapping->protection & PROT_READ);
    int result;

    if (stack_pointer >= mapping->start && stack_pointer < mapping->end) {
        region.flags = REGION_STACK;
        if (ckpt_levels_[0].stack < mapping->start || ckpt_levels_[0].stack >= mapping->end)
            return ckpt_error_set(&saving->error, CKPT_EUNSUPPORTED,
                                  "the CKPT POINT was reached on another stack than %s() has, in a signal handler or "
                                  "coroutine; call it from the main program",
                                  ckpt_levels_[0].function);
    }
    result = put_record(saving, RECORD_REGION, &region, sizeof(region), NULL, 0);
    if (result)
        return result;
    if (unreadable && mprotect((void *)mapping->start, mapping->end - mapping->start, PROT_READ))
        return ckpt_error_set(&saving->error, CKPT_EUNSUPPORTED,
                              "the memory at %#lx cannot be made readable: %m; unmap it", mapping->start);
    result = put_contents(saving, mapping);
    if (unreadable)
        mprotect((void *)mapping->start, mapping->end - mapping->start, (int)mapping->protection);
    return result;
}

/*
 * Whether shared memory is there to write to, or to read what others write. Ordinary files that are mapped to be read
 * are as good as private; the C library has such.
 */
static bool is_for_exchange(const struct ckpt_mapping *mapping)
{
    static const char *const places[] = {"/dev/", "/memfd:", "/SYSV", "/run/", "anon_inode:", "[", "socket:"};

    if (mapping->protection & PROT_WRITE || !mapping->path[0] || strstr(mapping->path, " (deleted)"))
        return true;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strncmp(mapping->path, places[i], strlen(places[i])) == 0)
            return true;
    }
    return false;
}

static int put_memory(struct saving *saving)
{
    struct ckpt_mapping mapping;
    char *cursor;
    int result = ckpt_text_read(&saving->text, "/proc/self/maps", &saving->error);

    cursor = saving->text.data;
    while (result == 0 && ckpt_mapping_next(&cursor, &mapping)) {
        if (mapping.start == (uint64_t)saving->text.data || ckpt_mapping_is_kernels(&mapping))
            continue;
        if (mapping.shared && is_for_exchange(&mapping))
            return ckpt_error_set(&saving->error, CKPT_EUNSUPPORTED,
                                  "the memory at %#lx is shared (%s), and only private memory is saved; "
                                  "unmap it before the CKPT POINT",
                                  mapping.start, mapping.path);
        result = put_mapping(saving, &mapping);
    }
    return result;
}

/* Runs with the registers already on the stack. Returns NULL: this is not the restored process. */
static void *save_frozen(void *argument)
{
    struct saving *saving = argument;
    int result = ckpt_rseq_unregister(&saving->error);

    if (result) {
        saving->error.code = -result;
        return NULL;
    }
    if ((result = put_machine(saving)) == 0 && (result = put_vdso(saving)) == 0)
        result = put_memory(saving);
    ckpt_rseq_register();
    saving->error.code = -result;
    return NULL;
}

/* ---- the flow ---- */

/* A file limit that was hit has also sent a signal, which would end the program once signals are let in again. */
static void drop_file_limit_signal(bool was_pending)
{
    const struct timespec at_once = {0};
    sigset_t file_limit;

    sigemptyset(&file_limit);
    sigaddset(&file_limit, SIGXFSZ);
    if (!was_pending)
        sigtimedwait(&file_limit, NULL, &at_once);
}

static bool is_file_limit_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ) == 1;
}

/* Writes the file up to the memory. */
static int save_facts(struct saving *saving, unsigned level)
{
    int result;

    if ((result = check_calls(level, &saving->error)) != 0 || (result = check_process(&saving->error)) != 0 ||
        (result = ckpt_writer_open(&saving->writer, checkpoint_name, temporary_name, &saving->error)) != 0)
        return result;
    if ((result = put_program(saving)) == 0 && (result = put_arguments(saving)) == 0 &&
        (result = put_places(saving, level)) == 0)
        result = put_files(saving);
    return result;
}

/* Returns what the restoring code has left if this is the restored process, else NULL. */
static struct ckpt_handover *save_all(struct saving *saving, unsigned level)
{
    struct ckpt_handover *handover;

    saving->error.code = -save_facts(saving, level);
    if (saving->error.code)
        return NULL;
    ckpt_kernel_state_get(&saving->kernel_state);
    saving->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    handover = ckpt_freeze(&saving->machine, save_frozen, saving);
    if (handover)
        return handover;
    if (saving->pagemap >= 0)
        close(saving->pagemap);
    if (saving->error.code == 0)
        saving->error.code = -ckpt_writer_commit(&saving->writer, &saving->error);
    return NULL;
}

/*
 * The first thing that the restored program does, in its own memory. The descriptors and the text that `saving` names
 * are not there any more.
 */
static void wake_up(struct saving *saving, struct ckpt_handover *handover)
{
    ckpt_files_remember(&handover->moved);
    munmap((void *)handover->start, handover->bytes);
    ckpt_kernel_state_put(&saving->kernel_state, &saving->machine);
}

void ckpt_save(unsigned level)
{
    struct saving saving;
    struct ckpt_handover *handover;
    int saved_errno = errno;
    bool was_pending;

    saving.writer.fd = -1;
    saving.text = (struct ckpt_text){0};
    saving.kernel_state.mask = ckpt_block_signals();
    was_pending = is_file_limit_pending();
    handover = save_all(&saving, level);
    if (handover) {
        wake_up(&saving, handover);
    } else {
        ckpt_writer_abandon(&saving.writer);
        ckpt_text_free(&saving.text);
        if (saving.error.code)
            ckpt_say("no checkpoint taken, the program goes on, and %s is as it was: %s", checkpoint_name,
                     saving.error.text);
        drop_file_limit_signal(was_pending);
        ckpt_set_signal_mask(saving.kernel_state.mask);
    }
    errno = saved_errno;
}
