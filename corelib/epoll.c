/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "epoll.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS 1000000000
#define NANOSECONDS_PER_MS 1000000

/* The serial that only the eventfd and the pipe of signals are registered with. */
#define WAKEUP_SERIAL 0

static int control(struct rl_epoll *epoll, int operation, int fd, uint32_t events,
                   uint32_t serial) {
    struct epoll_event event = {.events = events};
    event.data.u64 = (uint64_t)serial << 32 | (uint32_t)fd;
    return epoll_ctl(epoll->fd, operation, fd, &event);
}

int rl_epoll_open(struct rl_epoll *epoll) {
    epoll->signals = -1;
    epoll->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->wakeup >= 0 && epoll->fd >= 0 &&
        control(epoll, EPOLL_CTL_ADD, epoll->wakeup, EPOLLIN | EPOLLET, WAKEUP_SERIAL) == 0)
        return 0;
    int error = errno;
    rl_epoll_close(epoll);
    errno = error;
    return -1;
}

void rl_epoll_close(struct rl_epoll *epoll) {
    if (epoll->fd >= 0)
        close(epoll->fd);
    if (epoll->wakeup >= 0)
        close(epoll->wakeup);
    epoll->fd = epoll->wakeup = epoll->signals = -1;
}

int rl_epoll_watch_signals(struct rl_epoll *epoll, int fd) {
    if (epoll->signals >= 0)
        rl_epoll_remove(epoll, epoll->signals);
    epoll->signals = -1;
    if (fd >= 0 && control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, WAKEUP_SERIAL) < 0)
        return -1;
    epoll->signals = fd;
    return 0;
}

int rl_epoll_add(struct rl_epoll *epoll, int fd, uint32_t serial) {
    uint32_t everything = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;
    if (control(epoll, EPOLL_CTL_ADD, fd, everything, serial) == 0)
        return 0;
    if (errno == EEXIST)
        return control(epoll, EPOLL_CTL_MOD, fd, everything, serial);
    return errno == EPERM ? RL_EPOLL_ALWAYS_READY : -1;
}

void rl_epoll_remove(struct rl_epoll *epoll, int fd) {
    control(epoll, EPOLL_CTL_DEL, fd, 0, 0);
}

/* epoll_wait counts in milliseconds. Rounded up, so that nobody wakes too early
   and then spins until it is time. */
static int milliseconds(int64_t nanoseconds) {
    if (nanoseconds < 0)
        return -1;
    int64_t whole = nanoseconds / NANOSECONDS_PER_MS + (nanoseconds % NANOSECONDS_PER_MS != 0);
    return whole > INT_MAX ? INT_MAX : (int)whole;
}

int rl_epoll_wait(struct rl_epoll *epoll, int64_t nanoseconds) {
#ifdef SYS_epoll_pwait2
    /* Counts in nanoseconds; Linux 5.11 and newer. Sandboxes that do not know it
       answer EPERM. */
    static int refused;
    if (nanoseconds > 0 && !refused) {
        struct timespec limit = {nanoseconds / NANOSECONDS, nanoseconds % NANOSECONDS};
        int count = (int)syscall(SYS_epoll_pwait2, epoll->fd, epoll->events, RL_EPOLL_BATCH,
                                 &limit, NULL, (size_t)0);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return count;
        refused = 1;
    }
#endif
    return epoll_wait(epoll->fd, epoll->events, RL_EPOLL_BATCH, milliseconds(nanoseconds));
}

void rl_epoll_wake(struct rl_epoll *epoll) {
    int error = errno;
    uint64_t one = 1;
    ssize_t written = write(epoll->wakeup, &one, sizeof one);
    (void)written; /* EAGAIN: so many wake-ups are due that one more makes no difference. */
    errno = error;
}

void rl_epoll_forget_wakes(struct rl_epoll *epoll) {
    uint64_t count;
    ssize_t got = read(epoll->wakeup, &count, sizeof count);
    (void)got; /* EAGAIN: there were none. */
    rl_epoll_forget_signals(epoll);
}

void rl_epoll_forget_signals(struct rl_epoll *epoll) {
    char numbers[256];
    if (epoll->signals < 0)
        return;
    while (read(epoll->signals, numbers, sizeof numbers) == sizeof numbers)
        ;
}
