/* SPDX-License-Identifier: MIT */
/* Cancelling: what is to be raised in a tasklet where it blocks, and the blocks of
   code that this is about. A tasklet has its scopes in a list, the innermost first:
   time limits, groups and shields that it has entered and not left.

   A cancellation is for the whole tasklet or for one scope. It is pending until the
   tasklet blocks somewhere inside that scope, with no shield in between; then it is
   raised there, once. Inside is what runs in the greenlet that entered the scope, or
   in one that has it among its ancestors: what a generator's consumer does while the
   generator has a scope open is not in it.

   Invariants, whenever Python code can run:
     a scope is in the list of its tasklet if and only if its `tasklet` is set;
     the tasklet's `cancelling` is set if any cancellation of it is pending;
     `raising` is set only while the tasklet is ready and has an `error`. */
#ifndef RL_SCOPE_H
#define RL_SCOPE_H

#include <Python.h>

#include "ring.h"

struct rl_scope {
    PyObject_HEAD
    struct rl_scope *outer;     /* Entered before it in the same tasklet, and not left; owned. */
    struct rl_tasklet *tasklet; /* Where it is entered; NULL while it is not; owned. */
    PyGreenlet *greenlet;       /* Whose block it is; owned. */
    PyObject *cancellation;     /* What is still to be raised in its block; owned or NULL. */
    PyObject *overtaken_by;     /* What was raised in its block for a scope around it; owned or NULL. */
    PyObject *limit;            /* After how many seconds it is cancelled: a number, or NULL; owned. */
    struct rl_alarm alarm;      /* Of that limit; set only while entered. */
    struct rl_timers *timers;   /* Whose heap the alarm is in while it is set; borrowed. */
    PyObject *weakreflist;      /* Weak references to it. */
    char is_shield;             /* It keeps off what is for scopes around it. */
    char entered;               /* It has been entered before. */
    char expired;               /* Its cancellation has been raised in its block. */
};

extern PyTypeObject rl_scope_type;
extern PyObject *rl_cancelled; /* ringlet.Cancelled. */

/* Makes a Cancelled whose attribute `scope` is `scope` (borrowed, may be NULL). Runs no
   Python code. Returns a new reference, or NULL with an exception set. */
PyObject *rl_cancelled_new(PyObject *scope);

/* Enters a scope in the running tasklet. Returns 0, or -1 with an exception set. */
int rl_scope_enter(struct rl_scope *scope);

/* Leaves it: what was to be raised there never is. Harmless when it is not entered.
   Keeps the pending exception. */
void rl_scope_leave(struct rl_scope *scope);

/* Cancels the block of a scope that is entered, unless that is under way or was done
   before. From any thread. Returns 0, or -1 with an exception set. */
int rl_scope_cancel(struct rl_scope *scope);

/* For timers: its limit is over. Returns 0, or -1 with an exception set; it is still
   due then. */
int rl_scope_expire(struct rl_alarm *alarm);

/* Cancels a started tasklet, unless that is under way, or it has ended or is being
   killed. One that has not run yet ends. Steals `error`. From any thread. */
void rl_cancel(struct rl_tasklet *tasklet, PyObject *error);

/* Raises `error` (borrowed) as rl_ring_throw_later does, in place of whatever else was
   to be raised: pending cancellations are dropped. Returns as that. */
int rl_kill(struct rl_tasklet *tasklet, PyObject *error);

/* For ring.c: what to raise in a tasklet that blocks, or is about to, in `greenlet`; a
   new reference, or NULL for nothing. Runs no Python code. */
PyObject *rl_cancel_take(struct rl_tasklet *tasklet, PyGreenlet *greenlet);

/* For ring.c: the error that the tasklet was to raise is replaced: if it was a
   cancellation, that is pending again. */
void rl_cancel_put_back(struct rl_tasklet *tasklet);

/* Forgets the scopes and cancellations of a tasklet that ends. May run Python code.
   Keeps the pending exception. */
void rl_cancel_forget(struct rl_tasklet *tasklet);

/* Adds types and exceptions to the module. Returns 0, or -1 with an exception set. */
int rl_scope_init(PyObject *module);

#endif
