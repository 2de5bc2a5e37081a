/* SPDX-License-Identifier: MIT */
/* Event, which all wait for until it is set, and the waiting of conditions, where
   notify() wakes as many as it is told to. Each step is one call, so that other
   threads and signal handlers come before or after it.
   What to do about time limits is Python's, see sync/event.py and condition.py. */
#include <Python.h>
#include <structmember.h>

#include "lock.h"
#include "waiters.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* ---- Event ---------------------------------------------------------------------- */

/* Invariant, whenever the GIL may be given up: nobody waits while it is set. */
struct event {
    PyObject_HEAD
    char is_set;               /* Whether it is set. */
    struct rl_waiters waiters; /* Who waits for that. */
    PyObject *weakreflist;     /* Weak references to it. */
};

static PyObject *name_wait; /* Python's method for calls with a time limit. */

/* For rl_ring_park. */
static void leave_event(struct rl_tasklet *tasklet) {
    rl_waiters_remove(&((struct event *)tasklet->waiting_on)->waiters, tasklet);
}

static PyObject *event_wait(PyObject *object, PyObject *const *args, Py_ssize_t count,
                            PyObject *names) {
    struct event *self = (struct event *)object;
    double began;
    PyObject *value;
    if (unlikely(count != 0 || names))
        return rl_call_instead(object, name_wait, args, count, names);
    if (self->is_set)
        Py_RETURN_TRUE;
    struct rl_ring *ring = rl_waiters_prepare(&began);
    if (!ring)
        return NULL;
    if (self->is_set)
        Py_RETURN_TRUE;
    enum rl_outcome outcome =
        rl_waiters_wait(&self->waiters, ring, object, leave_event, began, &value);
    Py_XDECREF(value);
    return outcome == RL_GIVEN ? Py_NewRef(Py_True) : NULL;
}

static PyObject *event_set(PyObject *object, PyObject *unused) {
    struct event *self = (struct event *)object;
    (void)unused;
    self->is_set = 1;
    while (rl_waiters_give(&self->waiters, NULL))
        ;
    Py_RETURN_NONE;
}

static PyObject *event_clear(PyObject *object, PyObject *unused) {
    (void)unused;
    ((struct event *)object)->is_set = 0;
    Py_RETURN_NONE;
}

static PyObject *event_is_set(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(((struct event *)object)->is_set);
}

static PyObject *event_counts(PyObject *object, PyObject *unused) {
    (void)unused;
    return rl_waiters_counts(&((struct event *)object)->waiters, 0);
}

static PyObject *event_waiters(PyObject *object, void *closure) {
    (void)closure;
    return rl_waiters_list(&((struct event *)object)->waiters);
}

static PyObject *event_at_fork_reinit(PyObject *object, PyObject *unused) {
    (void)unused;
    rl_waiters_forget(&((struct event *)object)->waiters);
    Py_RETURN_NONE;
}

static PyMethodDef event_methods[] = {
    {"wait", (PyCFunction)(void (*)(void))event_wait, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("wait(timeout=None)\n--\n\n"
               "Wait until it is set, at most timeout seconds. Whether it was. From any thread.")},
    {"set", event_set, METH_NOARGS,
     PyDoc_STR("set()\n--\n\n"
               "Wake all who wait, and let nobody wait from now on. From any thread, and from\n"
               "signal handlers.")},
    {"clear", event_clear, METH_NOARGS,
     PyDoc_STR("clear()\n--\n\nLet those who come from now on wait. From any thread.")},
    {"is_set", event_is_set, METH_NOARGS, PyDoc_STR("is_set()\n--\n\nWhether it is set.")},
    {"_at_fork_reinit", event_at_fork_reinit, METH_NOARGS,
     PyDoc_STR("_at_fork_reinit()\n--\n\nIn a forked child: forget who waits.")},
    {"_counts", event_counts, METH_NOARGS,
     PyDoc_STR("_counts()\n--\n\nWhat `statistics` is made of.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef event_attributes[] = {
    {"waiters", event_waiters, NULL, "The tasklets that wait for it.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef event_members[] = {
    {"waiting", T_PYSSIZET, offsetof(struct event, waiters.count), READONLY,
     "How many tasklets wait for it."},
    {NULL, 0, 0, 0, NULL},
};

/* Nobody can be waiting here: a waiting tasklet holds on to the event. */
static void event_dealloc(PyObject *self) {
    if (((struct event *)self)->weakreflist)
        PyObject_ClearWeakRefs(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject event_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Event",
    .tp_basicsize = sizeof(struct event),
    .tp_dealloc = event_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_doc = PyDoc_STR("What all wait for until it is set: what is not policy about it."),
    .tp_weaklistoffset = offsetof(struct event, weakreflist),
    .tp_methods = event_methods,
    .tp_members = event_members,
    .tp_getset = event_attributes,
    .tp_new = PyType_GenericNew,
};

/* ---- Condition ---------------------------------------------------------------------- */

struct condition {
    PyObject_HEAD
    PyObject *lock;            /* What is held whenever it is used; owned. */
    struct rl_waiters waiters; /* Who waits to be notified. */
    unsigned long long notifications; /* How often notify() was called; see condition_park. */
    PyObject *weakreflist;     /* Weak references to it. */
};

/* For rl_ring_park. */
static void leave_condition(struct rl_tasklet *tasklet) {
    rl_waiters_remove(&((struct condition *)tasklet->waiting_on)->waiters, tasklet);
}

/* Releases the lock, a Lock or RLock that is held; how often it was is put at the end of
   `saved`, a list. Nothing runs in between. Returns who held it, a new reference, or
   NULL with an exception set and nothing changed. */
static PyObject *release_lock(struct condition *self, PyObject *saved) {
    struct rl_lock *lock = (struct rl_lock *)self->lock;
    if (!lock || !rl_lock_check(self->lock) || !lock->holder)
        return PyErr_Format(PyExc_RuntimeError, "cannot wait on un-acquired lock of %R",
                            (PyObject *)self);
    PyObject *depth = PyLong_FromSsize_t(lock->depth);
    int failed = !depth || PyList_Append(saved, depth) < 0;
    Py_XDECREF(depth);
    if (failed)
        return NULL;
    PyObject *holder = Py_NewRef(lock->holder); /* It may have ended, and this be the last. */
    rl_lock_release(lock);
    return holder;
}

/* The reverse of release_lock, if the lock is free: then `saved` is emptied. Else the
   caller sees to it. No exception is set. */
static void take_lock(struct condition *self, PyObject *saved) {
    struct rl_lock *lock = (struct rl_lock *)self->lock;
    Py_ssize_t depth = PyLong_AsSsize_t(PyList_GET_ITEM(saved, 0));
    if (lock->holder)
        return;
    if (rl_lock_take(lock) < 0 || PyList_SetSlice(saved, 0, PyList_GET_SIZE(saved), NULL) < 0)
        PyErr_Clear();
    else
        lock->depth = depth;
}

static PyObject *condition_park(PyObject *object, PyObject *how) {
    struct condition *self = (struct condition *)object;
    double began;
    PyObject *value, *holder = NULL, *type = NULL, *error = NULL, *traceback = NULL;
    struct rl_ring *ring = rl_waiters_prepare(&began);
    if (!ring)
        return NULL;
    if (PyList_CheckExact(how)) {
        holder = release_lock(self, how);
        if (!holder)
            return NULL;
    } else {
        unsigned long long seen = PyLong_AsUnsignedLongLong(how);
        if (seen == (unsigned long long)-1 && PyErr_Occurred())
            return NULL;
        if (seen != self->notifications)
            Py_RETURN_TRUE;
    }
    enum rl_outcome outcome =
        rl_waiters_wait(&self->waiters, ring, object, leave_condition, began, &value);
    if (outcome == RL_RAISED_WITH)
        rl_waiters_give(&self->waiters, NULL);
    PyErr_Fetch(&type, &error, &traceback);
    if (holder)
        take_lock(self, how);
    Py_XDECREF(value);
    Py_XDECREF(holder);
    PyErr_Restore(type, error, traceback);
    return outcome == RL_GIVEN ? Py_NewRef(Py_True) : NULL;
}

static PyObject *condition_notify(PyObject *object, PyObject *number) {
    struct condition *self = (struct condition *)object;
    Py_ssize_t most = PyNumber_AsSsize_t(number, NULL), count = 0;
    if (most == -1 && PyErr_Occurred())
        return NULL;
    self->notifications++;
    while (count < most && rl_waiters_give(&self->waiters, NULL))
        count++;
    return PyLong_FromSsize_t(count);
}

static PyObject *condition_counts(PyObject *object, PyObject *unused) {
    (void)unused;
    return rl_waiters_counts(&((struct condition *)object)->waiters, 0);
}

static PyObject *condition_waiters(PyObject *object, void *closure) {
    (void)closure;
    return rl_waiters_list(&((struct condition *)object)->waiters);
}

static PyObject *condition_forget(PyObject *object, PyObject *unused) {
    (void)unused;
    rl_waiters_forget(&((struct condition *)object)->waiters);
    Py_RETURN_NONE;
}

static PyMethodDef condition_methods[] = {
    {"_park", condition_park, METH_O,
     PyDoc_STR("_park(how)\n--\n\n"
               "Wait to be notified. Returns True, or raises what was thrown.\n\n"
               "Given a list it first releases the lock, a Lock or RLock, and adds to the list how\n"
               "often that was held; at the end it takes the lock again and empties the list, unless\n"
               "that would have to wait. For another lock, which the caller has released, it is given\n"
               "what _notifications was before that, and returns at once if that has changed.")},
    {"_notify", condition_notify, METH_O,
     PyDoc_STR("_notify(most)\n--\n\nWake so many at most. Returns how many.")},
    {"_forget", condition_forget, METH_NOARGS,
     PyDoc_STR("_forget()\n--\n\nIn a forked child: forget who waits.")},
    {"_counts", condition_counts, METH_NOARGS,
     PyDoc_STR("_counts()\n--\n\nWhat `statistics` is made of.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef condition_attributes[] = {
    {"waiters", condition_waiters, NULL, "The tasklets that wait to be notified, the first first.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef condition_members[] = {
    {"waiting", T_PYSSIZET, offsetof(struct condition, waiters.count), READONLY,
     "How many tasklets wait to be notified."},
    {"_lock", T_OBJECT, offsetof(struct condition, lock), 0, "Its lock. Set once."},
    {"_notifications", T_ULONGLONG, offsetof(struct condition, notifications), READONLY,
     "How often notify() was called."},
    {NULL, 0, 0, 0, NULL},
};

static int condition_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((struct condition *)self)->lock);
    return 0;
}

static int condition_clear(PyObject *self) {
    Py_CLEAR(((struct condition *)self)->lock);
    return 0;
}

/* Nobody can be waiting here: a waiting tasklet holds on to the condition. */
static void condition_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    if (((struct condition *)self)->weakreflist)
        PyObject_ClearWeakRefs(self);
    condition_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject condition_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Condition",
    .tp_basicsize = sizeof(struct condition),
    .tp_dealloc = condition_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = PyDoc_STR("Where tasklets wait to be notified: what is not policy about it."),
    .tp_traverse = condition_traverse,
    .tp_clear = condition_clear,
    .tp_weaklistoffset = offsetof(struct condition, weakreflist),
    .tp_methods = condition_methods,
    .tp_members = condition_members,
    .tp_getset = condition_attributes,
    .tp_new = PyType_GenericNew,
};

int rl_event_init(PyObject *module) {
    name_wait = PyUnicode_InternFromString("_wait_in_time");
    if (!name_wait || PyModule_AddType(module, &event_type) < 0)
        return -1;
    return PyModule_AddType(module, &condition_type);
}
