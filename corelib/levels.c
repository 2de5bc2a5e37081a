/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "levels.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>

#include "descriptor.h"

/* So many descriptors are named of those that a tasklet waits for. */
#define NAMES_SHOWN 4

/* What makes a descriptor worth asking about again, as poll(2) and as the hub has it.
   An end and an error are told without being asked for, in both directions. */
#define READ_EVENTS (POLLIN | POLLPRI | POLLRDNORM | POLLRDBAND | POLLRDHUP)
#define WRITE_EVENTS (POLLOUT | POLLWRNORM | POLLWRBAND)

int rl_levels_parse_seconds(PyObject *value, double *seconds) {
    *seconds = -1.0;
    if (value == Py_None)
        return 0;
    double given = PyFloat_AsDouble(value);
    if (given == -1.0 && PyErr_Occurred())
        return -1;
    *seconds = given > 0 ? given : 0.0;
    return 0;
}

/* --- asking and waiting ------------------------------------------------------ */

/* Marks those that can be read although the kernel has nothing for them. `ready` is how many are
   ready already; returns how many are then. */
static int add_held(struct pollfd *asked, int count, int ready) {
    const struct rl_descriptors *all = rl_descriptors_here();
    for (int i = 0; all && i < count; i++) {
        int readable = asked[i].events & (POLLIN | POLLRDNORM);
        if (!readable || asked[i].revents & POLLNVAL || !rl_descriptor_holds(all, asked[i].fd))
            continue;
        ready += asked[i].revents == 0;
        asked[i].revents |= (short)readable;
    }
    return ready;
}

/* Asks the kernel, and whoever holds what was received. Returns how many of them are ready, or -1
   with OSError set. */
static int ask(struct pollfd *asked, int count) {
    int ready;
    do {
        ready = poll(asked, (nfds_t)count, 0);
    } while (ready < 0 && errno == EINTR);
    if (ready < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return ready < 0 ? -1 : add_held(asked, count, ready);
}

/* What the tasklet is said to wait for: a new reference, or NULL with an exception set. */
static PyObject *describe(const struct pollfd *asked, int count) {
    if (count == 0)
        return PyUnicode_FromString("no descriptor");
    PyObject *text = PyUnicode_FromFormat("descriptor %d", asked[0].fd);
    for (int i = 1; text && i < count && i < NAMES_SHOWN; i++)
        Py_SETREF(text, PyUnicode_FromFormat("%U, %d", text, asked[i].fd));
    if (text && count > NAMES_SHOWN)
        Py_SETREF(text, PyUnicode_FromFormat("%U and %d more", text, count - NAMES_SHOWN));
    return text;
}

/* The interests that stand for what is asked, to be freed with PyMem_RawFree; or
   NULL with MemoryError set. */
static struct rl_interest *make_interests(const struct pollfd *asked, int count) {
    struct rl_interest *interests = PyMem_RawCalloc(count ? (size_t)count : 1, sizeof *interests);
    if (!interests)
        return (struct rl_interest *)PyErr_NoMemory();
    for (int i = 0; i < count; i++) {
        interests[i].fd = asked[i].fd;
        interests[i].mask = asked[i].events & WRITE_EVENTS ? RL_WRITE : 0;
        if (asked[i].events & READ_EVENTS || !interests[i].mask)
            interests[i].mask |= RL_READ;
    }
    return interests;
}

/* Marks those that were closed while they were waited for as such. The kernel may not
   know it yet: whoever closes them says so first. Returns how many there are that
   `asked` knew nothing of. */
static int mark_closed(const struct rl_interest *interests, struct pollfd *asked, int count) {
    int marked = 0;
    for (int i = 0; i < count; i++) {
        if (!interests[i].closed)
            continue;
        marked += !asked[i].revents;
        asked[i].revents = POLLNVAL;
    }
    return marked;
}

/* Waits, until the moment `deadline`, for what was asked and was not ready. `asked` is on the heap.
   Returns as wait_levels. */
static int wait_until(struct rl_descriptors *all, struct pollfd *asked, int count,
                      double deadline) {
    struct rl_interest *interests = make_interests(asked, count);
    PyObject *shown = interests ? describe(asked, count) : NULL;
    int ready = -1, over = 0;
    /* A wake is a hint: somebody may have been faster, or it was about something else. */
    while (shown && !over) {
        over = rl_descriptor_wait_any(all, interests, count, deadline, shown);
        ready = over < 0 ? -1 : ask(asked, count);
        if (ready >= 0)
            ready += mark_closed(interests, asked, count);
        if (ready != 0)
            break;
    }
    Py_XDECREF(shown);
    PyMem_RawFree(interests);
    return ready;
}

/* Does what poll(2) does, for the tasklet alone. `asked` is on the heap, for the stack may
   be elsewhere while others run; none of its descriptors is negative. `seconds` is negative for
   no limit. Returns how many are ready, 0 when the time is over, or -1 with an
   exception set. */
static int wait_levels(struct pollfd *asked, int count, double seconds) {
    struct rl_descriptors *all = rl_descriptors_get();
    double deadline = INFINITY;
    if (!all || rl_descriptors_take_turn(all) < 0)
        return -1;
    int ready = ask(asked, count);
    if (ready != 0)
        return ready;
    if (seconds == 0) {
        /* Who asks again and again must not keep the answer from coming. */
        if (all->ring->current != all->ring->hub && rl_ring_yield(all->ring) < 0)
            return -1;
        return ask(asked, count);
    }
    if (seconds > 0) {
        if (rl_descriptors_now(all, &deadline) < 0)
            return -1;
        deadline += seconds;
    }
    return wait_until(all, asked, count, deadline);
}

/* --- functions -------------------------------------------------------------- */

/* Reads pairs of descriptor and events. Returns as many on the heap, to be freed with
   PyMem_RawFree; or NULL with an exception set. */
static struct pollfd *parse_pairs(PyObject *pairs, Py_ssize_t count) {
    struct pollfd *asked = PyMem_RawCalloc(count ? (size_t)count : 1, sizeof *asked);
    if (!asked)
        return (struct pollfd *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(pairs, i);
        unsigned short events;
        if (!PyTuple_Check(pair))
            PyErr_Format(PyExc_TypeError, "pairs of descriptor and events are needed, not %R", pair);
        else if (PyArg_ParseTuple(pair, "iH", &asked[i].fd, &events) && asked[i].fd < 0)
            PyErr_Format(PyExc_ValueError, "a descriptor cannot be negative (%d)", asked[i].fd);
        if (PyErr_Occurred()) {
            PyMem_RawFree(asked);
            return NULL;
        }
        asked[i].events = (short)events;
    }
    return asked;
}

/* A list of the pairs of those that are ready: a new reference, or NULL with an
   exception set. */
static PyObject *answer(const struct pollfd *asked, int count) {
    PyObject *found = PyList_New(0);
    for (int i = 0; found && i < count; i++) {
        if (!asked[i].revents)
            continue;
        PyObject *pair = Py_BuildValue("ii", asked[i].fd, (int)(unsigned short)asked[i].revents);
        if (!pair || PyList_Append(found, pair) < 0)
            Py_CLEAR(found);
        Py_XDECREF(pair);
    }
    return found;
}

PyDoc_STRVAR(poll_doc, "poll_descriptors($module, pairs, seconds, /)\n--\n\n"
"poll(2) for the running tasklet alone: pairs of descriptor and events, and a list of those of\n"
"which something has happened in return, empty when seconds are over. None is no limit; with 0\n"
"others get a turn before it gives up.");

static PyObject *poll_descriptors(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *value, *given, *found = NULL;
    double seconds;
    if (!PyArg_ParseTuple(args, "OO:poll_descriptors", &given, &value) ||
        rl_levels_parse_seconds(value, &seconds) < 0)
        return NULL;
    PyObject *pairs = PySequence_Fast(given, "pairs of descriptor and events are needed");
    if (!pairs)
        return NULL;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(pairs);
    struct pollfd *asked = NULL;
    if (count > INT_MAX)
        PyErr_SetString(PyExc_OverflowError, "too many descriptors");
    else
        asked = parse_pairs(pairs, count);
    Py_DECREF(pairs);
    if (asked && wait_levels(asked, (int)count, seconds) >= 0)
        found = answer(asked, (int)count);
    PyMem_RawFree(asked);
    return found;
}

/* Waits for one descriptor. Returns the directions it is ready for, 0 when the time
   is over, or -1 with an exception set. */
static int wait_one(struct pollfd *asked, int mask, double seconds) {
    asked->events = (short)((mask & RL_READ ? POLLIN : 0) | (mask & RL_WRITE ? POLLOUT : 0));
    if (wait_levels(asked, 1, seconds) < 0)
        return -1;
    if (asked->revents & POLLNVAL) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    int ready = 0;
    if (asked->revents & ~POLLOUT)
        ready |= RL_READ;
    if (asked->revents & ~POLLIN)
        ready |= RL_WRITE;
    return ready & mask;
}

PyDoc_STRVAR(wait_doc, "wait_descriptor($module, fd, mask, seconds=None, /)\n--\n\n"
"Park until the descriptor, of any kind and anybody's, is ready for something in mask, and\n"
"return what. True when it returns, unless somebody else was faster since.\n\n"
"Raises TimeoutError after seconds, and OSError when the descriptor is not open.");

static PyObject *wait_descriptor(PyObject *Py_UNUSED(module), PyObject *args) {
    int fd, mask, ready = -1;
    PyObject *value = Py_None;
    double seconds;
    if (!PyArg_ParseTuple(args, "ii|O:wait_descriptor", &fd, &mask, &value) ||
        rl_levels_parse_seconds(value, &seconds) < 0)
        return NULL;
    if (fd < 0) {
        errno = EBADF;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    struct pollfd *asked = PyMem_RawCalloc(1, sizeof *asked);
    if (!asked)
        return PyErr_NoMemory();
    asked->fd = fd;
    ready = wait_one(asked, mask, seconds);
    PyMem_RawFree(asked);
    if (ready == 0)
        PyErr_SetString(PyExc_TimeoutError, "timed out");
    return ready <= 0 ? NULL : PyLong_FromLong(ready);
}

static PyMethodDef functions[] = {
    {"poll_descriptors", poll_descriptors, METH_VARARGS, poll_doc},
    {"wait_descriptor", wait_descriptor, METH_VARARGS, wait_doc},
    {NULL, NULL, 0, NULL},
};

int rl_levels_init(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}
