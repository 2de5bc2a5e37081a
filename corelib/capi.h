/* SPDX-License-Identifier: MIT */
/* What other extension modules call: the functions behind ringlet.h, and the same
   in the form in which programs compiled for greenlet look for them. */
#ifndef RL_CAPI_H
#define RL_CAPI_H

#include <Python.h>

/* Adds both capsules to the module. Returns 0, or -1 with an exception set. */
int rl_capi_init(PyObject *module);

#endif
