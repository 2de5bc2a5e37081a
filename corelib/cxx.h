/* SPDX-License-Identifier: MIT */
/* What a C++ runtime keeps per thread of the exceptions being thrown and caught.
   It belongs to the stack that throws and catches: a greenlet that switches in a
   catch block must find its exception there when it comes back, and others must
   not. No C++ is needed to build this, and no C++ library is loaded by it: the
   runtime is found once somebody has loaded it. One runtime is served; an extension
   with another one linked into itself has its own exceptions per thread. */
#ifndef RL_CXX_H
#define RL_CXX_H

#include "switch/switch.h"

/* The runtime's own `__cxa_eh_globals`: the innermost caught exception, how many
   were thrown and are not caught yet, and where the CPU's ABI has it, those whose
   cleanup is under way. */
struct rl_cxx {
    void *words[RL_SWITCH_CXX_WORDS];
};

/* The calling thread's part. */
struct rl_cxx_thread {
    struct rl_cxx *globals; /* The runtime's, of this thread; `none` until it is found. */
    const void *seen;       /* What *rl_cxx_news was when `globals` was set. */
    struct rl_cxx none;     /* Stands in for them. */
};

/* Where to read whether a library was loaded since we last looked for a runtime, or
   whether it has been found: different from rl_cxx_thread.seen then. */
extern const void *const *rl_cxx_news;

/* Looks for a runtime once more, and for its globals of the calling thread. */
void rl_cxx_look(struct rl_cxx_thread *self);

/* Prepares a thread's part, in the thread itself. */
static inline void rl_cxx_init(struct rl_cxx_thread *self) {
    self->globals = &self->none;
    rl_cxx_look(self);
}

/* Saves what belongs to the running greenlet and loads what belongs to `to`. */
static inline void rl_cxx_swap(struct rl_cxx_thread *self, struct rl_cxx *from,
                               const struct rl_cxx *to) {
    if (__builtin_expect(*rl_cxx_news != self->seen, 0))
        rl_cxx_look(self);
    *from = *self->globals;
    *self->globals = *to;
}

/* Loads only: the running greenlet has ended. An exception that it has not finished
   with, because somebody jumped out of the catch block, is leaked. */
static inline void rl_cxx_enter(struct rl_cxx_thread *self, const struct rl_cxx *to) {
    *self->globals = *to;
}

#endif
