"""Draws how costs grow, one panel for each quantity. Needs matplotlib, which no table does."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # to a file, wherever this runs

from matplotlib import pyplot

from tests.perf.model import Figure
from tests.perf.report import Results, amounts


def draw(series: Mapping[str, Mapping[int, Figure]], results: Results, path: Path) -> None:
    """Writes a picture of a question's series, in the format that the file's name ends with."""
    picture, panels = pyplot.subplots(
        1, len(series), figsize=(4 * len(series), 4), layout="constrained"
    )
    for panel, (name, figures) in zip(panels, series.items(), strict=True):
        lines: dict[str, list[tuple[int, float]]] = {}
        for population, each in figures.items():
            for peer, amount in amounts(each, results[each]).items():
                if amount is not None:
                    lines.setdefault(peer, []).append((population, amount))
        for peer, points in lines.items():
            panel.plot(*zip(*points, strict=True), marker="o", label=peer)
        unit = next(iter(figures.values())).unit
        panel.set(title=name, xlabel="tasklets", ylabel=f"{unit} each", xscale="log", yscale="log")
        panel.grid(alpha=0.3)
    panels[0].legend()
    picture.savefig(path)
    pyplot.close(picture)
