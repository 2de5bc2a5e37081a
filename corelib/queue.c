/* SPDX-License-Identifier: MIT */
/* Queue: putting and getting an item are one call each. An item that comes while
   somebody waits for one is promised to the first who waits, and a place that becomes
   free to the first who wants to put; they take it when they run, and pass it on if they
   are stopped before. So an item is never lost, nor put by a call that raises.

   The items are in a Python container, such as a deque with its append and popleft. A
   container whose functions can run Python code, as a heap that compares items does, is
   guarded by the queue's mutex; so is everything else while somebody holds that.
   What to do about time limits and errors is Python's, see sync/queue.py. */
#include <Python.h>
#include <structmember.h>

#include "lock.h"
#include "waiters.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Invariants, whenever the GIL may be given up and nobody is at the container:
     nobody waits to get while an item is there that is not promised;
     nobody waits to put while a place is free that is not promised. */
struct queue {
    PyObject_HEAD
    PyObject *items;            /* The container; owned, NULL before it is set. */
    PyObject *push, *pop;       /* push(items, item) and pop(items); owned. NULL: the methods
                                   _put(item), _get() and _qsize() of a subclass do it. */
    PyObject *mutex;            /* A Lock; owned, NULL before it is set. */
    Py_ssize_t maxsize;         /* How many items may be in it; 0 or less for any number. */
    Py_ssize_t promised_items;  /* How many of them those will take who were woken to get. */
    Py_ssize_t promised_places; /* How many those will bring who were woken to put. */
    Py_ssize_t unfinished;      /* How many tasks were put and are not done. */
    unsigned long long taken;   /* How many items were got. */
    struct rl_waiters getters, putters, joiners; /* Who waits for what. */
    char is_guarded;            /* The container can run Python code. */
    char is_shut_down;          /* Nothing can be put. */
    PyObject *weakreflist;      /* Weak references to it. */
};

static PyObject *name_hook_put, *name_hook_get, *name_hook_size; /* A subclass's. */
static PyObject *name_put, *name_get;               /* Python's for all unusual calls. */
static PyObject *name_refuse_put, *name_refuse_get; /* Python's that raise. */

/* What a try comes to. */
enum { FAILED = -1, WOULD_WAIT, DONE };

/* ---- The container ------------------------------------------------------------------ */

/* Keeps others from the container until leave(), if that is needed. Returns 0 and in
   *held what is held, owned or NULL; or -1 with an exception set. */
static inline int enter(struct queue *self, struct rl_lock **held) {
    struct rl_lock *mutex = (struct rl_lock *)self->mutex;
    *held = NULL;
    if (unlikely(!mutex)) {
        PyErr_SetString(PyExc_RuntimeError, "__init__() of the queue was not called");
        return -1;
    }
    if (likely(!self->is_guarded && !mutex->holder))
        return 0;
    Py_INCREF(mutex);
    if (rl_lock_take(mutex) < 0) {
        Py_DECREF(mutex);
        return -1;
    }
    *held = mutex;
    return 0;
}

/* The reverse of enter(). Keeps the pending exception. */
static inline void leave(struct rl_lock *held) {
    PyObject *type, *error, *traceback;
    if (likely(!held))
        return;
    PyErr_Fetch(&type, &error, &traceback);
    if (held->holder)
        rl_lock_release(held);
    Py_DECREF(held);
    PyErr_Restore(type, error, traceback);
}

/* How many items there are for those who come now; -1 with an exception set. It is
   less than none when the container was cleared under those who have a promise. */
static inline int count_items(struct queue *self, Py_ssize_t *count) {
    Py_ssize_t size;
    if (likely(self->push != NULL)) {
        size = PyObject_Size(self->items);
    } else {
        PyObject *number = PyObject_CallMethodNoArgs((PyObject *)self, name_hook_size);
        size = number ? PyNumber_AsSsize_t(number, PyExc_OverflowError) : -1;
        Py_XDECREF(number);
        if (size == -1 && !PyErr_Occurred())
            size = 0;
    }
    *count = size - self->promised_items;
    return size < 0 ? -1 : 0;
}

/* Adds an item (borrowed). Returns 0, or -1 with an exception set. */
static inline int push(struct queue *self, PyObject *item) {
    PyObject *both[] = {self->items, item}, *done;
    if (likely(self->push != NULL))
        done = PyObject_Vectorcall(self->push, both, 2, NULL);
    else
        done = PyObject_CallMethodOneArg((PyObject *)self, name_hook_put, item);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Takes an item out: a new reference, or NULL with an exception set. */
static inline PyObject *pop(struct queue *self) {
    if (likely(self->pop != NULL))
        return PyObject_CallOneArg(self->pop, self->items);
    return PyObject_CallMethodNoArgs((PyObject *)self, name_hook_get);
}

static inline int has_place(struct queue *self, Py_ssize_t count) {
    return self->maxsize <= 0 || count + self->promised_places < self->maxsize;
}

/* ---- Promises ------------------------------------------------------------------------- */

/* Promises what is there to those who wait; the caller has entered. Returns 0, or -1
   with an exception set. */
static int promise(struct queue *self) {
    Py_ssize_t count;
    if (likely(!self->getters.first && !self->putters.first))
        return 0;
    if (count_items(self, &count) < 0)
        return -1;
    for (; count > 0 && rl_waiters_give(&self->getters, NULL); count--)
        self->promised_items++;
    while (has_place(self, count) && rl_waiters_give(&self->putters, NULL))
        self->promised_places++;
    return 0;
}

/* Lets others have what one was promised that raises the exception that is set. Keeps that. */
static void promise_again(struct queue *self) {
    PyObject *type, *error, *traceback;
    struct rl_lock *held;
    PyErr_Fetch(&type, &error, &traceback);
    int failed = enter(self, &held) < 0;
    if (!failed) {
        failed = promise(self) < 0;
        leave(held);
    }
    if (failed)
        PyErr_WriteUnraisable((PyObject *)self);
    PyErr_Restore(type, error, traceback);
}

/* Has a Python method raise. Returns FAILED. */
static int refuse(struct queue *self, PyObject *method) {
    PyObject *nothing = PyObject_CallMethodNoArgs((PyObject *)self, method);
    if (nothing)
        PyErr_Format(PyExc_SystemError, "%U() did not raise", method);
    Py_XDECREF(nothing);
    return FAILED;
}

/* try_put for one who has entered. */
static inline int put_inside(struct queue *self, PyObject *item) {
    Py_ssize_t count;
    if (self->is_shut_down)
        return WOULD_WAIT;
    if (self->maxsize > 0) {
        if (count_items(self, &count) < 0)
            return FAILED;
        if (!has_place(self, count))
            return WOULD_WAIT;
    }
    if (push(self, item) < 0)
        return FAILED;
    self->unfinished++;
    return promise(self) < 0 ? FAILED : DONE;
}

/* try_get for one who has entered. */
static inline int get_inside(struct queue *self, PyObject **item) {
    Py_ssize_t count;
    if (count_items(self, &count) < 0)
        return FAILED;
    if (count <= 0)
        return WOULD_WAIT;
    *item = pop(self);
    if (unlikely(!*item))
        return FAILED;
    self->taken++;
    if (unlikely(self->putters.first != NULL) && promise(self) < 0)
        PyErr_WriteUnraisable((PyObject *)self);
    return DONE;
}

/* Puts `item` (borrowed) if that needs no waiting for a place. */
static inline int try_put(struct queue *self, PyObject *item) {
    struct rl_lock *held;
    if (unlikely(enter(self, &held) < 0))
        return FAILED;
    int result = put_inside(self, item);
    leave(held);
    if (unlikely(result == WOULD_WAIT && self->is_shut_down))
        return refuse(self, name_refuse_put);
    return result;
}

/* Gets an item, a new reference, into *item if that needs no waiting for one. */
static inline int try_get(struct queue *self, PyObject **item) {
    struct rl_lock *held;
    if (unlikely(enter(self, &held) < 0))
        return FAILED;
    int result = get_inside(self, item);
    leave(held);
    if (unlikely(result == WOULD_WAIT && self->is_shut_down))
        return refuse(self, name_refuse_get);
    return result;
}

/* ---- Waiting ---------------------------------------------------------------------- */

/* For rl_ring_park. */
static void leave_getters(struct rl_tasklet *tasklet) {
    rl_waiters_remove(&((struct queue *)tasklet->waiting_on)->getters, tasklet);
}

static void leave_putters(struct rl_tasklet *tasklet) {
    rl_waiters_remove(&((struct queue *)tasklet->waiting_on)->putters, tasklet);
}

static void leave_joiners(struct rl_tasklet *tasklet) {
    rl_waiters_remove(&((struct queue *)tasklet->waiting_on)->joiners, tasklet);
}

/* Parks the caller among `waiters` until it is promised something: an item, or a place
   for one, which *promised counts and which it has then to come and take. Returns 0, or
   -1 with an exception set: then nothing is promised to it any more. */
static int await_promise(struct queue *self, struct rl_waiters *waiters, Py_ssize_t *promised,
                         void (*unlinker)(struct rl_tasklet *tasklet), struct rl_ring *ring,
                         double began) {
    PyObject *value;
    enum rl_outcome outcome =
        rl_waiters_wait(waiters, ring, (PyObject *)self, unlinker, began, &value);
    Py_XDECREF(value);
    if (outcome != RL_REFUSED)
        --*promised;
    if (outcome == RL_RAISED_WITH)
        promise_again(self);
    return outcome == RL_GIVEN ? 0 : -1;
}

/* Puts an item, and waits for a place if need be. Returns None, or NULL with an
   exception set: then it was not put, unless comparing items has raised it. */
static PyObject *do_put(struct queue *self, PyObject *item) {
    int result = try_put(self, item);
    while (unlikely(result == WOULD_WAIT)) {
        double began;
        struct rl_ring *ring = rl_waiters_prepare(&began);
        if (!ring)
            return NULL;
        result = try_put(self, item);
        if (result != WOULD_WAIT)
            break;
        if (await_promise(self, &self->putters, &self->promised_places, leave_putters, ring,
                          began) < 0)
            return NULL;
        result = try_put(self, item);
        if (result == FAILED)
            promise_again(self);
    }
    if (unlikely(result == FAILED))
        return NULL;
    Py_RETURN_NONE;
}

/* Gets an item, and waits for one if need be. Returns it, a new reference, or NULL with
   an exception set: then none was taken. */
static PyObject *do_get(struct queue *self) {
    PyObject *item;
    int result = try_get(self, &item);
    while (unlikely(result == WOULD_WAIT)) {
        double began;
        struct rl_ring *ring = rl_waiters_prepare(&began);
        if (!ring)
            return NULL;
        result = try_get(self, &item);
        if (result != WOULD_WAIT)
            break;
        if (await_promise(self, &self->getters, &self->promised_items, leave_getters, ring,
                          began) < 0)
            return NULL;
        result = try_get(self, &item);
        if (result == FAILED)
            promise_again(self);
    }
    return unlikely(result == FAILED) ? NULL : item;
}

/* ---- Methods ------------------------------------------------------------------------ */

static PyObject *queue_put(PyObject *object, PyObject *const *args, Py_ssize_t count,
                           PyObject *names) {
    struct queue *self = (struct queue *)object;
    if (likely(count == 1 && !names))
        return do_put(self, args[0]);
    return rl_call_instead(object, name_put, args, count, names);
}

static PyObject *queue_get(PyObject *object, PyObject *const *args, Py_ssize_t count,
                           PyObject *names) {
    struct queue *self = (struct queue *)object;
    if (likely(count == 0 && !names))
        return do_get(self);
    return rl_call_instead(object, name_get, args, count, names);
}

static PyObject *queue_wait_put(PyObject *self, PyObject *item) {
    return do_put((struct queue *)self, item);
}

static PyObject *queue_wait_get(PyObject *self, PyObject *unused) {
    (void)unused;
    return do_get((struct queue *)self);
}

static PyObject *queue_try_put(PyObject *self, PyObject *item) {
    int result = try_put((struct queue *)self, item);
    return result == FAILED ? NULL : PyBool_FromLong(result == DONE);
}

static PyObject *queue_try_get(PyObject *self, PyObject *otherwise) {
    PyObject *item;
    int result = try_get((struct queue *)self, &item);
    if (result == WOULD_WAIT)
        return Py_NewRef(otherwise);
    return result == FAILED ? NULL : item;
}

/* Wakes those in join(). */
static void let_join(struct queue *self) {
    while (rl_waiters_give(&self->joiners, NULL))
        ;
}

static PyObject *queue_task_done(PyObject *object, PyObject *unused) {
    struct queue *self = (struct queue *)object;
    (void)unused;
    if (self->unfinished <= 0) {
        PyErr_Format(PyExc_ValueError, "task_done() called too many times on %R", object);
        return NULL;
    }
    if (--self->unfinished == 0)
        let_join(self);
    Py_RETURN_NONE;
}

static PyObject *queue_join(PyObject *object, PyObject *unused) {
    struct queue *self = (struct queue *)object;
    double began;
    PyObject *value;
    (void)unused;
    if (!self->unfinished)
        Py_RETURN_NONE;
    struct rl_ring *ring = rl_waiters_prepare(&began);
    if (!ring)
        return NULL;
    if (!self->unfinished)
        Py_RETURN_NONE;
    enum rl_outcome outcome =
        rl_waiters_wait(&self->joiners, ring, object, leave_joiners, began, &value);
    Py_XDECREF(value);
    if (outcome != RL_GIVEN)
        return NULL;
    Py_RETURN_NONE;
}

/* Wakes everybody who waits to put or to get: they find that it is shut down. */
static void let_all_look(struct queue *self) {
    while (rl_waiters_give(&self->getters, NULL))
        self->promised_items++;
    while (rl_waiters_give(&self->putters, NULL))
        self->promised_places++;
}

static PyObject *queue_shut_down(PyObject *object, PyObject *dropped) {
    struct queue *self = (struct queue *)object;
    Py_ssize_t count = PyLong_AsSsize_t(dropped);
    if (count == -1 && PyErr_Occurred())
        return NULL;
    self->is_shut_down = 1;
    self->unfinished = self->unfinished > count ? self->unfinished - count : 0;
    if (!self->unfinished)
        let_join(self);
    let_all_look(self);
    Py_RETURN_NONE;
}

static PyObject *queue_size(PyObject *object, PyObject *unused) {
    Py_ssize_t count;
    (void)unused;
    if (count_items((struct queue *)object, &count) < 0)
        return NULL;
    return PyLong_FromSsize_t(count > 0 ? count : 0);
}

static PyObject *queue_keep(PyObject *object, PyObject *args) {
    struct queue *self = (struct queue *)object;
    PyObject *items, *push_, *pop_, *mutex;
    int guarded;
    if (!PyArg_ParseTuple(args, "OOOOp:_keep", &items, &push_, &pop_, &mutex, &guarded))
        return NULL;
    if (!rl_lock_check(mutex))
        return PyErr_Format(PyExc_TypeError, "the mutex of a queue must be a Lock, not %R", mutex);
    int hooks = push_ == Py_None;
    self->is_guarded = guarded || hooks;
    Py_XSETREF(self->mutex, Py_NewRef(mutex));
    Py_XSETREF(self->push, hooks ? NULL : Py_NewRef(push_));
    Py_XSETREF(self->pop, hooks ? NULL : Py_NewRef(pop_));
    if (!hooks)
        Py_XSETREF(self->items, Py_NewRef(items));
    Py_RETURN_NONE;
}

static PyObject *queue_counts(PyObject *object, PyObject *unused) {
    struct queue *self = (struct queue *)object;
    (void)unused;
    return rl_waiters_counts(&self->getters, self->taken);
}

static PyMethodDef queue_methods[] = {
    {"put", (PyCFunction)(void (*)(void))queue_put, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("put(item, block=True, timeout=None)\n--\n\n"
               "Put item into the queue; wait for a place while it is full.\n\n"
               "With block=False it raises Full instead of waiting; with a timeout, after so many\n"
               "seconds. Raises ShutDown once the queue is shut down. When it raises one of these,\n"
               "item was not put; it may have been when comparing items raises. From any thread.")},
    {"get", (PyCFunction)(void (*)(void))queue_get, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("get(block=True, timeout=None)\n--\n\n"
               "Take an item out of the queue and return it; wait for one while it is empty.\n\n"
               "With block=False it raises Empty instead of waiting; with a timeout, after so many\n"
               "seconds. Raises ShutDown once the queue is shut down and empty. When it raises\n"
               "anything, no item was taken. From any thread.")},
    {"_wait_put", queue_wait_put, METH_O,
     PyDoc_STR("_wait_put(item)\n--\n\nput() without a time limit.")},
    {"_wait_get", queue_wait_get, METH_NOARGS,
     PyDoc_STR("_wait_get()\n--\n\nget() without a time limit.")},
    {"_try_put", queue_try_put, METH_O,
     PyDoc_STR("_try_put(item)\n--\n\nput() if it need not wait. Whether it was done.")},
    {"_try_get", queue_try_get, METH_O,
     PyDoc_STR("_try_get(otherwise)\n--\n\nget(), or `otherwise` if that would wait.")},
    {"_task_done", queue_task_done, METH_NOARGS,
     PyDoc_STR("_task_done()\n--\n\nOne task less; wakes those in _join() at the last one.")},
    {"_join", queue_join, METH_NOARGS,
     PyDoc_STR("_join()\n--\n\nWait until all tasks are done.")},
    {"_shut_down", queue_shut_down, METH_O,
     PyDoc_STR("_shut_down(dropped)\n--\n\n"
               "Let nothing be put any more. So many items were dropped, and are done with.")},
    {"_size", queue_size, METH_NOARGS,
     PyDoc_STR("_size()\n--\n\nHow many items are there for those who come now.")},
    {"_keep", queue_keep, METH_VARARGS,
     PyDoc_STR("_keep(items, push, pop, mutex, guarded)\n--\n\n"
               "Keep the items in `items` by push(items, item) and pop(items), holding mutex if\n"
               "guarded. With None for all three, by the hooks of a subclass. Before the first use.")},
    {"_counts", queue_counts, METH_NOARGS,
     PyDoc_STR("_counts()\n--\n\nWhat `statistics` is made of.")},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "Queue[type of its items]"},
    {NULL, NULL, 0, NULL},
};

static PyObject *get_waiting(PyObject *object, void *closure) {
    struct queue *self = (struct queue *)object;
    (void)closure;
    return PyLong_FromSsize_t(self->getters.count + self->putters.count + self->joiners.count);
}

/* Their tasklets, in one list. */
static PyObject *get_waiters(PyObject *object, void *closure) {
    struct queue *self = (struct queue *)object;
    struct rl_waiters *all[] = {&self->getters, &self->putters, &self->joiners};
    PyObject *list = PyList_New(0);
    (void)closure;
    for (size_t i = 0; list && i < sizeof all / sizeof *all; i++) {
        PyObject *more = rl_waiters_list(all[i]), *both = NULL;
        if (more) {
            both = PySequence_Concat(list, more);
            Py_DECREF(more);
        }
        Py_SETREF(list, both);
    }
    return list;
}

static PyGetSetDef queue_attributes[] = {
    {"waiting", get_waiting, NULL, "How many tasklets wait to get, to put, or in join().", NULL},
    {"waiters", get_waiters, NULL,
     "The tasklets that wait: those to get first, then to put, then in join().", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef queue_members[] = {
    {"queue", T_OBJECT, offsetof(struct queue, items), 0, "The items."},
    {"mutex", T_OBJECT, offsetof(struct queue, mutex), READONLY,
     "The Lock that keeps all others from the items while it is held."},
    {"maxsize", T_PYSSIZET, offsetof(struct queue, maxsize), 0,
     "How many items it takes; 0 or less for any number."},
    {"unfinished_tasks", T_PYSSIZET, offsetof(struct queue, unfinished), READONLY,
     "How many items were put for which task_done() was not called."},
    {"is_shutdown", T_BOOL, offsetof(struct queue, is_shut_down), READONLY,
     "Whether shutdown() was called."},
    {NULL, 0, 0, 0, NULL},
};

/* ---- The type ------------------------------------------------------------------------- */

static int queue_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((struct queue *)self)->items);
    Py_VISIT(((struct queue *)self)->push);
    Py_VISIT(((struct queue *)self)->pop);
    Py_VISIT(((struct queue *)self)->mutex);
    return 0;
}

static int queue_clear(PyObject *self) {
    Py_CLEAR(((struct queue *)self)->items);
    Py_CLEAR(((struct queue *)self)->push);
    Py_CLEAR(((struct queue *)self)->pop);
    Py_CLEAR(((struct queue *)self)->mutex);
    return 0;
}

/* Nobody can be waiting here: a waiting tasklet holds on to the queue. */
static void queue_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    if (((struct queue *)self)->weakreflist)
        PyObject_ClearWeakRefs(self);
    queue_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject queue_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Queue",
    .tp_basicsize = sizeof(struct queue),
    .tp_dealloc = queue_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = PyDoc_STR("What items are put into and got from: what is not policy about it."),
    .tp_traverse = queue_traverse,
    .tp_clear = queue_clear,
    .tp_weaklistoffset = offsetof(struct queue, weakreflist),
    .tp_methods = queue_methods,
    .tp_members = queue_members,
    .tp_getset = queue_attributes,
    .tp_new = PyType_GenericNew,
};

int rl_queue_init(PyObject *module) {
    name_hook_put = PyUnicode_InternFromString("_put");
    name_hook_get = PyUnicode_InternFromString("_get");
    name_hook_size = PyUnicode_InternFromString("_qsize");
    name_put = PyUnicode_InternFromString("_put_otherwise");
    name_get = PyUnicode_InternFromString("_get_otherwise");
    name_refuse_put = PyUnicode_InternFromString("_refuse_put");
    name_refuse_get = PyUnicode_InternFromString("_refuse_get");
    if (!name_hook_put || !name_hook_get || !name_hook_size || !name_put || !name_get ||
        !name_refuse_put || !name_refuse_get)
        return -1;
    return PyModule_AddType(module, &queue_type);
}
