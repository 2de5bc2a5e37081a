"""The command line of each question and of all together: options, rounds, progress."""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.perf import children, peers, report, serving
from tests.perf.model import NOT_INSTALLED, Figure, Outcome, Question

QUESTIONS = (
    "switch",
    "spawn",
    "memory",
    "yield_",
    "channel",
    "generators",
    "timers",
    "lock",
    "growth",
    "echo",
    "http",
    "workers",
    "clients",
)

FILE_WIDTH = 120  # columns, where nobody says how many there are

EPILOG = """\
Each figure is measured in rounds: ringlet and its peers in turn, every time in a fresh process
pinned to one core. Loops give their minimum of CPU time, servers and memory their median. A ratio
compares figures of this run only; absolute figures of two runs do not compare.

  ratio >= 6x      ringlet is to be that many times faster
  ratio <= 0.6x    ringlet is to need that share of what the peer needs
  must, aim        the design's targets; empty where the peer is shown for orientation only
  verdict          MISSED, met (the must), or aim met; what is not installed is named

The peers are the `perf` extra: pip install -e '.[perf]'. The servers need a C compiler (cc) for
the echo load, and use wrk for HTTP where it is installed.
Exit status: 0, or 1 when a measurement failed to run; a missed target is no failure.

  python -m tests.perf --quick              does everything run? (the figures mean nothing)
  python -m tests.perf.switch               one question
  python -m tests.perf echo http --json out.json
"""


def main(name: str | None = None) -> None:
    """Runs the command line, for one question or for those it names."""
    options = _parse(name)
    # What it needs may be missing: better known now than when all has been measured.
    draw = import_module("tests.perf.plot").draw if options.plot else None
    questions = [import_module(f"tests.perf.{each}").QUESTION for each in options.questions]
    if options.quick:
        questions = [_quick(question) for question in questions]
    if options.rounds:
        questions = [_with_rounds(question, options.rounds) for question in questions]
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH)
    facts = report.environment(questions)
    report.show_environment(console, facts)
    if options.quick:
        console.print(
            "Smoke run: populations and times are cut, figures mean nothing.", style="yellow"
        )
    results: dict[Figure, dict[str, Outcome]] = {}
    with tempfile.TemporaryDirectory() as build:
        os.environ[serving.BUILD] = build
        try:
            for question, measured in _run(questions, console):
                results.update(measured)
                report.show(console, question, results)
        except KeyboardInterrupt:
            raise SystemExit("stopped: what was not measured is missing above") from None
    if options.json:
        text = json.dumps(report.as_json(facts, questions, results), indent=1)
        options.json.write_text(text + "\n")
    if options.plot:
        for question in questions:
            if series := question.series():
                draw(series, results, options.plot)
    troubles = [out.trouble for outcomes in results.values() for out in outcomes.values()]
    raise SystemExit(any(trouble not in (None, NOT_INSTALLED) for trouble in troubles))


def _parse(name: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.perf{f'.{name}' if name else ''}",
        description="Measures ringlet beside its peers and compares with the design's targets.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if name is None:
        parser.add_argument(
            "questions",
            nargs="*",
            metavar="QUESTION",
            help=f"any of {', '.join(QUESTIONS)}; all by default",
        )
    parser.add_argument("--quick", action="store_true", help="one short round of each: a smoke run")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds per figure (default 3 or 5)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there too")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw what growth found there (.svg, .png, ...)"
    )
    options = parser.parse_args()
    if name is not None:
        options.questions = [name]
    options.questions = options.questions or list(QUESTIONS)
    unknown = [each for each in options.questions if each not in QUESTIONS]
    if unknown:
        parser.error(f"no question {unknown[0]!r}: choose from {', '.join(QUESTIONS)}")
    if options.plot and "growth" not in options.questions:
        parser.error("--plot draws what the question growth finds: ask that")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def _quick(question: Question) -> Question:
    figures = (
        replace(each, params={**each.params, **each.quick}, rounds=1) for each in question.figures
    )
    return replace(question, figures=tuple(figures))


def _with_rounds(question: Question, rounds: int) -> Question:
    figures = (replace(each, rounds=rounds) for each in question.figures)
    return replace(question, figures=tuple(figures))


def _run(
    questions: Sequence[Question], console: Console
) -> Iterator[tuple[Question, dict[Figure, dict[str, Outcome]]]]:
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    steps = sum(
        len(figure.work) * figure.rounds for question in questions for figure in question.figures
    )
    # Drawn seldom: the bar's own process must not disturb what is measured.
    progress = Progress(
        *columns,
        console=console,
        transient=True,
        refresh_per_second=2,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=steps)
        for question in questions:
            measured = {}
            for figure in question.figures:
                outcomes = {peer: _outcome(peer) for peer in figure.work}
                for peer in _turns(figure):
                    progress.update(task, description=f"{figure.name}: {peer}")
                    _take(figure, peer, outcomes[peer])
                    progress.advance(task)
                measured[figure] = outcomes
            yield question, measured


def _outcome(peer: str) -> Outcome:
    return Outcome(trouble=None if peers.version(peer) else NOT_INSTALLED)


def _turns(figure: Figure) -> Iterator[str]:
    """Who is measured next: all in turn, backwards every other round so that no one leads."""
    for number in range(figure.rounds):
        yield from reversed(list(figure.work)) if number % 2 else figure.work


def _take(figure: Figure, peer: str, outcome: Outcome) -> None:
    if outcome.trouble:
        return
    try:
        value = children.measure(figure.work[peer], {"peer": peer, **figure.params}, figure.env)
    except children.MeasurementError as error:
        outcome.trouble = str(error)
        outcome.samples.clear()
    else:
        outcome.samples.append(value)
