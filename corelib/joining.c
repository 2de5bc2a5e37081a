/* SPDX-License-Identifier: MIT */
#include "joining.h"

#include <structmember.h>

/* ---- Countdown ------------------------------------------------------------------------ */

struct countdown {
    PyObject_HEAD
    Py_ssize_t left;            /* How many more have to end. */
    struct rl_tasklet *waiting; /* Who is parked for that; NULL for nobody; borrowed. */
};

static PyTypeObject countdown_type;

int rl_countdown_check(PyObject *object) {
    return PyObject_TypeCheck(object, &countdown_type);
}

/* One more has ended. Runs no Python code. */
static void count(struct countdown *self) {
    if (--self->left == 0 && self->waiting)
        rl_ring_wake(self->waiting, NULL);
}

/* rl_tasklet.unlinker. */
static void stop_waiting(struct rl_tasklet *tasklet) {
    ((struct countdown *)tasklet->waiting_on)->waiting = NULL;
}

static PyObject *countdown_wait(PyObject *object, PyObject *unused) {
    (void)unused;
    struct countdown *self = (struct countdown *)object;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (self->left <= 0)
        Py_RETURN_NONE;
    if (self->waiting)
        return PyErr_Format(rl_tasklet_error, "%R is waited for already", object);
    self->waiting = ring->current;
    PyObject *done = rl_ring_park(ring, object, stop_waiting);
    self->waiting = NULL;
    return done;
}

static PyMethodDef countdown_methods[] = {
    {"wait", countdown_wait, METH_NOARGS,
     PyDoc_STR("wait()\n--\n\nPark until so many of those it was added to have ended.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef countdown_members[] = {
    {"left", T_PYSSIZET, offsetof(struct countdown, left), 0, "How many more have to end."},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject countdown_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Countdown",
    .tp_doc = PyDoc_STR("Countdown()\n--\n\nWhat one waits for who waits for some of many to end."),
    .tp_basicsize = sizeof(struct countdown),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_methods = countdown_methods,
    .tp_members = countdown_members,
};

/* ---- Joiners ---------------------------------------------------------------------------- */

void rl_joiners_tell(PyObject *joiners) {
    for (Py_ssize_t i = 0; joiners && i < PyList_GET_SIZE(joiners); i++) {
        PyObject *joiner = PyList_GET_ITEM(joiners, i);
        if (rl_tasklet_check(joiner))
            rl_ring_wake((struct rl_tasklet *)joiner, NULL);
        else
            count((struct countdown *)joiner);
    }
}

int rl_joiners_add(PyObject **joiners, PyObject *joiner) {
    if (!*joiners && !(*joiners = PyList_New(0)))
        return -1;
    return PyList_Append(*joiners, joiner);
}

void rl_joiners_remove(PyObject *joiners, PyObject *joiner) {
    for (Py_ssize_t i = 0; joiners && i < PyList_GET_SIZE(joiners); i++)
        if (PyList_GET_ITEM(joiners, i) == joiner) {
            if (PyList_SetSlice(joiners, i, i + 1, NULL) < 0)
                PyErr_WriteUnraisable(joiner);
            return;
        }
}

/* ---- Future ----------------------------------------------------------------------------- */

struct future {
    PyObject_HEAD
    PyObject *joiners;     /* list of who waits, or NULL; owned. */
    PyObject *callbacks;   /* list of what to call at its end, or NULL; owned. */
    PyObject *value;       /* Its result, or NULL; owned. */
    PyObject *error;       /* Its exception, or NULL; owned. */
    PyObject *traceback;   /* The one that had when it was set, or NULL; owned. */
    PyObject *weakreflist; /* Weak references to it. */
    char finished;         /* It has one of these. */
};

/* rl_tasklet.unlinker. */
static void leave_future(struct rl_tasklet *tasklet) {
    struct future *self = (struct future *)tasklet->waiting_on;
    rl_joiners_remove(self->joiners, (PyObject *)tasklet);
}

static PyObject *future_await_end(PyObject *object, PyObject *unused) {
    (void)unused;
    struct future *self = (struct future *)object;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (self->finished)
        Py_RETURN_NONE;
    if (rl_joiners_add(&self->joiners, (PyObject *)ring->current) < 0)
        return NULL;
    return rl_ring_park(ring, object, leave_future);
}

static PyObject *future_settle(PyObject *object, PyObject *const *args, Py_ssize_t argc) {
    struct future *self = (struct future *)object;
    if (argc != 2)
        return PyErr_Format(PyExc_TypeError, "_settle() takes 2 arguments (%zd given)", argc);
    if (self->finished)
        Py_RETURN_NONE;
    PyObject *callbacks = self->callbacks ? self->callbacks : PyList_New(0);
    if (!callbacks)
        return NULL;
    PyObject *joiners = self->joiners;
    self->finished = 1;
    self->value = Py_NewRef(args[0]);
    self->error = Py_NewRef(args[1]);
    if (PyExceptionInstance_Check(args[1]))
        self->traceback = PyException_GetTraceback(args[1]);
    self->joiners = self->callbacks = NULL;
    rl_joiners_tell(joiners);
    Py_XDECREF(joiners);
    return callbacks;
}

static PyObject *future_add_callback(PyObject *object, PyObject *callback) {
    struct future *self = (struct future *)object;
    if (self->finished)
        Py_RETURN_FALSE;
    if (rl_joiners_add(&self->callbacks, callback) < 0)
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *future_add_joiner(PyObject *object, PyObject *joiner) {
    struct future *self = (struct future *)object;
    if (!rl_countdown_check(joiner))
        return PyErr_Format(PyExc_TypeError, "_add_joiner() wants a Countdown");
    if (self->finished)
        Py_RETURN_FALSE;
    if (rl_joiners_add(&self->joiners, joiner) < 0)
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *future_remove_joiner(PyObject *object, PyObject *joiner) {
    rl_joiners_remove(((struct future *)object)->joiners, joiner);
    Py_RETURN_NONE;
}

static int future_traverse(PyObject *object, visitproc visit, void *arg) {
    struct future *self = (struct future *)object;
    Py_VISIT(self->joiners);
    Py_VISIT(self->callbacks);
    Py_VISIT(self->value);
    Py_VISIT(self->error);
    Py_VISIT(self->traceback);
    return 0;
}

static int future_clear(PyObject *object) {
    struct future *self = (struct future *)object;
    Py_CLEAR(self->joiners);
    Py_CLEAR(self->callbacks);
    Py_CLEAR(self->value);
    Py_CLEAR(self->error);
    Py_CLEAR(self->traceback);
    return 0;
}

static void future_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    if (((struct future *)object)->weakreflist)
        PyObject_ClearWeakRefs(object);
    future_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef future_methods[] = {
    {"_await_end", future_await_end, METH_NOARGS,
     PyDoc_STR("_await_end()\n--\n\nPark until it is done.")},
    {"_settle", (PyCFunction)(void (*)(void))future_settle, METH_FASTCALL,
     PyDoc_STR("_settle(value, error)\n--\n\n"
               "Let it be done, and wake who waits. Returns the list of callbacks to call; None when\n"
               "it was done before: then nothing happened. From any thread and signal handlers.")},
    {"_add_callback", future_add_callback, METH_O,
     PyDoc_STR("_add_callback(callback)\n--\n\n"
               "Have _settle() return callback, too. False when it is done.")},
    {"_add_joiner", future_add_joiner, METH_O,
     PyDoc_STR("_add_joiner(countdown)\n--\n\nCount its end there. False when it is done.")},
    {"_remove_joiner", future_remove_joiner, METH_O,
     PyDoc_STR("_remove_joiner(countdown)\n--\n\nThe reverse of _add_joiner().")},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Future[type of its result]"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef future_members[] = {
    {"_value", T_OBJECT, offsetof(struct future, value), READONLY, "Its result, once finished."},
    {"_error", T_OBJECT, offsetof(struct future, error), READONLY, "Its exception, or None."},
    {"_traceback", T_OBJECT, offsetof(struct future, traceback), READONLY,
     "The traceback that had when it was set, or None."},
    {"finished", T_BOOL, offsetof(struct future, finished), READONLY, "Whether it is done."},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject future_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Future",
    .tp_doc = PyDoc_STR("Future()\n--\n\nA result that somebody will set."),
    .tp_basicsize = sizeof(struct future),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = future_dealloc,
    .tp_traverse = future_traverse,
    .tp_clear = future_clear,
    .tp_weaklistoffset = offsetof(struct future, weakreflist),
    .tp_methods = future_methods,
    .tp_members = future_members,
};

int rl_joining_init(PyObject *module) {
    if (PyModule_AddType(module, &countdown_type) < 0)
        return -1;
    return PyModule_AddType(module, &future_type);
}
