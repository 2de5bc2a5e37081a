/* SPDX-License-Identifier: MIT */
/* How tasklets and rings begin and end. */
#include "ring.h"
#include "joining.h"
#include "scope.h"
#include "timers.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* ---- The living, and those that have ended -------------------------------- */

void rl_ring_start(struct rl_ring *ring, struct rl_tasklet *tasklet) {
    if (unlikely(rl_note_origins))
        rl_tasklet_note_origin(tasklet);
    tasklet->ring = ring;
    tasklet->state = RL_TASKLET_READY;
    tasklet->younger = NULL;
    tasklet->older = ring->living;
    if (tasklet->older)
        tasklet->older->younger = tasklet;
    ring->living = (struct rl_tasklet *)Py_NewRef((PyObject *)tasklet);
    ring->living_count++;
    rl_ring_append(ring, tasklet);
    if (unlikely(tasklet->waiting_on != NULL))
        rl_ring_end_wait(tasklet, 0);
}

/* Takes a tasklet off the list of the living, whose reference is the caller's now. */
static void unlink_living(struct rl_ring *ring, struct rl_tasklet *tasklet) {
    if (tasklet->younger)
        tasklet->younger->older = tasklet->older;
    else
        ring->living = tasklet->older;
    if (tasklet->older)
        tasklet->older->younger = tasklet->younger;
    tasklet->older = tasklet->younger = NULL;
    tasklet->ring = NULL;
    ring->living_count--;
}

/* Leaves a tasklet that has ended, and may stand on its own stack, to whoever runs
   next in this ring. */
static void depart(struct rl_ring *ring, struct rl_tasklet *tasklet) {
    unlink_living(ring, tasklet);
    tasklet->older = ring->departed;
    ring->departed = tasklet;
    ring->thread->slow |= RL_SLOW_DEPARTED;
}

/* Lets a tasklet be finished, with this outcome (stolen, NULL for none), and tells
   those who wait for it; `ring` sees to its callbacks. Runs no Python code. */
static void settle(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *value,
                   PyObject *error, PyObject *traceback) {
    PyObject *joiners = tasklet->joiners;
    tasklet->state = RL_TASKLET_FINISHED;
    tasklet->value = value;
    tasklet->error = error;
    tasklet->traceback = traceback;
    tasklet->joiners = NULL;
    rl_joiners_tell(joiners);
    Py_XDECREF(joiners);
    if (tasklet->callbacks) {
        Py_INCREF(tasklet);
        tasklet->behind = NULL;
        if (ring->ended_last)
            ring->ended_last->behind = tasklet;
        else
            ring->ended = tasklet;
        ring->ended_last = tasklet;
    }
}

/* Drops what a tasklet was to run, but for its name. */
static void forget_function(struct rl_tasklet *tasklet) {
    PyObject *function = tasklet->function, *named = function;
    if (named && PyMethod_Check(named))
        named = PyMethod_GET_FUNCTION(named);
    if (!tasklet->name && named && PyFunction_Check(named))
        tasklet->name = Py_NewRef(((PyFunctionObject *)named)->func_qualname);
    Py_CLEAR(tasklet->function);
    Py_CLEAR(tasklet->args);
    Py_CLEAR(tasklet->kwargs);
}

void rl_tasklet_discard(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *error) {
    settle(ring, tasklet, NULL, Py_NewRef(error), NULL);
    rl_ring_end_wait(tasklet, 1);
    forget_function(tasklet);
    Py_CLEAR(tasklet->context);
}

/* ---- What a tasklet's greenlet runs ----------------------------------------- */

/* Takes the exception that is set, whole. */
static void take_exception(PyObject **error, PyObject **traceback) {
    PyObject *type;
    PyErr_Fetch(&type, error, traceback);
    PyErr_NormalizeException(&type, error, traceback);
    if (*traceback)
        PyException_SetTraceback(*error, *traceback);
    Py_XDECREF(type);
}

/* Tells the owner of a tasklet that this ends, by `error` (borrowed) or NULL. That is
   done anew when a signal handler has raised something meanwhile, for the main program. */
static void tell_owner(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *error) {
    PyObject *owner = tasklet->owner, *done = NULL, *raised, *traceback;
    PyObject *name = PyUnicode_InternFromString("_ended");
    tasklet->owner = NULL;
    for (int tries = 0; name && tries < 5 && !done; tries++) {
        done = PyObject_CallMethodObjArgs(owner, name, tasklet, error ? error : Py_None, NULL);
        if (done)
            break;
        take_exception(&raised, &traceback);
        if (!rl_ring_throw_main(ring, raised)) {
            PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(raised)), Py_NewRef(raised),
                          Py_XNewRef(traceback));
            PyErr_WriteUnraisable(owner);
        }
        Py_DECREF(raised);
        Py_XDECREF(traceback);
    }
    Py_XDECREF(done);
    Py_XDECREF(name);
    Py_DECREF(owner);
}

/* Ends a tasklet on its own greenlet, with `result` (stolen; NULL: what is set was
   raised). What can run Python code comes first, while it is still running. */
static void conclude(struct rl_ring *ring, struct rl_tasklet *tasklet, PyObject *result) {
    PyObject *error = NULL, *traceback = NULL, *done;
    if (!result)
        take_exception(&error, &traceback);
    forget_function(tasklet);
    if (unlikely(tasklet->locals != NULL))
        Py_CLEAR(tasklet->locals);
    if (error) {
        done = PyObject_CallFunctionObjArgs(rl_policy.failed, tasklet, error, NULL);
        if (!done)
            PyErr_WriteUnraisable((PyObject *)tasklet);
        Py_XDECREF(done);
    }
    if (tasklet->owner)
        tell_owner(ring, tasklet, error);
    if (unlikely(tasklet == ring->main)) {
        done = PyObject_CallOneArg(rl_policy.main_ended, error ? error : Py_None);
        if (!done)
            PyErr_WriteUnraisable((PyObject *)tasklet);
        Py_XDECREF(done);
    }
    if (unlikely(tasklet != ring->current && tasklet->resume))
        rl_ring_detach(tasklet);
    if (unlikely(tasklet->scopes || tasklet->cancelling || tasklet->raising))
        rl_cancel_forget(tasklet);
    while (unlikely(tasklet->error != NULL))
        Py_CLEAR(tasklet->error); /* Thrown at it too late. */
    settle(ring, tasklet, result, error, traceback);
}

/* Runs the hub for as long as the ring exists. Returns with GreenletExit set once
   that is closing. */
static void hub_run(struct rl_ring *ring, struct rl_tasklet *hub) {
    PyObject *result = NULL, *error, *traceback;
    for (;;) {
        /* Something may be set already, by the callback of settrace(), called on arrival. */
        if (!PyErr_Occurred())
            result = PyObject_CallNoArgs(hub->function);
        if (ring->closing)
            return;
        if (!result) {
            /* Raised by a signal handler most likely: as if there were no hub. */
            take_exception(&error, &traceback);
            if (!rl_ring_throw_main(ring, error)) {
                PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), Py_NewRef(error),
                              Py_XNewRef(traceback));
                PyErr_WriteUnraisable(ring->hub_object);
            }
            Py_DECREF(error);
            Py_XDECREF(traceback);
            /* The main program gets to see it even if the next attempt fails, too. What
               is thrown at the hub here is what the loop finds set. */
            (void)rl_ring_yield(ring);
        }
        Py_CLEAR(result);
    }
}

/* rl_body.run. */
static PyObject *tasklet_run(PyGreenlet *self, PyObject *args) {
    struct rl_tasklet *tasklet = self->impl->owner;
    struct rl_ring *ring = tasklet->ring;
    PyObject *result = NULL, *error;
    Py_CLEAR(tasklet->context); /* The greenlet has it. */
    if (unlikely(ring->thread->slow))
        rl_ring_do_slow(ring);
    error = tasklet->error;
    if (unlikely(tasklet == ring->hub)) {
        Py_XDECREF(args);
        hub_run(ring, tasklet);
        return NULL;
    }
    if (unlikely(error != NULL)) {
        tasklet->error = NULL;
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
        Py_CLEAR(tasklet->raising);
    } else if (unlikely(args == NULL)) {
        /* Set by the callback of settrace(), called on arrival. */
    } else if (unlikely(tasklet->kwargs != NULL)) {
        result = PyObject_Call(tasklet->function, args, tasklet->kwargs);
    } else {
        result = PyObject_Vectorcall(tasklet->function, &PyTuple_GET_ITEM(args, 0),
                                     (size_t)PyTuple_GET_SIZE(args), NULL);
    }
    Py_XDECREF(args);
    conclude(ring, tasklet, result);
    return Py_NewRef(Py_None);
}

/* Where to go from a tasklet that has ended out of its turn, by itself, because
   somebody went there by hand: to its parent, unless that is the main greenlet only
   for want of a better one. Borrowed; NULL for the parent. */
static PyGreenlet *home(struct rl_ring *ring, PyGreenlet *ended) {
    PyGreenlet *own = ring->current->greenlet;
    if (rl_greenlet_alive(ended->impl->parent) != ring->thread->main || !own ||
        own->impl->state != RL_SUSPENDED || own->impl->parked)
        return NULL;
    return own;
}

/* rl_body.next: a tasklet that has ended never goes to its greenlet parent, but to
   whose turn it is. */
static PyGreenlet *tasklet_next(PyGreenlet *self, PyObject **result) {
    struct rl_tasklet *tasklet = self->impl->owner;
    struct rl_ring *ring = tasklet->ring;
    PyGreenlet *door;
    if (unlikely(tasklet == ring->hub))
        return NULL;
    if (unlikely(ring->current != tasklet)) {
        door = home(ring, self);
    } else {
        PyObject *value;
        door = rl_ring_leave_for_good(ring, &value);
        Py_SETREF(*result, value);
    }
    depart(ring, tasklet);
    return door;
}

const struct rl_body rl_tasklet_body = {tasklet_run, tasklet_next};

/* ---- End of a ring -------------------------------------------------------- */

/* Makes the main tasklet the current one, which it is but for greenlets moved by hand. */
static void give_turn_to_main(struct rl_ring *ring) {
    struct rl_tasklet *main = ring->main, *current = ring->current;
    if (current == main)
        return;
    if (main->resume)
        rl_ring_detach(main);
    main->next = current->next;
    main->prev = current->prev;
    main->next->prev = main->prev->next = main;
    if (current->next == current)
        main->next = main->prev = main;
    current->next = current->prev = NULL;
    current->state = current == ring->hub ? RL_TASKLET_READY : RL_TASKLET_RUNNING;
    main->state = RL_TASKLET_RUNNING;
    ring->current = main;
}

/* Ends a greenlet if it is suspended: by GreenletExit if it may run, and without
   running it if it may not, or survives that. */
static void end_greenlet(PyGreenlet *greenlet, int may_run) {
    if (greenlet && may_run && greenlet->impl->state == RL_SUSPENDED)
        rl_greenlet_kill(greenlet);
    if (greenlet && greenlet->impl->state == RL_SUSPENDED)
        rl_greenlet_drop(greenlet);
}

/* Ends a tasklet of a ring that closes: its finally blocks run and may not wait. */
static void end_tasklet(struct rl_ring *ring, struct rl_tasklet *tasklet, int may_run) {
    PyGreenlet *door = (PyGreenlet *)Py_XNewRef((PyObject *)tasklet->resume);
    PyGreenlet *own = (PyGreenlet *)Py_XNewRef((PyObject *)tasklet->greenlet);
    end_greenlet(door, may_run);
    end_greenlet(own, may_run);
    Py_XDECREF(door);
    Py_XDECREF(own);
    if (tasklet->state == RL_TASKLET_FINISHED)
        return;
    if (tasklet->resume)
        rl_ring_detach(tasklet);
    if (tasklet->next)
        rl_ring_remove(tasklet);
    forget_function(tasklet);
    Py_CLEAR(tasklet->context);
    PyObject *error = PyObject_CallNoArgs(rl_greenlet_exit);
    if (!error)
        PyErr_Clear();
    Py_CLEAR(tasklet->error);
    rl_cancel_forget(tasklet);
    Py_CLEAR(tasklet->locals);
    settle(ring, tasklet, NULL, error, NULL);
    depart(ring, tasklet);
}

/* Ends all tasklets, which may start others; after as many as these none may run. */
static void end_tasklets(struct rl_ring *ring) {
    for (Py_ssize_t patience = ring->living_count * 2 + 1000; ring->living; patience--) {
        end_tasklet(ring, ring->living, patience > 0);
        rl_ring_do_slow(ring);
    }
}

/* Looks up an attribute of the hub by an interned name: the interpreter caches
   lookups by the address of the name. Returns a new reference, or NULL with an
   exception set. */
static PyObject *hub_attribute(struct rl_ring *ring, const char *text) {
    PyObject *name = PyUnicode_InternFromString(text);
    PyObject *attribute = name ? PyObject_GetAttr(ring->hub_object, name) : NULL;
    Py_XDECREF(name);
    return attribute;
}

/* Calls a method of the hub. What it raises is printed. */
static void tell_hub(struct rl_ring *ring, const char *text) {
    PyObject *method = hub_attribute(ring, text);
    PyObject *done = method ? PyObject_CallNoArgs(method) : NULL;
    Py_XDECREF(method);
    if (!done)
        PyErr_WriteUnraisable(ring->hub_object);
    Py_XDECREF(done);
}

/* Forgets a tasklet where no Python code may run: what it holds is leaked. */
static void leak(struct rl_tasklet *tasklet) {
    if (tasklet->next)
        rl_ring_remove(tasklet);
    tasklet->state = RL_TASKLET_FINISHED;
    tasklet->ring = NULL;
}

struct rl_ring *rl_rings;

/* Takes a ring off the list of all. Harmless when it is not on it. */
static void unlink_ring(struct rl_ring *ring) {
    if (ring->prev)
        ring->prev->next = ring->next;
    else if (rl_rings == ring)
        rl_rings = ring->next;
    if (ring->next)
        ring->next->prev = ring->prev;
    ring->next = ring->prev = NULL;
}

/* rl_thread.end_ring. Where Python code may not run, tasklets are leaked, for
   freeing them could run finalizers. */
static void end_ring(struct rl_thread *thread, int python) {
    struct rl_ring *ring = thread->ring;
    ring->closing = 1;
    if (python) {
        give_turn_to_main(ring);
        end_tasklets(ring);
        end_greenlet(ring->hub->greenlet, 1);
        tell_hub(ring, "call_ended");
        ring->wakeup_fd = -1;
        tell_hub(ring, "close");
        end_tasklets(ring);
        settle(ring, ring->main, NULL, NULL, NULL);
    }
    for (struct rl_tasklet *tasklet = ring->living; tasklet; tasklet = tasklet->older)
        leak(tasklet);
    leak(ring->main);
    leak(ring->hub);
    unlink_ring(ring);
    thread->ring = NULL;
    thread->end_ring = NULL;
    if (python) {
        Py_CLEAR(ring->watcher);
        Py_CLEAR(ring->seen);
        Py_CLEAR(ring->overtime);
        Py_CLEAR(ring->hub->greenlet);
        Py_DECREF(ring->hub);
        Py_DECREF(ring->main);
        Py_XDECREF(ring->timers);
        Py_DECREF(ring->hub_object);
    }
    PyMem_Free(ring);
}

void rl_rings_keep_only(struct rl_ring *ring) {
    while (rl_rings && rl_rings != ring)
        unlink_ring(rl_rings);
    while (ring && ring->next)
        unlink_ring(ring->next);
}

void rl_ring_keep_current_only(struct rl_ring *ring) {
    struct rl_tasklet *me = ring->current, *next;
    struct rl_tasklet *survivor = me == ring->hub ? ring->main : me;
    for (struct rl_tasklet *tasklet = ring->living; tasklet; tasklet = next) {
        next = tasklet->older;
        if (tasklet == survivor)
            continue;
        /* Nobody may find it in a queue and hand it what a living one could use. */
        if (tasklet->state == RL_TASKLET_PARKED)
            rl_ring_end_wait(tasklet, 1);
        unlink_living(ring, tasklet);
        leak(tasklet);
    }
    if (ring->main != survivor) {
        if (ring->main->state == RL_TASKLET_PARKED)
            rl_ring_end_wait(ring->main, 1);
        leak(ring->main);
        ring->main = (struct rl_tasklet *)Py_NewRef((PyObject *)survivor);
    }
    ring->ended = ring->ended_last = NULL;
    ring->last_parked = NULL;
    ring->descriptors = NULL;
    ring->polling = 0;
    ring->wakeup_fd = -1;
}

/* ---- Beginning of a ring ---------------------------------------------------- */

/* Makes a tasklet that is there from the beginning. Returns a new reference, or
   NULL with an exception set. */
static struct rl_tasklet *found_tasklet(struct rl_ring *ring, PyTypeObject *type,
                                        const char *name) {
    struct rl_tasklet *tasklet = (struct rl_tasklet *)type->tp_alloc(type, 0);
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
    if (thread->ending) {
        PyErr_SetString(rl_tasklet_error, "this thread is ending: it can schedule nothing any more");
        return NULL;
    }
    struct rl_ring *ring = PyMem_Calloc(1, sizeof *ring);
    if (!ring)
        return (struct rl_ring *)PyErr_NoMemory();
    ring->thread = thread;
    ring->wakeup_fd = -1;
    ring->main = found_tasklet(ring, (PyTypeObject *)rl_policy.tasklet_type, "main");
    ring->hub = found_tasklet(ring, &rl_tasklet_type, "hub");
    ring->hub_object = ring->main && ring->hub ? PyObject_CallNoArgs(rl_policy.make_hub) : NULL;
    if (ring->hub_object)
        ring->hub->function = hub_attribute(ring, "run");
    /* A signal handler or finalizer may have made one meanwhile. */
    if (!ring->hub_object || !ring->hub->function || thread->ring) {
        if (ring->hub_object && !PyErr_Occurred())
            tell_hub(ring, "close");
        Py_XDECREF(ring->main);
        Py_XDECREF(ring->hub);
        Py_XDECREF(ring->hub_object);
        PyMem_Free(ring);
        if (thread->ring)
            PyErr_Clear();
        return thread->ring;
    }
    ring->main->state = RL_TASKLET_RUNNING;
    ring->hub->state = RL_TASKLET_READY;
    ring->hub->next = ring->hub->prev = ring->main;
    ring->main->next = ring->main->prev = ring->hub;
    ring->current = ring->main;
    ring->hub_since = ring->now = rl_monotonic();
    ring->next = rl_rings;
    if (ring->next)
        ring->next->prev = ring;
    rl_rings = ring;
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
