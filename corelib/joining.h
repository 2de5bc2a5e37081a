/* SPDX-License-Identifier: MIT */
/* Waiting for ends: of one tasklet or future, or of some of many. Who waits is in the
   list `joiners` of what it waits for: a tasklet itself, or a Countdown for one that
   waits for several. */
#ifndef RL_JOINING_H
#define RL_JOINING_H

#include <Python.h>

#include "ring.h"

/* Tells those in a list of joiners (borrowed, may be NULL) that what they wait for has
   ended. Runs no Python code. */
void rl_joiners_tell(PyObject *joiners);

/* Adds to a list of joiners, which is made if it is NULL. Returns 0, or -1 with
   MemoryError set. */
int rl_joiners_add(PyObject **joiners, PyObject *joiner);

/* Takes a joiner out of a list, which may be NULL; harmless when it is not there. */
void rl_joiners_remove(PyObject *joiners, PyObject *joiner);

/* Whether an object is a Countdown. */
int rl_countdown_check(PyObject *object);

/* Adds the types Countdown and Future to the module. Returns 0, or -1 with an exception set. */
int rl_joining_init(PyObject *module);

#endif
