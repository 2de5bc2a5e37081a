/* SPDX-License-Identifier: MIT */
/* Fixed-size blocks carved from large regions and reused for ever. Each
   started greenlet holds one: its root data chunk and room for a stack copy.
   Blocks are shared by all threads; the caller holds the GIL. */
#ifndef RL_SLAB_H
#define RL_SLAB_H

#include <stddef.h>

/* Sets the size of all blocks in bytes. Called once, before the first take. */
void rl_slab_init(size_t block_bytes);

/* Returns a block, or NULL when the system has no memory left. Blocks are
   16-byte aligned and not cleared. */
void *rl_slab_take(void);

/* Gives a block back. */
void rl_slab_give(void *block);

#endif
