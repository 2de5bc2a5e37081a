/* SPDX-License-Identifier: MIT */
/* Functions of the module for schedulers on top of this one that say more about the
   order of turns than park and wake: compat/stackless is one. */
#include "ring.h"

/* Checks that an argument is a tasklet that has been started and not ended. Returns
   it, borrowed, or NULL with an exception set. */
static struct rl_tasklet *started(const char *function, PyObject *object) {
    if (!rl_tasklet_check(object)) {
        PyErr_Format(PyExc_TypeError, "%s() wants a tasklet, not %s", function,
                     Py_TYPE(object)->tp_name);
        return NULL;
    }
    struct rl_tasklet *tasklet = (struct rl_tasklet *)object;
    if (!tasklet->ring) {
        PyErr_Format(rl_tasklet_error, "%s() wants a tasklet that has started and not ended, not %R",
                     function, object);
        return NULL;
    }
    return tasklet;
}

static PyObject *pause_tasklet(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "pause() takes 2 arguments (%zd given)", count);
    struct rl_tasklet *tasklet = started("pause", args[0]);
    return tasklet ? PyBool_FromLong(rl_ring_pause(tasklet, args[1])) : NULL;
}

static PyObject *resume(PyObject *module, PyObject *object) {
    (void)module;
    struct rl_tasklet *tasklet = started("resume", object);
    if (!tasklet)
        return NULL;
    if (tasklet->state == RL_TASKLET_PARKED && (tasklet->unlinker || tasklet->unlink))
        return PyErr_Format(rl_tasklet_error,
                            "cannot resume %R: only what it waits for can do that", object);
    return PyBool_FromLong(rl_ring_resume(tasklet));
}

static PyObject *bring_forward(PyObject *module, PyObject *object) {
    (void)module;
    struct rl_tasklet *tasklet = started("bring_forward", object);
    return tasklet ? PyBool_FromLong(rl_ring_bring_forward(tasklet)) : NULL;
}

/* The ring that functions about a whole round mean: that of the tasklet given, or the
   calling thread's. Borrowed; NULL with an exception set. */
static struct rl_ring *ring_meant(const char *function, PyObject *const *args, Py_ssize_t count) {
    if (count == 0)
        return rl_ring_get();
    struct rl_tasklet *tasklet = started(function, args[0]);
    return tasklet ? tasklet->ring : NULL;
}

static PyObject *whole_round(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct rl_ring *ring = ring_meant("whole_round", args, count);
    PyObject *list = ring ? PyList_New(0) : NULL;
    struct rl_tasklet *tasklet = list ? ring->current : NULL;
    while (tasklet && list) {
        if (tasklet != ring->hub && PyList_Append(list, (PyObject *)tasklet) < 0)
            Py_CLEAR(list);
        tasklet = tasklet->next == ring->current ? NULL : tasklet->next;
    }
    return list;
}

static PyObject *ready_count(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct rl_ring *ring = ring_meant("ready_count", args, count);
    if (!ring)
        return NULL;
    Py_ssize_t members = 0;
    for (struct rl_tasklet *tasklet = ring->hub->next; tasklet != ring->hub;
         tasklet = tasklet->next)
        members++;
    return PyLong_FromSsize_t(members);
}

static PyObject *last_parked(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    int known = ring->hub->next == ring->hub && ring->last_parked;
    return Py_NewRef(known ? (PyObject *)ring->last_parked : Py_None);
}

static PyObject *switch_trap(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (count > 1)
        return PyErr_Format(PyExc_TypeError, "switch_trap() takes at most 1 argument (%zd given)",
                            count);
    long change = count ? PyLong_AsLong(args[0]) : 0, before = ring->trap_level;
    if (change == -1 && PyErr_Occurred())
        return NULL;
    ring->trap_level += change;
    ring->trapped = ring->trap_level != 0;
    return PyLong_FromLong(before);
}

static PyObject *watch(PyObject *module, PyObject *watcher) {
    (void)module;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    PyObject *before = ring->watcher, *seen = (PyObject *)ring->seen;
    ring->watcher = watcher == Py_None ? NULL : Py_NewRef(watcher);
    ring->seen = (struct rl_tasklet *)Py_XNewRef(ring->watcher ? (PyObject *)ring->current : NULL);
    if (ring->watcher)
        ring->thread->slow |= RL_SLOW_WATCHED;
    else
        ring->thread->slow &= ~(unsigned)RL_SLOW_WATCHED;
    Py_XDECREF(seen);
    return before ? before : Py_NewRef(Py_None);
}

static PyObject *write_unraisable(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 2 || !PyExceptionInstance_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "write_unraisable() takes an exception and an object");
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
    PyErr_WriteUnraisable(args[1]);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"pause", (PyCFunction)(void (*)(void))pause_tasklet, METH_FASTCALL,
     PyDoc_STR("pause(tasklet, waiting_on)\n--\n\n"
               "Take a ready tasklet out of its round, until resume(), wake() or throw(). False\n"
               "when it is not ready. From any thread.")},
    {"resume", resume, METH_O,
     PyDoc_STR("resume(tasklet)\n--\n\n"
               "Put a tasklet that was paused, or is parked in no queue, at the end of its round.\n"
               "False when it is not parked. From any thread.")},
    {"bring_forward", bring_forward, METH_O,
     PyDoc_STR("bring_forward(tasklet)\n--\n\n"
               "Let a ready tasklet be the next one in its round. False when it is not ready.")},
    {"whole_round", (PyCFunction)(void (*)(void))whole_round, METH_FASTCALL,
     PyDoc_STR("whole_round(tasklet=None)\n--\n\n"
               "The running tasklet and the ready ones in the order of their turns: of this thread,\n"
               "or of the thread of a tasklet.")},
    {"ready_count", (PyCFunction)(void (*)(void))ready_count, METH_FASTCALL,
     PyDoc_STR("ready_count(tasklet=None)\n--\n\nHow many whole_round() has.")},
    {"last_parked", last_parked, METH_NOARGS,
     PyDoc_STR("last_parked()\n--\n\n"
               "For the hub, when nothing is ready: the tasklet whose parking has made it so; None\n"
               "when that was the end of one.")},
    {"switch_trap", (PyCFunction)(void (*)(void))switch_trap, METH_FASTCALL,
     PyDoc_STR("switch_trap(change=0)\n--\n\n"
               "Add to this thread's trap level, and return what it was before. While it is not 0,\n"
               "giving way and parking raise RuntimeError.")},
    {"watch", watch, METH_O,
     PyDoc_STR("watch(f)\n--\n\n"
               "Call f(before, now) in each tasklet of this thread that gets its turn, before it goes\n"
               "on; before is None when that has ended. f must not give way. None to call nothing.\n"
               "Returns the f before.")},
    {"write_unraisable", (PyCFunction)(void (*)(void))write_unraisable, METH_FASTCALL,
     PyDoc_STR("write_unraisable(error, where)\n--\n\n"
               "Report error as one that nobody can catch, through sys.unraisablehook.")},
    {NULL, NULL, 0, NULL},
};

int rl_turns_init(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}
