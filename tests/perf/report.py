"""Shows what was measured: tables for people, JSON for programs."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.perf import children, peers
from tests.perf.model import NOT_INSTALLED, Comparison, Figure, Outcome, Question, compare

STYLES = {"aim met": "bold green", "met": "green", "MISSED": "bold red", "failed": "bold red"}

Results = Mapping[Figure, Mapping[str, Outcome]]


def environment(questions: Sequence[Question]) -> dict[str, Any]:
    """The machine, the interpreter and the versions of all who take part."""
    names = {peer for question in questions for figure in question.figures for peer in figure.work}
    measuring, load = children.cores()
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cores": os.cpu_count(),
        "measuring core": measuring,
        "load core": load,
        "load average": round(os.getloadavg()[0], 2),
        "versions": {name: peers.version(name) for name in sorted(names)},
    }


def show_environment(console: Console, facts: Mapping[str, Any]) -> None:
    """Prints what the figures depend on, and warns of what spoils them."""
    versions = ", ".join(
        f"{name} {version}" for name, version in facts["versions"].items() if version
    )
    console.print(
        f"{facts['python']} on {facts['cores']} cores: measuring on {facts['measuring core']}, "
        f"load on {facts['load core']}; load average {facts['load average']}\n{versions}",
        highlight=False,
        style="dim",
    )
    if facts["measuring core"] == facts["load core"]:
        console.print("Only one core: servers share it with their load.", style="yellow")
    if facts["load average"] > 0.5:
        console.print(
            "The machine is busy with other work: repeat before you judge.", style="yellow"
        )


def show(console: Console, question: Question, results: Results) -> None:
    """Prints one question's table, and below it the errors of what failed."""
    if series := question.series():
        _show_series(console, question.title, series, results)
        return
    table = _table(question.title)
    table.add_column("figure")
    for heading in ("ringlet", "peer's", "ratio", "must", "aim"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("peer", no_wrap=True)
    table.add_column("verdict", min_width=7)
    failures: dict[str, None] = {}
    for figure in question.figures:
        for row, line in enumerate(compare(figure, results[figure])):
            table.add_row(*_cells(line, first=row == 0))
            if line.verdict == "failed":
                failures[f"{figure.name}: {line.trouble}"] = None
        table.add_section()
    console.print(table)
    _show_failures(console, failures)


def amounts(figure: Figure, outcomes: Mapping[str, Outcome]) -> dict[str, float | None]:
    """What each peer gave for a figure, in its unit; None where it gave nothing."""
    return {
        peer: figure.summary(outcome.samples) if outcome.samples else None
        for peer, outcome in outcomes.items()
    }


def _show_series(
    console: Console, title: str, series: Mapping[str, Mapping[int, Figure]], results: Results
) -> None:
    """A line for each quantity and peer, a column for each population."""
    table = _table(title)
    table.add_column("each")
    table.add_column("")
    populations = list(next(iter(series.values())))
    for population in populations:
        table.add_column(f"{population:,}", justify="right", no_wrap=True)
    failures: dict[str, None] = {}
    for name, figures in series.items():
        measured = {count: amounts(each, results[each]) for count, each in figures.items()}
        for row, peer in enumerate(next(iter(measured.values()))):
            cells = [
                _amount(measured[count].get(peer), figures[count].unit) for count in populations
            ]
            table.add_row("" if row else name, peer, *cells)
        table.add_section()
        for each in figures.values():
            for peer, outcome in results[each].items():
                if outcome.trouble not in (None, NOT_INSTALLED):
                    failures[f"{each.name}: {peer}: {outcome.trouble}"] = None
    console.print(table)
    _show_failures(console, failures)


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _show_failures(console: Console, failures: Iterable[str]) -> None:
    for failure in failures:
        console.print(f"failed: {failure}", style="red", highlight=False, markup=False)


def as_json(facts: Mapping[str, Any], questions: Sequence[Question], results: Results) -> Any:
    """Everything measured, each sample included."""
    return {
        "environment": facts,
        "questions": {
            question.name: [
                {
                    "figure": figure.name,
                    "unit": figure.unit,
                    "samples": {peer: out.samples for peer, out in results[figure].items()},
                    "comparisons": [_line(line) for line in compare(figure, results[figure])],
                }
                for figure in question.figures
            ]
            for question in questions
        },
    }


def _line(line: Comparison) -> dict[str, Any]:
    target = line.target
    return {
        "peer": line.peer,
        "ringlet": line.ours,
        "theirs": line.theirs,
        "ratio": line.ratio,
        "must": target and target.show(target.must),
        "aim": target and target.show(target.aim),
        "verdict": line.verdict,
        "trouble": line.trouble,
    }


def _cells(line: Comparison, first: bool) -> list[str | Text]:
    target, unit = line.target, line.figure.unit
    return [
        line.figure.name if first else "",
        _amount(line.ours, unit) if first else "",
        _amount(line.theirs, unit),
        "" if line.ratio is None else f"{line.ratio:.3g}x",
        target.show(target.must) if target else "",
        target.show(target.aim) if target else "",
        line.peer,
        Text(line.verdict, style=STYLES.get(line.verdict, "yellow")),
    ]


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f} {unit}" if value < 100 else f"{value:,.0f} {unit}"
