/* SPDX-License-Identifier: MIT */
/* The Python type of tasklets: what ring.c needs of them. Joining with a time
   limit, killing, results and reports are methods of the subclass in
   sched/tasklet.py. */
#include <Python.h>
#include <structmember.h>

#include "joining.h"
#include "ring.h"
#include "scope.h"
#include "timed.h"

/* ---- Construction and destruction ------------------------------------------- */

static PyObject *tasklet_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"f", "args", "kwargs", "name", "context", NULL};
    PyObject *function, *arguments = NULL, *keywords = Py_None, *name = Py_None, *context = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO$OO:Tasklet", names, &function, &arguments,
                                     &keywords, &name, &context))
        return NULL;
    if (!PyCallable_Check(function))
        return PyErr_Format(PyExc_TypeError, "a tasklet runs a callable, not %R", function);
    if (keywords != Py_None && !PyDict_Check(keywords))
        return PyErr_Format(PyExc_TypeError, "kwargs must be a dict or None, not %s",
                            Py_TYPE(keywords)->tp_name);
    if (name != Py_None && !PyUnicode_Check(name))
        return PyErr_Format(PyExc_TypeError, "name must be a str or None, not %s",
                            Py_TYPE(name)->tp_name);
    if (context != Py_None && !PyContext_CheckExact(context))
        return PyErr_Format(PyExc_TypeError, "context must be a contextvars.Context or None, not %s",
                            Py_TYPE(context)->tp_name);
    struct rl_tasklet *self = (struct rl_tasklet *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->function = Py_NewRef(function);
    self->args = arguments ? PySequence_Tuple(arguments) : PyTuple_New(0);
    self->kwargs = keywords == Py_None ? NULL : PyDict_Copy(keywords);
    self->name = name == Py_None ? NULL : Py_NewRef(name);
    self->context = context == Py_None ? PyContext_CopyCurrent() : Py_NewRef(context);
    if (!self->args || !self->context || (keywords != Py_None && !self->kwargs)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int tasklet_traverse(PyObject *object, visitproc visit, void *arg) {
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    Py_VISIT(self->greenlet);
    Py_VISIT(self->resume);
    Py_VISIT(self->function);
    Py_VISIT(self->args);
    Py_VISIT(self->kwargs);
    Py_VISIT(self->context);
    Py_VISIT(self->value);
    Py_VISIT(self->error);
    Py_VISIT(self->traceback);
    Py_VISIT(self->waiting_on);
    Py_VISIT(self->unlink);
    Py_VISIT(self->joiners);
    Py_VISIT(self->callbacks);
    Py_VISIT(self->owner);
    Py_VISIT(self->origin);
    Py_VISIT(self->locals);
    Py_VISIT(self->raising);
    Py_VISIT(self->cancellation);
    Py_VISIT(self->scopes);
    return 0;
}

/* Only reached when new or finished: the ring holds on to all others. */
static int tasklet_clear(PyObject *object) {
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    Py_CLEAR(self->greenlet);
    Py_CLEAR(self->resume);
    Py_CLEAR(self->function);
    Py_CLEAR(self->args);
    Py_CLEAR(self->kwargs);
    Py_CLEAR(self->context);
    Py_CLEAR(self->value);
    Py_CLEAR(self->error);
    Py_CLEAR(self->traceback);
    Py_CLEAR(self->waiting_on);
    Py_CLEAR(self->unlink);
    Py_CLEAR(self->name);
    Py_CLEAR(self->joiners);
    Py_CLEAR(self->callbacks);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->origin);
    Py_CLEAR(self->locals);
    Py_CLEAR(self->raising);
    Py_CLEAR(self->cancellation);
    Py_CLEAR(self->scopes);
    return 0;
}

static void tasklet_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    if (((struct rl_tasklet *)object)->weakreflist)
        PyObject_ClearWeakRefs(object);
    tasklet_clear(object);
    Py_TYPE(object)->tp_free(object);
}

/* ---- Attributes ---------------------------------------------------------------- */

/* Looks up an attribute by an interned name: the interpreter caches lookups by
   the address of the name. Returns a new reference, or NULL with an exception set. */
static PyObject *attribute(PyObject *object, const char *text) {
    PyObject *name = PyUnicode_InternFromString(text);
    PyObject *value = name ? PyObject_GetAttr(object, name) : NULL;
    Py_XDECREF(name);
    return value;
}

static PyObject *get_state(PyObject *object, void *closure) {
    static const char *const names[] = {"new", "ready", "running", "parked", "finished"};
    (void)closure;
    return PyUnicode_InternFromString(names[((struct rl_tasklet *)object)->state]);
}

static PyObject *get_finished(PyObject *object, void *closure) {
    (void)closure;
    return PyBool_FromLong(((struct rl_tasklet *)object)->state == RL_TASKLET_FINISHED);
}

static PyObject *get_name(PyObject *object, void *closure) {
    (void)closure;
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    if (self->name)
        return Py_NewRef(self->name);
    /* Named after what it runs. */
    PyObject *name = self->function ? attribute(self->function, "__qualname__") : NULL;
    if (name && PyUnicode_Check(name))
        return name;
    Py_XDECREF(name);
    PyErr_Clear();
    return PyUnicode_FromString("tasklet");
}

static int set_name(PyObject *object, PyObject *name, void *closure) {
    (void)closure;
    if (!name || !PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "a tasklet's name must be a str, not %s",
                     name ? Py_TYPE(name)->tp_name : "deleted");
        return -1;
    }
    Py_INCREF(name);
    Py_XSETREF(((struct rl_tasklet *)object)->name, name);
    return 0;
}

static PyObject *get_frame(PyObject *object, void *closure) {
    (void)closure;
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    if (self->resume)
        return attribute((PyObject *)self->resume, "gr_frame");
    Py_RETURN_NONE;
}

static PyObject *get_context(PyObject *object, void *closure) {
    (void)closure;
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    if (self->greenlet)
        return attribute((PyObject *)self->greenlet, "gr_context");
    return Py_NewRef(self->context ? self->context : Py_None);
}

static PyObject *get_thread_ident(PyObject *object, void *closure) {
    (void)closure;
    struct rl_ring *ring = ((struct rl_tasklet *)object)->ring;
    if (!ring)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(ring->thread->ts->thread_id);
}

static PyObject *get_waiting_on(PyObject *object, void *closure) {
    (void)closure;
    return rl_timed_waiting_on((struct rl_tasklet *)object);
}

static PyObject *get_is_foreign(PyObject *object, void *closure) {
    (void)closure;
    struct rl_ring *ring = ((struct rl_tasklet *)object)->ring;
    struct rl_thread *thread = rl_thread_self;
    return PyBool_FromLong(ring && (!thread || thread->ring != ring));
}

static PyObject *get_waiting_seconds(PyObject *object, void *closure) {
    (void)closure;
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    if (self->state != RL_TASKLET_PARKED)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(rl_monotonic() - self->since);
}

static PyGetSetDef tasklet_attributes[] = {
    {"state", get_state, NULL, "'new', 'ready', 'running', 'parked' or 'finished'.", NULL},
    {"finished", get_finished, NULL, "Whether it has ended, by whatever.", NULL},
    {"name", get_name, set_name, "A str to tell it by: the name of what it runs, until set.", NULL},
    {"frame", get_frame, NULL, "The top frame while it waits; None when it does not.", NULL},
    {"context", get_context, NULL, "The contextvars.Context that it runs in.", NULL},
    {"thread_ident", get_thread_ident, NULL,
     "The ident of the thread that runs it; None before its start and after its end.", NULL},
    {"waiting_seconds", get_waiting_seconds, NULL,
     "For how many seconds it has been parked; None when it is not. Real time, whatever the hub's\n"
     "clock shows, and by up to one round too much: the clock is read once a round.", NULL},
    {"is_foreign", get_is_foreign, NULL, "Whether it runs in another thread than the caller's.",
     NULL},
    {"waiting_on", get_waiting_on, NULL, "What it waits for while parked, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef tasklet_members[] = {
    {"greenlet", T_OBJECT, offsetof(struct rl_tasklet, greenlet), READONLY,
     "Its own greenlet, from its first run to its end, or None."},
    {"_value", T_OBJECT, offsetof(struct rl_tasklet, value), READONLY, "Its result, once finished."},
    {"_error", T_OBJECT, offsetof(struct rl_tasklet, error), READONLY,
     "The exception it ended with, once finished, or None."},
    {"_traceback", T_OBJECT, offsetof(struct rl_tasklet, traceback), READONLY,
     "The traceback of that exception, or None."},
    {"_watched", T_UINT, offsetof(struct rl_tasklet, watched), 0,
     "How many wait in result() for it."},
    {"_callbacks", T_OBJECT, offsetof(struct rl_tasklet, callbacks), 0, "A list, or None."},
    {"_origin", T_OBJECT, offsetof(struct rl_tasklet, origin), READONLY,
     "Where it was started, if note_origins() was on: code, line, caller's code, line, ..."},
    {"_locals", T_OBJECT, offsetof(struct rl_tasklet, locals), 0,
     "What sched/local.py keeps for it until it ends, or None."},
    {"_owner", T_OBJECT, offsetof(struct rl_tasklet, owner), 0, "The group it belongs to, or None."},
    {NULL, 0, 0, 0, NULL},
};

/* ---- Methods --------------------------------------------------------------------- */

static PyObject *tasklet_start(PyObject *object, PyObject *unused) {
    (void)unused;
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (self->state != RL_TASKLET_NEW)
        return PyErr_Format(rl_tasklet_error, "cannot start %R: it has been started already", self);
    rl_ring_start(ring, self);
    return Py_NewRef(object);
}

static PyObject *tasklet_discard(PyObject *object, PyObject *error) {
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (self->state != RL_TASKLET_NEW)
        return PyErr_Format(rl_tasklet_error, "cannot discard %R: it has been started", self);
    if (!PyExceptionInstance_Check(error))
        return PyErr_Format(PyExc_TypeError, "_discard() wants an exception instance, not %s",
                            Py_TYPE(error)->tp_name);
    rl_tasklet_discard(ring, self, error);
    Py_RETURN_NONE;
}

static PyObject *tasklet_await_start(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "_await_start() takes 2 arguments (%zd given)", count);
    if (self->state != RL_TASKLET_NEW || self->waiting_on)
        return PyErr_Format(rl_tasklet_error, "%R does not wait for its first start", self);
    self->waiting_on = Py_NewRef(args[0]);
    self->unlink = Py_NewRef(args[1]);
    Py_RETURN_NONE;
}

/* Checks the argument of a method that raises something in a tasklet. Returns 0, or -1
   with TypeError set. */
static int check_error(const char *method, PyObject *error) {
    if (PyExceptionInstance_Check(error))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() wants an exception instance, not %s", method,
                 Py_TYPE(error)->tp_name);
    return -1;
}

static PyObject *tasklet_cancel(PyObject *object, PyObject *error) {
    if (check_error("_cancel", error) < 0)
        return NULL;
    rl_cancel((struct rl_tasklet *)object, Py_NewRef(error));
    Py_RETURN_NONE;
}

static PyObject *tasklet_kill(PyObject *object, PyObject *error) {
    if (check_error("_kill", error) < 0)
        return NULL;
    return PyBool_FromLong(rl_kill((struct rl_tasklet *)object, error));
}

/* Takes the running tasklet off the list of those that wait for an end. */
static void leave_joiners(struct rl_tasklet *waiter) {
    struct rl_tasklet *target = (struct rl_tasklet *)waiter->waiting_on;
    if (target)
        rl_joiners_remove(target->joiners, (PyObject *)waiter);
}

static PyObject *tasklet_add_joiner(PyObject *object, PyObject *joiner) {
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    if (!rl_countdown_check(joiner))
        return PyErr_Format(PyExc_TypeError, "_add_joiner() wants a Countdown");
    if (self->state == RL_TASKLET_FINISHED)
        Py_RETURN_FALSE;
    if (rl_joiners_add(&self->joiners, joiner) < 0)
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *tasklet_remove_joiner(PyObject *object, PyObject *joiner) {
    rl_joiners_remove(((struct rl_tasklet *)object)->joiners, joiner);
    Py_RETURN_NONE;
}

static PyObject *tasklet_await_end(PyObject *object, PyObject *unused) {
    (void)unused;
    struct rl_tasklet *self = (struct rl_tasklet *)object;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (self->state == RL_TASKLET_FINISHED)
        Py_RETURN_NONE;
    if (self == ring->current)
        return PyErr_Format(rl_tasklet_error, "%R cannot wait for its own end", self);
    if (!self->joiners && !(self->joiners = PyList_New(0)))
        return NULL;
    if (ring->current != ring->hub && !ring->closing &&
        PyList_Append(self->joiners, (PyObject *)ring->current) < 0)
        return NULL;
    return rl_ring_park(ring, object, leave_joiners);
}

static PyMethodDef tasklet_methods[] = {
    {"start", tasklet_start, METH_NOARGS,
     PyDoc_STR("start()\n--\n\n"
               "Put a new tasklet at the end of the calling thread's round. Returns it.\n"
               "Raises TaskletError when it has been started before.")},
    {"_discard", tasklet_discard, METH_O,
     PyDoc_STR("_discard(error)\n--\n\nEnd a new tasklet by error, without running it.")},
    {"_await_start", (PyCFunction)(void (*)(void))tasklet_await_start, METH_FASTCALL,
     PyDoc_STR("_await_start(waiting_on, unlink)\n--\n\n"
               "Say what will start a new tasklet; unlink() is called if it is discarded before.")},
    {"_cancel", tasklet_cancel, METH_O,
     PyDoc_STR("_cancel(error)\n--\n\n"
               "Raise error in it where it blocks, or the next time it does, unless it is being\n"
               "cancelled or killed already. One that has not run ends with it. From any thread.")},
    {"_kill", tasklet_kill, METH_O,
     PyDoc_STR("_kill(error)\n--\n\n"
               "Like throw(), in place of whatever else was to be raised in it, shields or not.")},
    {"_add_joiner", tasklet_add_joiner, METH_O,
     PyDoc_STR("_add_joiner(countdown)\n--\n\nCount its end there. False when it has ended.")},
    {"_remove_joiner", tasklet_remove_joiner, METH_O,
     PyDoc_STR("_remove_joiner(countdown)\n--\n\nThe reverse of _add_joiner().")},
    {"_await_end", tasklet_await_end, METH_NOARGS,
     PyDoc_STR("_await_end()\n--\n\nPark until this tasklet has ended.")},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Tasklet[type of its result]"},
    {NULL, NULL, 0, NULL},
};

PyTypeObject rl_tasklet_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Tasklet",
    .tp_basicsize = sizeof(struct rl_tasklet),
    .tp_dealloc = tasklet_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = PyDoc_STR("Tasklet(f, args=(), kwargs=None, *, name=None, context=None)\n--\n\n"
                        "A unit that the scheduler runs."),
    .tp_traverse = tasklet_traverse,
    .tp_clear = tasklet_clear,
    .tp_weaklistoffset = offsetof(struct rl_tasklet, weakreflist),
    .tp_methods = tasklet_methods,
    .tp_members = tasklet_members,
    .tp_getset = tasklet_attributes,
    .tp_new = tasklet_new,
};

/* Makes a tasklet of a callable and its arguments, in a copy of the current context.
   Returns a new reference, or NULL with an exception set. */
static struct rl_tasklet *make(PyObject *const *args, Py_ssize_t count, PyObject *names) {
    if (count < 1 || !PyCallable_Check(args[0])) {
        if (count < 1)
            PyErr_SetString(PyExc_TypeError, "spawn() needs a callable to run");
        else
            PyErr_Format(PyExc_TypeError, "spawn() runs a callable, not %R", args[0]);
        return NULL;
    }
    PyTypeObject *type = (PyTypeObject *)rl_policy.tasklet_type;
    struct rl_tasklet *self = (struct rl_tasklet *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->function = Py_NewRef(args[0]);
    self->context = PyContext_CopyCurrent();
    self->args = PyTuple_New(count - 1);
    for (Py_ssize_t i = 1; self->args && i < count; i++)
        PyTuple_SET_ITEM(self->args, i - 1, Py_NewRef(args[i]));
    int failed = !self->args || !self->context;
    if (names && !failed) {
        self->kwargs = PyDict_New();
        failed = !self->kwargs;
        for (Py_ssize_t i = 0; !failed && i < PyTuple_GET_SIZE(names); i++)
            failed = PyDict_SetItem(self->kwargs, PyTuple_GET_ITEM(names, i), args[count + i]) < 0;
    }
    if (failed) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

/* spawn(f, *args, **kwargs): the tasklet is made, its context copied, and it stands
   at the end of the round, in one call. */
static PyObject *spawn(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    (void)module;
    struct rl_ring *ring = rl_ring_get();
    struct rl_tasklet *self = ring ? make(args, count, names) : NULL;
    if (self)
        rl_ring_start(ring, self);
    return (PyObject *)self;
}

/* spawn_for(owner, members, f, *args, **kwargs): the same, and at no moment does it run
   without its owner knowing. */
static PyObject *spawn_for(PyObject *module, PyObject *const *args, Py_ssize_t count,
                           PyObject *names) {
    (void)module;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (count < 2 || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "spawn_for() wants an owner and a dict");
        return NULL;
    }
    struct rl_tasklet *self = make(args + 2, count - 2, names);
    if (!self)
        return NULL;
    self->owner = Py_NewRef(args[0]);
    if (PyDict_SetItem(args[1], (PyObject *)self, Py_None) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    rl_ring_start(ring, self);
    return (PyObject *)self;
}

static PyMethodDef functions[] = {
    {"spawn", (PyCFunction)(void (*)(void))spawn, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("spawn(f, /, *args, **kwargs)\n--\n\n"
               "Make a tasklet that will call f(*args, **kwargs), at the end of the round, in a copy\n"
               "of the caller's contextvars context. Returns it at once; never switches.")},
    {"spawn_for", (PyCFunction)(void (*)(void))spawn_for, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("spawn_for(owner, members, f, /, *args, **kwargs)\n--\n\n"
               "The same for one that belongs to owner, whose key in the dict members it becomes; at\n"
               "its end owner._ended(tasklet, error or None) is called, which must not block.")},
    {NULL, NULL, 0, NULL},
};

int rl_tasklet_init(PyObject *module) {
    if (PyModule_AddType(module, &rl_tasklet_type) < 0 ||
        PyModule_AddFunctions(module, functions) < 0)
        return -1;
    return 0;
}
