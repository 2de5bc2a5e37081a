/* SPDX-License-Identifier: MIT */
#include "channel.h"

#include <Python.h>
#include <structmember.h>

#include "ring.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Invariants, whenever Python code can run:
     all tasklets in the queue are parked; they are all senders or all receivers;
     balance is the number of waiting senders, or minus that of waiting receivers;
     a sender's value waits in its `value`, or in `error` what it makes the receiver raise. */
struct channel {
    PyObject_HEAD
    struct rl_tasklet *first, *last; /* The queue, linked by behind/ahead; borrowed, for a parked
                                        tasklet is kept by its ring. */
    Py_ssize_t balance;
    int preference;                  /* -1: a receiver runs at once, +1: a sender does, 0: nobody. */
    int slow;                        /* Bits set by Python: closed, buffered, watched. While any is
                                        set, send and receive are Python's. */
    PyObject *weakreflist;           /* Weak references to it. */
};

enum { SENDING = 1, RECEIVING = -1 };

/* ---- The queue --------------------------------------------------------------- */

static void enqueue(struct channel *channel, struct rl_tasklet *tasklet, int direction) {
    tasklet->behind = NULL;
    tasklet->ahead = channel->last;
    if (channel->last)
        channel->last->behind = tasklet;
    else
        channel->first = tasklet;
    channel->last = tasklet;
    channel->balance += direction;
}

/* Takes a tasklet out of the queue, from wherever it stands. */
static void dequeue(struct channel *channel, struct rl_tasklet *tasklet) {
    if (tasklet->ahead)
        tasklet->ahead->behind = tasklet->behind;
    else
        channel->first = tasklet->behind;
    if (tasklet->behind)
        tasklet->behind->ahead = tasklet->ahead;
    else
        channel->last = tasklet->ahead;
    tasklet->behind = tasklet->ahead = NULL;
    channel->balance += channel->balance > 0 ? -1 : 1;
}

/* For rl_ring_park: an exception ends the wait, and nothing is transferred. */
static void leave_queue(struct rl_tasklet *tasklet) {
    dequeue((struct channel *)tasklet->waiting_on, tasklet);
    Py_CLEAR(tasklet->value);
    tasklet->parcel_is_error = 0;
}

/* ---- The exchange ------------------------------------------------------------ */

/* Does what comes after a transfer between the running tasklet, which moves in
   `direction`, and `other`: who runs first is up to the preference. Returns 0,
   or -1 with what was thrown at the running tasklet set. */
static int resume_other(struct rl_ring *ring, struct channel *channel, int direction,
                        struct rl_tasklet *other, PyObject *value) {
    if (channel->preference == -direction && other->ring == ring && ring->current != ring->hub)
        return rl_ring_wake_and_go(ring, other, value);
    rl_ring_wake(other, value);
    return 0;
}

/* Sends `value`, or has the receiver raise `error` (one of them NULL; both
   borrowed). Waits for a receiver if need be. Returns None, or NULL with an
   exception set. */
static PyObject *do_send(struct channel *channel, PyObject *value, PyObject *error) {
    struct rl_ring *ring = rl_ring_get();
    if (unlikely(!ring))
        return NULL;
    if (channel->balance < 0) {
        struct rl_tasklet *receiver = channel->first;
        dequeue(channel, receiver);
        if (unlikely(error != NULL))
            receiver->error = Py_NewRef(error);
        if (resume_other(ring, channel, SENDING, receiver, Py_XNewRef(value)) < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    struct rl_tasklet *me = ring->current;
    /* Kept in a pair, for `error` of a parked tasklet would be raised in itself. */
    me->value = error ? PyTuple_Pack(1, error) : Py_NewRef(value);
    if (!me->value)
        return NULL;
    me->parcel_is_error = error != NULL;
    enqueue(channel, me, SENDING);
    return rl_ring_park(ring, (PyObject *)channel, leave_queue);
}

/* Receives. Waits for a sender if need be. Returns the value, a new reference, or
   NULL with an exception set. */
static PyObject *do_receive(struct channel *channel) {
    struct rl_ring *ring = rl_ring_get();
    if (unlikely(!ring))
        return NULL;
    if (channel->balance > 0) {
        struct rl_tasklet *sender = channel->first;
        PyObject *value = sender->value;
        int is_error = sender->parcel_is_error;
        sender->value = NULL;
        sender->parcel_is_error = 0;
        dequeue(channel, sender);
        if (resume_other(ring, channel, RECEIVING, sender, NULL) < 0) {
            Py_DECREF(value);
            return NULL;
        }
        if (unlikely(is_error)) {
            PyObject *error = PyTuple_GET_ITEM(value, 0);
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
            Py_CLEAR(value);
        }
        return value;
    }
    enqueue(channel, ring->current, RECEIVING);
    return rl_ring_park(ring, (PyObject *)channel, leave_queue);
}

/* ---- Methods ------------------------------------------------------------------ */

static PyObject *name_send, *name_receive; /* The Python methods for all that is unusual. */

static PyObject *channel_send(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *names) {
    struct channel *channel = (struct channel *)self;
    if (likely(count == 1 && !names && !channel->slow))
        return do_send(channel, args[0], NULL);
    PyObject *method = PyObject_GetAttr(self, name_send), *result;
    if (!method)
        return NULL;
    result = PyObject_Vectorcall(method, args, (size_t)count, names);
    Py_DECREF(method);
    return result;
}

static PyObject *channel_receive(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *names) {
    struct channel *channel = (struct channel *)self;
    if (likely(count == 0 && !names && !channel->slow))
        return do_receive(channel);
    PyObject *method = PyObject_GetAttr(self, name_receive), *result;
    if (!method)
        return NULL;
    result = PyObject_Vectorcall(method, args, (size_t)count, names);
    Py_DECREF(method);
    return result;
}

static PyObject *channel_send_direct(PyObject *self, PyObject *value) {
    return do_send((struct channel *)self, value, NULL);
}

static PyObject *channel_send_error(PyObject *self, PyObject *error) {
    if (!PyExceptionInstance_Check(error))
        return PyErr_Format(PyExc_TypeError, "wants an exception instance, not %R", error);
    return do_send((struct channel *)self, NULL, error);
}

static PyObject *channel_receive_direct(PyObject *self, PyObject *unused) {
    (void)unused;
    return do_receive((struct channel *)self);
}

static PyObject *channel_take(PyObject *self, PyObject *unused) {
    (void)unused;
    struct channel *channel = (struct channel *)self;
    if (channel->balance <= 0) {
        PyErr_SetString(PyExc_LookupError, "no sender waits");
        return NULL;
    }
    struct rl_tasklet *sender = channel->first;
    PyObject *value = sender->value, *pair;
    int is_error = sender->parcel_is_error;
    pair = PyTuple_Pack(2, is_error ? PyTuple_GET_ITEM(value, 0) : value,
                        is_error ? Py_True : Py_False);
    if (!pair)
        return NULL;
    sender->parcel_is_error = 0;
    dequeue(channel, sender);
    Py_CLEAR(sender->value);
    rl_ring_wake(sender, NULL);
    return pair;
}

static PyObject *channel_waiters(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *list = PyList_New(0);
    struct rl_tasklet *tasklet = list ? ((struct channel *)self)->first : NULL;
    for (; tasklet; tasklet = tasklet->behind)
        if (PyList_Append(list, (PyObject *)tasklet) < 0)
            Py_CLEAR(list);
    return list;
}

static PyMethodDef channel_methods[] = {
    {"send", (PyCFunction)(void (*)(void))channel_send, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("send(value, timeout=None)\n--\n\n"
               "Hand value to a receiver; wait for one if there is none, at most timeout seconds.\n\n"
               "With preference -1, the default, a waiting receiver runs at once and the sender after\n"
               "a full round. Raises ChannelClosed on a closed channel; Timeout, and then nothing was\n"
               "sent. From any thread.")},
    {"receive", (PyCFunction)(void (*)(void))channel_receive, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("receive(timeout=None)\n--\n\n"
               "Take a value from the sender that has waited longest; wait for one if there is none,\n"
               "at most timeout seconds.\n\n"
               "Raises ChannelClosed once the channel is closed and drained; Timeout, and then nothing\n"
               "was received; and what send_exception() sent. From any thread.")},
    {"_send", channel_send_direct, METH_O, PyDoc_STR("_send(value)\n--\n\nThe bare exchange.")},
    {"_send_error", channel_send_error, METH_O,
     PyDoc_STR("_send_error(error)\n--\n\nThe bare exchange; the receiver raises error.")},
    {"_receive", channel_receive_direct, METH_NOARGS,
     PyDoc_STR("_receive()\n--\n\nThe bare exchange.")},
    {"_take", channel_take, METH_NOARGS,
     PyDoc_STR("_take()\n--\n\n"
               "What the first waiting sender sends, and whether it is to be raised; the sender is\n"
               "woken, and nobody else runs yet. Raises LookupError when no sender waits.")},
    {"_waiters", channel_waiters, METH_NOARGS,
     PyDoc_STR("_waiters()\n--\n\nThe tasklets in the queue, the first one first.")},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Channel[type of its values]"},
    {NULL, NULL, 0, NULL},
};

static PyObject *get_preference(PyObject *self, void *closure) {
    (void)closure;
    return PyLong_FromLong(((struct channel *)self)->preference);
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
    ((struct channel *)self)->preference = (number > 0) - (number < 0);
    return 0;
}

static PyGetSetDef channel_attributes[] = {
    {"preference", get_preference, set_preference,
     "Who runs first after an exchange: -1 the receiver, 1 the sender, 0 who runs already.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef channel_members[] = {
    {"balance", T_PYSSIZET, offsetof(struct channel, balance), READONLY,
     "How many senders wait, or, negative, how many receivers."},
    {"_slow", T_INT, offsetof(struct channel, slow), 0,
     "Not 0: send() and receive() are done by _send_slowly() and _receive_slowly()."},
    {NULL, 0, 0, 0, NULL},
};

/* ---- The type ------------------------------------------------------------------- */

static PyObject *channel_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    struct channel *self = (struct channel *)type->tp_alloc(type, 0);
    if (self)
        self->preference = -1;
    return (PyObject *)self;
}

/* Nobody can be waiting here: a waiting tasklet holds on to the channel. */
static void channel_dealloc(PyObject *self) {
    if (((struct channel *)self)->weakreflist)
        PyObject_ClearWeakRefs(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject channel_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Channel",
    .tp_basicsize = sizeof(struct channel),
    .tp_dealloc = channel_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_doc = PyDoc_STR("Where one tasklet hands a value to another: the exchange alone."),
    .tp_weaklistoffset = offsetof(struct channel, weakreflist),
    .tp_methods = channel_methods,
    .tp_members = channel_members,
    .tp_getset = channel_attributes,
    .tp_new = channel_new,
};

int rl_channel_init(PyObject *module) {
    name_send = PyUnicode_InternFromString("_send_slowly");
    name_receive = PyUnicode_InternFromString("_receive_slowly");
    if (!name_send || !name_receive)
        return -1;
    return PyModule_AddType(module, &channel_type);
}
