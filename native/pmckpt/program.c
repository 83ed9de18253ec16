#include "program.h"

#include <elf.h>
#include <link.h>
#include <string.h>

#include "crc32c.h"

/*
 * Adds a segment: what cannot be written to in memory is as it is in the file, wherever it was loaded. The file's own
 * header is left out, because strip changes it.
 */
static void add_segment(struct ckpt_program *program, const Elf64_Phdr *header, const char *data)
{
    uint64_t skip = header->p_offset == 0 && header->p_filesz >= sizeof(Elf64_Ehdr) ? sizeof(Elf64_Ehdr) : 0;

    program->crc = ckpt_crc32c(program->crc, &header->p_vaddr, sizeof(header->p_vaddr));
    program->crc = ckpt_crc32c(program->crc, data + skip, header->p_filesz - skip);
    program->bytes += header->p_filesz;
    program->segments++;
}

static bool is_constant(const Elf64_Phdr *header)
{
    return header->p_type == PT_LOAD && !(header->p_flags & PF_W);
}

/* Looks at the first object only, which is the program. */
static int add_loaded(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &info->dlpi_phdr[i];

        if (is_constant(header))
            add_segment(argument, header, (const char *)(info->dlpi_addr + header->p_vaddr));
    }
    return 1;
}

void ckpt_program_of_self(struct ckpt_program *program)
{
    *program = (struct ckpt_program){0};
    dl_iterate_phdr(add_loaded, program);
}

bool ckpt_program_of_file(const void *file, size_t bytes, struct ckpt_program *program)
{
    const Elf64_Ehdr *elf = file;
    const Elf64_Phdr *header;

    *program = (struct ckpt_program){0};
    if (bytes < sizeof(*elf) || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_ident[EI_CLASS] != ELFCLASS64 ||
        elf->e_machine != EM_X86_64 || elf->e_phentsize != sizeof(*header))
        return false;
    if (elf->e_phoff > bytes || elf->e_phnum > (bytes - elf->e_phoff) / sizeof(*header))
        return false;
    header = (const void *)((const char *)file + elf->e_phoff);
    for (int i = 0; i < elf->e_phnum; i++, header++) {
        if (!is_constant(header))
            continue;
        if (header->p_offset > bytes || header->p_filesz > bytes - header->p_offset)
            return false;
        add_segment(program, header, (const char *)file + header->p_offset);
    }
    return program->segments > 0;
}

bool ckpt_program_equal(const struct ckpt_program *a, const struct ckpt_program *b)
{
    return a->bytes == b->bytes && a->crc == b->crc && a->segments == b->segments;
}
