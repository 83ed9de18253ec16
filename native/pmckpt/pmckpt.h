/*
 * The poor man's checkpointer: a program saves itself into a file and can be started again from there.
 *
 * A source file with CKPT lines goes through ckptcvt before the compiler sees it, and the program is linked as
 *
 *     cc -o prog pmckpt.o prog.o pmceot.o
 *
 * docs/pmckpt.md has the rules for CKPT lines, and what is and is not brought back.
 */
#ifndef PMCKPT_H
#define PMCKPT_H

#ifdef __cplusplus
#error "pmckpt converts C; C++ may not jump past the constructors between CKPT TOPS and a CKPT POINT"
#endif

/*
 * Asks for a checkpoint at the next CKPT POINT. May be called at any time and from a signal handler.
 *
 * If the checkpoint then cannot be taken, a line on standard error says why, the former checkpoint file stays as it
 * was, and the program goes on.
 */
void ckpt_schedule(void);

/*
 * Takes the name of the checkpoint file from the environment variable CKPTFN (default CHECKPOINT) and that of the
 * temporary file from CKPTFNTEMP (default: the checkpoint file's name with .TEMP added). Both have to be in the same
 * file system, because the one is renamed to the other. Without this call the names are CHECKPOINT and
 * CHECKPOINT.TEMP. Relative names are looked up from the folder that is current when a checkpoint is taken.
 */
void ckpt_init(void);

/* What follows is for the lines that ckptcvt writes. */

/* One CKPT POINT. All of a program's are in one table, which begins in pmckpt.o and ends in pmceot.o. */
struct ckpt_place {
    void *label;
    const char *file;
    const char *function;
    const char *name;
    int line;
};

/* One call of a function with CKPT lines, outermost first in ckpt_levels_. */
struct ckpt_level {
    unsigned long stack; /* where the call's frame is: tells calls that longjmp() has ended from those still active */
    const char *file;
    const char *function;
    const struct ckpt_place *place; /* the CKPT POINT that was passed last, NULL if none since a subroutine returned */
};

extern struct ckpt_level *ckpt_levels_;
extern volatile int ckpt_wanted_;  /* a CKPT POINT has something to do */
extern volatile int ckpt_winding_; /* this process is on its way down to the place of the checkpoint */

unsigned ckpt_enter_(unsigned *level, const char *file, const char *function);
void ckpt_leave_(unsigned *level);
void *ckpt_wind_(unsigned level);
void ckpt_point_(unsigned level);
void ckpt_lost_(void) __attribute__((noreturn));

/*
 * For the compiler, variables may be used without a value on the way from CKPT TOPS to a CKPT POINT. They are not: the
 * memory of the checkpoint comes before their use. So it is not to warn, from CKPT VARS to CKPT BOTS.
 */
#if defined(__GNUC__) && !defined(__clang__)
#define CKPT_QUIET_ _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")
#define CKPT_UNQUIET_ _Pragma("GCC diagnostic pop")
#else
#define CKPT_QUIET_
#define CKPT_UNQUIET_
#endif

/* The formatter takes the address of a label for a conjunction; x and y are names, which take no parentheses. */
/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define CKPT_VARS                                                                                                   \
    CKPT_QUIET_                                                                                                     \
    __attribute__((cleanup(ckpt_leave_))) unsigned ckpt_level_ = ckpt_enter_(&ckpt_level_, __FILE__, __func__);

/*
 * A computed goto, and not a switch: the compiler then takes it that every label may be reached from here with the
 * variables as they are, draws no conclusions from variables that are not set yet, and neither inlines nor clones
 * the function.
 */
#define CKPT_TOPS                                                                                                   \
    if (__builtin_expect(ckpt_winding_, 0)) {                                                                       \
        void *ckpt_label_ = ckpt_wind_(ckpt_level_);                                                                \
        __extension__({ goto *(ckpt_label_ ? ckpt_label_ : &&ckpt_none_); });                                       \
    ckpt_none_: /* for functions without any CKPT POINT */                                                          \
        ckpt_lost_();                                                                                               \
    }

#define CKPT_POINT(x, y)                                                                                            \
    {                                                                                                               \
        static struct ckpt_place x __attribute__((section("ckpt_places"), used)) = {                                \
            __extension__ &&y, __FILE__, __func__, #y, __LINE__};                                                   \
        ckpt_levels_[ckpt_level_].place = &x;                                                                       \
    y:                                                                                                              \
        if (__builtin_expect(ckpt_wanted_, 0))                                                                      \
            ckpt_point_(ckpt_level_);                                                                               \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
/* clang-format on */

#define CKPT_BOTS CKPT_UNQUIET_

#endif
