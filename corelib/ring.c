/* SPDX-License-Identifier: MIT */
#include "ring.h"
#include "scope.h"
#include "timed.h"

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

static inline void remove_ready(struct rl_tasklet *tasklet) {
    tasklet->prev->next = tasklet->next;
    tasklet->next->prev = tasklet->prev;
    tasklet->next = tasklet->prev = NULL;
}

void rl_ring_remove(struct rl_tasklet *tasklet) {
    remove_ready(tasklet);
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

void rl_ring_append(struct rl_ring *ring, struct rl_tasklet *tasklet) {
    link_before(ring->current, tasklet);
    if (unlikely(ring->polling))
        signal_hub(ring);
}

/* Whose turn it is when the pointer comes to `candidate`: its own, or that of the
   hub when it is due, which then goes in front of it. */
static inline struct rl_tasklet *next_turn(struct rl_ring *ring, struct rl_tasklet *candidate) {
    struct rl_tasklet *hub = ring->hub;
    ring->since_poll++;
    if (unlikely(candidate == hub)) {
        if (hub->next != hub && ring->since_poll < POLL_AFTER)
            return hub->next;
        if (hub->next == hub && ring->current != hub)
            ring->last_parked = ring->current;
        ring->now = rl_monotonic();
        if (ring->current != hub)
            ring->hub_since = ring->now;
        return hub;
    }
    if (unlikely(ring->since_poll >= POLL_AT_LAST)) {
        ring->hub_since = ring->now = rl_monotonic();
        remove_ready(hub);
        link_before(candidate, hub);
        return hub;
    }
    return candidate;
}

/* ---- Leaving and arriving ---------------------------------------------- */

/* The greenlet to enter to go on with `tasklet`, made when this is its first
   run. Returns it, borrowed, or NULL with MemoryError set. */
static inline PyGreenlet *entrance(struct rl_ring *ring, struct rl_tasklet *tasklet) {
    if (likely(tasklet->resume != NULL))
        return tasklet->resume;
    /* It has a greenlet already when there was no memory to enter it before. */
    if (likely(!tasklet->greenlet)) {
        /* The pointer has moved and we have not: no finalizer may run here. */
        int was_enabled = PyGC_Disable();
        tasklet->greenlet = rl_greenlet_with_body(ring->thread, &rl_tasklet_body, tasklet,
                                                  Py_XNewRef(tasklet->context));
        if (was_enabled)
            PyGC_Enable();
    }
    return tasklet->greenlet;
}

/* What to hand to that greenlet: a new reference. */
static inline PyObject *admission(struct rl_tasklet *tasklet) {
    return Py_NewRef(likely(tasklet->resume != NULL) ? Py_None : tasklet->args);
}

/* Marks that the running tasklet has left its greenlet where it is now. */
static inline void leave_at(struct rl_ring *ring, struct rl_tasklet *me) {
    PyGreenlet *here = ring->thread->current, *before = me->resume;
    me->resume = (PyGreenlet *)Py_NewRef((PyObject *)here);
    here->impl->parked = me;
    /* Set only when the callback of settrace(), called on arrival, has left again. */
    Py_XDECREF(before);
}

/* The reverse of leave_at. */
static inline void come_back(struct rl_tasklet *me) {
    PyGreenlet *here = me->resume;
    if (unlikely(!here))
        return;
    here->impl->parked = NULL;
    me->resume = NULL;
    Py_DECREF(here);
}

enum landing {
    BACK,        /* We had left, and have our turn again. */
    BACK_TRACED, /* The same, with an exception set that the callback of settrace() raised. */
    STAYED,      /* There was no memory to leave; MemoryError is set. */
    THROWN,      /* We had left, and somebody threw at our greenlet by hand; that is set. */
};

/* Enters ring->current. Returns once `me`, which has left, runs again. */
static inline enum landing enter_current(struct rl_ring *ring, struct rl_tasklet *me) {
    struct rl_tasklet *to = ring->current;
    PyGreenlet *door = entrance(ring, to);
    struct rl_asyncio asyncio;
    rl_pystate_lift_asyncio(ring->thread->ts, &asyncio);
    PyObject *landed = door ? rl_greenlet_transfer(ring->thread, door, admission(to)) : NULL;
    rl_pystate_lower_asyncio(ring->thread->ts, &asyncio);
    if (likely(landed != NULL)) {
        Py_DECREF(landed);
        return BACK;
    }
    if (ring->current == me)
        return BACK_TRACED;
    /* A throw by hand has gone through unpark(), which takes `resume` away. */
    return me->resume ? STAYED : THROWN;
}

/* Gives the turn back to `me`, which could not leave. */
static void stay(struct rl_ring *ring, struct rl_tasklet *me) {
    ring->current->state = RL_TASKLET_READY;
    if (!me->next)
        link_before(ring->current, me);
    ring->current = me;
    come_back(me);
    me->state = RL_TASKLET_RUNNING;
}

/* Tells the watcher that the turn has come to another tasklet; of one that has ended
   it is not told again. */
static void tell_watcher(struct rl_ring *ring) {
    struct rl_tasklet *before = ring->seen, *now = ring->current;
    PyObject *watcher = ring->watcher;
    if (now == before || now == ring->hub || ring->barred)
        return;
    ring->seen = (struct rl_tasklet *)Py_NewRef((PyObject *)now);
    int is_there = before && before->state != RL_TASKLET_FINISHED;
    Py_INCREF(watcher);
    ring->telling = 1;
    PyObject *done = PyObject_CallFunctionObjArgs(
        watcher, is_there ? (PyObject *)before : Py_None, (PyObject *)now, NULL);
    ring->telling = 0;
    if (!done)
        PyErr_WriteUnraisable(watcher);
    Py_XDECREF(done);
    Py_DECREF(watcher);
    Py_XDECREF(before);
}

void rl_ring_do_slow(struct rl_ring *ring) {
    PyObject *type, *value, *traceback;
    struct rl_tasklet *departed = ring->departed, *next;
    PyErr_Fetch(&type, &value, &traceback);
    ring->departed = NULL;
    ring->thread->slow &= ~(unsigned)RL_SLOW_DEPARTED;
    for (; departed; departed = next) {
        next = departed->older;
        departed->older = NULL;
        Py_CLEAR(departed->greenlet);
        Py_DECREF(departed);
    }
    if (ring->slice && !ring->slice_is_total)
        ring->left = ring->slice;
    if (ring->watcher)
        tell_watcher(ring);
    PyErr_Restore(type, value, traceback);
}

/* Sets the `error` of the running tasklet (stolen) as the exception, in place of one
   that may be set. */
static void raise(struct rl_tasklet *me, PyObject *error) {
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
    Py_CLEAR(me->raising); /* Something that others hold, too. */
}

/* The rest of give_way_to and of wait when things went otherwise than expected.
   Returns as rl_ring_yield: 0 when nothing is to be raised. With `may_stay` not to
   have left for want of memory is no error. */
static int __attribute__((noinline)) arrive_otherwise(struct rl_ring *ring, struct rl_tasklet *me,
                                                      enum landing landing, int may_stay) {
    if (landing == THROWN)
        return -1; /* unpark() has put everything right. */
    if (landing == STAYED) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        stay(ring, me);
        rl_ring_end_wait(me, 1);
        PyErr_Restore(type, value, traceback);
        if (may_stay)
            PyErr_Clear();
        return may_stay ? 0 : -1;
    }
    come_back(me);
    PyObject *error = me->error, *value = me->value;
    me->error = me->value = NULL;
    Py_XDECREF(value);
    if (error)
        raise(me, error);
    return -1;
}

/* Lets `next` have the turn while the running tasklet stays ready. Returns as
   rl_ring_yield; with `may_stay` it does without if there is no memory. */
static int give_way_to(struct rl_ring *ring, struct rl_tasklet *next, int may_stay) {
    struct rl_tasklet *me = ring->current;
    leave_at(ring, me);
    me->state = RL_TASKLET_READY;
    next->state = RL_TASKLET_RUNNING;
    ring->current = next;
    enum landing landing = enter_current(ring, me);
    if (unlikely(landing != BACK))
        return arrive_otherwise(ring, me, landing, may_stay);
    come_back(me);
    PyObject *error = me->error;
    me->error = NULL;
    if (unlikely(ring->thread->slow))
        rl_ring_do_slow(ring);
    if (likely(error == NULL))
        return 0;
    raise(me, error);
    return -1;
}

/* Lets others run until the running tasklet is woken. What it waits for has been
   noted. Returns as rl_ring_park. */
static PyObject *wait(struct rl_ring *ring, struct rl_tasklet *me) {
    struct rl_tasklet *after = me->next;
    remove_ready(me);
    struct rl_tasklet *next = next_turn(ring, after);
    me->state = RL_TASKLET_PARKED;
    me->since = ring->now;
    leave_at(ring, me);
    next->state = RL_TASKLET_RUNNING;
    ring->current = next;
    enum landing landing = enter_current(ring, me);
    if (unlikely(landing != BACK)) {
        arrive_otherwise(ring, me, landing, 0);
        return NULL;
    }
    come_back(me);
    PyObject *value = me->value, *error = me->error;
    me->value = me->error = NULL;
    if (unlikely(ring->thread->slow))
        rl_ring_do_slow(ring);
    if (unlikely(error != NULL)) {
        Py_XDECREF(value);
        raise(me, error);
        return NULL;
    }
    return value ? value : Py_NewRef(Py_None);
}

/* ---- Giving way and parking ---------------------------------------------- */

/* Raises what the running tasklet is to be cancelled by, unless that is for a block
   that it is not in, or shielded. Returns whether it did. */
static int __attribute__((noinline))
raise_cancellation(struct rl_ring *ring, struct rl_tasklet *me) {
    PyObject *error = rl_cancel_take(me, ring->thread->current);
    if (!error)
        return 0;
    raise(me, error);
    return 1;
}

/* Whether the running tasklet must not wait, and why: then the error is set. */
static inline int may_not_wait(struct rl_ring *ring, PyObject *waiting_on) {
    struct rl_tasklet *me = ring->current;
    if (likely(me != ring->hub && !ring->barred && !me->error && !me->cancelling))
        return 0;
    if (me->error) {
        PyObject *error = me->error;
        me->error = NULL;
        raise(me, error);
    } else if (ring->closing) {
        PyErr_Format(rl_tasklet_error, "cannot block in %R: its thread is ending",
                     (PyObject *)me);
    } else if (ring->telling) {
        PyErr_SetString(PyExc_RuntimeError, "Recursive scheduler call due to callbacks!");
    } else if (ring->trapped && me != ring->hub) {
        PyErr_SetString(PyExc_RuntimeError, "switch_trap");
    } else if (me == ring->hub && waiting_on) {
        PyErr_Format(rl_tasklet_error,
                     "cannot wait for %R in the hub: signal handlers, finalizers and callbacks that "
                     "run there must not block; spawn a tasklet for it", waiting_on);
    } else if (me == ring->hub) {
        PyErr_SetString(rl_tasklet_error,
                        "cannot block in the hub: signal handlers, finalizers and callbacks that "
                        "run there must not block; spawn a tasklet for it");
    } else {
        return raise_cancellation(ring, me);
    }
    return 1;
}

int rl_ring_yield(struct rl_ring *ring) {
    struct rl_tasklet *me = ring->current;
    if (me == ring->hub) {
        ring->since_poll = 0;
        ring->rounds++;
        ring->now = rl_monotonic();
    } else if (unlikely(may_not_wait(ring, NULL))) {
        return -1;
    }
    struct rl_tasklet *next = next_turn(ring, me->next);
    if (next == me)
        return 0;
    int result = give_way_to(ring, next, 0);
    if (unlikely(me->cancelling && result == 0) && raise_cancellation(ring, me))
        return -1;
    return result;
}

PyObject *rl_ring_park(struct rl_ring *ring, PyObject *waiting_on,
                       void (*unlinker)(struct rl_tasklet *self)) {
    struct rl_tasklet *me = ring->current;
    int refused = may_not_wait(ring, waiting_on);
    me->waiting_on = Py_XNewRef(waiting_on);
    me->unlinker = unlinker;
    if (likely(!refused))
        return wait(ring, me);
    rl_ring_end_wait(me, 1);
    return NULL;
}

PyObject *rl_ring_park_calling(struct rl_ring *ring, PyObject *waiting_on, PyObject *unlink) {
    struct rl_tasklet *me = ring->current;
    int refused = may_not_wait(ring, waiting_on);
    me->waiting_on = Py_XNewRef(waiting_on);
    me->unlink = Py_XNewRef(unlink);
    if (likely(!refused))
        return wait(ring, me);
    rl_ring_end_wait(me, 1);
    return NULL;
}

/* ---- Waking -------------------------------------------------------------- */

/* What a tasklet waited for, taken away from it: nobody can tell any more. */
struct wait_note {
    PyObject *waiting_on, *unlink;
    void (*unlinker)(struct rl_tasklet *);
};

static inline struct wait_note take_note(struct rl_tasklet *tasklet) {
    struct wait_note note = {tasklet->waiting_on, tasklet->unlink, tasklet->unlinker};
    tasklet->waiting_on = tasklet->unlink = NULL;
    tasklet->unlinker = NULL;
    return note;
}

/* Drops a note, which may run anything. */
static inline void drop_note(struct wait_note *note) {
    Py_XDECREF(note->waiting_on);
    Py_XDECREF(note->unlink);
}

/* Calls what takes a tasklet out of a queue, and drops it. Keeps the pending exception. */
static void call_unlink(PyObject *unlink) {
    PyObject *type, *value, *traceback;
    if (!unlink)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *result = PyObject_CallNoArgs(unlink);
    if (!result)
        PyErr_WriteUnraisable(unlink);
    Py_XDECREF(result);
    Py_DECREF(unlink);
    PyErr_Restore(type, value, traceback);
}

void rl_ring_end_wait(struct rl_tasklet *tasklet, int leave) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (leave && tasklet->unlinker)
        tasklet->unlinker(tasklet);
    struct wait_note note = take_note(tasklet);
    if (leave) {
        call_unlink(note.unlink);
        note.unlink = NULL;
    }
    drop_note(&note);
    PyErr_Restore(type, value, traceback);
}

int rl_ring_wake(struct rl_tasklet *tasklet, PyObject *value) {
    if (tasklet->state != RL_TASKLET_PARKED) {
        Py_XDECREF(value);
        return 0;
    }
    struct wait_note note = take_note(tasklet);
    tasklet->state = RL_TASKLET_READY;
    tasklet->value = value;
    rl_ring_append(tasklet->ring, tasklet);
    drop_note(&note);
    return 1;
}

int rl_ring_wake_and_go(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *value) {
    if (unlikely(ring->barred)) {
        rl_ring_wake(tasklet, value);
        return 0;
    }
    struct wait_note note = take_note(tasklet);
    tasklet->state = RL_TASKLET_READY;
    tasklet->value = value;
    link_before(ring->current->next, tasklet);
    drop_note(&note);
    /* If that ran anything, somebody else may stand there by now. */
    return give_way_to(ring, next_turn(ring, ring->current->next), 1);
}

int rl_ring_pause(struct rl_tasklet *tasklet, PyObject *waiting_on) {
    if (tasklet->state != RL_TASKLET_READY || tasklet == tasklet->ring->hub)
        return 0;
    remove_ready(tasklet);
    tasklet->state = RL_TASKLET_PARKED;
    tasklet->waiting_on = Py_NewRef(waiting_on);
    return 1;
}

int rl_ring_resume(struct rl_tasklet *tasklet) {
    if (tasklet->state != RL_TASKLET_PARKED)
        return 0;
    struct wait_note note = take_note(tasklet);
    tasklet->state = RL_TASKLET_READY;
    rl_ring_append(tasklet->ring, tasklet);
    drop_note(&note);
    return 1;
}

int rl_ring_bring_forward(struct rl_tasklet *tasklet) {
    struct rl_ring *ring = tasklet->ring;
    if (tasklet->state != RL_TASKLET_READY || tasklet == ring->hub)
        return 0;
    remove_ready(tasklet);
    link_before(ring->current->next, tasklet);
    return 1;
}

int rl_ring_throw(struct rl_tasklet *tasklet, PyObject *error) {
    if (tasklet->state != RL_TASKLET_PARKED) {
        Py_DECREF(error);
        return 0;
    }
    PyObject *before = tasklet->error;
    Py_INCREF(tasklet);
    tasklet->state = RL_TASKLET_READY;
    tasklet->error = error;
    rl_ring_append(tasklet->ring, tasklet);
    rl_ring_end_wait(tasklet, 1);
    Py_DECREF(tasklet);
    Py_XDECREF(before);
    return 1;
}

int rl_ring_throw_later(struct rl_tasklet *tasklet, PyObject *error) {
    struct rl_ring *ring = tasklet->ring;
    if (!ring || tasklet == ring->hub)
        return 0;
    if (tasklet->state == RL_TASKLET_PARKED)
        return rl_ring_throw(tasklet, Py_NewRef(error));
    int elsewhere = tasklet == ring->current && ring->thread != rl_thread_self;
    if (tasklet->state != RL_TASKLET_READY && !elsewhere)
        return 0;
    PyObject *before = tasklet->error;
    if (tasklet->raising && tasklet->raising != Py_None)
        rl_cancel_put_back(tasklet);
    else if (before && !PyErr_GivenExceptionMatches(before, PyExc_Exception))
        return 1;
    tasklet->error = Py_NewRef(error);
    Py_XDECREF(before);
    return 1;
}

/* Puts the main tasklet back into the circle where its program was left by a
   switch by hand, which returns None then. `error` is raised where it waits next. */
static void adopt_main(struct rl_ring *ring, PyObject *error) {
    struct rl_tasklet *main = ring->main;
    PyGreenlet *greenlet = ring->thread->main;
    greenlet->impl->parked = main;
    greenlet->impl->resumable_by = NULL;
    main->resume = (PyGreenlet *)Py_NewRef((PyObject *)greenlet);
    main->error = Py_NewRef(error);
    main->state = RL_TASKLET_READY;
    rl_ring_append(ring, main);
}

int rl_ring_throw_main(struct rl_ring *ring, PyObject *error) {
    struct rl_tasklet *main = ring->main, *host;
    struct rl_greenlet *greenlet = ring->thread->main->impl;
    if (rl_ring_throw_later(main, error))
        return 1;
    if (main == ring->current)
        return 0;
    /* Its program has become part of another tasklet: of the one that waits there,
       or, if it is left by hand, of any. */
    if (greenlet->parked)
        return rl_ring_throw_later(greenlet->parked, error);
    for (host = ring->living; host; host = host->older)
        if (host->state == RL_TASKLET_PARKED)
            return rl_ring_throw_later(host, error);
    if (ring->current != ring->hub || greenlet->state != RL_SUSPENDED)
        return 0;
    adopt_main(ring, error);
    return 1;
}

/* ---- When somebody moves a parked greenlet by hand -------------------------- */

void rl_ring_detach(struct rl_tasklet *tasklet) {
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (tasklet->state == RL_TASKLET_READY)
        remove_ready(tasklet);
    tasklet->state = RL_TASKLET_RUNNING;
    come_back(tasklet);
    rl_ring_end_wait(tasklet, 1);
    rl_cancel_put_back(tasklet);
    PyObject *value = tasklet->value, *pending = tasklet->error;
    tasklet->value = tasklet->error = NULL;
    Py_XDECREF(value);
    Py_XDECREF(pending);
    PyErr_Restore(type, error, traceback);
}

/* rl_parking.refuse: nobody may switch to a parked greenlet by hand. */
static void refuse(PyGreenlet *greenlet) {
    struct rl_tasklet *tasklet = greenlet->impl->parked;
    if (tasklet->ring && tasklet == tasklet->ring->hub) {
        PyErr_Format(rl_error, "cannot switch to %R: it is the hub's, which only the scheduler enters",
                     greenlet);
        return;
    }
    PyObject *waiting_on = rl_timed_waiting_on(tasklet);
    if (!waiting_on)
        return;
    if (waiting_on != Py_None)
        PyErr_Format(rl_error,
                     "cannot switch to %R: it is parked in a blocking call of %R, which waits for "
                     "%R; only what it waits for, or throw(), ends that",
                     greenlet, tasklet, waiting_on);
    else
        PyErr_Format(rl_error,
                     "cannot switch to %R: it has left its turn in %R; only the scheduler, or "
                     "throw(), resumes it", greenlet, tasklet);
    Py_DECREF(waiting_on);
}

/* Makes a tasklet whose greenlet is thrown at by hand end where that was done, and
   not in the main greenlet, which it has nothing to do with. */
static void end_here(struct rl_ring *ring, struct rl_tasklet *tasklet) {
    PyGreenlet *here = ring->thread->current, *own = tasklet->greenlet, *ancestor = here;
    if (ring->thread != rl_thread_self || !own || own->impl->parent != ring->thread->main)
        return;
    while (ancestor && ancestor != own)
        ancestor = ancestor->impl->parent;
    if (!ancestor)
        Py_SETREF(own->impl->parent, (PyGreenlet *)Py_NewRef((PyObject *)here));
}

/* rl_parking.unpark: somebody throws at a parked greenlet by hand. It goes on as
   part of the tasklet that does so. */
static int unpark(PyGreenlet *greenlet) {
    struct rl_tasklet *tasklet = greenlet->impl->parked;
    struct rl_ring *ring = tasklet->ring;
    if (!ring) {
        come_back(tasklet); /* Its ring has forgotten it, in a forked child for one. */
        return 0;
    }
    if (tasklet == ring->hub && !ring->closing) {
        PyErr_SetString(rl_error, "cannot throw at the hub's greenlet: it runs as long as its thread");
        return -1;
    }
    rl_ring_detach(tasklet);
    end_here(ring, tasklet);
    return 0;
}

/* ---- Leaving for good ------------------------------------------------------ */

/* There is no memory to enter any ready tasklet: lets the main greenlet go on, for
   that needs none, with MemoryError. Returns it. */
static PyGreenlet *tell_main(struct rl_ring *ring, struct rl_tasklet *next) {
    PyGreenlet *greenlet = ring->thread->main;
    struct rl_tasklet *main = ring->main;
    if (greenlet->impl->parked) {
        /* Where it is parked it finds that it has not left: see STAYED. */
        ring->current = next;
        next->state = RL_TASKLET_RUNNING;
    } else {
        /* It waits for another greenlet of the main tasklet, which is lost. */
        PyGreenlet *lost = (PyGreenlet *)Py_XNewRef((PyObject *)main->resume);
        if (!main->next)
            link_before(next, main);
        ring->current = main;
        main->state = RL_TASKLET_RUNNING;
        come_back(main);
        if (lost)
            rl_greenlet_drop(lost);
        Py_XDECREF(lost);
        rl_ring_end_wait(main, 1);
    }
    PyErr_NoMemory();
    return greenlet;
}

PyGreenlet *rl_ring_leave_for_good(struct rl_ring *ring, PyObject **value) {
    struct rl_tasklet *after = ring->current->next;
    remove_ready(ring->current);
    struct rl_tasklet *to = next_turn(ring, after), *first = to;
    PyGreenlet *door;
    ring->last_parked = NULL;
    /* One that there is no memory to enter stays ready. */
    while (!(door = entrance(ring, to)) ||
           unlikely(rl_greenlet_make_way(ring->thread, door) < 0)) {
        PyErr_Clear();
        to = to->next;
        if (to == first) {
            *value = NULL;
            return tell_main(ring, first);
        }
    }
    to->state = RL_TASKLET_RUNNING;
    ring->current = to;
    *value = admission(to);
    return door;
}

/* rl_parking.home: the running tasklet's own greenlet, which has come here by hand.
   Only where that is not waiting for us is the main one thrown at, though parked. */
static PyGreenlet *home(struct rl_thread *thread) {
    PyGreenlet *own = thread->ring ? thread->ring->current->greenlet : NULL;
    if (own && own->impl->state == RL_SUSPENDED && !own->impl->parked)
        return own;
    if (thread->main->impl->parked)
        unpark(thread->main);
    return thread->main;
}

/* Tells the greenlets what to do about parked ones. */
void rl_ring_watch_greenlets(void) {
    rl_parking.home = home;
    rl_parking.refuse = refuse;
    rl_parking.unpark = unpark;
}
