"""The rules of raw greenlets, one operation after the other, with every error's text."""

from tests.compat.programs import greenlet_objects, greenlet_switches
from tests.compat.programs.transcript import Transcript


def main():
    t = Transcript()
    for section in (*greenlet_objects.SECTIONS, *greenlet_switches.SECTIONS):
        section(t)
    t.close()


if __name__ == "__main__":
    main()
