/* SPDX-License-Identifier: MIT */
/* One thread's epoll descriptor and the eventfd that ends a wait from outside.
   Nothing here knows Python. */
#ifndef RL_EPOLL_H
#define RL_EPOLL_H

#include <stdint.h>
#include <sys/epoll.h>

/* Events taken at once. More of them wait in the kernel for the next time. */
#define RL_EPOLL_BATCH 256

/* What rl_epoll_add returns for files that epoll refuses: they never block. */
#define RL_EPOLL_ALWAYS_READY 1

struct rl_epoll {
    int fd;     /* The epoll descriptor; -1: closed. */
    int wakeup; /* The eventfd; -1: closed. */
    int signals; /* The end of a pipe that signals write to, somebody else's; -1: none. */
    struct epoll_event events[RL_EPOLL_BATCH]; /* What the last wait brought. */
};

/* Opens both descriptors. Returns 0, or -1 with both closed and errno set. */
int rl_epoll_open(struct rl_epoll *epoll);

/* Closes both, if they are open. In a forked child this does not change what the
   parent has registered. */
void rl_epoll_close(struct rl_epoll *epoll);

/* Has what is written to the pipe that `fd` is the other end of, which does not
   block, end a wait, too. Python writes to such a pipe when a signal comes: an
   eventfd does not take the single bytes. -1 for none any more, before it is
   closed. Returns 0, or -1 with errno set. */
int rl_epoll_watch_signals(struct rl_epoll *epoll, int fd);

/* Registers `fd`, edge-triggered, for everything there is; its events carry `fd`
   and `serial`, which is not 0. If it is registered already it takes the new
   serial, and is reported anew if it is ready. Returns 0, or RL_EPOLL_ALWAYS_READY
   with nothing registered, or -1 with errno set. */
int rl_epoll_add(struct rl_epoll *epoll, int fd, uint32_t serial);

/* Ends a registration. Harmless when there is none. */
void rl_epoll_remove(struct rl_epoll *epoll, int fd);

/* Waits up to `nanoseconds`, for ever if negative, and fills `events`. Returns
   their number, or -1 with errno set, EINTR among others. */
int rl_epoll_wait(struct rl_epoll *epoll, int64_t nanoseconds);

/* What an event carries. A wake-up through the eventfd has the serial 0. */
static inline int rl_epoll_event_fd(const struct epoll_event *event) {
    return (int)(event->data.u64 & 0xffffffff);
}

static inline uint32_t rl_epoll_event_serial(const struct epoll_event *event) {
    return (uint32_t)(event->data.u64 >> 32);
}

/* Ends the wait under way, or the next one. May be called from any thread and
   from signal handlers. */
void rl_epoll_wake(struct rl_epoll *epoll);

/* Takes wake-ups back, for pollers that would report them for ever. The native
   one is edge-triggered and needs no such call. */
void rl_epoll_forget_wakes(struct rl_epoll *epoll);

/* Empties the pipe of signals: a full one takes no more, and wakes nobody. */
void rl_epoll_forget_signals(struct rl_epoll *epoll);

#endif
