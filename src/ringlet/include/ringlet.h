/* SPDX-License-Identifier: MIT */
/* ringlet for extension modules: make greenlets, switch and throw in C.
 *
 *     #include <Python.h>
 *     #include <ringlet.h>
 *
 *     PyMODINIT_FUNC PyInit_mine(void) {
 *         if (Ringlet_Import() < 0)
 *             return NULL;
 *         ...
 *     }
 *
 * Compile with -I "$(python -c 'import ringlet; print(ringlet.get_include())')"; there is
 * nothing to link with. After Ringlet_Import() everything is reached through the pointer
 * `ringlet`, in each file that includes this header by a pointer of its own.
 *
 * All functions need the GIL, and greenlets belong to the thread that started them. Greenlets
 * are passed as PyObject *; what is no greenlet is refused with TypeError. A function that
 * switches returns when somebody switches back, after any amount of other code has run: what
 * it was given must be owned by the caller, not borrowed from a container.
 *
 * A local variable may not be reached from another greenlet by its address: the stack it is on
 * may have been moved away meanwhile. What is shared belongs on the heap.
 */
#ifndef RINGLET_H
#define RINGLET_H

#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when members are added at the end of struct ringlet_api; nothing else about it changes. */
#define RINGLET_API_VERSION 1

enum ringlet_state {
    RINGLET_NEW = 0,       /* Not started. */
    RINGLET_SUSPENDED = 1, /* Started, and waits for a switch. */
    RINGLET_RUNNING = 2,   /* The current greenlet of its thread. */
    RINGLET_DEAD = 3       /* Ended. */
};

struct ringlet_api {
    int version;                 /* RINGLET_API_VERSION of the ringlet that is installed. */
    PyTypeObject *greenlet_type; /* ringlet.greenlet. Its instances have 40 bytes; a static type of
                                    yours may have it as its base. */
    PyObject *greenlet_error;    /* ringlet.GreenletError. */
    PyObject *greenlet_exit;     /* ringlet.GreenletExit. */

    /* Makes a greenlet that will call `run`. NULL for `run`: it has to be set, or come from a
       subclass, before the start. NULL for `parent`: the current greenlet. Returns a new
       reference, or NULL with an exception set. */
    PyObject *(*greenlet_new)(PyObject *run, PyObject *parent);

    /* The running greenlet of the calling thread. Returns a new reference, or NULL with an
       exception set. */
    PyObject *(*greenlet_current)(void);

    /* Switches as greenlet.switch(*args, **kwargs) does. `args` is a tuple or NULL, `kwargs` a
       dict or NULL; both stay the caller's. Returns what the current greenlet is switched back
       with, a new reference, or NULL with the exception set that is raised in it. */
    PyObject *(*greenlet_switch)(PyObject *greenlet, PyObject *args, PyObject *kwargs);

    /* Switches as greenlet.throw(type, value, traceback) does; `value` and `traceback` may be
       NULL. Returns as greenlet_switch. */
    PyObject *(*greenlet_throw)(PyObject *greenlet, PyObject *type, PyObject *value,
                                PyObject *traceback);

    /* The parent: a new reference, or NULL, without an exception for a main greenlet. */
    PyObject *(*greenlet_parent)(PyObject *greenlet);

    /* Returns 0, or -1 with TypeError or ValueError set and the parent unchanged. */
    int (*greenlet_set_parent)(PyObject *greenlet, PyObject *parent);

    /* One of enum ringlet_state, or -1 with an exception set. */
    int (*greenlet_state)(PyObject *greenlet);

    /* Whether it is the one on its thread's own stack: 1, 0, or -1 with an exception set. */
    int (*greenlet_is_main)(PyObject *greenlet);
};

#define RINGLET_CAPSULE "ringlet._core.capi"

#ifndef RINGLET_IN_CORE
/* What Ringlet_Import() has found. */
static const struct ringlet_api *ringlet;

/* Imports ringlet and sets `ringlet`. Returns 0, or -1 with ImportError set: there is no ringlet,
   or one that is older than this header. */
static inline int Ringlet_Import(void) {
    const struct ringlet_api *found =
        (const struct ringlet_api *)PyCapsule_Import(RINGLET_CAPSULE, 0);
    if (!found)
        return -1;
    if (found->version < RINGLET_API_VERSION) {
        PyErr_Format(PyExc_ImportError,
                     "this was compiled for version %d of ringlet's C API, and the ringlet that is "
                     "installed has %d: install a newer one",
                     RINGLET_API_VERSION, found->version);
        return -1;
    }
    ringlet = found;
    return 0;
}

/* Whether an object is a greenlet, of any subclass: 1 or 0. */
static inline int Ringlet_Check(PyObject *object) {
    return PyObject_TypeCheck(object, ringlet->greenlet_type);
}
#endif

#ifdef __cplusplus
}
#endif

#endif
