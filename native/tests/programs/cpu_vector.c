/*
 * cpu_vector.c - x87, SSE, AVX and AVX-512 registers and their control words, while spinning and while in a system call.
 * Cases: x87 sse avx avx512 x87_blocked sse_blocked avx_blocked avx512_blocked control
 */
#include <linux/futex.h>
#include <pthread.h>

#include "victim.h"

#define HIDDEN __attribute__((visibility("hidden"), aligned(64)))

volatile uint64_t vec_stop HIDDEN;
uint64_t vec_block HIDDEN; /* 0: spin, 1: futex() */
unsigned char vec_in[33 * 64] HIDDEN, vec_out[33 * 64] HIDDEN;
unsigned char mask_in[64] HIDDEN, mask_out[64] HIDDEN;

void hold_x87(void);
void hold_sse(void);
void hold_avx(void);
void hold_avx512(void);

/* Waits for vec_stop, in a loop or in futex(&vec_stop, FUTEX_WAIT_PRIVATE, 0, NULL), without any vector instruction. */
__asm__(".macro hold\n"
        "  cmpl $0, vec_block(%rip)\n"
        "  jne 2f\n"
        "1: cmpl $0, vec_stop(%rip)\n"
        "  je 1b\n"
        "  jmp 3f\n"
        "2: lea vec_stop(%rip), %rdi\n"
        "  movl $128, %esi\n" /* FUTEX_WAIT | FUTEX_PRIVATE_FLAG */
        "  xorl %edx, %edx\n"
        "  xorl %r10d, %r10d\n"
        "  movl $202, %eax\n" /* SYS_futex */
        "  syscall\n"
        "3:\n.endm\n"

        ".globl hold_x87\nhold_x87:\n"
        "  fninit\n"
        "  .irp n,0,1,2,3,4,5,6,7\n  fldt vec_in+16*\\n(%rip)\n  .endr\n"
        "  hold\n"
        "  .irp n,7,6,5,4,3,2,1,0\n  fstpt vec_out+16*\\n(%rip)\n  .endr\n"
        "  ret\n"

        ".macro vectors first\n"
        "  .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n  \\first \\n\n  .endr\n.endm\n"
        ".macro high_vectors first\n"
        "  .irp n,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n  \\first \\n\n  .endr\n.endm\n"
        ".macro load_x n\n movdqu vec_in+64*\\n(%rip), %xmm\\n\n.endm\n"
        ".macro store_x n\n movdqu %xmm\\n, vec_out+64*\\n(%rip)\n.endm\n"
        ".macro load_y n\n vmovdqu vec_in+64*\\n(%rip), %ymm\\n\n.endm\n"
        ".macro store_y n\n vmovdqu %ymm\\n, vec_out+64*\\n(%rip)\n.endm\n"
        ".macro load_z n\n vmovdqu64 vec_in+64*\\n(%rip), %zmm\\n\n.endm\n"
        ".macro store_z n\n vmovdqu64 %zmm\\n, vec_out+64*\\n(%rip)\n.endm\n"

        ".globl hold_sse\nhold_sse:\n vectors load_x\n hold\n vectors store_x\n ret\n"
        ".globl hold_avx\nhold_avx:\n vectors load_y\n hold\n vectors store_y\n vzeroupper\n ret\n"
        ".globl hold_avx512\nhold_avx512:\n"
        "  vectors load_z\n high_vectors load_z\n"
        "  .irp n,0,1,2,3,4,5,6,7\n  kmovw mask_in+8*\\n(%rip), %k\\n\n  .endr\n"
        "  hold\n"
        "  .irp n,0,1,2,3,4,5,6,7\n  kmovw %k\\n, mask_out+8*\\n(%rip)\n  .endr\n"
        "  vectors store_z\n high_vectors store_z\n vzeroupper\n ret\n");

static _Atomic pid_t tid;

static void *run(void *function)
{
    tid = gettid();
    ((void (*)(void))function)();
    return NULL;
}

static void compare(const char *what, int count, int width, int step)
{
    for (int i = 0; i < count; i++)
        check(memcmp(vec_in + i * step, vec_out + i * step, (size_t)width) == 0, "%s register %d", what, i);
}

/* Round to zero and 53 bits in the x87, flush to zero and unmasked division in SSE. */
static void *control(void *unused)
{
    uint16_t x87 = 0x0e7f, x87_now = 0;
    uint32_t sse = 0xfd80 & ~0x200u, sse_now = 0;
    __asm__ volatile("fldcw %0; ldmxcsr %1" : : "m"(x87), "m"(sse));
    tid = gettid();
    wait_go_busy();
    __asm__ volatile("fnstcw %0; stmxcsr %1" : "=m"(x87_now), "=m"(sse_now));
    same("x87 control word", x87_now, x87);
    same("MXCSR", sse_now & ~0x3fu, sse & ~0x3fu);
    return unused;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    void *function = (void *)control;
    pthread_t thread;
    vec_block = strstr(name, "_blocked") != NULL;
    fill(vec_in, sizeof vec_in, 3);
    fill(mask_in, sizeof mask_in, 4);
    __builtin_cpu_init();
    if (strncmp(name, "x87", 3) == 0) {
        for (int i = 0; i < 8; i++) {
            long double value = 1.0L / (i + 3) * (i % 2 ? -1 : 1);
            memcpy(vec_in + 16 * i, &value, 10);
        }
        function = (void *)hold_x87;
    } else if (strncmp(name, "sse", 3) == 0) {
        function = (void *)hold_sse;
    } else if (strncmp(name, "avx512", 6) == 0) {
        if (!__builtin_cpu_supports("avx512f"))
            skip("no AVX-512");
        function = (void *)hold_avx512;
    } else if (strncmp(name, "avx", 3) == 0) {
        if (!__builtin_cpu_supports("avx"))
            skip("no AVX");
        function = (void *)hold_avx;
    }
    bool is_control = function == (void *)control;
    need(pthread_create(&thread, NULL, is_control ? control : run, function) == 0);
    while (!tid)
        victim_nap();
    if (vec_block)
        need(await_blocked(tid, SYS_futex));
    ready();
    wait_go();
    vec_stop = 1;
    if (vec_block)
        syscall(SYS_futex, &vec_stop, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    pthread_join(thread, NULL);
    if (function == (void *)hold_x87)
        compare("x87", 8, 10, 16);
    else if (function == (void *)hold_sse)
        compare("SSE", 16, 16, 64);
    else if (function == (void *)hold_avx)
        compare("AVX", 16, 32, 64);
    else if (function == (void *)hold_avx512)
        compare("AVX-512", 32, 64, 64);
    if (function == (void *)hold_avx512)
        for (int i = 0; i < 8; i++)
            check(memcmp(mask_in + 8 * i, mask_out + 8 * i, 2) == 0, "mask register k%d", i);
    finish();
}
