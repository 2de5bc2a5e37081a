/* SPDX-License-Identifier: MIT */
/* The least that can be built on stack.h, for its tests: strands, each a function
   with a stack of its own, and main. Included by the one source of a program. */
#ifndef RL_TESTS_STRANDS_H
#define RL_TESTS_STRANDS_H

#include "check.h"
#include "refuse.h"
#include "stack.h"

/* Of a small copy buffer. */
enum { SMALL_BYTES = (320 + RL_SWITCH_BYTES + 63) / 64 * 64 };

struct strand {
    struct rl_stack stack;
    void (*body)(struct strand *self); /* What it runs; main goes on when it returns. */
    struct strand *heir;               /* Who goes on when it ends; NULL: main. */
    unsigned state;                    /* For the test. */
    int evicted, restored;             /* How often it was told so. */
    int ended;
};

static struct rl_stacks stacks;
static struct strand main_strand, *current;

static void count_eviction(struct rl_stack *stack) {
    check(stack->copied == rl_stack_live_bytes(stack) && stack->copied <= stack->capacity);
    ((struct strand *)stack)->evicted++;
}

static void count_restoration(struct rl_stack *stack) {
    check(stack->copied == 0 && stack->slot->occupant == stack);
    ((struct strand *)stack)->restored++;
}

/* Leaves the running strand for another one. Returns 0 once somebody comes back,
   or -1 without memory. */
static int go(struct strand *to) {
    struct strand *from = current;
    int resident = rl_stack_is_resident(&to->stack);
    if (!resident && rl_stack_prepare(&stacks, &from->stack, &to->stack) < 0)
        return -1;
    current = to;
    if (resident)
        rl_switch(&from->stack.sp, to->stack.sp);
    else
        rl_stack_exchange(&stacks, &from->stack, &to->stack);
    check(current == from);
    return 0;
}

/* Ends the running strand. Its heir can be entered without memory, or there is some. */
static void end(void) {
    struct strand *from = current, *to = from->heir ? from->heir : &main_strand;
    if (to->stack.slot && !rl_stack_is_resident(&to->stack))
        check(rl_stack_prepare(&stacks, NULL, &to->stack) == 0);
    from->ended = 1;
    current = to;
    rl_stack_leave(&stacks, &from->stack, &to->stack);
}

static void entry(void) {
    current->body(current);
    end();
}

/* Prepares `slots` slots for this process's only thread, or up to `most` when they are heavy. */
static void begin_growing(unsigned slots, unsigned most, int hard) {
    check(rl_stacks_init(&stacks, &main_strand.stack, slots, most, hard, entry) == 0);
    stacks.evicted = count_eviction;
    stacks.restored = count_restoration;
    current = &main_strand;
}

/* Prepares `slots` slots, however heavy they become. */
static void begin(unsigned slots, int hard) {
    begin_growing(slots, slots, hard);
}

/* Makes `strand` one that will run `body`. */
static void make(struct strand *strand, void (*body)(struct strand *self)) {
    memset(strand, 0, sizeof *strand);
    strand->body = body;
    check(rl_stack_bind(&stacks, &strand->stack, &current->stack) == 0);
}

#endif
