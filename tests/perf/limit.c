/* SPDX-License-Identifier: MIT
 *
 * The limit of an echo server on this machine: a bare epoll loop with one recv and one send per
 * message. Prints the port it listens on at 127.0.0.1, then serves until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 1024 };

/* Prints what failed and ends the process. */
static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Returns a listening socket with TCP_NODELAY for what it accepts, its port printed. */
static int listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        fail("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Lets epoll report what can be read from fd. */
static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

/* Sends all of it, waiting for room if there is none; only long messages ever wait. Returns 0, or -1. */
static int send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);

        if (sent < 0) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};

            if (errno != EAGAIN || poll(&room, 1, -1) < 0)
                return -1;
            continue;
        }
        data += sent;
        size -= (size_t)sent;
    }
    return 0;
}

/* Sends back what has arrived; closes the connection at its end. */
static void echo(int fd)
{
    static char buffer[65536];
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);

    if (got <= 0 || send_all(fd, buffer, (size_t)got) < 0)
        close(fd);
}

int main(void)
{
    struct epoll_event events[EVENTS];
    int listening = listener(), epoll = epoll_create1(0);

    watch(epoll, listening);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;

            if (fd != listening)
                echo(fd);
            else if ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0)
                watch(epoll, fd);
        }
    }
}
