/* SPDX-License-Identifier: MIT */
/* One attempt at receiving or sending. TLS has to look at what it holds each time
   it was woken, before it asks the kernel, so it cannot use the methods of a
   socket, which wait inside. That nothing was there is an ordinary result here,
   for an exception would cost more than the attempt. */
#include "nowait.h"

#include <errno.h>
#include <sys/socket.h>

#include "endpoint.h"

/* The most that one attempt receives. */
#define MOST_BYTES 65536

/* While more than this is sent other threads may run; for less the change of
   hands costs more than it brings. */
#define LONG_SEND_BYTES 65536

/* Reads the arguments endpoint and something else. Returns the endpoint, borrowed,
   or NULL with an exception set: OSError (EBADF) for one that is closed. */
static struct rl_endpoint *open_endpoint(const char *name, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !Py_IS_TYPE(args[0], &rl_endpoint_type)) {
        PyErr_Format(PyExc_TypeError, "%s() takes an Endpoint and one argument more", name);
        return NULL;
    }
    struct rl_endpoint *endpoint = (struct rl_endpoint *)args[0];
    if (endpoint->fd >= 0)
        return endpoint;
    errno = EBADF;
    PyErr_SetFromErrno(PyExc_OSError);
    return NULL;
}

/* The attempt failed with errno. Returns 0 if it may be made again at once, 1 if
   it would have to wait, or -1 with an exception set. */
static int after_error(void) {
    if (errno == EINTR)
        return PyErr_CheckSignals();
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 1;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

PyDoc_STRVAR(receive_doc, "receive_now($module, endpoint, size, /)\n--\n\n"
"Up to size bytes that have come in, or None if there are none yet; b\"\" is the end of input.\n"
"Never waits, and gives no more than 64 KiB at once. Raises OSError.");

static PyObject *receive_now(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    /* The GIL is held from the system call to the copy, so one buffer serves all threads. */
    static char buffer[MOST_BYTES];
    struct rl_endpoint *endpoint = open_endpoint("receive_now", args, count);
    Py_ssize_t size = endpoint ? PyLong_AsSsize_t(args[1]) : -1;
    if (!endpoint || (size == -1 && PyErr_Occurred()))
        return NULL;
    if (size < 1 || size > MOST_BYTES)
        size = MOST_BYTES;
    if (endpoint->plain && rl_endpoint_is_drained(endpoint))
        Py_RETURN_NONE;
    for (;;) {
        ssize_t got = recv(endpoint->fd, buffer, (size_t)size, MSG_DONTWAIT);
        if (got >= 0) {
            if (endpoint->plain && got > 0 && got < size)
                rl_endpoint_set_drained(endpoint);
            return PyBytes_FromStringAndSize(buffer, got);
        }
        int outcome = after_error();
        if (outcome < 0)
            return NULL;
        if (outcome > 0)
            Py_RETURN_NONE;
    }
}

/* send(2) without the GIL if it is long. Returns and sets errno as that. */
static ssize_t send_bytes(int fd, const char *data, size_t size) {
    if (size <= LONG_SEND_BYTES)
        return send(fd, data, size, MSG_DONTWAIT);
    PyThreadState *ts = PyEval_SaveThread();
    ssize_t sent = send(fd, data, size, MSG_DONTWAIT);
    int error = errno;
    PyEval_RestoreThread(ts);
    errno = error;
    return sent;
}

PyDoc_STRVAR(send_doc, "send_now($module, endpoint, data, /)\n--\n\n"
"Give the kernel what it takes of data and return how many bytes that were: 0 if it takes\n"
"none yet. Never waits. Raises OSError.");

static PyObject *send_now(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    Py_buffer data;
    struct rl_endpoint *endpoint = open_endpoint("send_now", args, count);
    if (!endpoint || PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    ssize_t sent;
    int outcome = 0;
    while ((sent = send_bytes(endpoint->fd, data.buf, (size_t)data.len)) < 0)
        if ((outcome = after_error()) != 0)
            break;
    PyBuffer_Release(&data);
    if (outcome < 0)
        return NULL;
    return PyLong_FromSsize_t(sent < 0 ? 0 : sent);
}

#define FAST(function) (PyCFunction)(void (*)(void))function

static PyMethodDef functions[] = {
    {"receive_now", FAST(receive_now), METH_FASTCALL, receive_doc},
    {"send_now", FAST(send_now), METH_FASTCALL, send_doc},
    {NULL, NULL, 0, NULL},
};

int rl_nowait_init(PyObject *module) {
    return PyModule_AddFunctions(module, functions);
}
