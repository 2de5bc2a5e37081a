"""Tasklets that insert, remove, run and switch to each other take their turns as a list says."""

from hypothesis import given
from hypothesis import strategies as st

from ringlet.compat import stackless

COUNT = 4
ACTIONS = ("insert", "remove", "run", "switch")

#: What one tasklet does, one step after the other: leave by itself, or do something to another.
steps = st.one_of(
    st.sampled_from([("schedule", 0), ("schedule_remove", 0)]),
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, COUNT - 1)),
)
scripts = st.lists(st.lists(steps, max_size=6), min_size=COUNT, max_size=COUNT)


def expected(script):
    """The order of all steps, and who is left: the round is a list, whose head has the turn."""
    log, places = [], [0] * COUNT
    turns, paused = list(range(COUNT)), set()
    while turns:
        me = turns[0]
        if places[me] == len(script[me]):
            turns.pop(0)
            continue
        action, other = script[me][places[me]]
        log.append((me, places[me]))
        places[me] += 1
        if action == "schedule":
            turns.append(turns.pop(0))
        elif action == "schedule_remove":
            paused.add(turns.pop(0))
        elif other == me or not (other in turns or other in paused):
            continue
        elif action == "remove":
            if other in turns:
                turns.remove(other)
                paused.add(other)
        elif action == "insert":
            if other in paused:
                paused.remove(other)
                turns.append(other)
        else:
            paused.discard(other)
            if other in turns:
                turns.remove(other)
            turns.pop(0)
            turns.insert(0, other)
            if action == "run":
                turns.append(me)
            else:
                paused.add(me)
    return log, paused


def observed(script):
    """The same as it really happens."""
    log, tasklets = [], []

    def body(me):
        for place, (action, other) in enumerate(script[me]):
            log.append((me, place))
            if action.startswith("schedule"):
                getattr(stackless, action)()
            elif other != me and tasklets[other].alive:
                getattr(tasklets[other], action)()

    tasklets += [stackless.tasklet(body)(number) for number in range(COUNT)]
    stackless.run()
    left = {number for number, t in enumerate(tasklets) if t.paused}
    assert left == {number for number, t in enumerate(tasklets) if t.alive}
    for t in tasklets:
        t.kill()
    return log, left


@given(scripts)
def test_turns_are_taken_as_the_model_says(script):
    assert observed(script) == expected(script)


@given(scripts, st.integers(1, 5))
def test_it_is_the_same_among_other_tasklets_that_wait(script, others):
    c = stackless.channel()
    for _ in range(others):
        stackless.tasklet(c.receive)()
    stackless.run()
    assert observed(script) == expected(script)
    while c.queue is not None:
        c.queue.kill()
    assert c.balance == 0
