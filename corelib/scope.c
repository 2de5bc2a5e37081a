/* SPDX-License-Identifier: MIT */
#include "scope.h"
#include "timers.h"

#include <structmember.h>

PyObject *rl_cancelled;

static PyObject *name_scope, *name_ended_by;

PyObject *rl_cancelled_new(PyObject *scope) {
    PyObject *error = PyObject_CallNoArgs(rl_cancelled);
    if (error && scope && PyObject_SetAttr(error, name_scope, scope) < 0)
        Py_CLEAR(error);
    return error;
}

/* ---- What is pending --------------------------------------------------------------- */

/* Whether code that runs in `greenlet` is inside the block of a scope. */
static int encloses(struct rl_scope *scope, PyGreenlet *greenlet) {
    while (greenlet && greenlet != scope->greenlet)
        greenlet = greenlet->impl ? greenlet->impl->parent : NULL;
    return greenlet != NULL;
}

/* Finds out again whether anything is pending. */
static void update(struct rl_tasklet *tasklet) {
    int any = tasklet->cancellation != NULL;
    for (struct rl_scope *scope = tasklet->scopes; scope && !any; scope = scope->outer)
        any = scope->cancellation != NULL;
    tasklet->cancelling = any != 0;
}

/* Marks the scopes inside `chosen` (NULL: all) whose block `error` is raised in, and
   drops what was to be raised for them. What has to be dropped is left in *waste. */
static void overtake(struct rl_tasklet *tasklet, struct rl_scope *chosen, PyGreenlet *greenlet,
                     PyObject *error) {
    for (struct rl_scope *scope = tasklet->scopes; scope != chosen; scope = scope->outer) {
        if (!encloses(scope, greenlet))
            continue;
        /* Exceptions that were never raised, and references to one that is raised now:
           dropping them runs nothing, as long as `error` and the scopes are held. */
        Py_CLEAR(scope->cancellation);
        Py_XSETREF(scope->overtaken_by, Py_NewRef(error));
    }
}

PyObject *rl_cancel_take(struct rl_tasklet *tasklet, PyGreenlet *greenlet) {
    struct rl_scope *chosen = NULL;
    PyObject **slot = NULL;
    int shielded = 0;
    /* The outermost one: its block contains those of the others. */
    for (struct rl_scope *scope = tasklet->scopes; scope; scope = scope->outer) {
        if (scope->is_shield && encloses(scope, greenlet))
            shielded = 1;
        else if (scope->cancellation && !shielded && encloses(scope, greenlet)) {
            chosen = scope;
            slot = &scope->cancellation;
        }
    }
    if (tasklet->cancellation && !shielded) {
        chosen = NULL;
        slot = &tasklet->cancellation;
    }
    if (!slot)
        return NULL;
    PyObject *error = *slot;
    *slot = NULL;
    if (chosen)
        chosen->expired = 1;
    overtake(tasklet, chosen, greenlet, error);
    update(tasklet);
    Py_XSETREF(tasklet->raising, Py_NewRef(chosen ? (PyObject *)chosen : (PyObject *)tasklet));
    return error;
}

void rl_cancel_put_back(struct rl_tasklet *tasklet) {
    PyObject *of = tasklet->raising, **slot = NULL;
    tasklet->raising = NULL;
    if (!of)
        return;
    if (of == (PyObject *)tasklet) {
        slot = &tasklet->cancellation;
    } else if (of != Py_None && ((struct rl_scope *)of)->tasklet == tasklet) {
        ((struct rl_scope *)of)->expired = 0;
        slot = &((struct rl_scope *)of)->cancellation;
    }
    if (slot && !*slot) {
        *slot = Py_XNewRef(tasklet->error);
        update(tasklet);
    }
    Py_DECREF(of);
}

/* Raises what is pending in a tasklet that is parked where it may be. */
static void deliver(struct rl_tasklet *tasklet) {
    PyObject *error;
    if (tasklet->state != RL_TASKLET_PARKED || !tasklet->resume)
        return;
    error = rl_cancel_take(tasklet, tasklet->resume);
    if (error)
        rl_ring_throw(tasklet, error);
}

/* Whether what cancels a tasklet comes too late. */
static int is_over(struct rl_tasklet *tasklet) {
    return !tasklet->ring || tasklet->state == RL_TASKLET_FINISHED || tasklet->raising == Py_None;
}

void rl_cancel(struct rl_tasklet *tasklet, PyObject *error) {
    if (is_over(tasklet) || tasklet == tasklet->ring->hub || tasklet->cancellation ||
        tasklet->raising == (PyObject *)tasklet) {
        Py_DECREF(error);
        return;
    }
    if (!tasklet->resume && tasklet->state != RL_TASKLET_RUNNING) {
        /* It has not run yet. */
        if (rl_ring_throw_later(tasklet, error) && tasklet->error == error)
            Py_XSETREF(tasklet->raising, Py_NewRef((PyObject *)tasklet));
        Py_DECREF(error);
        return;
    }
    tasklet->cancellation = error;
    tasklet->cancelling = 1;
    deliver(tasklet);
}

int rl_scope_cancel(struct rl_scope *scope) {
    struct rl_tasklet *tasklet = scope->tasklet;
    if (!tasklet || scope->cancellation || scope->expired || is_over(tasklet))
        return 0;
    PyObject *error = rl_cancelled_new((PyObject *)scope);
    if (!error)
        return -1;
    scope->cancellation = error;
    tasklet->cancelling = 1;
    deliver(tasklet);
    return 0;
}

int rl_kill(struct rl_tasklet *tasklet, PyObject *error) {
    PyObject *before = NULL, *raising = tasklet->raising, *pending = tasklet->cancellation;
    if (raising && raising != Py_None) {
        before = tasklet->error; /* What it was cancelled by. */
        tasklet->error = NULL;
    }
    tasklet->raising = tasklet->cancellation = NULL;
    for (struct rl_scope *scope = tasklet->scopes; scope; scope = scope->outer)
        Py_CLEAR(scope->cancellation); /* Never raised; its scope is held: runs nothing. */
    tasklet->cancelling = 0;
    int thrown = rl_ring_throw_later(tasklet, error);
    if (thrown)
        Py_XSETREF(tasklet->raising, Py_NewRef(Py_None));
    Py_XDECREF(raising);
    Py_XDECREF(pending);
    Py_XDECREF(before);
    return thrown;
}

void rl_cancel_forget(struct rl_tasklet *tasklet) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    while (tasklet->scopes)
        rl_scope_leave(tasklet->scopes);
    tasklet->cancelling = 0;
    Py_CLEAR(tasklet->cancellation);
    Py_CLEAR(tasklet->raising);
    PyErr_Restore(type, value, traceback);
}

/* ---- Entering and leaving ------------------------------------------------------------ */

/* Stops the timer of a scope. */
static void stop_timer(struct rl_scope *scope) {
    if (scope->alarm.place)
        rl_timers_unset(scope->timers, &scope->alarm);
}

/* Starts the limit of a scope anew. Returns 0, or -1 with an exception set. */
static int set_timer(struct rl_scope *scope, struct rl_ring *ring, double seconds) {
    struct rl_timers *timers = rl_timers_of(ring);
    if (!timers)
        return -1;
    stop_timer(scope);
    scope->alarm.kind = RL_ALARM_OF_SCOPE;
    scope->timers = timers;
    return rl_timers_set(timers, &scope->alarm, seconds);
}

int rl_scope_expire(struct rl_alarm *alarm) {
    struct rl_scope *scope =
        (struct rl_scope *)((char *)alarm - offsetof(struct rl_scope, alarm));
    Py_INCREF(scope);
    int result = rl_scope_cancel(scope);
    if (result == 0)
        stop_timer(scope);
    Py_DECREF(scope);
    return result;
}

/* Starts the limit of an entered scope. Returns 0, or -1 with an exception set. */
static int start_limit(struct rl_scope *scope, struct rl_ring *ring) {
    double seconds = PyFloat_AsDouble(scope->limit);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    return seconds > 0 ? set_timer(scope, ring, seconds) : rl_scope_cancel(scope);
}

int rl_scope_enter(struct rl_scope *scope) {
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return -1;
    if (scope->entered) {
        PyErr_Format(rl_tasklet_error, "%R cannot be entered twice: make a new one", scope);
        return -1;
    }
    scope->entered = 1;
    scope->tasklet = (struct rl_tasklet *)Py_NewRef((PyObject *)ring->current);
    scope->greenlet = (PyGreenlet *)Py_NewRef((PyObject *)ring->thread->current);
    scope->outer = ring->current->scopes;
    ring->current->scopes = (struct rl_scope *)Py_NewRef((PyObject *)scope);
    if (scope->limit && start_limit(scope, ring) < 0) {
        rl_scope_leave(scope);
        return -1;
    }
    return 0;
}

void rl_scope_leave(struct rl_scope *scope) {
    struct rl_tasklet *tasklet = scope->tasklet;
    if (!tasklet)
        return;
    struct rl_scope **link = &tasklet->scopes;
    while (*link != scope)
        link = &(*link)->outer;
    *link = scope->outer;
    scope->outer = NULL;
    scope->tasklet = NULL;
    PyGreenlet *greenlet = scope->greenlet;
    PyObject *cancellation = scope->cancellation;
    scope->greenlet = NULL;
    scope->cancellation = NULL;
    if (tasklet->cancelling)
        update(tasklet);
    stop_timer(scope);
    Py_DECREF(greenlet);
    Py_XDECREF(cancellation);
    Py_DECREF(tasklet);
    Py_DECREF(scope); /* The list's. The caller has another one. */
}

/* ---- The type ------------------------------------------------------------------------- */

static PyObject *scope_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return rl_scope_enter((struct rl_scope *)self) < 0 ? NULL : Py_NewRef(self);
}

/* Whether an exception is the Cancelled of this scope; -1 with an exception set. */
static int is_own(PyObject *self, PyObject *error) {
    if (!PyObject_TypeCheck(error, (PyTypeObject *)rl_cancelled))
        return 0;
    PyObject *scope = PyObject_GetAttr(error, name_scope);
    Py_XDECREF(scope);
    return scope ? scope == self : -1;
}

/* One call of C, so that no signal handler can raise before the scope is left. */
static PyObject *scope_exit(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct rl_scope *self = (struct rl_scope *)object;
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "__exit__() takes 3 arguments (%zd given)", count);
    rl_scope_leave(self);
    int own = self->expired ? is_own(object, args[1]) : 0;
    PyObject *swallow = NULL;
    if (own > 0)
        swallow = PyObject_CallMethodOneArg(object, name_ended_by, args[1]);
    else if (own == 0)
        swallow = Py_NewRef(Py_False);
    Py_CLEAR(self->overtaken_by);
    return swallow;
}

/* The __exit__ of a group: the block is left, and then waited for what it has started,
   whatever is raised meanwhile. One call of C for the same reason. */
static PyObject *scope_exit_waiting(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct rl_scope *self = (struct rl_scope *)object;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "__exit__() takes 3 arguments (%zd given)", count);
    rl_scope_leave(self);
    PyObject *errors = PyList_New(0), *done = NULL;
    int failed = !errors || PyList_Append(errors, args[1]) < 0;
    while (!failed && !(done = PyObject_CallMethod(object, "_wait", "O", errors))) {
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        PyErr_NormalizeException(&type, &error, &traceback);
        if (traceback)
            PyException_SetTraceback(error, traceback);
        failed = PyList_Append(errors, error) < 0;
        if (!failed && (ring->barred || ring->current == ring->hub)) {
            PyErr_Restore(type, error, traceback); /* Nobody can wait here. */
            failed = 1;
            break;
        }
        Py_DECREF(type);
        Py_DECREF(error);
        Py_XDECREF(traceback);
    }
    Py_XDECREF(done);
    PyObject *swallow = failed ? NULL : PyObject_CallMethod(object, "_outcome", "O", errors);
    Py_XDECREF(errors);
    Py_CLEAR(self->overtaken_by);
    return swallow;
}

static PyObject *scope_expire(PyObject *self, PyObject *unused) {
    (void)unused;
    if (rl_scope_cancel((struct rl_scope *)self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *scope_set_limit(PyObject *object, PyObject *limit) {
    struct rl_scope *self = (struct rl_scope *)object;
    struct rl_tasklet *tasklet = self->tasklet;
    if (tasklet &&
        (!tasklet->ring || !rl_thread_self || rl_thread_self->ring != tasklet->ring))
        return PyErr_Format(rl_tasklet_error, "%R belongs to another thread", object);
    if (self->expired)
        return PyErr_Format(rl_tasklet_error, "%R has expired: it cannot be set anew", object);
    stop_timer(self);
    Py_CLEAR(self->cancellation);
    Py_XSETREF(self->limit, limit == Py_None ? NULL : Py_NewRef(limit));
    if (tasklet) {
        update(tasklet);
        if (self->limit && start_limit(self, tasklet->ring) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *get_active(PyObject *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(((struct rl_scope *)self)->tasklet != NULL);
}

static int scope_traverse(PyObject *object, visitproc visit, void *arg) {
    struct rl_scope *self = (struct rl_scope *)object;
    Py_VISIT(self->outer);
    Py_VISIT(self->tasklet);
    Py_VISIT(self->greenlet);
    Py_VISIT(self->cancellation);
    Py_VISIT(self->overtaken_by);
    Py_VISIT(self->limit);
    return 0;
}

static int scope_clear(PyObject *object) {
    struct rl_scope *self = (struct rl_scope *)object;
    Py_CLEAR(self->outer);
    Py_CLEAR(self->tasklet);
    Py_CLEAR(self->greenlet);
    Py_CLEAR(self->cancellation);
    Py_CLEAR(self->overtaken_by);
    Py_CLEAR(self->limit);
    return 0;
}

static void scope_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    stop_timer((struct rl_scope *)object);
    if (((struct rl_scope *)object)->weakreflist)
        PyObject_ClearWeakRefs(object);
    scope_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef scope_methods[] = {
    {"__enter__", scope_enter, METH_NOARGS, PyDoc_STR("__enter__()\n--\n\nEnter its block.")},
    {"__exit__", (PyCFunction)(void (*)(void))scope_exit, METH_FASTCALL,
     PyDoc_STR("__exit__(kind, error, traceback)\n--\n\n"
               "Leave its block. When its own Cancelled ends that, _ended_by(error) says what\n"
               "becomes of it.")},
    {"_exit_waiting", (PyCFunction)(void (*)(void))scope_exit_waiting, METH_FASTCALL,
     PyDoc_STR("_exit_waiting(kind, error, traceback)\n--\n\n"
               "Leave its block, then call _wait(errors), which parks until there is nothing to wait\n"
               "for, again and again until it returns; errors begins with what has ended the block,\n"
               "or None, and what _wait() raises comes behind. Returns what _outcome(errors) does.")},
    {"_expire", scope_expire, METH_NOARGS,
     PyDoc_STR("_expire()\n--\n\nCancel its block, once. From any thread.")},
    {"_set_limit", scope_set_limit, METH_O,
     PyDoc_STR("_set_limit(seconds)\n--\n\n"
               "Cancel its block after so many seconds from now, or from when it is entered; None\n"
               "for never. In place of the limit before, also one that is over but not raised yet.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef scope_members[] = {
    {"_is_shield", T_BOOL, offsetof(struct rl_scope, is_shield), 0,
     "Whether it keeps off what is for scopes around it."},
    {"_limit", T_OBJECT, offsetof(struct rl_scope, limit), READONLY, "Its seconds, or None."},
    {"_overtaken_by", T_OBJECT, offsetof(struct rl_scope, overtaken_by), READONLY,
     "The Cancelled of a scope around it that was raised in its block, or None."},
    {"expired", T_BOOL, offsetof(struct rl_scope, expired), READONLY,
     "Whether it has ended its block: its Cancelled has been raised there."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef scope_attributes[] = {
    {"active", get_active, NULL, "Whether it has been entered, and not left.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject rl_scope_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Scope",
    .tp_basicsize = sizeof(struct rl_scope),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = PyDoc_STR("Scope()\n--\n\nA block of a tasklet's code that can be cancelled."),
    .tp_new = PyType_GenericNew,
    .tp_dealloc = scope_dealloc,
    .tp_traverse = scope_traverse,
    .tp_clear = scope_clear,
    .tp_weaklistoffset = offsetof(struct rl_scope, weakreflist),
    .tp_methods = scope_methods,
    .tp_members = scope_members,
    .tp_getset = scope_attributes,
};

/* Makes the names that are looked up here. Returns 0, or -1 with an exception set. */
static int make_names(void) {
    name_scope = PyUnicode_InternFromString("scope");
    name_ended_by = PyUnicode_InternFromString("_ended_by");
    return name_scope && name_ended_by ? 0 : -1;
}

int rl_scope_init(PyObject *module) {
    PyObject *attributes = Py_BuildValue("{sO}", "scope", Py_None);
    if (!attributes || make_names() < 0)
        return -1;
    rl_cancelled = PyErr_NewExceptionWithDoc(
        "ringlet.Cancelled",
        "Raised in a tasklet that somebody has cancelled. One that ends with it ends in silence.\n\n"
        "Its attribute `scope` is the time limit or group whose doing it is, or None.",
        PyExc_BaseException, attributes);
    Py_DECREF(attributes);
    if (!rl_cancelled || PyModule_AddObjectRef(module, "Cancelled", rl_cancelled) < 0)
        return -1;
    return PyModule_AddType(module, &rl_scope_type);
}
