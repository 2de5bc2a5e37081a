/* SPDX-License-Identifier: MIT */
/* The Python type of channels. */
#include "channel.h"

#include <structmember.h>

#define likely(condition) __builtin_expect(!!(condition), 1)

PyObject *rl_channel_closed, *rl_would_block;

/* ---- Methods ------------------------------------------------------------------ */

static PyObject *name_send, *name_receive; /* Python's methods for calls with a time limit. */

/* Calls a method with the arguments of another one. */
static PyObject *call_instead(PyObject *self, PyObject *name, PyObject *const *args,
                              Py_ssize_t count, PyObject *names) {
    PyObject *method = PyObject_GetAttr(self, name), *result;
    if (!method)
        return NULL;
    result = PyObject_Vectorcall(method, args, (size_t)count, names);
    Py_DECREF(method);
    return result;
}

static PyObject *channel_send(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *names) {
    if (likely(count == 1 && !names))
        return rl_channel_send((struct rl_channel *)self, args[0], 0);
    return call_instead(self, name_send, args, count, names);
}

static PyObject *channel_receive(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *names) {
    if (likely(count == 0 && !names))
        return rl_channel_receive((struct rl_channel *)self);
    return call_instead(self, name_receive, args, count, names);
}

/* Reads the arguments of _send() and _try_send(). Returns 0, or -1 with TypeError set. */
static int send_arguments(const char *function, PyObject *const *args, Py_ssize_t count,
                          int *is_error) {
    if (count != 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes 2 arguments (%zd given)", function, count);
        return -1;
    }
    *is_error = PyObject_IsTrue(args[1]);
    if (*is_error > 0 && !PyExceptionInstance_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "%s() wants an exception instance, not %R", function, args[0]);
        return -1;
    }
    return *is_error < 0 ? -1 : 0;
}

static PyObject *channel_send_bare(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    int is_error;
    if (send_arguments("_send", args, count, &is_error) < 0)
        return NULL;
    return rl_channel_send((struct rl_channel *)self, args[0], is_error);
}

static PyObject *channel_try_send(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    int is_error;
    struct rl_ring *ring = rl_ring_get();
    if (!ring || send_arguments("_try_send", args, count, &is_error) < 0)
        return NULL;
    int result = rl_channel_try_send(ring, (struct rl_channel *)self, args[0], is_error);
    return result == RL_FAILED ? NULL : PyBool_FromLong(result == RL_DONE);
}

static PyObject *channel_try_receive(PyObject *self, PyObject *otherwise) {
    struct rl_parcel parcel;
    struct rl_ring *ring = rl_ring_get();
    int result = ring ? rl_channel_try_receive(ring, (struct rl_channel *)self, &parcel) : RL_FAILED;
    if (result == RL_WOULD_WAIT)
        return Py_NewRef(otherwise);
    return result == RL_FAILED ? NULL : rl_channel_open_parcel(parcel);
}

static PyObject *channel_send_nowait(PyObject *self, PyObject *value) {
    struct rl_ring *ring = rl_ring_get();
    int result = ring ? rl_channel_try_send(ring, (struct rl_channel *)self, value, 0) : RL_FAILED;
    if (result == RL_WOULD_WAIT)
        return PyErr_Format(rl_would_block, "nobody waits to receive from %R", self);
    if (result == RL_FAILED)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *channel_receive_nowait(PyObject *self, PyObject *unused) {
    (void)unused;
    struct rl_parcel parcel;
    struct rl_ring *ring = rl_ring_get();
    int result = ring ? rl_channel_try_receive(ring, (struct rl_channel *)self, &parcel) : RL_FAILED;
    if (result == RL_WOULD_WAIT)
        return PyErr_Format(rl_would_block, "nobody waits to send to %R", self);
    return result == RL_FAILED ? NULL : rl_channel_open_parcel(parcel);
}

/* Iteration: the end of a closed channel is no error. */
static PyObject *channel_next(PyObject *self) {
    PyObject *value = rl_channel_receive((struct rl_channel *)self);
    if (!value && ((struct rl_channel *)self)->closed && PyErr_ExceptionMatches(rl_channel_closed))
        PyErr_Clear();
    return value;
}

static PyObject *channel_refuse_receiver(PyObject *self, PyObject *error) {
    if (!PyExceptionInstance_Check(error))
        return PyErr_Format(PyExc_TypeError, "wants an exception instance, not %R", error);
    return PyBool_FromLong(rl_channel_refuse_receiver((struct rl_channel *)self, error));
}

static PyObject *channel_waiters(PyObject *object, PyObject *unused) {
    (void)unused;
    struct rl_channel *self = (struct rl_channel *)object;
    struct rl_place *heads[] = {&self->senders, &self->receivers};
    /* Made long enough first: appending could let another thread run in between. */
    for (;;) {
        Py_ssize_t room = 0, count = 0;
        for (int i = 0; i < 2; i++)
            for (struct rl_place *place = heads[i]->behind; place != heads[i]; place = place->behind)
                room++;
        PyObject *list = PyList_New(room);
        if (!list)
            return NULL;
        for (int i = 0; i < 2; i++)
            for (struct rl_place *place = heads[i]->behind; place != heads[i]; place = place->behind)
                if (count++ < room)
                    PyList_SET_ITEM(list, count - 1, Py_NewRef((PyObject *)rl_place_tasklet(place)));
        if (count == room)
            return list;
        Py_DECREF(list);
    }
}

static PyMethodDef channel_methods[] = {
    {"send", (PyCFunction)(void (*)(void))channel_send, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("send(value, timeout=None)\n--\n\n"
               "Hand value to a receiver, or to the buffer while there is room; else wait, at most\n"
               "timeout seconds.\n\n"
               "With preference -1, the default, a waiting receiver runs at once and the sender after\n"
               "a full round. Raises ChannelClosed on a closed channel; Timeout, and then nothing was\n"
               "sent. From any thread and tasklet.")},
    {"receive", (PyCFunction)(void (*)(void))channel_receive, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("receive(timeout=None)\n--\n\n"
               "Take the oldest value from the buffer, or from the sender that has waited longest;\n"
               "wait for one if there is none, at most timeout seconds.\n\n"
               "Raises ChannelClosed once the channel is closed and drained; Timeout, and then nothing\n"
               "was received; and what send_exception() sent. From any thread and tasklet.")},
    {"send_nowait", channel_send_nowait, METH_O,
     PyDoc_STR("send_nowait(value)\n--\n\nLike send(), but raises WouldBlock where that would wait.")},
    {"receive_nowait", channel_receive_nowait, METH_NOARGS,
     PyDoc_STR("receive_nowait()\n--\n\n"
               "Like receive(), but raises WouldBlock where that would wait.")},
    {"receiving", rl_arm_receiving, METH_NOARGS,
     PyDoc_STR("receiving()\n--\n\nAn arm for select(): receive from this channel.")},
    {"sending", rl_arm_sending, METH_O,
     PyDoc_STR("sending(value)\n--\n\nAn arm for select(): send value to this channel.")},
    {"_send", (PyCFunction)(void (*)(void))channel_send_bare, METH_FASTCALL,
     PyDoc_STR("_send(value, is_error)\n--\n\nsend() without a time limit; value may be an exception "
               "to be raised.")},
    {"_try_send", (PyCFunction)(void (*)(void))channel_try_send, METH_FASTCALL,
     PyDoc_STR("_try_send(value, is_error)\n--\n\nThe same if it need not wait. Whether it was done.")},
    {"_try_receive", channel_try_receive, METH_O,
     PyDoc_STR("_try_receive(otherwise)\n--\n\nReceive, or return `otherwise` if that would wait.")},
    {"_refuse_receiver", channel_refuse_receiver, METH_O,
     PyDoc_STR("_refuse_receiver(error)\n--\n\n"
               "Raise error in the receiver that has waited longest. Whether there was one.")},
    {"_waiters", channel_waiters, METH_NOARGS,
     PyDoc_STR("_waiters()\n--\n\n"
               "The tasklets in its queues, those that have waited longest first; a select\n"
               "once for each of its arms here.")},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Channel[type of its values]"},
    {NULL, NULL, 0, NULL},
};

static PyObject *get_preference(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromLong(((struct rl_channel *)self)->preference);
}

static int set_preference(PyObject *self, PyObject *value, void *closure) {
    (void)closure;
    if (!value || !PyLong_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "preference must be an integer: -1 lets receivers run "
                                         "first, 1 senders, 0 neither");
        return -1;
    }
    int overflow;
    long number = PyLong_AsLongAndOverflow(value, &overflow);
    number = overflow ? overflow : number;
    ((struct rl_channel *)self)->preference = (number > 0) - (number < 0);
    return 0;
}

static PyGetSetDef channel_attributes[] = {
    {"preference", get_preference, set_preference,
     "Who runs first after an exchange: -1 the receiver, 1 the sender, 0 who runs already.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef channel_members[] = {
    {"balance", T_PYSSIZET, offsetof(struct rl_channel, balance), READONLY,
     "How many senders wait, or, negative, how many receivers; each arm of a select is one."},
    {"closed", T_BOOL, offsetof(struct rl_channel, closed), READONLY,
     "Whether close() was called, and open() not since."},
    {"_closed", T_BOOL, offsetof(struct rl_channel, closed), 0, "The same, to be set."},
    {"_capacity", T_PYSSIZET, offsetof(struct rl_channel, capacity), 0,
     "How many values the buffer takes; negative: any number. Set before the first use."},
    {NULL, 0, 0, 0, NULL},
};

/* ---- The type ------------------------------------------------------------------- */

static PyObject *channel_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    struct rl_channel *self = (struct rl_channel *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->preference = -1;
    self->senders.behind = self->senders.ahead = &self->senders;
    self->receivers.behind = self->receivers.ahead = &self->receivers;
    return (PyObject *)self;
}

static Py_ssize_t channel_length(PyObject *self) { return ((struct rl_channel *)self)->count; }

/* An empty channel is still a channel. */
static int channel_bool(PyObject *self) {
    (void)self;
    return 1;
}

static int channel_traverse(PyObject *object, visitproc visit, void *arg) {
    struct rl_channel *self = (struct rl_channel *)object;
    for (Py_ssize_t i = 0; i < self->count; i++)
        Py_VISIT(self->buffer[(self->head + i) & (self->room - 1)].value);
    return 0;
}

static int channel_clear(PyObject *object) {
    struct rl_channel *self = (struct rl_channel *)object;
    while (self->count) {
        PyObject *value = self->buffer[self->head].value;
        self->head = (self->head + 1) & (self->room - 1);
        self->count--;
        Py_DECREF(value);
    }
    return 0;
}

/* Nobody can be waiting here: a waiting tasklet holds on to the channel. */
static void channel_dealloc(PyObject *object) {
    struct rl_channel *self = (struct rl_channel *)object;
    PyObject_GC_UnTrack(object);
    if (self->weakreflist)
        PyObject_ClearWeakRefs(object);
    channel_clear(object);
    PyMem_Free(self->buffer);
    Py_TYPE(object)->tp_free(object);
}

static PySequenceMethods channel_as_sequence = {.sq_length = channel_length};
static PyNumberMethods channel_as_number = {.nb_bool = channel_bool};

PyTypeObject rl_channel_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Channel",
    .tp_basicsize = sizeof(struct rl_channel),
    .tp_dealloc = channel_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = PyDoc_STR("Where one tasklet hands a value to another: the exchange alone."),
    .tp_traverse = channel_traverse,
    .tp_clear = channel_clear,
    .tp_weaklistoffset = offsetof(struct rl_channel, weakreflist),
    .tp_as_sequence = &channel_as_sequence,
    .tp_as_number = &channel_as_number,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = channel_next,
    .tp_methods = channel_methods,
    .tp_members = channel_members,
    .tp_getset = channel_attributes,
    .tp_new = channel_new,
};

/* Makes an exception and adds it to the module. Returns it, borrowed, or NULL with an
   exception set. */
static PyObject *add_exception(PyObject *module, const char *name, const char *doc, PyObject *base,
                               PyObject *attributes) {
    PyObject *type = PyErr_NewExceptionWithDoc(name, doc, base, attributes);
    if (type && PyModule_AddObjectRef(module, strchr(name, '.') + 1, type) < 0)
        Py_CLEAR(type);
    return type; /* The reference stays: these exist as long as the process. */
}

int rl_channel_init(PyObject *module) {
    name_send = PyUnicode_InternFromString("_send_in_time");
    name_receive = PyUnicode_InternFromString("_receive_in_time");
    PyObject *attributes = Py_BuildValue("{sOsO}", "index", Py_None, "channel", Py_None);
    if (!name_send || !name_receive || !attributes)
        return -1;
    rl_channel_closed = add_exception(
        module, "ringlet.ChannelClosed",
        "The channel was closed: nothing can be sent, or nothing is left to be received.\n\n"
        "From select(), `channel` is the closed one and `index` says which arm that was; else both\n"
        "are None.",
        PyExc_ValueError, attributes);
    Py_DECREF(attributes);
    rl_would_block = add_exception(
        module, "ringlet.WouldBlock",
        "The operation cannot be done at once, and was asked not to wait.", PyExc_Exception, NULL);
    if (!rl_channel_closed || !rl_would_block)
        return -1;
    return PyModule_AddType(module, &rl_channel_type) < 0 ? -1 : rl_select_init(module);
}
