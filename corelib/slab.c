/* SPDX-License-Identifier: MIT */
/* For MAP_ANONYMOUS. */
#define _DEFAULT_SOURCE 1

#include "slab.h"

#include <string.h>
#include <sys/mman.h>

/* What becomes of a block; a region begins with one of these for each. */
enum { UNTOUCHED, TAKEN, GIVEN_BACK };

struct rl_free_block {
    struct rl_free_block *next, *prev; /* In rl_slab.free_blocks. */
};

/* Rounds up to whole cache lines. */
static uint32_t lines(size_t bytes) {
    return (uint32_t)((bytes + 63) & ~(size_t)63);
}

void rl_slab_init(struct rl_slab *slab, size_t record_bytes, size_t block_bytes) {
    memset(slab, 0, sizeof *slab);
    slab->record_bytes = lines(record_bytes ? record_bytes : 1);
    slab->block_bytes = lines(block_bytes ? block_bytes : 1);
    slab->count = (uint32_t)((RL_REGION - 64) / (1 + slab->record_bytes + slab->block_bytes));
    slab->records_at = lines(slab->count);
    slab->blocks_at = slab->records_at + slab->count * slab->record_bytes;
    slab->used = slab->count;
}

/* The byte that says what becomes of the block `index` of a region. */
static unsigned char *fate(char *region, uint32_t index) {
    return (unsigned char *)region + index;
}

/* The region that an address is in. */
static char *region_of(const void *address) {
    return (char *)((uintptr_t)address & ~(RL_REGION - 1));
}

/* Maps the next region. Returns 0, or -1 when the system refuses. */
static int grow(struct rl_slab *slab) {
    char *map = mmap(NULL, 2 * RL_REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -1;
    char *region = region_of(map + RL_REGION - 1), *end = region + RL_REGION;
    if (region > map)
        munmap(map, (size_t)(region - map));
    if (end < map + 2 * RL_REGION)
        munmap(end, (size_t)(map + 2 * RL_REGION - end));
#ifdef MADV_HUGEPAGE
    /* Random access to many greenlets misses the TLB less on huge pages. The first
       region has small ones, so that a program with a handful stays small. */
    if (slab->region)
        madvise(region, RL_REGION, MADV_HUGEPAGE);
#endif
    slab->region = region;
    slab->used = 0;
    return 0;
}

void *rl_slab_take_record(struct rl_slab *slab) {
    void *record = slab->free_records;
    if (__builtin_expect(record != NULL, 1)) {
        slab->free_records = *(void **)record;
        return record;
    }
    if (slab->used == slab->count && grow(slab) < 0)
        return NULL;
    return slab->region + slab->records_at + (size_t)slab->used++ * slab->record_bytes;
}

void rl_slab_give_record(struct rl_slab *slab, void *record) {
    *(void **)record = slab->free_records;
    slab->free_records = record;
}

/* Takes a given-back block off the list. */
static void unlink_block(struct rl_slab *slab, struct rl_free_block *block) {
    if (block->prev)
        block->prev->next = block->next;
    else
        slab->free_blocks = block->next;
    if (block->next)
        block->next->prev = block->prev;
}

void *rl_slab_take_block(struct rl_slab *slab, void *record) {
    char *block = rl_slab_block_of(slab, record), *region = region_of(record);
    uint32_t index = (uint32_t)(block - region - slab->blocks_at) / slab->block_bytes;
    if (__builtin_expect(*fate(region, index) == TAKEN, 0)) {
        /* Its former owner has left it to somebody. */
        if (slab->free_blocks) {
            block = (char *)slab->free_blocks;
        } else {
            void *other = rl_slab_take_record(slab);
            if (!other)
                return NULL;
            rl_slab_give_record(slab, other);
            block = rl_slab_block_of(slab, other);
        }
        region = region_of(block);
        index = (uint32_t)(block - region - slab->blocks_at) / slab->block_bytes;
    }
    if (*fate(region, index) == GIVEN_BACK)
        unlink_block(slab, (struct rl_free_block *)block);
    *fate(region, index) = TAKEN;
    return block;
}

void rl_slab_give_block(struct rl_slab *slab, void *block) {
    struct rl_free_block *given = block;
    char *region = region_of(block);
    *fate(region, (uint32_t)((char *)block - region - slab->blocks_at) / slab->block_bytes) =
        GIVEN_BACK;
    given->prev = NULL;
    given->next = slab->free_blocks;
    if (given->next)
        given->next->prev = given;
    slab->free_blocks = given;
}
