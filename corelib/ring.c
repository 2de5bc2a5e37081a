/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include <unistd.h>

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Polling costs as much as several switches, so the hub is passed over unless so
   many switches have gone by; and it is never left out for longer than that. */
enum { POLL_AFTER = 64, POLL_AT_LAST = 1024 };

PyObject *rl_tasklet_error;
struct rl_policy rl_policy;

/* ---- The circle -------------------------------------------------------- */

/* Inserts a tasklet before another one. */
static inline void link_before(struct rl_tasklet *place, struct rl_tasklet *tasklet) {
    tasklet->next = place;
    tasklet->prev = place->prev;
    place->prev->next = tasklet;
    place->prev = tasklet;
}

/* Takes a tasklet out of the circle. */
static inline void unlink_ready(struct rl_tasklet *tasklet) {
    tasklet->prev->next = tasklet->next;
    tasklet->next->prev = tasklet->prev;
    tasklet->next = tasklet->prev = NULL;
}

/* Whose turn it is when the pointer comes to `candidate`: its own, or that of the
   hub when it is due, which then goes in front of it. */
static inline struct rl_tasklet *next_turn(struct rl_ring *ring, struct rl_tasklet *candidate) {
    struct rl_tasklet *hub = ring->hub;
    ring->since_poll++;
    if (unlikely(candidate == hub)) {
        if (hub->next == hub || ring->since_poll >= POLL_AFTER)
            return hub;
        return hub->next;
    }
    if (unlikely(ring->since_poll >= POLL_AT_LAST)) {
        unlink_ready(hub);
        link_before(candidate, hub);
        return hub;
    }
    return candidate;
}

/* Ends a poll of another thread, or of this one when a signal handler or a
   finalizer runs during it. */
static void signal_hub(struct rl_ring *ring) {
    static const unsigned long long one = 1;
    ring->polling = 0;
    if (ring->wakeup_fd >= 0) {
        ssize_t written = write(ring->wakeup_fd, &one, sizeof one);
        (void)written; /* A full pipe has been written to before, which is as good. */
    }
}

/* ---- Going from one tasklet to the next --------------------------------- */

static PyObject *tasklet_run(PyGreenlet *self, PyObject *args);
static PyGreenlet *tasklet_next(PyGreenlet *self, PyObject **result);
static const struct rl_body tasklet_body = {tasklet_run, tasklet_next};

/* The greenlet to enter to go on with `tasklet`, made when this is its first
   run. Returns it, borrowed, or NULL with MemoryError set. */
static inline PyGreenlet *entrance(struct rl_ring *ring, struct rl_tasklet *tasklet) {
    if (likely(tasklet->resume != NULL))
        return tasklet->resume;
    /* It has a greenlet already when there was no memory to enter it before. */
    if (likely(!tasklet->greenlet))
        tasklet->greenlet = rl_greenlet_with_body(ring->thread, &tasklet_body, tasklet,
                                                  Py_XNewRef(tasklet->context));
    return tasklet->greenlet;
}

/* What to hand to that greenlet: a new reference. */
static inline PyObject *admission(struct rl_tasklet *tasklet) {
    return Py_NewRef(likely(tasklet->resume != NULL) ? Py_None : tasklet->args);
}

/* Marks that the running tasklet has left its greenlet where it is now. */
static inline void leave_at(struct rl_ring *ring, struct rl_tasklet *me) {
    PyGreenlet *here = ring->thread->current;
    me->resume = (PyGreenlet *)Py_NewRef((PyObject *)here);
    here->impl->parked = me;
}

/* The reverse of leave_at. */
static inline void come_back(struct rl_tasklet *me) {
    PyGreenlet *here = me->resume;
    here->impl->parked = NULL;
    me->resume = NULL;
    Py_DECREF(here);
}

static void conclude(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *result);

/* Enters ring->current. Returns 1 once `me`, which has left, has its turn again,
   0 when it could not be left for want of memory (MemoryError is set), and -1
   when somebody threw at its greenlet by hand (that is set). */
static inline int enter_current(struct rl_ring *ring, struct rl_tasklet *me) {
    struct rl_tasklet *to = ring->current;
    PyGreenlet *door = entrance(ring, to);
    PyObject *landed = door ? rl_greenlet_transfer(ring->thread, door, admission(to)) : NULL;
    if (likely(landed != NULL)) {
        Py_DECREF(landed);
        return 1;
    }
    /* A throw by hand has gone through unpark(), which takes `resume` away. */
    return me->resume ? 0 : -1;
}

/* Raises what was thrown at the running tasklet. Returns -1, or 0 when nothing was. */
static inline int raise_error(struct rl_tasklet *me) {
    PyObject *error = me->error;
    if (likely(error == NULL))
        return 0;
    me->error = NULL;
    Py_CLEAR(me->value);
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
    return -1;
}

/* Lets `next` have the turn while the running tasklet stays ready. */
static int give_way_to(struct rl_ring *ring, struct rl_tasklet *next) {
    struct rl_tasklet *me = ring->current;
    leave_at(ring, me);
    me->state = RL_TASKLET_READY;
    next->state = RL_TASKLET_RUNNING;
    ring->current = next;
    int outcome = enter_current(ring, me);
    if (unlikely(outcome < 0))
        return -1; /* rl_parking.unpark has put everything right. */
    if (unlikely(outcome == 0)) {
        next->state = RL_TASKLET_READY;
        ring->current = me;
    }
    come_back(me);
    me->state = RL_TASKLET_RUNNING;
    if (unlikely(outcome == 0))
        return -1;
    return raise_error(me);
}

/* Forgets what a tasklet waited for; takes it out of the queue there if `leave`. */
static void end_wait(struct rl_tasklet *tasklet, int leave) {
    void (*unlinker)(struct rl_tasklet *) = tasklet->unlinker;
    PyObject *unlink = tasklet->unlink;
    tasklet->unlinker = NULL;
    tasklet->unlink = NULL;
    if (leave && unlinker)
        unlinker(tasklet);
    if (unlikely(unlink != NULL)) {
        PyObject *result = leave ? PyObject_CallNoArgs(unlink) : Py_NewRef(Py_None);
        if (!result)
            PyErr_WriteUnraisable(unlink);
        Py_XDECREF(result);
        Py_DECREF(unlink);
    }
    Py_CLEAR(tasklet->waiting_on);
}

int rl_ring_yield(struct rl_ring *ring) {
    struct rl_tasklet *me = ring->current;
    if (me == ring->hub)
        ring->since_poll = 0;
    struct rl_tasklet *next = next_turn(ring, me->next);
    return next == me ? 0 : give_way_to(ring, next);
}

/* Takes the running tasklet, which may not park, out of the queue it was put in,
   and says why. Returns NULL. */
static PyObject *refuse_to_park(struct rl_ring *ring, PyObject *waiting_on,
                                void (*unlinker)(struct rl_tasklet *self)) {
    struct rl_tasklet *me = ring->current;
    if (unlinker) {
        me->waiting_on = waiting_on;
        unlinker(me);
        me->waiting_on = NULL;
    }
    if (ring->closing)
        PyErr_Format(rl_tasklet_error, "%R cannot block: its thread is ending", me);
    else if (waiting_on)
        PyErr_Format(rl_tasklet_error,
                     "cannot wait for %R in the hub: signal handlers, finalizers and callbacks that "
                     "run there must not block; spawn a tasklet for it", waiting_on);
    else
        PyErr_SetString(rl_tasklet_error,
                        "cannot block in the hub: signal handlers, finalizers and callbacks that "
                        "run there must not block; spawn a tasklet for it");
    return NULL;
}

PyObject *rl_ring_park(struct rl_ring *ring, PyObject *waiting_on,
                       void (*unlinker)(struct rl_tasklet *self)) {
    struct rl_tasklet *me = ring->current;
    if (unlikely(me == ring->hub || ring->closing))
        return refuse_to_park(ring, waiting_on, unlinker);
    struct rl_tasklet *after = me->next;
    unlink_ready(me);
    struct rl_tasklet *next = next_turn(ring, after);
    me->waiting_on = Py_XNewRef(waiting_on);
    me->unlinker = unlinker;
    me->state = RL_TASKLET_PARKED;
    leave_at(ring, me);
    next->state = RL_TASKLET_RUNNING;
    ring->current = next;
    int outcome = enter_current(ring, me);
    if (unlikely(outcome < 0))
        return NULL;
    if (unlikely(outcome == 0)) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        next->state = RL_TASKLET_READY;
        link_before(next, me);
        ring->current = me;
        end_wait(me, 1);
        PyErr_Restore(type, value, traceback);
    }
    come_back(me);
    me->state = RL_TASKLET_RUNNING;
    if (unlikely(outcome == 0) || raise_error(me) < 0)
        return NULL;
    PyObject *value = me->value;
    me->value = NULL;
    return value ? value : Py_NewRef(Py_None);
}

/* ---- Waking -------------------------------------------------------------- */

int rl_ring_wake(struct rl_tasklet *tasklet, PyObject *value) {
    struct rl_ring *ring = tasklet->ring;
    if (tasklet->state != RL_TASKLET_PARKED) {
        Py_XDECREF(value);
        return 0;
    }
    tasklet->state = RL_TASKLET_READY;
    tasklet->value = value;
    link_before(ring->current, tasklet);
    end_wait(tasklet, 0);
    if (unlikely(ring->polling))
        signal_hub(ring);
    return 1;
}

int rl_ring_wake_and_go(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *value) {
    tasklet->state = RL_TASKLET_READY;
    tasklet->value = value;
    link_before(ring->current->next, tasklet);
    end_wait(tasklet, 0);
    /* end_wait drops references, and so may have run anything. */
    return ring->current->next == tasklet ? give_way_to(ring, next_turn(ring, tasklet))
                                          : rl_ring_yield(ring);
}

int rl_ring_throw(struct rl_tasklet *tasklet, PyObject *error) {
    struct rl_ring *ring = tasklet->ring;
    if (tasklet->state != RL_TASKLET_PARKED) {
        Py_DECREF(error);
        return 0;
    }
    tasklet->state = RL_TASKLET_READY;
    tasklet->error = error;
    link_before(ring->current, tasklet);
    end_wait(tasklet, 1);
    if (unlikely(ring->polling))
        signal_hub(ring);
    return 1;
}

/* rl_parking.refuse: nobody may switch to a parked greenlet by hand. */
static void refuse(PyGreenlet *greenlet) {
    struct rl_tasklet *tasklet = greenlet->impl->parked;
    if (tasklet->waiting_on)
        PyErr_Format(rl_error,
                     "cannot switch to %R: it is parked in a blocking call of %R, which waits for "
                     "%R; only what it waits for, or throw(), ends that",
                     greenlet, tasklet, tasklet->waiting_on);
    else
        PyErr_Format(rl_error,
                     "cannot switch to %R: it has left its turn in %R; only the scheduler, or "
                     "throw(), resumes it", greenlet, tasklet);
}

/* rl_parking.unpark: somebody throws at a parked greenlet by hand. It goes on as
   part of the tasklet that does so. */
static void unpark(PyGreenlet *greenlet) {
    struct rl_tasklet *tasklet = greenlet->impl->parked;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    int was_parked = tasklet->state == RL_TASKLET_PARKED;
    tasklet->state = RL_TASKLET_RUNNING;
    if (was_parked)
        end_wait(tasklet, 1);
    else
        unlink_ready(tasklet);
    come_back(tasklet);
    Py_CLEAR(tasklet->value);
    Py_CLEAR(tasklet->error);
    PyErr_Restore(type, value, traceback);
}

/* ---- Beginning and end of a tasklet --------------------------------------- */

void rl_ring_start(struct rl_ring *ring, struct rl_tasklet *tasklet) {
    tasklet->ring = ring;
    tasklet->state = RL_TASKLET_READY;
    tasklet->younger = NULL;
    tasklet->older = ring->living;
    if (tasklet->older)
        tasklet->older->younger = tasklet;
    ring->living = (struct rl_tasklet *)Py_NewRef((PyObject *)tasklet);
    ring->living_count++;
    link_before(ring->current, tasklet);
    if (unlikely(ring->polling))
        signal_hub(ring);
}

/* Takes a tasklet off the list of the living, and drops the reference. */
static void bury(struct rl_ring *ring, struct rl_tasklet *tasklet) {
    if (tasklet->younger)
        tasklet->younger->older = tasklet->older;
    else
        ring->living = tasklet->older;
    if (tasklet->older)
        tasklet->older->younger = tasklet->younger;
    tasklet->older = tasklet->younger = NULL;
    tasklet->ring = NULL;
    ring->living_count--;
    Py_DECREF(tasklet);
}

/* Keeps the outcome of a tasklet (`result` is stolen; NULL: what is set was
   raised), and wakes those who wait for its end. */
static void conclude(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *result) {
    if (!result) {
        PyObject *type;
        PyErr_Fetch(&type, &tasklet->error, &tasklet->traceback);
        PyErr_NormalizeException(&type, &tasklet->error, &tasklet->traceback);
        if (tasklet->traceback)
            PyException_SetTraceback(tasklet->error, tasklet->traceback);
        Py_XDECREF(type);
    }
    tasklet->value = result;
    tasklet->state = RL_TASKLET_FINISHED;
    PyObject *joiners = tasklet->joiners;
    tasklet->joiners = NULL;
    for (Py_ssize_t i = 0; joiners && i < PyList_GET_SIZE(joiners); i++)
        rl_ring_wake((struct rl_tasklet *)PyList_GET_ITEM(joiners, i), NULL);
    Py_XDECREF(joiners);
    if ((tasklet->error || tasklet->callbacks) && tasklet != ring->hub) {
        PyObject *done = PyObject_CallOneArg(rl_policy.finished, (PyObject *)tasklet);
        if (!done)
            PyErr_WriteUnraisable((PyObject *)tasklet);
        Py_XDECREF(done);
        tasklet->state = RL_TASKLET_FINISHED; /* What it called may have blocked. */
    }
    /* The name outlives the function, which may hold on to much. */
    if (!tasklet->name && PyFunction_Check(tasklet->function))
        tasklet->name = Py_NewRef(((PyFunctionObject *)tasklet->function)->func_qualname);
    Py_CLEAR(tasklet->function);
    Py_CLEAR(tasklet->args);
    Py_CLEAR(tasklet->kwargs);
}

/* Hands what was raised in the hub, by a signal handler most likely, to the main
   program, as if there were no hub; prints it when that cannot be. */
static void pass_to_main(struct rl_ring *ring) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback)
        PyException_SetTraceback(error, traceback);
    if (ring->main->state == RL_TASKLET_PARKED) {
        rl_ring_throw(ring->main, Py_NewRef(error));
    } else if (ring->main->state == RL_TASKLET_READY) {
        Py_INCREF(error);
        Py_XSETREF(ring->main->error, error);
    } else {
        PyErr_Restore(Py_XNewRef(type), Py_XNewRef(error), Py_XNewRef(traceback));
        PyErr_WriteUnraisable(ring->hub_object);
    }
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
}

/* Runs the hub for as long as the ring exists. Returns NULL with GreenletExit set
   when that ends. */
static PyObject *hub_run(struct rl_ring *ring, struct rl_tasklet *hub) {
    PyObject *result;
    for (;;) {
        result = PyObject_CallNoArgs(hub->function);
        if (!result && PyErr_ExceptionMatches(rl_greenlet_exit))
            return NULL;
        if (!result)
            pass_to_main(ring);
        Py_XDECREF(result);
    }
}

/* rl_body.run of a tasklet's own greenlet. */
static PyObject *tasklet_run(PyGreenlet *self, PyObject *args) {
    struct rl_tasklet *tasklet = self->impl->owner;
    PyObject *result = NULL;
    Py_CLEAR(tasklet->context); /* The greenlet has it. */
    if (unlikely(tasklet == tasklet->ring->hub)) {
        Py_XDECREF(args);
        result = args ? hub_run(tasklet->ring, tasklet) : NULL;
    } else if (likely(args != NULL)) {
        if (unlikely(tasklet->error != NULL))
            raise_error(tasklet);
        else if (unlikely(tasklet->kwargs != NULL))
            result = PyObject_Call(tasklet->function, args, tasklet->kwargs);
        else
            result = PyObject_Vectorcall(tasklet->function, &PyTuple_GET_ITEM(args, 0),
                                         (size_t)PyTuple_GET_SIZE(args), NULL);
        Py_DECREF(args);
    }
    conclude(tasklet->ring, tasklet, result);
    return Py_NewRef(Py_None);
}

/* rl_body.next: a tasklet that has ended never goes to its greenlet parent, but
   to whose turn it is. Unless it ran outside its turn, because somebody threw at
   it by hand: then it goes back there. */
static PyGreenlet *tasklet_next(PyGreenlet *self, PyObject **result) {
    struct rl_tasklet *tasklet = self->impl->owner;
    struct rl_ring *ring = tasklet->ring;
    int in_turn = ring->current == tasklet;
    PyGreenlet *door = NULL;
    if (in_turn) {
        struct rl_tasklet *after = tasklet->next;
        unlink_ready(tasklet);
        ring->current = next_turn(ring, after);
        while (!(door = entrance(ring, ring->current))) {
            struct rl_tasklet *stillborn = ring->current;
            after = stillborn->next;
            unlink_ready(stillborn);
            ring->current = after;
            conclude(ring, stillborn, NULL);
            bury(ring, stillborn);
        }
        ring->current->state = RL_TASKLET_RUNNING;
        Py_SETREF(*result, admission(ring->current));
    }
    Py_CLEAR(tasklet->greenlet); /* Its thread still holds one reference. */
    if (tasklet != ring->hub)
        bury(ring, tasklet);
    return door;
}

/* ---- Beginning and end of a ring ------------------------------------------ */

/* Ends the ring of a thread that ends: what still lives gets GreenletExit and may
   not block; then everything is freed. */
static void end_ring(struct rl_thread *thread, int python) {
    struct rl_ring *ring = thread->ring;
    ring->closing = 1;
    if (python && ring->hub_object) {
        PyObject *closed = PyObject_CallMethod(ring->hub_object, "close", NULL);
        if (!closed)
            PyErr_WriteUnraisable(ring->hub_object);
        Py_XDECREF(closed);
    }
    for (long patience = ring->living_count * 2 + 1000; ring->living; patience--) {
        struct rl_tasklet *tasklet = (struct rl_tasklet *)Py_NewRef((PyObject *)ring->living);
        PyGreenlet *door = (PyGreenlet *)Py_XNewRef((PyObject *)tasklet->resume);
        if (door && python && patience > 0)
            rl_greenlet_kill(door);
        if (door && door->impl->state == RL_SUSPENDED)
            rl_greenlet_drop(door);
        Py_XDECREF(door);
        if (tasklet->greenlet && tasklet->greenlet->impl->state == RL_SUSPENDED)
            rl_greenlet_drop(tasklet->greenlet);
        if (tasklet->state != RL_TASKLET_FINISHED) {
            if (tasklet->next)
                unlink_ready(tasklet);
            tasklet->state = RL_TASKLET_FINISHED;
            bury(ring, tasklet);
        }
        Py_CLEAR(tasklet->greenlet);
        Py_DECREF(tasklet);
    }
    if (python && ring->hub->resume)
        rl_greenlet_kill(ring->hub->resume);
    if (ring->hub->greenlet && ring->hub->greenlet->impl->state == RL_SUSPENDED)
        rl_greenlet_drop(ring->hub->greenlet);
    thread->ring = NULL;
    thread->end_ring = NULL;
    ring->hub->ring = ring->main->ring = NULL;
    ring->main->state = RL_TASKLET_FINISHED;
    Py_DECREF(ring->hub);
    Py_DECREF(ring->main);
    Py_XDECREF(ring->hub_object);
    PyMem_Free(ring);
}

/* Makes a tasklet that is RUNNING or in the circle from the beginning. Returns a
   new reference, or NULL with an exception set. */
static struct rl_tasklet *found_tasklet(struct rl_ring *ring, PyObject *type, const char *name) {
    struct rl_tasklet *tasklet =
        (struct rl_tasklet *)((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
    if (!tasklet)
        return NULL;
    tasklet->ring = ring;
    tasklet->name = PyUnicode_FromString(name);
    tasklet->args = PyTuple_New(0);
    if (tasklet->name && tasklet->args)
        return tasklet;
    Py_DECREF(tasklet);
    return NULL;
}

/* Makes the calling thread's ring. Returns it, or NULL with an exception set. */
static struct rl_ring *ring_new(struct rl_thread *thread) {
    if (!rl_policy.make_hub) {
        PyErr_SetString(rl_tasklet_error, "no scheduler: import ringlet before you use its core");
        return NULL;
    }
    struct rl_ring *ring = PyMem_Calloc(1, sizeof *ring);
    if (!ring)
        return (struct rl_ring *)PyErr_NoMemory();
    ring->thread = thread;
    ring->wakeup_fd = -1;
    ring->main = found_tasklet(ring, rl_policy.tasklet_type, "main");
    ring->hub = found_tasklet(ring, (PyObject *)&rl_tasklet_type, "hub");
    ring->hub_object = ring->main && ring->hub ? PyObject_CallNoArgs(rl_policy.make_hub) : NULL;
    if (ring->hub_object)
        ring->hub->function = PyObject_GetAttrString(ring->hub_object, "run");
    if (!ring->hub_object || !ring->hub->function) {
        Py_XDECREF(ring->main);
        Py_XDECREF(ring->hub);
        Py_XDECREF(ring->hub_object);
        PyMem_Free(ring);
        return NULL;
    }
    ring->main->state = RL_TASKLET_RUNNING;
    ring->hub->state = RL_TASKLET_READY;
    ring->current = ring->main->next = ring->main->prev = ring->main;
    link_before(ring->main, ring->hub);
    thread->ring = ring;
    thread->end_ring = end_ring;
    return ring;
}

struct rl_ring *rl_ring_get(void) {
    struct rl_thread *thread = rl_thread_get();
    if (unlikely(!thread))
        return NULL;
    return likely(thread->ring != NULL) ? thread->ring : ring_new(thread);
}

struct rl_tasklet *rl_ring_current(void) {
    struct rl_ring *ring = rl_ring_get();
    return ring ? ring->current : NULL;
}

/* ---- Module functions ------------------------------------------------------ */

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
    if (count > 1 && args[1] != Py_None) {
        if (ring->current != ring->hub && !ring->closing) {
            Py_XSETREF(ring->current->unlink, Py_NewRef(args[1]));
        } else {
            PyObject *done = PyObject_CallNoArgs(args[1]);
            if (!done)
                return NULL;
            Py_DECREF(done);
        }
    }
    return rl_ring_park(ring, count > 0 && args[0] != Py_None ? args[0] : NULL, NULL);
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
    if (tasklet->state == RL_TASKLET_READY && tasklet != tasklet->ring->hub) {
        /* Its wait is over, or it never waited: it is raised when its turn comes. */
        Py_INCREF(args[1]);
        Py_XSETREF(tasklet->error, args[1]);
        Py_RETURN_TRUE;
    }
    return PyBool_FromLong(rl_ring_throw(tasklet, Py_NewRef(args[1])));
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

static PyObject *begin_poll(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_ring *ring = rl_ring_get();
    if (!ring)
        return NULL;
    ring->polling = ring->hub->next == ring->hub;
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

static PyObject *set_policy(PyObject *module, PyObject *args, PyObject *kwargs) {
    (void)module;
    static char *names[] = {"tasklet_type", "make_hub", "finished", NULL};
    struct rl_policy given = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!OO:set_policy", names, &PyType_Type,
                                     &given.tasklet_type, &given.make_hub, &given.finished))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)given.tasklet_type, &rl_tasklet_type)) {
        PyErr_SetString(PyExc_TypeError, "tasklet_type must be a subclass of Tasklet");
        return NULL;
    }
    Py_INCREF(given.tasklet_type);
    Py_INCREF(given.make_hub);
    Py_INCREF(given.finished);
    Py_XSETREF(rl_policy.tasklet_type, given.tasklet_type);
    Py_XSETREF(rl_policy.make_hub, given.make_hub);
    Py_XSETREF(rl_policy.finished, given.finished);
    Py_RETURN_NONE;
}

/* In a forked child: the tasklet that forked becomes the main one; all others are
   dropped without running, and a new hub is made at the next use. */
static PyObject *keep_current_only(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    struct rl_thread *thread = rl_thread_self;
    struct rl_ring *ring = thread ? thread->ring : NULL;
    if (!ring)
        Py_RETURN_NONE;
    struct rl_tasklet *me = ring->current, *old_main = ring->main, *next;
    for (struct rl_tasklet *tasklet = ring->living; tasklet; tasklet = next) {
        next = tasklet->older;
        if (tasklet == me)
            continue;
        if (tasklet->next)
            unlink_ready(tasklet);
        tasklet->state = RL_TASKLET_FINISHED;
        /* Freeing it would end its greenlets, which runs their finally blocks: it is
           leaked, with all that they hold. */
        Py_INCREF(tasklet);
        bury(ring, tasklet);
    }
    if (me != old_main) {
        if (old_main->next)
            unlink_ready(old_main);
        ring->main = (struct rl_tasklet *)Py_NewRef((PyObject *)me);
        old_main->state = RL_TASKLET_FINISHED;
        old_main->ring = NULL;
    }
    /* A hub in the middle of a poll cannot go on: give the ring a new one. */
    struct rl_tasklet *fresh = found_tasklet(ring, (PyObject *)&rl_tasklet_type, "hub");
    PyObject *object = fresh ? PyObject_CallNoArgs(rl_policy.make_hub) : NULL;
    if (object)
        fresh->function = PyObject_GetAttrString(object, "run");
    if (!object || !fresh->function) {
        Py_XDECREF(fresh);
        Py_XDECREF(object);
        return NULL;
    }
    fresh->state = RL_TASKLET_READY;
    if (ring->hub->next)
        unlink_ready(ring->hub);
    me->next = me->prev = me;
    link_before(me, fresh);
    ring->hub->ring = NULL;
    ring->hub = fresh; /* The old one is leaked with its suspended greenlet. */
    ring->hub_object = object;
    ring->descriptors = NULL;
    ring->polling = 0;
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
               "False when it is new, running or finished: then nothing happened.")},
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
    {"set_policy", (PyCFunction)(void (*)(void))set_policy, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("set_policy(*, tasklet_type, make_hub, finished)\n--\n\n"
               "Give the core the scheduler's Python half.")},
    {"keep_current_only", keep_current_only, METH_NOARGS,
     PyDoc_STR("keep_current_only()\n--\n\n"
               "In a forked child: forget all tasklets but the running one, which becomes main.")},
    {NULL, NULL, 0, NULL},
};

int rl_ring_init(PyObject *module) {
    rl_parking.refuse = refuse;
    rl_parking.unpark = unpark;
    rl_tasklet_error = PyErr_NewExceptionWithDoc(
        "ringlet.TaskletError", "A tasklet was used in a way that its state or thread forbids.",
        PyExc_RuntimeError, NULL);
    if (!rl_tasklet_error || PyModule_AddObjectRef(module, "TaskletError", rl_tasklet_error) < 0 ||
        PyModule_AddFunctions(module, functions) < 0)
        return -1;
    return 0;
}
