/* SPDX-License-Identifier: MIT */
#include "timers.h"
#include "timed.h"

#include <math.h>
#include <structmember.h>
#include <time.h>

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Seconds below which nobody is asked to wait for others. */
#define SHORTEST_ROUNDED 1e-6

/* ---- The clock ----------------------------------------------------------------- */

/* The function monotonic() of this module, by which a clock of ours is recognised. */
static PyObject *monotonic_function;

double rl_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
}

static PyObject *monotonic(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyFloat_FromDouble(rl_monotonic());
}

int rl_timers_now(struct rl_timers *timers, double *now) {
    if (likely(!timers->clock_time)) {
        *now = rl_monotonic();
        return 0;
    }
    PyObject *time = PyObject_CallNoArgs(timers->clock_time);
    *now = time ? PyFloat_AsDouble(time) : -1.0;
    Py_XDECREF(time);
    if (*now == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(*now)) {
        PyErr_Format(PyExc_ValueError, "the clock %R shows no time: NaN", timers->clock);
        return -1;
    }
    return 0;
}

/* When that is over which begins now and takes `seconds`. Returns 0, or -1 with an
   exception set. By the real clock it is a multiple of a power of two that is a thousandth of
   `seconds` or less, and a millisecond at most: what is due at nearly the same time
   then ends one wait of the hub, and not one each. */
static int time_after(struct rl_timers *timers, double seconds, double *when) {
    double now;
    int exponent;
    if (rl_timers_now(timers, &now) < 0)
        return -1;
    *when = now + seconds;
    if (timers->clock_time || seconds < SHORTEST_ROUNDED || !isfinite(*when))
        return 0;
    frexp(seconds, &exponent);
    exponent = exponent > 0 ? 10 : 11 - exponent;
    *when = ldexp(ceil(ldexp(*when, exponent)), -exponent);
    return 0;
}

/* ---- Timer --------------------------------------------------------------------- */

struct timer {
    PyObject_HEAD
    struct rl_alarm alarm;
    struct rl_timers *timers; /* Whose heap it is in; valid while it is. */
    double when;              /* On the hub's clock. */
    PyObject *call;           /* A tuple of what to call and its arguments; NULL once over; owned. */
};

static PyTypeObject timer_type, timers_type;

static struct timer *timer_of(struct rl_alarm *alarm) {
    return (struct timer *)((char *)alarm - offsetof(struct timer, alarm));
}

/* Lets a timer be over. May run any Python code, and free the timer. */
static void end_timer(struct timer *self) {
    PyObject *call = self->call;
    self->call = NULL;
    if (self->alarm.place) {
        rl_timeheap_remove(&self->timers->heap, &self->alarm);
        Py_DECREF(self);
    }
    Py_XDECREF(call);
}

static PyObject *timer_cancel(PyObject *object, PyObject *unused) {
    (void)unused;
    end_timer((struct timer *)object);
    Py_RETURN_NONE;
}

static PyObject *timer_repr(PyObject *object) {
    struct timer *self = (struct timer *)object;
    if (!self->call)
        return PyUnicode_FromString("<timer over>");
    char *when = PyOS_double_to_string(self->when, 'g', 6, 0, NULL);
    if (!when)
        return NULL;
    PyObject *text = PyUnicode_FromFormat("<timer at %s s of the hub's clock>", when);
    PyMem_Free(when);
    return text;
}

static PyObject *timer_get_callback(PyObject *object, void *closure) {
    (void)closure;
    PyObject *call = ((struct timer *)object)->call;
    return Py_NewRef(call ? PyTuple_GET_ITEM(call, 0) : Py_None);
}

static PyGetSetDef timer_attributes[] = {
    {"callback", timer_get_callback, NULL, "What it will call; None once it is over.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static int timer_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(((struct timer *)object)->call);
    return 0;
}

/* Leaves the heap alone, whose it may still be. */
static int timer_clear(PyObject *object) {
    Py_CLEAR(((struct timer *)object)->call);
    return 0;
}

static void timer_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    timer_clear(object);
    Py_TYPE(object)->tp_free(object);
}

static PyMemberDef timer_members[] = {
    {"when", T_DOUBLE, offsetof(struct timer, when), READONLY,
     "When it is due, in seconds of the hub's clock."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef timer_methods[] = {
    {"cancel", timer_cancel, METH_NOARGS,
     PyDoc_STR("cancel()\n--\n\n"
               "Make it do nothing. Harmless when it has been done or cancelled before.")},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject timer_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Timer",
    .tp_doc = PyDoc_STR("One thing to do at a time; it runs in the hub. Timers.add() makes them."),
    .tp_basicsize = sizeof(struct timer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = timer_dealloc,
    .tp_repr = timer_repr,
    .tp_traverse = timer_traverse,
    .tp_clear = timer_clear,
    .tp_methods = timer_methods,
    .tp_members = timer_members,
    .tp_getset = timer_attributes,
};

/* ---- Timers -------------------------------------------------------------------- */

struct rl_timers *rl_timers_of(struct rl_ring *ring) {
    if (likely(ring->timers != NULL))
        return ring->timers;
    PyObject *found = PyObject_GetAttrString(ring->hub_object, "timers");
    if (found && !Py_IS_TYPE(found, &timers_type)) {
        PyErr_Format(PyExc_TypeError, "the timers of a hub are a Timers object, not %R", found);
        Py_CLEAR(found);
    }
    ring->timers = (struct rl_timers *)found;
    return ring->timers;
}

/* Tells the listener that an alarm has been set. Returns 0, or -1 with an exception
   set. */
static int tell_listener(struct rl_timers *self) {
    if (likely(!self->listener || self->listener == Py_None))
        return 0;
    PyObject *listener = Py_NewRef(self->listener), *heard = PyObject_CallNoArgs(listener);
    Py_DECREF(listener);
    Py_XDECREF(heard);
    return heard ? 0 : -1;
}

int rl_timers_set(struct rl_timers *timers, struct rl_alarm *alarm, double seconds) {
    double when;
    if (time_after(timers, seconds, &when) < 0)
        return -1;
    if (rl_timeheap_add(&timers->heap, alarm, when) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (likely(tell_listener(timers) == 0))
        return 0;
    if (alarm->place)
        rl_timeheap_remove(&timers->heap, alarm);
    return -1;
}

/* Sets a timer: args are what to call and with what. Returns it, a new reference,
   or NULL with an exception set. */
static PyObject *set_timer(struct rl_timers *self, double when, PyObject *const *args,
                           Py_ssize_t count) {
    if (unlikely(isnan(when)))
        return PyErr_Format(PyExc_ValueError, "cannot set a timer to a time that is NaN");
    struct timer *timer = (struct timer *)timer_type.tp_alloc(&timer_type, 0);
    if (!timer)
        return NULL;
    timer->alarm.kind = RL_ALARM_OF_TIMER;
    timer->timers = self;
    timer->when = when;
    timer->call = PyTuple_New(count);
    if (!timer->call) {
        Py_DECREF(timer);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        PyTuple_SET_ITEM(timer->call, i, Py_NewRef(args[i]));
    /* Last: what makes objects may run finalizers. */
    if (rl_timeheap_add(&self->heap, &timer->alarm, when) < 0) {
        Py_DECREF(timer);
        return PyErr_NoMemory();
    }
    Py_INCREF(timer);
    if (unlikely(tell_listener(self) < 0)) {
        end_timer(timer);
        Py_CLEAR(timer);
    }
    return (PyObject *)timer;
}

/* Reads a time and something to call. Returns 0, or -1 with TypeError set. */
static int read_call(const char *method, PyObject *const *args, Py_ssize_t count, double *seconds) {
    if (count < 2) {
        PyErr_Format(PyExc_TypeError, "%s() wants a time and something to call", method);
        return -1;
    }
    if (!PyCallable_Check(args[1])) {
        PyErr_Format(PyExc_TypeError, "a timer calls a callable, not %R", args[1]);
        return -1;
    }
    *seconds = PyFloat_AsDouble(args[0]);
    return *seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *timers_add(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    double when;
    if (read_call("add", args, count, &when) < 0)
        return NULL;
    return set_timer((struct rl_timers *)self, when, args + 1, count - 1);
}

static PyObject *timers_after(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    double seconds, when;
    if (read_call("after", args, count, &seconds) < 0 ||
        time_after((struct rl_timers *)self, seconds, &when) < 0)
        return NULL;
    return set_timer((struct rl_timers *)self, when, args + 1, count - 1);
}

static PyObject *timers_next_time(PyObject *object, PyObject *unused) {
    (void)unused;
    struct rl_timeheap *heap = &((struct rl_timers *)object)->heap;
    if (heap->count == 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(heap->entries[0].when);
}

/* Does what is due first. Returns 0, or -1 with an exception set: then `call` has
   raised it, and what it was given is still due. */
static int fire_first(struct rl_timers *self, PyObject *call) {
    struct rl_alarm *alarm = self->heap.entries[0].alarm;
    if (alarm->kind != RL_ALARM_OF_TIMER)
        return rl_timed_fire(self, alarm);
    struct timer *timer = (struct timer *)Py_NewRef((PyObject *)timer_of(alarm));
    PyObject *given = Py_NewRef(timer->call ? timer->call : Py_None);
    PyObject *done = given == Py_None ? Py_NewRef(Py_None) : PyObject_Call(call, given, NULL);
    Py_DECREF(given);
    if (done)
        end_timer(timer);
    Py_DECREF(timer);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static PyObject *timers_fire(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    struct rl_timers *self = (struct rl_timers *)object;
    double now;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "fire() takes 2 arguments (%zd given)", count);
    Py_ssize_t most = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    if (self->heap.count == 0)
        Py_RETURN_NONE;
    if (rl_timers_now(self, &now) < 0)
        return NULL;
    for (; most > 0 && self->heap.count > 0 && self->heap.entries[0].when <= now; most--)
        if (fire_first(self, args[1]) < 0)
            return NULL;
    Py_RETURN_NONE;
}

static Py_ssize_t timers_length(PyObject *object) {
    return (Py_ssize_t)((struct rl_timers *)object)->heap.count;
}

static PyObject *timers_get_clock(PyObject *object, void *closure) {
    (void)closure;
    struct rl_timers *self = (struct rl_timers *)object;
    return Py_NewRef(self->clock ? self->clock : Py_None);
}

static int timers_set_clock(PyObject *object, PyObject *clock, void *closure) {
    (void)closure;
    struct rl_timers *self = (struct rl_timers *)object;
    PyObject *time = clock ? PyObject_GetAttrString(clock, "time") : NULL;
    if (!clock)
        PyErr_SetString(PyExc_AttributeError, "timers need a clock");
    if (!time)
        return -1;
    if (time == monotonic_function)
        Py_CLEAR(time);
    PyObject *old_clock = self->clock, *old_time = self->clock_time;
    self->clock = Py_NewRef(clock);
    self->clock_time = time;
    Py_XDECREF(old_clock);
    Py_XDECREF(old_time);
    return 0;
}

static int timers_traverse(PyObject *object, visitproc visit, void *arg) {
    struct rl_timers *self = (struct rl_timers *)object;
    for (size_t i = 0; i < self->heap.count; i++)
        if (self->heap.entries[i].alarm->kind == RL_ALARM_OF_TIMER)
            Py_VISIT(timer_of(self->heap.entries[i].alarm));
    Py_VISIT(self->listener);
    Py_VISIT(self->clock);
    Py_VISIT(self->clock_time);
    return 0;
}

static int timers_clear(PyObject *object) {
    struct rl_timers *self = (struct rl_timers *)object;
    while (self->heap.count > 0) {
        struct rl_alarm *alarm = self->heap.entries[self->heap.count - 1].alarm;
        if (alarm->kind == RL_ALARM_OF_TIMER)
            end_timer(timer_of(alarm));
        else
            rl_timed_forget(self, alarm);
    }
    Py_CLEAR(self->listener);
    Py_CLEAR(self->clock);
    Py_CLEAR(self->clock_time);
    return 0;
}

static void timers_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    timers_clear(object);
    rl_timeheap_free(&((struct rl_timers *)object)->heap);
    Py_TYPE(object)->tp_free(object);
}

static PyMemberDef timers_members[] = {
    {"listener", T_OBJECT, offsetof(struct rl_timers, listener), 0,
     "Called when one is added, or None. The hub sets it before it looks when the next one is due,\n"
     "until it has waited for that: a signal handler may add one meanwhile."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef timers_attributes[] = {
    {"clock", timers_get_clock, timers_set_clock, "What shows the time; see sched/clock.py.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PySequenceMethods timers_as_sequence = {.sq_length = timers_length};

static PyObject *timers_pending(PyObject *object, PyObject *unused) {
    (void)unused;
    struct rl_timeheap *heap = &((struct rl_timers *)object)->heap;
    PyObject *list = PyList_New(0);
    /* A finalizer may change the heap meanwhile. */
    for (size_t i = 0; list && i < heap->count; i++) {
        struct rl_alarm *alarm = heap->entries[i].alarm;
        if (alarm->kind == RL_ALARM_OF_TIMER && PyList_Append(list, (PyObject *)timer_of(alarm)) < 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyMethodDef timers_methods[] = {
    {"add", (PyCFunction)(void (*)(void))timers_add, METH_FASTCALL,
     PyDoc_STR("add(when, callback, *args)\n--\n\n"
               "Do callback(*args) in the hub once its clock shows `when` seconds. Returns a Timer.\n"
               "Those due at the same time are done in the order they were set.")},
    {"after", (PyCFunction)(void (*)(void))timers_after, METH_FASTCALL,
     PyDoc_STR("after(seconds, callback, *args)\n--\n\n"
               "The same, in so many seconds from now; by the real clock up to a thousandth later, but\n"
               "no more than a millisecond, so that one wait of the hub serves several.")},
    {"next_time", timers_next_time, METH_NOARGS,
     PyDoc_STR("next_time()\n--\n\n"
               "When the next one is due, in seconds of the hub's clock; None when none is set.")},
    {"pending", timers_pending, METH_NOARGS,
     PyDoc_STR("pending()\n--\n\n"
               "A list of the timers that are set, in no order. Sleeping tasklets are not in it.")},
    {"fire", (PyCFunction)(void (*)(void))timers_fire, METH_FASTCALL,
     PyDoc_STR("fire(most, call)\n--\n\n"
               "For the hub: wake the sleepers that are due, and do call(callback, *args) for each\n"
               "timer that is, in order, but no more than `most` of both. What call() raises ends\n"
               "this, and what it was called for is still due.")},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject timers_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Timers",
    .tp_doc = PyDoc_STR("Timers()\n--\n\nAll timers of a hub, sleeping tasklets included."),
    .tp_basicsize = sizeof(struct rl_timers),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = timers_dealloc,
    .tp_traverse = timers_traverse,
    .tp_clear = timers_clear,
    .tp_as_sequence = &timers_as_sequence,
    .tp_methods = timers_methods,
    .tp_members = timers_members,
    .tp_getset = timers_attributes,
};

/* ---- The module -------------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"monotonic", monotonic, METH_NOARGS,
     PyDoc_STR("monotonic()\n--\n\nSeconds since some moment; never goes backwards.")},
    {NULL, NULL, 0, NULL},
};

int rl_timers_init(PyObject *module) {
    if (PyModule_AddType(module, &timers_type) < 0 || PyModule_AddType(module, &timer_type) < 0 ||
        PyModule_AddFunctions(module, functions) < 0)
        return -1;
    monotonic_function = PyObject_GetAttrString(module, "monotonic");
    return monotonic_function ? 0 : -1;
}
