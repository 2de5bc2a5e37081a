/* SPDX-License-Identifier: MIT */
/* Records and their blocks: aligned, apart from each other, reused, refused cleanly. */
#define _DEFAULT_SOURCE 1

#include "check.h"
#include "refuse.h"
#include "slab.h"

enum { MANY = 3000, RECORD = 300, BLOCK = 1700, ROUNDED_RECORD = 320, ROUNDED_BLOCK = 1728 };

static int by_address(const void *one, const void *other) {
    uintptr_t a = (uintptr_t)*(char *const *)one, b = (uintptr_t)*(char *const *)other;
    return (a > b) - (a < b);
}

static void all_are_aligned_and_apart(void) {
    struct rl_slab slab;
    static char *all[2 * MANY];
    rl_slab_init(&slab, RECORD, BLOCK);
    check(slab.record_bytes == ROUNDED_RECORD);
    check(slab.block_bytes == ROUNDED_BLOCK);
    for (int i = 0; i < MANY; i++) {
        char *record = all[2 * i] = rl_slab_take_record(&slab);
        char *block = all[2 * i + 1] = rl_slab_take_block(&slab, record);
        check(record && block);
        check((uintptr_t)record % 64 == 0 && (uintptr_t)block % 64 == 0);
        memset(record, i, ROUNDED_RECORD);
        memset(block, i + 1, ROUNDED_BLOCK);
    }
    for (int i = 0; i < MANY; i++) {
        check(all[2 * i][0] == (char)i && all[2 * i][ROUNDED_RECORD - 1] == (char)i);
        check(all[2 * i + 1][0] == (char)(i + 1));
        check(all[2 * i + 1][ROUNDED_BLOCK - 1] == (char)(i + 1));
    }
    qsort(all, 2 * MANY, sizeof *all, by_address);
    for (int i = 1; i < 2 * MANY; i++)
        check(all[i] - all[i - 1] >= ROUNDED_RECORD);
}

static void a_record_has_the_block_that_belongs_to_it(void) {
    struct rl_slab slab;
    static char *records[MANY];
    rl_slab_init(&slab, RECORD, BLOCK);
    for (int i = 0; i < MANY; i++) {
        records[i] = rl_slab_take_record(&slab);
        check(rl_slab_take_block(&slab, records[i]) == rl_slab_block_of(&slab, records[i]));
    }
    for (int i = 0; i < MANY; i += 2)
        rl_slab_give_block(&slab, rl_slab_block_of(&slab, records[i]));
    for (int i = 0; i < MANY; i += 2)
        check(rl_slab_take_block(&slab, records[i]) == rl_slab_block_of(&slab, records[i]));
}

static void what_was_given_back_last_is_taken_first(void) {
    struct rl_slab slab;
    rl_slab_init(&slab, 64, 64);
    void *one = rl_slab_take_record(&slab), *other = rl_slab_take_record(&slab);
    rl_slab_give_record(&slab, one);
    rl_slab_give_record(&slab, other);
    check(rl_slab_take_record(&slab) == other);
    check(rl_slab_take_record(&slab) == one);
    void *third = rl_slab_take_record(&slab);
    check(third != one && third != other);
}

/* The owner of the first record ends and leaves its block to that of the second,
   and then somebody new has the first record. */
static void a_block_that_was_left_to_another_is_replaced(void) {
    struct rl_slab slab;
    rl_slab_init(&slab, 64, 64);
    void *first = rl_slab_take_record(&slab), *second = rl_slab_take_record(&slab);
    void *left = rl_slab_take_block(&slab, first);
    rl_slab_give_record(&slab, first);
    void *again = rl_slab_take_record(&slab);
    check(again == first);
    void *block = rl_slab_take_block(&slab, again);
    check(block && block != left);
    rl_slab_give_block(&slab, left); /* The second one ends too. */
    check(rl_slab_take_block(&slab, second) != left);
    check(rl_slab_take_block(&slab, first) == left);
}

static void given_back_blocks_of_others_are_used_first(void) {
    struct rl_slab slab;
    rl_slab_init(&slab, 64, 64);
    void *records[3], *blocks[3];
    for (int i = 0; i < 3; i++) {
        records[i] = rl_slab_take_record(&slab);
        blocks[i] = rl_slab_take_block(&slab, records[i]);
    }
    rl_slab_give_block(&slab, blocks[0]);
    rl_slab_give_block(&slab, blocks[1]);
    check(rl_slab_take_block(&slab, records[2]) == blocks[1]);
    check(rl_slab_take_block(&slab, records[2]) == blocks[0]);
    void *fresh = rl_slab_take_block(&slab, records[2]);
    for (int i = 0; i < 3; i++)
        check(fresh != blocks[i]);
}

static void without_memory_the_slab_is_as_before(void) {
    struct rl_slab slab;
    rl_slab_init(&slab, RECORD, BLOCK);
    granted = 0;
    check(!rl_slab_take_record(&slab));
    check(!rl_slab_take_record(&slab));
    granted = -1;
    char *record = rl_slab_take_record(&slab);
    check(record);
    check(rl_slab_take_block(&slab, record));
    unsigned taken = 1;
    granted = 0;
    for (char *next; (next = rl_slab_take_record(&slab)); taken++)
        check(rl_slab_take_block(&slab, next));
    check(taken == slab.count);
    check(taken > 1000);
    check(!rl_slab_take_block(&slab, record)); /* All are taken, its own too. */
    rl_slab_give_record(&slab, record);
    check(rl_slab_take_record(&slab) == record);
    granted = -1;
    check(rl_slab_take_record(&slab));
}

static const struct test tests[] = {
    {"all are aligned and apart", all_are_aligned_and_apart},
    {"a record has the block that belongs to it", a_record_has_the_block_that_belongs_to_it},
    {"what was given back last is taken first", what_was_given_back_last_is_taken_first},
    {"a block that was left to another is replaced", a_block_that_was_left_to_another_is_replaced},
    {"given back blocks of others are used first", given_back_blocks_of_others_are_used_first},
    {"without memory the slab is as before", without_memory_the_slab_is_as_before},
};

int main(void) {
    return run_tests(tests, sizeof tests / sizeof *tests);
}
