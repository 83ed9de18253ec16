/*
 * What the kernel knows about a process by address or by number, and memory alone does not bring back: signal
 * handlers and mask, interval timers, the alternate signal stack, and the C library's registrations of its thread.
 */
#ifndef PMCKPT_KERNEL_STATE_H
#define PMCKPT_KERNEL_STATE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>

#include "error.h"
#include "format.h"

enum { KERNEL_SIGNALS = 64, INTERVAL_TIMERS = 3 };

/* As rt_sigaction(2) has it; the C library's struct lacks a part. */
struct ckpt_signal_action {
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

struct ckpt_kernel_state {
    struct ckpt_signal_action actions[KERNEL_SIGNALS];
    uint64_t mask;
    stack_t alternate_stack;
    struct itimerval timers[INTERVAL_TIMERS];
};

/* Blocks all signals and returns the former mask. */
uint64_t ckpt_block_signals(void);
void ckpt_set_signal_mask(uint64_t mask);

/* Fills the state, except its mask. */
void ckpt_kernel_state_get(struct ckpt_kernel_state *state);

/* Which signals are not left to the kernel's default. Bit N - 1 is signal N. */
uint64_t ckpt_caught_signals(const struct ckpt_kernel_state *state);

/* Undoes the restoring process's own timers, so that none goes off in the restored program. */
void ckpt_stop_timers(void);

/* Brings back everything, rseq as well, the mask last. For the restored process, with its memory in place. */
void ckpt_kernel_state_put(const struct ckpt_kernel_state *state, const struct ckpt_machine *machine);

/* Fills fs_base, robust_list and tid_address. */
void ckpt_thread_registration_get(struct ckpt_machine *machine);

/*
 * Ends the registration of the restartable-sequence area. Otherwise the kernel would write to it whenever it moves
 * the thread to another processor: between the saving and the summing of this memory, or after its replacement.
 */
int ckpt_rseq_unregister(struct ckpt_error *error);
void ckpt_rseq_register(void);

/* Fills cpu[] with the features of this processor and kernel. */
void ckpt_cpu_get(uint32_t cpu[CKPT_CPU_WORDS]);

#endif
