/* SPDX-License-Identifier: MIT
 *
 * A load generator: keeps one request under way on each of several connections to 127.0.0.1 and
 * counts the answers. Usage: load PORT CONNECTIONS SECONDS REPLY_BYTES < REQUEST
 * Prints the number of answers. Any connection that fails ends it with status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 65536, EVENTS = 64 };

/* One connection. */
struct link {
    int fd;         /* Non-blocking in effect: only used after epoll reported it. */
    size_t missing; /* Bytes of the current reply that have not come yet. */
};

static char request[REQUEST_MAX]; /* What every connection sends. */
static size_t request_length;     /* Bytes of it. */

/* Prints what failed and ends the process. */
static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "closed by the server");
    exit(1);
}

/* Seconds on the monotonic clock. */
static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Sends the whole request; it always fits the socket's buffer, since the last one was answered. */
static void ask(struct link *link, size_t reply)
{
    errno = 0;
    if (send(link->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length)
        fail("send");
    link->missing = reply;
}

/* Connects to the port and registers with epoll. */
static void open_link(struct link *link, int epoll, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    link->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (link->fd < 0 || connect(link->fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, link->fd, &event) < 0)
        fail("epoll_ctl");
}

/* Takes what has arrived and asks again after a whole reply. Returns the replies completed. */
static long take(struct link *link, size_t reply)
{
    static char buffer[65536];
    ssize_t got;

    errno = 0;
    got = recv(link->fd, buffer, sizeof buffer, 0);
    if (got <= 0)
        fail("recv");
    if ((size_t)got > link->missing)
        fail("more bytes than one reply");
    link->missing -= (size_t)got;
    if (link->missing)
        return 0;
    ask(link, reply);
    return 1;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    struct link *links;
    double end;
    long answers = 0;
    size_t reply;
    int epoll, count;

    if (argc != 5) {
        fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS REPLY_BYTES < REQUEST\n");
        return 2;
    }
    count = atoi(argv[2]);
    reply = strtoul(argv[4], NULL, 10);
    request_length = fread(request, 1, sizeof request, stdin);
    links = calloc((size_t)count, sizeof *links);
    epoll = epoll_create1(0);
    if (!links || epoll < 0)
        fail("start");
    for (int i = 0; i < count; i++)
        open_link(&links[i], epoll, atoi(argv[1]));
    end = now() + atof(argv[3]);
    for (int i = 0; i < count; i++)
        ask(&links[i], reply);
    while (now() < end) {
        int ready = epoll_wait(epoll, events, EVENTS, 1000);

        for (int i = 0; i < ready; i++)
            answers += take(events[i].data.ptr, reply);
    }
    printf("%ld\n", answers);
    return 0;
}
