/* SPDX-License-Identifier: MIT */
#include "greenlet.h"

#include "slab.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Not part of its callers: what a function on the way of a switch needs of the stack
   is kept, and copied, for every suspended greenlet. */
#define COLD __attribute__((cold, noinline))

PyObject *rl_error, *rl_greenlet_exit;
struct rl_parking rl_parking;

/* ---- Allocation ------------------------------------------------------- */

static struct rl_slab records; /* One struct rl_greenlet for each object of a subclass. */
static struct rl_slab chunks;  /* For each started one, its first data chunk. */

/* An object of the exact type has its record behind it, so that both come from memory
   at once. This type is what such objects are allocated as: others may derive their
   types in C from the public one, whose size therefore is that of PyGreenlet. */
struct greenlet_with_record {
    PyGreenlet object;
    struct rl_greenlet record;
};

static PyTypeObject with_record = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.greenlet_with_record",
    .tp_basicsize = sizeof(struct greenlet_with_record),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
};

int rl_greenlet_init(void) {
    with_record.tp_traverse = rl_greenlet_type.tp_traverse;
    rl_slab_init(&records, sizeof(struct rl_greenlet));
    rl_slab_init(&chunks, RL_CHUNK_BYTES);
    rl_stack_set_small(rl_pystate_copy_bytes);
    return PyType_Ready(&with_record);
}

/* Ended greenlets of the exact type, linked by weakreflist, each with its
   implementation: making one is then a few stores. Shared by all threads; the
   GIL protects it. */
static struct {
    PyGreenlet *first;
    int count;
} spare;

enum { MOST_SPARE = 1024 };

PyGreenlet *rl_greenlet_alloc(PyTypeObject *type) {
    PyGreenlet *self = spare.first;
    struct rl_greenlet *g;
    if (self && type == &rl_greenlet_type) {
        spare.first = (PyGreenlet *)self->weakreflist;
        spare.count--;
        self->weakreflist = NULL;
        g = self->impl;
        memset(g, 0, sizeof *g);
        g->self = self;
        _Py_NewReference((PyObject *)self);
        PyObject_GC_Track(self);
        return self;
    }
    if (type == &rl_greenlet_type) {
        struct greenlet_with_record *both = (void *)PyType_GenericAlloc(&with_record, 0);
        if (!both)
            return NULL;
        self = &both->object;
        Py_SET_TYPE(self, type);
        g = &both->record;
        g->self = self;
        self->impl = g;
        return self;
    }
    /* object's constructor refuses abstract classes. */
    PyObject *none = PyTuple_New(0);
    self = none ? (PyGreenlet *)PyBaseObject_Type.tp_new(type, none, NULL) : NULL;
    Py_XDECREF(none);
    if (!self)
        return NULL;
    g = rl_slab_take(&records);
    if (!g) {
        /* The deallocator needs an implementation, so free by hand. */
        PyObject_GC_UnTrack(self);
        PyObject_GC_Del(self);
        if (type->tp_flags & Py_TPFLAGS_HEAPTYPE)
            Py_DECREF(type);
        PyErr_NoMemory();
        return NULL;
    }
    memset(g, 0, sizeof *g);
    g->self = self;
    self->impl = g;
    return self;
}

void rl_greenlet_free(PyGreenlet *self) {
    if (Py_IS_TYPE(self, &rl_greenlet_type) && spare.count < MOST_SPARE) {
        rl_pystate_forget_finalized((PyObject *)self);
        self->weakreflist = (PyObject *)spare.first;
        spare.first = self;
        spare.count++;
        return;
    }
    if (!Py_IS_TYPE(self, &rl_greenlet_type))
        rl_slab_give(&records, self->impl);
    Py_TYPE(self)->tp_free(self);
}

PyGreenlet *rl_greenlet_new_main(void) {
    PyGreenlet *self = rl_greenlet_alloc(&rl_greenlet_type);
    if (!self)
        return NULL;
    self->impl->is_main = 1;
    self->impl->state = RL_RUNNING;
    return self;
}

PyGreenlet *rl_greenlet_with_body(struct rl_thread *thread, const struct rl_body *body,
                                  void *owner, PyObject *context) {
    PyGreenlet *self = rl_greenlet_alloc(&rl_greenlet_type);
    if (!self) {
        Py_XDECREF(context);
        return NULL;
    }
    self->impl->parent = (PyGreenlet *)Py_NewRef((PyObject *)thread->main);
    self->impl->body = body;
    self->impl->owner = owner;
    self->impl->py.context = context;
    return self;
}

/* ---- Ancestors -------------------------------------------------------- */

PyGreenlet *rl_greenlet_alive(PyGreenlet *self) {
    while (self && self->impl->state == RL_DEAD)
        self = self->impl->parent;
    return self;
}

struct rl_thread *rl_greenlet_thread(PyGreenlet *self) {
    while (self && !self->impl->thread)
        self = self->impl->parent;
    return self ? self->impl->thread : NULL;
}

/* Sets the error for a switch from `current` to another thread, which runs `expected`
   now. Their representations are Python code, in which both threads may go on. */
static void refuse_other_thread(PyGreenlet *current, PyGreenlet *expected) {
    Py_INCREF(current);
    Py_INCREF(expected);
    PyErr_Format(rl_error, "Cannot switch to a different thread\n\tCurrent:  %R\n\tExpected: %R",
                 current, expected);
    Py_DECREF(current);
    Py_DECREF(expected);
}

/* Sets the error for a switch from `thread` to `to`, which belongs elsewhere. */
static void refuse_thread(struct rl_thread *thread, PyGreenlet *to) {
    PyGreenlet *root = to;
    while (root->impl->parent)
        root = root->impl->parent;
    if (!root->impl->is_main)
        PyErr_SetString(rl_error, "cannot switch to a garbage collected greenlet");
    else if (!rl_greenlet_thread(to))
        PyErr_SetString(rl_error,
                        "cannot switch to a different thread (which happens to have exited)");
    else
        refuse_other_thread(thread->current, rl_greenlet_thread(to)->current);
}

/* ---- Leaving and landing ---------------------------------------------- */

/* Reports an arrival to the callback of settrace(). Returns `value`, which is
   stolen; or NULL with the exception of the callback set, after removing it. */
static PyObject *COLD report(struct rl_thread *thread, PyGreenlet *origin, PyObject *value) {
    PyObject *type = NULL, *error = NULL, *traceback = NULL;
    PyObject *tracer = Py_NewRef(thread->tracer);
    const char *event = value ? "switch" : "throw";
    if (!value)
        PyErr_Fetch(&type, &error, &traceback);
    PyThreadState_EnterTracing(thread->ts);
    PyObject *result = PyObject_CallFunction(tracer, "s(OO)", event, origin, thread->current);
    PyThreadState_LeaveTracing(thread->ts);
    Py_DECREF(tracer);
    if (!result) {
        Py_CLEAR(thread->tracer);
        rl_thread_update_pass(thread);
        Py_XDECREF(value);
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(traceback);
        return NULL;
    }
    Py_DECREF(result);
    if (!value)
        PyErr_Restore(type, error, traceback);
    return value;
}

/* A switch to where we are, which the callback of settrace() is told of as of any
   other. `value` is stolen; NULL: an exception is set. Returns as landed(). */
static inline PyObject *stay(struct rl_thread *thread, PyObject *value) {
    return thread->tracer ? report(thread, thread->current, value) : value;
}

/* Drops the last reference to the greenlet we came from. Keeps the pending
   exception, for finalizers may run. */
static void COLD drop_origin(PyGreenlet *origin) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_DECREF(origin);
    PyErr_Restore(type, value, traceback);
}

/* First thing in a greenlet that has just been entered. Returns what the switch
   brought: a new reference, or NULL with an exception set. */
static inline PyObject *landed(struct rl_thread *thread) {
    PyObject *value = thread->value;
    PyGreenlet *origin = thread->origin;
    rl_pystate_landed(thread->ts);
    if (unlikely(thread->tracer != NULL))
        value = report(thread, origin, value);
    if (unlikely(Py_REFCNT(origin) == 1))
        drop_origin(origin);
    else
        Py_DECREF(origin);
    return value;
}

/* Leaves the running greenlet for `to`, which is suspended or has begun, in this
   thread; whether it is resident has been seen to. `value` is stolen; NULL throws
   what is set. Returns as landed(). */
static inline PyObject *jump(struct rl_thread *thread, PyGreenlet *to, PyObject *value,
                             int resident) {
    PyGreenlet *from = thread->current;
    struct rl_greenlet *f = from->impl, *g = to->impl;
    rl_cxx_swap(&thread->cxx, &f->cxx, &g->cxx);
    rl_pystate_swap(thread->ts, &f->py, &g->py, &g->stack);
    f->state = RL_SUSPENDED;
    f->resumable_by = f->parked ? NULL : thread;
    g->state = RL_RUNNING;
    g->resumable_by = NULL;
    thread->value = value;
    thread->origin = from;
    thread->current = (PyGreenlet *)Py_NewRef((PyObject *)to);
    if (likely(resident)) {
        rl_stack_announce(&g->stack);
        rl_switch(&f->stack.sp, g->stack.sp);
    } else {
        rl_stack_exchange(&thread->stacks, &f->stack, &g->stack);
    }
    return landed(thread);
}

/* Sets the error for `to`, which there is no room to enter. */
static void COLD refuse_room(struct rl_thread *thread, PyGreenlet *to) {
    struct rl_slot *slot = to->impl->stack.slot;
    PyErr_Clear();
    if (slot && slot == thread->stacks.pinned)
        PyErr_Format(rl_error, "cannot switch to %R: it shares its slot with a greenlet that is in "
                               "the middle of a garbage collection; switch to that one first", to);
    else
        PyErr_NoMemory();
}

/* rl_stack_prepare for the slots of `thread`. Takes out a pin that nobody needs any
   more: without memory the interpreter does not tell that a collection has ended. */
static int prepare(struct rl_thread *thread, struct rl_stack *running, struct rl_stack *to) {
    if (unlikely(thread->stacks.pinned != NULL) && !rl_pystate_is_collecting(thread->ts))
        rl_stacks_pin(&thread->stacks, NULL);
    return rl_stack_prepare(&thread->stacks, running, to);
}

/* cross() to a greenlet whose stack must be copied back first. */
static PyObject *__attribute__((noinline))
cross_copying(struct rl_thread *thread, PyGreenlet *to, PyObject *value) {
    struct rl_stack *stack = &to->impl->stack;
    /* Two that take turns in one slot have all that in the cache. */
    if (stack->slot != thread->current->impl->stack.slot) {
        rl_stack_prefetch(stack);
        __builtin_prefetch((char *)to->impl + 64);
        __builtin_prefetch((char *)to->impl + 128);
        __builtin_prefetch(to->impl->py.top - 8);
        __builtin_prefetch(to->impl->py.top - 16);
    }
    if (prepare(thread, &thread->current->impl->stack, stack) < 0) {
        Py_XDECREF(value);
        refuse_room(thread, to);
        return NULL;
    }
    return jump(thread, to, value, 0);
}

/* jump() to a suspended greenlet, with the memory for it. Sets an exception, with
   nothing changed, when there is no room for it. */
static inline PyObject *cross(struct rl_thread *thread, PyGreenlet *to, PyObject *value) {
    if (likely(rl_stack_is_resident(&to->impl->stack)))
        return jump(thread, to, value, 1);
    return cross_copying(thread, to, value);
}

/* ---- Starting --------------------------------------------------------- */

/* Makes a new greenlet one of the started ones; `chunk`, from the slab, becomes its
   own. It still needs a slot. */
static void enlist(struct rl_thread *thread, struct rl_greenlet *g, void *chunk) {
    g->chunk = chunk;
    rl_pystate_init(&g->py, thread->ts, chunk, g->py.context, g->stack.slot);
    g->thread = thread;
    g->prev = NULL;
    g->next = thread->started;
    if (g->next)
        g->next->prev = g;
    thread->started = g;
}

/* Gives a new greenlet its stack. Returns 0, or -1 with MemoryError set and
   nothing changed; a pending exception is kept on success only. */
static int begin(struct rl_thread *thread, PyGreenlet *self) {
    struct rl_greenlet *g = self->impl;
    void *chunk = rl_slab_take(&chunks);
    if (!chunk || rl_stack_bind(&thread->stacks, &g->stack, &thread->current->impl->stack) < 0) {
        if (chunk)
            rl_slab_give(&chunks, chunk);
        PyErr_NoMemory();
        return -1;
    }
    enlist(thread, g, chunk);
    return 0;
}

/* Takes a greenlet off its thread's list of started ones. */
static void unlink_started(struct rl_greenlet *g) {
    if (g->prev)
        g->prev->next = g->next;
    else
        g->thread->started = g->next;
    if (g->next)
        g->next->prev = g->prev;
    g->next = g->prev = NULL;
}

/* Undoes begin() for a greenlet that could not be entered after all. */
static void unbegin(struct rl_thread *thread, struct rl_greenlet *g) {
    unlink_started(g);
    rl_stack_drop(&thread->stacks, &g->stack);
    rl_slab_give(&chunks, g->chunk);
    g->chunk = NULL;
    g->thread = NULL;
}

/* Finds what a new greenlet is to run, which may be an attribute of a subclass
   and so run any code. Returns 1; 0 when that code has started, ended or let go
   of the greenlet; -1 with an exception set. Keeps a pending exception unless -1. */
static int find_run(PyGreenlet *self) {
    static PyObject *name; /* Interned: the interpreter caches lookups by the string's address. */
    PyObject *type, *value, *traceback, *run;
    struct rl_greenlet *g = self->impl;
    if (g->body)
        return 1;
    if (Py_IS_TYPE(self, &rl_greenlet_type) && g->run && !g->callable) {
        g->callable = Py_NewRef(g->run);
        return 1;
    }
    PyErr_Fetch(&type, &value, &traceback);
    Py_INCREF(self);
    if (!name)
        name = PyUnicode_InternFromString("run");
    run = name ? PyObject_GetAttr((PyObject *)self, name) : NULL;
    int found = !run ? -1 : g->state == RL_NEW && Py_REFCNT(self) > 1;
    if (found > 0) {
        /* What an attempt before this one has found goes, and its finalizer runs any code too. */
        Py_XSETREF(g->callable, Py_NewRef(run));
        found = g->state == RL_NEW && g->callable == run && Py_REFCNT(self) > 1;
    }
    Py_XDECREF(run);
    Py_DECREF(self);
    if (found >= 0) {
        PyErr_Restore(type, value, traceback);
    } else {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    }
    return found;
}

/* Forgets what find_run has found and the arguments for it, for the greenlet
   cannot be started now. Keeps the pending exception. */
static void forget_run(struct rl_greenlet *g) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_CLEAR(g->callable);
    Py_CLEAR(g->kwargs);
    PyErr_Restore(type, value, traceback);
}

PyObject *rl_greenlet_transfer(struct rl_thread *thread, PyGreenlet *to, PyObject *value) {
    if (likely(to->impl->state != RL_NEW))
        return cross(thread, to, value);
    int begun = begin(thread, to) == 0;
    if (begun && likely(prepare(thread, &thread->current->impl->stack, &to->impl->stack) == 0))
        return jump(thread, to, value, 0);
    if (begun) {
        unbegin(thread, to->impl);
        PyErr_NoMemory();
    }
    forget_run(to->impl);
    Py_XDECREF(value);
    return NULL;
}

/* ---- Ending ----------------------------------------------------------- */

/* Turns GreenletExit into the value it stands for. Returns `result`, or, when
   that is NULL and GreenletExit is set, its instance. */
static PyObject *exit_as_value(PyObject *result) {
    PyObject *type, *value, *traceback;
    if (result || !PyErr_ExceptionMatches(rl_greenlet_exit))
        return result;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

int rl_greenlet_make_room(struct rl_thread *thread, PyGreenlet *to) {
    /* Nothing of the running stack will have to be copied. */
    thread->current->impl->stack.sp = NULL;
    if (prepare(thread, NULL, &to->impl->stack) == 0)
        return 0;
    refuse_room(thread, to);
    return -1;
}

/* Finds what a new greenlet will be started with: `*result` becomes its tuple of
   arguments. Returns as find_run; unless it is 1, nothing has changed. */
static int ready_to_start(PyGreenlet *to, PyObject **result) {
    int found = find_run(to);
    if (found <= 0 || !*result)
        return found;
    PyObject *args = rl_pystate_pack(*result, NULL);
    if (!args) {
        forget_run(to->impl);
        return -1;
    }
    Py_SETREF(*result, args);
    return 1;
}

/* Ends the wait of a parked greenlet that is to be entered. Returns 1, or -1 with
   an exception set. */
static int unparked(struct rl_thread *thread, PyGreenlet *to) {
    if (rl_parking.unpark(to) < 0)
        return -1;
    /* That may have run anything, and somebody else may be in the way now. */
    if (rl_greenlet_make_way(thread, to) == 0)
        return 1;
    rl_greenlet_drop(to); /* The scheduler has forgotten it: nobody would ever resume it. */
    return -1;
}

/* Chooses who goes on with `*result`, by the rule for raw greenlets: the nearest
   living one from `to` on upwards, which may have to be started. One that cannot
   take it passes the error on to its own parent. `to` is stolen and may be NULL.
   Returns a new reference; entering it cannot fail. */
static PyGreenlet *heir(struct rl_thread *thread, PyGreenlet *to, PyObject **result) {
    while (to) {
        struct rl_greenlet *g = to->impl;
        if (g->state != RL_DEAD) {
            int found = -1;
            if (rl_greenlet_thread(to) != thread)
                refuse_thread(thread, to);
            else if (g->parked && *result)
                rl_parking.refuse(to);
            else if (g->state == RL_NEW)
                found = ready_to_start(to, result);
            else if (rl_greenlet_make_way(thread, to) == 0)
                found = g->parked ? unparked(thread, to) : 1;
            if (found > 0)
                return to;
            if (found == 0)
                continue; /* Running code to start it has changed its state. */
            Py_CLEAR(*result);
        }
        PyGreenlet *parent = (PyGreenlet *)Py_XNewRef((PyObject *)g->parent);
        Py_DECREF(to);
        to = parent;
    }
    return (PyGreenlet *)Py_NewRef((PyObject *)rl_parking.home(thread));
}

/* Chooses who goes on now that `self` has ended with `*result`. Returns a new
   reference; entering it cannot fail. */
static PyGreenlet *successor(struct rl_thread *thread, PyGreenlet *self, PyObject **result) {
    const struct rl_body *body = self->impl->body;
    PyGreenlet *to = body && body->next ? body->next(self, result) : NULL;
    if (!to) {
        to = self->impl->parent;
    } else {
        if (likely(rl_greenlet_make_way(thread, to) == 0))
            return (PyGreenlet *)Py_NewRef((PyObject *)to);
        Py_CLEAR(*result);
        to = to->impl->parent;
    }
    return heir(thread, (PyGreenlet *)Py_XNewRef((PyObject *)to), result);
}

/* Ends the running greenlet, whose outcome is `result` (stolen; NULL: what is
   set was raised). */
static void __attribute__((noreturn, noinline))
finish(struct rl_thread *thread, PyGreenlet *self, PyObject *result) {
    struct rl_greenlet *g = self->impl;
    result = exit_as_value(result);
    PyGreenlet *to = successor(thread, self, &result);
    struct rl_greenlet *h = to->impl;
    if (unlikely(g->undying))
        Py_DECREF(self);
    Py_CLEAR(g->py.executor);
    /* From here on no Python code runs before `to` does. */
    unlink_started(g);
    g->py.context = rl_pystate_context(thread->ts);
    Py_CLEAR(g->py.exc_bottom.exc_value); /* None, once an exception has been handled. */
    g->state = RL_DEAD;
    g->resumable_by = NULL;
    g->thread = NULL;
    if (h->state == RL_NEW)
        enlist(thread, h, g->chunk); /* It inherits the chunk, and then the slot. */
    else
        rl_slab_give(&chunks, g->chunk);
    g->chunk = NULL;
    rl_cxx_enter(&thread->cxx, &h->cxx);
    rl_pystate_enter(thread->ts, &h->py, &h->stack);
    h->state = RL_RUNNING;
    h->resumable_by = NULL;
    thread->value = result;
    thread->origin = self; /* Takes over the reference in thread->current. */
    thread->current = to;
    rl_stack_leave(&thread->stacks, &g->stack, &h->stack);
}

/* Calls what a raw greenlet runs. `args` is stolen. Returns as a call does. */
static PyObject *call_run(struct rl_greenlet *g, PyObject *args) {
    PyObject *run = g->callable, *kwargs = g->kwargs, *result;
    g->callable = g->kwargs = NULL;
    /* Gone from here on; a finalizer of it may already switch elsewhere. */
    Py_CLEAR(g->run);
    if (unlikely(kwargs != NULL))
        result = PyObject_Call(run, args, kwargs);
    else
        result = PyObject_Vectorcall(run, &PyTuple_GET_ITEM(args, 0), (size_t)PyTuple_GET_SIZE(args),
                                     NULL);
    Py_XDECREF(kwargs);
    Py_DECREF(args);
    Py_DECREF(run);
    return result;
}

void rl_greenlet_entry(void) {
    struct rl_thread *thread = rl_thread_self;
    PyGreenlet *self = thread->current;
    struct rl_greenlet *g = self->impl;
    PyObject *args = landed(thread), *result = NULL;
    if (g->body)
        result = g->body->run(self, args);
    else if (args)
        result = call_run(g, args);
    else {
        /* Thrown before it began: it never runs. */
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        Py_CLEAR(g->run);
        Py_CLEAR(g->callable);
        Py_CLEAR(g->kwargs);
        PyErr_Restore(type, value, traceback);
    }
    finish(thread, self, result);
}

/* ---- switch() and throw() --------------------------------------------- */

/* What a resumed switch() returns for these arguments: nothing or several are a
   tuple, one is itself, keywords are a dict, both are a pair. `args` is stolen.
   Returns a new reference, or NULL with an exception set. */
static PyObject *pack(PyObject *args, PyObject *kwargs) {
    PyObject *value;
    if (kwargs && PyDict_GET_SIZE(kwargs) > 0) {
        if (PyTuple_GET_SIZE(args) == 0)
            value = Py_NewRef(kwargs);
        else
            value = rl_pystate_pack(args, kwargs);
    } else if (PyTuple_GET_SIZE(args) == 1) {
        value = Py_NewRef(PyTuple_GET_ITEM(args, 0));
    } else {
        return args;
    }
    Py_DECREF(args);
    return value;
}

/* Finds the greenlet that a switch to `self` really enters. Returns it, borrowed
   and ready to be entered, or NULL with an exception set; a pending exception is
   kept on success only. */
static PyGreenlet *target(struct rl_thread *thread, PyGreenlet *self) {
    for (;;) {
        PyGreenlet *to = rl_greenlet_alive(self);
        if (!to || rl_greenlet_thread(to) != thread) {
            refuse_thread(thread, to ? to : self);
            return NULL;
        }
        if (to->impl->state != RL_NEW)
            return to;
        int found = find_run(to);
        if (found < 0)
            return NULL;
        /* What ran to find it may have given it a parent in another thread. */
        if (found > 0 && rl_greenlet_thread(to) == thread)
            return to;
    }
}

PyObject *rl_greenlet_switch(PyGreenlet *self, PyObject *args, PyObject *kwargs) {
    struct rl_thread *thread = rl_thread_get();
    PyGreenlet *to = NULL;
    if (thread) {
        rl_thread_reap(thread);
        to = target(thread, self);
    }
    if (to && to->impl->parked) {
        rl_parking.refuse(to);
        to = NULL;
    }
    if (!to) {
        Py_DECREF(args);
        return NULL;
    }
    if (to->impl->state == RL_NEW) {
        Py_XSETREF(to->impl->kwargs,
                   kwargs && PyDict_GET_SIZE(kwargs) > 0 ? Py_NewRef(kwargs) : NULL);
        return rl_greenlet_transfer(thread, to, args);
    }
    PyObject *value = pack(args, kwargs);
    if (!value)
        return NULL;
    if (to == thread->current)
        return stay(thread, value);
    return cross(thread, to, value);
}

/* Makes the dict of keyword arguments of a vector call. Returns a new reference,
   or NULL with an exception set. */
static PyObject *keywords(PyObject *const *values, PyObject *names) {
    PyObject *dict = PyDict_New();
    for (Py_ssize_t i = 0; dict && i < PyTuple_GET_SIZE(names); i++)
        if (PyDict_SetItem(dict, PyTuple_GET_ITEM(names, i), values[i]) < 0)
            Py_CLEAR(dict);
    return dict;
}

/* Makes a tuple of a vector call's positional arguments. Returns a new
   reference, or NULL with an exception set. */
static PyObject *positionals(PyObject *const *args, Py_ssize_t count) {
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple && i < count; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    return tuple;
}

/* switch() with anything to it that is not the plain resumption. */
static PyObject *__attribute__((noinline))
switch_slowly(PyGreenlet *self, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    PyObject *kwargs = NULL, *tuple = positionals(args, count);
    if (!tuple)
        return NULL;
    if (names && !(kwargs = keywords(args + count, names))) {
        Py_DECREF(tuple);
        return NULL;
    }
    PyObject *result = rl_greenlet_switch(self, tuple, kwargs);
    Py_XDECREF(kwargs);
    return result;
}

PyObject *rl_greenlet_method_switch(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                    PyObject *names) {
    struct rl_thread *thread = rl_thread_self;
    PyGreenlet *to = (PyGreenlet *)self;
    if (likely(thread && to->impl->resumable_by == thread->pass && !names && count <= 1)) {
        PyObject *value = count ? Py_NewRef(args[0]) : PyTuple_New(0);
        return cross(thread, to, value);
    }
    return switch_slowly(to, args, count, names);
}

/* Sets the exception that throw() was asked for. Returns 0, or -1 with TypeError
   set instead. */
static int set_thrown(PyObject *type, PyObject *value, PyObject *traceback) {
    if (traceback == Py_None)
        traceback = NULL;
    if (traceback && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
        return -1;
    }
    if (PyExceptionClass_Check(type)) {
        Py_INCREF(type);
        Py_XINCREF(value);
        Py_XINCREF(traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
    } else if (PyExceptionInstance_Check(type)) {
        if (value && value != Py_None) {
            PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
            return -1;
        }
        value = Py_NewRef(type);
        type = Py_NewRef(PyExceptionInstance_Class(type));
        traceback = traceback ? Py_NewRef(traceback) : PyException_GetTraceback(value);
    } else {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes, or instances, not %s",
                     Py_TYPE(type)->tp_name);
        return -1;
    }
    PyErr_Restore(type, value, traceback);
    return 0;
}

PyObject *rl_greenlet_throw(PyGreenlet *self, PyObject *type, PyObject *value, PyObject *traceback) {
    struct rl_thread *thread = rl_thread_get();
    if (!thread)
        return NULL;
    rl_thread_reap(thread);
    if (set_thrown(type, value, traceback) < 0)
        return NULL;
    /* Ending a greenlet that has ended already is no error. */
    PyObject *result = self->impl->state == RL_DEAD ? exit_as_value(NULL) : NULL;
    PyGreenlet *to = target(thread, self);
    if (!to) {
        Py_XDECREF(result);
        return NULL;
    }
    if (to == thread->current)
        return stay(thread, result);
    if (to->impl->parked) {
        if (result) {
            Py_DECREF(result);
            rl_parking.refuse(to);
            return NULL;
        }
        if (rl_parking.unpark(to) < 0)
            return NULL;
    }
    if (result && to->impl->state == RL_NEW)
        Py_SETREF(result, rl_pystate_pack(result, NULL));
    return rl_greenlet_transfer(thread, to, result);
}

/* ---- Ending from outside ---------------------------------------------- */

/* Whether `self` is `of`, or an ancestor of it. */
static int is_ancestor(const PyGreenlet *self, const PyGreenlet *of) {
    while (of && of != self)
        of = of->impl->parent;
    return of == self;
}

void rl_greenlet_kill(PyGreenlet *self) {
    struct rl_thread *thread = rl_thread_self;
    struct rl_greenlet *g = self->impl;
    PyObject *type, *value, *traceback, *result;
    PyErr_Fetch(&type, &value, &traceback);
    /* Its end must come back to us, not to where it was started from. What it does
       meanwhile may make its parent its child: then it keeps the one it has now. */
    PyGreenlet *parent = g->parent;
    g->parent = (PyGreenlet *)Py_NewRef((PyObject *)thread->current);
    if (g->parked)
        rl_parking.unpark(self);
    PyErr_SetString(rl_greenlet_exit,
                    "Killing the greenlet because all references have vanished.");
    result = cross(thread, self, NULL);
    if (!result)
        PyErr_WriteUnraisable((PyObject *)self);
    Py_XDECREF(result);
    /* Its children would refer to it; one reference is our caller's. Else of a long line
       each would look at all those before it. */
    int may_have_children = Py_REFCNT(self) > 1;
    PyGreenlet *other = may_have_children && is_ancestor(self, parent) ? parent : g->parent;
    if (other != parent)
        g->parent = parent;
    Py_XDECREF(other);
    PyErr_Restore(type, value, traceback);
}

void rl_greenlet_drop(PyGreenlet *self) {
    struct rl_greenlet *g = self->impl;
    struct rl_thread *thread = g->thread;
    if (g->parked)
        rl_parking.unpark(self);
    if (thread)
        unlink_started(g);
    g->state = RL_DEAD;
    g->resumable_by = NULL;
    g->thread = NULL;
    /* Somebody may hold on to its frames; then the chunk that they are in is leaked, as
       always what they refer to. */
    if (rl_pystate_discard(&g->py, &g->stack) && g->chunk)
        rl_slab_give(&chunks, g->chunk);
    g->chunk = NULL;
    rl_stack_drop(thread ? &thread->stacks : NULL, &g->stack);
    Py_CLEAR(g->py.context);
    Py_CLEAR(g->py.executor);
    if (g->undying)
        Py_DECREF(self);
}
