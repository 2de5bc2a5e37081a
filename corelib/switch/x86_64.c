/* SPDX-License-Identifier: MIT */
/* The System V ABI on x86-64: Linux and macOS. */
/* For syscall(). */
#define _DEFAULT_SOURCE 1

#include "switch/switch.h"

#ifdef RL_SWITCH_X86_64

#include <stdint.h>
#include <string.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__APPLE__)
#define BEGIN(name) ".text\n.p2align 5\n.globl _" #name "\n.private_extern _" #name "\n_" #name ":\n"
#define END(name) "\n"
#else
#define BEGIN(name) \
    ".text\n.p2align 5\n.globl " #name "\n.hidden " #name "\n.type " #name ", @function\n" #name ":\n"
#define END(name) ".size " #name ", . - " #name "\n"
#endif

/* What a suspended stack holds at its stack pointer, lowest address first. */
struct frame {
    uint64_t fpu;      /* mxcsr in the low half, the x87 control word above it. */
    uint64_t saved[6]; /* r15, r14, r13, r12, rbx, rbp. */
    void *resume;      /* Where rl_switch returns to. */
};

/* The control words are compared with the running ones before they are loaded:
   loading costs several times what comparing does, and they seldom differ. The
   low six bits of mxcsr are sticky status flags, which no callee preserves. Each
   word is read back with the width it was stored with: a wider load would have
   to wait until both stores have left the store buffer. */
__asm__(
    BEGIN(rl_switch)
    "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n"
    "    pushq %r13\n    pushq %r14\n    pushq %r15\n"
    "    subq $8, %rsp\n    stmxcsr (%rsp)\n    fnstcw 4(%rsp)\n"
    "    movl (%rsp), %eax\n    movzwl 4(%rsp), %ecx\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    xorl (%rsp), %eax\n    xorw 4(%rsp), %cx\n"
    "    andl $-64, %eax\n    orl %ecx, %eax\n    jne 2f\n"
    "1:  addq $8, %rsp\n"
    "    popq %r15\n    popq %r14\n    popq %r13\n"
    "    popq %r12\n    popq %rbx\n    popq %rbp\n"
    "    ret\n"
    "2:  ldmxcsr (%rsp)\n    fldcw 4(%rsp)\n    jmp 1b\n"
    END(rl_switch)

    BEGIN(rl_switch_via)
    "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n"
    "    pushq %r13\n    pushq %r14\n    pushq %r15\n"
    "    subq $8, %rsp\n    stmxcsr (%rsp)\n    fnstcw 4(%rsp)\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    movq %rcx, %rdi\n"
    "    call *%rdx\n"
    "    movq %rax, %rsp\n"
    "    ldmxcsr (%rsp)\n    fldcw 4(%rsp)\n    addq $8, %rsp\n"
    "    popq %r15\n    popq %r14\n    popq %r13\n"
    "    popq %r12\n    popq %rbx\n    popq %rbp\n"
    "    ret\n"
    END(rl_switch_via)

    /* The first frame of every stack; rbx holds the entry function. Unwinders
       and debuggers stop here: an undefined return address ends their walk. */
    BEGIN(rl_switch_boot)
    "    .cfi_startproc\n    .cfi_undefined rip\n"
    "    xorl %ebp, %ebp\n"
    "    call *%rbx\n"
    "    ud2\n"
    "    .cfi_endproc\n"
    END(rl_switch_boot)
);

extern void rl_switch_boot(void);

void *rl_switch_seed(char *base, void (*entry)(void)) {
    /* rsp must be 16-byte aligned when boot calls entry, so the frame that
       rl_switch pops ends at a multiple of 16 below the base. */
    struct frame *frame = (struct frame *)(base - 16 - sizeof *frame);
    uint32_t mxcsr;
    uint16_t x87;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    memset(frame, 0, sizeof *frame + 16);
    memcpy((char *)&frame->fpu, &mxcsr, sizeof mxcsr);
    memcpy((char *)&frame->fpu + 4, &x87, sizeof x87);
    frame->saved[4] = (uint64_t)(uintptr_t)entry;
    frame->resume = (void *)(uintptr_t)rl_switch_boot;
    return frame;
}

const char *rl_switch_obstacle(void) {
#if defined(__linux__)
    /* arch_prctl(ARCH_SHSTK_STATUS): bit 0 says that this thread has a shadow
       stack, which makes the first return on a switched stack fatal. */
    uint64_t features = 0;
    if (syscall(SYS_arch_prctl, 0x5005, &features) == 0 && (features & 1))
        return "this process runs with CET shadow stacks, which forbid switching stacks; "
               "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off";
#endif
    return NULL;
}

#endif
