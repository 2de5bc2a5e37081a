/* SPDX-License-Identifier: MIT */
/* The exchange of a channel. */
#include "channel.h"

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define always_inline inline __attribute__((always_inline))

/* ---- The queues --------------------------------------------------------------- */

/* rl_tasklet.unlinker: an exception ends the wait, and nothing is transferred. */
static void leave_queue(struct rl_tasklet *tasklet) {
    int direction = tasklet->value ? RL_SENDING : RL_RECEIVING;
    rl_channel_dequeue((struct rl_channel *)tasklet->waiting_on, &tasklet->place, direction);
    tasklet->parcel_is_error = 0;
    Py_CLEAR(tasklet->value);
}

/* Takes the receiver out of the queue that has waited longest. Returns it, borrowed. */
static always_inline struct rl_tasklet *call_receiver(struct rl_channel *channel) {
    struct rl_place *place = channel->receivers.behind;
    struct rl_tasklet *receiver = rl_place_tasklet(place);
    if (likely(!place->select))
        rl_channel_dequeue(channel, place, RL_RECEIVING);
    else
        rl_select_choose(place);
    return receiver;
}

/* Takes the sender out of the queue that has waited longest, and what it brings.
   Returns it, borrowed. */
static always_inline struct rl_tasklet *call_sender(struct rl_channel *channel,
                                                    struct rl_parcel *parcel) {
    struct rl_place *place = channel->senders.behind;
    struct rl_tasklet *sender = rl_place_tasklet(place);
    if (likely(!place->select)) {
        parcel->value = sender->value;
        parcel->is_error = sender->parcel_is_error;
        sender->value = NULL;
        sender->parcel_is_error = 0;
        rl_channel_dequeue(channel, place, RL_SENDING);
    } else {
        parcel->value = Py_NewRef(rl_select_choose(place)->value);
        parcel->is_error = 0;
    }
    return sender;
}

static always_inline int somebody(struct rl_place *head) { return head->behind != head; }

/* ---- The buffer --------------------------------------------------------------- */

/* Sees to room for one more. Returns 0, or -1 with MemoryError set. */
static int make_room(struct rl_channel *channel) {
    if (channel->count < channel->room)
        return 0;
    Py_ssize_t room = channel->room ? channel->room * 2 : 8;
    struct rl_parcel *buffer = PyMem_New(struct rl_parcel, (size_t)room);
    if (!buffer) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < channel->count; i++)
        buffer[i] = channel->buffer[(channel->head + i) & (channel->room - 1)];
    PyMem_Free(channel->buffer);
    channel->buffer = buffer;
    channel->room = room;
    channel->head = 0;
    return 0;
}

/* Adds to the buffer, where there is room. Steals the reference. */
static void push(struct rl_channel *channel, struct rl_parcel parcel) {
    channel->buffer[(channel->head + channel->count++) & (channel->room - 1)] = parcel;
}

/* Takes the oldest out of the buffer, which is not empty. */
static struct rl_parcel pop(struct rl_channel *channel) {
    struct rl_parcel parcel = channel->buffer[channel->head];
    channel->head = (channel->head + 1) & (channel->room - 1);
    channel->count--;
    return parcel;
}

/* Has the first sender that lives put what it brings into the buffer, where there is
   room now. */
static void refill(struct rl_channel *channel) {
    while (somebody(&channel->senders)) {
        struct rl_parcel parcel;
        struct rl_tasklet *sender = call_sender(channel, &parcel);
        if (likely(sender->state == RL_TASKLET_PARKED)) {
            push(channel, parcel);
            rl_ring_wake(sender, NULL);
            return;
        }
        Py_DECREF(parcel.value);
    }
}

/* ---- The exchange ------------------------------------------------------------ */

/* Raises ChannelClosed, saying what cannot be done. Returns RL_FAILED. */
static int refuse(struct rl_channel *channel, const char *format) {
    PyErr_Format(rl_channel_closed, format, (PyObject *)channel);
    return RL_FAILED;
}

/* Does what comes after a transfer between the running tasklet, which moves in
   `direction`, and `other`: who runs first is up to the preference. `value` is
   stolen. Returns RL_DONE, RL_FAILED with what was thrown at the running tasklet
   set, or RL_WOULD_WAIT when the other one does not live any more: its thread did
   not survive a fork. */
static always_inline int resume_other(struct rl_ring *ring, struct rl_channel *channel,
                                      int direction, struct rl_tasklet *other, PyObject *value) {
    if (channel->preference == -direction && other->ring == ring && ring->current != ring->hub)
        return rl_ring_wake_and_go(ring, other, value) < 0 ? RL_FAILED : RL_DONE;
    return rl_ring_wake(other, value) ? RL_DONE : RL_WOULD_WAIT;
}

static always_inline int try_send(struct rl_ring *ring, struct rl_channel *channel,
                                  PyObject *value, int is_error) {
    while (somebody(&channel->receivers)) {
        struct rl_tasklet *receiver = call_receiver(channel);
        PyObject *given = NULL;
        if (likely(!is_error))
            given = Py_NewRef(value);
        else if (receiver->state == RL_TASKLET_PARKED)
            receiver->error = Py_NewRef(value);
        int result = resume_other(ring, channel, RL_SENDING, receiver, given);
        if (likely(result != RL_WOULD_WAIT))
            return result;
    }
    if (unlikely(channel->closed))
        return refuse(channel, "cannot send on %R: open() it first, or use another one");
    if (channel->capacity < 0 || channel->count < channel->capacity) {
        if (make_room(channel) < 0)
            return RL_FAILED;
        push(channel, (struct rl_parcel){Py_NewRef(value), is_error});
        return RL_DONE;
    }
    return RL_WOULD_WAIT;
}

static always_inline int try_receive(struct rl_ring *ring, struct rl_channel *channel,
                                     struct rl_parcel *parcel) {
    if (unlikely(channel->count > 0)) {
        *parcel = pop(channel);
        refill(channel);
        return RL_DONE;
    }
    while (somebody(&channel->senders)) {
        struct rl_tasklet *sender = call_sender(channel, parcel);
        int result = resume_other(ring, channel, RL_RECEIVING, sender, NULL);
        if (likely(result == RL_DONE))
            return RL_DONE;
        Py_DECREF(parcel->value);
        if (result == RL_FAILED)
            return RL_FAILED;
    }
    if (unlikely(channel->closed))
        return refuse(channel, "cannot receive from %R: nothing is left in it");
    return RL_WOULD_WAIT;
}

int rl_channel_try_send(struct rl_ring *ring, struct rl_channel *channel, PyObject *value,
                        int is_error) {
    return try_send(ring, channel, value, is_error);
}

int rl_channel_try_receive(struct rl_ring *ring, struct rl_channel *channel,
                           struct rl_parcel *parcel) {
    return try_receive(ring, channel, parcel);
}

PyObject *rl_channel_send(struct rl_channel *channel, PyObject *value, int is_error) {
    struct rl_ring *ring = rl_ring_get();
    if (unlikely(!ring))
        return NULL;
    int result = try_send(ring, channel, value, is_error);
    if (result == RL_DONE)
        Py_RETURN_NONE;
    if (result == RL_FAILED)
        return NULL;
    struct rl_tasklet *me = ring->current;
    me->value = Py_NewRef(value);
    me->parcel_is_error = is_error != 0;
    rl_channel_enqueue(channel, &me->place, RL_SENDING);
    return rl_ring_park(ring, (PyObject *)channel, leave_queue);
}

PyObject *rl_channel_receive(struct rl_channel *channel) {
    struct rl_parcel parcel;
    struct rl_ring *ring = rl_ring_get();
    if (unlikely(!ring))
        return NULL;
    int result = try_receive(ring, channel, &parcel);
    if (result == RL_DONE)
        return rl_channel_open_parcel(parcel);
    if (result == RL_FAILED)
        return NULL;
    rl_channel_enqueue(channel, &ring->current->place, RL_RECEIVING);
    return rl_ring_park(ring, (PyObject *)channel, leave_queue);
}

int rl_channel_refuse_receiver(struct rl_channel *channel, PyObject *error) {
    while (somebody(&channel->receivers)) {
        struct rl_place *place = channel->receivers.behind;
        struct rl_tasklet *receiver = rl_place_tasklet(place);
        int lives = receiver->state == RL_TASKLET_PARKED;
        if (place->select) {
            struct rl_select *select = place->select;
            rl_select_choose(place);
            select->refused = 1;
        } else if (!lives) {
            rl_channel_dequeue(channel, place, RL_RECEIVING);
        }
        if (lives)
            return rl_ring_throw(receiver, Py_NewRef(error));
    }
    return 0;
}
