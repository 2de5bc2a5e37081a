/* SPDX-License-Identifier: MIT */
/* The only file that knows one CPython version from another. */
#define Py_BUILD_CORE_MODULE 1
#include "pystate.h"

#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x03100000
#error "ringlet supports CPython 3.11, 3.12, 3.13, 3.14 and 3.15"
#endif

#define BEFORE_3_12 (PY_VERSION_HEX < 0x030C0000)
#define BEFORE_3_13 (PY_VERSION_HEX < 0x030D0000)
#define BEFORE_3_14 (PY_VERSION_HEX < 0x030E0000)
#define BEFORE_3_15 (PY_VERSION_HEX < 0x030F0000)

#define HAS_CFRAME BEFORE_3_13        /* Frames hang on a _PyCFrame. */
#define HAS_USE_TRACING BEFORE_3_12   /* Each _PyCFrame knows if we trace. */
#define HAS_ENTRY_FRAMES !BEFORE_3_12 /* Some frames live on the C stack. */
#define HAS_C_DEPTH (!BEFORE_3_12 && BEFORE_3_14) /* C recursion is counted by itself. */
#define HAS_C_BOUNDS !BEFORE_3_14     /* C recursion is limited by the stack's addresses. */
#define HAS_EXECUTORS !BEFORE_3_14    /* The thread state knows which compiled code it runs. */
#define HAS_BASE_FRAME !BEFORE_3_15   /* The frame chain ends at a frame in the thread state. */

#include <internal/pycore_frame.h>
#if !BEFORE_3_14
#include <internal/pycore_interpframe_structs.h>
#endif
#include <internal/pycore_gc.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>

#ifdef Py_GIL_DISABLED
#include <internal/pycore_critical_section.h>
#endif

#if HAS_C_BOUNDS
#include <internal/pycore_tstate.h>

#include "bounds.h"
#endif

#if HAS_C_DEPTH && BEFORE_3_13
#define C_DEPTH_LIMIT C_RECURSION_LIMIT
#elif HAS_C_DEPTH
#define C_DEPTH_LIMIT Py_C_RECURSION_LIMIT
#endif

/* What a shallow greenlet has live on its C stack when it is suspended. */
#if BEFORE_3_14
const size_t rl_pystate_copy_bytes = 768;
#else
const size_t rl_pystate_copy_bytes = 1152;
#endif

_Static_assert(sizeof(((PyThreadState *)0)->tracing) == sizeof(int), "tracing is an int");

#ifdef Py_GIL_DISABLED
/* Whether the GIL is on: it is while a module is imported that has not said it can
   do without, unless the process was told to run without at all costs. */
static int has_gil(void) {
    PyObject *ask = PySys_GetObject("_is_gil_enabled");
    PyObject *answer = ask ? PyObject_CallNoArgs(ask) : NULL;
    PyErr_Clear();
    Py_XDECREF(answer);
    return answer == Py_True;
}

/* Sets ImportError and returns -1 where a build that can run without the GIL cannot
   be served; else returns 0. */
static int check_free_threading(void) {
#if BEFORE_3_14
    if (has_gil())
        return 0;
    PyErr_SetString(PyExc_ImportError,
                    "ringlet cannot be used without the GIL, which PYTHON_GIL=0 or -X gil=0 has "
                    "turned off; leave that away, and importing ringlet turns the GIL on");
#else
    (void)has_gil;
    PyErr_SetString(PyExc_ImportError,
                    "ringlet cannot be used: free-threaded builds from CPython 3.14 on may free "
                    "what only a suspended stack refers to; use the ordinary build");
#endif
    return -1;
}
#endif

int rl_pystate_setup(void) {
#ifdef Py_GIL_DISABLED
    if (check_free_threading() < 0)
        return -1;
#endif
#if HAS_C_BOUNDS
    /* Patch releases have moved the two together, by the growth of what is before them. */
    return rl_bounds_find(PyThreadState_Get(), sizeof(_PyThreadStateImpl),
                          offsetof(_PyThreadStateImpl, asyncio_running_loop) -
                              offsetof(_PyThreadStateImpl, c_stack_top));
#else
    return 0;
#endif
}

void rl_pystate_adopt(PyThreadState *ts, struct rl_slot *own) {
#if HAS_C_BOUNDS
    rl_bounds_adopt(ts, own);
#else
    (void)ts;
    (void)own;
#endif
}

#if HAS_C_BOUNDS
/* Where `ts` has the running loop, with the current task behind it. */
static PyObject **asyncio_of(PyThreadState *ts) {
    return (PyObject **)((char *)ts + rl_bounds_asyncio_offset);
}

void rl_pystate_lift_asyncio(PyThreadState *ts, struct rl_asyncio *into) {
    PyObject **now = asyncio_of(ts);
    into->loop = NULL;
    if (!rl_bounds_asyncio_offset || !now[0])
        return;
    into->loop = now[0];
    into->task = now[1];
    into->firstiter = ts->async_gen_firstiter;
    into->finalizer = ts->async_gen_finalizer;
    now[0] = now[1] = ts->async_gen_firstiter = ts->async_gen_finalizer = NULL;
}

void rl_pystate_lower_asyncio(PyThreadState *ts, struct rl_asyncio *from) {
    PyObject **now = asyncio_of(ts);
    if (!from->loop)
        return;
    /* What is there belongs to a tasklet that ended without leaving its loop. */
    Py_XSETREF(now[0], from->loop);
    Py_XSETREF(now[1], from->task);
    Py_XSETREF(ts->async_gen_firstiter, from->firstiter);
    Py_XSETREF(ts->async_gen_finalizer, from->finalizer);
}
#else
void rl_pystate_lift_asyncio(PyThreadState *ts, struct rl_asyncio *into) {
    (void)ts;
    (void)into;
}

void rl_pystate_lower_asyncio(PyThreadState *ts, struct rl_asyncio *from) {
    (void)ts;
    (void)from;
}
#endif

PyObject *rl_pystate_bounds(PyThreadState *ts) {
#if HAS_C_BOUNDS
    struct rl_slot now = {0};
    const size_t bytes = sizeof(_PyThreadStateImpl);
    rl_bounds_adopt(ts, &now);
    return Py_BuildValue("nn(KKK)", (Py_ssize_t)rl_bounds_find_by_setting(ts, bytes),
                         (Py_ssize_t)rl_bounds_find_by_value(ts, bytes),
                         (unsigned long long)now.bounds[0], (unsigned long long)now.bounds[1],
                         (unsigned long long)now.bounds[2]);
#else
    (void)ts;
    return Py_NewRef(Py_None);
#endif
}

/* Stores what belongs to the running greenlet. */
static inline void save(const PyThreadState *ts, struct rl_pystate *to) {
#if HAS_CFRAME
    to->frame = ts->cframe;
#else
    to->frame = ts->current_frame;
#endif
#if BEFORE_3_12
    to->depth = ts->recursion_limit - ts->recursion_remaining;
#else
    to->depth = ts->py_recursion_limit - ts->py_recursion_remaining;
#endif
#if HAS_C_DEPTH
    to->c_depth = ts->c_recursion_remaining;
#endif
    memcpy(to->tracing, &ts->tracing, sizeof to->tracing);
    to->exc_info = ts->exc_info;
    to->context = ts->context;
    to->chunk = ts->datastack_chunk;
    to->top = ts->datastack_top;
    to->limit = ts->datastack_limit;
#if HAS_USE_TRACING
    to->trash = ts->trash_delete_nesting;
#elif HAS_CFRAME
    to->trash = ts->trash.delete_nesting;
#endif
#ifdef Py_GIL_DISABLED
    /* Locks that C code holds for the length of a call, in a chain through its stack.
       They are let go as for any other wait, and taken again on landing. */
    if (ts->critical_section)
        _PyCriticalSection_SuspendAll((PyThreadState *)ts);
    to->critical = ts->critical_section;
#endif
#if HAS_EXECUTORS
    /* The interpreter keeps alive only the code that a thread state names. A
       reference that is not needed any more is dropped here, while nothing has
       been changed yet, and not on landing. */
    if (to->executor != ts->current_executor)
        Py_XSETREF(to->executor, Py_XNewRef(ts->current_executor));
#endif
}

/* Makes `from` what the interpreter works on. */
static inline void load(PyThreadState *ts, const struct rl_pystate *from) {
#if HAS_CFRAME
    ts->cframe = from->frame;
#else
    ts->current_frame = from->frame;
#endif
#if BEFORE_3_12
    ts->recursion_remaining = ts->recursion_limit - from->depth;
#else
    ts->py_recursion_remaining = ts->py_recursion_limit - from->depth;
#endif
#if HAS_C_DEPTH
    ts->c_recursion_remaining = from->c_depth;
#endif
    memcpy(&ts->tracing, from->tracing, sizeof from->tracing);
#if HAS_USE_TRACING
    /* A trace function may have been set or removed since this greenlet ran. */
    ts->cframe->use_tracing = !ts->tracing && (ts->c_tracefunc || ts->c_profilefunc) ? 255 : 0;
#endif
    ts->exc_info = from->exc_info;
    if (ts->context != from->context) {
        ts->context = from->context;
        ts->context_ver++;
    }
    ts->datastack_chunk = from->chunk;
    ts->datastack_top = from->top;
    ts->datastack_limit = from->limit;
#if HAS_USE_TRACING
    ts->trash_delete_nesting = from->trash;
#elif HAS_CFRAME
    ts->trash.delete_nesting = from->trash;
#endif
#if HAS_EXECUTORS
    ts->current_executor = from->executor;
#endif
#ifdef Py_GIL_DISABLED
    ts->critical_section = from->critical;
#endif
}

#ifdef Py_GIL_DISABLED
void rl_pystate_landed(PyThreadState *ts) {
    if (ts->critical_section & _Py_CRITICAL_SECTION_INACTIVE)
        _PyCriticalSection_Resume(ts);
}
#endif

void rl_pystate_swap(PyThreadState *ts, struct rl_pystate *from, struct rl_pystate *to,
                     const struct rl_stack *stack) {
    save(ts, from);
    load(ts, to);
#if HAS_C_BOUNDS
    rl_bounds_set(ts, stack->slot);
#else
    (void)stack;
#endif
}

void rl_pystate_enter(PyThreadState *ts, struct rl_pystate *to, const struct rl_stack *stack) {
    load(ts, to);
#if HAS_C_BOUNDS
    if (stack->slot) /* Else it inherits the slot that the bounds are set for. */
        rl_bounds_set(ts, stack->slot);
#else
    (void)stack;
#endif
}

void rl_pystate_init(struct rl_pystate *state, PyThreadState *ts, void *block, PyObject *context,
                     struct rl_slot *slot) {
#if HAS_C_BOUNDS
    if (slot && !slot->bounds[0])
        rl_bounds_of_slot(slot);
#else
    (void)slot;
#endif
    _PyStackChunk *chunk = block;
    chunk->previous = NULL;
    chunk->size = RL_CHUNK_BYTES;
    chunk->top = 0;
    state->chunk = chunk;
    /* CPython frees a chunk when its first word is popped, and so leaves that
       word of the oldest chunk out. */
    state->top = &chunk->data[1];
    state->limit = (PyObject **)((char *)block + RL_CHUNK_BYTES);
    state->context = context;
    state->exc_bottom.exc_value = NULL;
    state->exc_bottom.previous_item = NULL;
    state->exc_info = &state->exc_bottom;
    state->depth = 0;
    state->trash = 0;
    state->tracing[0] = 0;
    state->tracing[1] = -1;
    state->hidden = NULL;
    state->away = NULL;
#ifdef Py_GIL_DISABLED
    state->critical = 0;
#endif
#if HAS_C_DEPTH
    state->c_depth = C_DEPTH_LIMIT;
#endif
#if HAS_CFRAME
    _Static_assert(sizeof(_PyCFrame) <= sizeof state->frame_bottom, "frame_bottom is too small");
    _PyCFrame *cframe = (_PyCFrame *)state->frame_bottom;
    cframe->current_frame = NULL;
    cframe->previous = &ts->root_cframe;
    state->frame = cframe;
#else
#if HAS_BASE_FRAME
    state->frame = ts->base_frame;
#else
    (void)ts;
    state->frame = NULL;
#endif
#endif
}

/* The first of `frame` and its callers that is not on the suspended `stack`, where
   the interpreter has its entry frames; or NULL. They are known by their address:
   the frame at which 3.15's chains end looks the same, and is not on a stack. */
static _PyInterpreterFrame *off_stack(_PyInterpreterFrame *frame, const struct rl_stack *stack) {
    while (frame && rl_stack_has(stack, frame))
        frame = ((_PyInterpreterFrame *)rl_stack_where(stack, frame))->previous;
    return frame;
}

/* The top frame of a suspended greenlet that is not an entry frame, or NULL. While
   a call's variables are dropped, an entry frame can be the top one. */
static _PyInterpreterFrame *top_frame(const struct rl_pystate *state, const struct rl_stack *stack) {
#if HAS_CFRAME
    return off_stack(((_PyCFrame *)rl_stack_where(stack, state->frame))->current_frame, stack);
#else
    return off_stack(state->frame, stack);
#endif
}

void rl_pystate_abandon(PyThreadState *ts, struct rl_pystate *from, const struct rl_pystate *main) {
    save(ts, from);
#if HAS_CFRAME
    ts->cframe = &ts->root_cframe;
#else
    ts->current_frame = NULL;
#endif
#if HAS_BASE_FRAME
    ts->current_frame = ts->base_frame;
#endif
#if HAS_EXECUTORS
    ts->current_executor = main->executor;
#endif
    ts->exc_info = &ts->exc_state;
    ts->context = main->context;
    ts->datastack_chunk = main->chunk;
    ts->datastack_top = main->top;
    ts->datastack_limit = main->limit;
}

/* The frame that called `frame`, of a suspended greenlet, as far as it lives as long
   as the data stack does; or NULL. */
static _PyInterpreterFrame *lasting_caller(_PyInterpreterFrame *frame,
                                           const struct rl_stack *stack) {
    _PyInterpreterFrame *caller = off_stack(frame->previous, stack);
#if HAS_BASE_FRAME
    if (caller && caller->owner == FRAME_OWNED_BY_INTERPRETER)
        return NULL;
#endif
    return caller;
}

int rl_pystate_discard(struct rl_pystate *state, const struct rl_stack *stack) {
    int seen = 0;
    _PyInterpreterFrame *frame, *caller;
    for (frame = top_frame(state, stack); frame; frame = frame->previous) {
        frame->previous = lasting_caller(frame, stack);
        seen |= frame->frame_obj != NULL;
    }
    if (seen)
        return 0;
    /* Frames of generators are in the generators, which may outlive the chunks. */
    for (frame = top_frame(state, stack); frame; frame = caller) {
        caller = frame->previous;
        if (frame->owner == FRAME_OWNED_BY_GENERATOR)
            frame->previous = NULL;
    }
    PyObjectArenaAllocator arenas;
    PyObject_GetArenaAllocator(&arenas);
    while (state->chunk->previous) {
        _PyStackChunk *chunk = state->chunk;
        state->chunk = chunk->previous;
        arenas.free(arenas.ctx, chunk, chunk->size);
    }
    return 1;
}

#if HAS_ENTRY_FRAMES
/* An entry frame uses neither f_locals nor frame_obj. While its stack is copied
   out they hold the frame whose `previous` led to it and the next hidden one. */
static void hide_entry_frames(struct rl_pystate *state, const struct rl_stack *stack) {
    void **link = &state->hidden;
    _PyInterpreterFrame *frame = top_frame(state, stack);
    while (frame) {
        _PyInterpreterFrame *first = frame->previous, *next = off_stack(first, stack);
        if (next != first) {
            _PyInterpreterFrame *entry = rl_stack_where(stack, first);
            entry->f_locals = (PyObject *)frame;
            *link = first;
            link = (void **)&entry->frame_obj;
            frame->previous = next;
        }
        frame = next;
    }
    *link = NULL;
}

static void show_entry_frames(struct rl_pystate *state) {
    _PyInterpreterFrame *entry = state->hidden;
    while (entry) {
        _PyInterpreterFrame *next = (_PyInterpreterFrame *)entry->frame_obj;
        ((_PyInterpreterFrame *)entry->f_locals)->previous = entry;
        entry->f_locals = NULL;
        entry->frame_obj = NULL;
        entry = next;
    }
    state->hidden = NULL;
}
#endif

void rl_pystate_evicted(struct rl_pystate *state, struct rl_stack *stack) {
#if HAS_ENTRY_FRAMES
    hide_entry_frames(state, stack);
#endif
    if (!rl_stack_has(stack, state->frame))
        return;
    void *top = top_frame(state, stack);
    state->away = state->frame;
#if HAS_CFRAME
    /* The one it began with has been the innermost before its first call only. */
    ((_PyCFrame *)state->frame_bottom)->current_frame = top;
    state->frame = state->frame_bottom;
#else
    state->frame = top;
#endif
}

void rl_pystate_restored(struct rl_pystate *state, PyThreadState *ts) {
#if HAS_ENTRY_FRAMES
    show_entry_frames(state);
#endif
    if (!state->away)
        return;
#if HAS_CFRAME
    _PyCFrame *bottom = (_PyCFrame *)state->frame_bottom;
    bottom->current_frame = NULL;
#if HAS_USE_TRACING
    ((_PyCFrame *)state->away)->use_tracing = bottom->use_tracing;
#endif
    ts->cframe = state->away;
#else
    ts->current_frame = state->away;
#endif
    state->frame = state->away;
    state->away = NULL;
}

/* Whether a frame is one of the interpreter's own, that no object can stand for: an
   entry frame, as the main greenlet has them, or the base frame of 3.15. */
static int is_interpreters(const _PyInterpreterFrame *frame) {
#if !HAS_ENTRY_FRAMES
    (void)frame;
    return 0;
#elif BEFORE_3_14
    return frame->owner == FRAME_OWNED_BY_CSTACK;
#else
    return frame->owner >= FRAME_OWNED_BY_INTERPRETER;
#endif
}

/* Keeps the collector from working until let_collect(), which is given the result.
   Up to 3.11 it works, and so runs finalizers, inside any allocation; later only
   between a program's instructions. */
static inline int hold_collector(void) {
#if BEFORE_3_12
    return PyGC_Disable();
#else
    return 0;
#endif
}

static inline void let_collect(int was_on) {
#if BEFORE_3_12
    if (was_on)
        PyGC_Enable();
#else
    (void)was_on;
#endif
}

PyObject *rl_pystate_pack(PyObject *first, PyObject *second) {
    int was_on = hold_collector();
    PyObject *tuple = second ? PyTuple_Pack(2, first, second) : PyTuple_Pack(1, first);
    let_collect(was_on);
    return tuple;
}

PyFrameObject *rl_pystate_frame(PyThreadState *ts, struct rl_pystate *state,
                                const struct rl_stack *stack) {
    PyFrameObject *result;
    _PyInterpreterFrame *frame = top_frame(state, stack);
    while (frame && is_interpreters(frame))
        frame = frame->previous;
    if (!frame)
        return NULL;
    int was_on = hold_collector(); /* It could have the greenlet go on, and the frame go. */
#if HAS_CFRAME
    _PyCFrame *saved = ts->cframe, borrowed = *saved;
    borrowed.current_frame = frame;
    ts->cframe = &borrowed;
    result = PyThreadState_GetFrame(ts);
    ts->cframe = saved;
#else
    _PyInterpreterFrame *saved = ts->current_frame;
    ts->current_frame = frame;
    result = PyThreadState_GetFrame(ts);
    ts->current_frame = saved;
#endif
    let_collect(was_on);
    /* There is a frame; what can fail is making an object for it, and that is not told. */
    if (!result && !PyErr_Occurred())
        PyErr_NoMemory();
    return result;
}

PyObject *rl_pystate_set_context(PyThreadState *ts, PyObject *context) {
    PyObject *old = ts->context;
    ts->context = context;
    ts->context_ver++;
    return old;
}

PyObject *rl_pystate_context(PyThreadState *ts) {
    return ts->context;
}

int rl_pystate_is_called_by_c(PyFrameObject *frame) {
#if HAS_ENTRY_FRAMES
    const _PyInterpreterFrame *caller = frame->f_frame->previous;
    return caller && is_interpreters(caller);
#else
    return frame->f_frame->is_entry;
#endif
}

#if HAS_USE_TRACING
/* What this thread's ticker knows. */
static _Thread_local struct {
    int (*tick)(PyObject *code);   /* Whom to tell; NULL while there is none. */
    Py_tracefunc trace, profile;   /* Whom it stands in front of, with the same objects; or NULL. */
    PyFrameObject *frame;          /* Where the last event was, or whereto it returned; only to
                                      be compared. */
    int at, line;                  /* The instruction and the line it was at. */
} ticker;

/* Calls `tick` for a frame. Returns as it does. */
static int tick_in(PyFrameObject *frame) {
    PyCodeObject *code = PyFrame_GetCode(frame);
    int result = ticker.tick ? ticker.tick((PyObject *)code) : 0;
    Py_DECREF(code);
    return result;
}

/* Notes where a frame is. */
static void note_place(PyFrameObject *frame) {
    ticker.frame = frame;
    ticker.at = frame ? PyFrame_GetLasti(frame) : -1;
    ticker.line = frame ? PyFrame_GetLineNumber(frame) : -1;
}

/* A Py_tracefunc. A line begins where the number of the line changes, or where a jump
   leads back: it is a jump if the line is the last one seen in its frame, or before it. */
static int trace_tick(PyObject *object, PyFrameObject *frame, int what, PyObject *arg) {
    if (ticker.trace && ticker.trace(object, frame, what, arg) < 0)
        return -1;
    PyFrameObject *before = ticker.frame, *caller;
    int at = ticker.at, line = ticker.line;
    if (what == PyTrace_RETURN) {
        caller = PyFrame_GetBack(frame);
        note_place(caller);
        Py_XDECREF(caller);
        return 0;
    }
    note_place(frame);
    int leads_back = what == PyTrace_LINE && frame == before &&
                     (ticker.line == line || ticker.at <= at);
    if (what != PyTrace_CALL && !leads_back)
        return 0;
    int result = tick_in(frame);
    note_place(frame); /* Others may have run meanwhile. */
    if (what == PyTrace_CALL)
        ticker.at = ticker.line = -1; /* Its first line is still to begin. */
    return result;
}

/* The same for calls of functions written in C. */
static int profile_tick(PyObject *object, PyFrameObject *frame, int what, PyObject *arg) {
    if (ticker.profile && ticker.profile(object, frame, what, arg) < 0)
        return -1;
    return what == PyTrace_C_CALL ? tick_in(frame) : 0;
}
#endif

int rl_pystate_set_ticker(PyThreadState *ts, int (*tick)(PyObject *code)) {
#if HAS_USE_TRACING
    int was_on = ticker.tick != NULL;
    ticker.tick = tick;
    if (tick && !was_on) {
        ticker.trace = ts->c_tracefunc;
        ticker.profile = ts->c_profilefunc;
        note_place(NULL);
        PyEval_SetTrace(trace_tick, ts->c_traceobj);
        PyEval_SetProfile(profile_tick, ts->c_profileobj);
    } else if (!tick && was_on) {
        if (ts->c_tracefunc == trace_tick)
            PyEval_SetTrace(ticker.trace, ticker.trace ? ts->c_traceobj : NULL);
        if (ts->c_profilefunc == profile_tick)
            PyEval_SetProfile(ticker.profile, ticker.profile ? ts->c_profileobj : NULL);
    }
    return 0;
#else
    (void)ts;
    (void)tick;
    return -1;
#endif
}

int rl_pystate_is_collecting(PyThreadState *ts) {
#if BEFORE_3_13
    return ts->interp->gc.collecting;
#else
    /* Says what is where, for patch releases differ in that. */
    const struct _Py_DebugOffsets *offsets = &_PyRuntime.debug_offsets;
    return *(int *)((char *)ts->interp + offsets->interpreter_state.gc + offsets->gc.collecting);
#endif
}

int rl_pystate_is_finalizing(void) {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

int rl_pystate_trash(PyThreadState *ts) {
#if HAS_USE_TRACING
    return ts->trash_delete_nesting;
#elif HAS_CFRAME
    return ts->trash.delete_nesting;
#else
    (void)ts;
    return 0;
#endif
}

void rl_pystate_forget_finalized(PyObject *object) {
#ifdef Py_GIL_DISABLED
    object->ob_gc_bits &= (uint8_t)~_PyGC_BITS_FINALIZED;
#else
    /* In the header before the object. */
    _Py_AS_GC(object)->_gc_prev &= ~(uintptr_t)_PyGC_PREV_MASK_FINALIZED;
#endif
}

PyThreadState *rl_pystate_current(void) {
    return PyThreadState_Get();
}
