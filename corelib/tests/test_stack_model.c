/* SPDX-License-Identifier: MIT */
/* Many stacks in few slots, entered, left, ended and dropped in random order.
   Each must always find its bytes as a model says they are. */
#define _GNU_SOURCE 1

#include "strands.h"

#include <stdint.h>

enum { STRANDS = 40, STEPS = 30000 };

static struct strand strands[STRANDS];
static unsigned counts[STRANDS]; /* The model: how often each was entered since it was made. */
static int alive[STRANDS];
static int must_end[STRANDS]; /* Told to end when it is entered next. */
static uint64_t dice;

/* A number below `sides`. */
static unsigned roll(unsigned sides) {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)(dice >> 33) % sides;
}

/* Goes down `depth` frames, each with bytes of its own, and gives way at the
   bottom. Returns 1 when the strand must end. */
static __attribute__((noinline)) int dwell(struct strand *self, unsigned depth) {
    unsigned bytes = 16 + (depth * 37 + self->state * 11) % 200;
    volatile unsigned char mine[bytes];
    unsigned char value = (unsigned char)((self - strands) + depth * 3 + self->state);
    for (unsigned i = 0; i < bytes; i++)
        mine[i] = (unsigned char)(value + i);
    if (depth > 0) {
        if (dwell(self, depth - 1))
            return 1;
    } else {
        /* Sometimes straight to another one, sometimes by way of main. */
        unsigned to = roll(STRANDS);
        if (alive[to] && &strands[to] != self && roll(2)) {
            counts[to]++;
            check(go(&strands[to]) == 0);
        } else {
            check(go(&main_strand) == 0);
        }
        self->state++;
        check(self->state == counts[self - strands]);
        value = (unsigned char)(value + 1); /* For what was just added to state. */
    }
    for (unsigned i = 0; i < bytes; i++)
        check(mine[i] == (unsigned char)(value - (depth == 0) + i));
    return must_end[self - strands];
}

static void live(struct strand *self) {
    self->state = 1;
    check(self->state == counts[self - strands]);
    while (!dwell(self, roll(8)))
        ;
    alive[self - strands] = 0;
    unsigned heir = roll(STRANDS);
    if (alive[heir] && roll(2)) {
        counts[heir]++;
        self->heir = &strands[heir];
    }
}

/* Exchanges trade copy buffers: each must still be somebody's, and of one only. */
static void no_buffer_is_shared(void) {
    for (unsigned i = 0; i < STRANDS; i++) {
        const char *copy = strands[i].stack.copy;
        check(!copy || copy != stacks.spare);
        for (unsigned j = 0; copy && j < i; j++)
            check(strands[j].stack.copy != copy);
    }
}

/* Lives a long random life in `slots` slots. */
static void live_randomly(unsigned slots, int hard) {
    rl_stack_set_small(SMALL_BYTES);
    begin(slots, hard);
    dice = 88172645463325252u + slots * 2 + (unsigned)hard;
    for (int step = 0; step < STEPS; step++) {
        unsigned which = roll(STRANDS);
        check(current == &main_strand);
        if (!alive[which]) {
            make(&strands[which], live);
            alive[which] = 1;
            counts[which] = must_end[which] = 0;
        } else if (roll(30) == 0) {
            rl_stack_drop(&stacks, &strands[which].stack);
            alive[which] = 0;
        } else {
            must_end[which] = must_end[which] || roll(12) == 0;
            counts[which]++;
            check(go(&strands[which]) == 0);
        }
    }
    no_buffer_is_shared();
    for (unsigned i = 0; i < STRANDS; i++)
        if (alive[i])
            rl_stack_drop(&stacks, &strands[i].stack);
    check(slots >= STRANDS ? stacks.evictions == 0 || hard : stacks.evictions > 100);
    rl_stacks_term(&stacks);
}

static void in_one_slot(void) {
    live_randomly(1, 0);
}

static void in_three_slots(void) {
    live_randomly(3, 0);
}

static void in_many_slots(void) {
    live_randomly(64, 0);
}

static void in_hard_mode(void) {
    live_randomly(1, 1);
}

static void in_hard_mode_with_several_slots(void) {
    live_randomly(5, 1);
}

static const struct test tests[] = {
    {"in one slot", in_one_slot},
    {"in three slots", in_three_slots},
    {"in many slots", in_many_slots},
    {"in hard mode", in_hard_mode},
    {"in hard mode with several slots", in_hard_mode_with_several_slots},
};

int main(void) {
    return run_tests(tests, sizeof tests / sizeof *tests);
}
