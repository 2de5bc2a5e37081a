/* SPDX-License-Identifier: MIT */
/* Records of one size, and for each a place for a block of another size that it has
   only at times. Who has a record's address knows where its block most likely is,
   and can have both brought into the cache at once. Carved from large regions and
   reused for ever. Shared by all threads; the caller holds the GIL. */
#ifndef RL_SLAB_H
#define RL_SLAB_H

#include <stddef.h>
#include <stdint.h>

/* Every region has this many bytes and begins at a multiple of it: it can be one
   huge page. In front are one byte for each block, then records, then blocks. */
#define RL_REGION ((size_t)2 << 20)

struct rl_free_block;

struct rl_slab {
    uint32_t record_bytes;        /* Size of a record, in whole cache lines. */
    uint32_t block_bytes;         /* The same of a block. */
    uint32_t count;               /* Records, and blocks, in a region. */
    uint32_t records_at;          /* Offset of the first record in a region. */
    uint32_t blocks_at;           /* Offset of the first block. */
    void *free_records;           /* Given-back records, linked by their first word. */
    struct rl_free_block *free_blocks; /* Given-back blocks. */
    char *region;                 /* The newest region, or NULL. */
    uint32_t used;                /* How many of its records were ever taken. */
};

/* Prepares an empty slab. Both sizes are rounded up to cache lines. */
void rl_slab_init(struct rl_slab *slab, size_t record_bytes, size_t block_bytes);

/* Returns a record, or NULL when the system has no memory left. It is 64-byte
   aligned and not cleared. */
void *rl_slab_take_record(struct rl_slab *slab);

/* Gives a record back. Its owner has no block, or has lent it. */
void rl_slab_give_record(struct rl_slab *slab, void *record);

/* Returns a block for the owner of `record`: the one that belongs to it, or, when
   somebody else has that, any other. NULL when the system has no memory left. It is
   64-byte aligned and not cleared. */
void *rl_slab_take_block(struct rl_slab *slab, void *record);

/* Gives a block back. */
void rl_slab_give_block(struct rl_slab *slab, void *block);

/* The block that belongs to `record`, whether or not somebody has it. Touches neither. */
static inline char *rl_slab_block_of(const struct rl_slab *slab, const void *record) {
    uintptr_t region = (uintptr_t)record & ~(RL_REGION - 1);
    uint32_t index = ((uint32_t)((uintptr_t)record - region) - slab->records_at) / slab->record_bytes;
    return (char *)region + slab->blocks_at + (size_t)index * slab->block_bytes;
}

#endif
