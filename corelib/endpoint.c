/* SPDX-License-Identifier: MIT */
#include "endpoint.h"

#include <errno.h>
#include <math.h>
#include <structmember.h>

#include "descriptor.h"

/* --- waiting ---------------------------------------------------------------- */

/* The entry of this endpoint in the calling thread's table; NULL when it has not
   been waited for there yet. */
static struct rl_descriptor *entry_of(const struct rl_endpoint *endpoint) {
    struct rl_descriptors *all = rl_descriptors_here();
    return all ? rl_descriptor_find(all, endpoint->fd, endpoint->serial) : NULL;
}

int rl_endpoint_is_drained(const struct rl_endpoint *endpoint) {
    const struct rl_descriptor *entry = entry_of(endpoint);
    return entry && entry->drained && !entry->unusual;
}

void rl_endpoint_set_drained(const struct rl_endpoint *endpoint) {
    struct rl_descriptor *entry = entry_of(endpoint);
    if (entry)
        entry->drained = 1;
}

int rl_endpoint_take_turn(struct rl_endpoint *endpoint) {
    struct rl_descriptors *all = rl_descriptors_here();
    return all && endpoint->timeout != 0.0 ? rl_descriptors_take_turn(all) : 0;
}

/* Says that the descriptor was closed while an operation waited. Returns -1. */
static int closed_while(const char *doing) {
    PyObject *text = PyUnicode_FromFormat("closed while %s was waiting", doing);
    PyObject *error = text ? PyObject_CallFunction(PyExc_OSError, "iO", EBADF, text) : NULL;
    if (error)
        PyErr_SetObject(PyExc_OSError, error);
    Py_XDECREF(text);
    Py_XDECREF(error);
    return -1;
}

/* rl_endpoint_wait for callers that others may have run after who tried last. */
static int wait_or_retry(struct rl_descriptors *all, struct rl_endpoint *endpoint, int mask,
                         double *deadline, const char *doing) {
    if (isnan(*deadline)) {
        *deadline = INFINITY;
        if (endpoint->timeout >= 0) {
            if (rl_descriptors_now(all, deadline) < 0)
                return -1;
            *deadline += endpoint->timeout;
        }
    }
    if (rl_descriptor_wait(all, endpoint->fd, endpoint->serial, mask, *deadline, doing,
                           (PyObject *)endpoint) < 0)
        return -1;
    return endpoint->fd < 0 ? closed_while(doing) : 0;
}

int rl_endpoint_wait(struct rl_endpoint *endpoint, int mask, double *deadline, const char *doing) {
    struct rl_descriptors *all = rl_descriptors_get();
    struct rl_descriptor *entry = entry_of(endpoint);
    if (!all)
        return -1;
    if (entry)
        entry->unseen &= (char)~mask; /* What was reported before the try is void. */
    return wait_or_retry(all, endpoint, mask, deadline, doing);
}

/* --- the type --------------------------------------------------------------- */

/* Ends the use of the descriptor, in all threads. Returns 0, or -1 with an
   exception set. */
static int forget(struct rl_endpoint *self, int is_open) {
    int fd = self->fd;
    if (fd < 0)
        return 0;
    self->fd = -1; /* First: who is woken looks here. */
    return rl_descriptor_forget(fd, self->serial, is_open);
}

/* Reads a timeout. Returns 0, or -1 with an exception set. */
static int parse_timeout(PyObject *value, double *timeout) {
    if (value == Py_None) {
        *timeout = -1.0;
        return 0;
    }
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (!(seconds >= 0.0)) {
        PyErr_SetString(PyExc_ValueError, "Timeout value out of range: give seconds >= 0, or None");
        return -1;
    }
    *timeout = seconds;
    return 0;
}

static PyObject *endpoint_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fd", "stream", "plain", "timeout", NULL};
    int fd, stream, plain;
    double timeout;
    PyObject *value;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "ippO:Endpoint", names, &fd, &stream, &plain, &value))
        return NULL;
    if (parse_timeout(value, &timeout) < 0)
        return NULL;
    struct rl_endpoint *self = (struct rl_endpoint *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->fd = fd;
    self->serial = rl_descriptor_serial();
    self->timeout = timeout;
    self->stream = (char)stream;
    self->plain = (char)plain;
    return (PyObject *)self;
}

static void endpoint_dealloc(PyObject *object) {
    /* Whoever drops an open socket has had its descriptor closed just now. */
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (forget((struct rl_endpoint *)object, 0) < 0)
        PyErr_WriteUnraisable(NULL);
    PyErr_Restore(type, value, traceback);
    Py_TYPE(object)->tp_free(object);
}

PyDoc_STRVAR(wait_doc, "wait($self, mask, deadline, doing, /)\n--\n\n"
"Park until the descriptor is ready for mask, and return the operation's deadline, which\n"
"is None for its first wait. A wake is a hint.\n\n"
"Raises TimeoutError; OSError (EBADF) if the endpoint was closed meanwhile.");

static PyObject *endpoint_wait(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    double deadline = NAN;
    const char *doing;
    if (count != 3) {
        PyErr_Format(PyExc_TypeError, "wait() takes 3 arguments but %zd were given", count);
        return NULL;
    }
    long mask = PyLong_AsLong(args[0]);
    if (args[1] != Py_None)
        deadline = PyFloat_AsDouble(args[1]);
    struct rl_descriptors *all = rl_descriptors_get();
    if (PyErr_Occurred() || !(doing = PyUnicode_AsUTF8(args[2])))
        return NULL;
    if (wait_or_retry(all, (struct rl_endpoint *)object, (int)mask, &deadline, doing) < 0)
        return NULL;
    return PyFloat_FromDouble(deadline);
}

PyDoc_STRVAR(take_turn_doc, "take_turn($self, /)\n--\n\n"
"Called before an operation is tried: every so many times it lets the others run, for one\n"
"that never has to wait would not.");

static PyObject *endpoint_take_turn(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    if (rl_endpoint_take_turn((struct rl_endpoint *)object) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wake_doc, "wake($self, mask, /)\n--\n\n"
"Let the tasklets of this thread that wait for something in mask try again, because what they\n"
"lack has come in another way.");

static PyObject *endpoint_wake(PyObject *object, PyObject *value) {
    const struct rl_endpoint *self = (struct rl_endpoint *)object;
    long mask = PyLong_AsLong(value);
    if (mask == -1 && PyErr_Occurred())
        return NULL;
    if (entry_of(self))
        rl_descriptor_report(rl_descriptors_here(), self->fd, (int)mask, 0);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(hold_doc, "hold($self, flag, /)\n--\n\n"
"Say whether there is input that was received and that nobody has read yet, so that select and\n"
"poll find the descriptor readable in this thread.");

static PyObject *endpoint_hold(PyObject *object, PyObject *value) {
    const struct rl_endpoint *self = (struct rl_endpoint *)object;
    struct rl_descriptors *all = rl_descriptors_get();
    int holds = PyObject_IsTrue(value);
    if (!all || holds < 0 || rl_descriptor_hold(all, self->fd, self->serial, holds) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(forget_doc, "forget($self, /)\n--\n\n"
"The descriptor is about to be closed or given away. Whoever waits for it gets an OSError.\n"
"Harmless when repeated.");

static PyObject *endpoint_forget(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    if (forget((struct rl_endpoint *)object, 1) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* What a tasklet is shown to wait for: the descriptor, and all that waits there. */
static PyObject *endpoint_repr(PyObject *object) {
    const struct rl_endpoint *self = (struct rl_endpoint *)object;
    const struct rl_descriptor *entry = entry_of(self);
    const struct rl_waiter *waiter = entry ? entry->first : NULL;
    if (self->fd < 0)
        return PyUnicode_FromString("<closed socket>");
    PyObject *text = PyUnicode_FromFormat("<socket %d", self->fd);
    for (const char *between = ": "; text && waiter; waiter = waiter->next, between = ", ")
        Py_SETREF(text, PyUnicode_FromFormat("%U%s%s", text, between, waiter->doing));
    if (text)
        Py_SETREF(text, PyUnicode_FromFormat("%U>", text));
    return text;
}

static PyMethodDef methods[] = {
    {"wait", (PyCFunction)(void (*)(void))endpoint_wait, METH_FASTCALL, wait_doc},
    {"take_turn", endpoint_take_turn, METH_NOARGS, take_turn_doc},
    {"wake", endpoint_wake, METH_O, wake_doc},
    {"hold", endpoint_hold, METH_O, hold_doc},
    {"forget", endpoint_forget, METH_NOARGS, forget_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"fd", T_INT, offsetof(struct rl_endpoint, fd), READONLY,
     "The descriptor; -1 once it was closed or given away."},
    {"plain", T_BOOL, offsetof(struct rl_endpoint, plain), 0,
     "Whether it is a TCP stream, where a short read means that there is no more."},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *get_timeout(PyObject *object, void *Py_UNUSED(closure)) {
    double timeout = ((struct rl_endpoint *)object)->timeout;
    return timeout < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(timeout);
}

static int set_timeout(PyObject *object, PyObject *value, void *Py_UNUSED(closure)) {
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "timeout cannot be deleted; set it to None");
        return -1;
    }
    return parse_timeout(value, &((struct rl_endpoint *)object)->timeout);
}

static PyGetSetDef getset[] = {
    {"timeout", get_timeout, set_timeout,
     "Seconds an operation may wait; 0.0: not at all; None: without limit.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject rl_endpoint_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Endpoint",
    .tp_doc = "Endpoint(fd, stream, plain, timeout)\n--\n\n"
              "What the scheduler keeps of one open socket. The socket is in non-blocking mode.",
    .tp_basicsize = sizeof(struct rl_endpoint),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = endpoint_new,
    .tp_dealloc = endpoint_dealloc,
    .tp_repr = endpoint_repr,
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = getset,
};

int rl_endpoint_init(PyObject *module) {
    return PyModule_AddType(module, &rl_endpoint_type);
}
