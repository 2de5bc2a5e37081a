/* SPDX-License-Identifier: MIT */
/* The methods of a socket that must be fast: recv, recv_into, send, sendall.
   Each tries first and parks the tasklet only if the kernel says that it would
   block. They become methods of a Python class, which keeps an Endpoint in one
   of its slots. */
#include "socket_methods.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <structmember.h>
#include <sys/socket.h>

#include "descriptor.h"
#include "endpoint.h"

/* Reads up to this size land in a buffer shared by the thread's tasklets, so
   that nobody holds memory while it waits. */
#define SHARED_BYTES 65536

/* A read this long makes the next one go straight to its own memory: copying it
   would cost more than the memory. */
#define BULK_BYTES 16384

/* While more than this is sent other threads may run; for less the change of
   hands costs more than it brings. */
#define LONG_SEND_BYTES 65536

/* Flags with which receiving never waits. */
#define NO_WAIT (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)

/* Where the instances of the Python class keep their Endpoint. 0: no class yet. */
static Py_ssize_t endpoint_offset;

/* The endpoint of a socket that is about to do something: a new reference, since
   the socket may get another one while its method waits. NULL with an exception
   set: OSError (EBADF) if it has none or was closed, or what was thrown at the
   tasklet. */
static struct rl_endpoint *begin(PyObject *socket) {
    PyObject *found = *(PyObject **)((char *)socket + endpoint_offset);
    struct rl_endpoint *endpoint =
        found && Py_IS_TYPE(found, &rl_endpoint_type) ? (struct rl_endpoint *)Py_NewRef(found) : NULL;
    if (endpoint && rl_endpoint_take_turn(endpoint) < 0) {
        Py_CLEAR(endpoint);
    } else if (!endpoint || endpoint->fd < 0) {
        Py_CLEAR(endpoint);
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return endpoint;
}

/* Reads an optional argument of flags. Returns 0, or -1 with an exception set. */
static int parse_flags(PyObject *argument, int *flags) {
    long value = PyLong_AsLong(argument);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < INT_MIN || value > INT_MAX) {
        PyErr_SetString(PyExc_OverflowError, "flags do not fit a C int");
        return -1;
    }
    *flags = (int)value;
    return 0;
}

/* Whether `count` arguments are between one and `most`; else sets TypeError. */
static int check_count(const char *method, Py_ssize_t count, Py_ssize_t most) {
    if (count >= 1 && count <= most)
        return 1;
    PyErr_Format(PyExc_TypeError, "%s() takes from 1 to %zd arguments but %zd were given", method,
                 most, count);
    return 0;
}

/* An attempt failed with errno. Waits if that helps; `no_wait` says that it must
   not. Returns 0, then try again; or -1 with an exception set. */
static int wait_after_error(struct rl_endpoint *endpoint, int mask, double *deadline, int no_wait,
                            const char *doing) {
    if (errno == EINTR)
        return PyErr_CheckSignals();
    if ((errno != EAGAIN && errno != EWOULDBLOCK) || no_wait || endpoint->timeout == 0.0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return rl_endpoint_wait(endpoint, mask, deadline, doing);
}

/* --- receiving -------------------------------------------------------------- */

/* Receives what there is, up to `size` bytes, and waits for the first of them.
   `*deadline` is as for rl_endpoint_wait. Returns their number, 0 at the end of
   input, or -1 with an exception set. */
static Py_ssize_t receive(struct rl_endpoint *endpoint, char *buffer, size_t size, int flags,
                          double *deadline, const char *doing) {
    /* While the descriptor is known to be drained a try would be a wasted system
       call. Flags can make that knowledge void, and so can waiting itself. */
    int plain = endpoint->plain && flags == 0 && endpoint->timeout != 0.0;
    for (;;) {
        if (plain && rl_endpoint_is_drained(endpoint)) {
            if (rl_endpoint_wait(endpoint, RL_READ, deadline, doing) < 0)
                return -1;
            continue;
        }
        ssize_t got = recv(endpoint->fd, buffer, size, flags | MSG_DONTWAIT);
        if (got >= 0) {
            if (plain && got > 0 && (size_t)got < size)
                rl_endpoint_set_drained(endpoint);
            endpoint->bulk = got >= BULK_BYTES;
            return got;
        }
        if (wait_after_error(endpoint, RL_READ, deadline, flags & NO_WAIT, doing) < 0)
            return -1;
    }
}

/* Whether all `size` bytes must be waited for. The kernel cannot, because the
   descriptor is non-blocking. */
static int wants_all(const struct rl_endpoint *endpoint, int flags) {
    return (flags & MSG_WAITALL) && !(flags & (NO_WAIT | MSG_PEEK)) && endpoint->stream &&
           endpoint->timeout != 0.0;
}

/* Receives `size` bytes, fewer only at the end of input or when something goes
   wrong after the first. Returns as receive(). */
static Py_ssize_t receive_all(struct rl_endpoint *endpoint, char *buffer, size_t size, int flags,
                              const char *doing) {
    double deadline = NAN;
    size_t total = 0;
    while (total < size) {
        Py_ssize_t got = receive(endpoint, buffer + total, size - total, flags & ~MSG_WAITALL,
                                 &deadline, doing);
        if (got < 0 && total && PyErr_ExceptionMatches(PyExc_OSError)) {
            PyErr_Clear(); /* What has come is not lost; the error will come again. */
            break;
        }
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        total += (size_t)got;
    }
    return (Py_ssize_t)total;
}

/* Receives into memory of the caller's. Returns as receive(). */
static Py_ssize_t receive_into(struct rl_endpoint *endpoint, char *buffer, size_t size, int flags,
                               const char *doing) {
    double deadline = NAN;
    if (size == 0)
        return 0;
    if (wants_all(endpoint, flags))
        return receive_all(endpoint, buffer, size, flags, doing);
    return receive(endpoint, buffer, size, flags, &deadline, doing);
}

/* Receives up to `size` bytes by way of the thread's shared buffer. Returns new
   bytes, or NULL with an exception set. */
static PyObject *receive_shared(struct rl_endpoint *endpoint, size_t size, int flags) {
    /* The GIL is held from the system call to the copy, so one buffer serves all threads. */
    static char shared[SHARED_BYTES];
    Py_ssize_t got = receive_into(endpoint, shared, size, flags, "recv");
    return got < 0 ? NULL : PyBytes_FromStringAndSize(shared, got);
}

/* The same straight into the result's own memory. */
static PyObject *receive_direct(struct rl_endpoint *endpoint, Py_ssize_t size, int flags) {
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (!result)
        return NULL;
    Py_ssize_t got = receive_into(endpoint, PyBytes_AS_STRING(result), (size_t)size, flags, "recv");
    if (got < 0)
        Py_CLEAR(result);
    else if (got != size)
        _PyBytes_Resize(&result, got);
    return result;
}

PyDoc_STRVAR(recv_doc, "recv($self, bufsize, flags=0, /)\n--\n\n"
"Receive up to bufsize bytes; b\"\" is the end of input. Waits for the first byte.\n\n"
"Raises TimeoutError, and OSError when the connection is lost or the socket closed.");

static PyObject *socket_recv(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    int flags = 0;
    struct rl_endpoint *endpoint;
    if (!check_count("recv", count, 2))
        return NULL;
    Py_ssize_t size = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
        return NULL;
    }
    if (count > 1 && parse_flags(args[1], &flags) < 0)
        return NULL;
    if (!(endpoint = begin(self)))
        return NULL;
    PyObject *result = size > SHARED_BYTES || endpoint->bulk || wants_all(endpoint, flags)
                           ? receive_direct(endpoint, size, flags)
                           : receive_shared(endpoint, (size_t)size, flags);
    Py_DECREF(endpoint);
    return result;
}

PyDoc_STRVAR(recv_into_doc, "recv_into($self, buffer, nbytes=0, flags=0)\n--\n\n"
"Receive up to nbytes bytes, 0 meaning as many as fit, into buffer; return how many.\n\n"
"Waits and raises as recv does.");

static PyObject *socket_recv_into(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"buffer", "nbytes", "flags", NULL};
    struct rl_endpoint *endpoint;
    Py_buffer buffer;
    Py_ssize_t size = 0, got = -1;
    int flags = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "w*|ni:recv_into", names, &buffer, &size, &flags))
        return NULL;
    if (size < 0)
        PyErr_SetString(PyExc_ValueError, "negative buffersize in recv_into");
    else if (size > buffer.len)
        PyErr_SetString(PyExc_ValueError, "buffer too small for requested bytes");
    else if ((endpoint = begin(self))) {
        got = receive_into(endpoint, buffer.buf, (size_t)(size ? size : buffer.len), flags,
                           "recv_into");
        Py_DECREF(endpoint);
    }
    PyBuffer_Release(&buffer);
    return got < 0 ? NULL : PyLong_FromSsize_t(got);
}

/* --- sending ---------------------------------------------------------------- */

/* Hands the kernel what it takes at once. Returns its number of bytes, or -1
   with errno set. */
static ssize_t send_now(int fd, const char *data, size_t size, int flags) {
    ssize_t sent;
    if (size <= LONG_SEND_BYTES)
        return send(fd, data, size, flags | MSG_DONTWAIT);
    PyThreadState *ts = PyEval_SaveThread();
    sent = send(fd, data, size, flags | MSG_DONTWAIT);
    int error = errno;
    PyEval_RestoreThread(ts);
    errno = error;
    return sent;
}

/* Sends a part of `data`, and waits until there is room for it. Returns its
   number of bytes, or -1 with an exception set. */
static Py_ssize_t send_some(struct rl_endpoint *endpoint, const char *data, size_t size, int flags,
                            double *deadline, const char *doing) {
    for (;;) {
        ssize_t sent = send_now(endpoint->fd, data, size, flags);
        if (sent >= 0)
            return sent;
        if (wait_after_error(endpoint, RL_WRITE, deadline, flags & MSG_DONTWAIT, doing) < 0)
            return -1;
    }
}

/* Reads the arguments data and flags. Returns the endpoint, a new reference, and
   the caller releases `buffer` too; or NULL with an exception set and nothing to release. */
static struct rl_endpoint *parse_send(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                      const char *method, Py_buffer *buffer, int *flags) {
    *flags = 0;
    if (!check_count(method, count, 2) || (count > 1 && parse_flags(args[1], flags) < 0))
        return NULL;
    if (PyObject_GetBuffer(args[0], buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    struct rl_endpoint *endpoint = begin(self);
    if (!endpoint)
        PyBuffer_Release(buffer);
    return endpoint;
}

PyDoc_STRVAR(send_doc, "send($self, data, flags=0, /)\n--\n\n"
"Send some bytes of data and return how many. Waits until there is room for any.\n\n"
"Raises TimeoutError, and OSError when the connection is lost or the socket closed.");

static PyObject *socket_send(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Py_buffer buffer;
    int flags;
    double deadline = NAN;
    struct rl_endpoint *endpoint = parse_send(self, args, count, "send", &buffer, &flags);
    if (!endpoint)
        return NULL;
    Py_ssize_t sent = send_some(endpoint, buffer.buf, (size_t)buffer.len, flags, &deadline, "send");
    PyBuffer_Release(&buffer);
    Py_DECREF(endpoint);
    return sent < 0 ? NULL : PyLong_FromSsize_t(sent);
}

PyDoc_STRVAR(sendall_doc, "sendall($self, data, flags=0, /)\n--\n\n"
"Send all of data. The timeout holds for the whole; after an error nobody knows how\n"
"much of it was sent.\n\n"
"Raises TimeoutError, and OSError when the connection is lost or the socket closed.");

static PyObject *socket_sendall(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Py_buffer buffer;
    int flags;
    double deadline = NAN;
    struct rl_endpoint *endpoint = parse_send(self, args, count, "sendall", &buffer, &flags);
    if (!endpoint)
        return NULL;
    const char *data = buffer.buf;
    Py_ssize_t left = buffer.len, sent;
    do {
        sent = send_some(endpoint, data, (size_t)left, flags, &deadline, "sendall");
        data += sent;
        left -= sent;
    } while (sent >= 0 && left > 0);
    PyBuffer_Release(&buffer);
    Py_DECREF(endpoint);
    if (sent < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* --- the class -------------------------------------------------------------- */

#define FAST(function) (PyCFunction)(void (*)(void))function

static PyMethodDef socket_methods[] = {
    {"recv", FAST(socket_recv), METH_FASTCALL, recv_doc},
    {"recv_into", FAST(socket_recv_into), METH_VARARGS | METH_KEYWORDS, recv_into_doc},
    {"send", FAST(socket_send), METH_FASTCALL, send_doc},
    {"sendall", FAST(socket_sendall), METH_FASTCALL, sendall_doc},
    {NULL, NULL, 0, NULL},
};

/* Finds where instances of `class` keep the slot `_endpoint`. Returns the offset,
   or 0 with TypeError set. */
static Py_ssize_t find_offset(PyTypeObject *class) {
    PyObject *slot = PyObject_GetAttrString((PyObject *)class, "_endpoint");
    Py_ssize_t offset = 0;
    if (slot && Py_IS_TYPE(slot, &PyMemberDescr_Type) &&
        PyType_IsSubtype(class, PyDescr_TYPE(slot)))
        offset = ((PyMemberDescrObject *)slot)->d_member->offset;
    else
        PyErr_Format(PyExc_TypeError, "%s has no slot '_endpoint'", class->tp_name);
    Py_XDECREF(slot);
    return offset;
}

PyObject *rl_socket_methods_install(PyObject *Py_UNUSED(module), PyObject *class) {
    if (!PyType_Check(class)) {
        PyErr_Format(PyExc_TypeError, "a class is needed, not %R", class);
        return NULL;
    }
    Py_ssize_t offset = find_offset((PyTypeObject *)class);
    if (!offset)
        return NULL;
    if (endpoint_offset && endpoint_offset != offset) {
        PyErr_SetString(PyExc_TypeError, "there is a class of sockets already, made differently");
        return NULL;
    }
    for (PyMethodDef *method = socket_methods; method->ml_name; method++) {
        PyObject *descriptor = PyDescr_NewMethod((PyTypeObject *)class, method);
        if (!descriptor || PyObject_SetAttrString(class, method->ml_name, descriptor) < 0) {
            Py_XDECREF(descriptor);
            return NULL;
        }
        Py_DECREF(descriptor);
    }
    endpoint_offset = offset;
    Py_RETURN_NONE;
}
