/* SPDX-License-Identifier: MIT */
#include "poller.h"

#include <errno.h>

#define NANOSECONDS 1e9

/* Longer waits than this, some 30 years, are without limit. */
#define LONGEST_SECONDS 1e9

static int set_errno_error(void) {
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* --- epoll ------------------------------------------------------------------ */

int rl_poller_register(struct rl_descriptors *all, int fd, uint32_t serial) {
    int result = rl_epoll_add(&all->epoll, fd, serial);
    return result < 0 ? set_errno_error() : result;
}

/* Wakes whom an event concerns. */
static void mark(struct rl_descriptors *all, const struct epoll_event *event) {
    uint32_t bits = event->events;
    int fd = rl_epoll_event_fd(event), mask = 0;
    if (fd == all->epoll.signals)
        rl_epoll_forget_signals(&all->epoll);
    if (!rl_descriptor_find(all, fd, rl_epoll_event_serial(event)))
        return; /* One of our own, or a registration that outlived its descriptor. */
    if (bits & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        mask |= RL_READ;
    if (bits & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        mask |= RL_WRITE;
    rl_descriptor_report(all, fd, mask, (bits & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}

/* From the system call on, nothing here can be interrupted until all events are
   marked: with edge triggering each is told only once. */
static int poll_native(struct rl_descriptors *all, double seconds) {
    int count;
    if (seconds == 0) {
        count = rl_epoll_wait(&all->epoll, 0);
    } else {
        int64_t limit = seconds < 0 ? -1 : (int64_t)(seconds * NANOSECONDS) + 1;
        PyThreadState *ts = PyEval_SaveThread();
        count = rl_epoll_wait(&all->epoll, limit);
        int error = errno;
        PyEval_RestoreThread(ts);
        errno = error;
    }
    all->ring->polling = 0; /* We are awake: those we wake need not signal. */
    if (count < 0)
        return errno == EINTR ? PyErr_CheckSignals() : set_errno_error();
    for (int i = 0; i < count; i++)
        mark(all, &all->epoll.events[i]);
    return 0;
}

/* --- pollers in Python ------------------------------------------------------ */

/* Calls poller.arm. Returns 0; 1 when it raises PermissionError; or -1. */
static int arm(PyObject *poller, int fd, int mask) {
    PyObject *done = PyObject_CallMethod(poller, "arm", "ii", fd, mask);
    if (!done) {
        if (!PyErr_ExceptionMatches(PyExc_PermissionError))
            return -1;
        PyErr_Clear();
        return 1;
    }
    Py_DECREF(done);
    return 0;
}

/* Has `poller` report what ends a wait from outside. Returns as arm(). */
static int arm_own(struct rl_descriptors *all, PyObject *poller) {
    int result = arm(poller, all->epoll.wakeup, RL_READ);
    if (result == 0 && all->epoll.signals >= 0)
        result = arm(poller, all->epoll.signals, RL_READ);
    return result;
}

int rl_poller_forget(struct rl_descriptors *all, int fd) {
    PyObject *done = PyObject_CallMethod(all->poller, "forget", "i", fd);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

int rl_poller_arm(struct rl_descriptors *all, int fd, int mask, int is_new) {
    if (is_new && rl_poller_forget(all, fd) < 0)
        return -1;
    return arm(all->poller, fd, mask);
}

/* Reads one pair of what poll() returned. Returns 0, or -1 with an exception set. */
static int parse_ready(PyObject *pair, int *fd, int *mask) {
    if (PyTuple_Check(pair))
        return PyArg_ParseTuple(pair, "ii", fd, mask) ? 0 : -1;
    PyErr_Format(PyExc_TypeError, "poll() must return pairs of descriptor and mask, not %R", pair);
    return -1;
}

/* Wakes everybody who waits for one of the descriptors in `ready`, a list of
   pairs, whatever the direction: so it does not matter whether the poller goes on
   reporting. The pairs somebody waited for become None. Returns 0, or -1 with an
   exception set. */
static int wake_ready(struct rl_descriptors *all, PyObject *ready) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(ready); i++) {
        int fd, mask;
        if (parse_ready(PyList_GET_ITEM(ready, i), &fd, &mask) < 0)
            return -1;
        if (fd < 0 || fd >= all->size || !all->table[fd].first)
            continue;
        rl_descriptor_report(all, fd, mask, 1);
        rl_descriptor_wake_all(all, fd);
        PyList_SetItem(ready, i, Py_NewRef(Py_None));
    }
    return 0;
}

/* Makes the poller forget what is left in the list. Returns 0, or -1 with an
   exception set; the rest is reported again then. */
static int forget_unwanted(struct rl_descriptors *all, PyObject *ready) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(ready); i++) {
        PyObject *pair = PyList_GET_ITEM(ready, i);
        int fd, mask;
        if (pair == Py_None)
            continue;
        if (parse_ready(pair, &fd, &mask) < 0)
            return -1;
        if (fd != all->epoll.wakeup && fd != all->epoll.signals && rl_poller_forget(all, fd) < 0)
            return -1;
    }
    return 0;
}

static int poll_python(struct rl_descriptors *all, double seconds) {
    PyObject *poller = Py_NewRef(all->poller), *found = NULL, *ready = NULL;
    PyObject *limit = seconds < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(seconds);
    int result = -1;
    if (limit && arm_own(all, poller) == 0)
        found = PyObject_CallMethod(poller, "poll", "O", limit);
    all->ring->polling = 0;
    if (found)
        ready = PySequence_List(found);
    if (ready && wake_ready(all, ready) == 0)
        result = all->poller == poller ? forget_unwanted(all, ready) : 0;
    rl_epoll_forget_wakes(&all->epoll);
    Py_XDECREF(ready);
    Py_XDECREF(found);
    Py_XDECREF(limit);
    Py_DECREF(poller);
    return result;
}

/* --- both ------------------------------------------------------------------- */

int rl_poller_poll(struct rl_descriptors *all, double seconds) {
    /* Handlers of signals that have come would otherwise have to wait as long as we
       do, and so would those whom they wake. */
    if (PyErr_CheckSignals() < 0)
        return -1;
    if (all->ring->hub->next != all->ring->hub)
        seconds = 0;
    else if (seconds > LONGEST_SECONDS)
        seconds = -1;
    return all->poller ? poll_python(all, seconds) : poll_native(all, seconds);
}

int rl_poller_use(struct rl_descriptors *all, PyObject *poller) {
    if (poller && arm(poller, all->epoll.wakeup, RL_READ) < 0)
        return -1;
    PyObject *old = all->poller;
    all->poller = Py_XNewRef(poller);
    rl_descriptors_renew(all);
    PyObject *closed = old ? PyObject_CallMethod(old, "close", NULL) : Py_NewRef(Py_None);
    Py_XDECREF(old);
    Py_XDECREF(closed);
    return closed ? 0 : -1;
}
