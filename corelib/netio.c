/* SPDX-License-Identifier: MIT */
#include "netio.h"

#include <structmember.h>

#include "descriptor.h"
#include "endpoint.h"
#include "levels.h"
#include "nowait.h"
#include "poller.h"
#include "socket_methods.h"

/* --- the type Descriptors --------------------------------------------------- */

static PyObject *descriptors_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Descriptors", names))
        return NULL;
    return (PyObject *)rl_descriptors_new(type);
}

static void descriptors_dealloc(PyObject *object) {
    rl_descriptors_free((struct rl_descriptors *)object);
    Py_TYPE(object)->tp_free(object);
}

PyDoc_STRVAR(poll_doc, "poll($self, seconds, /)\n--\n\n"
"For the hub: wait up to seconds (None: without limit) for descriptors to become ready, and\n"
"wake the tasklets that wait for them. Does not wait while somebody is ready to run, and\n"
"returns early for a signal or a wakeup(). Raises what a signal handler raised; no event is\n"
"lost by that.");

static PyObject *descriptors_poll(PyObject *self, PyObject *value) {
    double seconds;
    struct rl_descriptors *all = rl_descriptors_get();
    if (!all || rl_levels_parse_seconds(value, &seconds) < 0)
        return NULL;
    if ((PyObject *)all != self) {
        PyErr_SetString(rl_tasklet_error, "poll() is for the hub these descriptors belong to");
        return NULL;
    }
    if (rl_poller_poll(all, seconds) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wakeup_doc, "wakeup($self, /)\n--\n\n"
"End a poll() under way, or else the next one. From any thread and any signal handler.");

static PyObject *descriptors_wakeup(PyObject *self, PyObject *Py_UNUSED(none)) {
    struct rl_descriptors *all = (struct rl_descriptors *)self;
    if (!all->closed)
        rl_epoll_wake(&all->epoll);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(watch_signals_doc, "watch_signals($self, fd, /)\n--\n\n"
"End a poll(), too, when something is written to the other end of fd, a pipe that does not\n"
"block and whose contents nobody wants. -1 for none any more, before it is closed.");

static PyObject *descriptors_watch_signals(PyObject *self, PyObject *value) {
    long fd = PyLong_AsLong(value);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    if (rl_epoll_watch_signals(&((struct rl_descriptors *)self)->epoll, (int)fd) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(expire_doc, "expire($self, fd, /)\n--\n\n"
"For a timer: raise TimeoutError in those whose time to wait for fd is over.");

static PyObject *descriptors_expire(PyObject *self, PyObject *value) {
    long fd = PyLong_AsLong(value);
    if ((fd == -1 && PyErr_Occurred()) ||
        rl_descriptor_expire((struct rl_descriptors *)self, (int)fd) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\nFree the hub's descriptors. Harmless when repeated.");

static PyObject *descriptors_close(PyObject *self, PyObject *Py_UNUSED(none)) {
    rl_descriptors_close((struct rl_descriptors *)self);
    Py_RETURN_NONE;
}

static PyObject *get_waits(PyObject *self, void *Py_UNUSED(closure)) {
    return PyBool_FromLong(((struct rl_descriptors *)self)->waiting > 0);
}

static PyMethodDef descriptors_methods[] = {
    {"poll", descriptors_poll, METH_O, poll_doc},
    {"wakeup", descriptors_wakeup, METH_NOARGS, wakeup_doc},
    {"watch_signals", descriptors_watch_signals, METH_O, watch_signals_doc},
    {"expire", descriptors_expire, METH_O, expire_doc},
    {"close", descriptors_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef descriptors_members[] = {
    {"wakeup_fd", T_INT, offsetof(struct rl_descriptors, epoll.wakeup), READONLY,
     "The eventfd that ends a poll; -1 once closed."},
    {"waiting", T_PYSSIZET, offsetof(struct rl_descriptors, waiting), READONLY,
     "How many tasklets wait for a descriptor."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef descriptors_getset[] = {
    {"waits", get_waits, NULL, "Whether any tasklet waits for a descriptor.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject rl_descriptors_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Descriptors",
    .tp_doc = "Descriptors()\n--\n\nWho waits for which descriptor, and the poller of one hub.",
    .tp_basicsize = sizeof(struct rl_descriptors),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = descriptors_new,
    .tp_dealloc = descriptors_dealloc,
    .tp_methods = descriptors_methods,
    .tp_members = descriptors_members,
    .tp_getset = descriptors_getset,
};

/* --- functions -------------------------------------------------------------- */

PyDoc_STRVAR(use_doc, "use_poller($module, poller, /)\n--\n\n"
"Make this thread's hub ask poller, an object with the methods of sched.pollers.Poller, or\n"
"epoll for None. The one before is closed. Nobody who waits notices.");

static PyObject *use_poller(PyObject *Py_UNUSED(module), PyObject *poller) {
    struct rl_descriptors *all = rl_descriptors_get();
    if (!all || rl_poller_use(all, poller == Py_None ? NULL : poller) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(install_doc, "install_socket_methods($module, cls, /)\n--\n\n"
"Give cls, the one class of sockets, its fast methods. They work on the Endpoint that each\n"
"instance has in the slot _endpoint.");

static PyMethodDef functions[] = {
    {"use_poller", use_poller, METH_O, use_doc},
    {"install_socket_methods", rl_socket_methods_install, METH_O, install_doc},
    {NULL, NULL, 0, NULL},
};

int rl_netio_init(PyObject *module) {
    if (rl_descriptor_init() < 0 || PyModule_AddType(module, &rl_descriptors_type) < 0 ||
        rl_endpoint_init(module) < 0 || rl_nowait_init(module) < 0 ||
        rl_levels_init(module) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
