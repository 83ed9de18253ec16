#include "files/internal.h"

#include <elf.h>
#include <string.h>

#include "core/error.h"

/* More than any real file has; what lies beyond is ignored. */
#define PHDRS_MAX 512u
#define NOTES_MAX_BYTES 65536u
#define BUILD_ID_MAX_BYTES 64u

static size_t note_aligned(size_t size, size_t align)
{
    return (size + align - 1) & ~(align - 1);
}

/* Finds the build-id among notes; NULL if there is none. Sizes are 32 bits wide, so their sums cannot overflow. */
static const uint8_t *find_in_notes(const uint8_t *notes, size_t size, size_t align, uint32_t *id_size)
{
    while (size >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, notes, sizeof note);
        size_t desc_at = sizeof note + note_aligned(note.n_namesz, align);
        size_t whole = desc_at + note_aligned(note.n_descsz, align);
        if (desc_at > size || note.n_descsz > size - desc_at)
            return NULL;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + sizeof note, "GNU", 4) == 0 &&
            note.n_descsz > 0 && note.n_descsz <= BUILD_ID_MAX_BYTES) {
            *id_size = note.n_descsz;
            return notes + desc_at;
        }
        if (whole > size)
            return NULL;
        notes += whole;
        size -= whole;
    }
    return NULL;
}

static int read_notes(int fd, const char *name, const Elf64_Phdr *phdr, uint8_t *notes, struct blob *id,
                      struct caesura_error *err)
{
    size_t size = phdr->p_filesz < NOTES_MAX_BYTES ? phdr->p_filesz : NOTES_MAX_BYTES, got;
    uint32_t id_size;

    if (phdr->p_offset > INT64_MAX - NOTES_MAX_BYTES)
        return 0;
    int rc = identity_read(fd, notes, size, phdr->p_offset, name, &got, err);
    if (rc)
        return rc;
    const uint8_t *found = find_in_notes(notes, got, phdr->p_align == 8 ? 8 : 4, &id_size);
    if (!found)
        return 0;
    id->data = malloc(id_size);
    if (!id->data)
        return error_set(err, CAESURA_ENOMEM_, "cannot hold the build-id of %s", name);
    memcpy(id->data, found, id_size);
    id->size = id_size;
    return 0;
}

int elf_build_id(int fd, const char *name, struct blob *id, struct caesura_error *err)
{
    Elf64_Ehdr header;
    size_t got;

    *id = (struct blob){0};
    int rc = identity_read(fd, &header, sizeof header, 0, name, &got, err);
    if (rc)
        return rc;
    if (got < sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_phentsize != sizeof(Elf64_Phdr) ||
        header.e_phoff > INT64_MAX - PHDRS_MAX * sizeof(Elf64_Phdr))
        return 0;
    uint32_t count = header.e_phnum < PHDRS_MAX ? header.e_phnum : PHDRS_MAX;
    auto_free Elf64_Phdr *phdrs = calloc(count + 1, sizeof *phdrs);
    auto_free uint8_t *notes = malloc(NOTES_MAX_BYTES);
    if (!phdrs || !notes)
        return error_set(err, CAESURA_ENOMEM_, "cannot look at %s", name);
    rc = identity_read(fd, phdrs, count * sizeof *phdrs, header.e_phoff, name, &got, err);
    for (uint32_t i = 0; !rc && i < got / sizeof *phdrs && !id->size; i++)
        if (phdrs[i].p_type == PT_NOTE)
            rc = read_notes(fd, name, &phdrs[i], notes, id, err);
    return rc;
}
