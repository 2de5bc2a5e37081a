import sys

# Under pytest only: the processes of tests.perf are measured, and must not carry pytest along.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite("tests.support")
