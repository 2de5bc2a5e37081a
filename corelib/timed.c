/* SPDX-License-Identifier: MIT */
#include "timed.h"
#include "scope.h"

#include <structmember.h>

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* ---- Sleeping -------------------------------------------------------------------- */

/* What a sleeping tasklet is said to wait for. Made only for who asks. */
struct nap {
    PyObject_HEAD
    PyObject *seconds; /* A number; owned. */
};

static void nap_dealloc(PyObject *object) {
    Py_DECREF(((struct nap *)object)->seconds);
    PyObject_Free(object);
}

static PyObject *nap_repr(PyObject *object) {
    PyObject *seconds = ((struct nap *)object)->seconds;
    char *text = PyOS_double_to_string(PyFloat_AsDouble(seconds), 'g', 6, 0, NULL);
    PyObject *repr = text ? PyUnicode_FromFormat("sleep(%s)", text) : NULL;
    PyMem_Free(text);
    return repr;
}

static PyMemberDef nap_members[] = {
    {"seconds", T_OBJECT, offsetof(struct nap, seconds), READONLY, "What sleep() was given."},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject nap_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Sleep",
    .tp_doc = PyDoc_STR("What a sleeping tasklet waits for."),
    .tp_basicsize = sizeof(struct nap),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = nap_dealloc,
    .tp_repr = nap_repr,
    .tp_members = nap_members,
};

/* Returns a new reference, or NULL with MemoryError set. */
static PyObject *nap_new(PyObject *seconds) {
    struct nap *nap = PyObject_New(struct nap, &nap_type);
    if (nap)
        nap->seconds = Py_NewRef(seconds);
    return (PyObject *)nap;
}

PyObject *rl_timed_waiting_on(struct rl_tasklet *tasklet) {
    if (!tasklet->waiting_on)
        Py_RETURN_NONE;
    return tasklet->alarm.place ? nap_new(tasklet->waiting_on) : Py_NewRef(tasklet->waiting_on);
}

/* rl_tasklet.unlinker. */
static void leave_heap(struct rl_tasklet *tasklet) {
    if (tasklet->alarm.place)
        rl_timeheap_remove(&tasklet->ring->timers->heap, &tasklet->alarm);
}

/* Parks the running tasklet for so long. Returns as rl_ring_park. */
static PyObject *nap(struct rl_ring *ring, double seconds, PyObject *shown) {
    struct rl_timers *timers = rl_timers_of(ring);
    if (unlikely(!timers))
        return NULL;
    struct rl_tasklet *me = ring->current;
    if (unlikely(me == ring->hub)) {
        PyObject *refused = nap_new(shown);
        PyObject *nothing = refused ? rl_ring_park(ring, refused, NULL) : NULL;
        Py_XDECREF(refused);
        return nothing;
    }
    if (unlikely(rl_timers_set(timers, &me->alarm, seconds) < 0))
        return NULL;
    return rl_ring_park(ring, shown, leave_heap);
}

static PyObject *sleep_(PyObject *module, PyObject *argument) {
    (void)module;
    struct rl_ring *ring = rl_ring_get();
    double seconds = ring ? PyFloat_AsDouble(argument) : -1.0;
    if (unlikely(seconds == -1.0 && PyErr_Occurred())) {
        if (ring && PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "sleep() takes a number of seconds, not %R", argument);
        return NULL;
    }
    if (seconds == 0) {
        if (rl_ring_yield(ring) < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    if (unlikely(!(seconds > 0)))
        return PyErr_Format(PyExc_ValueError,
                            "cannot sleep for %R seconds: the time must not be negative", argument);
    PyObject *shown = argument;
    if (likely(PyFloat_CheckExact(argument)))
        return nap(ring, seconds, argument);
    shown = PyFloat_FromDouble(seconds);
    PyObject *woken = shown ? nap(ring, seconds, shown) : NULL;
    Py_XDECREF(shown);
    return woken;
}

/* ---- Limits ----------------------------------------------------------------------- */

/* How long after its time a limit looks again whether a tasklet that was about to
   run, or ran, waits once more. */
#define LOOK_AGAIN_SECONDS 0.001

/* A limit on what a tasklet waits for. Never on a C stack, which may be copied away
   meanwhile. */
struct limit {
    struct rl_alarm alarm;
    struct rl_timers *timers;   /* Whose heap it is in while it is. */
    struct rl_tasklet *tasklet; /* Whose wait it limits; owned. */
    double seconds;             /* How long the wait may take; to be shown. */
    PyObject *waiting_on;       /* What for, to be shown; owned. */
    PyObject *error_type;       /* What to raise then; owned. */
    PyObject *error;            /* What was raised; NULL before; owned. */
};

static struct limit *limit_of(struct rl_alarm *alarm) {
    return (struct limit *)((char *)alarm - offsetof(struct limit, alarm));
}

/* Sets a limit on what the running tasklet does from now on. The objects are
   borrowed. Returns it, or NULL with an exception set. */
static struct limit *limit_new(struct rl_ring *ring, double seconds, PyObject *waiting_on,
                               PyObject *error_type) {
    struct rl_timers *timers = rl_timers_of(ring);
    struct limit *limit = timers ? PyMem_Calloc(1, sizeof *limit) : NULL;
    if (!limit)
        return timers ? (struct limit *)PyErr_NoMemory() : NULL;
    limit->alarm.kind = RL_ALARM_OF_LIMIT;
    if (rl_timers_set(timers, &limit->alarm, seconds) < 0) {
        PyMem_Free(limit);
        return NULL;
    }
    limit->timers = timers;
    limit->tasklet = (struct rl_tasklet *)Py_NewRef((PyObject *)ring->current);
    limit->seconds = seconds;
    limit->waiting_on = Py_NewRef(waiting_on);
    limit->error_type = Py_NewRef(error_type);
    return limit;
}

/* What it limits has ended: `result`, or NULL with an exception set, which stays
   set. Returns whether that exception is the limit's own. */
static int limit_end(struct limit *limit, PyObject *result) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    int own = !result && limit->error && value == limit->error;
    if (limit->alarm.place)
        rl_timeheap_remove(&limit->timers->heap, &limit->alarm);
    PyObject *error = limit->error, *waiting_on = limit->waiting_on;
    struct rl_tasklet *tasklet = limit->tasklet;
    Py_DECREF(limit->error_type);
    PyMem_Free(limit);
    Py_XDECREF(error);
    Py_DECREF(waiting_on);
    Py_DECREF(tasklet);
    PyErr_Restore(type, value, traceback);
    return own;
}

/* The time is over. A tasklet that is about to run already may wait again, and then
   for no longer. Runs no code of the program's: that has no business in the hub.
   Returns as rl_timed_fire. */
static int limit_expire(struct rl_timers *timers, struct limit *limit) {
    double when = rl_timeheap_when(&timers->heap, &limit->alarm) + LOOK_AGAIN_SECONDS;
    if (limit->tasklet->state == RL_TASKLET_PARKED) {
        char *seconds = PyOS_double_to_string(limit->seconds, 'g', 6, 0, NULL);
        PyObject *text = seconds ? PyUnicode_FromFormat("waited %s s for a %s", seconds,
                                                        Py_TYPE(limit->waiting_on)->tp_name)
                                 : PyErr_NoMemory();
        PyMem_Free(seconds);
        limit->error = text ? PyObject_CallOneArg(limit->error_type, text) : NULL;
        Py_XDECREF(text);
        if (!limit->error)
            return -1;
    }
    rl_timeheap_remove(&timers->heap, &limit->alarm);
    if (limit->error)
        rl_ring_throw(limit->tasklet, Py_NewRef(limit->error));
    else if (limit->tasklet->state != RL_TASKLET_FINISHED)
        (void)rl_timeheap_add(&timers->heap, &limit->alarm, when); /* There was room for it. */
    return 0;
}

/* Reads the arguments seconds, error type and waiting_on. Returns the running
   tasklet's limit, or NULL with an exception set. */
static struct limit *limit_arguments(const char *function, PyObject *const *args,
                                     Py_ssize_t count) {
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (count != 4) {
        PyErr_Format(PyExc_TypeError, "%s() takes 4 arguments (%zd given)", function, count);
        return NULL;
    }
    double seconds = PyFloat_AsDouble(args[0]);
    if (seconds == -1.0 && PyErr_Occurred())
        return NULL;
    if (!PyExceptionClass_Check(args[1])) {
        PyErr_Format(PyExc_TypeError, "%s() raises an exception class, not %R", function, args[1]);
        return NULL;
    }
    return limit_new(ring, seconds, args[2], args[1]);
}

static PyObject *attempt(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct limit *limit = limit_arguments("attempt", args, count);
    if (!limit)
        return NULL;
    PyObject *done = PyObject_CallNoArgs(args[3]);
    if (limit_end(limit, done)) {
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    if (!done)
        return NULL;
    Py_DECREF(done);
    Py_RETURN_TRUE;
}

static PyObject *park_for(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct limit *limit = limit_arguments("park_for", args, count);
    if (!limit)
        return NULL;
    PyObject *unlink = args[3] == Py_None ? NULL : args[3];
    char *seconds = PyOS_double_to_string(limit->seconds, 'g', 6, 0, NULL);
    PyObject *value = NULL;
    if (seconds)
        value = rl_ring_park_calling(limit->tasklet->ring, args[2], unlink);
    else
        PyErr_NoMemory();
    if (limit_end(limit, value)) {
        PyErr_Clear();
        PyObject *text = PyUnicode_FromFormat("waited %s s for %R", seconds, args[2]);
        if (text)
            PyErr_SetObject(args[1], text);
        Py_XDECREF(text);
    }
    PyMem_Free(seconds);
    return value;
}

/* ---- For the timers ---------------------------------------------------------------- */

static struct rl_tasklet *tasklet_of(struct rl_alarm *alarm) {
    return (struct rl_tasklet *)((char *)alarm - offsetof(struct rl_tasklet, alarm));
}

int rl_timed_fire(struct rl_timers *timers, struct rl_alarm *alarm) {
    if (alarm->kind == RL_ALARM_OF_LIMIT)
        return limit_expire(timers, limit_of(alarm));
    if (alarm->kind == RL_ALARM_OF_SCOPE)
        return rl_scope_expire(alarm);
    rl_timeheap_remove(&timers->heap, alarm);
    rl_ring_wake(tasklet_of(alarm), NULL);
    return 0;
}

void rl_timed_forget(struct rl_timers *timers, struct rl_alarm *alarm) {
    rl_timeheap_remove(&timers->heap, alarm);
    /* A limit is left: what it limits was dropped without running, and leaked. */
}

/* ---- The module -------------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"sleep", sleep_, METH_O,
     PyDoc_STR("sleep(seconds)\n--\n\n"
               "Let other tasklets run for `seconds`; 0 lets each that is ready run once.\n"
               "Infinity sleeps until somebody throws at the tasklet. It never sleeps for less;\n"
               "a thousandth more, up to a millisecond, lets those due at nearly the same time wake\n"
               "together. Raises ValueError for a negative number or NaN. Other threads are not held\n"
               "up.")},
    {"attempt", (PyCFunction)(void (*)(void))attempt, METH_FASTCALL,
     PyDoc_STR("attempt(seconds, error_type, waiting_on, block)\n--\n\n"
               "Call block(), which parks, and return True. When that has taken `seconds`, raise an\n"
               "error_type where it is parked, and return False if that comes out.")},
    {"park_for", (PyCFunction)(void (*)(void))park_for, METH_FASTCALL,
     PyDoc_STR("park_for(seconds, error_type, waiting_on, unlink)\n--\n\n"
               "park(waiting_on, unlink), but after `seconds` raise an error_type that names\n"
               "waiting_on.")},
    {NULL, NULL, 0, NULL},
};

int rl_timed_init(PyObject *module) {
    if (PyModule_AddType(module, &nap_type) < 0 || PyModule_AddFunctions(module, functions) < 0)
        return -1;
    return 0;
}
