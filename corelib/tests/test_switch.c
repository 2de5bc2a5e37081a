/* SPDX-License-Identifier: MIT */
/* What every file of switch/ promises, as switch.h has it. */
#define _GNU_SOURCE 1

#include "check.h"
#include "refuse.h"
#include "switch/switch.h"

#include <fenv.h>
#include <stdint.h>
#include <unwind.h>

enum { STACK = 256 << 10 };

static _Alignas(64) char memory[3][STACK];
static void *main_sp, *sp[2]; /* Where the suspended stacks stand. */
static volatile int steps;

static char *base_of(int which) {
    return memory[which] + STACK;
}

/* Makes stack `which` ready to call `entry`. */
static void seed(int which, void (*entry)(void)) {
    sp[which] = rl_switch_seed(base_of(which), entry);
}

/* Leaves a stack for the last time. */
static void leave_for_main(void) {
    void *nowhere;
    rl_switch(&nowhere, main_sp);
}

/* ---- The first switch ---------------------------------------------------- */

static volatile uintptr_t entered_at;

static void note_entry(void) {
    _Alignas(16) volatile char local[16];
    local[0] = 1;
    entered_at = (uintptr_t)local;
    steps++;
    leave_for_main();
}

static void the_first_switch_calls_the_entry_on_the_new_stack(void) {
    seed(0, note_entry);
    check(steps == 0);
    rl_switch(&main_sp, sp[0]);
    check(steps == 1);
    check(entered_at > (uintptr_t)memory[0] && entered_at < (uintptr_t)base_of(0));
    check(entered_at % 16 == 0);
}

static void seeding_keeps_to_its_bytes(void) {
    memset(memory[0], 0x5A, STACK);
    seed(0, note_entry);
    check((char *)sp[0] >= base_of(0) - RL_SWITCH_BYTES && (char *)sp[0] < base_of(0));
    for (size_t i = 0; i < STACK - RL_SWITCH_BYTES; i++)
        check(memory[0][i] == 0x5A);
}

/* An aligned move to a misaligned stack would be fatal. */
static void format_a_float(void) {
    char text[64];
    double third = 1.0 / (steps + 3);
    snprintf(text, sizeof text, "%.3f %Lg", third, (long double)third);
    check(strncmp(text, "0.333", 5) == 0);
    steps++;
    leave_for_main();
}

static void library_functions_work_on_the_new_stack(void) {
    seed(0, format_a_float);
    rl_switch(&main_sp, sp[0]);
    check(steps == 1);
}

/* ---- To and fro ------------------------------------------------------------ */

static void ping(void) {
    for (int i = 0;; i++) {
        check(steps == 2 * i);
        steps++;
        rl_switch(&sp[0], sp[1]);
    }
}

static void pong(void) {
    for (int i = 0; i < 100000; i++) {
        check(steps == 2 * i + 1);
        steps++;
        rl_switch(&sp[1], sp[0]);
    }
    leave_for_main();
}

static void two_stacks_take_turns(void) {
    seed(0, ping);
    seed(1, pong);
    rl_switch(&main_sp, sp[0]);
    check(steps == 200001);
}

/* The depth at which a stack is left does not matter. */
static int descend(int depth) {
    volatile int mine = depth * 7;
    if (depth == 0)
        rl_switch(&sp[0], main_sp);
    else
        steps = descend(depth - 1);
    check(mine == depth * 7);
    return depth + 1;
}

static void go_deep(void) {
    steps = descend(500);
    leave_for_main();
}

static void frames_below_are_as_they_were(void) {
    seed(0, go_deep);
    rl_switch(&main_sp, sp[0]);
    check(steps == 0);
    rl_switch(&main_sp, sp[0]);
    check(steps == 501);
}

/* ---- Registers ---------------------------------------------------------------- */

/* Leaves something else in every register that a callee has to preserve. */
static inline __attribute__((always_inline)) void scramble(void) {
#if defined(__x86_64__)
    __asm__ volatile("movq $-1, %%rbx\n movq $-2, %%r12\n movq $-3, %%r13\n"
                     "movq $-4, %%r14\n movq $-5, %%r15\n" ::: "rbx", "r12", "r13", "r14", "r15");
#elif defined(__aarch64__)
    __asm__ volatile("mov x19, -1\n mov x20, -2\n mov x21, -3\n mov x22, -4\n mov x23, -5\n"
                     "mov x24, -6\n mov x25, -7\n mov x26, -8\n mov x27, -9\n mov x28, -10\n"
                     "fmov d8, xzr\n fmov d9, xzr\n fmov d10, xzr\n fmov d11, xzr\n"
                     "fmov d12, xzr\n fmov d13, xzr\n fmov d14, xzr\n fmov d15, xzr\n"
                     ::: "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28",
                     "d8", "d9", "d10", "d11", "d12", "d13", "d14", "d15");
#endif
}

static void scramble_for_ever(void) {
    for (;;) {
        scramble();
        rl_switch(&sp[0], main_sp);
    }
}

static void *scramble_in_between(void *argument) {
    scramble();
    return *(void **)argument;
}

/* Keeps a dozen values alive across a switch, by which the compiler fills the
   callee-saved registers. */
static __attribute__((noinline)) void keep_values(const volatile uint64_t *seeds,
                                                  void (*away)(void)) {
    uint64_t a = seeds[0], b = seeds[1], c = seeds[2], d = seeds[3], e = seeds[4], f = seeds[5];
    double p = (double)seeds[6], q = (double)seeds[7], r = (double)seeds[8], s = (double)seeds[9];
    for (int i = 0; i < 50; i++) {
        away();
        a += b, b += c, c += d, d += e, e += f, f += a;
        p += q, q += r, r += s, s += p;
    }
    uint64_t A = seeds[0], B = seeds[1], C = seeds[2], D = seeds[3], E = seeds[4], F = seeds[5];
    double P = (double)seeds[6], Q = (double)seeds[7], R = (double)seeds[8], S = (double)seeds[9];
    for (int i = 0; i < 50; i++) {
        A += B, B += C, C += D, D += E, E += F, F += A;
        P += Q, Q += R, R += S, S += P;
    }
    check(a == A && b == B && c == C && d == D && e == E && f == F);
    check(p == P && q == Q && r == R && s == S);
}

static void away_and_back(void) {
    rl_switch(&main_sp, sp[0]);
}

static void away_by_the_scratch_stack(void) {
    rl_switch_via(&main_sp, base_of(2), scramble_in_between, &sp[0]);
}

static const volatile uint64_t seeds[10] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};

static void callee_saved_registers_are_kept(void) {
    seed(0, scramble_for_ever);
    keep_values(seeds, away_and_back);
    keep_values(seeds, away_by_the_scratch_stack);
}

/* ---- Floating point control words ------------------------------------------------ */

/* What the rounding mode makes of a third: tells both units apart from fegetround. */
static double third(void) {
    volatile double one = 1.0, three = 3.0;
    return one / three;
}

static long double long_third(void) {
    volatile long double one = 1.0L, three = 3.0L;
    return one / three;
}

static void round_up(void) {
    fesetround(FE_UPWARD);
    for (;;) {
        double up = third();
        long double long_up = long_third();
        rl_switch(&sp[0], main_sp);
        check(fegetround() == FE_UPWARD);
        check(third() == up && long_third() == long_up);
        steps++;
    }
}

static void each_stack_has_its_rounding_mode(void) {
    double nearest = third();
    long double long_nearest = long_third();
    seed(0, round_up);
    for (int i = 0; i < 4; i++) {
        if (i % 2)
            away_by_the_scratch_stack();
        else
            away_and_back();
        check(fegetround() == FE_TONEAREST);
        check(third() == nearest && long_third() == long_nearest);
    }
    check(steps == 3);
    fesetround(FE_DOWNWARD);
    away_and_back();
    check(fegetround() == FE_DOWNWARD && third() <= nearest);
}

static void note_rounding(void) {
    steps = fegetround();
    leave_for_main();
}

static void a_new_stack_rounds_as_its_maker_did(void) {
    fesetround(FE_TOWARDZERO);
    seed(0, note_rounding);
    fesetround(FE_TONEAREST);
    rl_switch(&main_sp, sp[0]);
    check(steps == FE_TOWARDZERO);
    check(fegetround() == FE_TONEAREST);
}

#ifdef __GLIBC__ /* Others cannot set the mask. */
static void an_exception_mask_belongs_to_its_stack(void) {
    fenv_t environment;
    seed(0, scramble_for_ever);
    feenableexcept(FE_DIVBYZERO);
    fegetenv(&environment);
    fesetenv(&environment);
    if (fegetexcept() == 0)
        return; /* Emulated by valgrind, which has no such mask. */
    seed(1, note_rounding);
    away_and_back();
    check(fegetexcept() == FE_DIVBYZERO);
    fedisableexcept(FE_DIVBYZERO);
    away_and_back();
    check(fegetexcept() == 0);
}
#endif

/* ---- By way of the scratch stack ---------------------------------------------------- */

static volatile uintptr_t stepped_at;

/* Reads and writes across guard zones of the address sanitizer. */
static __attribute__((no_sanitize_address)) void *wipe_and_go(void *argument) {
    _Alignas(16) volatile char local[16];
    local[0] = 1;
    stepped_at = (uintptr_t)local;
    check(argument == memory);
    /* Neither stack is in use: both may be moved. */
    static volatile char copy[4096 + RL_SWITCH_BYTES];
    volatile char *live = sp[0];
    size_t bytes = (size_t)(base_of(0) - (char *)sp[0]);
    check(bytes <= sizeof copy);
    for (size_t i = 0; i < bytes; i++) {
        copy[i] = live[i];
        live[i] = 0x5E;
    }
    for (size_t i = 0; i < bytes; i++)
        live[i] = copy[i];
    return sp[1];
}

static void leave_by_scratch(void) {
    volatile int mine = 42;
    rl_switch_via(&sp[0], base_of(2), wipe_and_go, memory);
    check(mine == 42);
    leave_for_main();
}

static void come_from_scratch(void) {
    steps++;
    rl_switch(&sp[1], sp[0]);
}

static void the_step_runs_on_the_scratch_stack(void) {
    seed(0, leave_by_scratch);
    seed(1, come_from_scratch);
    rl_switch(&main_sp, sp[0]);
    check(steps == 1);
    check(stepped_at > (uintptr_t)memory[2] && stepped_at < (uintptr_t)base_of(2));
    check(stepped_at % 16 == 0);
}

static void *seed_late(void *argument) {
    (void)argument;
    return rl_switch_seed(base_of(0), note_entry);
}

static void a_step_may_make_the_stack_it_goes_to(void) {
    rl_switch_via(&main_sp, base_of(2), seed_late, NULL);
    check(steps == 1);
}

#ifndef RL_NO_UNWINDER /* Given to the compiler where it has none: musl-gcc on a system of glibc. */

/* ---- Unwinding ------------------------------------------------------------------------- */

static volatile int frames;

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *unused) {
    (void)context;
    (void)unused;
#ifdef __ARM_EABI_UNWINDER__
    _Unwind_Reason_Code stop = _URC_FAILURE;
#else
    _Unwind_Reason_Code stop = _URC_NORMAL_STOP;
#endif
    return ++frames > 100 ? stop : _URC_NO_REASON;
}

static __attribute__((noinline)) void unwind(int depth) {
    if (depth > 0)
        unwind(depth - 1);
    else
        steps = (int)_Unwind_Backtrace(count_frame, NULL);
    __asm__ volatile("" ::: "memory"); /* Not a tail call. */
}

static void unwind_everything(void) {
    unwind(10);
    leave_for_main();
}

static void unwinding_ends_at_the_first_frame(void) {
    steps = -1;
    seed(0, unwind_everything);
    rl_switch(&main_sp, sp[0]);
#ifdef __ARM_EABI_UNWINDER__
    check(steps == _URC_FAILURE); /* What it says at any end. */
#else
    check(steps == _URC_END_OF_STACK);
#endif
    /* unwind() eleven times, its caller, the boot frame. */
    check(frames >= 12 && frames <= 14);
}

#endif

static void stacks_can_be_switched_here(void) {
    check(rl_switch_obstacle() == NULL);
}

static const struct test tests[] = {
    {"the first switch calls the entry on the new stack",
     the_first_switch_calls_the_entry_on_the_new_stack},
    {"seeding keeps to its bytes", seeding_keeps_to_its_bytes},
    {"library functions work on the new stack", library_functions_work_on_the_new_stack},
    {"two stacks take turns", two_stacks_take_turns},
    {"frames below are as they were", frames_below_are_as_they_were},
    {"callee-saved registers are kept", callee_saved_registers_are_kept},
    {"each stack has its rounding mode", each_stack_has_its_rounding_mode},
    {"a new stack rounds as its maker did", a_new_stack_rounds_as_its_maker_did},
#ifdef __GLIBC__
    {"an exception mask belongs to its stack", an_exception_mask_belongs_to_its_stack},
#endif
    {"the step runs on the scratch stack", the_step_runs_on_the_scratch_stack},
    {"a step may make the stack it goes to", a_step_may_make_the_stack_it_goes_to},
#ifndef RL_NO_UNWINDER
    {"unwinding ends at the first frame", unwinding_ends_at_the_first_frame},
#endif
    {"stacks can be switched here", stacks_can_be_switched_here},
};

int main(void) {
    return run_tests(tests, sizeof tests / sizeof *tests);
}
