/* SPDX-License-Identifier: MIT */
/* Stacks that share slots. A slot is a region of memory as large as a thread's
   stack. Each stack is bound to one slot for life; of the stacks bound to a
   slot at most one, the occupant, has its bytes there. The live bytes of the
   others wait in copies on the heap. Nothing here knows Python. */
#ifndef RL_STACK_H
#define RL_STACK_H

#include "switch/switch.h"

#include <stddef.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RL_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define RL_ASAN 1
#endif

struct rl_stack;

struct rl_slot {
    struct rl_stack *occupant; /* Whose bytes are in the slot; NULL when nobody's. */
    char *base;                /* Highest usable address, 64-byte aligned. */
    char *low;                 /* Lowest usable address; the guard page lies below. */
    struct rl_slot *next_free; /* The next slot in rl_stacks.free, while this one is there. */
    int is_free;               /* Whether this slot is in rl_stacks.free. */
    size_t evicted;            /* Bytes of the last stack that was copied out of it. */
    uintptr_t bounds[3];       /* For the layer above: what it wants to know of this slot on each
                                  switch. All zero until it sets them. */
};

struct rl_stack {
    void *sp;             /* Stack pointer while suspended. NULL: never entered. */
    struct rl_slot *slot; /* Where it lives. NULL: not bound. */
    char *copy;           /* Room for its live bytes, 64-byte aligned: a small buffer (see
                             rl_stack_set_small), or from malloc, or NULL. */
    size_t copied;        /* Bytes in copy: all from rl_stack_low to the base. 0 while they are in
                             the slot. */
    size_t capacity;      /* Bytes that fit in copy. */
};

/* The slots of one OS thread. */
struct rl_stacks {
    struct rl_slot own;          /* The thread's own stack, never copied. */
    struct rl_slot *slots;       /* `most` slots and one, the first `mapped` of them usable. */
    unsigned limit;              /* How many slots there may be; more when they are heavy. */
    unsigned most;               /* The highest that limit may become. */
    unsigned mapped;             /* How many slots are mapped. */
    unsigned hand;               /* The next slot to share when none is free. */
    struct rl_slot *free;        /* Mapped slots that were emptied. */
    size_t slot_bytes;           /* Size of a slot's mapping, guard page included. */
    char *scratch;               /* Highest address of the stack that copying runs on. */
    char *spare;                 /* A small copy buffer that was copied from lately, or NULL. A stack
                                    that must leave its slot for others to meet there trades its own
                                    for this one, which unlike that is still in the cache. */
    int hard;                    /* Evict at every switch and poison what is left behind. */
    struct rl_slot *pinned;      /* Must keep the bytes it has, for somebody else points into them;
                                    NULL when there is none. See rl_stacks_pin. */
    struct rl_stack *leaving;    /* While copying: the stack just left, NULL when it ended. */
    struct rl_stack *coming;     /* While copying: the stack to enter. */
    struct rl_slot *abandoned;   /* While copying: the slot of a stack that ended, or NULL. */
    void (*entry)(void);         /* First function on every new stack; never returns. */
    /* Told when `stack` has been copied out and before its slot is overwritten,
       and when it has been copied back. Both must be set. They run on the
       scratch stack and may not fail. */
    void (*evicted)(struct rl_stack *stack);
    void (*restored)(struct rl_stack *stack);
    unsigned long evictions;     /* Copies made so far. */
    unsigned long evicted_bytes; /* Bytes in all those copies. */
};

/* Sets the size of small copy buffers, which come from a slab: what most stacks need.
   Called once, before anything else here, with the GIL held as for all of this. */
void rl_stack_set_small(size_t bytes);

/* Sets how many slots all threads together may have mapped; each may always have
   one. Every slot takes two of the mappings that the system allows a process. */
void rl_stack_set_budget(unsigned slots);

/* Prepares the slots of the calling OS thread: up to `limit`, and up to `most` when
   so many are heavy. `main` becomes the running stack, on the thread's own memory.
   Maps only the scratch stack. Returns 0, or -1 when there is no memory. The caller
   sets the two callbacks. */
int rl_stacks_init(struct rl_stacks *stacks, struct rl_stack *main, unsigned limit, unsigned most,
                   int hard, void (*entry)(void));

/* Unmaps everything. No stack of this thread may be entered afterwards. */
void rl_stacks_term(struct rl_stacks *stacks);

/* Binds a new stack to a slot: an empty one, else a fresh one, else one that is
   shared. That is not the slot of `running`, nor a heavy one, one whose stacks are
   so deep that copying them is slow, while there is a choice; one slot more than
   `limit` is such a choice, up to `most`. Nor is it the pinned one: where that is
   the only one, one more than the limit is mapped. Returns 0, or -1 when there is
   no slot and none can be mapped. */
int rl_stack_bind(struct rl_stacks *stacks, struct rl_stack *stack, const struct rl_stack *running);

/* Whether a switch to `to` is a plain exchange of registers. */
static inline int rl_stack_is_resident(const struct rl_stack *to) {
    return to->slot->occupant == to;
}

/* From now on `stack`, which is running, stays in its slot when it is left, until
   somebody else is pinned, or with NULL nobody. The other stacks of that slot
   cannot be entered meanwhile, nor new ones be bound to it. */
void rl_stacks_pin(struct rl_stacks *stacks, const struct rl_stack *stack);

/* Makes sure that leaving `running` for `to`, which is not resident, cannot run
   out of memory. `running` is NULL when the running stack ends. Returns 0, or -1
   with nothing changed: no memory, or the slot of `to` is pinned by another. */
int rl_stack_prepare(struct rl_stacks *stacks, struct rl_stack *running, struct rl_stack *to);

/* Tells the address sanitizer that the next thing to run is `to`: its reports, and
   what it does about a function that does not return, need the stack's bounds. */
#ifdef RL_ASAN
void rl_stack_announce(const struct rl_stack *to);
#else
static inline void rl_stack_announce(const struct rl_stack *to) {
    (void)to;
}
#endif

/* Asks for the memory that an exchange to `to` will copy. A hint: call it some
   work ahead of the exchange. */
void rl_stack_prefetch(const struct rl_stack *to);

/* Suspends `from`, the running stack, and enters `to`, which is not resident and
   for which rl_stack_prepare succeeded. Returns when somebody switches back. */
void rl_stack_exchange(struct rl_stacks *stacks, struct rl_stack *from, struct rl_stack *to);

/* Ends `from`, the running stack, and enters `to`; rl_stack_prepare has
   succeeded if `to` is not resident. Frees the copy buffer of `from`, and its
   slot for others. A `to` that is not bound gets that slot: a new stack can be
   entered so without memory. Never returns. */
void rl_stack_leave(struct rl_stacks *stacks, struct rl_stack *from, struct rl_stack *to)
    __attribute__((noreturn));

/* Forgets a suspended stack without entering it again: frees its copy, and its
   slot for others. `stacks` is NULL when its thread has ended. */
void rl_stack_drop(struct rl_stacks *stacks, struct rl_stack *stack);

/* The lowest byte of a suspended stack that is copied: its stack pointer, rounded
   down to a cache line. Whole lines copy faster than parts of them. */
static inline char *rl_stack_low(const struct rl_stack *stack) {
    return (char *)((uintptr_t)stack->sp & ~(uintptr_t)63);
}

/* Where the byte of a suspended stack that lives at `address` is right now, in
   the slot or in the copy. Any other address is returned as it is. */
static inline void *rl_stack_where(const struct rl_stack *stack, void *address) {
    char *low = rl_stack_low(stack), *at = address;
    if (at >= low && at < low + stack->copied)
        return stack->copy + (at - low);
    return address;
}

/* Whether a suspended stack's live bytes include the one that lives at `address`. */
static inline int rl_stack_has(const struct rl_stack *stack, const void *address) {
    const char *at = address;
    return at >= rl_stack_low(stack) && at < stack->slot->base;
}

/* What a copy of a suspended stack takes in bytes; 0 for one that was never entered. */
size_t rl_stack_live_bytes(const struct rl_stack *stack);

#endif
