"""What is wrong when nothing can happen any more, in words."""

from ringlet.sched.picture import Picture, Ring

__all__ = ("deadlock_report",)


def deadlock_report(ring: Ring) -> str:
    """Why no tasklet of a thread can go on: who waits for whom, and where each stands."""
    picture = Picture([ring])
    count = len(ring.tasklets)
    head = (
        f"all {count} tasklets of {ring.name} wait, and no timer, descriptor, thread or "
        "signal handler is left that could wake one:"
        if count > 1
        else f"the only tasklet of {ring.name} waits, and nothing is left that could wake it:"
    )
    return "\n".join([head, *picture.circle_lines(), *picture.tree_lines()[1:]])
