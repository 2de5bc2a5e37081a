/* SPDX-License-Identifier: MIT */
/* Blocks of one size, carved from large regions and reused for ever. Shared by
   all threads; the caller holds the GIL. */
#ifndef RL_SLAB_H
#define RL_SLAB_H

#include <stddef.h>

struct rl_slab {
    size_t block_bytes;  /* Size of every block. */
    size_t region_bytes; /* Size of the next region to map. */
    void *free;          /* Given-back blocks, linked by their first word. */
    char *next;          /* First block of the newest region that was never taken. */
    char *end;           /* End of the newest region. */
};

/* Prepares an empty slab of blocks of `block_bytes`, rounded up to cache lines. */
void rl_slab_init(struct rl_slab *slab, size_t block_bytes);

/* Returns a block, or NULL when the system has no memory left. Blocks are 64-byte
   aligned and not cleared. */
void *rl_slab_take(struct rl_slab *slab);

/* Gives a block back. */
void rl_slab_give(struct rl_slab *slab, void *block);

#endif
