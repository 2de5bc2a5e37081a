/* SPDX-License-Identifier: MIT */
/* A queue of tasklets, of any threads, that wait for an object to give them something:
   a lock itself, a permit, an item. Who gives it takes the first out of the queue and
   wakes it in the same step, so nobody can come in between; and one that is told to
   stop waiting in the very turn when it was given something knows that, and passes it on.

   Invariants, whenever the GIL may be given up:
     all tasklets in the queue are parked, and each waits for the object it belongs to;
     `given` is set in one that was taken out because it got what it waited for. */
#ifndef RL_WAITERS_H
#define RL_WAITERS_H

#include <Python.h>

#include "ring.h"

struct rl_waiters {
    struct rl_tasklet *first, *last; /* Linked by behind/ahead; borrowed, for a parked tasklet is
                                        kept by its ring. */
    Py_ssize_t count;                /* How many wait. */
    Py_ssize_t most;                 /* How many have waited at once, at most. */
    unsigned long long contentions;  /* How many have ever waited. */
    double longest;                  /* The longest wait that was not in vain, in seconds. */
};

/* How a wait ends. */
enum rl_outcome {
    RL_REFUSED = -1,    /* By an exception, which is set; nothing was given. */
    RL_RAISED_WITH = 0, /* By an exception, which is set, after it was given something: the
                           caller has to pass that on. */
    RL_GIVEN = 1,       /* It was given what it waited for. */
};

/* What has to come before rl_waiters_wait, and can run Python code: the calling
   thread's ring, and in *began what its clock shows. Whether waiting is needed is to be
   found out after this. Borrowed; NULL with an exception set. */
struct rl_ring *rl_waiters_prepare(double *began);

/* Parks the running tasklet at the end of the queue, until it is given something or
   an exception ends the wait. `object` is what it is shown to wait for, `unlinker`
   calls rl_waiters_remove, `began` is from rl_waiters_prepare. What rl_waiters_give had
   for it is put in *value: a new reference; NULL when nothing was given. */
enum rl_outcome rl_waiters_wait(struct rl_waiters *self, struct rl_ring *ring, PyObject *object,
                                void (*unlinker)(struct rl_tasklet *tasklet), double began,
                                PyObject **value);

/* Takes a tasklet out of the queue, from wherever it stands. */
void rl_waiters_remove(struct rl_waiters *self, struct rl_tasklet *tasklet);

/* Gives what they wait for to the first in the queue, and wakes it; its
   rl_waiters_wait has `value` (borrowed, NULL for None). Returns it, borrowed, or NULL
   when nobody waits. Runs no Python code as long as the caller has a reference to the
   object that is waited for. */
struct rl_tasklet *rl_waiters_give(struct rl_waiters *self, PyObject *value);

/* The tasklets in the queue, the first one first: a new list, or NULL with MemoryError set. */
PyObject *rl_waiters_list(struct rl_waiters *self);

/* (acquisitions, contentions, longest, most), what `statistics` is made of. A new
   reference, or NULL with MemoryError set. */
PyObject *rl_waiters_counts(struct rl_waiters *self, unsigned long long acquisitions);

/* Forgets everybody in the queue, whose threads are no more: for a forked child. */
void rl_waiters_forget(struct rl_waiters *self);

/* ---- What the types that have such a queue share: waiters.c -------------------- */

/* Adds Lock and RLock (lock.c), Semaphore (semaphore.c), Event and Condition (event.c),
   Queue (queue.c) to the module. Each returns 0, or -1 with an exception set. */
int rl_lock_init(PyObject *module);
int rl_semaphore_init(PyObject *module);
int rl_event_init(PyObject *module);
int rl_queue_init(PyObject *module);

/* Calls the method `name` of `self` with the arguments that another one was given.
   Returns as that does. */
PyObject *rl_call_instead(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t count,
                          PyObject *names);

#endif
