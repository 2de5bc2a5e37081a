"""Marks for tests of what interpreters differ in."""

import sysconfig

import pytest

freed_where_dropped = pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="an interpreter that can run without the GIL has an object's own thread free it, later",
)
