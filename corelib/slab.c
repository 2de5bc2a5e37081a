/* SPDX-License-Identifier: MIT */
/* For MAP_ANONYMOUS. */
#define _DEFAULT_SOURCE 1

#include "slab.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* The first regions are small, so that a program with a handful of greenlets
   stays small; later ones are large, so that a million need few mappings. */
enum { FIRST_REGION = 64 * 1024, LARGEST_REGION = 2 * 1024 * 1024 };

void rl_slab_init(struct rl_slab *slab, size_t block_bytes) {
    memset(slab, 0, sizeof *slab);
    slab->block_bytes = (block_bytes + 63) & ~(size_t)63;
    slab->region_bytes = FIRST_REGION;
}

/* Maps the next region. Returns 0, or -1 when the system refuses. */
static int grow(struct rl_slab *slab) {
    size_t bytes = slab->region_bytes, slack = bytes == LARGEST_REGION ? bytes : 0;
    char *region = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    if (region == MAP_FAILED)
        return -1;
#ifdef MADV_HUGEPAGE
    if (slack) {
        /* A large region becomes one huge page, which must begin at a multiple
           of its size: random access to many greenlets then misses the TLB less. */
        char *aligned = (char *)(((uintptr_t)region + slack - 1) / slack * slack);
        if (aligned > region)
            munmap(region, (size_t)(aligned - region));
        if (aligned < region + slack)
            munmap(aligned + bytes, (size_t)(region + slack - aligned));
        region = aligned;
        madvise(region, bytes, MADV_HUGEPAGE);
    }
#endif
    slab->next = region;
    slab->end = slab->next + bytes;
    if (bytes < LARGEST_REGION)
        slab->region_bytes = bytes * 2;
    return 0;
}

void *rl_slab_take(struct rl_slab *slab) {
    void *block = slab->free;
    if (__builtin_expect(block != NULL, 1)) {
        slab->free = *(void **)block;
        return block;
    }
    if ((size_t)(slab->end - slab->next) < slab->block_bytes && grow(slab) < 0)
        return NULL;
    block = slab->next;
    slab->next += slab->block_bytes;
    return block;
}

void rl_slab_give(struct rl_slab *slab, void *block) {
    *(void **)block = slab->free;
    slab->free = block;
}
