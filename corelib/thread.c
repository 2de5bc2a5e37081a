/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include "greenlet.h"

_Thread_local struct rl_thread *rl_thread_self RL_TLS_MODEL;

size_t rl_thread_count;

/* The identifier of the calling thread's state, once its greenlets have been ended;
   0 before. While the interpreter takes that state apart, finalizers still run. */
static _Thread_local uint64_t ended RL_TLS_MODEL;

static const char STATE_KEY[] = "ringlet.thread"; /* In the thread state's dict. */

enum { DEFAULT_SLOTS = 64, MOST_SLOTS = 256 };

static struct {
    unsigned slots; /* Slots per thread. */
    unsigned most;  /* And as many as this while they hold deep stacks. */
    int hard;       /* Hard mode. */
    int unwind;     /* Greenlets that a thread leaves behind are ended by GreenletExit. */
} settings = {DEFAULT_SLOTS, MOST_SLOTS, 0, 1};

/* Lets slots use half of the mappings that the system allows a process: two each. */
static void set_budget(void) {
    unsigned long maps;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    if (!file)
        return; /* Not Linux, or nothing to be seen: the usual value will do. */
    if (fscanf(file, "%lu", &maps) == 1)
        rl_stack_set_budget((unsigned)(maps / 4));
    fclose(file);
}

int rl_thread_configure(void) {
    const char *slots = getenv("RINGLET_SLOTS"), *hard = getenv("RINGLET_HARD");
    if (slots && *slots) {
        char *end;
        long count = strtol(slots, &end, 10);
        if (*end || count < 1 || count > MOST_SLOTS) {
            PyErr_Format(PyExc_ValueError, "RINGLET_SLOTS is '%s'; give a whole number from 1 to %d",
                         slots, MOST_SLOTS);
            return -1;
        }
        settings.slots = settings.most = (unsigned)count;
    }
    if (hard && *hard && strcmp(hard, "0") != 0) {
        settings.hard = 1;
        settings.slots = settings.most = 1;
    }
    set_budget();
    return 0;
}

int rl_thread_unwind_at_end(int unwind) {
    int before = settings.unwind;
    settings.unwind = unwind;
    return before;
}

/* Whose stack it is. */
static struct rl_greenlet *owner(struct rl_stack *stack) {
    return (struct rl_greenlet *)((char *)stack - offsetof(struct rl_greenlet, stack));
}

static void stack_evicted(struct rl_stack *stack) {
    rl_pystate_evicted(&owner(stack)->py, stack);
}

static void stack_restored(struct rl_stack *stack) {
    rl_pystate_restored(&owner(stack)->py, owner(stack)->thread->ts);
}

/* Ends every started greenlet of a thread: by GreenletExit where Python code may
   run, and whatever is left then without. */
static void end_greenlets(struct rl_thread *thread, int python) {
    /* A dying greenlet may start others; after as many as this none may run. */
    size_t patience = 1000;
    for (struct rl_greenlet *g = thread->started; g; g = g->next)
        patience += 2;
    while (thread->started) {
        PyGreenlet *greenlet = (PyGreenlet *)Py_NewRef((PyObject *)thread->started->self);
        if (python && patience > 0) {
            patience--;
            rl_greenlet_kill(greenlet);
        }
        if (greenlet->impl->state == RL_SUSPENDED)
            rl_greenlet_drop(greenlet);
        Py_DECREF(greenlet);
    }
}

/* Moves a thread that will never run again out of the greenlet it stands in, as
   seen from the interpreter: that greenlet is suspended for ever then. Such a
   thread sleeps through the end of the interpreter, did not survive a fork, or
   is this one, exiting from within a greenlet. */
static void abandon_current(struct rl_thread *thread) {
    PyGreenlet *current = thread->current;
    rl_pystate_abandon(thread->ts, &current->impl->py, &thread->main->impl->py);
    current->impl->state = RL_SUSPENDED;
    current->impl->chunk = NULL; /* It is still stood on, and so never freed. */
    thread->main->impl->state = RL_RUNNING;
    thread->current = (PyGreenlet *)Py_NewRef((PyObject *)thread->main);
    Py_DECREF(current);
}

/* Called when the thread state's dict goes away: the thread ends, the process
   forked, or the interpreter shuts down. */
static void thread_end(PyObject *capsule) {
    struct rl_thread *thread = PyCapsule_GetPointer(capsule, STATE_KEY);
    int here = rl_thread_self == thread, at_home = thread->current == thread->main;
    int python = here && at_home && !rl_pystate_is_finalizing();
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (python) {
        rl_thread_reap(thread);
        /* Goes with the thread state in any case; what is finalized with it finds
           greenlets at work now, and refused later. */
        Py_XDECREF(rl_pystate_set_context(thread->ts, NULL));
    }
    thread->ending = 1;
    if (!at_home)
        abandon_current(thread);
    if (thread->end_ring)
        thread->end_ring(thread, python);
    end_greenlets(thread, python && settings.unwind);
    for (size_t i = 0; i < thread->doomed_count; i++)
        Py_DECREF(thread->doomed[i]);
    PyMem_Free(thread->doomed);
    Py_CLEAR(thread->tracer);
    thread->main->impl->state = RL_DEAD;
    thread->main->impl->thread = NULL;
    thread->main->impl->resumable_by = NULL;
    /* The thread state owns the context it runs in. */
    thread->main->impl->py.context = NULL;
    Py_CLEAR(thread->main->impl->py.executor);
    PyGreenlet *main = thread->main;
    Py_DECREF(thread->current);
    if (here) {
        rl_thread_self = NULL;
        ended = PyThreadState_GetID(thread->ts);
        /* Slots that a thread may still stand on, waiting for a GIL that it will
           never get, stay. */
        if (at_home)
            rl_stacks_term(&thread->stacks);
    }
    PyMem_RawFree(thread);
    rl_thread_count--;
    Py_DECREF(main);
    PyErr_Restore(type, value, traceback);
}

struct rl_thread *rl_thread_new(void) {
    PyThreadState *ts = rl_pystate_current();
    PyObject *dict = NULL, *capsule;
    /* Nobody would end what such a state got once more, nor free its dict. */
    if (PyThreadState_GetID(ts) != ended && !rl_pystate_is_finalizing())
        dict = PyThreadState_GetDict();
    if (!dict) {
        PyErr_SetString(PyExc_RuntimeError, "greenlet is being finalized");
        return NULL;
    }
    struct rl_thread *thread = PyMem_RawCalloc(1, sizeof *thread);
    PyGreenlet *main = thread ? rl_greenlet_new_main() : NULL;
    if (!main) {
        PyMem_RawFree(thread);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        return NULL;
    }
    if (rl_stacks_init(&thread->stacks, &main->impl->stack, settings.slots, settings.most,
                       settings.hard, rl_greenlet_entry) < 0) {
        PyErr_NoMemory();
        goto fail;
    }
    thread->stacks.evicted = stack_evicted;
    thread->stacks.restored = stack_restored;
    thread->ts = ts;
    rl_cxx_init(&thread->cxx);
    rl_pystate_adopt(ts, &thread->stacks.own);
    thread->main = main;
    thread->current = (PyGreenlet *)Py_NewRef((PyObject *)main);
    thread->pass = thread;
    main->impl->thread = thread;
    capsule = PyCapsule_New(thread, STATE_KEY, NULL);
    if (!capsule || PyDict_SetItemString(dict, STATE_KEY, capsule) < 0 ||
        PyCapsule_SetDestructor(capsule, thread_end) < 0) {
        Py_XDECREF(capsule);
        Py_DECREF(main);
        rl_stacks_term(&thread->stacks);
        goto fail;
    }
    Py_DECREF(capsule);
    rl_thread_self = thread;
    rl_thread_count++;
    return thread;

fail:
    PyMem_RawFree(thread);
    main->impl->state = RL_DEAD;
    main->impl->thread = NULL;
    Py_DECREF(main);
    return NULL;
}

void rl_thread_update_pass(struct rl_thread *thread) {
    static struct rl_thread nobody;
    thread->pass = thread->tracer || thread->doomed_count ? &nobody : thread;
}

void rl_thread_doom(struct rl_thread *thread, PyGreenlet *greenlet) {
    if (thread->doomed_count == thread->doomed_room) {
        size_t room = thread->doomed_room ? 2 * thread->doomed_room : 16;
        PyGreenlet **grown = PyMem_Realloc(thread->doomed, room * sizeof *grown);
        if (!grown) {
            Py_INCREF(greenlet); /* Better leaked than freed while it is suspended. */
            return;
        }
        thread->doomed = grown;
        thread->doomed_room = room;
    }
    thread->doomed[thread->doomed_count++] = (PyGreenlet *)Py_NewRef((PyObject *)greenlet);
    rl_thread_update_pass(thread);
}

void rl_thread_reap(struct rl_thread *thread) {
    while (thread->doomed_count) {
        PyGreenlet *greenlet = thread->doomed[--thread->doomed_count];
        rl_thread_update_pass(thread);
        /* Losing the last reference ends it. One that the collector has found
           in a cycle would not lose it, and is ended first. */
        if (Py_REFCNT(greenlet) > 1 && greenlet->impl->state == RL_SUSPENDED)
            rl_greenlet_kill(greenlet);
        Py_DECREF(greenlet);
    }
}
