// SPDX-License-Identifier: MIT
// Lets Python code run, and so switch, wherever C++ has an exception in flight.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cxxabi.h>
#include <exception>
#include <unwind.h>

namespace {

// What is thrown: a Python object, owned.
class Carrier {
public:
    explicit Carrier(PyObject *value) : value_(Py_NewRef(value)) {}
    Carrier(const Carrier &other) : value_(Py_NewRef(other.value_)) {}
    Carrier &operator=(const Carrier &) = delete;
    ~Carrier() { Py_DECREF(value_); }
    PyObject *value() const { return value_; }

private:
    PyObject *value_;
};

// A Python exception that is set, on its way through C++ code.
class PythonError {};

// Calls a Python function when its scope is left, keeping a Python exception that is set.
class AtExit {
public:
    explicit AtExit(PyObject *call) : call_(call) {}
    ~AtExit() {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyObject *result = PyObject_CallNoArgs(call_);
        if (!result)
            PyErr_WriteUnraisable(call_);
        Py_XDECREF(result);
        PyErr_Restore(type, value, traceback);
    }
    AtExit(const AtExit &) = delete;
    AtExit &operator=(const AtExit &) = delete;

private:
    PyObject *call_;
};

// catching(value, call): throws value, calls while it is caught, throws it again, and returns what
// was caught then.
PyObject *catching(PyObject *, PyObject *args) {
    PyObject *value, *call;
    if (!PyArg_ParseTuple(args, "OO", &value, &call))
        return nullptr;
    try {
        try {
            throw Carrier(value);
        } catch (const Carrier &) {
            PyObject *result = PyObject_CallNoArgs(call);
            if (!result)
                return nullptr;
            Py_DECREF(result);
            throw;
        }
    } catch (const Carrier &again) {
        return Py_NewRef(again.value());
    }
}

// current(): the value of the exception that is being handled, or None.
PyObject *current(PyObject *, PyObject *) {
    std::exception_ptr pointer = std::current_exception();
    if (!pointer)
        Py_RETURN_NONE;
    try {
        std::rethrow_exception(pointer);
    } catch (const Carrier &carrier) {
        return Py_NewRef(carrier.value());
    }
}

// in_flight(): how many exceptions have been thrown and not caught.
PyObject *in_flight(PyObject *, PyObject *) {
    return PyLong_FromLong(std::uncaught_exceptions());
}

// unwinding(value, call): throws value through a scope that calls when it is left; returns what was
// caught.
PyObject *unwinding(PyObject *, PyObject *args) {
    PyObject *value, *call;
    if (!PyArg_ParseTuple(args, "OO", &value, &call))
        return nullptr;
    try {
        AtExit guard(call);
        throw Carrier(value);
    } catch (const Carrier &caught) {
        return Py_NewRef(caught.value());
    }
}

// guarded(call, leave): calls in a scope that calls leave when it is left. A Python exception goes
// through that scope as a C++ exception.
PyObject *guarded(PyObject *, PyObject *args) {
    PyObject *call, *leave;
    if (!PyArg_ParseTuple(args, "OO", &call, &leave))
        return nullptr;
    try {
        AtExit guard(leave);
        PyObject *result = PyObject_CallNoArgs(call);
        if (!result)
            throw PythonError();
        return result;
    } catch (const PythonError &) {
        return nullptr;
    }
}

// uncaught(call): calls, then throws what nobody catches.
PyObject *uncaught(PyObject *, PyObject *call) {
    Py_XDECREF(PyObject_CallNoArgs(call));
    throw Carrier(Py_None);
}

// unfinished(value): catches value and never finishes with it, as somebody does who jumps out of a
// catch block.
PyObject *unfinished(PyObject *, PyObject *value) {
    try {
        throw Carrier(value);
    } catch (Carrier &caught) {
        // The runtime's header lies right before what was thrown; one handler more stays on it.
        abi::__cxa_begin_catch(reinterpret_cast<_Unwind_Exception *>(&caught) - 1);
    }
    Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"catching", catching, METH_VARARGS, nullptr},
    {"current", current, METH_NOARGS, nullptr},
    {"in_flight", in_flight, METH_NOARGS, nullptr},
    {"unwinding", unwinding, METH_VARARGS, nullptr},
    {"guarded", guarded, METH_VARARGS, nullptr},
    {"uncaught", uncaught, METH_O, nullptr},
    {"unfinished", unfinished, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "catching", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr,
};

} // namespace

PyMODINIT_FUNC PyInit_catching(void) { return PyModule_Create(&definition); }
