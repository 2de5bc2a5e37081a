/* SPDX-License-Identifier: MIT */
/* The timers of a hub, and sleeping, which is parking with one. A sleeper's is
   part of its tasklet; any other is a Python object that calls something. What
   that call does, and when timers are fired, is the hub's: see sched/hub.py.

   Invariants, whenever Python code can run:
     a tasklet's alarm is in its hub's heap if and only if it is parked in sleep();
     a Timer is in the heap, which owns a reference to it, until it is cancelled, or
     fired: what it calls has returned by then. */
#ifndef RL_TIMERS_H
#define RL_TIMERS_H

#include <Python.h>

#include "ring.h"
#include "timeheap.h"

/* The Python object Timers. */
struct rl_timers {
    PyObject_HEAD
    struct rl_timeheap heap; /* Alarms of tasklets, and of Timers, which it owns. */
    PyObject *listener;      /* Called without arguments when one is added; None or NULL for
                                none; owned. */
    PyObject *clock;         /* What shows the time; NULL until set; owned. */
    PyObject *clock_time;    /* Its method time(); NULL: monotonic() of this module; owned. */
};

/* Seconds since some moment; never goes backwards. */
double rl_monotonic(void);

/* The timers of a ring's hub. Borrowed; NULL with an exception set. */
struct rl_timers *rl_timers_of(struct rl_ring *ring);

/* Reads their clock. Returns 0, or -1 with an exception set. */
int rl_timers_now(struct rl_timers *timers, double *now);

/* What a tasklet waits for, to be shown: a new reference, None for nothing; or NULL
   with MemoryError set. */
PyObject *rl_timers_waiting_on(struct rl_tasklet *tasklet);

/* Adds types and functions to the module. Returns 0, or -1 with an exception set. */
int rl_timers_init(PyObject *module);

#endif
