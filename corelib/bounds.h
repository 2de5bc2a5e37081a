/* SPDX-License-Identifier: MIT */
/* From 3.14 on CPython measures C recursion by addresses: a thread state has the
   bounds of the stack it runs on, and whoever changes stacks must change them too.
   Where it has them moves from one patch release to the next, so that the headers
   we are compiled with do not tell: it is looked for. Used by pystate.c only. */
#ifndef RL_BOUNDS_H
#define RL_BOUNDS_H

#include <Python.h>

#include "stack.h"

/* Offset of the three words (top, soft limit, hard limit) in a thread state; 0:
   not found, and the interpreter must be asked to set them. */
extern size_t rl_bounds_offset;

/* Offset of asyncio's running loop, with the current task behind it; 0: not found. */
extern size_t rl_bounds_asyncio_offset;

/* Finds them in `ts`, the calling thread's, which has `bytes` bytes; asyncio's are
   `asyncio` bytes behind the bounds. Called once. Returns 0, or -1 with ImportError
   set: there is no way to set the bounds. */
int rl_bounds_find(PyThreadState *ts, size_t bytes, size_t asyncio);

/* Says what `ts` has now about the stack it runs on, which is that of `slot`. */
void rl_bounds_adopt(PyThreadState *ts, struct rl_slot *slot);

/* Says of a slot that was mapped what a thread state is to have for it. */
void rl_bounds_of_slot(struct rl_slot *slot);

/* Makes the bounds of `slot` those of `ts`. */
void rl_bounds_ask(PyThreadState *ts, const struct rl_slot *slot);
static inline void rl_bounds_set(PyThreadState *ts, const struct rl_slot *slot) {
    if (__builtin_expect(rl_bounds_offset != 0, 1))
        memcpy((char *)ts + rl_bounds_offset, slot->bounds, sizeof slot->bounds);
    else
        rl_bounds_ask(ts, slot);
}

/* The two ways to find the offset, each 0 when it fails. The first lets the
   interpreter set bounds that cannot be missed; 3.14.0 has no function for that,
   and so the second looks for what it knows of the thread's own stack. */
size_t rl_bounds_find_by_setting(PyThreadState *ts, size_t bytes);
size_t rl_bounds_find_by_value(PyThreadState *ts, size_t bytes);

#endif
