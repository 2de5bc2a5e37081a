/* SPDX-License-Identifier: MIT */
#include "capi.h"

#define RINGLET_IN_CORE 1
#include <ringlet.h>

#include "greenlet.h"
#include "greenlet_type.h"

/* Whether `object` is a greenlet. Returns 1, or 0 with TypeError set. */
static int is_greenlet(PyObject *object) {
    if (object && rl_greenlet_check(object))
        return 1;
    PyErr_BadArgument();
    return 0;
}

static struct rl_greenlet *impl(PyObject *greenlet) {
    return ((PyGreenlet *)greenlet)->impl;
}

/* ---- For ringlet.h, which says what each of them does ------------------- */

static PyObject *api_new(PyObject *run, PyObject *parent) {
    if (parent && !is_greenlet(parent))
        return NULL;
    PyObject *self = PyObject_CallFunctionObjArgs((PyObject *)&rl_greenlet_type, run, NULL);
    if (self && parent && rl_greenlet_set_parent(self, parent) < 0)
        Py_CLEAR(self);
    return self;
}

static PyObject *api_current(void) {
    struct rl_thread *thread = rl_thread_get();
    return thread ? Py_NewRef((PyObject *)thread->current) : NULL;
}

static PyObject *api_switch(PyObject *greenlet, PyObject *args, PyObject *kwargs) {
    if (!is_greenlet(greenlet))
        return NULL;
    if ((args && !PyTuple_Check(args)) || (kwargs && !PyDict_Check(kwargs))) {
        PyErr_BadArgument();
        return NULL;
    }
    args = args ? Py_NewRef(args) : PyTuple_New(0);
    return args ? rl_greenlet_switch((PyGreenlet *)greenlet, args, kwargs) : NULL;
}

static PyObject *api_throw(PyObject *greenlet, PyObject *type, PyObject *value,
                           PyObject *traceback) {
    if (!is_greenlet(greenlet))
        return NULL;
    return rl_greenlet_throw((PyGreenlet *)greenlet, type ? type : rl_greenlet_exit, value,
                             traceback);
}

static PyObject *api_parent(PyObject *greenlet) {
    return is_greenlet(greenlet) ? Py_XNewRef((PyObject *)impl(greenlet)->parent) : NULL;
}

static int api_set_parent(PyObject *greenlet, PyObject *parent) {
    return is_greenlet(greenlet) ? rl_greenlet_set_parent(greenlet, parent) : -1;
}

static int api_state(PyObject *greenlet) {
    return is_greenlet(greenlet) ? (int)impl(greenlet)->state : -1;
}

static int api_is_main(PyObject *greenlet) {
    return is_greenlet(greenlet) ? impl(greenlet)->is_main : -1;
}

_Static_assert((int)RL_NEW == RINGLET_NEW && (int)RL_SUSPENDED == RINGLET_SUSPENDED &&
                   (int)RL_RUNNING == RINGLET_RUNNING && (int)RL_DEAD == RINGLET_DEAD,
               "ringlet.h has the states as they are");

static struct ringlet_api api = {
    .version = RINGLET_API_VERSION,
    .greenlet_type = &rl_greenlet_type,
    .greenlet_new = api_new,
    .greenlet_current = api_current,
    .greenlet_switch = api_switch,
    .greenlet_throw = api_throw,
    .greenlet_parent = api_parent,
    .greenlet_set_parent = api_set_parent,
    .greenlet_state = api_state,
    .greenlet_is_main = api_is_main,
};

/* ---- For programs compiled for greenlet --------------------------------- */

/* Whether `greenlet` was ever started: 1, 0, or -1 with an exception set. */
static int compat_is_started(PyObject *greenlet) {
    int state = api_state(greenlet);
    return state < 0 ? state : state != RL_NEW;
}

/* Whether `greenlet` was started and has not ended: 1, 0, or -1 with an exception set. */
static int compat_is_active(PyObject *greenlet) {
    int state = api_state(greenlet);
    return state < 0 ? state : state == RL_SUSPENDED || state == RL_RUNNING;
}

/* They are compiled with these places. The two exceptions are made later. */
enum { ERROR_PLACE = 1, EXIT_PLACE = 2 };
static void *compat[12] = {
    &rl_greenlet_type,     NULL,
    NULL,                  (void *)api_new,
    (void *)api_current,   (void *)api_throw,
    (void *)api_switch,    (void *)api_set_parent,
    (void *)api_is_main,   (void *)compat_is_started,
    (void *)compat_is_active, (void *)api_parent,
};

/* Adds a capsule to the module. Returns 0, or -1 with an exception set. */
static int add(PyObject *module, const char *attribute, void *pointer, const char *name) {
    PyObject *capsule = PyCapsule_New(pointer, name, NULL);
    int result = capsule ? PyModule_AddObjectRef(module, attribute, capsule) : -1;
    Py_XDECREF(capsule);
    return result;
}

int rl_capi_init(PyObject *module) {
    api.greenlet_error = compat[ERROR_PLACE] = rl_error;
    api.greenlet_exit = compat[EXIT_PLACE] = rl_greenlet_exit;
    if (add(module, "capi", &api, RINGLET_CAPSULE) < 0)
        return -1;
    return add(module, "_C_API", compat, "greenlet._C_API");
}
