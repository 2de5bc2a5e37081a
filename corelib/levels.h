/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors of any kind and anybody's, as poll(2) does: what counts
   is whether they are ready, not whether they have become so. */
#ifndef RL_LEVELS_H
#define RL_LEVELS_H

#include <Python.h>

/* Reads seconds, None being without limit, as a number that is negative then; what
   is less than nothing is nothing. Returns 0, or -1 with an exception set. */
int rl_levels_parse_seconds(PyObject *value, double *seconds);

/* Adds functions to the module. Returns 0, or -1 with an exception set. */
int rl_levels_init(PyObject *module);

#endif
