/* SPDX-License-Identifier: MIT */
/* The scheduler's mechanism: a ring of ready tasklets for each thread, and the
   one way to wait. Everything that is policy is Python's, see sched/hub.py.

   The ready tasklets of a thread form a circle. `current` points at the running
   one, which is a member; to append is to insert before it. Giving way is moving
   the pointer. The hub is a member too: where the pointer meets it, a turn ends,
   and now and then the hub runs: it polls descriptors and fires timers.

   Invariants, whenever Python code can run:
     `current` is the tasklet whose code runs, and its state is RUNNING;
     a tasklet is in the circle if and only if it is READY, or current;
     a tasklet is in the list of the living from its start until its end;
     resume is set if and only if the tasklet has run, and is READY or PARKED.
   So nothing that could run Python code, such as dropping a reference, happens
   between the moment the pointer moves and the arrival on the other side.

   A tasklet is `detached` when its own greenlet goes on without its turn, because
   somebody switched or threw there by hand: it is RUNNING, but neither current nor
   in the circle. That code is part of the tasklet that went there. */
#ifndef RL_RING_H
#define RL_RING_H

#include <Python.h>

#include "greenlet.h"
#include "thread.h"
#include "timeheap.h"

enum rl_tasklet_state {
    RL_TASKLET_NEW,      /* Not started. */
    RL_TASKLET_READY,    /* Waits for its turn. */
    RL_TASKLET_RUNNING,  /* Has its turn. */
    RL_TASKLET_PARKED,   /* Waits for somebody to wake it. */
    RL_TASKLET_FINISHED, /* Has ended. */
};

struct rl_ring;
struct rl_scope;
struct rl_descriptors;
struct rl_select;

/* A place in one of the queues of a channel; see channel.h. */
struct rl_place {
    struct rl_place *behind, *ahead; /* Its neighbours; borrowed. */
    struct rl_select *select;        /* Whose it is; NULL: a tasklet's own. */
};
struct rl_timers;

struct rl_tasklet {
    PyObject_HEAD
    struct rl_tasklet *next, *prev; /* In the circle. Borrowed. */
    union {
        struct {
            struct rl_tasklet *behind, *ahead; /* In the queue of what it waits for, where the core
                                       links tasklets in queues. Borrowed. */
        };
        struct rl_place place;      /* The same in the queues of channels. */
    };
    struct rl_tasklet *older, *younger; /* In rl_ring.living, which owns a reference; `older` also
                                       in rl_ring.departed. */
    struct rl_ring *ring;           /* Where it was started; NULL before, and once that has ended. */
    PyGreenlet *greenlet;           /* Its own, from its first run to its end; owned. */
    PyGreenlet *resume;             /* The greenlet that gave way or parked; owned. */
    PyObject *function, *args, *kwargs; /* What to run; owned, NULL at the end. kwargs may be NULL. */
    PyObject *context;              /* contextvars.Context to run in, until the first run; owned. */
    PyObject *value;                /* What its wait returns; at the end its result. Owned or NULL. */
    PyObject *error;                /* The exception its wait raises, its next one while it runs; at the
                                       end what it ended with. Owned or NULL. */
    PyObject *raising;              /* Whose cancellation `error` is: a scope or the tasklet itself;
                                       None when it is that of a kill; else NULL. Owned. */
    PyObject *cancellation;         /* What is still to be raised because it was cancelled; owned or
                                       NULL. */
    struct rl_scope *scopes;        /* Those it has entered, the innermost one; owned. See scope.h. */
    PyObject *traceback;            /* Of the exception it ended with, as it was then; owned or NULL. */
    PyObject *waiting_on;           /* While parked: what for, to be shown; owned or NULL. */
    struct rl_alarm alarm;          /* In its hub's timers while it sleeps, see timed.h; waiting_on
                                       is a float then. */
    PyObject *unlink;               /* While parked: called to take it out of a queue when an exception
                                       ends the wait; before the start: when it is discarded. Owned
                                       or NULL. */
    void (*unlinker)(struct rl_tasklet *self); /* The same for queues of the core; or NULL. */
    PyObject *name;                 /* str or NULL; owned. */
    PyObject *joiners;              /* list of whom to tell of its end, or NULL; owned. See joining.h. */
    PyObject *callbacks;            /* list of done callbacks, or NULL; owned. See rl_ring.ended. */
    PyObject *origin;               /* Where it was started: a tuple of code objects, each followed by
                                       a line number, the innermost first; owned. NULL unless
                                       rl_note_origins. */
    PyObject *locals;               /* What local objects keep for it, or NULL; owned. */
    PyObject *owner;                /* For the layers above: the group it belongs to, or NULL; owned. */
    PyObject *weakreflist;          /* Weak references to it. */
    unsigned char state;            /* enum rl_tasklet_state. */
    unsigned char parcel_is_error;  /* While it waits to send: `value` is an exception that the
                                       receiver shall raise. */
    unsigned char given;            /* It has been taken out of a queue because it got what it waits
                                       for there, see waiters.h. */
    unsigned char cancelling;       /* Some cancellation is pending, of itself or of a scope. */
    unsigned watched;               /* How many wait in result(): they will see its error. */
    double since;                   /* While parked: when it did, at the latest; see rl_ring.now. */
};

struct rl_ring {
    struct rl_ring *next, *prev; /* In rl_rings. */
    struct rl_thread *thread;   /* Whose ring it is. */
    struct rl_tasklet *current; /* The member of the circle that has its turn. */
    struct rl_tasklet *hub;     /* The member that polls; owned. */
    struct rl_tasklet *main;    /* The thread's ordinary program; owned. */
    struct rl_tasklet *living;  /* Started and not finished ones, youngest first; owned. Main and hub
                                   are not among them. */
    Py_ssize_t living_count;    /* How many. */
    struct rl_tasklet *departed; /* Ended ones, linked by `older` and owned, with their greenlets: to
                                   be freed by whoever runs next. */
    struct rl_tasklet *ended, *ended_last; /* Ended ones whose callbacks the hub has still to call,
                                   linked by `behind`; owned. */
    PyObject *hub_object;       /* The Python hub; owned. */
    unsigned since_poll;        /* Switches since the hub last ran. */
    unsigned long long rounds;  /* How often the hub has run. */
    double now;                 /* Seconds of rl_monotonic() when the turn last came to the hub, or
                                   when it last gave it up: looking at each switch would cost as
                                   much as the switch. */
    double hub_since;           /* The same, when the turn last came to the hub from another. */
    int polling;                /* The hub is about to block or blocks: wakes must signal. */
    int wakeup_fd;              /* An eventfd (or pipe) that ends a poll; -1 when there is none. */
    struct rl_descriptors *descriptors; /* The hub's `poller`, once a tasklet has waited for a
                                   descriptor; borrowed. */
    struct rl_timers *timers;   /* The hub's `timers`, once a tasklet has slept; owned. */
    struct rl_tasklet *last_parked; /* Which left the hub alone by parking; NULL when that was the
                                   end of one. Borrowed, valid while the hub is alone. */
    PyObject *watcher;          /* Called on arrival with who had the turn before, and who has it;
                                   owned or NULL. See RL_SLOW_WATCHED. */
    struct rl_tasklet *seen;    /* Whom it has been told of last; owned or NULL. */
    Py_ssize_t slice;           /* How many units a turn may take; 0: it is not limited. */
    Py_ssize_t left;            /* How many are left. */
    int slice_is_total;         /* Turns have them together: `left` is not renewed. */
    PyObject *overtime;         /* Called when there are none left; owned or NULL. See slices.c. */
    long trap_level;            /* What switch_trap() has come to. */
    union {
        struct {
            unsigned char closing; /* The thread ends: nothing may wait any more. */
            unsigned char trapped; /* trap_level is not 0: nobody may give way. */
            unsigned char telling; /* The watcher runs: nobody may give way. */
        };
        unsigned barred;        /* Any of these. */
    };
};

/* All there are, linked by next and prev; the GIL guards them. */
extern struct rl_ring *rl_rings;

/* How many want to know where tasklets are started; 0: it is not noted. */
extern int rl_note_origins;

/* Notes where the calling thread starts a tasklet. Runs no Python code. Without memory
   it is not noted. inspect.c */
void rl_tasklet_note_origin(struct rl_tasklet *tasklet);

extern PyTypeObject rl_tasklet_type;
extern PyObject *rl_tasklet_error; /* ringlet.TaskletError. */

/* Bits of rl_thread.slow. */
enum {
    RL_SLOW_DEPARTED = 1, /* rl_ring.departed is not empty. */
    RL_SLOW_WATCHED = 2,  /* There is a rl_ring.watcher. */
    RL_SLOW_SLICED = 4,   /* There is a rl_ring.slice. */
};

static inline int rl_tasklet_check(PyObject *object) {
    return PyObject_TypeCheck(object, &rl_tasklet_type);
}

/* The calling thread's ring, made with its hub and main tasklet on first use.
   Borrowed; NULL with an exception set. */
struct rl_ring *rl_ring_get(void);

/* The running tasklet of the calling thread: borrowed, or NULL with an exception
   set. The hub itself when it runs. */
struct rl_tasklet *rl_ring_current(void);

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

/* The same, with a Python callable (borrowed, may be NULL) to take it out. */
PyObject *rl_ring_park_calling(struct rl_ring *ring, PyObject *waiting_on, PyObject *unlink);

/* Ends the wait of a parked tasklet of any thread: its wait returns `value`
   (stolen; NULL stands for None). The caller has taken it out of its queue.
   Returns 1, or 0 when it is not parked: then nothing happened. */
int rl_ring_wake(struct rl_tasklet *tasklet, PyObject *value);

/* Ends the wait of a parked tasklet of this ring like rl_ring_wake, and gives way
   to it at once; the running tasklet stays ready and runs after a full round.
   Returns as rl_ring_yield. Without memory to give way it goes on: the other one
   has been woken all the same. */
int rl_ring_wake_and_go(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *value);

/* Takes a ready tasklet of any thread, which may not have run yet, out of the circle:
   it is parked, waits for `waiting_on` (borrowed), and keeps what its own wait has
   given. Returns 1, or 0 when it is not ready, or the hub: then nothing happened. */
int rl_ring_pause(struct rl_tasklet *tasklet, PyObject *waiting_on);

/* Undoes that, for tasklets that nothing has to be taken out of: a parked one of any
   thread goes to the end of the round. Returns 1, or 0 when it is not parked. */
int rl_ring_resume(struct rl_tasklet *tasklet);

/* Makes a ready tasklet of any thread the next one in its round. Returns 1, or 0 when
   it is not ready, or the hub. */
int rl_ring_bring_forward(struct rl_tasklet *tasklet);

/* Ends the wait of a parked tasklet of any thread by raising `error` (stolen) in
   it, and takes it out of its queue. Returns 1, or 0 when it is not parked. */
int rl_ring_throw(struct rl_tasklet *tasklet, PyObject *error);

/* Raises `error` (borrowed) in a tasklet of any thread: where it is parked, when
   its turn comes, or, while it runs in another thread, where it waits next. One
   that is still to be raised gives way only if it is an Exception. Returns 1, or
   0 when the tasklet is new, finished, detached or current here. */
int rl_ring_throw_later(struct rl_tasklet *tasklet, PyObject *error);

/* Raises `error` (borrowed) in the thread's ordinary program. Returns 1, or 0
   when that does not wait for anything. */
int rl_ring_throw_main(struct rl_ring *ring, PyObject *error);

/* ---- Between ring.c and life.c ---- */

/* Tells the greenlets what to do about parked ones. Called once. */
void rl_ring_watch_greenlets(void);

/* Makes what `tasklet` was parked in, or had left, its own business no more. Its
   state becomes RUNNING. Keeps the pending exception. */
void rl_ring_detach(struct rl_tasklet *tasklet);

/* Puts a tasklet at the end of the round, and ends a poll under way. */
void rl_ring_append(struct rl_ring *ring, struct rl_tasklet *tasklet);

/* Takes a tasklet out of the circle. */
void rl_ring_remove(struct rl_tasklet *tasklet);

/* The current tasklet has ended and left: moves the pointer on. Returns the
   greenlet to enter, borrowed, for which rl_greenlet_make_way has succeeded, and
   puts what to hand to it in *value: NULL with an exception set throws. */
PyGreenlet *rl_ring_leave_for_good(struct rl_ring *ring, PyObject **value);

/* What is behind rl_thread.slow, done on arrival. Keeps the pending exception. */
void rl_ring_do_slow(struct rl_ring *ring);

/* Forgets what a tasklet waits for; takes it out of the queue there if `leave`. */
void rl_ring_end_wait(struct rl_tasklet *tasklet, int leave);

/* What a tasklet's greenlet runs. life.c */
extern const struct rl_body rl_tasklet_body;

/* ---- Life: life.c ---- */

/* Puts a new tasklet at the end of the calling thread's round. */
void rl_ring_start(struct rl_ring *ring, struct rl_tasklet *tasklet);

/* Ends a new tasklet without running it; `error` (borrowed) is what it ended with,
   and the hub of `ring` sees to its callbacks. */
void rl_tasklet_discard(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *error);

/* In a forked child, whose other threads are gone: takes all rings but this one,
   which may be NULL, off the list of all. */
void rl_rings_keep_only(struct rl_ring *ring);

/* In a forked child: forgets all tasklets but the running one, which is the main
   one from now on. In the hub nobody but the main one remains. */
void rl_ring_keep_current_only(struct rl_ring *ring);

/* Adds types, exceptions and functions to the module. Returns 0, or -1 with an
   exception set. */
int rl_ring_init(PyObject *module);
int rl_tasklet_init(PyObject *module);
int rl_inspect_init(PyObject *module);
int rl_turns_init(PyObject *module);
int rl_slices_init(PyObject *module);

/* What Python decides. Set once by sched/lifecycle.py. */
struct rl_policy {
    PyObject *tasklet_type; /* The class that spawn() makes: a subclass of _core.Tasklet. */
    PyObject *make_hub;     /* make_hub() -> the hub of the calling thread. Its method run() is what
                               the hub's greenlet runs, for ever. At the thread's end call_ended()
                               calls the last done callbacks, and close() frees its descriptors. */
    PyObject *failed;       /* failed(tasklet, error): it is about to end by an exception. Runs as its
                               last act, and may block. */
    PyObject *main_ended;   /* main_ended(error or None): the main tasklet of a forked child, which
                               was spawned, has ended. Ends the process. */
};

extern struct rl_policy rl_policy;

#endif
