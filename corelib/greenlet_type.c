/* SPDX-License-Identifier: MIT */
/* The Python type: construction, attributes, garbage collection. */
#include "greenlet_type.h"

#include <Python.h>
#include <structmember.h>

#include "greenlet.h"

/* ---- Construction and destruction ------------------------------------- */

/* Makes a greenlet whose parent is the calling thread's current one. Returns a
   new reference, or NULL with an exception set. */
static PyGreenlet *make(PyTypeObject *type) {
    struct rl_thread *thread = rl_thread_get();
    if (!thread)
        return NULL;
    if (thread->doomed_count)
        rl_thread_reap(thread);
    PyGreenlet *self = rl_greenlet_alloc(type);
    if (self)
        self->impl->parent = (PyGreenlet *)Py_NewRef((PyObject *)thread->current);
    return self;
}

static PyObject *greenlet_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    return (PyObject *)make(type);
}

static int set_run(PyObject *self, PyObject *run, void *closure);
static int greenlet_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"run", "parent", NULL};
    PyObject *run = NULL, *parent = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:green", names, &run, &parent))
        return -1;
    if (run && set_run(self, run, NULL) < 0)
        return -1;
    return parent == Py_None ? 0 : rl_greenlet_set_parent(self, parent);
}

/* greenlet(run) and greenlet(run, parent) without the detour through tuples. */
static PyObject *greenlet_vectorcall(PyObject *type, PyObject *const *args, size_t flags,
                                     PyObject *names) {
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    PyGreenlet *self;
    if (names || count > 2) {
        /* Rare, and its errors must read the same: take the ordinary way. */
        PyObject *tuple = PyTuple_New(count), *kwargs = names ? PyDict_New() : NULL;
        int failed = !tuple || (names && !kwargs);
        for (Py_ssize_t i = 0; tuple && i < count; i++)
            PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
        for (Py_ssize_t i = 0; !failed && names && i < PyTuple_GET_SIZE(names); i++)
            failed = PyDict_SetItem(kwargs, PyTuple_GET_ITEM(names, i), args[count + i]) < 0;
        self = failed ? NULL : make((PyTypeObject *)type);
        if (self && greenlet_init((PyObject *)self, tuple, kwargs) < 0)
            Py_CLEAR(self);
        Py_XDECREF(tuple);
        Py_XDECREF(kwargs);
        return (PyObject *)self;
    }
    self = make((PyTypeObject *)type);
    if (self && count > 0)
        self->impl->run = Py_NewRef(args[0]);
    if (self && count > 1 && args[1] != Py_None &&
        rl_greenlet_set_parent((PyObject *)self, args[1]) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* tp_finalize: nobody can reach this greenlet any more. A suspended one is ended
   by GreenletExit, so that its finally blocks run, by its own thread. */
static void greenlet_finalize(PyObject *object) {
    PyGreenlet *self = (PyGreenlet *)object;
    struct rl_greenlet *g = self->impl;
    struct rl_thread *here = rl_thread_self;
    if (g->state != RL_SUSPENDED || g->is_main)
        return;
    if (rl_pystate_is_finalizing() || !g->thread) {
        rl_greenlet_drop(self);
        return;
    }
    /* The collector keeps lists on its own stack. Were that stack copied out
       while they are in use, they would be overwritten. */
    if (g->thread != here ||
        (rl_pystate_is_collecting(here->ts) && here->current != here->main)) {
        rl_thread_doom(g->thread, self);
        return;
    }
    rl_greenlet_kill(self);
    if (g->state == RL_SUSPENDED && Py_REFCNT(self) == 1) {
        PySys_FormatStderr("GreenletExit did not kill %R\n", self);
        Py_INCREF(self); /* It can be neither ended nor freed. */
        g->undying = 1;
    }
}

/* Ends a suspended greenlet that is being deallocated. tp_finalize may have run
   before, and be another one: a subclass with __del__ replaces ours. Returns 0,
   or -1 when the object has come to life again. */
static int finalize_from_dealloc(PyObject *object) {
    Py_SET_REFCNT(object, 1);
    greenlet_finalize(object);
    Py_ssize_t count = Py_REFCNT(object) - 1;
    if (count == 0) {
        Py_SET_REFCNT(object, 0);
        return 0;
    }
    _Py_NewReference(object);
    Py_SET_REFCNT(object, count);
    if (!PyObject_GC_IsTracked(object))
        PyObject_GC_Track(object); /* The deallocator of a subclass has untracked it. */
    /* The deallocator of a subclass is about to give up its reference. */
    if (PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_HEAPTYPE))
        Py_INCREF(Py_TYPE(object));
    return -1;
}

/* Frees an untracked greenlet that is not suspended. */
static void dismantle(PyGreenlet *self) {
    struct rl_greenlet *g = self->impl;
    if (self->weakreflist)
        PyObject_ClearWeakRefs((PyObject *)self);
    Py_CLEAR(g->run);
    Py_CLEAR(g->callable);
    Py_CLEAR(g->kwargs);
    Py_CLEAR(g->py.context);
    Py_CLEAR(g->parent);
    Py_CLEAR(self->dict);
    rl_greenlet_free(self);
}

static void greenlet_dealloc(PyObject *object) {
    PyGreenlet *self = (PyGreenlet *)object;
    if (self->impl->state == RL_SUSPENDED) {
        if (finalize_from_dealloc(object) < 0)
            return;
        if (self->impl->state == RL_SUSPENDED)
            rl_greenlet_drop(self);
    }
    PyGreenlet *parent = self->impl->parent;
    PyObject_GC_UnTrack(object);
    if (parent && Py_REFCNT(parent) == 1) {
        /* It goes too, and perhaps a long line of ancestors: not one within the other. */
        Py_TRASHCAN_BEGIN(object, greenlet_dealloc)
        dismantle(self);
        Py_TRASHCAN_END
    } else {
        dismantle(self);
    }
}

static int greenlet_traverse(PyObject *object, visitproc visit, void *arg) {
    PyGreenlet *self = (PyGreenlet *)object;
    struct rl_greenlet *g = self->impl;
    Py_VISIT(self->dict);
    if (!g)
        return 0;
    Py_VISIT(g->run);
    Py_VISIT(g->callable);
    Py_VISIT(g->kwargs);
    Py_VISIT(g->parent);
    if (g->state != RL_RUNNING)
        Py_VISIT(g->py.context);
    if (g->state == RL_SUSPENDED && !g->is_main)
        Py_VISIT(g->py.exc_bottom.exc_value);
    return 0;
}

static int greenlet_clear(PyObject *object) {
    PyGreenlet *self = (PyGreenlet *)object;
    struct rl_greenlet *g = self->impl;
    Py_CLEAR(self->dict);
    Py_CLEAR(g->run);
    Py_CLEAR(g->callable);
    Py_CLEAR(g->kwargs);
    if (g->state == RL_NEW || g->state == RL_DEAD) {
        Py_CLEAR(g->parent);
        Py_CLEAR(g->py.context);
    }
    return 0;
}

/* ---- Attributes -------------------------------------------------------- */

static PyObject *get_dict(PyObject *object, void *closure) {
    (void)closure;
    PyGreenlet *self = (PyGreenlet *)object;
    if (!self->dict && !(self->dict = PyDict_New()))
        return NULL;
    return Py_NewRef(self->dict);
}

static int set_dict(PyObject *object, PyObject *dict, void *closure) {
    (void)closure;
    if (!dict) {
        PyErr_SetString(PyExc_TypeError, "__dict__ may not be deleted");
        return -1;
    }
    if (!PyDict_Check(dict)) {
        PyErr_SetString(PyExc_TypeError, "__dict__ must be a dictionary");
        return -1;
    }
    Py_INCREF(dict);
    Py_XSETREF(((PyGreenlet *)object)->dict, dict);
    return 0;
}

/* Sets AttributeError. Returns -1. */
static int refuse_run_of_main(void) {
    PyErr_SetString(PyExc_AttributeError, "Main greenlets do not have a run attribute.");
    return -1;
}

static PyObject *get_run(PyObject *object, void *closure) {
    (void)closure;
    struct rl_greenlet *g = ((PyGreenlet *)object)->impl;
    if (g->is_main) {
        refuse_run_of_main();
        return NULL;
    }
    if (g->state != RL_NEW || !g->run) {
        PyErr_SetString(PyExc_AttributeError, "run");
        return NULL;
    }
    return Py_NewRef(g->run);
}

static int set_run(PyObject *object, PyObject *run, void *closure) {
    (void)closure;
    struct rl_greenlet *g = ((PyGreenlet *)object)->impl;
    if (g->is_main)
        return refuse_run_of_main();
    if (g->state != RL_NEW) {
        PyErr_SetString(PyExc_AttributeError,
                        "run cannot be set after the start of the greenlet");
        return -1;
    }
    Py_XINCREF(run);
    Py_XSETREF(g->run, run);
    return 0;
}

static PyObject *get_parent(PyObject *object, void *closure) {
    (void)closure;
    PyGreenlet *parent = ((PyGreenlet *)object)->impl->parent;
    return Py_NewRef(parent ? (PyObject *)parent : Py_None);
}

int rl_greenlet_set_parent(PyObject *object, PyObject *parent) {
    PyGreenlet *self = (PyGreenlet *)object, *root = NULL;
    if (!parent) {
        PyErr_SetString(PyExc_AttributeError, "can't delete attribute");
        return -1;
    }
    if (!rl_greenlet_check(parent)) {
        PyErr_Format(PyExc_TypeError, "GreenletChecker: Expected any type of greenlet, not %s",
                     Py_TYPE(parent)->tp_name);
        return -1;
    }
    if (self->impl->is_main) {
        PyErr_SetString(PyExc_AttributeError, "cannot set the parent of a main greenlet");
        return -1;
    }
    for (PyGreenlet *p = (PyGreenlet *)parent; p; p = p->impl->parent) {
        if (p == self) {
            PyErr_SetString(PyExc_ValueError, "cyclic parent chain");
            return -1;
        }
        root = p;
    }
    if (!root->impl->is_main) {
        PyErr_SetString(PyExc_ValueError, "parent must not be garbage collected");
        return -1;
    }
    if (self->impl->thread && self->impl->thread != root->impl->thread) {
        PyErr_SetString(PyExc_ValueError, "parent cannot be on a different thread");
        return -1;
    }
    Py_INCREF(parent);
    Py_XSETREF(self->impl->parent, (PyGreenlet *)parent);
    return 0;
}

static int set_parent(PyObject *object, PyObject *parent, void *closure) {
    (void)closure;
    return rl_greenlet_set_parent(object, parent);
}

static PyObject *get_dead(PyObject *object, void *closure) {
    (void)closure;
    return PyBool_FromLong(((PyGreenlet *)object)->impl->state == RL_DEAD);
}

static PyObject *get_frame(PyObject *object, void *closure) {
    (void)closure;
    struct rl_greenlet *g = ((PyGreenlet *)object)->impl;
    PyFrameObject *frame = NULL;
    if (g->state == RL_SUSPENDED)
        frame = rl_pystate_frame(rl_pystate_current(), &g->py, &g->stack);
    if (!frame && PyErr_Occurred())
        return NULL;
    return frame ? (PyObject *)frame : Py_NewRef(Py_None);
}

/* Whether a greenlet's context may be touched from here. Returns 1 when it is
   in its record, 2 when in the thread state, 0 with ValueError set when neither. */
static int context_place(struct rl_greenlet *g, const char *what) {
    if (g->state != RL_RUNNING)
        return 1;
    if (g->thread == rl_thread_self)
        return 2;
    PyErr_Format(PyExc_ValueError,
                 "cannot %s context of a greenlet that is running in a different thread", what);
    return 0;
}

static PyObject *get_context(PyObject *object, void *closure) {
    (void)closure;
    struct rl_greenlet *g = ((PyGreenlet *)object)->impl;
    int place = context_place(g, "get");
    if (!place)
        return NULL;
    PyObject *context = place == 1 ? g->py.context : rl_pystate_context(g->thread->ts);
    return Py_NewRef(context ? context : Py_None);
}

static int set_context(PyObject *object, PyObject *context, void *closure) {
    (void)closure;
    struct rl_greenlet *g = ((PyGreenlet *)object)->impl;
    if (!context) {
        PyErr_SetString(PyExc_AttributeError, "can't delete context attribute");
        return -1;
    }
    if (context != Py_None && !PyContext_CheckExact(context)) {
        PyErr_SetString(PyExc_TypeError, "greenlet context must be a contextvars.Context or None");
        return -1;
    }
    int place = context_place(g, "set");
    if (!place)
        return -1;
    PyObject *fresh = context == Py_None ? NULL : Py_NewRef(context), *old = g->py.context;
    if (place == 1)
        g->py.context = fresh;
    else
        old = rl_pystate_set_context(g->thread->ts, fresh);
    Py_XDECREF(old);
    return 0;
}

static PyGetSetDef greenlet_attributes[] = {
    {"__dict__", get_dict, set_dict, "A dict of the greenlet's attributes.", NULL},
    {"run", get_run, set_run,
     "What the greenlet will call. Gone once it has started.", NULL},
    {"parent", get_parent, set_parent,
     "Where control goes when this greenlet ends; None for a main greenlet.", NULL},
    {"dead", get_dead, NULL, "True once the greenlet has ended.", NULL},
    {"gr_frame", get_frame, NULL,
     "The top frame while suspended; None when not started, running or dead.", NULL},
    {"gr_context", get_context, set_context,
     "The contextvars.Context the greenlet runs in, or None for an empty one.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- Methods ----------------------------------------------------------- */

static PyObject *greenlet_throw(PyObject *self, PyObject *args) {
    PyObject *type = rl_greenlet_exit, *value = NULL, *traceback = NULL;
    if (!PyArg_ParseTuple(args, "|OOO:throw", &type, &value, &traceback))
        return NULL;
    return rl_greenlet_throw((PyGreenlet *)self, type, value, traceback);
}

static PyObject *greenlet_getstate(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyErr_Format(PyExc_TypeError, "cannot serialize '%s' object", Py_TYPE(self)->tp_name);
}

PyDoc_STRVAR(switch_doc,
"switch(*args, **kwargs)\n--\n\n"
"Go on with this greenlet, until somebody switches back here.\n\n"
"A new greenlet starts with run(*args, **kwargs). In a suspended one, the\n"
"switch() it waits in returns: nothing given is (), one argument is itself,\n"
"several are a tuple, keywords are a dict, both are a pair of tuple and dict.\n"
"A dead one passes them to its nearest living ancestor.\n\n"
"Raises GreenletError for a greenlet of another thread, and for one that is\n"
"parked in a blocking call of a tasklet.");

PyDoc_STRVAR(throw_doc,
"throw(typ=GreenletExit, val=None, tb=None)\n--\n\n"
"Go on with this greenlet by raising an exception in it.\n\n"
"A greenlet that has not started ends without running. GreenletExit that\n"
"leaves a greenlet is not an error: its parent gets the instance as a value.");

static PyMethodDef greenlet_methods[] = {
    {"switch", (PyCFunction)(void (*)(void))rl_greenlet_method_switch,
     METH_FASTCALL | METH_KEYWORDS, switch_doc},
    {"throw", greenlet_throw, METH_VARARGS, throw_doc},
    {"__getstate__", greenlet_getstate, METH_NOARGS, "Greenlets cannot be pickled or copied."},
    {NULL, NULL, 0, NULL},
};

static int greenlet_bool(PyObject *object) {
    enum rl_greenlet_state state = ((PyGreenlet *)object)->impl->state;
    return state == RL_SUSPENDED || state == RL_RUNNING;
}

static PyObject *greenlet_repr(PyObject *object) {
    struct rl_greenlet *g = ((PyGreenlet *)object)->impl;
    const char *name = Py_TYPE(object)->tp_name;
    void *thread = rl_greenlet_thread((PyGreenlet *)object);
    if (g->state == RL_DEAD)
        return PyUnicode_FromFormat("<%s object at %p (otid=%p) %sdead>", name, object, thread,
                                    g->is_main ? "(thread exited) " : "");
    const char *where = "";
    if (g->state == RL_RUNNING && g->thread == rl_thread_self)
        where = " current";
    else if (g->state != RL_NEW)
        where = " suspended";
    return PyUnicode_FromFormat("<%s object at %p (otid=%p)%s%s%s%s>", name, object, thread, where,
                                g->state == RL_NEW ? "" : " active",
                                g->state == RL_NEW ? " pending" : " started",
                                g->is_main ? " main" : "");
}

static PyNumberMethods greenlet_as_number = {.nb_bool = greenlet_bool};

PyDoc_STRVAR(greenlet_doc,
"greenlet(run=None, parent=None)\n--\n\n"
"A coroutine with a stack of its own, moved by switch() and throw() alone.\n\n"
"run is called at the first switch. parent, by default the greenlet that makes\n"
"this one, gets control and the result when it ends. A greenlet belongs to the\n"
"thread it is started in, and no other thread can switch to it.");

PyTypeObject rl_greenlet_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet.greenlet",
    .tp_basicsize = sizeof(PyGreenlet),
    .tp_dealloc = greenlet_dealloc,
    .tp_repr = greenlet_repr,
    .tp_as_number = &greenlet_as_number,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = greenlet_doc,
    .tp_traverse = greenlet_traverse,
    .tp_clear = greenlet_clear,
    .tp_weaklistoffset = offsetof(PyGreenlet, weakreflist),
    .tp_methods = greenlet_methods,
    .tp_getset = greenlet_attributes,
    .tp_dictoffset = offsetof(PyGreenlet, dict),
    .tp_init = greenlet_init,
    .tp_alloc = PyType_GenericAlloc,
    .tp_new = greenlet_new,
    .tp_free = PyObject_GC_Del,
    .tp_finalize = greenlet_finalize,
    .tp_vectorcall = greenlet_vectorcall,
};

/* ---- Module functions -------------------------------------------------- */

static PyObject *getcurrent(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    if (rl_pystate_is_finalizing()) {
        PyErr_SetString(PyExc_RuntimeError, "greenlet is being finalized");
        return NULL;
    }
    struct rl_thread *thread = rl_thread_get();
    return thread ? Py_NewRef((PyObject *)thread->current) : NULL;
}

static PyObject *settrace(PyObject *module, PyObject *callback) {
    (void)module;
    struct rl_thread *thread = rl_thread_get();
    if (!thread)
        return NULL;
    PyObject *previous = thread->tracer;
    thread->tracer = callback == Py_None ? NULL : Py_NewRef(callback);
    rl_thread_update_pass(thread);
    return previous ? previous : Py_NewRef(Py_None);
}

static PyObject *gettrace(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_thread *thread = rl_thread_get();
    if (!thread)
        return NULL;
    return Py_NewRef(thread->tracer ? thread->tracer : Py_None);
}

static PyObject *stack_statistics(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_thread *thread = rl_thread_get();
    if (!thread)
        return NULL;
    struct rl_stacks *stacks = &thread->stacks;
    return Py_BuildValue("{s:I,s:I,s:n,s:k,s:k}", "slots", stacks->limit, "mapped", stacks->mapped,
                         "slot_bytes", (Py_ssize_t)stacks->slot_bytes, "evictions",
                         stacks->evictions, "evicted_bytes", stacks->evicted_bytes);
}

static PyObject *stack_bounds(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return rl_pystate_bounds(rl_pystate_current());
}

static PyObject *unwind_at_thread_end(PyObject *module, PyObject *flag) {
    (void)module;
    int unwind = PyObject_IsTrue(flag);
    return unwind < 0 ? NULL : PyBool_FromLong(rl_thread_unwind_at_end(unwind));
}

static PyObject *thread_count(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromSize_t(rl_thread_count);
}

static PyObject *trash_nesting(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromLong(rl_pystate_trash(rl_pystate_current()));
}

static PyObject *set_thread_local(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    PyObject *dict = PyThreadState_GetDict();
    if (count != 2 || !dict) {
        PyErr_SetString(PyExc_TypeError, "_set_thread_local() takes a key and a value");
        return NULL;
    }
    return PyDict_SetItem(dict, args[0], args[1]) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *call_greenlets(PyObject *module, PyObject *flag) {
    (void)module;
    int theirs = PyObject_IsTrue(flag);
    if (theirs < 0)
        return NULL;
    rl_greenlet_type.tp_name = theirs ? "greenlet.greenlet" : "ringlet.greenlet";
    PyType_Modified(&rl_greenlet_type);
    return Py_NewRef(Py_None);
}

/* In gc.callbacks: the collector links objects to list heads on the stack it runs
   on, so that stack stays in its slot until it is done, whatever finalizers do. */
static PyObject *collecting(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    struct rl_thread *thread = rl_thread_self;
    (void)module;
    if (thread && count > 0 && PyUnicode_Check(args[0])) {
        int starts = PyUnicode_CompareWithASCIIString(args[0], "start") == 0;
        rl_stacks_pin(&thread->stacks, starts ? &thread->current->impl->stack : NULL);
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"getcurrent", getcurrent, METH_NOARGS,
     PyDoc_STR("getcurrent()\n--\n\nThe running greenlet of the calling thread.")},
    {"settrace", settrace, METH_O,
     PyDoc_STR("settrace(callback)\n--\n\n"
               "Call callback(event, (origin, target)) in the target after every switch of this\n"
               "thread; event is \"switch\" or \"throw\". None stops it. Returns the previous one.")},
    {"gettrace", gettrace, METH_NOARGS,
     PyDoc_STR("gettrace()\n--\n\nThe callback of settrace() in this thread, or None.")},
    {"stack_statistics", stack_statistics, METH_NOARGS,
     PyDoc_STR("stack_statistics()\n--\n\n"
               "A dict about the calling thread's stacks: slots (the most there may be; it grows, up to\n"
               "256, while they hold deep stacks, unless RINGLET_SLOTS is set), mapped, slot_bytes,\n"
               "evictions (stacks copied out so far) and evicted_bytes.")},
    {"_unwind_at_thread_end", unwind_at_thread_end, METH_O,
     PyDoc_STR("_unwind_at_thread_end(flag)\n--\n\n"
               "Whether GreenletExit is raised in greenlets that are suspended when their thread ends,\n"
               "in any thread from now on; else they are dropped. Returns what held before.")},
    {"_call_greenlets", call_greenlets, METH_O,
     PyDoc_STR("_call_greenlets(flag)\n--\n\n"
               "Whether the type's name, which is in error texts, is greenlet.greenlet from now on\n"
               "or ringlet.greenlet.")},
    {"_thread_count", thread_count, METH_NOARGS,
     PyDoc_STR("_thread_count()\n--\n\nHow many threads have greenlets; each has a main one.")},
    {"_trash_nesting", trash_nesting, METH_NOARGS,
     PyDoc_STR("_trash_nesting()\n--\n\n"
               "How many deallocations of containers are under way in the running greenlet, as far\n"
               "as CPython counts them; it does up to 3.12.")},
    {"_set_thread_local", (PyCFunction)(void (*)(void))set_thread_local, METH_FASTCALL,
     PyDoc_STR("_set_thread_local(key, value, /)\n--\n\n"
               "Set an item of the dict that CPython keeps for C code in each thread.")},
    {"_collecting", (PyCFunction)(void (*)(void))collecting, METH_FASTCALL,
     PyDoc_STR("_collecting(phase, info)\n--\n\n"
               "Told by the garbage collector when it starts and stops.")},
    {"_stack_bounds", stack_bounds, METH_NOARGS,
     PyDoc_STR("_stack_bounds()\n--\n\n"
               "For tests, from CPython 3.14 on: where a thread state has the bounds of its stack, by\n"
               "two ways to find out, and these bounds: (offset, offset, (top, soft, hard)).")},
    {NULL, NULL, 0, NULL},
};

/* Has the collector tell us of its work. Returns 0, or -1 with an exception set. */
static int watch_collector(PyObject *module) {
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *callbacks = gc ? PyObject_GetAttrString(gc, "callbacks") : NULL;
    PyObject *callback = callbacks ? PyObject_GetAttrString(module, "_collecting") : NULL;
    int failed = !callback || PyList_Append(callbacks, callback) < 0;
    Py_XDECREF(callback);
    Py_XDECREF(callbacks);
    Py_XDECREF(gc);
    return failed ? -1 : 0;
}

int rl_greenlet_type_init(PyObject *module) {
    static const char *const copies[] = {"getcurrent", "error", "GreenletExit", "settrace",
                                         "gettrace"};
    rl_error = PyErr_NewExceptionWithDoc(
        "ringlet.GreenletError", "A greenlet was used in a way that its state or thread forbids.",
        NULL, NULL);
    rl_greenlet_exit = PyErr_NewExceptionWithDoc(
        "ringlet.GreenletExit", "Ends a greenlet; its parent gets the instance as a value.",
        PyExc_BaseException, NULL);
    if (!rl_error || !rl_greenlet_exit || PyModule_AddType(module, &rl_greenlet_type) < 0 ||
        PyModule_AddObjectRef(module, "GreenletError", rl_error) < 0 ||
        PyModule_AddObjectRef(module, "error", rl_error) < 0 ||
        PyModule_AddObjectRef(module, "GreenletExit", rl_greenlet_exit) < 0 ||
        PyModule_AddFunctions(module, functions) < 0 || watch_collector(module) < 0)
        return -1;
    /* greenlet offers these as attributes of the type too. */
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        PyObject *object = PyObject_GetAttrString(module, copies[i]);
        if (!object || PyDict_SetItemString(rl_greenlet_type.tp_dict, copies[i], object) < 0) {
            Py_XDECREF(object);
            return -1;
        }
        Py_DECREF(object);
    }
    PyType_Modified(&rl_greenlet_type);
    return 0;
}
