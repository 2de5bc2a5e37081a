/* SPDX-License-Identifier: MIT */
/* Locks, as far as conditions and queues have to know them. */
#ifndef RL_LOCK_H
#define RL_LOCK_H

#include <Python.h>

#include "waiters.h"

/* Lock and RLock.
   Invariant, whenever the GIL may be given up: nobody waits for one that is free. */
struct rl_lock {
    PyObject_HEAD
    PyObject *holder;           /* Who holds it: a tasklet, or the number of a thread as a Python
                                   int; owned, NULL when it is free. */
    Py_ssize_t depth;           /* How often, 0 when it is free. More than 1 only in an RLock. */
    struct rl_waiters waiters;  /* Who wants it. */
    unsigned long long acquisitions; /* How often it was taken; an RLock's re-entries not counted. */
    PyObject *weakreflist;      /* Weak references to it. */
};

/* Whether an object is a Lock or an RLock. */
int rl_lock_check(PyObject *object);

/* Takes a lock that the caller does not hold, and waits for it where need be. Returns 0,
   or -1 with an exception set: then the caller does not hold it. */
int rl_lock_take(struct rl_lock *self);

/* Gives up a lock that is held, however often it is, or hands it to the first who
   waits. May free a holder that has ended, and so run Python code at its end. */
void rl_lock_release(struct rl_lock *self);

#endif
