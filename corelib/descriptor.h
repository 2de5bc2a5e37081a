/* SPDX-License-Identifier: MIT */
/* Who waits for which descriptor. Each hub has one such table, whatever poller
   tells it what is ready.

   Invariants, whenever the GIL may be given up:
     a waiter is in the list of its descriptor if and only if its outcome is
     RL_WAITING;
     the descriptor of such a waiter is known to the poller. */
#ifndef RL_DESCRIPTOR_H
#define RL_DESCRIPTOR_H

#include <Python.h>

#include <stdint.h>

#include "epoll.h"
#include "ring.h"

/* Directions, as bits. The same values as selectors.EVENT_READ and EVENT_WRITE. */
#define RL_READ 1
#define RL_WRITE 2

enum rl_outcome {
    RL_WAITING, /* In the list. */
    RL_READY,   /* Taken out: try again. */
    RL_EXPIRED, /* Taken out: its deadline has passed. */
    RL_CLOSED,  /* Taken out: the descriptor is closed, or about to be. */
};

/* One tasklet that waits. Never on a C stack, which may be copied away meanwhile. */
struct rl_waiter {
    struct rl_tasklet *tasklet;    /* Who is parked; borrowed. */
    struct rl_waiter *next, *prev; /* In the descriptor's list; in the pool, `next` alone. */
    const char *doing;             /* Its operation, to be shown. */
    double deadline;               /* On the hub's clock; infinity: none. */
    int mask;                      /* The directions it waits for. */
    enum rl_outcome outcome;       /* What has become of it. */
};

/* One descriptor number. All zero: never heard of. */
struct rl_descriptor {
    struct rl_waiter *first, *last; /* Those who wait, in order of arrival. */
    PyObject *alarm;                /* The timer that will look at their deadlines, or NULL; owned. */
    double alarm_time;              /* When it fires. */
    uint32_t serial;                /* Which use of the number the poller knows; 0: none. */
    char drained;                   /* The last read left nothing, and nothing has come since. */
    char unusual;                   /* Urgent data, an end or an error was seen, so that a short
                                       read proves nothing any more. */
    char unseen;                    /* Directions reported while nobody waited for them. */
    uint32_t holder;                /* The use of the number whose owner has taken input from the
                                       kernel that nobody has read yet, as TLS does; or 0. */
};

/* The Python object Descriptors. Its hub owns it. */
struct rl_descriptors {
    PyObject_HEAD
    struct rl_ring *ring;        /* Whose tasklets wait here; NULL until the first does. */
    struct rl_descriptor *table; /* Indexed by descriptor number; moves when it grows. */
    int size;                    /* Entries in the table. */
    int closed;                  /* The hub has ended. */
    Py_ssize_t waiting;          /* Tasklets parked here. */
    int streak;                  /* Operations tried since somebody last waited here. */
    struct rl_waiter *pool;      /* Unused waiters. */
    PyObject *poller;            /* A poller in Python, owned; NULL: the native one. */
    struct rl_epoll epoll;       /* The native poller; its eventfd serves both kinds. */
    struct rl_descriptors *next, *prev; /* Those of all threads' hubs, linked while not closed. */
};

/* The calling thread's, made with its hub on first use. Borrowed; NULL with an
   exception set. */
struct rl_descriptors *rl_descriptors_get(void);

/* The calling thread's, or NULL if nobody has waited in it yet. */
static inline struct rl_descriptors *rl_descriptors_here(void) {
    struct rl_thread *thread = rl_thread_self;
    return thread && thread->ring ? thread->ring->descriptors : NULL;
}

extern PyTypeObject rl_descriptors_type;

/* Allocates one with its poller: a new reference, or NULL with an exception set. */
struct rl_descriptors *rl_descriptors_new(PyTypeObject *type);

/* Closes the native poller. Nobody is woken, nor will be: the hub has ended, or
   this is a forked child, where the hub is a new one. Harmless when repeated. */
void rl_descriptors_close(struct rl_descriptors *all);

/* Closes it and frees what it holds, but not the object itself. */
void rl_descriptors_free(struct rl_descriptors *all);

/* Another poller takes over: it knows no descriptor, and whoever waits is woken
   to wait anew. */
void rl_descriptors_renew(struct rl_descriptors *all);

/* Reads the hub's clock. Returns 0, or -1 with an exception set. */
int rl_descriptors_now(struct rl_descriptors *all, double *now);

/* Lets others run when `all`'s thread has tried OPERATIONS_PER_TURN operations in a
   row that did not have to wait. Returns 0, or -1 with the exception set that was
   thrown at the tasklet meanwhile. */
int rl_descriptors_take_turn(struct rl_descriptors *all);

/* A new number for a use of a descriptor; never 0. */
uint32_t rl_descriptor_serial(void);

/* The entry of `fd` if it is about this use of the number, else NULL. */
static inline struct rl_descriptor *rl_descriptor_find(struct rl_descriptors *all, int fd,
                                                       uint32_t serial) {
    if (fd < 0 || fd >= all->size || all->table[fd].serial != serial)
        return NULL;
    return &all->table[fd];
}

/* Parks the running tasklet until `fd` is ready for something in `mask`, or until
   the moment `deadline`. `serial` says which use of the number this is. `doing`
   names the operation and stays valid meanwhile; `shown` is what the tasklet is
   said to wait for. Returns 0, then the operation is to be tried again; or -1
   with an exception set, TimeoutError for the deadline. */
int rl_descriptor_wait(struct rl_descriptors *all, int fd, uint32_t serial, int mask,
                       double deadline, const char *doing, PyObject *shown);

/* One of several descriptors, of any kind and anybody's, that are waited for
   together. */
struct rl_interest {
    int fd;                   /* Not negative. */
    int mask;                 /* Directions. */
    char looked;              /* The poller has been made to look at it. */
    char closed;              /* It was closed, or is about to be, by whoever owned it. */
    struct rl_waiter *waiter; /* Who stands for it while it is waited for; else NULL. */
};

/* Parks the running tasklet until one of `count` descriptors becomes ready for
   something in its mask, or until the moment `deadline`. What was ready when they
   were first waited for counts as becoming ready; later calls with the same
   interests, which are on the heap and zero but for `fd` and `mask` at first, see
   what has come since. `shown` as above. Returns 0, then ask which; 1 when the
   deadline has passed; or -1 with an exception set. */
int rl_descriptor_wait_any(struct rl_descriptors *all, struct rl_interest *interests, int count,
                           double deadline, PyObject *shown);

/* The descriptor `fd`, whatever its use, is ready in the directions `mask`;
   `unusual` as in the entry. Wakes those who wait for it. */
void rl_descriptor_report(struct rl_descriptors *all, int fd, int mask, int unusual);

/* Wakes everybody who waits for `fd`. */
void rl_descriptor_wake_all(struct rl_descriptors *all, int fd);

/* For the timer of `fd`: wakes those whose time is over, and sets it anew if there
   are others. Returns 0, or -1 with an exception set. */
int rl_descriptor_expire(struct rl_descriptors *all, int fd);

/* Notes whether the owner of this use of `fd` has input that the kernel does not know of any more,
   so that it is ready to be read for those who ask. Returns 0, or -1 with MemoryError set. */
int rl_descriptor_hold(struct rl_descriptors *all, int fd, uint32_t serial, int holds);

/* Whether `fd` is one of those. */
static inline int rl_descriptor_holds(const struct rl_descriptors *all, int fd) {
    return fd >= 0 && fd < all->size && all->table[fd].holder != 0;
}

/* This use of `fd` is about to end. Whoever waits for it, in any thread, is woken
   and finds out. `is_open`: the number is still ours, so that it can be taken
   from the pollers. Returns 0, or -1 with an exception set, that of a signal
   handler most likely; all has been done then. */
int rl_descriptor_forget(int fd, uint32_t serial, int is_open);

/* Called once. Returns 0, or -1 with an exception set. */
int rl_descriptor_init(void);

#endif
