/* SPDX-License-Identifier: MIT */
/* The scheduler's mechanism: a ring of ready tasklets for each thread, and the
   one way to wait. Everything that is policy is Python's, see sched/hub.py.

   The ready tasklets of a thread form a circle. `current` points at the running
   one, which is a member; to append is to insert before it. Giving way is moving
   the pointer. The hub is a member too: where the pointer meets it, a turn ends,
   and now and then the hub runs: it polls descriptors and fires timers.

   Invariants, whenever Python code can run:
     a tasklet is in the circle if and only if it is READY or RUNNING, or the hub;
     a tasklet is in the list of the living from its start until its end;
     resume is set if and only if the tasklet is READY after its first run, or PARKED. */
#ifndef RL_RING_H
#define RL_RING_H

#include <Python.h>

#include "greenlet.h"
#include "thread.h"

enum rl_tasklet_state {
    RL_TASKLET_NEW,      /* Not started. */
    RL_TASKLET_READY,    /* Waits for its turn. */
    RL_TASKLET_RUNNING,  /* Has its turn. */
    RL_TASKLET_PARKED,   /* Waits for somebody to wake it. */
    RL_TASKLET_FINISHED, /* Has ended. */
};

struct rl_ring;
struct rl_descriptors;

struct rl_tasklet {
    PyObject_HEAD
    struct rl_tasklet *next, *prev; /* In the circle. Borrowed. */
    struct rl_tasklet *behind, *ahead; /* In the queue of what it waits for, where the core links
                                       tasklets in queues. Borrowed. */
    struct rl_tasklet *older, *younger; /* In rl_ring.living, which owns a reference. */
    struct rl_ring *ring;           /* Where it was started; NULL before, and once that has ended. */
    PyGreenlet *greenlet;           /* Its own, from its first run to its end; owned. */
    PyGreenlet *resume;             /* The greenlet that gave way or parked; owned. */
    PyObject *function, *args, *kwargs; /* What to run; owned, NULL at the end. kwargs may be NULL. */
    PyObject *context;              /* contextvars.Context to run in, until the first run; owned. */
    PyObject *value;                /* What its wait returns; at the end its result. Owned or NULL. */
    PyObject *error;                /* The exception its wait raises; at the end what it ended with.
                                       Owned or NULL. */
    PyObject *traceback;            /* Of the exception it ended with, as it was then; owned or NULL. */
    PyObject *waiting_on;           /* While parked: what for, to be shown; owned or NULL. */
    PyObject *unlink;               /* While parked: called to take it out of a queue when an exception
                                       ends the wait; owned or NULL. */
    void (*unlinker)(struct rl_tasklet *self); /* The same for queues of the core; or NULL. */
    PyObject *name;                 /* str or NULL; owned. */
    PyObject *joiners;              /* list of tasklets to wake at its end, or NULL; owned. */
    PyObject *callbacks;            /* list of done callbacks, or NULL; owned. For sched/tasklet.py. */
    PyObject *owner;                /* For the layers above: the group it belongs to, or NULL; owned. */
    PyObject *weakreflist;          /* Weak references to it. */
    unsigned char state;            /* enum rl_tasklet_state. */
    unsigned char parcel_is_error;  /* While it waits to send: `value` is a tuple of an exception that
                                       the receiver shall raise. */
    unsigned char watched;          /* How many wait in result(): they will see its error. */
};

struct rl_ring {
    struct rl_thread *thread;   /* Whose ring it is. */
    struct rl_tasklet *current; /* The member of the circle that has its turn. */
    struct rl_tasklet *hub;     /* The member that polls; owned. */
    struct rl_tasklet *main;    /* The thread's ordinary program; owned. */
    struct rl_tasklet *living;  /* Started and not finished ones, youngest first; owned. Main and hub
                                   are not among them. */
    Py_ssize_t living_count;    /* How many. */
    PyObject *hub_object;       /* The Python hub; owned. */
    unsigned since_poll;        /* Switches since the hub last ran. */
    int polling;                /* The hub is about to block or blocks: wakes must signal. */
    int wakeup_fd;              /* An eventfd (or pipe) that ends a poll; -1 when there is none. */
    struct rl_descriptors *descriptors; /* The hub's `poller`, once a tasklet has waited for a
                                   descriptor; borrowed. */
    int closing;                /* The thread ends: nothing may wait any more. */
};

extern PyTypeObject rl_tasklet_type;
extern PyObject *rl_tasklet_error; /* ringlet.TaskletError. */

static inline int rl_tasklet_check(PyObject *object) {
    return PyObject_TypeCheck(object, &rl_tasklet_type);
}

/* The calling thread's ring, made with its hub and main tasklet on first use.
   Borrowed; NULL with an exception set. */
struct rl_ring *rl_ring_get(void);

/* The running tasklet of the calling thread: borrowed, or NULL with an exception
   set. The hub itself when it runs. */
struct rl_tasklet *rl_ring_current(void);

/* Puts a new tasklet at the end of the calling thread's round. */
void rl_ring_start(struct rl_ring *ring, struct rl_tasklet *tasklet);

/* Gives way: the running tasklet goes to the end of the round. Returns 0, or -1
   with the exception set that was thrown at it. */
int rl_ring_yield(struct rl_ring *ring);

/* Parks the running tasklet until somebody wakes it. `waiting_on` (borrowed, may
   be NULL) is what it is shown to wait for; `unlinker` takes it out of the queue
   that the caller has put it in, when the wait ends by an exception. Returns what
   the waker gave: a new reference; or NULL with what was thrown set. Where it
   cannot park (in the hub, or without memory) the error is set and unlinker called. */
PyObject *rl_ring_park(struct rl_ring *ring, PyObject *waiting_on,
                       void (*unlinker)(struct rl_tasklet *self));

/* Ends the wait of a parked tasklet of any thread: its wait returns `value`
   (stolen; NULL stands for None). The caller has taken it out of its queue.
   Returns 1, or 0 when it is not parked: then nothing happened. */
int rl_ring_wake(struct rl_tasklet *tasklet, PyObject *value);

/* Ends the wait of a parked tasklet of this ring like rl_ring_wake, and gives way
   to it at once; the running tasklet stays ready and runs after a full round.
   Returns as rl_ring_yield. */
int rl_ring_wake_and_go(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *value);

/* Ends the wait of a parked tasklet of any thread by raising `error` (stolen) in
   it, and takes it out of its queue. Returns 1, or 0 when it is not parked. */
int rl_ring_throw(struct rl_tasklet *tasklet, PyObject *error);

/* Adds types, exceptions and functions to the module. Returns 0, or -1 with an
   exception set. */
int rl_ring_init(PyObject *module);
int rl_tasklet_init(PyObject *module);

/* What Python decides. Set once by sched/hub.py. */
struct rl_policy {
    PyObject *tasklet_type; /* The class that spawn() makes: a subclass of _core.Tasklet. */
    PyObject *make_hub;     /* make_hub() -> the hub of the calling thread. Its method run() is what
                               the hub's greenlet runs, for ever; close() frees its descriptors. */
    PyObject *finished;     /* finished(tasklet): it has ended by an exception, or has callbacks. */
};

extern struct rl_policy rl_policy;

#endif
