/* SPDX-License-Identifier: MIT */
/* Turns of limited length: units of work are counted while a limit is set, and when a
   turn has used up its own, a Python function is called in the midst of it.

   A unit is the entry of a Python function, the call of a builtin function, or a jump
   backwards. From 3.12 on sys.monitoring reports them, to tick_start(), tick_call() and
   tick_jump(): no loop is without one. Before, a trace function does, see set_ticker(),
   and a loop on one line without a call has none. Nothing is counted in the hub, and in
   ringlet's own code. */
#include "ring.h"

static PyObject *own_prefix; /* What file names of ringlet's own code begin with; or NULL. */

/* Whether code is ringlet's own. */
static int is_own(PyObject *code) {
    if (!own_prefix || !PyCode_Check(code))
        return 0;
    PyObject *name = ((PyCodeObject *)code)->co_filename;
    return PyUnicode_Tailmatch(name, own_prefix, 0, PY_SSIZE_T_MAX, -1) == 1;
}

/* Counts one unit, done by `code`. Returns 0, or -1 with an exception set. */
static int tick(PyObject *code) {
    struct rl_thread *thread = rl_thread_self;
    struct rl_ring *ring = thread ? thread->ring : NULL;
    if (!ring || !ring->slice || ring->current == ring->hub || is_own(code))
        return 0;
    if (ring->left > 0 && --ring->left > 0)
        return 0;
    /* Where nothing may switch, it is tried again at the next unit. */
    if (ring->barred || rl_pystate_is_collecting(thread->ts))
        return 0;
    PyObject *overtime = Py_NewRef(ring->overtime);
    PyObject *done = PyObject_CallNoArgs(overtime);
    Py_DECREF(overtime);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static PyObject *tick_start(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count > 0 && tick(args[0]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *tick_call(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    int is_builtin = count > 2 && (PyCFunction_Check(args[2]) ||
                                   Py_IS_TYPE(args[2], &PyMethodDescr_Type));
    if (is_builtin && tick(args[0]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *tick_jump(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count == 3 && PyLong_Check(args[1]) && PyLong_Check(args[2]) &&
        PyLong_AsLong(args[2]) <= PyLong_AsLong(args[1]) && tick(args[0]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *set_ticker(PyObject *module, PyObject *flag) {
    (void)module;
    struct rl_ring *ring = rl_ring_get();
    int on = PyObject_IsTrue(flag);
    if (!ring || on < 0)
        return NULL;
    return PyBool_FromLong(rl_pystate_set_ticker(ring->thread->ts, on ? tick : NULL) == 0);
}

static PyObject *set_slice(PyObject *module, PyObject *args) {
    (void)module;
    Py_ssize_t units;
    int is_total;
    PyObject *overtime;
    struct rl_ring *ring = rl_ring_get();
    if (!ring || !PyArg_ParseTuple(args, "npO:set_slice", &units, &is_total, &overtime))
        return NULL;
    if (units < 0 || (units > 0 && !PyCallable_Check(overtime))) {
        PyErr_SetString(PyExc_ValueError, "a slice is a number of units, 0 or more, and if it is "
                                          "more there has to be a function to call");
        return NULL;
    }
    PyObject *before = ring->overtime;
    ring->slice = ring->left = units;
    ring->slice_is_total = is_total;
    ring->overtime = units ? Py_NewRef(overtime) : NULL;
    if (units)
        ring->thread->slow |= RL_SLOW_SLICED;
    else
        ring->thread->slow &= ~(unsigned)RL_SLOW_SLICED;
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

static PyObject *set_own_code(PyObject *module, PyObject *prefix) {
    (void)module;
    if (!PyUnicode_Check(prefix))
        return PyErr_Format(PyExc_TypeError, "set_own_code() wants a str, not %s",
                            Py_TYPE(prefix)->tp_name);
    Py_INCREF(prefix);
    Py_XSETREF(own_prefix, prefix);
    Py_RETURN_NONE;
}

static PyObject *is_called_by_c(PyObject *module, PyObject *frame) {
    (void)module;
    if (!PyFrame_Check(frame))
        return PyErr_Format(PyExc_TypeError, "is_called_by_c() wants a frame, not %s",
                            Py_TYPE(frame)->tp_name);
    return PyBool_FromLong(rl_pystate_is_called_by_c((PyFrameObject *)frame));
}

static PyMethodDef functions[] = {
    {"tick_start", (PyCFunction)(void (*)(void))tick_start, METH_FASTCALL,
     PyDoc_STR("tick_start(code, offset)\n--\n\nFor sys.monitoring: code is entered.")},
    {"tick_call", (PyCFunction)(void (*)(void))tick_call, METH_FASTCALL,
     PyDoc_STR("tick_call(code, ...)\n--\n\nFor sys.monitoring: code calls something.")},
    {"tick_jump", (PyCFunction)(void (*)(void))tick_jump, METH_FASTCALL,
     PyDoc_STR("tick_jump(code, from_offset, to_offset)\n--\n\nFor sys.monitoring: code jumps.")},
    {"set_ticker", set_ticker, METH_O,
     PyDoc_STR("set_ticker(flag)\n--\n\n"
               "Count the units of this thread, or no more, by a trace function, in front of one\n"
               "that is set already. False where sys.monitoring is to do it.")},
    {"set_slice", set_slice, METH_VARARGS,
     PyDoc_STR("set_slice(units, is_total, overtime)\n--\n\n"
               "Let turns in this thread take `units` each, or if is_total all together. When they\n"
               "are used up, overtime() is called in the midst of the turn, and again at each\n"
               "further unit. 0 units: there is no limit.")},
    {"set_own_code", set_own_code, METH_O,
     PyDoc_STR("set_own_code(prefix)\n--\n\n"
               "Count nothing in code whose file name begins with prefix. For the whole process.")},
    {"is_called_by_c", is_called_by_c, METH_O,
     PyDoc_STR("is_called_by_c(frame)\n--\n\n"
               "Whether the function of a running frame was called by C code.")},
    {NULL, NULL, 0, NULL},
};

int rl_slices_init(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}
