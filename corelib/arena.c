/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <Python.h>

#include <stdatomic.h>

enum { CHUNK = 16 * 1024, ROOM = 64 };

static struct {
    PyObjectArenaAllocator below; /* Whom we cache for. */
    atomic_flag busy;             /* Taken while the cache is looked at: allocators must not
                                     rely on the GIL. */
    int count;                    /* Chunks in the cache. */
    void *chunks[ROOM];           /* The cache: the first `count` are valid. */
    int installed;
} arena = {.busy = ATOMIC_FLAG_INIT};

static void *arena_alloc(void *unused, size_t bytes) {
    (void)unused;
    if (bytes == CHUNK && !atomic_flag_test_and_set_explicit(&arena.busy, memory_order_acquire)) {
        void *chunk = arena.count ? arena.chunks[--arena.count] : NULL;
        atomic_flag_clear_explicit(&arena.busy, memory_order_release);
        if (chunk)
            return chunk;
    }
    return arena.below.alloc(arena.below.ctx, bytes);
}

static void arena_free(void *unused, void *chunk, size_t bytes) {
    (void)unused;
    if (bytes == CHUNK && !atomic_flag_test_and_set_explicit(&arena.busy, memory_order_acquire)) {
        int kept = arena.count < ROOM;
        if (kept)
            arena.chunks[arena.count++] = chunk;
        atomic_flag_clear_explicit(&arena.busy, memory_order_release);
        if (kept)
            return;
    }
    arena.below.free(arena.below.ctx, chunk, bytes);
}

void rl_arena_install(void) {
    PyObjectArenaAllocator cached = {NULL, arena_alloc, arena_free};
    if (arena.installed)
        return;
    PyObject_GetArenaAllocator(&arena.below);
    PyObject_SetArenaAllocator(&cached);
    arena.installed = 1;
}
