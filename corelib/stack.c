/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1

#include "stack.h"

#include "slab.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef RL_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef RL_VALGRIND /* Given to the compiler by who wants to run under valgrind. */
#include <valgrind/memcheck.h>
#endif

enum {
    MIN_SLOT = 8 << 20,     /* The usual size of a thread's stack. */
    MAX_SLOT = 256 << 20,   /* An unlimited RLIMIT_STACK must not eat the address space. */
    SMALLEST_SLOT = 1 << 20, /* What we settle for when address space is short. */
    SCRATCH_BYTES = 128 << 10, /* With the guard page, which is as large as half of it on some CPUs. */
    POISON = 0xDB,          /* Hard mode fills left stacks with it. */
    MARGIN = 832 + RL_SWITCH_BYTES, /* Frames between rl_stack_prepare and the switch, and its own. */
    HEAVY = 8 << 10,        /* Copying so much takes longer than all the rest of a switch. */
    LOOKS = 8,              /* Slots to look at for one that is not heavy. */
    KEPT_STACK = 256 << 10, /* Of a slot, what stays in memory when nobody is deeper any more. */
    LOOKED_AT = 5 << 10,    /* Below that, where to see whether somebody was deeper. */
    KEPT_COPY = 64 << 10,   /* Of a copy buffer, what stays while it is not needed. */
};

static struct rl_slab small; /* Copy buffers of small_bytes. */
static size_t small_bytes;   /* 0: there are none. */
static unsigned budget = 16384;       /* What vm.max_map_count usually has room for, and as much
                                         again for others. */
static atomic_uint mapped_everywhere; /* Slots of all threads. */

void rl_stack_set_small(size_t bytes) {
    rl_slab_init(&small, bytes);
    small_bytes = small.block_bytes;
}

void rl_stack_set_budget(unsigned slots) {
    budget = slots;
}

/* Copies like memcpy, but is invisible to the address sanitizer, which objects
   to reading across the guard zones of a live stack. */
#ifdef RL_ASAN
__attribute__((noinline, no_sanitize("address")))
#endif
static void copy_bytes(void *to, const void *from, size_t count) {
#ifdef RL_ASAN
    /* Volatile, or the compiler would put the sanitizer's own memcpy here. */
    volatile char *out = to;
    const volatile char *in = from;
    while (count--)
        *out++ = *in++;
#else
    memcpy(to, from, count);
#endif
}

/* Tells the address sanitizer and valgrind that a slot's memory has a new meaning. */
static void unpoison(const struct rl_slot *slot) {
#ifdef RL_ASAN
    if (slot->low)
        __asan_unpoison_memory_region(slot->low, (size_t)(slot->base - slot->low));
#elif defined(RL_VALGRIND)
    if (slot->low)
        VALGRIND_MAKE_MEM_UNDEFINED(slot->low, slot->base - slot->low);
#else
    (void)slot;
#endif
}

#ifdef RL_ASAN
/* The calling thread's own stack, which rl_stacks.own does not know the bounds of. */
static _Thread_local struct {
    void *low;
    size_t bytes;
} own_stack;

void rl_stack_announce(const struct rl_stack *to) {
    const struct rl_slot *slot = to->slot;
    if (slot->low)
        __sanitizer_start_switch_fiber(NULL, slot->low, (size_t)(slot->base - slot->low));
    else
        __sanitizer_start_switch_fiber(NULL, own_stack.low, own_stack.bytes);
    /* Nothing but the switch itself runs before the other stack does. */
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
}
#endif

/* The size of the calling thread's own stack in bytes, or 0 when unknown. */
static size_t thread_stack_bytes(void) {
#if defined(__linux__)
    pthread_attr_t attributes;
    void *low;
    size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return 0;
    if (pthread_attr_getstack(&attributes, &low, &bytes) != 0)
        bytes = 0;
    pthread_attr_destroy(&attributes);
#ifdef RL_ASAN
    own_stack.low = low;
    own_stack.bytes = bytes;
#endif
    return bytes;
#else
    return pthread_get_stacksize_np(pthread_self());
#endif
}

/* Reserves `bytes` of address space whose lowest page is a guard. Returns NULL
   when the system refuses. */
static char *map_stack(size_t bytes) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#ifdef MAP_STACK
    flags |= MAP_STACK;
#endif
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    if (mprotect(map, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE) != 0) {
        munmap(map, bytes);
        return NULL;
    }
#ifdef MADV_NOHUGEPAGE
    madvise(map, bytes, MADV_NOHUGEPAGE);
#endif
    return map;
}

int rl_stacks_init(struct rl_stacks *stacks, struct rl_stack *main, unsigned limit, unsigned most,
                   int hard, void (*entry)(void)) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = thread_stack_bytes();
    if (bytes < MIN_SLOT)
        bytes = MIN_SLOT;
    if (bytes > MAX_SLOT)
        bytes = MAX_SLOT;
    memset(stacks, 0, sizeof *stacks);
    char *map = map_stack(SCRATCH_BYTES);
    if (!map)
        return -1;
    stacks->slots = calloc(most + 1, sizeof *stacks->slots);
    if (!stacks->slots) {
        munmap(map, SCRATCH_BYTES);
        return -1;
    }
    stacks->scratch = map + SCRATCH_BYTES;
    stacks->limit = limit;
    stacks->most = most;
    stacks->hard = hard;
    stacks->entry = entry;
    /* Room for the guard page and for the stagger of map_slot. */
    stacks->slot_bytes = (bytes + page - 1) / page * page + (256 << 10);
    /* Hard mode takes the slow path even to the thread's own stack, so that
       what was left is evicted at once. */
    stacks->own.occupant = hard ? NULL : main;
    main->slot = &stacks->own;
    stacks->spare = small_bytes ? rl_slab_take(&small) : NULL;
    return 0;
}

void rl_stacks_term(struct rl_stacks *stacks) {
    if (stacks->spare)
        rl_slab_give(&small, stacks->spare);
    for (unsigned i = 0; i < stacks->mapped; i++) {
        char *low = stacks->slots[i].low - sysconf(_SC_PAGESIZE);
        if (&stacks->slots[i] == stacks->pinned)
            continue; /* Who points into it may still do so. */
        unpoison(&stacks->slots[i]);
        munmap(low, stacks->slot_bytes);
    }
    mapped_everywhere -= stacks->mapped;
    free(stacks->slots);
    munmap(stacks->scratch - SCRATCH_BYTES, SCRATCH_BYTES);
    memset(stacks, 0, sizeof *stacks);
}

/* Maps one more slot. Settles for smaller slots while none is mapped yet and
   address space is short. Returns NULL when there is none to be had. */
static struct rl_slot *map_slot(struct rl_stacks *stacks) {
    if (stacks->mapped && mapped_everywhere >= budget)
        return NULL;
    char *map = map_stack(stacks->slot_bytes);
    while (!map && stacks->mapped == 0 && stacks->slot_bytes / 2 > SMALLEST_SLOT) {
        stacks->slot_bytes = stacks->slot_bytes / 2 & ~(size_t)0xFFFF;
        map = map_stack(stacks->slot_bytes);
    }
    if (!map)
        return NULL;
    mapped_everywhere++;
    unsigned index = stacks->mapped++;
    struct rl_slot *slot = &stacks->slots[index];
    /* Equal offsets from page boundaries would make the tops of all stacks
       compete for the same few cache sets. */
    size_t stagger = index * (size_t)(4096 + 17 * 64) % (128 << 10);
    slot->low = map + sysconf(_SC_PAGESIZE);
    slot->base = map + stacks->slot_bytes - stagger - 64;
    slot->base -= (uintptr_t)slot->base & 63;
    return slot;
}

/* Whether a newcomer to this slot would have much copied back and forth. */
static int is_heavy(const struct rl_slot *slot) {
    return slot->evicted >= HEAVY ||
           (slot->occupant && rl_stack_live_bytes(slot->occupant) >= HEAVY);
}

/* Chooses among slots that are all taken; at least one of them is not pinned. */
static struct rl_slot *share_slot(struct rl_stacks *stacks, const struct rl_stack *running) {
    struct rl_slot *slot = NULL;
    for (unsigned looks = 0; looks < LOOKS && looks < stacks->mapped; looks++) {
        struct rl_slot *next = &stacks->slots[stacks->hand];
        stacks->hand = (stacks->hand + 1) % stacks->mapped;
        if (next == running->slot || next == stacks->pinned)
            continue;
        slot = next;
        if (!is_heavy(slot))
            return slot;
    }
    struct rl_slot *fresh = stacks->limit < stacks->most ? map_slot(stacks) : NULL;
    if (fresh) {
        stacks->limit++;
        return fresh;
    }
    return slot ? slot : running->slot;
}

int rl_stack_bind(struct rl_stacks *stacks, struct rl_stack *stack, const struct rl_stack *running) {
    struct rl_slot *slot;
    /* An emptied slot may have been taken by one of the stacks bound to it. */
    while ((slot = stacks->free)) {
        stacks->free = slot->next_free;
        slot->next_free = NULL;
        slot->is_free = 0;
        if (!slot->occupant)
            break;
    }
    if (!slot) {
        int only_pinned = stacks->pinned && stacks->mapped == 1;
        if (stacks->mapped < stacks->limit || only_pinned)
            slot = map_slot(stacks);
        if (!slot && (stacks->mapped == 0 || only_pinned))
            return -1;
        if (!slot)
            slot = share_slot(stacks, running);
    }
    stack->slot = slot;
    stack->sp = NULL;
    stack->copied = 0;
    return 0;
}

size_t rl_stack_live_bytes(const struct rl_stack *stack) {
    return stack->sp ? (size_t)(stack->slot->base - rl_stack_low(stack)) : 0;
}

/* Whether a stack has a small copy buffer. Those from malloc are larger. */
static inline int has_small(const struct rl_stack *stack) {
    return stack->capacity && stack->capacity == small_bytes;
}

/* Frees a stack's copy buffer. */
static void free_copy(struct rl_stack *stack) {
    if (has_small(stack))
        rl_slab_give(&small, stack->copy);
    else
        free(stack->copy);
    stack->copy = NULL;
    stack->capacity = 0;
}

/* Makes room for `bytes` in the stack's copy buffer, which holds nothing now.
   Returns 0, or -1 with the stack unchanged. */
static int reserve_copy(struct rl_stack *stack, size_t bytes) {
    if (stack->capacity >= bytes && (stack->capacity <= KEPT_COPY || bytes > stack->capacity / 4))
        return 0;
    char *copy;
    if (bytes <= small_bytes) {
        bytes = small_bytes;
        copy = rl_slab_take(&small);
    } else {
        bytes = (bytes + 255) & ~(size_t)255;
        copy = aligned_alloc(64, bytes);
    }
    if (!copy)
        return stack->capacity >= bytes ? 0 : -1;
    free_copy(stack);
    stack->copy = copy;
    stack->capacity = bytes;
    return 0;
}

void rl_stacks_pin(struct rl_stacks *stacks, const struct rl_stack *stack) {
    /* The thread's own stack stays where it is anyway. */
    stacks->pinned = stack && stack->slot != &stacks->own ? stack->slot : NULL;
}

int rl_stack_prepare(struct rl_stacks *stacks, struct rl_stack *running, struct rl_stack *to) {
    struct rl_stack *occupant = to->slot->occupant;
    if (to->slot == stacks->pinned && occupant != to)
        return -1;
    if (running && running->slot != &stacks->own &&
        (running->slot == to->slot || stacks->hard)) {
        /* Its stack pointer is not known before it switches. */
        char *here = __builtin_frame_address(0);
        if (reserve_copy(running, (size_t)(running->slot->base - here) + MARGIN) < 0)
            return -1;
    }
    if (occupant && occupant != running && occupant != to)
        return reserve_copy(occupant, rl_stack_live_bytes(occupant));
    return 0;
}

/* Has memory brought into the cache, at most the first KiB. What an exchange
   touches has often not been touched for long, and waiting for its lines one by
   one would cost more than the copying. */
static inline void prefetch(const char *from, size_t bytes) {
    if (bytes > 1024)
        bytes = 1024;
    for (size_t at = 0; at < bytes; at += 64)
        __builtin_prefetch(from + at);
}

/* Whether what lies below `end` is as the system gave it: looks at a word here and
   there. C frames have large gaps, sorted() leaves 4 KiB of its 5 as they are, so
   these are spread over 5 KiB. To the sanitizers it may be anything. */
#ifdef RL_ASAN
__attribute__((noinline, no_sanitize("address")))
#endif
static int is_blank(const char *end) {
    uint64_t any = 0;
#ifdef RL_VALGRIND
    VALGRIND_MAKE_MEM_DEFINED(end - LOOKED_AT, LOOKED_AT);
#endif
    for (int at = LOOKED_AT; at > 0; at -= LOOKED_AT / 16)
        any |= *(const uint64_t *)(const void *)(end - at);
    return any == 0;
}

/* Gives the memory of a slot's far end back to the system, if somebody has been
   there and nobody needs it: what lives in the slot, or will, is above `needed`.
   That somebody was below `known` is certain; about the rest it has a look, and may
   be wrong. Looking at memory that was never written takes none. */
static void trim(struct rl_slot *slot, const char *needed, const char *known) {
    /* A multiple of all page sizes. */
    char *end = (char *)((uintptr_t)(slot->base - KEPT_STACK) & ~(uintptr_t)0xFFFF);
    if (needed < end || end - slot->low < LOOKED_AT || (known >= end && is_blank(end)))
        return;
    madvise(slot->low, (size_t)(end - slot->low), MADV_DONTNEED);
}

/* Trades the copy buffer of a stack, in which nothing is, for the spare one, if it is
   like that. */
static void trade_copy(struct rl_stacks *stacks, struct rl_stack *stack) {
    char *copy = stack->copy;
    if (!stacks->spare || !has_small(stack))
        return;
    stack->copy = stacks->spare;
    stacks->spare = copy;
}

/* Copies the occupant of a slot out. Its copy buffer is large enough. */
static void evict(struct rl_stacks *stacks, struct rl_stack *stack) {
    size_t bytes = rl_stack_live_bytes(stack);
    copy_bytes(stack->copy, rl_stack_low(stack), bytes);
    stack->copied = bytes;
    stack->slot->occupant = NULL;
    stack->slot->evicted = bytes;
    stacks->evictions++;
    stacks->evicted_bytes += bytes;
    stacks->evicted(stack);
}

/* Fills what a stack left behind in its slot, down to below its stack pointer. */
static void poison(struct rl_slot *slot, void *sp) {
    char *low = (char *)sp - 4096;
    unpoison(slot);
    if (low < slot->low)
        low = slot->low;
    memset(low, POISON, (size_t)(slot->base - low));
}

/* Brings the coming stack's bytes into its slot. Runs on the scratch stack, for
   one of the two slots may be the one just left. Returns its stack pointer. */
static void *settle(void *argument) {
    struct rl_stacks *stacks = argument;
    struct rl_stack *to = stacks->coming, *from = stacks->leaving;
    struct rl_slot *slot = to->slot;
    if (stacks->hard) {
        if (from && from->slot != &stacks->own && from->slot != stacks->pinned) {
            evict(stacks, from);
            poison(from->slot, from->sp);
        }
        if (stacks->abandoned)
            poison(stacks->abandoned, stacks->abandoned->base - 8192);
    }
    if (slot == &stacks->own)
        return to->sp;
    if (slot->occupant == to)
        return to->sp;
    /* The one that is left has its buffer in the cache: it came from there lately. */
    int trades = slot->occupant && slot->occupant != from;
    if (slot->occupant) {
        if (trades)
            trade_copy(stacks, slot->occupant);
        evict(stacks, slot->occupant);
        trim(slot, to->sp ? rl_stack_low(to) : slot->base, slot->base - slot->evicted);
    }
    unpoison(slot);
    slot->occupant = to;
    if (!to->sp) {
        to->sp = rl_switch_seed(slot->base, stacks->entry);
    } else {
        copy_bytes(rl_stack_low(to), to->copy, to->copied);
        to->copied = 0;
        stacks->restored(to);
        if (trades)
            trade_copy(stacks, to);
        if (to->capacity > 4 * KEPT_COPY)
            free_copy(to);
    }
    return to->sp;
}

void rl_stack_prefetch(const struct rl_stack *to) {
    const struct rl_stack *occupant = to->slot->occupant;
    prefetch(to->copy, to->copied);
    if (occupant && !has_small(occupant))
        prefetch(occupant->copy, rl_stack_live_bytes(occupant));
}

void rl_stack_exchange(struct rl_stacks *stacks, struct rl_stack *from, struct rl_stack *to) {
    stacks->leaving = from;
    stacks->coming = to;
    stacks->abandoned = NULL;
    rl_stack_announce(to);
    if (from->slot == to->slot || stacks->hard) {
        rl_switch_via(&from->sp, stacks->scratch, settle, stacks);
    } else {
        /* Neither slot is the running one: no need to step aside. */
        rl_switch(&from->sp, settle(stacks));
    }
}

/* Empties a slot whose stack has ended and offers it to new stacks. That stack may
   still be the running one, about to leave. */
static void empty_slot(struct rl_stacks *stacks, struct rl_slot *slot) {
    const char *here = __builtin_frame_address(0);
    int inside = here >= slot->low && here < slot->base;
    if (slot != stacks->pinned)
        trim(slot, inside ? here - MARGIN : slot->base, slot->base);
    slot->occupant = NULL;
    if (!slot->is_free && slot != stacks->pinned) {
        slot->is_free = 1;
        slot->next_free = stacks->free;
        stacks->free = slot;
    }
}

void rl_stack_leave(struct rl_stacks *stacks, struct rl_stack *from, struct rl_stack *to) {
    struct rl_slot *slot = from->slot;
    void *nowhere;
    if (to->slot) {
        rl_stack_drop(stacks, from);
    } else {
        rl_stack_drop(NULL, from);
        slot->occupant = NULL;
        to->slot = slot;
    }
    rl_stack_announce(to);
    if (rl_stack_is_resident(to))
        rl_switch(&nowhere, to->sp);
    stacks->leaving = NULL;
    stacks->coming = to;
    stacks->abandoned = slot;
    rl_switch_via(&nowhere, stacks->scratch, settle, stacks);
    __builtin_unreachable();
}

void rl_stack_drop(struct rl_stacks *stacks, struct rl_stack *stack) {
    free_copy(stack);
    stack->copied = 0;
    /* A slot may also have no occupant because this stack was never entered. */
    if (stacks && stack->slot && (!stack->slot->occupant || stack->slot->occupant == stack))
        empty_slot(stacks, stack->slot);
    stack->slot = NULL;
    stack->sp = NULL;
}
