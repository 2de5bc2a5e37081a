/* SPDX-License-Identifier: MIT */
/* Lock and RLock: taking and releasing them is one call each. A lock that somebody
   waits for is never free: its holder hands it to the first who waits, whatever
   thread that belongs to, and has to queue up itself to get it again. So nobody
   starves, and who takes a lock owns it when acquire() returns.

   What to do about time limits is Python's, see sync/lock.py. */
#include <Python.h>
#include <structmember.h>

#include "lock.h"
#include "waiters.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

static PyTypeObject lock_type, rlock_type;
static PyObject *name_acquire; /* Python's method for calls with arguments. */

/* ---- Who holds it ---------------------------------------------------------------- */

/* Who calls: a new reference to its tasklet, or, where the scheduler has not been used,
   to the thread's number as a Python int; NULL with MemoryError set. */
static inline PyObject *caller(void) {
    struct rl_thread *thread = rl_thread_self;
    if (likely(thread && thread->ring))
        return Py_NewRef((PyObject *)thread->ring->current);
    return PyLong_FromUnsignedLong(PyThread_get_thread_ident());
}

/* Whether a holder that is no tasklet is the calling thread: it took the lock when it
   had not used the scheduler yet, and so by what is its main tasklet now. */
static int is_this_thread(PyObject *holder) {
    struct rl_thread *thread = rl_thread_self;
    if (!PyLong_Check(holder) || PyLong_AsUnsignedLong(holder) != PyThread_get_thread_ident())
        return 0;
    return !thread || !thread->ring || thread->ring->current == thread->ring->main;
}

/* Whether the caller holds it. */
static inline int is_mine(struct rl_lock *self) {
    struct rl_thread *thread = rl_thread_self;
    if (!self->holder)
        return 0;
    if (likely(thread && thread->ring && self->holder == (PyObject *)thread->ring->current))
        return 1;
    return is_this_thread(self->holder);
}

/* Takes it, which is free. Returns 0, or -1 with MemoryError set. */
static inline int take(struct rl_lock *self) {
    PyObject *me = caller();
    if (unlikely(!me))
        return -1;
    self->holder = me;
    self->depth = 1;
    self->acquisitions++;
    return 0;
}

void rl_lock_release(struct rl_lock *self) {
    PyObject *before = self->holder;
    self->holder = NULL;
    self->depth = 0;
    if (unlikely(self->waiters.first != NULL)) {
        struct rl_tasklet *next = rl_waiters_give(&self->waiters, NULL);
        if (next) {
            self->holder = Py_NewRef((PyObject *)next);
            self->depth = 1;
            self->acquisitions++;
        }
    }
    Py_DECREF(before); /* May be the last one to one that has ended. */
}

/* For rl_ring_park. */
static void leave_queue(struct rl_tasklet *tasklet) {
    rl_waiters_remove(&((struct rl_lock *)tasklet->waiting_on)->waiters, tasklet);
}

/* Takes it, and waits for it where need be. Returns 0, or -1 with an exception set:
   then the caller does not hold it. */
static int __attribute__((noinline)) take_waiting(struct rl_lock *self) {
    double began;
    PyObject *value;
    struct rl_ring *ring = rl_waiters_prepare(&began);
    if (!ring)
        return -1;
    if (!self->holder)
        return take(self);
    PyObject *me = (PyObject *)ring->current;
    switch (rl_waiters_wait(&self->waiters, ring, (PyObject *)self, leave_queue, began, &value)) {
    case RL_GIVEN:
        Py_DECREF(value);
        return 0;
    case RL_RAISED_WITH: {
        PyObject *type, *error, *traceback;
        PyErr_Fetch(&type, &error, &traceback);
        if (self->holder == me) /* A Lock may have been released by somebody else since. */
            rl_lock_release(self);
        PyErr_Restore(type, error, traceback);
        return -1;
    }
    default:
        return -1;
    }
}

/* ---- Lock -------------------------------------------------------------------------- */

static inline int lock_take(struct rl_lock *self) {
    return likely(!self->holder) ? take(self) : take_waiting(self);
}

int rl_lock_take(struct rl_lock *self) {
    return lock_take(self);
}

/* The RLock's: the holder goes in once more. */
static inline int rlock_take(struct rl_lock *self) {
    if (likely(!self->holder))
        return take(self);
    if (!is_mine(self))
        return take_waiting(self);
    self->depth++;
    return 0;
}

/* acquire() of both: `reenter` says whether the holder may take it again. */
static inline PyObject *acquire(PyObject *object, PyObject *const *args, Py_ssize_t count,
                                PyObject *names, int reenter) {
    struct rl_lock *self = (struct rl_lock *)object;
    int blocking = 1;
    if (unlikely(count != 0 || names)) {
        if (count != 1 || names)
            return rl_call_instead(object, name_acquire, args, count, names);
        blocking = PyObject_IsTrue(args[0]);
        if (blocking < 0)
            return NULL;
    }
    if (unlikely(!blocking && self->holder && !(reenter && is_mine(self))))
        Py_RETURN_FALSE;
    if (unlikely((reenter ? rlock_take(self) : lock_take(self)) < 0))
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *lock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *names) {
    return acquire(self, args, count, names, 0);
}

static PyObject *rlock_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *names) {
    return acquire(self, args, count, names, 1);
}

static PyObject *lock_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    if (unlikely(lock_take((struct rl_lock *)self) < 0))
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *rlock_enter(PyObject *self, PyObject *unused) {
    (void)unused;
    if (unlikely(rlock_take((struct rl_lock *)self) < 0))
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *lock_release(PyObject *object, PyObject *unused) {
    struct rl_lock *self = (struct rl_lock *)object;
    (void)unused;
    if (unlikely(!self->holder))
        return PyErr_Format(PyExc_RuntimeError, "release unlocked lock: nobody holds %R", object);
    rl_lock_release(self);
    Py_RETURN_NONE;
}

/* Sets RuntimeError: the caller does not hold it. Returns NULL. */
static PyObject *refuse_stranger(PyObject *self) {
    PyObject *me = caller();
    if (me)
        PyErr_Format(PyExc_RuntimeError, "cannot release un-acquired lock: %R is not held by %R",
                     self, me);
    Py_XDECREF(me);
    return NULL;
}

static PyObject *rlock_release(PyObject *object, PyObject *unused) {
    struct rl_lock *self = (struct rl_lock *)object;
    (void)unused;
    if (unlikely(!is_mine(self)))
        return refuse_stranger(object);
    if (self->depth > 1)
        self->depth--;
    else
        rl_lock_release(self);
    Py_RETURN_NONE;
}

static PyObject *lock_exit(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)args;
    (void)count;
    return lock_release(self, NULL);
}

static PyObject *rlock_exit(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    (void)args;
    (void)count;
    return rlock_release(self, NULL);
}

static PyObject *lock_locked(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(((struct rl_lock *)self)->holder != NULL);
}

/* ---- What conditions need ------------------------------------------------------------ */

int rl_lock_check(PyObject *object) {
    return PyObject_TypeCheck(object, &lock_type) || PyObject_TypeCheck(object, &rlock_type);
}

/* A Lock is nobody's own: that somebody holds it is all that is asked for. */
static PyObject *lock_is_owned(PyObject *self, PyObject *unused) {
    return lock_locked(self, unused);
}

static PyObject *rlock_is_owned(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(is_mine((struct rl_lock *)self));
}

static PyObject *rlock_depth(PyObject *self, PyObject *unused) {
    (void)unused;
    struct rl_lock *lock = (struct rl_lock *)self;
    return PyLong_FromSsize_t(is_mine(lock) ? lock->depth : 0);
}

static PyObject *release_save(PyObject *object, PyObject *unused) {
    struct rl_lock *self = (struct rl_lock *)object;
    (void)unused;
    if (!self->holder || (PyObject_TypeCheck(object, &rlock_type) && !is_mine(self)))
        return refuse_stranger(object);
    PyObject *depth = PyLong_FromSsize_t(self->depth);
    if (depth)
        rl_lock_release(self);
    return depth;
}

static PyObject *acquire_restore(PyObject *object, PyObject *saved) {
    struct rl_lock *self = (struct rl_lock *)object;
    Py_ssize_t depth = PyLong_AsSsize_t(saved);
    if (depth == -1 && PyErr_Occurred())
        return NULL;
    if (depth < 1)
        return PyErr_Format(PyExc_ValueError, "a lock is held at least once, not %zd times", depth);
    if (lock_take(self) < 0)
        return NULL;
    self->depth = depth;
    Py_RETURN_NONE;
}

/* ---- What can be seen of it ------------------------------------------------------------ */

static PyObject *get_holder(PyObject *object, void *closure) {
    struct rl_lock *self = (struct rl_lock *)object;
    struct rl_thread *thread = rl_thread_self;
    (void)closure;
    if (!self->holder)
        Py_RETURN_NONE;
    if (!PyLong_Check(self->holder))
        return Py_NewRef(self->holder);
    if (thread && thread->ring &&
        PyLong_AsUnsignedLong(self->holder) == PyThread_get_thread_ident())
        return Py_NewRef((PyObject *)thread->ring->main);
    return PyUnicode_FromFormat("thread %S", self->holder);
}

static PyObject *get_waiters(PyObject *self, void *closure) {
    (void)closure;
    return rl_waiters_list(&((struct rl_lock *)self)->waiters);
}

static PyObject *lock_counts(PyObject *object, PyObject *unused) {
    struct rl_lock *self = (struct rl_lock *)object;
    (void)unused;
    return rl_waiters_counts(&self->waiters, self->acquisitions);
}

static PyObject *at_fork_reinit(PyObject *object, PyObject *unused) {
    struct rl_lock *self = (struct rl_lock *)object;
    (void)unused;
    rl_waiters_forget(&self->waiters);
    self->depth = 0;
    Py_CLEAR(self->holder);
    Py_RETURN_NONE;
}

#define METHODS(kind, again)                                                                       \
    {"acquire", (PyCFunction)(void (*)(void))kind##_acquire, METH_FASTCALL | METH_KEYWORDS,        \
     PyDoc_STR("acquire(blocking=True, timeout=-1)\n--\n\n"                                        \
               "Take the lock; wait for it while somebody else holds it. Whether it was taken.\n\n" \
               again                                                                               \
               "With blocking=False it never waits; with a timeout it waits so many seconds at\n"   \
               "most, -1 or None being any number. Those who wait get it in the order they came.\n" \
               "An exception raised here, by cancel() for one, means that it was not taken.\n"      \
               "From any thread.")},                                                               \
    {"__enter__", kind##_enter, METH_NOARGS, PyDoc_STR("__enter__()\n--\n\nacquire().")},           \
    {"__exit__", (PyCFunction)(void (*)(void))kind##_exit, METH_FASTCALL,                          \
     PyDoc_STR("__exit__(*error)\n--\n\nrelease().")},                                              \
    {"locked", lock_locked, METH_NOARGS,                                                           \
     PyDoc_STR("locked()\n--\n\nWhether somebody holds it.")},                                      \
    {"_is_owned", kind##_is_owned, METH_NOARGS,                                                    \
     PyDoc_STR("_is_owned()\n--\n\nFor conditions: whether the caller may release it.")},           \
    {"_release_save", release_save, METH_NOARGS,                                                   \
     PyDoc_STR("_release_save()\n--\n\nRelease it wholly. Returns how often it was held.")},        \
    {"_acquire_restore", acquire_restore, METH_O,                                                  \
     PyDoc_STR("_acquire_restore(depth)\n--\n\nThe reverse of _release_save().")},                  \
    {"_at_fork_reinit", at_fork_reinit, METH_NOARGS,                                               \
     PyDoc_STR("_at_fork_reinit()\n--\n\nIn a forked child: let it be free, whoever held it.")},    \
    {"_counts", lock_counts, METH_NOARGS,                                                          \
     PyDoc_STR("_counts()\n--\n\nWhat `statistics` is made of.")}

static PyMethodDef lock_methods[] = {
    METHODS(lock, ""),
    {"release", lock_release, METH_NOARGS,
     PyDoc_STR("release()\n--\n\n"
               "Give the lock up, or hand it to the tasklet that has waited longest, of any thread.\n\n"
               "Anybody may do that. Raises RuntimeError when nobody holds it. From any thread.")},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef rlock_methods[] = {
    METHODS(rlock, "Its holder may take it again, and has to release it as often.\n\n"),
    {"release", rlock_release, METH_NOARGS,
     PyDoc_STR("release()\n--\n\n"
               "Undo one acquire(). The last one gives the lock up, or hands it to the tasklet that\n"
               "has waited longest, of any thread.\n\n"
               "Raises RuntimeError when the caller does not hold it.")},
    {"_recursion_count", rlock_depth, METH_NOARGS,
     PyDoc_STR("_recursion_count()\n--\n\nHow often the caller holds it.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef lock_attributes[] = {
    {"holder", get_holder, NULL,
     "Who holds it, None when it is free: a tasklet, which may have ended since; or \"thread\"\n"
     "and its number, of a thread that had not used the scheduler.", NULL},
    {"waiters", get_waiters, NULL, "The tasklets that wait for it, the next one to get it first.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef lock_members[] = {
    {"waiting", T_PYSSIZET, offsetof(struct rl_lock, waiters.count), READONLY,
     "How many tasklets wait for it."},
    {NULL, 0, 0, 0, NULL},
};

/* ---- The types --------------------------------------------------------------------------- */

static int lock_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((struct rl_lock *)self)->holder);
    return 0;
}

static int lock_clear(PyObject *self) {
    Py_CLEAR(((struct rl_lock *)self)->holder);
    return 0;
}

/* Nobody can be waiting here: a waiting tasklet holds on to the lock. */
static void lock_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    if (((struct rl_lock *)self)->weakreflist)
        PyObject_ClearWeakRefs(self);
    lock_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject lock_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.Lock",
    .tp_basicsize = sizeof(struct rl_lock),
    .tp_dealloc = lock_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = PyDoc_STR("What one tasklet at a time can hold: what is not policy about it."),
    .tp_traverse = lock_traverse,
    .tp_clear = lock_clear,
    .tp_weaklistoffset = offsetof(struct rl_lock, weakreflist),
    .tp_methods = lock_methods,
    .tp_members = lock_members,
    .tp_getset = lock_attributes,
    .tp_new = PyType_GenericNew,
};

static PyTypeObject rlock_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "ringlet._core.RLock",
    .tp_basicsize = sizeof(struct rl_lock),
    .tp_dealloc = lock_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = PyDoc_STR("A lock that its holder can take again: what is not policy about it."),
    .tp_traverse = lock_traverse,
    .tp_clear = lock_clear,
    .tp_weaklistoffset = offsetof(struct rl_lock, weakreflist),
    .tp_methods = rlock_methods,
    .tp_members = lock_members,
    .tp_getset = lock_attributes,
    .tp_new = PyType_GenericNew,
};

int rl_lock_init(PyObject *module) {
    name_acquire = PyUnicode_InternFromString("_acquire_in_time");
    if (!name_acquire || PyModule_AddType(module, &lock_type) < 0)
        return -1;
    return PyModule_AddType(module, &rlock_type);
}
