/* SPDX-License-Identifier: MIT */
#if defined(__linux__)
#define _GNU_SOURCE 1 /* For pthread_getattr_np. */
#endif
#include "bounds.h"

#include <dlfcn.h>
#include <pthread.h>

enum { TOP, SOFT, HARD, WORDS };

size_t rl_bounds_offset, rl_bounds_asyncio_offset;

/* How far above the lowest address of a stack the two limits are. */
static uintptr_t soft_margin, hard_margin;

/* PyUnstable_ThreadState_SetStackProtection and ..._ResetStackProtection of the
   interpreter that runs us; NULL in one that has none. */
static int (*ask_set)(PyThreadState *, void *, size_t);
static void (*ask_reset)(PyThreadState *);

static void look_up(void) {
    *(void **)&ask_set = dlsym(RTLD_DEFAULT, "PyUnstable_ThreadState_SetStackProtection");
    *(void **)&ask_reset = dlsym(RTLD_DEFAULT, "PyUnstable_ThreadState_ResetStackProtection");
    if (!ask_reset)
        ask_set = NULL;
}

/* Finds the only place in `ts` where the bounds of a stack from `low` on can be,
   whose top is from `least` to `most`. Returns its offset, or 0 when there is none,
   or more than one. */
static size_t scan(const PyThreadState *ts, size_t bytes, uintptr_t low, uintptr_t least,
                   uintptr_t most) {
    const uintptr_t *words = (const uintptr_t *)ts;
    size_t found = 0;
    for (size_t i = 1; i + WORDS <= bytes / sizeof *words; i++) {
        const uintptr_t *at = words + i;
        if (at[TOP] < least || at[TOP] > most || at[SOFT] >= at[TOP] || at[HARD] >= at[SOFT] ||
            at[HARD] < low)
            continue;
        if (found)
            return 0;
        found = i * sizeof *words;
    }
    return found;
}

/* The words of `ts` at `offset`. */
static uintptr_t *words_at(PyThreadState *ts, size_t offset) {
    return (uintptr_t *)((char *)ts + offset);
}

size_t rl_bounds_find_by_setting(PyThreadState *ts, size_t bytes) {
    /* No stack is there, and nothing runs on it before the old bounds are back. */
    const uintptr_t low = 0x123450000, size = 1 << 20, top = low + size;
    uintptr_t before[1024];
    look_up();
    if (!ask_set || bytes > sizeof before)
        return 0;
    memcpy(before, ts, bytes);
    if (ask_set(ts, (void *)low, size) < 0) {
        PyErr_Clear();
        return 0;
    }
    size_t found = scan(ts, bytes, low, top, top);
    if (!found) {
        ask_reset(ts);
        return 0;
    }
    uintptr_t *words = words_at(ts, found);
    soft_margin = words[SOFT] - low;
    hard_margin = words[HARD] - low;
    memcpy(words, (char *)before + found, WORDS * sizeof *words);
    return found;
}

size_t rl_bounds_find_by_value(PyThreadState *ts, size_t bytes) {
#if defined(__linux__)
    pthread_attr_t attributes;
    void *low = NULL;
    size_t size = 0, guard = 0, found;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return 0;
    if (pthread_attr_getstack(&attributes, &low, &size) != 0 ||
        pthread_attr_getguardsize(&attributes, &guard) != 0)
        size = 0;
    pthread_attr_destroy(&attributes);
    /* The interpreter counts the guard page in or leaves it out. */
    uintptr_t top = (uintptr_t)low + size;
    found = size ? scan(ts, bytes, (uintptr_t)low, top, top + guard) : 0;
    if (found && !soft_margin) {
        /* It puts both limits at multiples of one distance. */
        uintptr_t *words = words_at(ts, found);
        hard_margin = words[SOFT] - words[HARD];
        soft_margin = 2 * hard_margin;
    }
    return found;
#else
    (void)ts;
    (void)bytes;
    return 0;
#endif
}

int rl_bounds_find(PyThreadState *ts, size_t bytes, size_t asyncio) {
    rl_bounds_offset = rl_bounds_find_by_setting(ts, bytes);
    if (!rl_bounds_offset && !ask_set) {
        rl_bounds_offset = rl_bounds_find_by_value(ts, bytes);
        if (!rl_bounds_offset) {
            PyErr_SetString(PyExc_ImportError,
                            "ringlet cannot be used: this interpreter checks the bounds of its "
                            "stack, and gives no way to change them; use its latest release");
            return -1;
        }
    }
    if (rl_bounds_offset)
        rl_bounds_asyncio_offset = rl_bounds_offset + asyncio;
    return 0;
}

void rl_bounds_adopt(PyThreadState *ts, struct rl_slot *slot) {
    if (rl_bounds_offset)
        memcpy(slot->bounds, words_at(ts, rl_bounds_offset), sizeof slot->bounds);
}

void rl_bounds_of_slot(struct rl_slot *slot) {
    slot->bounds[TOP] = (uintptr_t)slot->base;
    slot->bounds[SOFT] = (uintptr_t)slot->low + soft_margin;
    slot->bounds[HARD] = (uintptr_t)slot->low + hard_margin;
}

void rl_bounds_ask(PyThreadState *ts, const struct rl_slot *slot) {
    if (!slot->low)
        ask_reset(ts); /* The thread's own. */
    else
        ask_set(ts, slot->low, (size_t)(slot->base - slot->low));
}
