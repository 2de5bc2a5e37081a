/* SPDX-License-Identifier: MIT */
/* For MAP_ANONYMOUS. */
#define _DEFAULT_SOURCE 1

#include "slab.h"

#include <sys/mman.h>

/* The first regions are small, so that a program with a handful of greenlets
   stays small; later ones are large, so that a million need few mappings. */
enum { FIRST_REGION = 64 * 1024, LARGEST_REGION = 2 * 1024 * 1024 };

static struct {
    size_t block_bytes;  /* Size of every block. */
    size_t region_bytes; /* Size of the next region to map. */
    void *free;          /* Given-back blocks, linked by their first word. */
    char *next;          /* First block of the newest region never taken. */
    char *end;           /* End of the newest region. */
} slab;

void rl_slab_init(size_t block_bytes) {
    slab.block_bytes = (block_bytes + 63) & ~(size_t)63;
    slab.region_bytes = FIRST_REGION;
}

/* Maps the next region. Returns 0, or -1 when the system refuses. */
static int grow(void) {
    size_t bytes = slab.region_bytes;
    void *region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        return -1;
    slab.next = region;
    slab.end = slab.next + bytes;
    if (bytes < LARGEST_REGION)
        slab.region_bytes = bytes * 2;
    return 0;
}

void *rl_slab_take(void) {
    void *block = slab.free;
    if (__builtin_expect(block != NULL, 1)) {
        slab.free = *(void **)block;
        return block;
    }
    if ((size_t)(slab.end - slab.next) < slab.block_bytes && grow() < 0)
        return NULL;
    block = slab.next;
    slab.next += slab.block_bytes;
    return block;
}

void rl_slab_give(void *block) {
    *(void **)block = slab.free;
    slab.free = block;
}
