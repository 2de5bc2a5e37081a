/* SPDX-License-Identifier: MIT */
/* Asking which descriptors are ready: epoll, or a poller written in Python. */
#ifndef RL_POLLER_H
#define RL_POLLER_H

#include "descriptor.h"

/* Registers a use of `fd` with epoll. Returns 0; 1 when it never blocks; or -1
   with an exception set. */
int rl_poller_register(struct rl_descriptors *all, int fd, uint32_t serial);

/* Tells the Python poller to report `fd`; `is_new` says that the number may stand
   for another file than before. Returns as rl_poller_register. */
int rl_poller_arm(struct rl_descriptors *all, int fd, int mask, int is_new);

/* Tells the Python poller to report `fd` no more. Returns 0, or -1 with an
   exception set. */
int rl_poller_forget(struct rl_descriptors *all, int fd);

/* Waits up to `seconds`, without limit if negative, for descriptors to become
   ready, for a wake-up or for a signal, and wakes the tasklets concerned. Does
   not wait while somebody is ready to run. Returns 0, or -1 with an exception
   set, that of a signal handler for one. No event is lost in either case. For
   the hub. */
int rl_poller_poll(struct rl_descriptors *all, double seconds);

/* Puts a Python poller in place, borrowed, or the native one for NULL, and closes
   what was there. Returns 0, or -1 with an exception set: if it was raised before
   the change nothing has changed. */
int rl_poller_use(struct rl_descriptors *all, PyObject *poller);

#endif
