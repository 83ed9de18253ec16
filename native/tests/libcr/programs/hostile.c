/*
 * hostile.c - a program that says it has libcr, and writes nonsense into the control block all the time. The checkpointer must
 * come to an end, whatever it reads, and harm nobody else.
 */
#include <pthread.h>
#include <stddef.h>

#include "../../../include/libcr_control.h"
#include "../../programs/victim.h"

struct libcr_control fake_control __attribute__((visibility("hidden"))) = {
    .magic = LIBCR_MAGIC, .version = LIBCR_CONTROL_VERSION, .size = sizeof(struct libcr_control)};

__asm__(".pushsection .note.caesura.libcr, \"a\", %note\n"
        ".balign 4\n"
        ".long 8, 8, 0x6372\n"
        ".asciz \"Caesura\"\n"
        ".quad fake_control - .\n"
        ".popsection\n");

static bool sane; /* stays with what gets far: everything in its turn, but never to the end */
static uint64_t seed;

static void *scribble(void *unused)
{
    uint32_t *words = (uint32_t *)&fake_control;
    const size_t first = offsetof(struct libcr_control, enrolled) / 4, last = LIBCR_CONTROL_HEAD / 4;

    while (!go()) {
        for (int i = 0; i < 1000; i++) {
            size_t word = first + victim_mix(seed++) % (last - first);
            bool is_handler = word >= offsetof(struct libcr_control, handler) / 4 &&
                              word < offsetof(struct libcr_control, request) / 4;
            /* A handler of nonsense would end this program, which is fair but tests nothing. */
            if (!is_handler)
                __atomic_store_n(&words[word], sane ? victim_mix(seed) % 4 : (uint32_t)victim_mix(seed),
                                 __ATOMIC_SEQ_CST);
        }
        fake_control.answer = LIBCR_FINE; /* or it would be killed as it wished */
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    signal(64, SIG_IGN);
    fake_control.pid = getpid();
    fake_control.enrolled = 1;
    sane = argc > 1 && !strcmp(argv[1], "sane");
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    need(pthread_create(&thread, NULL, scribble, NULL) == 0);
    ready();
    wait_go();
    pthread_join(thread, NULL);
    finish();
}
