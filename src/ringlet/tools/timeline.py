"""A timeline drawn as SVG."""

from collections.abc import Iterator
from html import escape
from math import floor, log10
from typing import NamedTuple

__all__ = ("Arrow", "Timeline")

_WIDTH = 1000.0  # of what is drawn to scale, in pixels
_ROW = 26.0
_BAR = 16.0
_TOP = 30.0
_LETTER = 7.5
_COLOURS = ("#3b6ea5", "#b5651d", "#4f8a4b", "#8a4f7d", "#a5423b", "#2f8f8f", "#7a7a2f", "#555555")


class Arrow(NamedTuple):
    """From one row to another."""

    from_: str
    to: str
    at: float
    text: str


class Timeline:
    """Rows with bars in them and arrows between them, over a length of time."""

    def __init__(
        self,
        rows: list[str],
        bars: list[tuple[str, float, float, str]],
        arrows: list[Arrow],
        length: float,
        unit: str,
    ) -> None:
        self._rows = {name: number for number, name in enumerate(rows)}
        self._bars = bars
        self._arrows = arrows
        self._length = length or 1.0
        self._unit = unit
        self._left = max([len(name) for name in rows] or [0]) * _LETTER + 20

    def svg(self) -> str:
        """The whole picture."""
        width = self._left + _WIDTH + 40
        height = _TOP + len(self._rows) * _ROW + 20
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
                'font-family="sans-serif" font-size="12">',
                f'<rect width="{width:g}" height="{height:g}" fill="white"/>',
                '<marker id="tip" markerWidth="6" markerHeight="6" refX="5" refY="3" orient="auto">'
                '<path d="M0,0 L6,3 L0,6 z" fill="#333"/></marker>',
                *self._axis(height),
                *self._names(),
                *self._drawn_bars(),
                *self._drawn_arrows(),
                "</svg>",
                "",
            ]
        )

    def _x(self, at: float) -> float:
        return self._left + at / self._length * _WIDTH

    def _y(self, row: str) -> float:
        return _TOP + (self._rows[row] + 0.5) * _ROW

    def _axis(self, height: float) -> Iterator[str]:
        """Lines at round numbers, between five and twelve of them."""
        if not self._unit:
            return
        # Of what is shorter than a second the thousandths are counted.
        scale, unit = (1.0, self._unit) if self._length >= 1 else (1000.0, f"m{self._unit}")
        length = self._length * scale
        magnitude = 10.0 ** floor(log10(length))
        step = next(s for s in (0.1, 0.2, 0.5, 1.0) if length / (s * magnitude) <= 12) * magnitude
        for number in range(int(length / step) + 1):
            x = self._x(number * step / scale)
            yield (
                f'<path d="M{x:.1f},{_TOP:g} V{height - 20:g}" stroke="#ddd"/>'
                f'<text x="{x:.1f}" y="18" text-anchor="middle" fill="#777">'
                f"{number * step:.6g} {unit}</text>"
            )

    def _names(self) -> Iterator[str]:
        for name in self._rows:
            yield (
                f'<text x="{self._left - 8:.1f}" y="{self._y(name) + 4:.1f}" text-anchor="end">'
                f"{escape(name)}</text>"
            )

    def _drawn_bars(self) -> Iterator[str]:
        for row, begin, end, text in self._bars:
            # However short, it can be seen.
            width = max(1.0, self._x(end) - self._x(begin))
            colour = _COLOURS[self._rows[row] % len(_COLOURS)]
            yield (
                f'<rect x="{self._x(begin):.2f}" y="{self._y(row) - _BAR / 2:.1f}" '
                f'width="{width:.2f}" height="{_BAR:g}" fill="{colour}">'
                f"<title>{escape(text)}</title></rect>"
            )

    def _drawn_arrows(self) -> Iterator[str]:
        for arrow in self._arrows:
            if arrow.to not in self._rows:
                continue  # it never had a turn
            x, y, end = self._x(arrow.at), self._y(arrow.from_), self._y(arrow.to)
            yield (
                f'<path d="M{x:.2f},{y:.1f} V{end:.1f}" stroke="#333" stroke-opacity="0.6" '
                f'marker-end="url(#tip)"><title>{escape(arrow.text)}</title></path>'
            )
