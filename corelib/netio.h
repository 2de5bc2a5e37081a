/* SPDX-License-Identifier: MIT */
/* What the module offers for waiting on descriptors. */
#ifndef RL_NETIO_H
#define RL_NETIO_H

#include <Python.h>

/* Adds the functions and types to the module. Returns 0, or -1 with an exception
   set. */
int rl_netio_init(PyObject *module);

#endif
