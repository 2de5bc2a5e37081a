/* SPDX-License-Identifier: MIT */
#include "waiters.h"

#include "timers.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* ---- The queue --------------------------------------------------------------- */

static void add(struct rl_waiters *self, struct rl_tasklet *tasklet) {
    tasklet->behind = NULL;
    tasklet->ahead = self->last;
    if (self->last)
        self->last->behind = tasklet;
    else
        self->first = tasklet;
    self->last = tasklet;
    self->contentions++;
    if (++self->count > self->most)
        self->most = self->count;
}

void rl_waiters_remove(struct rl_waiters *self, struct rl_tasklet *tasklet) {
    if (unlikely(!tasklet->ahead && self->first != tasklet))
        return; /* rl_waiters_forget was first. */
    if (tasklet->ahead)
        tasklet->ahead->behind = tasklet->behind;
    else
        self->first = tasklet->behind;
    if (tasklet->behind)
        tasklet->behind->ahead = tasklet->ahead;
    else
        self->last = tasklet->ahead;
    tasklet->behind = tasklet->ahead = NULL;
    self->count--;
}

void rl_waiters_forget(struct rl_waiters *self) {
    while (self->first)
        rl_waiters_remove(self, self->first);
}

/* ---- Waiting ------------------------------------------------------------------ */

struct rl_ring *rl_waiters_prepare(double *began) {
    struct rl_ring *ring = rl_ring_get();
    struct rl_timers *timers = ring ? rl_timers_of(ring) : NULL;
    return timers && rl_timers_now(timers, began) == 0 ? ring : NULL;
}

/* Notes how long a wait was that began at `began`. Keeps no exception: what the clock
   raises must not undo what has been given. */
static void note_wait(struct rl_waiters *self, struct rl_ring *ring, double began) {
    struct rl_timers *timers = rl_timers_of(ring);
    double now;
    if (unlikely(!timers || rl_timers_now(timers, &now) < 0)) {
        PyErr_WriteUnraisable(ring->hub_object);
        return;
    }
    if (now - began > self->longest)
        self->longest = now - began;
}

enum rl_outcome rl_waiters_wait(struct rl_waiters *self, struct rl_ring *ring, PyObject *object,
                                void (*unlinker)(struct rl_tasklet *tasklet), double began,
                                PyObject **value) {
    struct rl_tasklet *me = ring->current;
    me->given = 0;
    add(self, me);
    *value = rl_ring_park(ring, object, unlinker);
    int given = me->given;
    me->given = 0;
    if (unlikely(!*value))
        return given ? RL_RAISED_WITH : RL_REFUSED;
    note_wait(self, ring, began);
    return RL_GIVEN;
}

struct rl_tasklet *rl_waiters_give(struct rl_waiters *self, PyObject *value) {
    struct rl_tasklet *tasklet;
    while ((tasklet = self->first)) {
        rl_waiters_remove(self, tasklet);
        /* One whose thread has gone, in a forked child for one, gets nothing any more. */
        if (unlikely(tasklet->state != RL_TASKLET_PARKED))
            continue;
        tasklet->given = 1;
        rl_ring_wake(tasklet, Py_XNewRef(value));
        return tasklet;
    }
    return NULL;
}

/* ---- What Python sees ----------------------------------------------------------- */

PyObject *rl_waiters_list(struct rl_waiters *self) {
    PyObject *list = PyList_New(0);
    for (struct rl_tasklet *tasklet = self->first; list && tasklet; tasklet = tasklet->behind)
        if (PyList_Append(list, (PyObject *)tasklet) < 0)
            Py_CLEAR(list);
    return list;
}

PyObject *rl_waiters_counts(struct rl_waiters *self, unsigned long long acquisitions) {
    return Py_BuildValue("KKdn", acquisitions, self->contentions, self->longest, self->most);
}

PyObject *rl_call_instead(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t count,
                          PyObject *names) {
    PyObject *method = PyObject_GetAttr(self, name), *result;
    if (!method)
        return NULL;
    result = PyObject_Vectorcall(method, args, (size_t)count, names);
    Py_DECREF(method);
    return result;
}
