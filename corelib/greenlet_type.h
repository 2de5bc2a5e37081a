/* SPDX-License-Identifier: MIT */
#ifndef RL_GREENLET_TYPE_H
#define RL_GREENLET_TYPE_H

#include <Python.h>

/* Adds the greenlet type, its exceptions and its functions to the module.
   Returns 0, or -1 with an exception set. */
int rl_greenlet_type_init(PyObject *module);

/* Sets the attribute `parent`. Returns 0, or -1 with an exception set and nothing changed. */
int rl_greenlet_set_parent(PyObject *greenlet, PyObject *parent);

#endif
