/* SPDX-License-Identifier: MIT */
/* What there is, in all threads, for those who look on: reports, the watchdog and
   leak checks. Each function takes its picture at one moment: no other thread and
   no finalizer runs meanwhile. */
#include "ring.h"

/* Appends `item` (stolen, may be NULL) to `list`. Returns 0, or -1 with an
   exception set, which is set already when item is NULL. */
static int append(PyObject *list, PyObject *item) {
    int failed = !item || PyList_Append(list, item) < 0;
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

/* A list of the tasklets of `ring` that have started and not ended, oldest first,
   without main. A new reference, or NULL with an exception set. */
static PyObject *living_of(struct rl_ring *ring) {
    PyObject *list = PyList_New(ring->living_count);
    Py_ssize_t place = ring->living_count;
    for (struct rl_tasklet *tasklet = ring->living; list && tasklet; tasklet = tasklet->older)
        PyList_SET_ITEM(list, --place, Py_NewRef((PyObject *)tasklet));
    return list;
}

/* A number that every switch of `ring` raises. */
static unsigned long long switches_of(struct rl_ring *ring) {
    /* 2^20 are more than there can be in a round. */
    return (ring->rounds << 20) + ring->since_poll;
}

/* What rings() says of one: a new reference, or NULL with an exception set. */
static PyObject *describe(struct rl_ring *ring) {
    PyObject *living = living_of(ring);
    if (!living)
        return NULL;
    return Py_BuildValue("(kOOOOKON)", ring->thread->ts->thread_id, ring->hub_object,
                         (PyObject *)ring->hub, (PyObject *)ring->main, (PyObject *)ring->current,
                         switches_of(ring), ring->polling ? Py_True : Py_False, living);
}

static PyObject *rings(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    int was_enabled = PyGC_Disable();
    PyObject *list = PyList_New(0);
    for (struct rl_ring *ring = rl_rings; list && ring; ring = ring->next)
        if (append(list, describe(ring)) < 0)
            Py_CLEAR(list);
    if (was_enabled)
        PyGC_Enable();
    return list;
}

static PyObject *turns(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    int was_enabled = PyGC_Disable();
    PyObject *list = PyList_New(0);
    for (struct rl_ring *ring = rl_rings; list && ring; ring = ring->next) {
        int alone = ring->current == ring->main && ring->living_count == 0;
        PyObject *rests = alone || ring->polling ? Py_True : Py_False;
        if (append(list, Py_BuildValue("(kKO)", ring->thread->ts->thread_id, switches_of(ring),
                                       rests)) < 0)
            Py_CLEAR(list);
    }
    if (was_enabled)
        PyGC_Enable();
    return list;
}

static PyObject *suspended_greenlets(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_thread *thread = rl_thread_self;
    int was_enabled = PyGC_Disable();
    PyObject *list = PyList_New(0);
    for (struct rl_greenlet *g = thread ? thread->started : NULL; list && g; g = g->next) {
        /* Those of tasklets are found with their tasklets. */
        if (g->state != RL_SUSPENDED || g->body)
            continue;
        if (append(list, Py_NewRef((PyObject *)g->self)) < 0)
            Py_CLEAR(list);
    }
    if (was_enabled)
        PyGC_Enable();
    return list;
}

static PyObject *others_ready(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    struct rl_tasklet *first = ring->current->next;
    if (first == ring->hub)
        first = first->next;
    return PyBool_FromLong(first != ring->current);
}

static PyObject *left_at(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    return ring ? Py_BuildValue("(Kd)", ring->rounds, ring->hub_since) : NULL;
}

/* ---- Where tasklets come from ------------------------------------------------- */

/* So many calls are noted: enough to get out of what of ours starts it. */
enum { CALLS_NOTED = 6 };

int rl_note_origins;

void rl_tasklet_note_origin(struct rl_tasklet *tasklet) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    int was_enabled = PyGC_Disable();
    PyObject *list = PyList_New(0);
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get()), *caller;
    for (int i = 0; list && frame && i < CALLS_NOTED; i++) {
        if (append(list, (PyObject *)PyFrame_GetCode(frame)) < 0 ||
            append(list, PyLong_FromLong(PyFrame_GetLineNumber(frame))) < 0)
            Py_CLEAR(list);
        caller = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = caller;
    }
    Py_XDECREF(frame);
    PyObject *before = tasklet->origin;
    tasklet->origin = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(before);
    Py_XDECREF(list);
    if (was_enabled)
        PyGC_Enable();
    PyErr_Restore(type, value, traceback);
}

static PyObject *note_origins(PyObject *module, PyObject *flag) {
    (void)module;
    int on = PyObject_IsTrue(flag);
    if (on < 0)
        return NULL;
    rl_note_origins += on ? 1 : -1;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"rings", rings, METH_NOARGS,
     PyDoc_STR("rings()\n--\n\n"
               "The schedulers of all threads, the youngest first, as tuples: the thread's ident, the\n"
               "hub, the tasklet it runs as, the main tasklet, the running one, a number that every\n"
               "switch raises, whether the hub waits for something to happen, and a list of the other\n"
               "tasklets, oldest first. Other threads go on meanwhile.")},
    {"left_at", left_at, METH_NOARGS,
     PyDoc_STR("left_at()\n--\n\n"
               "How often this thread's hub has run, and when, by monotonic(), the turn last came to it\n"
               "from a tasklet.")},
    {"note_origins", note_origins, METH_O,
     PyDoc_STR("note_origins(flag)\n--\n\n"
               "Have it noted, in all threads, where tasklets are started; once for each True, until\n"
               "there was a False for it.")},
    {"others_ready", others_ready, METH_NOARGS,
     PyDoc_STR("others_ready()\n--\n\n"
               "Whether any tasklet of this thread but the running one and the hub is ready.")},
    {"suspended_greenlets", suspended_greenlets, METH_NOARGS,
     PyDoc_STR("suspended_greenlets()\n--\n\n"
               "The raw greenlets of the calling thread that have started and not ended, without the\n"
               "running one and those of tasklets.")},
    {"turns", turns, METH_NOARGS,
     PyDoc_STR("turns()\n--\n\n"
               "How far the schedulers of all threads are, as tuples: the thread's ident, a number that\n"
               "every switch raises, and whether nobody is held up: the hub waits, or the main tasklet\n"
               "runs and is the only one. Takes no time to speak of, however many tasklets there are.")},
    {NULL, NULL, 0, NULL},
};

int rl_inspect_init(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}
