/* SPDX-License-Identifier: MIT */
/* The methods of a socket that must be fast. */
#ifndef RL_SOCKET_METHODS_H
#define RL_SOCKET_METHODS_H

#include <Python.h>

/* A METH_O function: gives a Python class of sockets recv, recv_into, send and
   sendall. They work on the Endpoint that each instance has in the slot
   `_endpoint`. There can be one such class. Returns None, or NULL with TypeError
   set. */
PyObject *rl_socket_methods_install(PyObject *module, PyObject *class);

#endif
