/* SPDX-License-Identifier: MIT */
/* A C library pushes, Python pulls: an extension module that uses ringlet.h.
 *
 * for_each_word() stands for any C function that calls you back, a parser, a directory walk, a
 * query, and will not return before it is through. split() runs it in a greenlet; its callback
 * switches to the parent with each word and is gone on with when the next one is wanted. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <ringlet.h>

/* Calls `visit` for each word of `text` until it returns something else than 0. Returns what it
   returned last. Knows neither Python nor greenlets. */
static int for_each_word(const char *text,
                         int (*visit)(const char *word, size_t length, void *context),
                         void *context) {
    int stop = 0;
    while (!stop && *(text += strspn(text, " \t\n"))) {
        size_t length = strcspn(text, " \t\n");
        stop = visit(text, length, context);
        text += length;
    }
    return stop;
}

/* Hands a word to the parent and waits for the next switch. Returns 0, or -1
   with an exception set, for instance one that was thrown into the greenlet. */
static int hand_out(const char *word, size_t length, void *parent) {
    PyObject *args = Py_BuildValue("(s#)", word, (Py_ssize_t)length);
    PyObject *answer = args ? ringlet->greenlet_switch(parent, args, NULL) : NULL;
    Py_XDECREF(args);
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

/* split(text): the words of a string, one by one, to the running greenlet's
   parent. */
static PyObject *split(PyObject *module, PyObject *text) {
    const char *utf8 = PyUnicode_AsUTF8(text);
    PyObject *current = utf8 ? ringlet->greenlet_current() : NULL;
    PyObject *parent = current ? ringlet->greenlet_parent(current) : NULL;
    int failed = -1;
    (void)module;
    if (current && !parent && !PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "the main greenlet has no parent");
    /* Not kept while away: a greenlet that its own stack refers to ends only
       with its thread. */
    Py_XDECREF(current);
    /* Whoever called us may let go of it before we are through. */
    Py_INCREF(text);
    if (parent)
        failed = for_each_word(utf8, hand_out, parent);
    Py_DECREF(text);
    Py_XDECREF(parent);
    return failed ? NULL : Py_NewRef(Py_None);
}

/* longest(text): the longest word, or None. Makes the greenlet itself and pulls from it. */
static PyObject *longest(PyObject *module, PyObject *text) {
    PyObject *run = PyObject_GetAttrString(module, "split"), *best = Py_NewRef(Py_None);
    PyObject *reader = run ? ringlet->greenlet_new(run, NULL) : NULL;
    PyObject *args = reader ? PyTuple_Pack(1, text) : NULL;
    PyObject *word = args ? ringlet->greenlet_switch(reader, args, NULL) : NULL;
    while (word && ringlet->greenlet_state(reader) != RINGLET_DEAD) {
        if (best == Py_None || PyUnicode_GET_LENGTH(word) > PyUnicode_GET_LENGTH(best)) {
            Py_DECREF(best);
            best = Py_NewRef(word);
        }
        Py_DECREF(word);
        word = ringlet->greenlet_switch(reader, NULL, NULL);
    }
    if (!word)
        Py_CLEAR(best);
    Py_XDECREF(word);
    Py_XDECREF(args);
    Py_XDECREF(reader);
    Py_XDECREF(run);
    return best;
}

static PyMethodDef functions[] = {
    {"split", split, METH_O, "split(text, /)\n--\n\nSwitch to the parent with each word of text."},
    {"longest", longest, METH_O, "longest(text, /)\n--\n\nThe longest word of text, or None."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "words",
    .m_doc = "Words of a text, found by a C library that calls back.",
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit_words(void) {
    if (Ringlet_Import() < 0)
        return NULL;
    return PyModule_Create(&definition);
}
