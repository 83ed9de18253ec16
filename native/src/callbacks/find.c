#include "callbacks/find.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "caesura.h"
#include "proc/proc.h"

#define HEADERS_MAX 64
#define NOTES_MAX 4096u
#define PHOFF_MAX 0x10000u /* program headers are at the front of an image */

static int peek(pid_t pid, uint64_t address, void *data, size_t size)
{
    struct iovec local = {data, size}, there = {(void *)(uintptr_t)address, size};
    ssize_t got = process_vm_readv(pid, &local, 1, &there, 1, 0);

    if (got < 0)
        return -errno;
    return (size_t)got == size ? 0 : -EFAULT;
}

int libcr_read(pid_t pid, uint64_t address, struct libcr_control *control)
{
    memset(control, 0, LIBCR_CONTROL_HEAD);
    return peek(pid, address, control, LIBCR_CONTROL_HEAD);
}

int libcr_write(pid_t pid, uint64_t address, size_t offset, const void *data, size_t size)
{
    struct iovec local = {(void *)(uintptr_t)data, size}, there = {(void *)(uintptr_t)(address + offset), size};
    ssize_t done = process_vm_writev(pid, &local, 1, &there, 1, 0);

    if (done < 0)
        return -errno;
    return (size_t)done == size ? 0 : -EFAULT;
}

/* Looks for our note in a note segment at address; the block's address, or 0. */
static uint64_t search_notes(const uint8_t *notes, size_t size, uint64_t address)
{
    const size_t head = sizeof(Elf64_Nhdr);
    size_t at = 0;

    while (size - at >= head) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, head);
        if (note.n_namesz > NOTES_MAX || note.n_descsz > NOTES_MAX)
            return 0;
        size_t name = at + head, desc = name + (note.n_namesz + 3u) / 4 * 4, next = desc + (note.n_descsz + 3u) / 4 * 4;
        if (next > size)
            return 0;
        int64_t distance;
        if (note.n_type == LIBCR_NOTE_TYPE && note.n_namesz == sizeof LIBCR_NOTE_NAME &&
            !memcmp(notes + name, LIBCR_NOTE_NAME, sizeof LIBCR_NOTE_NAME) && note.n_descsz == sizeof distance) {
            memcpy(&distance, notes + desc, sizeof distance);
            return address + desc + (uint64_t)distance;
        }
        at = next;
    }
    return 0;
}

/* An ELF image whose first byte is mapped at start. */
static uint64_t search_image(pid_t pid, uint64_t start)
{
    Elf64_Ehdr head;
    Elf64_Phdr segments[HEADERS_MAX];
    uint8_t notes[NOTES_MAX];
    uint64_t bias = start;

    if (peek(pid, start, &head, sizeof head) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof *segments || !head.e_phnum ||
        head.e_phnum > HEADERS_MAX || head.e_phoff > PHOFF_MAX ||
        peek(pid, start + head.e_phoff, segments, head.e_phnum * sizeof *segments))
        return 0;
    for (size_t i = 0; i < head.e_phnum; i++)
        if (segments[i].p_type == PT_LOAD && !segments[i].p_offset)
            bias = start - segments[i].p_vaddr;
    for (size_t i = 0; i < head.e_phnum; i++) {
        uint64_t address = bias + segments[i].p_vaddr, found;
        size_t size = segments[i].p_memsz < NOTES_MAX ? segments[i].p_memsz : NOTES_MAX;
        if (segments[i].p_type == PT_NOTE && !peek(pid, address, notes, size) &&
            (found = search_notes(notes, size, address)))
            return found;
    }
    return 0;
}

int libcr_find(pid_t pid, struct libcr_found *found)
{
    struct libcr_control control;
    struct proc_map map;
    char *text;
    int rc = proc_read(pid, "maps", &text, NULL);

    *found = (struct libcr_found){0};
    if (rc)
        return rc;
    for (const char *at = text; !found->address && proc_next_map(&at, &map) > 0;) {
        const char *base = strrchr(map.name, '/');
        if (map.offset || !map.ino || map.perms[0] != 'r' || !base)
            continue;
        found->marked |= !strncmp(base, "/libcr.so", 9) || !strncmp(base, "/libcr_run.so", 13) ||
                         !strncmp(base, "/libcr_omit.so", 14);
        found->address = search_image(pid, map.start);
    }
    free(text);
    if (!found->address)
        return 0;
    found->marked = true;
    if (libcr_read(pid, found->address, &control) || control.magic != LIBCR_MAGIC) {
        found->address = 0; /* the library is being loaded, or this is no libcr */
        return 0;
    }
    return control.version == LIBCR_CONTROL_VERSION && control.size == sizeof control ? 0 : -CAESURA_EVERSION;
}
