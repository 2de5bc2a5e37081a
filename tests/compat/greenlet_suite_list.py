"""The tests of greenlet's own suite that look inside its implementation, and why each must fail."""

import sys

_SWITCHES_THAT_FAIL = "makes a switch fail by a type that greenlet has for this test alone"
_EXPECTS_A_LEAK = "expects that something leaks, and here it does not"
_TESTS = "greenlet.tests."
_LEAKS = _TESTS + "test_leaks.TestLeaks.test_issue251_issue252_"
_BROKEN = _TESTS + "test_greenlet.TestBrokenGreenlets.test_failed_to_"

LOOKS_INSIDE = {
    _BROKEN + "initialstub": _SWITCHES_THAT_FAIL,
    _BROKEN + "slp_switch_into_running": _SWITCHES_THAT_FAIL,
    _BROKEN + "switch_into_running": _SWITCHES_THAT_FAIL,
    _LEAKS + "explicit_reference_not_collectable": _EXPECTS_A_LEAK,
    _LEAKS + "need_to_collect_in_background": _EXPECTS_A_LEAK,
    _LEAKS + "need_to_collect_in_background_cleanup_disabled": _EXPECTS_A_LEAK,
    _TESTS + "test_greenlet.TestGreenlet.test_throw_to_dead_thread_doesnt_crash": (
        "looks at the frame of a greenlet whose thread has ended before greenlet notices that; "
        "here such a greenlet has ended with its thread, and has no frame"
    ),
    _TESTS + "test_stack_saved.Test.test_stack_saved": (
        "reads how many bytes of its stack a greenlet has on the heap; here most have none"
    ),
}

if sys.version_info < (3, 14):
    LOOKS_INSIDE[_TESTS + "test_gc.TestGC.test_finalizer_crash"] = _EXPECTS_A_LEAK
