/*
 * void *ckpt_freeze(struct ckpt_machine *machine, void *(*save)(void *), void *argument)
 *
 * Puts the registers that belong to the caller onto the stack, stores where, and calls save(argument). What that
 * returns is returned here. In a restored process the stack is back in place, and ckpt_freeze returns a second time,
 * out of the same frames, with what the restoring code left in %rax.
 *
 * No note here says that the code knows of shadow stacks. That is on purpose: the dynamic linker then keeps them off
 * for the whole program. They could not be put back.
 */
        .text
        .globl  ckpt_freeze
        .hidden ckpt_freeze
        .type   ckpt_freeze, @function
ckpt_freeze:
        .cfi_startproc
        push    %rbp
        .cfi_adjust_cfa_offset 8
        push    %rbx
        .cfi_adjust_cfa_offset 8
        push    %r12
        .cfi_adjust_cfa_offset 8
        push    %r13
        .cfi_adjust_cfa_offset 8
        push    %r14
        .cfi_adjust_cfa_offset 8
        push    %r15
        .cfi_adjust_cfa_offset 8
        sub     $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        lea     resume(%rip), %rax
        mov     %rsp, 0(%rdi)           /* machine->stack_pointer */
        mov     %rax, 8(%rdi)           /* machine->resume_address */
        mov     %rdx, %rdi
        call    *%rsi
resume:
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
        pop     %r15
        .cfi_adjust_cfa_offset -8
        pop     %r14
        .cfi_adjust_cfa_offset -8
        pop     %r13
        .cfi_adjust_cfa_offset -8
        pop     %r12
        .cfi_adjust_cfa_offset -8
        pop     %rbx
        .cfi_adjust_cfa_offset -8
        pop     %rbp
        .cfi_adjust_cfa_offset -8
        ret
        .cfi_endproc
        .size   ckpt_freeze, . - ckpt_freeze

        .section .note.GNU-stack, "", @progbits
