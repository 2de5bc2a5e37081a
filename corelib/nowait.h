/* SPDX-License-Identifier: MIT */
/* One attempt at receiving or sending, for code that decides itself when to wait. */
#ifndef RL_NOWAIT_H
#define RL_NOWAIT_H

#include <Python.h>

/* Adds the functions to the module. Returns 0, or -1 with an exception set. */
int rl_nowait_init(PyObject *module);

#endif
