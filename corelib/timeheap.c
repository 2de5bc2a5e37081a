/* SPDX-License-Identifier: MIT */
#include "timeheap.h"

#include <stdlib.h>

/* Four children lie in two cache lines, and the heap is half as high as one of two. */
enum { CHILDREN = 4, SMALLEST_ROOM = 64 };

static inline int is_before(const struct rl_timeheap_entry *a, const struct rl_timeheap_entry *b) {
    return a->when < b->when || (a->when == b->when && a->serial < b->serial);
}

static inline void put(struct rl_timeheap *heap, size_t index,
                       const struct rl_timeheap_entry *entry) {
    heap->entries[index] = *entry;
    entry->alarm->place = index + 1;
}

/* Puts an entry where it belongs between the free place `index` and the root. */
static void rise(struct rl_timeheap *heap, size_t index, const struct rl_timeheap_entry *entry) {
    while (index > 0) {
        size_t parent = (index - 1) / CHILDREN;
        if (!is_before(entry, &heap->entries[parent]))
            break;
        put(heap, index, &heap->entries[parent]);
        index = parent;
    }
    put(heap, index, entry);
}

/* Puts an entry where it belongs at the free place `index` or below. */
static void sink(struct rl_timeheap *heap, size_t index, const struct rl_timeheap_entry *entry) {
    for (;;) {
        size_t child = index * CHILDREN + 1, end = child + CHILDREN, least = child;
        if (child >= heap->count)
            break;
        if (end > heap->count)
            end = heap->count;
        while (++child < end)
            if (is_before(&heap->entries[child], &heap->entries[least]))
                least = child;
        if (!is_before(&heap->entries[least], entry))
            break;
        put(heap, index, &heap->entries[least]);
        index = least;
    }
    put(heap, index, entry);
}

/* Changes how many entries there is memory for. Returns 0, or -1. */
static int resize(struct rl_timeheap *heap, size_t room) {
    struct rl_timeheap_entry *entries = realloc(heap->entries, room * sizeof *entries);
    if (!entries)
        return -1;
    heap->entries = entries;
    heap->room = room;
    return 0;
}

int rl_timeheap_add(struct rl_timeheap *heap, struct rl_alarm *alarm, double when) {
    if (heap->count == heap->room &&
        resize(heap, heap->room ? heap->room * 2 : SMALLEST_ROOM) < 0)
        return -1;
    struct rl_timeheap_entry entry = {when, heap->added++, alarm};
    rise(heap, heap->count++, &entry);
    return 0;
}

void rl_timeheap_remove(struct rl_timeheap *heap, struct rl_alarm *alarm) {
    size_t index = alarm->place - 1;
    struct rl_timeheap_entry last = heap->entries[--heap->count];
    alarm->place = 0;
    if (index < heap->count) {
        if (index > 0 && is_before(&last, &heap->entries[(index - 1) / CHILDREN]))
            rise(heap, index, &last);
        else
            sink(heap, index, &last);
    }
    /* A peak is not kept for ever; refused, it is. */
    if (heap->room > SMALLEST_ROOM && heap->count < heap->room / 8)
        (void)resize(heap, heap->room / 2);
}

void rl_timeheap_free(struct rl_timeheap *heap) {
    free(heap->entries);
    heap->entries = NULL;
    heap->room = 0;
}
