/* SPDX-License-Identifier: MIT */
/* The scheduler as functions of the module, for the Python half of it. */
#include "ring.h"

/* ---- For every tasklet -------------------------------------------------------- */

static PyObject *schedule(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    if (!ring || rl_ring_yield(ring) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *park(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (count > 2) {
        PyErr_Format(PyExc_TypeError, "park() takes at most 2 arguments (%zd given)", count);
        return NULL;
    }
    PyObject *waiting_on = count > 0 && args[0] != Py_None ? args[0] : NULL;
    PyObject *unlink = count > 1 && args[1] != Py_None ? args[1] : NULL;
    return rl_ring_park_calling(ring, waiting_on, unlink);
}

/* Checks that the first of `count` arguments, `least` to `most`, is a tasklet.
   Returns it, borrowed, or NULL with TypeError set. */
static struct rl_tasklet *tasklet_argument(const char *function, PyObject *const *args,
                                           Py_ssize_t count, Py_ssize_t least, Py_ssize_t most) {
    if (count < least || count > most) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)", function,
                     least, most, count);
        return NULL;
    }
    if (!rl_tasklet_check(args[0])) {
        PyErr_Format(PyExc_TypeError, "%s() wants a tasklet first, not %s", function,
                     Py_TYPE(args[0])->tp_name);
        return NULL;
    }
    return (struct rl_tasklet *)args[0];
}

static PyObject *wake(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct rl_tasklet *tasklet = tasklet_argument("wake", args, count, 1, 2);
    if (!tasklet)
        return NULL;
    if (tasklet->state == RL_TASKLET_PARKED && tasklet->unlinker)
        return PyErr_Format(rl_tasklet_error, "cannot wake %R: only what it waits for can do that",
                            (PyObject *)tasklet);
    return PyBool_FromLong(rl_ring_wake(tasklet, count > 1 ? Py_NewRef(args[1]) : NULL));
}

/* Checks the arguments of throw() and interrupt(). Returns the tasklet, borrowed,
   or NULL with TypeError set. */
static struct rl_tasklet *throw_arguments(const char *function, PyObject *const *args,
                                          Py_ssize_t count) {
    struct rl_tasklet *tasklet = tasklet_argument(function, args, count, 2, 2);
    if (tasklet && !PyExceptionInstance_Check(args[1])) {
        PyErr_Format(PyExc_TypeError, "%s() wants an exception instance, not %s", function,
                     Py_TYPE(args[1])->tp_name);
        return NULL;
    }
    return tasklet;
}

static PyObject *interrupt(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct rl_tasklet *tasklet = throw_arguments("interrupt", args, count);
    return tasklet ? PyBool_FromLong(rl_ring_throw(tasklet, Py_NewRef(args[1]))) : NULL;
}

static PyObject *throw(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    struct rl_tasklet *tasklet = throw_arguments("throw", args, count);
    if (!tasklet)
        return NULL;
    return PyBool_FromLong(rl_ring_throw_later(tasklet, args[1]));
}

static PyObject *throw_main(PyObject *module, PyObject *error) {
    (void)module;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    if (!PyExceptionInstance_Check(error))
        return PyErr_Format(PyExc_TypeError, "throw_main() wants an exception instance, not %s",
                            Py_TYPE(error)->tp_name);
    return PyBool_FromLong(rl_ring_throw_main(ring, error));
}

static PyObject *current(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return Py_XNewRef((PyObject *)rl_ring_current());
}

static PyObject *main_tasklet(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    return ring ? Py_NewRef((PyObject *)ring->main) : NULL;
}

static PyObject *hub(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    return ring ? Py_NewRef(ring->hub_object) : NULL;
}

static PyObject *has_ring(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_thread *thread = rl_thread_self;
    return PyBool_FromLong(thread && thread->ring);
}

static PyObject *in_hub(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_thread *thread = rl_thread_self;
    return PyBool_FromLong(thread && thread->ring && thread->ring->current == thread->ring->hub);
}

static PyObject *living(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    PyObject *list = ring ? PyList_New(0) : NULL;
    struct rl_tasklet *tasklet = list ? ring->living : NULL;
    for (; tasklet; tasklet = tasklet->older)
        if (PyList_Append(list, (PyObject *)tasklet) < 0)
            Py_CLEAR(list);
    if (list && PyList_Reverse(list) < 0)
        Py_CLEAR(list);
    return list;
}

/* ---- For the hub ---------------------------------------------------------------- */

static PyObject *begin_poll(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    ring->polling = ring->hub->next == ring->hub && !ring->ended;
    return PyBool_FromLong(ring->polling);
}

static PyObject *end_poll(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    ring->polling = 0;
    Py_RETURN_NONE;
}

static PyObject *set_wakeup_fd(PyObject *module, PyObject *descriptor) {
    (void)module;
    struct rl_ring *ring = rl_ring_get();
    long fd = PyLong_AsLong(descriptor);
    if (!ring || (fd == -1 && PyErr_Occurred()))
        return NULL;
    ring->wakeup_fd = (int)fd;
    Py_RETURN_NONE;
}

static PyObject *first_ended(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    return Py_NewRef(ring->ended ? (PyObject *)ring->ended : Py_None);
}

static PyObject *forget_ended(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    struct rl_tasklet *first = ring->ended;
    if (first) {
        ring->ended = first->behind;
        if (!ring->ended)
            ring->ended_last = NULL;
        first->behind = NULL;
        Py_DECREF(first);
    }
    Py_RETURN_NONE;
}

static PyObject *set_policy(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"tasklet_type", "make_hub", "failed", "main_ended", NULL};
    struct rl_policy given = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!OOO:set_policy", names, &PyType_Type,
                                     &given.tasklet_type, &given.make_hub, &given.failed,
                                     &given.main_ended))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)given.tasklet_type, &rl_tasklet_type)) {
        PyErr_SetString(PyExc_TypeError, "tasklet_type must be a subclass of Tasklet");
        return NULL;
    }
    Py_INCREF(given.tasklet_type);
    Py_INCREF(given.make_hub);
    Py_INCREF(given.failed);
    Py_INCREF(given.main_ended);
    Py_XSETREF(rl_policy.tasklet_type, given.tasklet_type);
    Py_XSETREF(rl_policy.make_hub, given.make_hub);
    Py_XSETREF(rl_policy.failed, given.failed);
    Py_XSETREF(rl_policy.main_ended, given.main_ended);
    Py_RETURN_NONE;
}

static PyObject *keep_current_only(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_thread *thread = rl_thread_self;
    rl_rings_keep_only(thread ? thread->ring : NULL);
    if (thread && thread->ring)
        rl_ring_keep_current_only(thread->ring);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"schedule", schedule, METH_NOARGS,
     PyDoc_STR("schedule()\n--\n\n"
               "Let all other ready tasklets of this thread run once, then go on.")},
    {"park", (PyCFunction)(void (*)(void))park, METH_FASTCALL,
     PyDoc_STR("park(waiting_on=None, unlink=None)\n--\n\n"
               "Leave the ring until wake() or throw(), and return or raise what that gives.\n"
               "waiting_on is shown to who asks what this tasklet waits for; unlink() is called\n"
               "when an exception ends the wait, to take it out of the queue it stands in.")},
    {"wake", (PyCFunction)(void (*)(void))wake, METH_FASTCALL,
     PyDoc_STR("wake(tasklet, value=None)\n--\n\n"
               "Make a parked tasklet ready; its park() returns value. From any thread.\n"
               "False when it is not parked: then nothing happened.")},
    {"throw", (PyCFunction)(void (*)(void))throw, METH_FASTCALL,
     PyDoc_STR("throw(tasklet, error)\n--\n\n"
               "Raise error in a parked or ready tasklet when its turn comes. From any thread.\n"
               "At one that runs in another thread, when it waits next. False when it is new, runs\n"
               "here or is finished: then nothing happened.")},
    {"throw_main", throw_main, METH_O,
     PyDoc_STR("throw_main(error)\n--\n\n"
               "Raise error in the ordinary program of this thread. False when that does not wait.")},
    {"interrupt", (PyCFunction)(void (*)(void))interrupt, METH_FASTCALL,
     PyDoc_STR("interrupt(tasklet, error)\n--\n\n"
               "Like throw(), but only if it is still parked: one whose wait has just been\n"
               "fulfilled keeps what it got. From any thread.")},
    {"current", current, METH_NOARGS,
     PyDoc_STR("current()\n--\n\nThe running tasklet of the calling thread.")},
    {"main", main_tasklet, METH_NOARGS,
     PyDoc_STR("main()\n--\n\nThe tasklet that is the calling thread's ordinary program.")},
    {"hub", hub, METH_NOARGS, PyDoc_STR("hub()\n--\n\nThe hub of the calling thread.")},
    {"has_ring", has_ring, METH_NOARGS,
     PyDoc_STR("has_ring()\n--\n\nWhether the calling thread has used the scheduler.")},
    {"in_hub", in_hub, METH_NOARGS,
     PyDoc_STR("in_hub()\n--\n\nWhether the calling thread's hub is running.")},
    {"living", living, METH_NOARGS,
     PyDoc_STR("living()\n--\n\n"
               "The tasklets of this thread that have started and not ended, oldest first;\n"
               "without the main one.")},
    {"begin_poll", begin_poll, METH_NOARGS,
     PyDoc_STR("begin_poll()\n--\n\n"
               "For the hub, before it blocks: True when nothing is ready. From then on each wake\n"
               "writes to the descriptor of set_wakeup_fd().")},
    {"end_poll", end_poll, METH_NOARGS, PyDoc_STR("end_poll()\n--\n\nThe reverse of begin_poll.")},
    {"set_wakeup_fd", set_wakeup_fd, METH_O,
     PyDoc_STR("set_wakeup_fd(fd)\n--\n\n"
               "The eventfd that ends a poll of this thread's hub; -1 for none.")},
    {"first_ended", first_ended, METH_NOARGS,
     PyDoc_STR("first_ended()\n--\n\n"
               "The first tasklet that has ended and whose callbacks are still to be called, or None.")},
    {"forget_ended", forget_ended, METH_NOARGS,
     PyDoc_STR("forget_ended()\n--\n\nTake the tasklet of first_ended() off that list.")},
    {"set_policy", (PyCFunction)(void (*)(void))set_policy, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("set_policy(*, tasklet_type, make_hub, failed, main_ended)\n--\n\n"
               "Give the core the scheduler's Python half.")},
    {"keep_current_only", keep_current_only, METH_NOARGS,
     PyDoc_STR("keep_current_only()\n--\n\n"
               "In a forked child: forget all tasklets but the running one, which becomes main.")},
    {NULL, NULL, 0, NULL},
};

int rl_ring_init(PyObject *module) {
    rl_ring_watch_greenlets();
    rl_tasklet_error = PyErr_NewExceptionWithDoc(
        "ringlet.TaskletError", "A tasklet was used in a way that its state or thread forbids.",
        PyExc_RuntimeError, NULL);
    if (!rl_tasklet_error || PyModule_AddObjectRef(module, "TaskletError", rl_tasklet_error) < 0 ||
        PyModule_AddFunctions(module, functions) < 0)
        return -1;
    return 0;
}
