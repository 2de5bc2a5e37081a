/* SPDX-License-Identifier: MIT */
/* The extension module ringlet._core. */
#include <Python.h>

#include "arena.h"
#include "channel.h"
#include "greenlet.h"
#include "greenlet_type.h"
#include "netio.h"
#include "ring.h"
#include "switch/switch.h"
#include "thread.h"

PyDoc_STRVAR(module_doc, "ringlet's C core. Use it through the package ringlet.");

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ringlet._core",
    .m_doc = module_doc,
    .m_size = -1,
};

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

PyMODINIT_FUNC PyInit__core(void) {
    const char *cache = getenv("RINGLET_ARENA_CACHE");
    if (check_place() < 0 || rl_thread_configure() < 0)
        return NULL;
    rl_greenlet_init();
    if (!cache || strcmp(cache, "0") != 0)
        rl_arena_install();
    PyObject *module = PyModule_Create(&definition);
    if (module && (rl_greenlet_type_init(module) < 0 || rl_ring_init(module) < 0 ||
                   rl_tasklet_init(module) < 0 || rl_channel_init(module) < 0 ||
                   rl_netio_init(module) < 0))
        Py_CLEAR(module);
    return module;
}
