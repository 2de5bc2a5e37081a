/* SPDX-License-Identifier: MIT */
/* The contract of a CPU. One file in this folder implements these functions
   for each CPU and ABI, and one for all others; nothing here knows Python. */
#ifndef RL_SWITCH_H
#define RL_SWITCH_H

#include <stddef.h>

/* Which file it is. RL_SWITCH_UCONTEXT, the portable one, may be given to the
   compiler, to test it where there is a better one. */
#if !defined(RL_SWITCH_UCONTEXT) && !defined(__ILP32__)
#if defined(__x86_64__) && !defined(_WIN32)
#define RL_SWITCH_X86_64 1
#elif defined(__aarch64__) && !defined(_WIN32)
#define RL_SWITCH_AARCH64 1
#endif
#endif
#if !defined(RL_SWITCH_X86_64) && !defined(RL_SWITCH_AARCH64) && !defined(RL_SWITCH_UCONTEXT)
#define RL_SWITCH_UCONTEXT 1
#endif

/* Bytes below a stack's base that rl_switch_seed writes, at most; and below the
   stack pointer of the caller, those that rl_switch and rl_switch_via do. */
#ifdef RL_SWITCH_UCONTEXT
#include <ucontext.h>
#define RL_SWITCH_BYTES (sizeof(ucontext_t) + 1280)
#else
#define RL_SWITCH_BYTES 192
#endif

/* Words that a C++ runtime's `__cxa_eh_globals` has in this ABI. */
#if defined(__ARM_EABI__) && !defined(__ARM_DWARF_EH__)
#define RL_SWITCH_CXX_WORDS 3
#else
#define RL_SWITCH_CXX_WORDS 2
#endif

/* Leaves the running stack: saves the callee-saved registers and the floating
   point control words on it, stores its stack pointer in *from, and goes on
   with the stack whose pointer an earlier call stored or rl_switch_seed made.
   Returns when somebody switches back to *from. */
void rl_switch(void **from, void *to);

/* Like rl_switch, but calls step(arg) on the scratch stack in between, when
   neither stack is in use, so that step may overwrite the memory of both.
   `scratch` is the highest address of the scratch stack, 64-byte aligned. step
   returns the stack pointer to go on with. */
void rl_switch_via(void **from, void *scratch, void *(*step)(void *), void *arg);

/* Prepares an empty stack so that the first switch to it calls entry(), which
   must not return. `base` is its highest address, 64-byte aligned. Returns the
   stack pointer to hand to rl_switch. */
void *rl_switch_seed(char *base, void (*entry)(void));

/* Returns a sentence saying why stacks cannot be switched in this process (a
   kernel that enforces shadow stacks, say), or NULL when they can. */
const char *rl_switch_obstacle(void);

#endif
