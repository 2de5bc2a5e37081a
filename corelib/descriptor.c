/* SPDX-License-Identifier: MIT */
#include "descriptor.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>

#include "poller.h"
#include "timers.h"

/* Operations that may succeed at once, one after the other, before others run. */
#define OPERATIONS_PER_TURN 64

/* The first of all threads'; read and changed with the GIL. */
static struct rl_descriptors *everybodys;

uint32_t rl_descriptor_serial(void) {
    static uint32_t last;
    if (++last == 0)
        last = 1; /* 0 is no serial. */
    return last;
}

/* --- the table -------------------------------------------------------------- */

/* Makes sure that `fd` has an entry. Returns 0, or -1 with MemoryError set. */
static int make_entry(struct rl_descriptors *all, int fd) {
    if (fd < all->size)
        return 0;
    int size = all->size ? all->size : 64;
    while (size <= fd)
        size *= 2;
    struct rl_descriptor *table = PyMem_RawRealloc(all->table, (size_t)size * sizeof *table);
    if (!table) {
        PyErr_NoMemory();
        return -1;
    }
    memset(table + all->size, 0, (size_t)(size - all->size) * sizeof *table);
    all->table = table;
    all->size = size;
    return 0;
}

/* The entry stands for another use of its number from now on. */
static void renew(struct rl_descriptor *entry, uint32_t serial) {
    entry->serial = serial;
    entry->drained = entry->unusual = entry->unseen = 0;
}

/* --- waiters ---------------------------------------------------------------- */

/* Returns a waiter, or NULL with MemoryError set. */
static struct rl_waiter *take_waiter(struct rl_descriptors *all) {
    struct rl_waiter *waiter = all->pool;
    if (waiter)
        all->pool = waiter->next;
    else if (!(waiter = PyMem_RawMalloc(sizeof *waiter)))
        PyErr_NoMemory();
    return waiter;
}

static void give_waiter(struct rl_descriptors *all, struct rl_waiter *waiter) {
    waiter->next = all->pool;
    all->pool = waiter;
}

static void link_last(struct rl_descriptor *entry, struct rl_waiter *waiter) {
    waiter->next = NULL;
    waiter->prev = entry->last;
    if (entry->last)
        entry->last->next = waiter;
    else
        entry->first = waiter;
    entry->last = waiter;
    waiter->outcome = RL_WAITING;
}

static void take_out(struct rl_descriptor *entry, struct rl_waiter *waiter,
                     enum rl_outcome outcome) {
    if (waiter->prev)
        waiter->prev->next = waiter->next;
    else
        entry->first = waiter->next;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    else
        entry->last = waiter->prev;
    waiter->outcome = outcome;
}

/* --- deadlines -------------------------------------------------------------- */

/* One timer serves a descriptor. It is set when somebody waits who is due before
   it, and left alone when the wait ends: most connections wait again and again,
   each time until a little later. */

/* Takes the timer of an entry back. Returns 0, or -1 with an exception set; the
   entry has none any more in either case. */
static int cancel_alarm(struct rl_descriptor *entry) {
    PyObject *alarm = entry->alarm;
    if (!alarm)
        return 0;
    entry->alarm = NULL;
    PyObject *done = PyObject_CallMethod(alarm, "cancel", NULL);
    Py_XDECREF(done);
    Py_DECREF(alarm);
    return done ? 0 : -1;
}

int rl_descriptors_now(struct rl_descriptors *all, double *now) {
    struct rl_timers *timers = rl_timers_of(all->ring);
    return timers ? rl_timers_now(timers, now) : -1;
}

/* Sees to it that the timer of `fd` fires at `when` or before. Returns 0, or -1
   with an exception set. */
static int set_alarm(struct rl_descriptors *all, int fd, double when) {
    struct rl_descriptor *entry = &all->table[fd];
    if (when == INFINITY || (entry->alarm && entry->alarm_time <= when))
        return 0;
    PyObject *expire = PyObject_GetAttrString((PyObject *)all, "expire");
    PyObject *alarm = expire ? PyObject_CallMethod(all->ring->hub_object, "call_at", "dOi", when,
                                                   expire, fd)
                             : NULL;
    Py_XDECREF(expire);
    if (!alarm)
        return -1;
    /* Python code may have moved the table. */
    int result = cancel_alarm(&all->table[fd]);
    entry = &all->table[fd];
    Py_XSETREF(entry->alarm, alarm);
    entry->alarm_time = when;
    return result;
}

int rl_descriptor_expire(struct rl_descriptors *all, int fd) {
    double now, next_time = INFINITY;
    if (fd < 0 || fd >= all->size)
        return 0;
    if (cancel_alarm(&all->table[fd]) < 0 || rl_descriptors_now(all, &now) < 0)
        return -1;
    struct rl_descriptor *entry = &all->table[fd];
    for (struct rl_waiter *waiter = entry->first, *next; waiter; waiter = next) {
        next = waiter->next;
        if (waiter->deadline > now) {
            next_time = fmin(next_time, waiter->deadline);
        } else {
            take_out(entry, waiter, RL_EXPIRED);
            rl_ring_wake(waiter->tasklet, NULL);
        }
    }
    return set_alarm(all, fd, next_time);
}

/* --- waiting ---------------------------------------------------------------- */

/* What those who wait for an entry wait for, together. */
static int wanted(const struct rl_descriptor *entry) {
    int mask = 0;
    for (const struct rl_waiter *waiter = entry->first; waiter; waiter = waiter->next)
        mask |= waiter->mask;
    return mask;
}

/* Makes the poller watch `fd` for `mask` and for what others wait for already.
   Returns 0; 1 when it never blocks; or -1 with an exception set. */
static int watch(struct rl_descriptors *all, int fd, uint32_t serial, int mask) {
    int is_new = serial == 0 || all->table[fd].serial != serial;
    if (!is_new && !all->poller)
        return 0;
    uint32_t use = serial ? serial : rl_descriptor_serial();
    int result = all->poller ? rl_poller_arm(all, fd, mask | wanted(&all->table[fd]), is_new)
                             : rl_poller_register(all, fd, use);
    if (result == 0 && is_new)
        renew(&all->table[fd], use);
    return result;
}

/* Parks the running tasklet, which `waiter` stands for. Returns 0, or -1 with an
   exception set. */
static int park(struct rl_descriptors *all, int fd, struct rl_waiter *waiter, PyObject *shown) {
    /* An exception that ends the wait leaves the waiter in its list until we run
       again; to wake a tasklet that is not parked any more is harmless. */
    link_last(&all->table[fd], waiter);
    all->streak = 0;
    all->waiting++;
    PyObject *nothing = rl_ring_park(all->ring, shown, NULL);
    all->waiting--;
    if (waiter->outcome == RL_WAITING)
        take_out(&all->table[fd], waiter, RL_READY);
    if (!nothing)
        return -1;
    Py_DECREF(nothing);
    if (waiter->outcome == RL_EXPIRED) {
        PyErr_SetString(PyExc_TimeoutError, "timed out");
        return -1;
    }
    return 0;
}

int rl_descriptor_wait(struct rl_descriptors *all, int fd, uint32_t serial, int mask,
                       double deadline, const char *doing, PyObject *shown) {
    if (fd < 0) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    struct rl_waiter *waiter = make_entry(all, fd) < 0 ? NULL : take_waiter(all);
    if (!waiter)
        return -1;
    /* The hub may be replaced while we wait, by a fork. */
    Py_INCREF(all);
    int result = all->closed ? 0 : watch(all, fd, serial, mask);
    if (result == 0 && !all->closed)
        result = set_alarm(all, fd, deadline);
    if (result == 0 && all->table[fd].unseen & mask) {
        /* Reported since the caller tried: others have run in between. */
        all->table[fd].unseen &= (char)~mask;
    } else if (result == 0) {
        waiter->tasklet = all->ring->current;
        waiter->doing = doing;
        waiter->deadline = deadline;
        waiter->mask = mask;
        result = park(all, fd, waiter, shown);
    }
    give_waiter(all, waiter);
    Py_DECREF(all);
    return result < 0 ? -1 : 0;
}

/* --- waiting for several ---------------------------------------------------- */

/* A deadline of several descriptors is kept with the eventfd, as if that one were
   waited for too: it is always there, and nobody is told when one of the others
   is closed. */

/* Puts a waiter of the running tasklet into the list of `fd`. Returns it, or NULL
   with MemoryError set. */
static struct rl_waiter *enter(struct rl_descriptors *all, int fd, int mask, double deadline) {
    struct rl_waiter *waiter = make_entry(all, fd) < 0 ? NULL : take_waiter(all);
    if (!waiter)
        return NULL;
    waiter->tasklet = all->ring->current;
    waiter->doing = "poll";
    waiter->deadline = deadline;
    waiter->mask = mask;
    link_last(&all->table[fd], waiter);
    return waiter;
}

/* Takes it out, if it is still there, and says what has become of it. */
static enum rl_outcome leave(struct rl_descriptors *all, int fd, struct rl_waiter *waiter) {
    if (waiter->outcome == RL_WAITING)
        take_out(&all->table[fd], waiter, RL_READY);
    enum rl_outcome outcome = waiter->outcome;
    give_waiter(all, waiter);
    return outcome;
}

/* Has an interest watched and enters it. Returns 0; 1 when it is ready already; or
   -1 with an exception set. */
static int enter_interest(struct rl_descriptors *all, struct rl_interest *one) {
    if (make_entry(all, one->fd) < 0)
        return -1;
    /* Whoever has made the poller look since our first time has done it for us, too: if
       each did it anew, what is pending would be reported to all of them for ever. */
    uint32_t known = one->looked ? all->table[one->fd].serial : 0;
    int result = watch(all, one->fd, known, one->mask);
    if (result != 0)
        return result < 0 ? -1 : 0; /* What never blocks and is not ready never will be. */
    struct rl_descriptor *entry = &all->table[one->fd];
    one->looked = 1;
    if (entry->unseen & one->mask) {
        entry->unseen &= (char)~one->mask;
        return 1;
    }
    one->waiter = enter(all, one->fd, one->mask, INFINITY);
    return one->waiter ? 0 : -1;
}

/* Takes back the timer of the eventfd when nobody needs it any more. Returns 0, or
   -1 with an exception set; one pending is kept unless there is a newer one. */
static int leave_no_alarm(struct rl_descriptors *all, int fd) {
    if (all->table[fd].first)
        return 0;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (cancel_alarm(&all->table[fd]) < 0) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return -1;
    }
    PyErr_Restore(type, value, traceback);
    return 0;
}

/* Parks, once `count` descriptors are entered, with a deadline. Returns as
   rl_descriptor_wait_any. */
static int park_until(struct rl_descriptors *all, int count, double deadline, PyObject *shown) {
    int eventfd = all->epoll.wakeup;
    struct rl_waiter *alarm = NULL;
    PyObject *nothing = NULL;
    if (deadline != INFINITY) {
        alarm = enter(all, eventfd, 0, deadline);
        if (!alarm)
            return -1;
    }
    if (!alarm || set_alarm(all, eventfd, deadline) == 0) {
        all->streak = 0;
        all->waiting += count > 0;
        nothing = rl_ring_park(all->ring, shown, NULL);
        all->waiting -= count > 0;
    }
    int result = nothing ? 0 : -1;
    Py_XDECREF(nothing);
    if (!alarm)
        return result;
    int expired = leave(all, eventfd, alarm) == RL_EXPIRED;
    if (leave_no_alarm(all, eventfd) < 0)
        return -1;
    return result < 0 ? -1 : expired;
}

int rl_descriptor_wait_any(struct rl_descriptors *all, struct rl_interest *interests, int count,
                           double deadline, PyObject *shown) {
    int result = 0;
    if (all->closed) {
        PyErr_SetString(rl_tasklet_error, "nothing can be waited for: the thread's hub has ended");
        return -1;
    }
    /* The hub may be replaced while we wait, by a fork. */
    Py_INCREF(all);
    for (int i = 0; result == 0 && i < count; i++)
        result = enter_interest(all, &interests[i]);
    /* Ready: not to be confused with expired. */
    result = result == 0 ? park_until(all, count, deadline, shown) : result < 0 ? -1 : 0;
    for (int i = 0; i < count; i++) {
        if (interests[i].waiter)
            interests[i].closed = leave(all, interests[i].fd, interests[i].waiter) == RL_CLOSED;
        interests[i].waiter = NULL;
    }
    Py_DECREF(all);
    return result;
}

int rl_descriptors_take_turn(struct rl_descriptors *all) {
    if (++all->streak < OPERATIONS_PER_TURN)
        return 0;
    all->streak = 0;
    return all->ring->current == all->ring->hub ? 0 : rl_ring_yield(all->ring);
}

/* --- waking ----------------------------------------------------------------- */

void rl_descriptor_report(struct rl_descriptors *all, int fd, int mask, int unusual) {
    struct rl_descriptor *entry = &all->table[fd];
    int unseen = mask;
    if (mask & RL_READ)
        entry->drained = 0;
    if (unusual)
        entry->unusual = 1;
    for (struct rl_waiter *waiter = entry->first, *next; waiter; waiter = next) {
        next = waiter->next;
        if (!(waiter->mask & mask))
            continue;
        unseen &= ~waiter->mask;
        take_out(entry, waiter, RL_READY);
        rl_ring_wake(waiter->tasklet, NULL);
    }
    entry->unseen |= (char)unseen;
}

/* Wakes everybody who waits for `fd`, and tells them what has become of it. */
static void wake_all(struct rl_descriptors *all, int fd, enum rl_outcome outcome) {
    struct rl_waiter *waiter;
    while (fd < all->size && (waiter = all->table[fd].first)) {
        take_out(&all->table[fd], waiter, outcome);
        rl_ring_wake(waiter->tasklet, NULL);
    }
}

void rl_descriptor_wake_all(struct rl_descriptors *all, int fd) {
    wake_all(all, fd, RL_READY);
}

int rl_descriptor_hold(struct rl_descriptors *all, int fd, uint32_t serial, int holds) {
    if (fd < 0 || (!holds && !rl_descriptor_holds(all, fd)))
        return 0;
    if (make_entry(all, fd) < 0)
        return -1;
    all->table[fd].holder = holds ? serial : 0;
    if (holds && all->table[fd].first)
        rl_descriptor_report(all, fd, RL_READ, 0); /* Some of them only ask what is ready. */
    return 0;
}

int rl_descriptor_forget(int fd, uint32_t serial, int is_open) {
    struct rl_descriptors *here = rl_descriptors_here();
    for (struct rl_descriptors *all = everybodys; all; all = all->next) {
        /* While the number is ours the pollers know nothing else by it, whoever has
           told them. */
        struct rl_descriptor *entry = rl_descriptor_find(all, fd, serial);
        if (is_open && fd < all->size && all->table[fd].serial) {
            entry = &all->table[fd];
            rl_epoll_remove(&all->epoll, fd);
        }
        if (entry)
            renew(entry, 0);
        if (rl_descriptor_holds(all, fd) && (is_open || all->table[fd].holder == serial))
            all->table[fd].holder = 0;
        wake_all(all, fd, is_open ? RL_CLOSED : RL_READY);
    }
    /* What is Python's, timers and pollers, only its own thread may call. In others
       they find out when they fire, or report a descriptor nobody waits for. */
    if (!here || fd >= here->size)
        return 0;
    if (is_open && here->poller && rl_poller_forget(here, fd) < 0)
        return -1;
    return cancel_alarm(&here->table[fd]);
}

/* --- one per hub ------------------------------------------------------------ */

struct rl_descriptors *rl_descriptors_get(void) {
    struct rl_ring *ring = rl_ring_get();
    if (!ring || ring->descriptors)
        return ring ? ring->descriptors : NULL;
    PyObject *found = PyObject_GetAttrString(ring->hub_object, "poller");
    if (!found)
        return NULL;
    Py_DECREF(found); /* The hub has it. */
    if (!PyObject_TypeCheck(found, &rl_descriptors_type)) {
        PyErr_Format(PyExc_TypeError, "the poller of a hub is a Descriptors object, not %R", found);
        return NULL;
    }
    ring->descriptors = (struct rl_descriptors *)found;
    ring->descriptors->ring = ring;
    return ring->descriptors;
}

struct rl_descriptors *rl_descriptors_new(PyTypeObject *type) {
    struct rl_descriptors *all = (struct rl_descriptors *)type->tp_alloc(type, 0);
    if (!all)
        return NULL;
    all->closed = 1;
    if (rl_epoll_open(&all->epoll) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(all);
        return NULL;
    }
    all->closed = 0;
    all->next = everybodys;
    if (everybodys)
        everybodys->prev = all;
    everybodys = all;
    return all;
}

void rl_descriptors_close(struct rl_descriptors *all) {
    if (all->closed)
        return;
    all->closed = 1;
    if (all->prev)
        all->prev->next = all->next;
    else
        everybodys = all->next;
    if (all->next)
        all->next->prev = all->prev;
    rl_epoll_close(&all->epoll);
}

void rl_descriptors_free(struct rl_descriptors *all) {
    rl_descriptors_close(all);
    for (int fd = 0; fd < all->size; fd++)
        Py_XDECREF(all->table[fd].alarm);
    for (struct rl_waiter *waiter = all->pool, *next; waiter; waiter = next) {
        next = waiter->next;
        PyMem_RawFree(waiter);
    }
    PyMem_RawFree(all->table);
    Py_XDECREF(all->poller);
}

void rl_descriptors_renew(struct rl_descriptors *all) {
    for (int fd = 0; fd < all->size; fd++) {
        renew(&all->table[fd], 0);
        rl_descriptor_wake_all(all, fd);
    }
}

/* In a forked child: the threads are gone, and their epoll descriptors are still
   the parent's. Closing is all that may be done to them. */
static void close_in_child(void) {
    while (everybodys)
        rl_descriptors_close(everybodys);
}

int rl_descriptor_init(void) {
    if (pthread_atfork(NULL, NULL, close_in_child) == 0)
        return 0;
    PyErr_NoMemory();
    return -1;
}
