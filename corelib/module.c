/* SPDX-License-Identifier: MIT */
/* The extension module ringlet._core. */
#include <Python.h>

#include "arena.h"
#include "capi.h"
#include "channel.h"
#include "greenlet.h"
#include "greenlet_type.h"
#include "joining.h"
#include "netio.h"
#include "pystate.h"
#include "ring.h"
#include "scope.h"
#include "switch/switch.h"
#include "thread.h"
#include "timed.h"
#include "timers.h"
#include "waiters.h"

PyDoc_STRVAR(module_doc, "ringlet's C core. Use it through the package ringlet.");

/* Whether stacks can be switched in this process and interpreter. Returns 0, or
   -1 with ImportError set. */
static int check_place(void) {
    const char *obstacle = rl_switch_obstacle();
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError,
                        "ringlet cannot be used in a subinterpreter; import it in the main one");
        return -1;
    }
    if (obstacle) {
        PyErr_Format(PyExc_ImportError, "ringlet cannot be used: %s", obstacle);
        return -1;
    }
    return 0;
}

/* Makes the module. Its types and exceptions exist once in a process, so when it is
   imported again, because sys.modules has lost it, it is the same module. Every
   import comes here, and so one in a subinterpreter is refused whether or not
   the main interpreter has imported it before. Returns a new reference, or NULL
   with an exception set. */
static PyObject *create(PyObject *spec, PyModuleDef *unused) {
    static PyObject *module;
    const char *cache = getenv("RINGLET_ARENA_CACHE");
    (void)spec;
    (void)unused;
    if (check_place() < 0)
        return NULL;
    if (module)
        return Py_NewRef(module);
    if (rl_pystate_setup() < 0 || rl_thread_configure() < 0 || rl_greenlet_init() < 0)
        return NULL;
    if (!cache || strcmp(cache, "0") != 0)
        rl_arena_install();
    PyObject *fresh = PyModule_New("ringlet._core");
    if (fresh && (rl_greenlet_type_init(fresh) < 0 || rl_capi_init(fresh) < 0 ||
                  rl_ring_init(fresh) < 0 || rl_tasklet_init(fresh) < 0 ||
                  rl_turns_init(fresh) < 0 || rl_slices_init(fresh) < 0 ||
                  rl_timers_init(fresh) < 0 || rl_timed_init(fresh) < 0 ||
                  rl_scope_init(fresh) < 0 || rl_joining_init(fresh) < 0 ||
                  rl_inspect_init(fresh) < 0 || rl_channel_init(fresh) < 0 ||
                  rl_lock_init(fresh) < 0 || rl_semaphore_init(fresh) < 0 ||
                  rl_event_init(fresh) < 0 || rl_queue_init(fresh) < 0 ||
                  rl_netio_init(fresh) < 0))
        Py_CLEAR(fresh);
    module = Py_XNewRef(fresh);
    return fresh;
}

static struct PyModuleDef_Slot slots[] = {
    {Py_mod_create, (void *)create},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ringlet._core",
    .m_doc = module_doc,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&definition);
}
