"""The polite dine; the greedy wait for each other, and are told so."""

from examples.philosophers import NAMES, dinner


def test_the_polite_all_eat(capsys):
    dinner(3)
    eaten = capsys.readouterr().out.splitlines()
    assert sorted(eaten) == sorted(f"{name} eats meal {n}" for name in NAMES for n in (1, 2, 3))


def test_the_greedy_wait_in_a_circle_that_is_named(run_example):
    report = run_example("philosophers", "--greedy", exit=1).stderr
    circle = report[report.index("circle") :].splitlines()[1 : len(NAMES) + 1]
    assert all("held by" in line for line in circle)
    for name in NAMES:
        assert sum(f"tasklet {name}" in line.partition(" waits")[0] for line in circle) == 1


def test_as_a_program(run_example):
    assert run_example("philosophers", "--meals", 1).stdout.count("eats meal 1") == len(NAMES)
