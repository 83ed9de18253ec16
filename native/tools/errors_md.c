/* errors_md.c - writes docs/errors.md from the error table. */
#include <stdio.h>
#include <string.h>

/* The table's names for errno values end in "_", so that they do not clash with <errno.h>. */
static void row(const char *name, int code, const char *what, const char *remedy)
{
    size_t length = strlen(name);
    if (length && name[length - 1] == '_')
        length--;
    printf("| %d | %.*s | %s | %s |\n", code, (int)length, name, what, remedy);
}

int main(void)
{
    puts(
        "# Errors\n\n"
        "Generated from native/include/caesura_errors.def by `make errors`; do not edit.\n\n"
        "A command exits with the code of its failure. 1 to 133 are Linux errno values, 50 to 61 are BLCR's codes cut\n"
        "to 8 bits, 200 to 239 are Caesura's own, 255 is wrong usage. cr_restart exits with the status of the restarted\n"
        "program once that runs.\n\n"
        "| code | name | what | remedy |\n|---|---|---|---|");
#define CAESURA_ERROR(name, code, what, remedy) row(#name, code, what, remedy);
#include "caesura_errors.def"
#undef CAESURA_ERROR
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
