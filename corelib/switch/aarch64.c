/* SPDX-License-Identifier: MIT */
/* The ABI of 64-bit ARM, as Linux and macOS have it. */
#include "switch/switch.h"

#ifdef RL_SWITCH_AARCH64

#include <stdint.h>
#include <string.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#if defined(__APPLE__)
#define BEGIN(name) \
    ".text\n.p2align 5\n.globl _" #name "\n.private_extern _" #name "\n_" #name ":\n"
#define END(name) "\n"
#else
#define BEGIN(name) \
    ".text\n.p2align 5\n.globl " #name "\n.hidden " #name "\n.type " #name ", %function\n" #name ":\n"
#define END(name) ".size " #name ", . - " #name "\n"
#endif

/* What a suspended stack holds at its stack pointer, lowest address first. */
struct frame {
    uint64_t saved[10];  /* x19 to x28. */
    uint64_t pointer;    /* x29, the frame pointer. */
    void *resume;        /* x30: where rl_switch returns to. */
    uint64_t vectors[8]; /* d8 to d15. */
    uint64_t fpcr;       /* The floating point control register. */
    uint64_t unused;     /* The stack pointer is a multiple of 16. */
};

_Static_assert(sizeof(struct frame) == 176, "the assembler below says so");

#define SAVE \
    "    sub sp, sp, #176\n" \
    "    stp x19, x20, [sp, #0]\n    stp x21, x22, [sp, #16]\n    stp x23, x24, [sp, #32]\n" \
    "    stp x25, x26, [sp, #48]\n    stp x27, x28, [sp, #64]\n    stp x29, x30, [sp, #80]\n" \
    "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n" \
    "    stp d12, d13, [sp, #128]\n    stp d14, d15, [sp, #144]\n" \
    "    mrs x9, fpcr\n    str x9, [sp, #160]\n" \
    "    mov x10, sp\n    str x10, [x0]\n"
#define RESTORE_AND_RETURN \
    "    ldp x19, x20, [sp, #0]\n    ldp x21, x22, [sp, #16]\n    ldp x23, x24, [sp, #32]\n" \
    "    ldp x25, x26, [sp, #48]\n    ldp x27, x28, [sp, #64]\n    ldp x29, x30, [sp, #80]\n" \
    "    ldp d8, d9, [sp, #96]\n    ldp d10, d11, [sp, #112]\n" \
    "    ldp d12, d13, [sp, #128]\n    ldp d14, d15, [sp, #144]\n" \
    "    add sp, sp, #176\n" \
    "    ret\n"

/* `hint #34` is "bti c", which older CPUs take for a nop: functions begin with it
   where indirect branches may go to nothing else. Return addresses that callers
   have signed (pointer authentication) are on their stacks, which come back to the
   same addresses; the one in x30 is signed by nobody. fpcr is written only when it
   differs: that costs several times what comparing does. */
__asm__(
    BEGIN(rl_switch)
    "    hint #34\n"
    SAVE
    "    mov sp, x1\n"
    "    ldr x10, [sp, #160]\n"
    "    cmp x9, x10\n"
    "    b.ne 2f\n"
    "1:\n"
    RESTORE_AND_RETURN
    "2:  msr fpcr, x10\n"
    "    b 1b\n"
    END(rl_switch)

    BEGIN(rl_switch_via)
    "    hint #34\n"
    SAVE
    "    mov sp, x1\n"
    "    mov x0, x3\n"
    "    blr x2\n"
    "    mov sp, x0\n"
    "    ldr x10, [sp, #160]\n"
    "    msr fpcr, x10\n"
    RESTORE_AND_RETURN
    END(rl_switch_via)

    /* The first frame of every stack; x19 holds the entry function. Unwinders and
       debuggers stop here: an undefined return address ends their walk. */
    BEGIN(rl_switch_boot)
    "    .cfi_startproc\n    .cfi_undefined x30\n"
    "    mov x29, xzr\n    mov x30, xzr\n"
    "    blr x19\n"
    "    brk #1\n"
    "    .cfi_endproc\n"
    END(rl_switch_boot)
);

extern void rl_switch_boot(void);

void *rl_switch_seed(char *base, void (*entry)(void)) {
    struct frame *frame = (struct frame *)(base - 16 - sizeof *frame);
    memset(frame, 0, sizeof *frame + 16);
    __asm__ volatile("mrs %0, fpcr" : "=r"(frame->fpcr));
    frame->saved[0] = (uint64_t)(uintptr_t)entry;
    frame->resume = (void *)(uintptr_t)rl_switch_boot;
    return frame;
}

const char *rl_switch_obstacle(void) {
#if defined(__linux__)
    /* PR_GET_SHADOW_STACK_STATUS: bit 0 says that this thread has a guarded control
       stack, which makes the first return on a switched stack fatal. */
    unsigned long features = 0;
    if (prctl(74, &features, 0, 0, 0) == 0 && (features & 1))
        return "this process runs with a guarded control stack, which forbids switching stacks; "
               "start it with GLIBC_TUNABLES=glibc.cpu.aarch64_gcs=0";
#endif
    return NULL;
}

#endif
