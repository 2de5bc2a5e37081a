/* SPDX-License-Identifier: MIT */
/* The life cycle of a greenlet, and switching. */
#ifndef RL_GREENLET_H
#define RL_GREENLET_H

#include <Python.h>

#include "pystate.h"
#include "stack.h"
#include "thread.h"

/* The object. Its layout is known to compiled users and never changes. */
struct PyGreenlet {
    PyObject_HEAD
    PyObject *weakreflist;    /* Weak references to this object. */
    PyObject *dict;           /* Attributes; NULL until one is set. */
    struct rl_greenlet *impl; /* Everything else; never NULL. */
};

enum rl_greenlet_state {
    RL_NEW,       /* Not started: has no stack. */
    RL_SUSPENDED, /* Started, waits for a switch. */
    RL_RUNNING,   /* The current greenlet of its thread. */
    RL_DEAD,      /* Ended. */
};

/* What a greenlet runs instead of a Python callable, for the layers above. */
struct rl_body {
    /* Runs on the greenlet's own stack with what the first switch brought: a
       stolen tuple of arguments, or NULL when an exception was thrown (it is
       set). Returns a new reference, or NULL with an exception set. */
    PyObject *(*run)(PyGreenlet *self, PyObject *args);
    /* Says where to go when run has returned `*result`: a borrowed greenlet of
       this thread, and may replace *result, which is handed to it (owned; NULL
       with the exception set throws). NULL: to the parent, as raw greenlets do. */
    PyGreenlet *(*next)(PyGreenlet *self, PyObject **result);
};

/* What a switch touches comes first: of a greenlet among many, each cache line of it
   has to come from memory. */
struct rl_greenlet {
    struct rl_thread *resumable_by; /* The thread whose plain switch may enter it at once; else NULL. */
    struct rl_stack stack;          /* Bound once started. */
    void *parked;                   /* The tasklet that is parked in this greenlet's blocking call,
                                       or NULL. Such a greenlet cannot be switched to by hand. */
    struct rl_cxx cxx;              /* The C++ exceptions it has caught and throws, while suspended. */
    enum rl_greenlet_state state;
    int is_main;                    /* Runs on the thread's own stack. */
    struct rl_pystate py;           /* The interpreter's state while suspended; its context is
                                       valid while new, suspended and dead. */
    int undying;                    /* Unreferenced, it has refused to end, and has a reference to
                                       itself until it does. */
    struct rl_thread *thread;       /* While started; NULL before and after, and once that thread
                                       has exited. */
    PyGreenlet *self;               /* The object this belongs to; borrowed. */
    PyGreenlet *parent;             /* Owned. NULL for main greenlets. */
    PyObject *run;                  /* NEW: the attribute `run`, or NULL; owned. */
    PyObject *callable;             /* What will be called: `run`, or what a subclass has for it;
                                       set by the first switch until it lands; owned. */
    PyObject *kwargs;               /* Keyword arguments of the first switch, or NULL; owned. */
    void *chunk;                    /* Its first data chunk while started, from a slab. */
    const struct rl_body *body;     /* What to run instead of `run`, or NULL. */
    void *owner;                    /* For the body: its tasklet. Borrowed. */
    struct rl_greenlet *next, *prev; /* In rl_thread.started. */
};

/* What the scheduler does about greenlets that are parked in a blocking call.
   Set once, when the scheduler's part is initialised. */
struct rl_parking {
    /* Sets GreenletError: `self` cannot be switched to by hand; says what it waits for. */
    void (*refuse)(PyGreenlet *self);
    /* Takes `self` out of what it waits for; the exception that is set is about to be
       thrown in it. Returns 0, or -1 with GreenletError set instead: not in this one. */
    int (*unpark)(PyGreenlet *self);
    /* Who goes on when a greenlet has ended and none of its ancestors can be switched
       to; it gets the error. Borrowed. */
    PyGreenlet *(*home)(struct rl_thread *thread);
};

extern struct rl_parking rl_parking;

extern PyTypeObject rl_greenlet_type;
extern PyObject *rl_error;         /* ringlet.GreenletError, greenlet's `error`. */
extern PyObject *rl_greenlet_exit; /* ringlet.GreenletExit. */

/* Whether an object is a greenlet. */
static inline int rl_greenlet_check(PyObject *object) {
    return PyObject_TypeCheck(object, &rl_greenlet_type);
}

/* Makes a greenlet of the exact type that will run `body`; `context` (stolen,
   may be NULL) becomes its context. Its parent is the thread's main greenlet.
   Returns a new reference, or NULL with an exception set. */
PyGreenlet *rl_greenlet_with_body(struct rl_thread *thread, const struct rl_body *body,
                                  void *owner, PyObject *context);

/* The seam for schedulers: leaves the current greenlet for `to` at once, without
   any of the checks of switch(). `to` is another greenlet of this thread, new
   with a body, or suspended. `value` is stolen; NULL throws the exception that
   is set. Returns what the current greenlet is later resumed with: a new
   reference, or NULL with an exception set. With no memory to go there: NULL
   with MemoryError set, `to` unchanged; with its slot pinned: GreenletError. */
PyObject *rl_greenlet_transfer(struct rl_thread *thread, PyGreenlet *to, PyObject *value);

/* rl_greenlet_make_way for one whose bytes are not in its slot. */
int rl_greenlet_make_room(struct rl_thread *thread, PyGreenlet *to);

/* Sees to it that `to`, new or suspended, can be entered when the running
   greenlet ends; nothing can fail then. Returns 0, or -1 with MemoryError set, or GreenletError
   when its slot is pinned, and nothing changed. Never fails for new greenlets, nor for the main one. */
static inline int rl_greenlet_make_way(struct rl_thread *thread, PyGreenlet *to) {
    if (to->impl->state == RL_NEW || rl_stack_is_resident(&to->impl->stack))
        return 0;
    return rl_greenlet_make_room(thread, to);
}

/* switch(): `args` is a tuple and stolen, `kwargs` a dict or NULL, borrowed.
   Returns what the current greenlet is later resumed with, a new reference, or
   NULL with an exception set. */
PyObject *rl_greenlet_switch(PyGreenlet *self, PyObject *args, PyObject *kwargs);

/* The same as a METH_FASTCALL | METH_KEYWORDS method: the path that must be fast. */
PyObject *rl_greenlet_method_switch(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                    PyObject *names);

/* throw(): raises type/value/traceback, all borrowed, the last two NULL or None
   when absent, in `self`. Returns as rl_greenlet_switch. */
PyObject *rl_greenlet_throw(PyGreenlet *self, PyObject *type, PyObject *value, PyObject *traceback);

/* Ends a suspended greenlet of the calling thread by raising GreenletExit in it;
   it may refuse. Whatever it raises is reported as unraisable. Keeps the pending
   exception. */
void rl_greenlet_kill(PyGreenlet *self);

/* Frees what a suspended greenlet holds without running it. It is dead then. */
void rl_greenlet_drop(PyGreenlet *self);

/* First function on every new stack. */
void rl_greenlet_entry(void) __attribute__((noreturn));

/* Prepares the memory of greenlets. Called once, before anything else here. Returns 0,
   or -1 with an exception set. */
int rl_greenlet_init(void);

/* Allocates a greenlet of `type` with nothing but its implementation. Returns a
   new reference, or NULL with an exception set. */
PyGreenlet *rl_greenlet_alloc(PyTypeObject *type);

/* Frees the object and its implementation; not started or dead. */
void rl_greenlet_free(PyGreenlet *self);

/* Makes the main greenlet of a new thread. Returns a new reference, or NULL with
   an exception set. */
PyGreenlet *rl_greenlet_new_main(void);

/* The nearest greenlet from `self` on upwards that is not dead: borrowed, or
   NULL when there is none. */
PyGreenlet *rl_greenlet_alive(PyGreenlet *self);

/* The thread that `self` belongs to, by itself or by its ancestors; NULL when
   that thread has exited. */
struct rl_thread *rl_greenlet_thread(PyGreenlet *self);

#endif
