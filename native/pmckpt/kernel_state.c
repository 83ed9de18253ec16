#include "kernel_state.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif
#ifndef SYS_rseq
#define SYS_rseq 334
#endif
#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#endif

enum {
    KERNEL_MASK_BYTES = 8,
    RSEQ_FLAG_UNREGISTER = 1,
    RSEQ_SIGNATURE = 0x53053053,
    RSEQ_BYTES = 32,
    RSEQ_ALIGNMENT = 32,
};

/* Where the C library says that the area is; it knows of none if it is too old or not glibc. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

uint64_t ckpt_block_signals(void)
{
    uint64_t all = ~UINT64_C(0), former = 0;

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &former, KERNEL_MASK_BYTES);
    return former;
}

void ckpt_set_signal_mask(uint64_t mask)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, KERNEL_MASK_BYTES);
}

void ckpt_kernel_state_get(struct ckpt_kernel_state *state)
{
    for (int i = 0; i < KERNEL_SIGNALS; i++)
        syscall(SYS_rt_sigaction, i + 1, NULL, &state->actions[i], KERNEL_MASK_BYTES);
    sigaltstack(NULL, &state->alternate_stack);
    for (int i = 0; i < INTERVAL_TIMERS; i++)
        getitimer(i, &state->timers[i]);
}

uint64_t ckpt_caught_signals(const struct ckpt_kernel_state *state)
{
    uint64_t caught = 0;

    for (int i = 0; i < KERNEL_SIGNALS; i++)
        caught |= (uint64_t)(state->actions[i].handler != (uint64_t)SIG_DFL) << i;
    return caught;
}

void ckpt_stop_timers(void)
{
    const struct itimerval none = {0};

    for (int i = 0; i < INTERVAL_TIMERS; i++)
        setitimer(i, &none, NULL);
}

static uint64_t fs_base(void)
{
    uint64_t base = 0;

    syscall(SYS_arch_prctl, ARCH_GET_FS, &base);
    return base;
}

/* The size that glibc registers: the kernel's, but at least that of the first version. */
static unsigned long rseq_bytes(void)
{
    unsigned long bytes = (getauxval(AT_RSEQ_FEATURE_SIZE) + RSEQ_ALIGNMENT - 1) & -RSEQ_ALIGNMENT;

    return bytes < RSEQ_BYTES ? RSEQ_BYTES : bytes;
}

static void *rseq_area(void)
{
    if (!&__rseq_offset || !&__rseq_size || __rseq_size == 0)
        return NULL;
    return (void *)(fs_base() + __rseq_offset);
}

int ckpt_rseq_unregister(struct ckpt_error *error)
{
    void *area = rseq_area();

    if (!area || syscall(SYS_rseq, area, rseq_bytes(), RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE) == 0)
        return 0;
    if (syscall(SYS_rseq, area, RSEQ_BYTES, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE) == 0)
        return 0;
    return ckpt_error_set(error, CKPT_ENOSYS_,
                          "the C library's rseq area cannot be unregistered: %m; "
                          "try again with GLIBC_TUNABLES=glibc.pthread.rseq=0 in the environment");
}

void ckpt_rseq_register(void)
{
    void *area = rseq_area();

    /* A failure does no harm: the area then says that there is none. */
    if (area && syscall(SYS_rseq, area, rseq_bytes(), 0, RSEQ_SIGNATURE) != 0)
        syscall(SYS_rseq, area, RSEQ_BYTES, 0, RSEQ_SIGNATURE);
}

void ckpt_thread_registration_get(struct ckpt_machine *machine)
{
    void *robust_list = NULL, *tid_address = NULL;
    size_t bytes = 0;

    syscall(SYS_get_robust_list, 0, &robust_list, &bytes);
    prctl(PR_GET_TID_ADDRESS, &tid_address);
    machine->robust_list = (uint64_t)robust_list;
    machine->robust_list_bytes = bytes;
    machine->tid_address = (uint64_t)tid_address;
    machine->fs_base = fs_base();
}

static void thread_registration_put(const struct ckpt_machine *machine)
{
    if (machine->robust_list)
        syscall(SYS_set_robust_list, machine->robust_list, machine->robust_list_bytes);
    /* The C library keeps the thread's number where the kernel is to clear it at the thread's end. */
    if (machine->tid_address)
        *(int *)machine->tid_address = (int)syscall(SYS_set_tid_address, machine->tid_address);
    ckpt_rseq_register();
}

void ckpt_kernel_state_put(const struct ckpt_kernel_state *state, const struct ckpt_machine *machine)
{
    thread_registration_put(machine);
    sigaltstack(&state->alternate_stack, NULL);
    for (int i = 0; i < KERNEL_SIGNALS; i++) /* fails for SIGKILL and SIGSTOP, which nobody can have changed */
        syscall(SYS_rt_sigaction, i + 1, &state->actions[i], NULL, KERNEL_MASK_BYTES);
    for (int i = 0; i < INTERVAL_TIMERS; i++)
        setitimer(i, &state->timers[i], NULL);
    ckpt_set_signal_mask(state->mask);
}

void ckpt_cpu_get(uint32_t cpu[CKPT_CPU_WORDS])
{
    /* Only what compilers and C libraries generate code for; the other bits differ without harm. */
    enum {
        LEAF1_ECX =
            0x7ed83203, /* SSE3 PCLMUL SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE OSXSAVE AVX F16C RDRAND */
        LEAF7_EBX = 0xf1af0b29,    /* FSGSBASE BMI1 AVX2 BMI2 ERMS RTM AVX512* RDSEED ADX CLFLUSHOPT CLWB SHA */
        LEAF7_ECX = 0x00005f42,    /* VBMI VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNT */
        EXTENDED_ECX = 0x00000021, /* LAHF LZCNT */
        XSAVE_EAX = 0x00000002,    /* XSAVEC */
    };
    unsigned eax, ebx, ecx, edx;

    for (int i = 0; i < CKPT_CPU_WORDS; i++)
        cpu[i] = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        cpu[0] = ecx & LEAF1_ECX;
        if (ecx & bit_OSXSAVE) {
            unsigned high;

            __asm__ volatile("xgetbv" : "=a"(cpu[5]), "=d"(high) : "c"(0));
        }
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        cpu[1] = ebx & LEAF7_EBX;
        cpu[2] = ecx & LEAF7_ECX;
    }
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx))
        cpu[3] = ecx & EXTENDED_ECX;
    if (__get_cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx))
        cpu[4] = eax & XSAVE_EAX;
}
