/* SPDX-License-Identifier: MIT */
#include "channel.h"

#include <Python.h>
#include <structmember.h>

#include "ring.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define always_inline inline __attribute__((always_inline))

/* What travels. */
struct parcel {
    PyObject *value; /* Owned. */
    int is_error;    /* The receiver raises `value`. */
};

/* Invariants, whenever the GIL may be given up:
     all tasklets in the queue are parked; they are all senders or all receivers;
     balance is the number of waiting senders, or minus that of waiting receivers;
     a sender waits only while the buffer is full, a receiver only while it is empty
     and the channel open;
     what a sender brings waits in its `value`. */
struct channel {
    PyObject_HEAD
    struct rl_tasklet *first, *last; /* The queue, linked by behind/ahead; borrowed, for a parked
                                        tasklet is kept by its ring. */
    Py_ssize_t balance;
    int preference;        /* -1: a receiver runs at once, +1: a sender does, 0: nobody. */
    char closed;           /* Nothing can be sent. */
    Py_ssize_t capacity;   /* How much the buffer takes; negative: any number. */
    struct parcel *buffer; /* A circle of `room` entries, or NULL. */
    Py_ssize_t room, head, count; /* Its size, the oldest entry, how many there are. */
    PyObject *weakreflist; /* Weak references to it. */
};

enum { SENDING = 1, RECEIVING = -1 };

/* What a try comes to. */
enum { FAILED = -1, WOULD_WAIT, DONE };

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
    tasklet->parcel_is_error = 0;
    Py_CLEAR(tasklet->value);
}

/* Takes what a waiting sender brings; it leaves the queue. */
static struct parcel take_from(struct channel *channel, struct rl_tasklet *sender) {
    struct parcel parcel = {sender->value, sender->parcel_is_error};
    sender->value = NULL;
    sender->parcel_is_error = 0;
    dequeue(channel, sender);
    return parcel;
}

/* ---- The buffer --------------------------------------------------------------- */

/* Sees to room for one more. Returns 0, or -1 with MemoryError set. */
static int make_room(struct channel *channel) {
    if (channel->count < channel->room)
        return 0;
    Py_ssize_t room = channel->room ? channel->room * 2 : 8;
    struct parcel *buffer = PyMem_New(struct parcel, (size_t)room);
    if (!buffer) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < channel->count; i++)
        buffer[i] = channel->buffer[(channel->head + i) & (channel->room - 1)];
    PyMem_Free(channel->buffer);
    channel->buffer = buffer;
    channel->room = room;
    channel->head = 0;
    return 0;
}

/* Adds to the buffer, where there is room. Steals the reference. */
static void push(struct channel *channel, struct parcel parcel) {
    channel->buffer[(channel->head + channel->count++) & (channel->room - 1)] = parcel;
}

/* Takes the oldest out of the buffer, which is not empty. */
static struct parcel pop(struct channel *channel) {
    struct parcel parcel = channel->buffer[channel->head];
    channel->head = (channel->head + 1) & (channel->room - 1);
    channel->count--;
    return parcel;
}

/* ---- The exchange ------------------------------------------------------------ */

static PyObject *name_closed, *name_drained; /* Python's methods that raise ChannelClosed. */

/* Has a Python method raise. Returns FAILED. */
static int refuse(struct channel *channel, PyObject *method) {
    PyObject *nothing = PyObject_CallMethodNoArgs((PyObject *)channel, method);
    if (nothing)
        PyErr_Format(PyExc_SystemError, "%U() did not raise", method);
    Py_XDECREF(nothing);
    return FAILED;
}

/* Does what comes after a transfer between the running tasklet, which moves in
   `direction`, and `other`: who runs first is up to the preference. Returns DONE,
   or FAILED with what was thrown at the running tasklet set. */
static always_inline int resume_other(struct rl_ring *ring, struct channel *channel, int direction,
                                      struct rl_tasklet *other, PyObject *value) {
    if (channel->preference == -direction && other->ring == ring && ring->current != ring->hub)
        return rl_ring_wake_and_go(ring, other, value) < 0 ? FAILED : DONE;
    rl_ring_wake(other, value);
    return DONE;
}

/* Sends `value` (borrowed), to be raised if `is_error`, if that needs no waiting. */
static always_inline int try_send(struct rl_ring *ring, struct channel *channel, PyObject *value,
                                  int is_error) {
    if (channel->balance < 0) {
        struct rl_tasklet *receiver = channel->first;
        dequeue(channel, receiver);
        if (likely(!is_error))
            return resume_other(ring, channel, SENDING, receiver, Py_NewRef(value));
        receiver->error = Py_NewRef(value);
        return resume_other(ring, channel, SENDING, receiver, NULL);
    }
    if (unlikely(channel->closed))
        return refuse(channel, name_closed);
    if (channel->capacity < 0 || channel->count < channel->capacity) {
        if (make_room(channel) < 0)
            return FAILED;
        push(channel, (struct parcel){Py_NewRef(value), is_error});
        return DONE;
    }
    return WOULD_WAIT;
}

/* Receives into *parcel if that needs no waiting. */
static always_inline int try_receive(struct rl_ring *ring, struct channel *channel,
                                     struct parcel *parcel) {
    if (unlikely(channel->count > 0)) {
        *parcel = pop(channel);
        if (channel->balance > 0) {
            /* There is room now for what the first waiting sender brings. */
            struct rl_tasklet *sender = channel->first;
            push(channel, take_from(channel, sender));
            rl_ring_wake(sender, NULL);
        }
        return DONE;
    }
    if (channel->balance > 0) {
        struct rl_tasklet *sender = channel->first;
        *parcel = take_from(channel, sender);
        int result = resume_other(ring, channel, RECEIVING, sender, NULL);
        if (unlikely(result == FAILED))
            Py_DECREF(parcel->value);
        return result;
    }
    return unlikely(channel->closed) ? refuse(channel, name_drained) : WOULD_WAIT;
}

/* Ends a reception: returns the value, a new reference, or NULL with it set as the
   exception. `parcel` is stolen. */
static inline PyObject *open_parcel(struct parcel parcel) {
    if (likely(!parcel.is_error))
        return parcel.value;
    PyErr_SetObject((PyObject *)Py_TYPE(parcel.value), parcel.value);
    Py_DECREF(parcel.value);
    return NULL;
}

/* Sends, and waits for a receiver if need be. Returns None, or NULL with an
   exception set. */
static always_inline PyObject *do_send(struct channel *channel, PyObject *value, int is_error) {
    struct rl_ring *ring = rl_ring_get();
    if (unlikely(!ring))
        return NULL;
    int result = try_send(ring, channel, value, is_error);
    if (result == DONE)
        Py_RETURN_NONE;
    if (result == FAILED)
        return NULL;
    struct rl_tasklet *me = ring->current;
    me->value = Py_NewRef(value);
    me->parcel_is_error = is_error != 0;
    enqueue(channel, me, SENDING);
    return rl_ring_park(ring, (PyObject *)channel, leave_queue);
}

/* Receives, and waits for a sender if need be. Returns the value, a new reference,
   or NULL with an exception set. */
static PyObject *do_receive(struct channel *channel) {
    struct parcel parcel;
    struct rl_ring *ring = rl_ring_get();
    if (unlikely(!ring))
        return NULL;
    int result = try_receive(ring, channel, &parcel);
    if (result == DONE)
        return open_parcel(parcel);
    if (result == FAILED)
        return NULL;
    enqueue(channel, ring->current, RECEIVING);
    return rl_ring_park(ring, (PyObject *)channel, leave_queue);
}

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
        return do_send((struct channel *)self, args[0], 0);
    return call_instead(self, name_send, args, count, names);
}

static PyObject *channel_receive(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *names) {
    if (likely(count == 0 && !names))
        return do_receive((struct channel *)self);
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
    return do_send((struct channel *)self, args[0], is_error);
}

static PyObject *channel_try_send(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    int is_error;
    struct rl_ring *ring = rl_ring_get();
    if (!ring || send_arguments("_try_send", args, count, &is_error) < 0)
        return NULL;
    int result = try_send(ring, (struct channel *)self, args[0], is_error);
    return result == FAILED ? NULL : PyBool_FromLong(result == DONE);
}

static PyObject *channel_try_receive(PyObject *self, PyObject *otherwise) {
    struct parcel parcel;
    struct rl_ring *ring = rl_ring_get();
    int result = ring ? try_receive(ring, (struct channel *)self, &parcel) : FAILED;
    if (result == WOULD_WAIT)
        return Py_NewRef(otherwise);
    return result == FAILED ? NULL : open_parcel(parcel);
}

static PyObject *channel_refuse_receiver(PyObject *self, PyObject *error) {
    struct channel *channel = (struct channel *)self;
    if (!PyExceptionInstance_Check(error))
        return PyErr_Format(PyExc_TypeError, "wants an exception instance, not %R", error);
    if (channel->balance >= 0)
        Py_RETURN_FALSE;
    return PyBool_FromLong(rl_ring_throw(channel->first, Py_NewRef(error)));
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
    {"_send", (PyCFunction)(void (*)(void))channel_send_bare, METH_FASTCALL,
     PyDoc_STR("_send(value, is_error)\n--\n\nsend() without a time limit; value may be an exception "
               "to be raised.")},
    {"_try_send", (PyCFunction)(void (*)(void))channel_try_send, METH_FASTCALL,
     PyDoc_STR("_try_send(value, is_error)\n--\n\nThe same if it need not wait. Whether it was done.")},
    {"_try_receive", channel_try_receive, METH_O,
     PyDoc_STR("_try_receive(otherwise)\n--\n\nReceive, or return `otherwise` if that would wait.")},
    {"_refuse_receiver", channel_refuse_receiver, METH_O,
     PyDoc_STR("_refuse_receiver(error)\n--\n\n"
               "Raise error in the first waiting receiver. Whether there was one.")},
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
    {"closed", T_BOOL, offsetof(struct channel, closed), READONLY,
     "Whether close() was called, and open() not since."},
    {"_closed", T_BOOL, offsetof(struct channel, closed), 0, "The same, to be set."},
    {"_capacity", T_PYSSIZET, offsetof(struct channel, capacity), 0,
     "How many values the buffer takes; negative: any number. Set before the first use."},
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

static Py_ssize_t channel_length(PyObject *self) { return ((struct channel *)self)->count; }

/* An empty channel is still a channel. */
static int channel_bool(PyObject *self) {
    (void)self;
    return 1;
}

static int channel_traverse(PyObject *object, visitproc visit, void *arg) {
    struct channel *self = (struct channel *)object;
    for (Py_ssize_t i = 0; i < self->count; i++)
        Py_VISIT(self->buffer[(self->head + i) & (self->room - 1)].value);
    return 0;
}

static int channel_clear(PyObject *object) {
    struct channel *self = (struct channel *)object;
    while (self->count)
        Py_DECREF(pop(self).value);
    return 0;
}

/* Nobody can be waiting here: a waiting tasklet holds on to the channel. */
static void channel_dealloc(PyObject *object) {
    struct channel *self = (struct channel *)object;
    PyObject_GC_UnTrack(object);
    if (self->weakreflist)
        PyObject_ClearWeakRefs(object);
    channel_clear(object);
    PyMem_Free(self->buffer);
    Py_TYPE(object)->tp_free(object);
}

static PySequenceMethods channel_as_sequence = {.sq_length = channel_length};
static PyNumberMethods channel_as_number = {.nb_bool = channel_bool};

static PyTypeObject channel_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Channel",
    .tp_basicsize = sizeof(struct channel),
    .tp_dealloc = channel_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = PyDoc_STR("Where one tasklet hands a value to another: the exchange alone."),
    .tp_traverse = channel_traverse,
    .tp_clear = channel_clear,
    .tp_weaklistoffset = offsetof(struct channel, weakreflist),
    .tp_as_sequence = &channel_as_sequence,
    .tp_as_number = &channel_as_number,
    .tp_methods = channel_methods,
    .tp_members = channel_members,
    .tp_getset = channel_attributes,
    .tp_new = channel_new,
};

int rl_channel_init(PyObject *module) {
    name_send = PyUnicode_InternFromString("_send_in_time");
    name_receive = PyUnicode_InternFromString("_receive_in_time");
    name_closed = PyUnicode_InternFromString("_raise_closed");
    name_drained = PyUnicode_InternFromString("_raise_drained");
    if (!name_send || !name_receive || !name_closed || !name_drained)
        return -1;
    return PyModule_AddType(module, &channel_type);
}
