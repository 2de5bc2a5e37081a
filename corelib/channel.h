/* SPDX-License-Identifier: MIT */
/* Channels: where one tasklet hands a value to another, and select, which waits at
   several of them. Here is what happens; how one says it in Python is in
   channel_type.c and select.c, and what a time limit is in channels/channel.py.

   Those who wait stand in the channel's two queues, each in a place. A tasklet that
   waits in send() or receive() has its own place, the one in rl_tasklet. A select
   has one for each arm; whoever takes one of them takes all of them, so a select
   transfers once at most. All of this is one step for other threads: no Python code
   runs between looking whether a transfer can be done and either having done it or
   standing in the queue.

   Invariants, whenever the GIL may be given up:
     those who stand in the queues are parked;
     no sender waits while a receiver does, but in the places of one and the same select;
     balance is the number of places of senders less those of receivers;
     a sender waits only while the buffer is full, a receiver only while it is empty
     and the channel open. */
#ifndef RL_CHANNEL_H
#define RL_CHANNEL_H

#include <Python.h>

#include "ring.h"

/* What travels. */
struct rl_parcel {
    PyObject *value; /* Owned. */
    int is_error;    /* The receiver raises `value`. */
};

struct rl_channel {
    PyObject_HEAD
    struct rl_place senders, receivers; /* Heads of the queues, which are circles. */
    Py_ssize_t balance;
    int preference;           /* -1: a receiver runs at once, +1: a sender does, 0: nobody. */
    char closed;              /* Nothing can be sent. */
    Py_ssize_t capacity;      /* How much the buffer takes; negative: any number. */
    struct rl_parcel *buffer; /* A circle of `room` entries, or NULL. */
    Py_ssize_t room, head, count; /* Its size, the oldest entry, how many there are. */
    PyObject *weakreflist;    /* Weak references to it. */
};

/* One way for a select to go on: an arm of it. It may be used again and again. */
struct rl_arm {
    PyObject_HEAD
    struct rl_channel *channel; /* Owned. */
    PyObject *value;            /* What to send; owned; NULL: it receives. */
};

/* A select that waits. */
struct rl_select {
    PyObject_VAR_HEAD           /* With the number of arms. */
    struct rl_tasklet *tasklet; /* Who waits in it; borrowed, for a parked one is kept by its ring. */
    Py_ssize_t chosen;          /* The arm that ended the wait; -1: none yet, or something else. */
    int waiting;                /* Its places are in the queues. */
    int refused;                /* The chosen arm's channel was closed. */
    struct {
        struct rl_place place;
        struct rl_arm *arm; /* Owned. */
    } arms[];
};

extern PyTypeObject rl_channel_type;

extern PyObject *rl_channel_closed; /* ringlet.ChannelClosed. */
extern PyObject *rl_would_block;    /* ringlet.WouldBlock. */

enum { RL_SENDING = 1, RL_RECEIVING = -1 };

/* What a try comes to. */
enum { RL_FAILED = -1, RL_WOULD_WAIT, RL_DONE };

/* Sends `value` (borrowed), to be raised if `is_error`, if that needs no waiting.
   Returns RL_DONE, RL_WOULD_WAIT, or RL_FAILED with an exception set: ChannelClosed,
   MemoryError, or what was thrown at the running tasklet after the transfer, while
   the receiver had its turn. */
int rl_channel_try_send(struct rl_ring *ring, struct rl_channel *channel, PyObject *value,
                        int is_error);

/* Receives into *parcel, which the caller owns then, if that needs no waiting. Returns
   the same; what was received before something was thrown is dropped. */
int rl_channel_try_receive(struct rl_ring *ring, struct rl_channel *channel,
                           struct rl_parcel *parcel);

/* Sends, and waits for a receiver if need be. Returns None, or NULL with an exception
   set: then nothing was sent, unless it was thrown at the tasklet after that. */
PyObject *rl_channel_send(struct rl_channel *channel, PyObject *value, int is_error);

/* Receives, and waits for a sender if need be. Returns the value, a new reference, or
   NULL with an exception set: what was sent to be raised, or, with nothing received, another. */
PyObject *rl_channel_receive(struct rl_channel *channel);

/* Raises `error` (borrowed) in the receiver that has waited longest. Whether there was one. */
int rl_channel_refuse_receiver(struct rl_channel *channel, PyObject *error);

/* Ends a reception: returns the value, a new reference, or NULL with it set as the
   exception. `parcel` is stolen. */
static inline PyObject *rl_channel_open_parcel(struct rl_parcel parcel) {
    if (!parcel.is_error)
        return parcel.value;
    PyErr_SetObject((PyObject *)Py_TYPE(parcel.value), parcel.value);
    Py_DECREF(parcel.value);
    return NULL;
}

/* Puts a place at the end of a queue, for a transfer in `direction`. */
static inline void rl_channel_enqueue(struct rl_channel *channel, struct rl_place *place,
                                      int direction) {
    struct rl_place *head = direction == RL_SENDING ? &channel->senders : &channel->receivers;
    place->behind = head;
    place->ahead = head->ahead;
    head->ahead->behind = place;
    head->ahead = place;
    channel->balance += direction;
}

/* Takes a place out of its queue, from wherever it stands. */
static inline void rl_channel_dequeue(struct rl_channel *channel, struct rl_place *place,
                                      int direction) {
    place->ahead->behind = place->behind;
    place->behind->ahead = place->ahead;
    place->behind = place->ahead = NULL;
    channel->balance -= direction;
}

/* Whose place it is. Borrowed. */
static inline struct rl_tasklet *rl_place_tasklet(struct rl_place *place) {
    if (place->select)
        return place->select->tasklet;
    return (struct rl_tasklet *)((char *)place - offsetof(struct rl_tasklet, place));
}

/* ---- select.c ---- */

/* Channel.receiving() and Channel.sending(value). */
PyObject *rl_arm_receiving(PyObject *channel, PyObject *unused);
PyObject *rl_arm_sending(PyObject *channel, PyObject *value);

/* Ends the wait of a select in favour of one of its places: all leave their queues.
   Returns the arm of that place, borrowed from the select, which its tasklet keeps. */
struct rl_arm *rl_select_choose(struct rl_place *place);

/* Adds types, exceptions and functions to the module. Return 0, or -1 with an
   exception set. */
int rl_channel_init(PyObject *module);
int rl_select_init(PyObject *module);

#endif
