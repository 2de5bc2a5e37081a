/* SPDX-License-Identifier: MIT */
/* The timers of a hub. In its heap are Timers, Python objects that call something,
   and the alarms of waits that time ends, see timed.h. What a call does, and when
   timers are fired, is the hub's: see sched/hub.py.

   Invariant, whenever Python code can run: a Timer is in the heap, which owns a
   reference to it, until it is cancelled, or fired: what it calls has returned by
   then. */
#ifndef RL_TIMERS_H
#define RL_TIMERS_H

#include <Python.h>

#include "ring.h"
#include "timeheap.h"

/* What an alarm is part of: rl_alarm.kind. */
enum {
    RL_ALARM_OF_TASKLET, /* That sleeps. */
    RL_ALARM_OF_LIMIT,   /* Of a wait. */
    RL_ALARM_OF_SCOPE,   /* Its limit. */
    RL_ALARM_OF_TIMER,
};

/* The Python object Timers. */
struct rl_timers {
    PyObject_HEAD
    struct rl_timeheap heap; /* All alarms; it owns the Timers among them. */
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

/* Sets an alarm whose kind is known, and that is not set, to go off in `seconds` from
   now. Returns 0, or -1 with an exception set and the alarm not. */
int rl_timers_set(struct rl_timers *timers, struct rl_alarm *alarm, double seconds);

/* Takes back an alarm that is set. */
static inline void rl_timers_unset(struct rl_timers *timers, struct rl_alarm *alarm) {
    rl_timeheap_remove(&timers->heap, alarm);
}

/* Adds types and functions to the module. Returns 0, or -1 with an exception set. */
int rl_timers_init(PyObject *module);

#endif
