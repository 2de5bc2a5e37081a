/* SPDX-License-Identifier: MIT */
/* Semaphore: taking and giving back a permit are one call each. A permit that is
   given back goes to the first who waits, of whatever thread, so that nobody starves.
   What to do about time limits is Python's, see sync/semaphore.py. */
#include <Python.h>
#include <structmember.h>

#include "waiters.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Invariant, whenever the GIL may be given up: nobody waits while a permit is free. */
struct semaphore {
    PyObject_HEAD
    Py_ssize_t value;           /* How many permits are free. */
    Py_ssize_t bound;           /* How many may be at most; -1 for any number. */
    struct rl_waiters waiters;  /* Who wants one. */
    unsigned long long acquisitions; /* How many permits were taken. */
    PyObject *weakreflist;      /* Weak references to it. */
};

static PyObject *name_acquire; /* Python's method for calls with arguments. */

/* Gives back `count` permits. */
static void give_back(struct semaphore *self, Py_ssize_t count) {
    for (; count && self->waiters.first && rl_waiters_give(&self->waiters, NULL); count--)
        self->acquisitions++;
    self->value += count;
}

/* For rl_ring_park. */
static void leave_queue(struct rl_tasklet *tasklet) {
    rl_waiters_remove(&((struct semaphore *)tasklet->waiting_on)->waiters, tasklet);
}

/* Takes a permit, and waits for one where need be. Returns 0, or -1 with an exception
   set: then none was taken. */
static int __attribute__((noinline)) take_waiting(struct semaphore *self) {
    double began;
    PyObject *value;
    struct rl_ring *ring = rl_waiters_prepare(&began);
    if (!ring)
        return -1;
    if (self->value > 0) {
        self->value--;
        self->acquisitions++;
        return 0;
    }
    enum rl_outcome outcome =
        rl_waiters_wait(&self->waiters, ring, (PyObject *)self, leave_queue, began, &value);
    if (outcome == RL_RAISED_WITH)
        give_back(self, 1);
    Py_XDECREF(value);
    return outcome == RL_GIVEN ? 0 : -1;
}

static inline int take(struct semaphore *self) {
    if (unlikely(self->value <= 0))
        return take_waiting(self);
    self->value--;
    self->acquisitions++;
    return 0;
}

/* ---- Methods -------------------------------------------------------------------- */

static PyObject *acquire(PyObject *object, PyObject *const *args, Py_ssize_t count,
                         PyObject *names) {
    struct semaphore *self = (struct semaphore *)object;
    int blocking = 1;
    if (unlikely(count != 0 || names)) {
        if (count != 1 || names)
            return rl_call_instead(object, name_acquire, args, count, names);
        blocking = PyObject_IsTrue(args[0]);
        if (blocking < 0)
            return NULL;
    }
    if (unlikely(!blocking && self->value <= 0))
        Py_RETURN_FALSE;
    if (unlikely(take(self) < 0))
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *enter(PyObject *self, PyObject *unused) {
    (void)unused;
    if (unlikely(take((struct semaphore *)self) < 0))
        return NULL;
    Py_RETURN_TRUE;
}

/* Gives back permits if that does not make them too many. Returns None, or NULL with
   ValueError set. */
static inline PyObject *give_back_checked(struct semaphore *self, Py_ssize_t count) {
    if (unlikely(count < 1))
        return PyErr_Format(PyExc_ValueError, "n must be one or more, not %zd", count);
    if (unlikely(self->bound >= 0 && count > self->bound - self->value))
        return PyErr_Format(PyExc_ValueError,
                            "Semaphore released too many times: %zd more would make more than the "
                            "%zd permits of %R", count, self->bound, (PyObject *)self);
    if (likely(!self->waiters.first)) {
        if (unlikely(count > PY_SSIZE_T_MAX - self->value))
            return PyErr_Format(PyExc_OverflowError, "%R cannot have %zd permits more",
                                (PyObject *)self, count);
        self->value += count;
    } else {
        give_back(self, count);
    }
    Py_RETURN_NONE;
}

static PyObject *release(PyObject *object, PyObject *const *args, Py_ssize_t count,
                         PyObject *names) {
    Py_ssize_t permits = 1;
    Py_ssize_t all = count + (names ? PyTuple_GET_SIZE(names) : 0);
    if (unlikely(all != 0)) {
        if (all > 1 ||
            (!count && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "n") != 0))
            return PyErr_Format(PyExc_TypeError, "release() takes one argument, n");
        permits = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
        if (permits == -1 && PyErr_Occurred())
            return NULL;
    }
    return give_back_checked((struct semaphore *)object, permits);
}

static PyObject *leave(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)args;
    (void)count;
    return give_back_checked((struct semaphore *)self, 1);
}

static PyObject *locked(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(((struct semaphore *)self)->value <= 0);
}

static PyObject *counts(PyObject *object, PyObject *unused) {
    struct semaphore *self = (struct semaphore *)object;
    (void)unused;
    return rl_waiters_counts(&self->waiters, self->acquisitions);
}

static PyObject *at_fork_reinit(PyObject *object, PyObject *value) {
    struct semaphore *self = (struct semaphore *)object;
    Py_ssize_t permits = PyNumber_AsSsize_t(value, PyExc_OverflowError);
    if (permits == -1 && PyErr_Occurred())
        return NULL;
    rl_waiters_forget(&self->waiters);
    self->value = permits;
    Py_RETURN_NONE;
}

static PyObject *get_waiters(PyObject *self, void *closure) {
    (void)closure;
    return rl_waiters_list(&((struct semaphore *)self)->waiters);
}

static PyMethodDef methods[] = {
    {"acquire", (PyCFunction)(void (*)(void))acquire, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("acquire(blocking=True, timeout=None)\n--\n\n"
               "Take a permit; wait for one while none is free. Whether one was taken.\n\n"
               "With blocking=False it never waits; with a timeout it waits so many seconds at\n"
               "most. Those who wait get theirs in the order they came. An exception raised here,\n"
               "by cancel() for one, means that none was taken. From any thread.")},
    {"release", (PyCFunction)(void (*)(void))release, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("release(n=1)\n--\n\n"
               "Give n permits back: to those who have waited longest, of any thread, first.\n\n"
               "Raises ValueError for n below 1, and where a BoundedSemaphore would get more\n"
               "permits than it began with. From any thread.")},
    {"__enter__", enter, METH_NOARGS, PyDoc_STR("__enter__()\n--\n\nacquire().")},
    {"__exit__", (PyCFunction)(void (*)(void))leave, METH_FASTCALL,
     PyDoc_STR("__exit__(*error)\n--\n\nrelease().")},
    {"locked", locked, METH_NOARGS, PyDoc_STR("locked()\n--\n\nWhether no permit is free.")},
    {"_counts", counts, METH_NOARGS, PyDoc_STR("_counts()\n--\n\nWhat `statistics` is made of.")},
    {"_reset", at_fork_reinit, METH_O,
     PyDoc_STR("_reset(value)\n--\n\n"
               "Have so many permits and nobody waiting: before the first use, and in a forked\n"
               "child.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"waiters", get_waiters, NULL, "The tasklets that wait for a permit, the next one first.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"value", T_PYSSIZET, offsetof(struct semaphore, value), READONLY,
     "How many permits are free."},
    {"_value", T_PYSSIZET, offsetof(struct semaphore, value), READONLY,
     "The same, by the name that threading has for it."},
    {"waiting", T_PYSSIZET, offsetof(struct semaphore, waiters.count), READONLY,
     "How many tasklets wait for one."},
    {"_bound", T_PYSSIZET, offsetof(struct semaphore, bound), 0,
     "How many permits there may be at most; -1 for any number."},
    {NULL, 0, 0, 0, NULL},
};

/* ---- The type --------------------------------------------------------------------- */

static PyObject *semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    struct semaphore *self = (struct semaphore *)type->tp_alloc(type, 0);
    if (self) {
        self->value = 1;
        self->bound = -1;
    }
    return (PyObject *)self;
}

/* Nobody can be waiting here: a waiting tasklet holds on to the semaphore. */
static void semaphore_dealloc(PyObject *self) {
    if (((struct semaphore *)self)->weakreflist)
        PyObject_ClearWeakRefs(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject semaphore_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Semaphore",
    .tp_basicsize = sizeof(struct semaphore),
    .tp_dealloc = semaphore_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_doc = PyDoc_STR("A number of permits: what is not policy about it."),
    .tp_weaklistoffset = offsetof(struct semaphore, weakreflist),
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = attributes,
    .tp_new = semaphore_new,
};

int rl_semaphore_init(PyObject *module) {
    name_acquire = PyUnicode_InternFromString("_acquire_in_time");
    return name_acquire ? PyModule_AddType(module, &semaphore_type) : -1;
}
