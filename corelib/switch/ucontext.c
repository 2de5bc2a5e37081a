/* SPDX-License-Identifier: MIT */
/* Any CPU, by the C library's getcontext and its kin. Slow, for they ask the kernel
   about the signal mask each time; the other files of this folder are for speed. */
#define _GNU_SOURCE 1

#include "switch/switch.h"

#ifdef RL_SWITCH_UCONTEXT

#if defined(__linux__)
#include <features.h>
#if !defined(__GLIBC__)
#error "ringlet does not know how to switch stacks on this CPU: it has no file in corelib/switch for it, and this C library has no swapcontext() to do without."
#endif
#endif

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum {
    /* A suspended stack's registers are in a ucontext_t in its last frame, so they are
       copied with it and, like what they point to, come back to the same address.
       This much of that frame and of what it called may lie below. */
    MARGIN = 512,
    /* What makecontext() writes below the base of a new stack, at most. */
    FIRST_FRAME = 512,
};

_Static_assert(MARGIN + FIRST_FRAME + sizeof(ucontext_t) + 64 <= RL_SWITCH_BYTES,
               "a new stack's registers are among the bytes that seeding may write");

#define UNINSTRUMENTED __attribute__((noinline, no_sanitize("address")))

/* The registers of a suspended stack. */
static ucontext_t *context_at(void *sp) {
    return (ucontext_t *)((char *)sp + MARGIN);
}

/* The stack pointer that stands for a stack with its registers there. */
static void *pointer_to(ucontext_t *context) {
    return (void *)((uintptr_t)context - MARGIN);
}

/* An address below the frame of the caller. */
static UNINSTRUMENTED uintptr_t below(void) {
    volatile char local = 0;
    return (uintptr_t)&local;
}

/* Gives a suspended stack the signal mask of the running one, for it is the thread's
   and not the stack's. */
static ucontext_t *masked(ucontext_t *context) {
    pthread_sigmask(SIG_SETMASK, NULL, &context->uc_sigmask);
    return context;
}

/* Suspends the running stack and goes on with `to`. */
static UNINSTRUMENTED void suspend(void **from, ucontext_t *to) {
    ucontext_t here;
    *from = pointer_to(&here);
    if (below() < (uintptr_t)*from)
        __builtin_trap(); /* MARGIN is too small for this CPU's frames. */
    swapcontext(&here, masked(to));
}

/* Makes registers for a stack that ends at `base`, below its first frame: they are
   read once, before that stack grows over them. Returns them. */
static ucontext_t *fresh(char *base, void (*entry)(void)) {
    uintptr_t place = (uintptr_t)base - FIRST_FRAME - sizeof(ucontext_t);
    ucontext_t *context = (ucontext_t *)(place & ~(uintptr_t)63);
    getcontext(context);
    context->uc_link = NULL;
    context->uc_stack.ss_sp = base - FIRST_FRAME;
    context->uc_stack.ss_size = FIRST_FRAME;
    context->uc_stack.ss_flags = 0;
    memset(base - FIRST_FRAME, 0, FIRST_FRAME);
    makecontext(context, entry, 0);
    return context;
}

void rl_switch(void **from, void *to) {
    suspend(from, context_at(to));
}

/* What the scratch stack of this thread is to do. */
static _Thread_local struct {
    void *(*step)(void *);
    void *arg;
} errand;

static void run_errand(void) {
    setcontext(masked(context_at(errand.step(errand.arg))));
    __builtin_trap();
}

void rl_switch_via(void **from, void *scratch, void *(*step)(void *), void *arg) {
    errand.step = step;
    errand.arg = arg;
    suspend(from, fresh(scratch, run_errand));
}

void *rl_switch_seed(char *base, void (*entry)(void)) {
    return pointer_to(fresh(base, entry));
}

const char *rl_switch_obstacle(void) {
    return NULL;
}

#endif
