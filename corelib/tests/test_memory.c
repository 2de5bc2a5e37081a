/* SPDX-License-Identifier: MIT */
/* What deep stacks cost others: which slots newcomers get, how many slots there
   are, and which memory goes back to the system when nobody is deep any more. */
#define _GNU_SOURCE 1

#include "strands.h"

#include <stdint.h>
#include <sys/mman.h>

enum { SHALLOW = 64, FRAME = 4000, DEEP = 20000, DEEPER = 1 << 20 };

/* Where strands go to in their next turn, in bytes. */
static size_t depth;

/* Fills so many bytes of the stack, in frames of a few KiB, leaves for main from the
   bottom if told to, and finds all as it was. */
static __attribute__((noinline)) void write_stack(size_t bytes, int leave) {
    size_t here = bytes < FRAME ? bytes : FRAME;
    volatile unsigned char mine[here];
    for (size_t i = 0; i < here; i++)
        mine[i] = (unsigned char)(i | 1);
    if (bytes > here)
        write_stack(bytes - here, leave);
    else if (leave)
        go(&main_strand);
    for (size_t i = 0; i < here; i++)
        check(mine[i] == (unsigned char)(i | 1));
}

/* Waits so deep, every time it is entered. */
static void wait_there(struct strand *self) {
    for (;; self->state++)
        write_stack(depth, 1);
}

/* Goes there, comes back, and waits where it began. */
static void go_there_and_wait(struct strand *self) {
    for (;; self->state++) {
        write_stack(depth, 0);
        go(&main_strand);
    }
}

/* Goes there, comes back and ends. */
static void go_there_and_end(struct strand *self) {
    write_stack(depth, 0);
    self->state++;
}

/* Makes a strand that waits `bytes` deep. */
static void settle_down(struct strand *strand, size_t bytes) {
    make(strand, wait_there);
    depth = bytes;
    check(go(strand) == 0);
}

static unsigned slot_of(const struct strand *strand) {
    return (unsigned)(strand->stack.slot - stacks.slots);
}

/* How many bytes of a slot are in memory. */
static size_t resident(const struct rl_slot *slot) {
    static unsigned char pages[1 << 16];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count = 0;
    size_t room = (size_t)(slot->base - slot->low) / page;
    check(room <= sizeof pages);
    check(mincore(slot->low, room * page, pages) == 0);
    for (size_t i = 0; i < room; i++)
        count += pages[i] & 1;
    return count * page;
}

/* ---- Heavy slots ------------------------------------------------------------------ */

static void newcomers_are_kept_out_of_heavy_slots(void) {
    static struct strand strands[8];
    begin_growing(4, 8, 0);
    for (int i = 0; i < 4; i++)
        settle_down(&strands[i], i == 2 ? SHALLOW : DEEP);
    for (int i = 4; i < 8; i++) {
        settle_down(&strands[i], SHALLOW);
        check(slot_of(&strands[i]) == 2);
    }
    check(stacks.mapped == 4 && stacks.limit == 4);
    check(stacks.evictions == 4 && stacks.evicted_bytes < 4 * DEEP);
}

static void what_was_copied_out_makes_a_slot_heavy(void) {
    static struct strand deep, shallow, newcomer;
    begin_growing(1, 2, 0);
    settle_down(&deep, SHALLOW);
    settle_down(&shallow, SHALLOW);
    check(slot_of(&deep) == slot_of(&shallow));
    depth = DEEP;
    go(&deep);
    depth = SHALLOW;
    go(&shallow); /* It is this one's bytes that are in the slot now. */
    settle_down(&newcomer, SHALLOW);
    check(slot_of(&newcomer) == 1);
}

static void there_are_more_slots_while_all_are_heavy(void) {
    static struct strand strands[10];
    begin_growing(3, 6, 0);
    for (unsigned i = 0; i < 6; i++) {
        settle_down(&strands[i], DEEP);
        check(slot_of(&strands[i]) == i);
        check(stacks.limit == (i < 3 ? 3 : i + 1));
    }
    check(stacks.evictions == 0);
    for (int i = 6; i < 10; i++)
        settle_down(&strands[i], DEEP);
    check(stacks.mapped == 6 && stacks.limit == 6);
    for (int round = 1; round < 3; round++)
        for (int i = 0; i < 10; i++) {
            go(&strands[i]);
            check(strands[i].state == (unsigned)round);
        }
}

static void many_slots_are_not_looked_at_in_vain(void) {
    static struct strand strands[34];
    begin_growing(32, 64, 0);
    /* The only light slot comes after more heavy ones than are looked at. */
    for (int i = 0; i < 32; i++)
        settle_down(&strands[i], i == 20 ? SHALLOW : DEEP);
    settle_down(&strands[32], SHALLOW);
    check(stacks.mapped == 33);
    settle_down(&strands[33], SHALLOW);
    check(stacks.mapped == 34 || slot_of(&strands[33]) == 20 || slot_of(&strands[33]) == 32);
}

static void without_memory_heavy_slots_are_shared(void) {
    static struct strand strands[3];
    begin_growing(2, 4, 0);
    settle_down(&strands[0], DEEP);
    settle_down(&strands[1], DEEP);
    granted = 0;
    check(rl_stack_bind(&stacks, &strands[2].stack, &main_strand.stack) == 0);
    granted = -1;
    check(stacks.mapped == 2 && stacks.limit == 2);
}

static void the_budget_is_for_all_threads(void) {
    static struct strand strands[4];
    struct rl_stacks others;
    struct rl_stack other_main, stranger[2];
    memset(stranger, 0, sizeof stranger);
    rl_stack_set_budget(3);
    begin(8, 0);
    for (int i = 0; i < 4; i++)
        settle_down(&strands[i], SHALLOW);
    check(stacks.mapped == 3);
    /* Every thread gets one. */
    check(rl_stacks_init(&others, &other_main, 8, 8, 0, entry) == 0);
    check(rl_stack_bind(&others, &stranger[0], &other_main) == 0);
    check(rl_stack_bind(&others, &stranger[1], &other_main) == 0);
    check(others.mapped == 1);
    /* What a thread had is there for others when it has ended. */
    for (int i = 0; i < 4; i++)
        rl_stack_drop(&stacks, &strands[i].stack);
    rl_stacks_term(&stacks);
    for (int i = 0; i < 2; i++)
        rl_stack_drop(&others, &stranger[i]);
    for (int i = 0; i < 4; i++)
        check(rl_stack_bind(&others, &strands[i].stack, &other_main) == 0);
    check(others.mapped == 3);
}

/* ---- Memory that goes back --------------------------------------------------------- */

/* Tests whether a slot is small again once `body` has been deep in it and somebody
   else has come, who makes that known. */
static void a_slot_gets_small(void (*body)(struct strand *self)) {
    static struct strand one, other;
    begin(1, 0);
    settle_down(&other, SHALLOW);
    size_t before = resident(other.stack.slot);
    make(&one, body);
    depth = DEEPER;
    go(&one);
    check(one.ended || resident(one.stack.slot) > DEEPER / 2);
    depth = SHALLOW;
    go(&other);
    check(resident(other.stack.slot) < before + (512 << 10));
    check(other.state == 1);
    /* And so it is every time. */
    if (!one.ended) {
        depth = DEEPER;
        go(&one);
        depth = SHALLOW;
        go(&other);
        check(resident(other.stack.slot) < before + (512 << 10) && one.state == 1);
    }
}

static void when_who_was_deep_has_ended(void) {
    a_slot_gets_small(go_there_and_end);
}

static void when_who_was_deep_is_copied_out(void) {
    a_slot_gets_small(go_there_and_wait);
}

static void when_who_is_deep_is_dropped(void) {
    static struct strand one;
    begin(1, 0);
    settle_down(&one, DEEPER);
    struct rl_slot *slot = one.stack.slot;
    check(resident(slot) > DEEPER / 2);
    rl_stack_drop(&stacks, &one.stack);
    check(resident(slot) < 512 << 10);
}

static void who_is_deep_is_left_alone(void) {
    static struct strand one, other;
    begin(1, 0);
    settle_down(&other, SHALLOW);
    for (int round = 0; round < 3; round++) {
        if (round == 0)
            settle_down(&one, DEEPER);
        depth = DEEPER;
        go(&one); /* Checks every byte. */
        depth = SHALLOW;
        go(&other);
    }
    check(one.state == 3 && other.state == 3);
}

static void a_deep_stack_may_end_deep(void) {
    static struct strand one, other;
    begin(1, 0);
    make(&one, go_there_and_end);
    depth = DEEPER;
    go(&one);
    settle_down(&other, SHALLOW);
    check(one.ended && resident(other.stack.slot) < 512 << 10);
}

static void large_copies_are_freed_once_restored(void) {
    static struct strand one, other;
    begin(1, 0);
    settle_down(&one, DEEPER);
    settle_down(&other, SHALLOW);
    check(one.stack.capacity > DEEPER);
    go(&one);
    check(!one.stack.copy && !one.stack.capacity);
    go(&other);
    go(&one);
    check(one.state == 2 && other.state == 1);
}

static void copies_shrink_with_the_stack(void) {
    static struct strand one, other;
    begin(1, 0);
    settle_down(&one, 100 << 10);
    settle_down(&other, SHALLOW);
    check(one.stack.capacity > 100 << 10);
    depth = SHALLOW;
    go(&one);
    char *buffer = one.stack.copy;
    check(buffer);
    granted = 0; /* With no memory for a smaller one, the large one serves. */
    check(go(&other) == 0);
    granted = -1;
    check(one.stack.copy == buffer && one.stack.copied < DEEP);
    go(&one);
    go(&other);
    check(one.stack.capacity < DEEP && one.stack.copied < DEEP);
    go(&one);
    check(one.state == 3);
}

static const struct test tests[] = {
    {"newcomers are kept out of heavy slots", newcomers_are_kept_out_of_heavy_slots},
    {"what was copied out makes a slot heavy", what_was_copied_out_makes_a_slot_heavy},
    {"there are more slots while all are heavy", there_are_more_slots_while_all_are_heavy},
    {"many slots are not looked at in vain", many_slots_are_not_looked_at_in_vain},
    {"without memory heavy slots are shared", without_memory_heavy_slots_are_shared},
    {"the budget is for all threads", the_budget_is_for_all_threads},
    {"a slot gets small when who was deep has ended", when_who_was_deep_has_ended},
    {"a slot gets small when who was deep is copied out", when_who_was_deep_is_copied_out},
    {"a slot gets small when who is deep is dropped", when_who_is_deep_is_dropped},
    {"who is deep is left alone", who_is_deep_is_left_alone},
    {"a slot gets small at once after a deep stack's end", a_deep_stack_may_end_deep},
    {"large copies are freed once restored", large_copies_are_freed_once_restored},
    {"copies shrink with the stack", copies_shrink_with_the_stack},
};

int main(void) {
    return run_tests(tests, sizeof tests / sizeof *tests);
}
