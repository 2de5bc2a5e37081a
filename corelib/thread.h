/* SPDX-License-Identifier: MIT */
/* What one OS thread owns. Made when the thread first uses a greenlet, ended
   with its PyThreadState. */
#ifndef RL_THREAD_H
#define RL_THREAD_H

#include <Python.h>

#include "cxx.h"
#include "stack.h"

struct rl_greenlet;
struct rl_ring;
typedef struct PyGreenlet PyGreenlet;

struct rl_thread {
    struct rl_thread *pass;      /* What rl_greenlet.resumable_by must equal for the fast path:
                                    this thread, or nothing it can be while switches have more
                                    to do. */
    PyThreadState *ts;           /* This thread's state in the interpreter. */
    PyGreenlet *current;         /* The running greenlet; owned. */
    PyGreenlet *main;            /* The one on the thread's own stack; owned. */
    /* What travels with a switch, from just before it to just after it. A thrown
       exception travels as the pending exception of the thread state. */
    PyObject *value;             /* For the target; owned. NULL: an exception is thrown. */
    PyGreenlet *origin;          /* Who was left; owned. */
    PyObject *tracer;            /* The callback of settrace(), or NULL; owned. */
    struct rl_cxx_thread cxx;    /* Where a C++ runtime has this thread's exceptions. */
    struct rl_stacks stacks;     /* Slots of the greenlets. */
    struct rl_greenlet *started; /* All started and not yet dead ones but main, linked. */
    PyGreenlet **doomed;         /* Unreferenced greenlets that must still be ended here; each owned. */
    size_t doomed_count, doomed_room; /* How many, and how many fit. */
    struct rl_ring *ring;        /* The scheduler's part; NULL until it is used. */
    unsigned slow;               /* Anything unusual to do after a switch between tasklets: bits
                                    that ring.h names. Tested once per switch. */
    int ending;                  /* The thread ends: the scheduler's part is not made again. */
    /* Ends the scheduler's part when the thread ends; NULL while there is none.
       `python` tells whether Python code may still run here. */
    void (*end_ring)(struct rl_thread *thread, int python);
};

/* The calling thread's, or NULL before its first use. Exactly one address in
   the thread's static block: reading it costs one instruction. */
#if defined(__GLIBC__)
#define RL_TLS_MODEL __attribute__((tls_model("initial-exec")))
#else
#define RL_TLS_MODEL
#endif
extern _Thread_local struct rl_thread *rl_thread_self RL_TLS_MODEL;

/* How many there are. */
extern size_t rl_thread_count;

/* Makes the calling thread's. Returns it, or NULL with an exception set. */
struct rl_thread *rl_thread_new(void);

/* The calling thread's, made on first use. Borrowed; NULL with an exception set. */
static inline struct rl_thread *rl_thread_get(void) {
    struct rl_thread *thread = rl_thread_self;
    return __builtin_expect(thread != NULL, 1) ? thread : rl_thread_new();
}

/* Sets `pass` from the other fields. Call after changing tracer or doomed. */
void rl_thread_update_pass(struct rl_thread *thread);

/* Leaves `greenlet`, which is started and whose last reference is gone, for
   `thread` to end at its next switch. Takes a reference; on no memory the
   greenlet is leaked. */
void rl_thread_doom(struct rl_thread *thread, PyGreenlet *greenlet);

/* Ends the calling thread's doomed greenlets. Exceptions are reported, not raised. */
void rl_thread_reap(struct rl_thread *thread);

/* Reads the settings from the environment: RINGLET_SLOTS (slots per thread, 1 to
   256, and not more when they are heavy) and RINGLET_HARD (1: one slot, every switch evicts, left stacks are
   poisoned). Returns 0, or -1 with ValueError set. */
int rl_thread_configure(void);

/* Whether greenlets that are suspended when their thread ends, in any thread from
   now on, are ended by GreenletExit, as is usual, or dropped without running.
   Returns what held before. */
int rl_thread_unwind_at_end(int unwind);

#endif
