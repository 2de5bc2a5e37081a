/* SPDX-License-Identifier: MIT */
/* Waits that time ends: sleeping, which is waiting for nothing else, and limits on
   other waits. Their alarms are in the heap of the hub's timers.

   Invariants, whenever Python code can run:
     a tasklet's own alarm is in its hub's heap if and only if it is parked in sleep();
     a limit is in the heap from when what it limits begins until that ends, however
     it does. */
#ifndef RL_TIMED_H
#define RL_TIMED_H

#include <Python.h>

#include "ring.h"
#include "timers.h"

/* What a tasklet waits for, to be shown: a new reference, None for nothing; or NULL
   with MemoryError set. */
PyObject *rl_timed_waiting_on(struct rl_tasklet *tasklet);

/* An alarm, of a tasklet or a limit, is due: ends the wait. Returns 0, or -1 with an
   exception set; it is still due then. */
int rl_timed_fire(struct rl_timers *timers, struct rl_alarm *alarm);

/* Takes such an alarm out of a heap that goes. Nobody is woken. */
void rl_timed_forget(struct rl_timers *timers, struct rl_alarm *alarm);

/* Adds types and functions to the module. Returns 0, or -1 with an exception set. */
int rl_timed_init(PyObject *module);

#endif
