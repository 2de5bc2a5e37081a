/* SPDX-License-Identifier: MIT */
/* What the scheduler keeps of one open socket: the Python object Endpoint. */
#ifndef RL_ENDPOINT_H
#define RL_ENDPOINT_H

#include <Python.h>

#include <stdint.h>

struct rl_endpoint {
    PyObject_HEAD
    int fd;          /* The descriptor; -1 once it was closed or given away. */
    uint32_t serial; /* Tells this use of the number `fd` from earlier and later ones. */
    double timeout;  /* Seconds an operation may wait; 0: not at all; negative: without limit. */
    char stream;     /* Bytes without records. */
    char plain;      /* A TCP stream: after a short read the kernel has no more. */
    char bulk;       /* The last read was long, so the next one probably is, too. */
};

extern PyTypeObject rl_endpoint_type;

/* Waits until the descriptor is ready for something in `mask`. That is a hint:
   the caller tries again. `*deadline` must be NAN before an operation's first
   wait, which sets it from the timeout. `doing` names the operation and stays
   valid meanwhile. Returns 0; or -1 with an exception set: TimeoutError, OSError
   (EBADF) if the endpoint was closed, or whatever was thrown in. The caller owns
   a reference to the endpoint. */
int rl_endpoint_wait(struct rl_endpoint *endpoint, int mask, double *deadline, const char *doing);

/* To be called before an operation is tried. One that never has to wait would keep
   everybody else waiting: now and then this lets them run. Returns 0, or -1 with
   the exception set that was thrown at the tasklet meanwhile. */
int rl_endpoint_take_turn(struct rl_endpoint *endpoint);

/* Whether a read would find nothing. */
int rl_endpoint_is_drained(const struct rl_endpoint *endpoint);

/* A read has just found less than it had room for. */
void rl_endpoint_set_drained(const struct rl_endpoint *endpoint);

/* Adds the type to the module. Returns 0, or -1 with an exception set. */
int rl_endpoint_init(PyObject *module);

#endif
