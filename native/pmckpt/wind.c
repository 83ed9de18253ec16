/*
 * Restoring. The program runs from its start once more, but each function, after its preamble, goes to the CKPT POINT
 * at which it was at the checkpoint, and so calls the next one. At the innermost point, the memory of the checkpoint
 * takes the place of this process's.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "files.h"
#include "image.h"
#include "internal.h"
#include "kernel_state.h"
#include "plan.h"
#include "proc.h"
#include "program.h"

static struct ckpt_image image;
static bool cut_files;
static unsigned arrived; /* number of calls that have reached their point */

__attribute__((noreturn)) static void give_up(const struct ckpt_error *error)
{
    ckpt_say("not restored: %s", error->text);
    _exit(error->code);
}

__attribute__((noreturn, format(printf, 1, 2))) static void lose_way(const char *format, ...)
{
    static const char remedy[] = "; there may be nothing but a CKPT POINT in front of a call of a function with CKPT "
                                 "lines, and all on the way to it need CKPT lines";
    struct ckpt_error error = {.code = CKPT_ERSTRTABRT};
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(error.text, sizeof(error.text), format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof(error.text))
        snprintf(error.text + length, sizeof(error.text) - length, "%s", remedy);
    give_up(&error);
}

static const struct ckpt_place *place_of(unsigned level)
{
    return (const void *)((const char *)&ckpt_places_begin + image.places[level]);
}

static void start_winding(int fd)
{
    struct ckpt_program self;
    struct ckpt_error error;

    if (ckpt_image_read(&image, fd, "the CHECKPOINT file", false, &error))
        give_up(&error);
    ckpt_program_of_self(&self);
    if (!ckpt_program_equal(&self, &image.program)) {
        ckpt_error_set(
            &error, CKPT_EFILECHANGED,
            "the checkpoint is of another program, or of another build of it: %s; give the program that wrote it",
            image.program_path);
        give_up(&error);
    }
    ckpt_files_make_start(&image.files, fd);
    ckpt_winding_ = 1;
    ckpt_wanted_ = 1;
}

/* Before main() and before other constructors. */
__attribute__((constructor(101))) static void start(void)
{
    const char *from = getenv(CKPT_RESTORE_VARIABLE);
    char *rest;
    int fd;

    if (!from) {
        ckpt_files_at_start();
        return;
    }
    /* Memory that the caller has made would run with the rights of the program's owner. */
    if (getauxval(AT_SECURE)) {
        struct ckpt_error error;

        ckpt_error_set(&error, CKPT_EPERM_,
                       "the program runs with the rights of its file's owner; remove the set-user-ID bit");
        give_up(&error);
    }
    fd = (int)strtol(from, &rest, 10);
    cut_files = *rest == 't';
    unsetenv(CKPT_RESTORE_VARIABLE);
    start_winding(fd);
}

__attribute__((destructor(101))) static void end(void)
{
    if (ckpt_winding_)
        lose_way("the program ended after %u of %zu calls on the way to the checkpoint", arrived, image.places_count);
    ckpt_files_at_end();
}

void *ckpt_wind_(unsigned level)
{
    const struct ckpt_level *call = &ckpt_levels_[level];
    const struct ckpt_place *place;

    if (level != arrived || level >= image.places_count)
        lose_way("%s() in %s was called on the way to the checkpoint, but not when it was taken", call->function,
                 call->file);
    place = place_of(level);
    if (strcmp(place->function, call->function) != 0 || strcmp(place->file, call->file) != 0)
        lose_way("%s() in %s was called on the way to the checkpoint, in place of %s() in %s", call->function,
                 call->file, place->function, place->file);
    return place->label;
}

/* The place of the checkpoint: from here on it is another process. */
__attribute__((noreturn)) static void become_program(void)
{
    struct ckpt_handover handover = {0};
    struct ckpt_error error;

    ckpt_block_signals();
    ckpt_stop_timers();
    if (ckpt_count_threads() > 1) {
        ckpt_error_set(&error, CKPT_EUNSUPPORTED, "a preamble has started a thread; end it before CKPT TOPS");
        give_up(&error);
    }
    if (ckpt_files_put(&image.files, cut_files, image.fd, &handover.moved, &error) == 0)
        ckpt_become(&image, &handover, &error);
    give_up(&error);
}

void ckpt_arrive(unsigned level)
{
    if (level != arrived)
        lose_way("%s() in %s has come to line %d, past its place at the checkpoint, without the call of %s()",
                 ckpt_levels_[level].function, ckpt_levels_[level].file,
                 ckpt_levels_[level].place ? ckpt_levels_[level].place->line : 0,
                 arrived < image.places_count ? place_of(arrived)->function : "?");
    arrived++;
    if (arrived == image.places_count)
        become_program();
}

void ckpt_left_while_winding(void)
{
    const struct ckpt_level *call = &ckpt_levels_[ckpt_depth() - 1];

    lose_way("%s() in %s returned on the way to the checkpoint", call->function, call->file);
}

void ckpt_lost_(void)
{
    abort(); /* only a jump that nobody makes leads here */
}
