/* SPDX-License-Identifier: MIT */
/* What is to happen when: a heap ordered by time, and among those of the same time
   by the order they came in. Each member knows its place, so one in the middle is
   taken out at once and nothing void stays behind. Nothing here knows Python.

   Cost: adding what is due last, as time limits of one length are, touches nothing
   else; else adding, removing and taking the first cost O(log n). 24 bytes each. */
#ifndef RL_TIMEHEAP_H
#define RL_TIMEHEAP_H

#include <stddef.h>
#include <stdint.h>

/* Part of what is in a heap; all zero when it is in none. */
struct rl_alarm {
    size_t place; /* Index in rl_timeheap.entries, counted from 1; 0: in no heap. */
    int kind;     /* What it is part of; the heap does not care. */
};

struct rl_timeheap_entry {
    double when;            /* Never NaN. */
    uint64_t serial;        /* How many had been added before. */
    struct rl_alarm *alarm; /* Borrowed. */
};

struct rl_timeheap {
    struct rl_timeheap_entry *entries; /* A heap in which each has four children; or NULL. */
    size_t count;                      /* Members. */
    size_t room;                       /* Entries there is memory for. */
    uint64_t added;                    /* How many have been added, ever. */
};

/* Adds a member that is in no heap. Returns 0, or -1 without memory: then nothing
   has changed. */
int rl_timeheap_add(struct rl_timeheap *heap, struct rl_alarm *alarm, double when);

/* Takes a member out. */
void rl_timeheap_remove(struct rl_timeheap *heap, struct rl_alarm *alarm);

/* Frees the memory of a heap that is empty now. */
void rl_timeheap_free(struct rl_timeheap *heap);

/* When a member is due. */
static inline double rl_timeheap_when(const struct rl_timeheap *heap,
                                      const struct rl_alarm *alarm) {
    return heap->entries[alarm->place - 1].when;
}

#endif
