"""Plots as SVG for one HTML page: no scripts, no fonts, no outside files; colours follow the page, light or dark.

Drawn by matplotlib in placeholder colours, which are then replaced by the page's CSS variables (--ink, --muted,
--grid, --series-0 ...). Widths are those of a phone, so that nothing has to shrink there; a wide screen shows several
side by side.
"""

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pairwright.reporting.run_files import Points

_INK, _MUTED, _GRID = "#000001", "#000002", "#000003"
_SERIES = ("#000010", "#000011", "#000012")
_VARIABLES = {_INK: "--ink", _MUTED: "--muted", _GRID: "--grid"} | {
    colour: f"--series-{number}" for number, colour in enumerate(_SERIES)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pairwright",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlecolor": _INK,
    "axes.titlepad": 22,
    "axes.formatter.useoffset": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "ytick.left": False,
    "xtick.bottom": False,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "text.color": _INK,
    # A dollar sign in a label is a dollar sign.
    "text.parse_math": False,
}
_MARGINS = {"left": 0.12, "right": 0.985, "bottom": 0.17, "top": 0.82}
"""The same for every small plot, so that those side by side line up; a layout engine would take half of the time."""
_SMOOTH_FROM = 60
"""Points from which a line is too ragged to read and its running mean is drawn over it."""
_MARK_UP_TO = 25
"""Points up to which each one gets a mark."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One labelled line, or several (seeds) under one label."""

    label: str
    lines: Sequence[Points]
    colour: int
    """Index of the page's series colours."""


def curves(title: str, shown: Sequence[Curve], *, share: bool = False) -> Markup:
    """A small plot of values by step. `share`: values are shares, the axis goes from 0 to 1."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.9, 2.35))
        axes = figure.subplots(gridspec_kw=_MARGINS)
        for curve in shown:
            for number, points in enumerate(curve.lines):
                _draw(axes, points, _SERIES[curve.colour], curve.label if number == 0 else None)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
        if share:
            axes.set_ylim(-0.02, 1.02)
        if len(shown) > 1:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.02, 0.98),
                ncols=3,
                frameon=False,
                labelcolor=_MUTED,
                borderpad=0,
                handlelength=1.2,
                columnspacing=1.2,
                fontsize=8.5,
            )
        labels = ", ".join(curve.label for curve in shown)
        return _svg(figure, f"{title} by step: {labels}")


def tick(value: float) -> str:
    """A tick's number in full, with an exponent where it is tiny or huge: matplotlib's common factor above the axis
    would stand in the legend.

    By hand: 0.25 -> 0.25, 0.0000025 -> 2.5e-6, -1500 -> -1500, 2000000 -> 2e6.
    """
    value = round(value, 12)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.6g}".replace("-", "−")
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "−")


def intervals(
    title: str, rows: Mapping[str, Sequence[tuple[float, float, float] | None]], labels: Sequence[str]
) -> Markup:
    """One row a dimension; in it, for each label, a dot (mean) on a bar (low to high). Values lie in [0, 1].

    Args:
        rows: dimension -> (mean, low, high) for each label, None where it was not measured.
    """
    with rc_context(_STYLE | {"axes.grid.axis": "x", "axes.titlepad": 24}):
        figure = Figure(figsize=(4.2, 0.75 + 0.5 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for row, values in enumerate(rows.values()):
            axes.axhline(row + 0.5, color=_GRID, linewidth=0.6)
            for number, value in enumerate(values):
                if value is not None:
                    mean, low, high = value
                    at = row + 0.22 * (number - (len(labels) - 1) / 2)
                    axes.plot([low, high], [at, at], color=_SERIES[number], linewidth=3, alpha=0.4)
                    axes.plot([mean], [at], "o", color=_SERIES[number], markersize=5.5)
        for number, label in enumerate(labels):
            axes.plot([], [], "o", color=_SERIES[number], markersize=5.5, label=label)
        axes.set_yticks(range(len(rows)), list(rows), color=_INK, fontsize=9.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            ncols=len(labels),
            frameon=False,
            labelcolor=_MUTED,
            borderpad=0,
            handletextpad=0.2,
            columnspacing=1.4,
        )
        return _svg(figure, f"{title}: {', '.join(labels)} for {', '.join(rows)}; the figures are in the table")


def histogram(title: str, edges: Sequence[float], counts: Sequence[int], label: str) -> Markup:
    """Counts of values between edges, one more edge than counts; those below 0 in another colour than those above."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.9, 2.35))
        axes = figure.subplots(gridspec_kw=_MARGINS)
        colours = [_SERIES[1] if low < 0 and high <= 0 else _SERIES[2] for low, high in pairwise(edges)]
        widths = [0.92 * (high - low) for low, high in pairwise(edges)]
        middles = [(low + high) / 2 for low, high in pairwise(edges)]
        axes.bar(middles, counts, widths, color=colours)
        axes.set_title(title, pad=8)
        axes.set_xlabel(label)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return _svg(figure, f"{title}: counts by {label}")


def bars(title: str, values: Mapping[str, float]) -> Markup:
    """A horizontal bar for each share, with its number."""
    with rc_context(_STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(3.9, 0.62 + 0.27 * len(values)), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(values)), list(values.values()), 0.62, color=_SERIES[2])
        largest = max(values.values(), default=0) or 1
        for row, value in enumerate(values.values()):
            axes.text(value + largest / 60, row, f"{100 * value:.1f}%", va="center", color=_MUTED, fontsize=8)
        axes.set_yticks(range(len(values)), list(values), color=_INK, fontsize=8.5)
        axes.set_xlim(0, 1.22 * largest)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.invert_yaxis()
        axes.set_title(title, pad=8)
        return _svg(figure, f"{title}: " + ", ".join(f"{name} {100 * value:.1f}%" for name, value in values.items()))


def reliability(title: str, points: Sequence[tuple[float, float, int]]) -> Markup:
    """How sure a model was, against how often it was right: on the line, below it where it was too sure.

    Args:
        points: (confidence, share right, items) of each bin; a larger dot stands for more items.
    """
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.9, 2.35))
        axes = figure.subplots(gridspec_kw=_MARGINS)
        axes.plot([0.5, 1], [0.5, 1], color=_MUTED, linewidth=0.8, linestyle="--")
        most = max((items for _, _, items in points), default=1)
        sizes = [12 + 90 * items / most for _, _, items in points]
        axes.scatter(
            [c for c, _, _ in points], [a for _, a, _ in points], s=sizes, color=_SERIES[1], alpha=0.8, zorder=3
        )
        axes.set_title(title)
        axes.set_xlabel("sure to")
        axes.set_ylabel("right in", labelpad=1)
        axes.set_xlim(0.49, 1.01)
        axes.set_ylim(-0.02, 1.02)
        return _svg(figure, f"{title}: one dot for each of {len(points)} bins, the dashed line is where both are equal")


def _draw(axes: Axes, points: Points, colour: str, label: str | None) -> None:
    steps, values = [step for step, _ in points], [value for _, value in points]
    if len(points) < _SMOOTH_FROM:
        axes.plot(
            steps, values, color=colour, label=label, marker="o" if len(points) <= _MARK_UP_TO else "", markersize=3
        )
    else:
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(steps, running_mean(values, max(3, len(values) // 25)), color=colour, label=label)


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Mean of the `width` newest values up to each one; of fewer at the beginning."""
    means = []
    for end in range(1, len(values) + 1):
        window = values[max(0, end - width) : end]
        means.append(sum(window) / len(window))
    return means


def _svg(figure: Figure, description: str) -> Markup:
    """The figure as an <svg> element: the page's colours and width, no metadata, ids that no other plot has."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{own}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    head = svg[: svg.index(">") + 1]
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    # The label is escaped: titles and labels can come from a run's files.
    start = Markup('<svg role="img" aria-label="{}" {} xmlns:xlink="http://www.w3.org/1999/xlink">')
    return start.format(description, Markup(box.group())) + Markup(svg[len(head) :])
