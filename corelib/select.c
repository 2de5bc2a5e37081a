/* SPDX-License-Identifier: MIT */
/* Waiting at several channels at once. */
#include "channel.h"

#include <structmember.h>

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

static PyTypeObject arm_type, select_type, selection_type;
static PyObject *select_in_time;     /* Python's function for calls with a time limit. */

/* ---- Arms ---------------------------------------------------------------------- */

/* Makes an arm; `value` (borrowed) is NULL for one that receives. */
static PyObject *make_arm(PyObject *channel, PyObject *value) {
    struct rl_arm *self = PyObject_GC_New(struct rl_arm, &arm_type);
    if (!self)
        return NULL;
    self->channel = (struct rl_channel *)Py_NewRef(channel);
    self->value = Py_XNewRef(value);
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

PyObject *rl_arm_receiving(PyObject *channel, PyObject *unused) {
    (void)unused;
    return make_arm(channel, NULL);
}

PyObject *rl_arm_sending(PyObject *channel, PyObject *value) { return make_arm(channel, value); }

static PyObject *arm_repr(PyObject *object) {
    struct rl_arm *self = (struct rl_arm *)object;
    return PyUnicode_FromFormat(self->value ? "%R.sending(...)" : "%R.receiving()",
                                (PyObject *)self->channel);
}

static int arm_traverse(PyObject *object, visitproc visit, void *arg) {
    struct rl_arm *self = (struct rl_arm *)object;
    Py_VISIT(self->channel);
    Py_VISIT(self->value);
    return 0;
}

/* There is no tp_clear: an arm never changes, so each cycle has something else in it. */
static void arm_dealloc(PyObject *object) {
    struct rl_arm *self = (struct rl_arm *)object;
    PyObject_GC_UnTrack(object);
    Py_DECREF(self->channel);
    Py_XDECREF(self->value);
    PyObject_GC_Del(object);
}

static PyMemberDef arm_members[] = {
    {"channel", T_OBJECT, offsetof(struct rl_arm, channel), READONLY, "Where it sends or receives."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef arm_methods[] = {
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Arm[type of its channel's values]"},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject arm_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Arm",
    .tp_basicsize = sizeof(struct rl_arm),
    .tp_dealloc = arm_dealloc,
    .tp_repr = arm_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = PyDoc_STR("One way for a select() to go on; it may be used again and again."),
    .tp_traverse = arm_traverse,
    .tp_members = arm_members,
    .tp_methods = arm_methods,
};

/* ---- Waiting ---------------------------------------------------------------------- */

static inline int direction_of(struct rl_arm *arm) { return arm->value ? RL_SENDING : RL_RECEIVING; }

/* Makes what waits, without any place in a queue yet. Returns a new reference, or
   NULL with MemoryError set. */
static struct rl_select *make_select(PyObject *const *arms, Py_ssize_t count) {
    struct rl_select *self = PyObject_GC_NewVar(struct rl_select, &select_type, count);
    if (!self)
        return NULL;
    self->tasklet = NULL;
    self->chosen = -1;
    self->waiting = self->refused = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        self->arms[i].place = (struct rl_place){NULL, NULL, self};
        self->arms[i].arm = (struct rl_arm *)Py_NewRef(arms[i]);
    }
    PyObject_GC_Track((PyObject *)self);
    return self;
}

/* Stands in the queue of each arm's channel. */
static void enter_queues(struct rl_select *self) {
    self->waiting = 1;
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++) {
        struct rl_arm *arm = self->arms[i].arm;
        rl_channel_enqueue(arm->channel, &self->arms[i].place, direction_of(arm));
    }
}

static void leave_queues(struct rl_select *self) {
    if (!self->waiting)
        return;
    self->waiting = 0;
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++) {
        struct rl_arm *arm = self->arms[i].arm;
        rl_channel_dequeue(arm->channel, &self->arms[i].place, direction_of(arm));
    }
}

struct rl_arm *rl_select_choose(struct rl_place *place) {
    struct rl_select *self = place->select;
    self->chosen = ((char *)place - (char *)self->arms) / (Py_ssize_t)sizeof self->arms[0];
    leave_queues(self);
    return self->arms[self->chosen].arm;
}

/* rl_tasklet.unlinker: an exception ends the wait. */
static void give_up(struct rl_tasklet *tasklet) {
    leave_queues((struct rl_select *)tasklet->waiting_on);
}

static PyObject *get_arms(PyObject *object, void *closure) {
    (void)closure;
    struct rl_select *self = (struct rl_select *)object;
    PyObject *arms = PyTuple_New(Py_SIZE(self));
    for (Py_ssize_t i = 0; arms && i < Py_SIZE(self); i++)
        PyTuple_SET_ITEM(arms, i, Py_NewRef((PyObject *)self->arms[i].arm));
    return arms;
}

static PyObject *select_repr(PyObject *object) {
    PyObject *arms = get_arms(object, NULL);
    PyObject *text = arms ? PyObject_Repr(arms) : NULL, *repr = NULL;
    if (text) {
        /* A tuple of one is shown with a comma. */
        Py_ssize_t length = PyUnicode_GET_LENGTH(text) - (PyTuple_GET_SIZE(arms) == 1 ? 2 : 1);
        PyObject *inner = PyUnicode_Substring(text, 1, length);
        repr = inner ? PyUnicode_FromFormat("select(%U)", inner) : NULL;
        Py_XDECREF(inner);
    }
    Py_XDECREF(arms);
    Py_XDECREF(text);
    return repr;
}

static int select_traverse(PyObject *object, visitproc visit, void *arg) {
    struct rl_select *self = (struct rl_select *)object;
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++)
        Py_VISIT(self->arms[i].arm);
    return 0;
}

/* It has left the queues: its tasklet holds on to it while it waits. */
static void select_dealloc(PyObject *object) {
    struct rl_select *self = (struct rl_select *)object;
    PyObject_GC_UnTrack(object);
    for (Py_ssize_t i = 0; i < Py_SIZE(self); i++)
        Py_DECREF(self->arms[i].arm);
    PyObject_GC_Del(object);
}

static PyGetSetDef select_attributes[] = {
    {"arms", get_arms, NULL, "What it waits for, a tuple.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject select_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Select",
    .tp_basicsize = sizeof(struct rl_select),
    .tp_itemsize = sizeof(((struct rl_select *)0)->arms[0]),
    .tp_dealloc = select_dealloc,
    .tp_repr = select_repr,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_doc = PyDoc_STR("A select() that waits."),
    .tp_traverse = select_traverse,
    .tp_getset = select_attributes,
};

/* ---- Selecting ---------------------------------------------------------------------- */

/* Makes one with nothing in it yet, which nobody must see. Returns a new reference, or
   NULL with MemoryError set. It is a tuple with names, as collections.namedtuple() makes
   them; but those, and structures made with the API for it, take several lookups by name. */
static PyObject *make_selection(void) {
    PyObject *self = selection_type.tp_alloc(&selection_type, 3);
    if (self)
        PyObject_GC_UnTrack(self);
    return self;
}

/* Fills a new selection in. `value` is stolen, and so is `selection`. Returns it, or
   NULL with an exception set. */
static PyObject *complete(PyObject *selection, Py_ssize_t index, PyObject *channel,
                          PyObject *value) {
    PyObject *number = PyLong_FromSsize_t(index);
    if (!number) {
        Py_DECREF(value);
        Py_DECREF(selection);
        return NULL;
    }
    PyTuple_SET_ITEM(selection, 0, number);
    PyTuple_SET_ITEM(selection, 1, Py_NewRef(channel));
    PyTuple_SET_ITEM(selection, 2, value);
    PyObject_GC_Track(selection);
    return selection;
}

static PyObject *selection_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"index", "channel", "value", NULL};
    PyObject *items[3];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO:Selection", names, &items[0], &items[1],
                                     &items[2]))
        return NULL;
    PyObject *self = type->tp_alloc(type, 3);
    for (int i = 0; self && i < 3; i++)
        PyTuple_SET_ITEM(self, i, Py_NewRef(items[i]));
    return self;
}

/* What copies and pickles give to the type. */
static PyObject *selection_arguments(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyTuple_GetSlice(self, 0, 3);
}

/* That of an equal tuple. Tuples may keep theirs in a field that our allocation leaves alone. */
static Py_hash_t selection_hash(PyObject *self) {
    PyObject *tuple = PyTuple_GetSlice(self, 0, 3);
    Py_hash_t hash = tuple ? PyObject_Hash(tuple) : -1;
    Py_XDECREF(tuple);
    return hash;
}

static PyObject *selection_repr(PyObject *self) {
    return PyUnicode_FromFormat("Selection(index=%R, channel=%R, value=%R)",
                                PyTuple_GET_ITEM(self, 0), PyTuple_GET_ITEM(self, 1),
                                PyTuple_GET_ITEM(self, 2));
}

static PyMethodDef selection_methods[] = {
    {"__getnewargs__", selection_arguments, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef selection_members[] = {
    {"index", T_OBJECT_EX, offsetof(PyTupleObject, ob_item[0]), READONLY,
     "Which arm it was, counted from 0; -1: none, the default was given."},
    {"channel", T_OBJECT_EX, offsetof(PyTupleObject, ob_item[1]), READONLY,
     "The channel of that arm; None for the default."},
    {"value", T_OBJECT_EX, offsetof(PyTupleObject, ob_item[2]), READONLY,
     "What was received, None when it was sent; or the default."},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject selection_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet.Selection",
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = PyDoc_STR("Selection(index, channel, value)\n--\n\n"
                        "What a select() came to: a tuple with names."),
    .tp_repr = selection_repr,
    .tp_hash = selection_hash,
    .tp_methods = selection_methods,
    .tp_members = selection_members,
    .tp_new = selection_new,
};

/* Says in the ChannelClosed that is set which arm it was. */
static void note_arm(Py_ssize_t index, struct rl_channel *channel) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    PyObject *number = PyLong_FromSsize_t(index);
    if (!number || PyObject_SetAttrString(error, "index", number) < 0 ||
        PyObject_SetAttrString(error, "channel", (PyObject *)channel) < 0)
        PyErr_Clear(); /* Without memory it must do without. */
    Py_XDECREF(number);
    PyErr_Restore(type, error, traceback);
}

/* Does the first arm that is ready. Returns RL_DONE with what was received, or None,
   in *parcel, which the caller owns; RL_WOULD_WAIT; or RL_FAILED with an exception
   set. *index is the arm. */
static int try_arms(struct rl_ring *ring, PyObject *const *arms, Py_ssize_t count,
                    struct rl_parcel *parcel, Py_ssize_t *index) {
    for (Py_ssize_t i = 0; i < count; i++) {
        struct rl_arm *arm = (struct rl_arm *)arms[i];
        int result;
        if (arm->value) {
            *parcel = (struct rl_parcel){Py_None, 0};
            result = rl_channel_try_send(ring, arm->channel, arm->value, 0);
            if (result == RL_DONE)
                Py_INCREF(Py_None);
        } else {
            result = rl_channel_try_receive(ring, arm->channel, parcel);
        }
        if (result == RL_WOULD_WAIT)
            continue;
        *index = i;
        if (result == RL_FAILED && arm->channel->closed &&
            PyErr_ExceptionMatches(rl_channel_closed))
            note_arm(i, arm->channel);
        return result;
    }
    return RL_WOULD_WAIT;
}

/* Waits for the first arm that becomes ready. `selection` and `self` are stolen.
   Returns the selection, or NULL with an exception set. */
static PyObject *wait_for_arms(struct rl_ring *ring, PyObject *selection, struct rl_select *self) {
    self->tasklet = ring->current;
    enter_queues(self);
    PyObject *value = rl_ring_park(ring, (PyObject *)self, give_up);
    struct rl_arm *arm = self->chosen >= 0 ? self->arms[self->chosen].arm : NULL;
    if (likely(value != NULL)) {
        selection = complete(selection, self->chosen, (PyObject *)arm->channel, value);
    } else {
        if (self->refused && PyErr_ExceptionMatches(rl_channel_closed))
            note_arm(self->chosen, arm->channel);
        Py_CLEAR(selection);
    }
    Py_DECREF(self);
    return selection;
}

/* select() without a time limit; `otherwise` (borrowed) is the default or NULL. */
static PyObject *do_select(PyObject *const *arms, Py_ssize_t count, PyObject *otherwise) {
    struct rl_ring *ring = rl_ring_get();
    if (unlikely(!ring))
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        if (unlikely(Py_TYPE(arms[i]) != &arm_type))
            return PyErr_Format(PyExc_TypeError,
                                "select() takes arms, channel.receiving() or "
                                "channel.sending(value); not %R", arms[i]);
    /* Made first: after a transfer nothing may fail. */
    PyObject *selection = make_selection();
    struct rl_select *self = NULL;
    while (selection) {
        struct rl_parcel parcel;
        Py_ssize_t index;
        int result = try_arms(ring, arms, count, &parcel, &index);
        if (result == RL_DONE) {
            Py_XDECREF(self);
            PyObject *value = rl_channel_open_parcel(parcel);
            if (value)
                return complete(selection, index,
                                (PyObject *)((struct rl_arm *)arms[index])->channel, value);
            Py_DECREF(selection);
            return NULL;
        }
        if (result == RL_FAILED)
            break;
        if (otherwise)
            return complete(selection, -1, Py_None, Py_NewRef(otherwise));
        if (self)
            return wait_for_arms(ring, selection, self);
        /* Making it may run finalizers, after which an arm may be ready. */
        self = make_select(arms, count);
        if (!self)
            break;
    }
    Py_XDECREF(self);
    Py_XDECREF(selection);
    return NULL;
}

/* select() with a time limit. */
static PyObject *do_select_in_time(PyObject *const *args, Py_ssize_t count, PyObject *timeout) {
    PyObject *arms = PyTuple_New(count), *result = NULL;
    for (Py_ssize_t i = 0; arms && i < count; i++)
        PyTuple_SET_ITEM(arms, i, Py_NewRef(args[i]));
    if (arms)
        result = PyObject_CallFunctionObjArgs(select_in_time, arms, timeout, NULL);
    Py_XDECREF(arms);
    return result;
}

static PyObject *py_select(PyObject *module, PyObject *const *args, Py_ssize_t count,
                           PyObject *names) {
    (void)module;
    PyObject *timeout = NULL, *otherwise = NULL;
    for (Py_ssize_t i = 0; unlikely(names != NULL) && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0)
            timeout = args[count + i] == Py_None ? NULL : args[count + i];
        else if (PyUnicode_CompareWithASCIIString(name, "default") == 0)
            otherwise = args[count + i];
        else
            return PyErr_Format(PyExc_TypeError,
                                "select() got an unexpected keyword argument '%U'", name);
    }
    if (likely(!timeout) || otherwise)
        return do_select(args, count, otherwise);
    return do_select_in_time(args, count, timeout);
}

static PyObject *set_select_in_time(PyObject *module, PyObject *function) {
    (void)module;
    Py_XSETREF(select_in_time, Py_NewRef(function));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"select", (PyCFunction)(void (*)(void))py_select, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "select(*arms, timeout=None, default=MISSING)\n--\n\n"
         "Do one of several transfers, whichever can be done first; wait until one can, at most\n"
         "timeout seconds. Returns a Selection: index, channel, value.\n\n"
         "Arms are channel.receiving() and channel.sending(value); they may be used again. Of\n"
         "several that are ready the first one given is done, so put what must not starve in\n"
         "front, or turn the order round at each call. With a default it never waits: where no arm\n"
         "is ready it returns Selection(-1, None, default). Raises ChannelClosed, whose `index`\n"
         "and `channel` say which arm that was, where that one's send() or receive() would; what\n"
         "send_exception() sent; Timeout. An exception that ends the wait leaves all channels as\n"
         "if it had not been. From any thread and tasklet.")},
    {"_set_select_in_time", set_select_in_time, METH_O,
     PyDoc_STR("_set_select_in_time(f)\n--\n\nHave f(arms, timeout) do select() with a time limit.")},
    {NULL, NULL, 0, NULL},
};

int rl_select_init(PyObject *module) {
    PyObject *fields = Py_BuildValue("(sss)", "index", "channel", "value");
    selection_type.tp_base = &PyTuple_Type;
    selection_type.tp_richcompare = PyTuple_Type.tp_richcompare; /* Inherited with the hash only. */
    int failed = !fields || PyModule_AddType(module, &arm_type) < 0 ||
                 PyModule_AddType(module, &select_type) < 0 ||
                 PyModule_AddType(module, &selection_type) < 0 ||
                 PyDict_SetItemString(selection_type.tp_dict, "__match_args__", fields) < 0 ||
                 PyModule_AddFunctions(module, functions) < 0;
    Py_XDECREF(fields);
    return failed ? -1 : 0;
}
