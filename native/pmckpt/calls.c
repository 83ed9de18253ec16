/*
 * The calls of functions with CKPT lines that are active, and where each is. They are kept in an array and not linked
 * through the stack: longjmp() may have ended calls without a word, and their frames are then overwritten.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"

enum { FIRST_LEVELS = 128 };

static struct ckpt_level first_levels[FIRST_LEVELS];
static unsigned depth, room = FIRST_LEVELS;

struct ckpt_level *ckpt_levels_ = first_levels;
volatile int ckpt_wanted_;
volatile int ckpt_winding_;

/* pmckpt.o is linked first. */
struct ckpt_place ckpt_places_begin __attribute__((section("ckpt_places"), used)) = {0};

unsigned ckpt_depth(void)
{
    return depth;
}

void ckpt_cut_calls(unsigned level)
{
    depth = level + 1;
}

void ckpt_schedule(void)
{
    ckpt_wanted_ = 1;
}

static void grow(void)
{
    size_t bytes = room * sizeof(*ckpt_levels_);
    struct ckpt_level *levels = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (levels == MAP_FAILED) {
        ckpt_say("no memory to note %u calls; raise the memory limit", room * 2);
        abort();
    }
    for (unsigned i = 0; i < room; i++)
        levels[i] = ckpt_levels_[i];
    if (ckpt_levels_ != first_levels)
        munmap(ckpt_levels_, bytes);
    ckpt_levels_ = levels;
    room *= 2;
}

unsigned ckpt_enter_(unsigned *level, const char *file, const char *function)
{
    unsigned long stack = (unsigned long)level;

    /* The stack grows down: a call that lies below its own callee has ended. */
    while (depth && ckpt_levels_[depth - 1].stack <= stack)
        depth--;
    if (depth == room)
        grow();
    ckpt_levels_[depth] = (struct ckpt_level){stack, file, function, NULL};
    return depth++;
}

void ckpt_leave_(unsigned *level)
{
    if (ckpt_winding_)
        ckpt_left_while_winding();
    depth = *level;
    /* The caller has to pass a CKPT POINT again before it may call another such function. */
    if (depth)
        ckpt_levels_[depth - 1].place = NULL;
}

void ckpt_point_(unsigned level)
{
    if (ckpt_winding_) {
        ckpt_arrive(level);
        return;
    }
    /* Before anything is saved: the restored program must not find the request once more. */
    ckpt_wanted_ = 0;
    ckpt_cut_calls(level);
    ckpt_save(level);
}
