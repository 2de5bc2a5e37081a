"""A figure to measure, the targets it has, and the verdict on what was measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RINGLET = "ringlet"

# What a child process runs: peer and parameters in, one number in the figure's unit out.
Work = Callable[..., float]


@dataclass(frozen=True)
class Faster:
    """ringlet is to be at least `must` times as fast as the peer, and aims at `aim` times."""

    must: float
    aim: float | None = None

    def ratio(self, ours: float, theirs: float) -> float:
        """How many times ringlet's figure goes into the peer's."""
        return theirs / ours

    def reached(self, ratio: float, bound: float) -> bool:
        """Whether a ratio is on the right side of `must` or `aim`."""
        return ratio >= bound

    def show(self, bound: float | None) -> str:
        """`must` or `aim` as the design writes it."""
        return "" if bound is None else f">= {bound:g}x"


@dataclass(frozen=True)
class Share:
    """ringlet is to need at most `must` of what the peer needs, and aims at `aim` of it."""

    must: float
    aim: float | None = None

    def ratio(self, ours: float, theirs: float) -> float:
        """ringlet's figure as a share of the peer's."""
        return ours / theirs

    def reached(self, ratio: float, bound: float) -> bool:
        """Whether a ratio is on the right side of `must` or `aim`."""
        return ratio <= bound

    def show(self, bound: float | None) -> str:
        """`must` or `aim` as the design writes it."""
        return "" if bound is None else f"<= {bound:g}x"


Target = Faster | Share


# eq=False: a figure is itself, whatever it holds, and so can be a key.
@dataclass(frozen=True, eq=False)
class Figure:
    """One line of the design's tables: a quantity, and who is asked for it."""

    name: str
    unit: str
    # Functions of the question's module, by peer; the module is imported again in the child.
    work: Mapping[str, Work]
    # Peers without a target are measured too, and shown with `unjudged`'s kind of ratio.
    targets: Mapping[str, Target] = field(default_factory=dict)
    unjudged: type[Faster] | type[Share] = Faster
    params: Mapping[str, Any] = field(default_factory=dict)
    # What replaces parts of `params` in a smoke run.
    quick: Mapping[str, Any] = field(default_factory=dict)
    # Environment of the children, on top of ours.
    env: Mapping[str, str] = field(default_factory=dict)
    # min for loops, where every disturbance adds; median for servers, where it may subtract.
    summary: Callable[[Sequence[float]], float] = min
    rounds: int = 5
    # Where one quantity is asked of more and more tasklets: which one, and how many there are.
    quantity: str = ""
    population: int = 0


@dataclass(frozen=True)
class Question:
    """What one file asks: its figures, measured and shown together."""

    name: str
    title: str
    figures: tuple[Figure, ...]

    def series(self) -> dict[str, dict[int, Figure]]:
        """Its figures by quantity and then by population; empty unless it asks how they grow."""
        found: dict[str, dict[int, Figure]] = {}
        for figure in self.figures:
            if figure.quantity:
                found.setdefault(figure.quantity, {})[figure.population] = figure
        return found


NOT_INSTALLED = "not installed"


@dataclass
class Outcome:
    """What one peer gave for one figure."""

    samples: list[float] = field(default_factory=list)
    # Why there is no sample: NOT_INSTALLED, or the last line of a child that failed.
    trouble: str | None = None


@dataclass(frozen=True)
class Comparison:
    """One line of the report: ringlet and one peer at one figure."""

    figure: Figure
    peer: str
    ours: float | None
    theirs: float | None
    # Whose trouble it is, and what; the peer's goes before ringlet's.
    trouble: str | None
    target: Target | None

    @property
    def ratio(self) -> float | None:
        """By the target's kind, or by the figure's where the design names no target."""
        if not self.ours or not self.theirs:
            return None
        return (self.target or self.figure.unjudged(0)).ratio(self.ours, self.theirs)

    @property
    def verdict(self) -> str:
        """'aim met', 'met' or 'MISSED'; '' where nothing is asked; else what went wrong."""
        if self.trouble == f"{self.peer}: {NOT_INSTALLED}":
            return NOT_INSTALLED
        if self.trouble:
            return self.trouble if self.trouble.endswith(NOT_INSTALLED) else "failed"
        if self.target is None or self.ratio is None:
            return ""
        if not self.target.reached(self.ratio, self.target.must):
            return "MISSED"
        aim = self.target.aim
        return "aim met" if aim is not None and self.target.reached(self.ratio, aim) else "met"


def compare(figure: Figure, outcomes: Mapping[str, Outcome]) -> list[Comparison]:
    """Puts each peer's summary beside ringlet's, from the samples of one run."""

    def summary(peer: str) -> float | None:
        samples = outcomes[peer].samples
        return figure.summary(samples) if samples else None

    def trouble(peer: str) -> str | None:
        for name in (peer, RINGLET):
            if outcomes[name].trouble:
                return f"{name}: {outcomes[name].trouble}"
        return None

    return [
        Comparison(
            figure, peer, summary(RINGLET), summary(peer), trouble(peer), figure.targets.get(peer)
        )
        for peer in outcomes
        if peer != RINGLET
    ]
