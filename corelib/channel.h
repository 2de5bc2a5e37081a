/* SPDX-License-Identifier: MIT */
/* Channels: where one tasklet hands a value to another. Here is the exchange; all
   else about channels is Python's, see channels/channel.py. */
#ifndef RL_CHANNEL_H
#define RL_CHANNEL_H

#include <Python.h>

/* Adds the type to the module. Returns 0, or -1 with an exception set. */
int rl_channel_init(PyObject *module);

#endif
