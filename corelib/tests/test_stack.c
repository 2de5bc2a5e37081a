/* SPDX-License-Identifier: MIT */
/* Slots: who gets which, what is copied when, what running out of memory leaves. */
#define _GNU_SOURCE 1

#include "strands.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

/* Comes back to main for ever. */
static void come_back(struct strand *self) {
    for (;;) {
        self->state++;
        go(&main_strand);
    }
}

static void return_at_once(struct strand *self) {
    self->state++;
}

/* Fills `bytes` of its stack with what belongs to it alone, leaves for main, and
   expects to find all as it was. */
static __attribute__((noinline)) void fill_and_leave(struct strand *self, size_t bytes) {
    volatile unsigned char mine[bytes];
    unsigned char value = (unsigned char)((uintptr_t)self >> 6);
    for (size_t i = 0; i < bytes; i++)
        mine[i] = (unsigned char)(value + i);
    go(&main_strand);
    for (size_t i = 0; i < bytes; i++)
        check(mine[i] == (unsigned char)(value + i));
}

static void fill_small(struct strand *self) {
    for (;; self->state++)
        fill_and_leave(self, 64);
}

static void fill_large(struct strand *self) {
    for (;; self->state++)
        fill_and_leave(self, 20000);
}

/* ---- Binding ---------------------------------------------------------------- */

static void slots_are_mapped_one_by_one_and_lie_apart(void) {
    static struct strand strands[4];
    begin(4, 0);
    check(stacks.mapped == 0);
    for (unsigned i = 0; i < 4; i++) {
        make(&strands[i], come_back);
        check(stacks.mapped == i + 1);
        struct rl_slot *slot = strands[i].stack.slot;
        check((uintptr_t)slot->base % 64 == 0);
        check(slot->base - slot->low >= 8 << 20);
        for (unsigned j = 0; j < i; j++)
            check(strands[j].stack.slot->base < slot->low || slot->base < strands[j].stack.slot->low);
    }
}

static void slots_are_shared_in_turn_once_all_are_taken(void) {
    static struct strand strands[9];
    begin(3, 0);
    for (int i = 0; i < 9; i++) {
        make(&strands[i], come_back);
        check(strands[i].stack.slot == &stacks.slots[i % 3]);
    }
    check(stacks.mapped == 3);
}

static struct strand *child;

static void make_child(struct strand *self) {
    (void)self;
    make(child, come_back);
    go(&main_strand);
}

static void the_slot_of_the_running_one_is_avoided(void) {
    static struct strand first, second, third;
    begin(2, 0);
    make(&first, make_child);
    make(&second, come_back);
    child = &third;
    check(stacks.hand == 0); /* The next to be shared would be that of `first`. */
    go(&first);
    check(third.stack.slot == second.stack.slot);
}

static void the_only_slot_is_shared_even_so(void) {
    static struct strand first, second;
    begin(1, 0);
    make(&first, make_child);
    child = &second;
    go(&first);
    check(second.stack.slot == first.stack.slot);
    go(&second);
    check(second.state == 1 && first.evicted == 1);
}

static void emptied_slots_are_used_first(void) {
    static struct strand strands[4];
    begin(4, 0);
    for (int i = 0; i < 3; i++) {
        make(&strands[i], return_at_once);
        go(&strands[i]);
        check(strands[i].ended && !strands[i].stack.slot);
    }
    check(stacks.mapped == 1);
    make(&strands[0], come_back);
    make(&strands[1], come_back);
    go(&strands[0]);
    go(&strands[1]);
    struct rl_slot *slot = strands[0].stack.slot;
    rl_stack_drop(&stacks, &strands[0].stack);
    check(stacks.free == slot && slot->is_free && !slot->occupant);
    make(&strands[2], come_back);
    check(strands[2].stack.slot == slot && !slot->is_free && !stacks.free);
}

static void an_emptied_slot_is_offered_once(void) {
    static struct strand strands[4];
    begin(1, 0);
    make(&strands[0], return_at_once);
    make(&strands[1], return_at_once);
    make(&strands[2], come_back);
    go(&strands[0]);
    go(&strands[1]);
    check(stacks.free == &stacks.slots[0] && !stacks.free->next_free);
    make(&strands[3], come_back);
    check(!stacks.free);
    go(&strands[2]);
    go(&strands[3]);
    go(&strands[2]);
    check(strands[2].state == 2 && strands[3].state == 1);
}

static void an_emptied_slot_that_was_taken_again_is_not_offered(void) {
    static struct strand first, second, third, fourth;
    begin(2, 0);
    make(&first, come_back);
    make(&second, come_back);
    make(&third, return_at_once);
    check(third.stack.slot == first.stack.slot);
    go(&first);
    go(&third);
    check(stacks.free == first.stack.slot);
    go(&first);
    make(&fourth, come_back);
    check(fourth.stack.slot == second.stack.slot);
    check(!stacks.free && !first.stack.slot->is_free);
}

/* ---- Copying ------------------------------------------------------------------- */

static void while_slots_last_nothing_is_copied(void) {
    static struct strand strands[8];
    begin(8, 0);
    for (int i = 0; i < 8; i++)
        make(&strands[i], fill_large);
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 8; i++)
            check(go(&strands[i]) == 0);
    check(stacks.evictions == 0);
    for (int i = 0; i < 8; i++)
        check(strands[i].state == 4 && !strands[i].stack.copy);
}

static void what_shares_a_slot_is_copied(void) {
    static struct strand one, other;
    begin(1, 0);
    make(&one, fill_large);
    make(&other, fill_small);
    go(&one);
    check(one.evicted == 0);
    go(&other);
    check(one.evicted == 1 && one.stack.copied > 20000 && one.restored == 0);
    check(stacks.evictions == 1 && stacks.evicted_bytes == one.stack.copied);
    go(&one);
    check(one.restored == 1 && one.stack.copied == 0 && other.evicted == 1);
    check(rl_stack_is_resident(&one.stack) && !rl_stack_is_resident(&other.stack));
    check(one.state == 1 && other.state == 0);
}

static struct strand *partner;

static void go_to_partner(struct strand *self) {
    for (;;) {
        self->state++;
        check(go(partner) == 0);
    }
}

static void go_thrice_to(struct strand *self) {
    (void)self;
    struct strand *to = child;
    for (int i = 0; i < 3; i++)
        check(go(to) == 0);
}

static void the_running_stack_may_be_in_the_targets_slot(void) {
    static struct strand one, other;
    begin(1, 0);
    make(&one, go_to_partner);
    make(&other, go_thrice_to);
    partner = &other;
    child = &one;
    go(&one);
    check(other.ended && one.state == 4);
    check(one.evicted == 4 && one.restored == 3 && other.evicted == 3);
}

static void where_finds_bytes_in_slot_and_copy(void) {
    static struct strand one, other;
    begin(1, 0);
    make(&one, fill_small);
    make(&other, fill_small);
    go(&one);
    char *sp = one.stack.sp, elsewhere;
    check(rl_stack_where(&one.stack, sp + 8) == sp + 8);
    go(&other);
    char *low = rl_stack_low(&one.stack);
    check(low <= sp && sp - low < 64);
    check(rl_stack_where(&one.stack, low) == one.stack.copy);
    check(rl_stack_where(&one.stack, sp + 8) == one.stack.copy + (sp + 8 - low));
    char *last = one.stack.slot->base - 1;
    check(rl_stack_where(&one.stack, last) == one.stack.copy + (last - low));
    check(rl_stack_where(&one.stack, last + 1) == last + 1);
    check(rl_stack_where(&one.stack, low - 1) == low - 1);
    check(rl_stack_where(&one.stack, &elsewhere) == &elsewhere);
}

/* ---- Copy buffers ------------------------------------------------------------------ */

static void shallow_stacks_have_small_buffers(void) {
    static struct strand one, other, deep;
    rl_stack_set_small(SMALL_BYTES);
    begin(1, 0);
    make(&one, come_back);
    make(&other, come_back);
    make(&deep, fill_large);
    go(&one);
    go(&other);
    char *first = one.stack.copy;
#ifndef __SANITIZE_ADDRESS__ /* Which makes every frame larger. */
    check(one.stack.capacity == SMALL_BYTES);
    go(&one);
    /* What `one` was copied back from is used next. */
    check(other.stack.capacity == SMALL_BYTES && other.stack.copy != first);
    check(stacks.spare == first);
    go(&other);
    check(one.stack.copy == first && stacks.spare != first);
#else
    go(&one);
#endif
    check(first && other.stack.capacity >= rl_stack_live_bytes(&other.stack));
    go(&deep);
    go(&one);
    check(deep.stack.capacity > SMALL_BYTES && deep.stack.copied > 20000);
    go(&deep);
    check(deep.state == 1);
}

static int how_deep;

static void fill_by_turns(struct strand *self) {
    for (;; self->state++)
        fill_and_leave(self, how_deep ? 20000 : 16);
}

static void a_buffer_grows_and_is_kept(void) {
    static struct strand one, other;
    rl_stack_set_small(SMALL_BYTES);
    begin(1, 0);
    make(&one, fill_by_turns);
    make(&other, come_back);
    for (how_deep = 0; how_deep < 2; how_deep++) {
        go(&one);
        go(&other);
    }
    check(one.stack.capacity > SMALL_BYTES);
    char *buffer = one.stack.copy;
    how_deep = 0;
    go(&one);
    go(&other);
    check(one.stack.copy == buffer && one.stack.capacity > 20000 && one.stack.copied < 20000);
}

/* ---- Ending --------------------------------------------------------------------------- */

static void a_stack_ends_into_one_that_was_copied_out(void) {
    static struct strand one, other;
    begin(1, 0);
    make(&one, fill_small);
    make(&other, return_at_once);
    go(&one);
    other.heir = &one;
    go(&other);
    check(other.ended && one.evicted == 1 && one.restored == 1 && one.state == 1);
    check(!other.stack.slot && !other.stack.copy);
    go(&one);
    check(one.state == 2);
}

static void a_stack_ends_into_a_resident_one(void) {
    static struct strand one, other;
    begin(2, 0);
    make(&one, fill_small);
    make(&other, return_at_once);
    go(&one);
    other.heir = &one;
    go(&other);
    check(other.ended && one.evicted == 0 && one.state == 1);
}

static void a_stack_ends_into_a_new_one(void) {
    static struct strand strands[3];
    begin(1, 0);
    for (int i = 0; i < 3; i++) {
        make(&strands[i], i == 2 ? come_back : return_at_once);
        strands[i].heir = i == 2 ? NULL : &strands[i + 1];
    }
    go(&strands[0]);
    check(strands[0].ended && strands[1].ended && strands[2].state == 1);
    check(stacks.evictions == 0);
}

/* Ends a stack into one that is not bound, without memory. */
static void bequeath(unsigned slots, int hard) {
    static struct strand one, other, third;
    begin(slots, hard);
    make(&third, fill_large);
    make(&one, return_at_once);
    go(&third);
    struct rl_slot *slot = one.stack.slot;
    memset(&other, 0, sizeof other);
    other.body = come_back;
    one.heir = &other;
    if (slots == 2 && !hard)
        granted = 0;
    go(&one);
    granted = -1;
    check(one.ended && other.state == 1 && other.stack.slot == slot && !slot->is_free);
    check(!one.stack.slot && !stacks.free);
    go(&third);
    go(&other);
    check(other.state == 2 && third.state == 1);
}

static void an_unbound_stack_inherits_the_slot(void) {
    bequeath(2, 0);
}

static void an_unbound_stack_inherits_a_shared_slot(void) {
    bequeath(1, 0);
}

static void an_unbound_stack_inherits_in_hard_mode(void) {
    bequeath(2, 1);
}

static void dropped_in_any_order(void) {
    enum { COUNT = 4 };
    static struct strand strands[COUNT];
    static const int orders[][COUNT] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}};
    for (size_t order = 0; order < sizeof orders / sizeof *orders; order++) {
        for (unsigned slots = 1; slots <= 3; slots++) {
            begin(slots, 0);
            for (int i = 0; i < COUNT; i++) {
                make(&strands[i], i % 2 ? fill_large : fill_small);
                if (i != 2) /* One that was never entered. */
                    go(&strands[i]);
            }
            for (int i = 0; i < COUNT; i++) {
                struct rl_stack *stack = &strands[orders[order][i]].stack;
                rl_stack_drop(&stacks, stack);
                check(!stack->slot && !stack->copy && !stack->copied && !stack->sp);
                /* Those that are left are well. */
                for (int j = i + 1; j < COUNT; j++)
                    check(go(&strands[orders[order][j]]) == 0);
            }
            unsigned found = 0;
            for (struct rl_slot *slot = stacks.free; slot; slot = slot->next_free)
                found++;
            check(found == stacks.mapped);
            rl_stacks_term(&stacks);
        }
    }
}

static void a_stack_may_outlive_its_slots(void) {
    static struct strand one, other;
    begin(1, 0);
    make(&one, fill_large);
    make(&other, fill_large);
    go(&one);
    go(&other);
    rl_stacks_term(&stacks);
    rl_stack_drop(NULL, &one.stack);
    rl_stack_drop(NULL, &other.stack);
    check(!one.stack.copy && !other.stack.slot);
    begin(2, 0); /* The thread may begin anew. */
    make(&one, fill_large);
    go(&one);
    go(&one);
    check(one.state == 1);
}

/* ---- Hard mode ---------------------------------------------------------------------------- */

static void hard_mode_evicts_at_every_switch_and_poisons(void) {
    static struct strand one;
    begin(1, 1);
    make(&one, fill_small);
    for (int i = 0; i < 5; i++) {
        go(&one);
        check(one.evicted == i + 1 && one.restored == i && one.state == (unsigned)i);
        check(!stacks.slots[0].occupant && one.stack.copied);
        unsigned char *left = (unsigned char *)rl_stack_low(&one.stack);
        for (size_t at = 0; at < one.stack.copied; at++)
            check(left[at] == 0xDB);
    }
}

static void hard_mode_poisons_what_has_ended(void) {
    static struct strand one;
    begin(2, 1);
    make(&one, return_at_once);
    struct rl_slot *slot = one.stack.slot;
    go(&one);
    check(one.ended);
    for (int at = 1; at < 4096; at++)
        check((unsigned char)slot->base[-at] == 0xDB);
}

/* ---- Running out of memory ------------------------------------------------------------------ */

static void without_memory_for_the_copy_nothing_changes(void) {
    static struct strand one, other;
    begin(1, 0);
    make(&one, fill_large);
    make(&other, come_back);
    go(&one);
    struct rl_stack before = one.stack;
    granted = 0;
    check(go(&other) == -1);
    check(go(&other) == -1);
    check(memcmp(&before, &one.stack, sizeof before) == 0);
    check(rl_stack_is_resident(&one.stack) && !other.stack.sp);
    check(go(&one) == 0);
    check(one.state == 1);
    granted = -1;
    check(go(&other) == 0);
    check(other.state == 1 && one.evicted == 1);
}

static int failures;

static void fail_to_leave(struct strand *self) {
    for (;; self->state++) {
        granted = 0;
        failures -= go(partner);
        granted = -1;
        fill_and_leave(self, 100);
    }
}

static void without_memory_the_running_stack_stays(void) {
    static struct strand one, other;
    begin(1, 0);
    make(&one, fail_to_leave);
    make(&other, come_back);
    partner = &other;
    go(&one);
    check(failures == 1 && one.evicted == 0 && !other.stack.sp);
    go(&other);
    check(one.evicted == 1 && other.state == 1);
}

static void main_is_entered_without_memory(void) {
    static struct strand one;
    begin(1, 0);
    make(&one, come_back);
    go(&one);
    granted = 0;
    check(go(&one) == 0);
    check(go(&one) == 0);
    granted = -1;
    check(one.state == 3);
}

static void begin_is_refused_cleanly(void) {
    for (granted = 0; rl_stacks_init(&stacks, &main_strand.stack, 4, 4, 0, entry) < 0;) {
        static long grants;
        granted = ++grants;
        check(grants < 10);
    }
    granted = -1;
    rl_stacks_term(&stacks);
}

static void without_a_slot_binding_fails_and_later_succeeds(void) {
    static struct strand one, other;
    begin(4, 0);
    granted = 0;
    check(rl_stack_bind(&stacks, &one.stack, &main_strand.stack) == -1);
    check(stacks.mapped == 0);
    granted = -1;
    make(&one, come_back);
    check(stacks.mapped == 1);
    granted = 0; /* No second slot: the first is shared. */
    make(&other, come_back);
    granted = -1;
    check(stacks.mapped == 1 && other.stack.slot == one.stack.slot);
    go(&one);
    go(&other);
    go(&one);
    check(one.state == 2 && other.state == 1);
}

#ifndef __SANITIZE_ADDRESS__ /* Which needs more address space than any limit leaves it. */
static void short_address_space_makes_slots_smaller(void) {
    static struct strand strands[8];
    struct rlimit limit = {0, 0};
    FILE *pages = fopen("/proc/self/statm", "r");
    unsigned long used = 0;
    check(pages && fscanf(pages, "%lu", &used) == 1);
    fclose(pages);
    begin(8, 0);
    size_t wanted = stacks.slot_bytes;
    limit.rlim_cur = limit.rlim_max = used * (rlim_t)sysconf(_SC_PAGESIZE) + (6 << 20);
    if (setrlimit(RLIMIT_AS, &limit) < 0 || malloc(64 << 20))
        return; /* The limit means nothing here: under valgrind, say. */
    for (int i = 0; i < 8; i++)
        make(&strands[i], fill_small);
    check(stacks.mapped >= 1 && stacks.mapped < 8);
    check(stacks.slot_bytes < wanted && stacks.slot_bytes >= 1 << 20);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 8; i++)
            check(go(&strands[i]) == 0);
    for (int i = 0; i < 8; i++)
        check(strands[i].state == 2);
}
#endif

/* ---- The guard page ------------------------------------------------------------------------- */

static volatile sig_atomic_t fault_is_in_guard;
static sigjmp_buf after_fault;

static void note_fault(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    char *at = info->si_addr, *low = stacks.slots[0].low;
    fault_is_in_guard = at < low && at >= low - sysconf(_SC_PAGESIZE);
    siglongjmp(after_fault, 1);
}

static __attribute__((noinline)) unsigned recurse(unsigned depth) {
    volatile char frame[512];
    frame[depth % 512] = 1;
    return depth == 0 ? 0 : recurse(depth - 1) + (unsigned)frame[depth % 512];
}

static void overflow(struct strand *self) {
    self->state = recurse(1u << 30);
}

static void dies_of_overflow(void) {
    static struct strand one;
    signal(SIGSEGV, SIG_DFL);
    begin(1, 0);
    make(&one, overflow);
    go(&one);
}

static void overflow_ends_at_the_guard_page(void) {
    static struct strand one;
    static char alternative[64 << 10];
    stack_t other_stack = {.ss_sp = alternative, .ss_size = sizeof alternative};
    struct sigaction action = {.sa_sigaction = note_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int status = in_child(dies_of_overflow);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    begin(1, 0);
    make(&one, overflow);
    check(sigaltstack(&other_stack, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
    if (sigsetjmp(after_fault, 1) == 0)
        go(&one);
    check(fault_is_in_guard);
}

static void a_slot_is_as_large_as_the_threads_stack(void) {
    static struct strand one;
    struct rlimit limit;
    check(getrlimit(RLIMIT_STACK, &limit) == 0);
    begin(1, 0);
    make(&one, come_back);
    size_t room = (size_t)(one.stack.slot->base - one.stack.slot->low);
    check(room >= 8 << 20);
    if (limit.rlim_cur <= 256 << 20)
        check(room >= limit.rlim_cur);
}

static const struct test tests[] = {
    {"slots are mapped one by one and lie apart", slots_are_mapped_one_by_one_and_lie_apart},
    {"slots are shared in turn once all are taken", slots_are_shared_in_turn_once_all_are_taken},
    {"the slot of the running one is avoided", the_slot_of_the_running_one_is_avoided},
    {"the only slot is shared even so", the_only_slot_is_shared_even_so},
    {"emptied slots are used first", emptied_slots_are_used_first},
    {"an emptied slot is offered once", an_emptied_slot_is_offered_once},
    {"an emptied slot that was taken again is not offered",
     an_emptied_slot_that_was_taken_again_is_not_offered},
    {"while slots last nothing is copied", while_slots_last_nothing_is_copied},
    {"what shares a slot is copied", what_shares_a_slot_is_copied},
    {"the running stack may be in the target's slot", the_running_stack_may_be_in_the_targets_slot},
    {"where finds bytes in slot and copy", where_finds_bytes_in_slot_and_copy},
    {"shallow stacks have small buffers", shallow_stacks_have_small_buffers},
    {"a buffer grows and is kept", a_buffer_grows_and_is_kept},
    {"a stack ends into one that was copied out", a_stack_ends_into_one_that_was_copied_out},
    {"a stack ends into a resident one", a_stack_ends_into_a_resident_one},
    {"a stack ends into a new one", a_stack_ends_into_a_new_one},
    {"an unbound stack inherits the slot", an_unbound_stack_inherits_the_slot},
    {"an unbound stack inherits a shared slot", an_unbound_stack_inherits_a_shared_slot},
    {"an unbound stack inherits in hard mode", an_unbound_stack_inherits_in_hard_mode},
    {"dropped in any order", dropped_in_any_order},
    {"a stack may outlive its slots", a_stack_may_outlive_its_slots},
    {"hard mode evicts at every switch and poisons", hard_mode_evicts_at_every_switch_and_poisons},
    {"hard mode poisons what has ended", hard_mode_poisons_what_has_ended},
    {"without memory for the copy nothing changes", without_memory_for_the_copy_nothing_changes},
    {"without memory the running stack stays", without_memory_the_running_stack_stays},
    {"main is entered without memory", main_is_entered_without_memory},
    {"begin is refused cleanly", begin_is_refused_cleanly},
    {"without a slot binding fails and later succeeds",
     without_a_slot_binding_fails_and_later_succeeds},
#ifndef __SANITIZE_ADDRESS__
    {"short address space makes slots smaller", short_address_space_makes_slots_smaller},
#endif
    {"overflow ends at the guard page", overflow_ends_at_the_guard_page},
    {"a slot is as large as the thread's stack", a_slot_is_as_large_as_the_threads_stack},
};

int main(void) {
    return run_tests(tests, sizeof tests / sizeof *tests);
}
