/* SPDX-License-Identifier: MIT */
/* Blocks of one size: aligned, apart from each other, reused, refused cleanly. */
#define _DEFAULT_SOURCE 1

#include "check.h"
#include "refuse.h"
#include "slab.h"

#include <stdint.h>

enum { MANY = 20000, SIZE = 300, ROUNDED = 320 };

static int by_address(const void *one, const void *other) {
    uintptr_t a = (uintptr_t)*(char *const *)one, b = (uintptr_t)*(char *const *)other;
    return (a > b) - (a < b);
}

static void blocks_are_aligned_and_apart(void) {
    struct rl_slab slab;
    static char *blocks[MANY];
    rl_slab_init(&slab, SIZE);
    check(slab.block_bytes == ROUNDED);
    for (int i = 0; i < MANY; i++) {
        blocks[i] = rl_slab_take(&slab);
        check(blocks[i]);
        check((uintptr_t)blocks[i] % 64 == 0);
        memset(blocks[i], i, ROUNDED);
    }
    for (int i = 0; i < MANY; i++)
        check(blocks[i][0] == (char)i && blocks[i][ROUNDED - 1] == (char)i);
    qsort(blocks, MANY, sizeof *blocks, by_address);
    for (int i = 1; i < MANY; i++)
        check(blocks[i] - blocks[i - 1] >= ROUNDED);
}

static void the_block_given_back_last_is_taken_first(void) {
    struct rl_slab slab;
    rl_slab_init(&slab, 64);
    void *one = rl_slab_take(&slab), *other = rl_slab_take(&slab);
    rl_slab_give(&slab, one);
    rl_slab_give(&slab, other);
    check(rl_slab_take(&slab) == other);
    check(rl_slab_take(&slab) == one);
    void *third = rl_slab_take(&slab);
    check(third != one && third != other);
}

static void the_smallest_block_holds_a_link(void) {
    struct rl_slab slab;
    rl_slab_init(&slab, 1);
    check(slab.block_bytes == 64);
    void *block = rl_slab_take(&slab);
    rl_slab_give(&slab, block);
    check(rl_slab_take(&slab) == block);
}

static void without_memory_the_slab_is_as_before(void) {
    struct rl_slab slab;
    rl_slab_init(&slab, 1024);
    granted = 0;
    check(!rl_slab_take(&slab));
    check(!rl_slab_take(&slab));
    granted = -1;
    void *block = rl_slab_take(&slab);
    check(block);
    int taken = 1;
    granted = 0;
    while (rl_slab_take(&slab))
        taken++;
    check(taken == 64); /* What the first region of 64 KiB holds. */
    rl_slab_give(&slab, block);
    check(rl_slab_take(&slab) == block);
    granted = -1;
    check(rl_slab_take(&slab));
}

static const struct test tests[] = {
    {"blocks are aligned and apart", blocks_are_aligned_and_apart},
    {"the block given back last is taken first", the_block_given_back_last_is_taken_first},
    {"the smallest block holds a link", the_smallest_block_holds_a_link},
    {"without memory the slab is as before", without_memory_the_slab_is_as_before},
};

int main(void) {
    return run_tests(tests, sizeof tests / sizeof *tests);
}
