/* SPDX-License-Identifier: MIT */
/* What of a PyThreadState belongs to a greenlet. pystate.c is the only file that
   knows one CPython version from another; here is what the versions share. */
#ifndef RL_PYSTATE_H
#define RL_PYSTATE_H

#include <Python.h>

#include "stack.h"

struct rl_pystate {
    void *frame;                /* 3.11, 3.12: the _PyCFrame; later: the top interpreter frame. */
    _PyErr_StackItem *exc_info; /* The exceptions being handled, innermost first. */
    PyObject *context;          /* contextvars.Context or NULL for an empty one; owned. */
    _PyStackChunk *chunk;       /* Newest chunk of the data stack; the oldest is from a slab. */
    PyObject **top, **limit;    /* First free word of that chunk, and its end. */
    int depth;                  /* Python calls on this stack. */
    int c_depth;                /* 3.12, 3.13: C calls this stack may still make. */
    int trash;                  /* 3.11, 3.12: nesting of deallocations under way. */
    int tracing[2];             /* Nesting of trace functions, and the event they see. */
    PyObject *executor;         /* 3.14 and later: the compiled code it was in when it was last
                                   suspended, or NULL; owned. */
#ifdef Py_GIL_DISABLED
    uintptr_t critical;         /* Locks of its critical sections, let go while suspended: the
                                   innermost section, tagged. */
#endif
    void *hidden;               /* While evicted: entry frames taken out of the frame chain,
                                   as addresses in the copy. See rl_pystate_evicted. */
    void *away;                 /* While evicted: what `frame` was, if that is on the stack and so
                                   cannot be looked at; else NULL. */
    _PyErr_StackItem exc_bottom; /* Where exc_info of a new greenlet begins. */
    void *frame_bottom[3];      /* 3.11, 3.12: the _PyCFrame of a new greenlet. */
};

/* Bytes of data stack and of copy buffer that every started greenlet gets from
   slabs: what a few nested calls need. An odd number of cache lines: what is used
   most is where each begins, and else would compete for a part of the cache. */
#define RL_CHUNK_BYTES 960
extern const size_t rl_pystate_copy_bytes;

/* Finds out about the interpreter that runs us. Called once. Returns 0, or -1 with
   ImportError set: it is one that cannot be served. */
int rl_pystate_setup(void);

/* Notes what `ts` has to say about the calling thread's own stack. */
void rl_pystate_adopt(PyThreadState *ts, struct rl_slot *own);

/* From 3.14 on a thread state has asyncio's running event loop and current task. Raw
   switches leave them alone, for those who bridge to asyncio want to see them; a
   tasklet takes its own along: out of `ts`, and back in when it has its turn again.
   Before 3.14 these two do nothing. */
struct rl_asyncio {
    PyObject *loop, *task;           /* Owned; NULL when no loop runs, and nothing is taken. */
    PyObject *firstiter, *finalizer; /* The loop's hooks for asynchronous generators; owned or
                                        NULL. */
};
void rl_pystate_lift_asyncio(PyThreadState *ts, struct rl_asyncio *into);
void rl_pystate_lower_asyncio(PyThreadState *ts, struct rl_asyncio *from);

/* For tests: what the interpreter knows of the stack it runs on, as the tuple (top,
   soft limit, hard limit), and the offsets of these by each way to find them. Returns
   a new reference: (offset, offset, tuple), None before 3.14; NULL with an exception set. */
PyObject *rl_pystate_bounds(PyThreadState *ts);

/* Sets up what a new greenlet starts with: no frames, no exception, `context`
   (a stolen reference, may be NULL), and `block` as its first data chunk. It will
   run in `slot`; NULL: in the slot that the running greenlet leaves to it. */
void rl_pystate_init(struct rl_pystate *state, PyThreadState *ts, void *block, PyObject *context,
                     struct rl_slot *slot);

/* Saves what belongs to the running greenlet and loads what belongs to `to`,
   whose stack is `stack`. A pending exception stays where it is. */
void rl_pystate_swap(PyThreadState *ts, struct rl_pystate *from, struct rl_pystate *to,
                     const struct rl_stack *stack);

/* First thing to call when a greenlet has been entered. May wait for locks that its
   C code had let go, and release the GIL meanwhile. */
#ifdef Py_GIL_DISABLED
void rl_pystate_landed(PyThreadState *ts);
#else
static inline void rl_pystate_landed(PyThreadState *ts) {
    (void)ts;
}
#endif

/* Loads only: the running greenlet has ended. */
void rl_pystate_enter(PyThreadState *ts, struct rl_pystate *to, const struct rl_stack *stack);

/* The thread of `ts`, which stands in another greenlet than its main one, will
   never run again: saves what belongs to the running greenlet, and gives `ts` what
   it was made with and the main greenlet's context, for the interpreter to free.
   Touches no stack, for the thread's own may be gone. */
void rl_pystate_abandon(PyThreadState *ts, struct rl_pystate *from, const struct rl_pystate *main);

/* Ends the frames of a suspended greenlet that will never be entered again, without
   running anything: what they refer to is leaked. If an object stands for one of
   them, all stay readable as long as their data stack does, and whatever ends
   before is taken out of their chain: the entry frames of 3.12 and later, which are
   on its stack, and the base frame of 3.15, which is in the thread state. Else all
   chunks of the data stack but the oldest are freed. Returns whether they were. */
int rl_pystate_discard(struct rl_pystate *state, const struct rl_stack *stack);

/* From 3.12 on the interpreter links frames through its own C stack. Once a
   stack is copied out, walking that chain would read what others wrote there:
   these two take such links out of the chain and put them back. On every version
   what `frame` points to has a stand-in meanwhile: `ts`, which the greenlet is about
   to be entered in, has it already while the stack is copied back, and the fault
   handler may look at it at any moment. */
void rl_pystate_evicted(struct rl_pystate *state, struct rl_stack *stack);
void rl_pystate_restored(struct rl_pystate *state, PyThreadState *ts);

/* A tuple of `first` and, unless it is NULL, `second`, made without running any Python
   code. Returns a new reference, or NULL with MemoryError set. */
PyObject *rl_pystate_pack(PyObject *first, PyObject *second);

/* The top frame of a suspended greenlet, found without running any Python code. Returns
   a new reference; NULL without an exception when it has no frame, or with MemoryError set. */
PyFrameObject *rl_pystate_frame(PyThreadState *ts, struct rl_pystate *state,
                                const struct rl_stack *stack);

/* Replaces the running greenlet's context. Steals `context`, which may be NULL;
   returns the old one, owned by the caller. */
PyObject *rl_pystate_set_context(PyThreadState *ts, PyObject *context);

/* The running greenlet's context: borrowed, NULL when empty. */
PyObject *rl_pystate_context(PyThreadState *ts);

/* Whether C code has called the function of a frame that is running, or resumed its
   generator: the interpreter stands on the C stack twice then. */
int rl_pystate_is_called_by_c(PyFrameObject *frame);

/* Has `tick` called at each entry of a Python function, call of a builtin function and
   jump backwards of this thread, with the code that does so; NULL ends that. It returns 0, or -1 with an exception set that is raised
   there. Returns 0, or -1 where CPython has sys.monitoring for that: from 3.12 on. */
int rl_pystate_set_ticker(PyThreadState *ts, int (*tick)(PyObject *code));

/* Whether the cyclic garbage collector is at work. */
int rl_pystate_is_collecting(PyThreadState *ts);

/* Whether the interpreter is shutting down. */
int rl_pystate_is_finalizing(void);

/* The nesting of deallocations under way, where CPython counts them; else 0. */
int rl_pystate_trash(PyThreadState *ts);

/* Lets tp_finalize run once more for an object that survived it. */
void rl_pystate_forget_finalized(PyObject *object);

/* The calling thread's state. */
PyThreadState *rl_pystate_current(void);

#endif
