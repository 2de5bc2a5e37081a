/* SPDX-License-Identifier: MIT */
/* A small cache in front of CPython's arena allocator. CPython maps 16 KiB each
   time a call crosses the end of a data chunk and unmaps it on return, which
   costs thousands of nanoseconds; every greenlet would pay that. */
#ifndef RL_ARENA_H
#define RL_ARENA_H

/* Puts the cache in place, for the whole process and for ever. Harmless when
   called again. Caller holds the GIL. */
void rl_arena_install(void);

#endif
