"""Pictures of a comparison: spectra against k, cost against accuracy. The slices are in `slices`.

Every function returns a matplotlib Figure that belongs to no window system; `figure.savefig(path)` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.report.labels import at_k, cost_text, in_lines, labels
from zeldo.statistics.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.6, 3.7  # inches of one picture without its legend; a third of a page
LONG_AXIS = 3e3  # between the ends of an axis: beyond it, only powers of ten have room
BAND = 1.5  # the factor within which most expected errors are right
QUANTITIES = ("power", "transfer", "one_minus_r2")
# Okabe & Ito (2008), told apart with any colour vision; dashes and markers for prints without colour
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.5, 1.2, 1.5)),
    (0, (9, 2)),
    (0, (3, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # one more than colours: the seventh engine looks new
STYLE: Any = {
    "font.size": 10.5,
    "axes.labelsize": 11,
    "axes.titlesize": 11.5,
    "legend.fontsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "mathtext.fontset": "dejavusans",
    "svg.hashsalt": "zeldo",  # same content, same bytes
}
LEGEND: dict[str, Any] = {
    "frameon": False,
    "handlelength": 2.8,
    "labelspacing": 0.35,
    "columnspacing": 1.4,
    "borderaxespad": 0.2,
}
POWER_UNITS = {
    "density": r"$({\rm Mpc}/h)^3$",
    "displacement": r"$({\rm Mpc}/h)^5$",
    "velocity": r"$({\rm km/s})^2\,({\rm Mpc}/h)^3$",
}


def spectrum_figure(
    comparisons: Sequence[Comparison], field: str, quantity: str, names: Sequence[str] | None = None
) -> Figure:
    """One quantity of `QUANTITIES` of one field against k, a line an engine; names: `labels` of them where absent."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, HEIGHT))
        ax = figure.subplots()
        draw_spectrum(ax, comparisons, field, quantity, names)
        _fit(figure, ax)
    return figure


def draw_spectrum(
    ax: Axes,
    comparisons: Sequence[Comparison],
    field: str,
    quantity: str,
    names: Sequence[str] | None = None,
) -> None:
    """What `spectrum_figure` shows, without a legend, on axes of any figure; call it within `style()`."""
    names = names or labels(comparisons)
    first = comparisons[0]
    shown = [
        (i, comparison.fields[field])
        for i, comparison in enumerate(comparisons)
        if field in comparison.fields
    ]
    nyquist = np.pi * first.n / first.box
    ax.set_xscale("log")
    if quantity == "power" and shown:
        spectrum = shown[0][1]
        keep = _positive(spectrum.k, spectrum.power_reference)
        ax.plot(
            spectrum.k[keep], spectrum.power_reference[keep], color="black", lw=2.6, label=first.reference
        )
    for i, spectrum in shown:
        values = np.asarray(getattr(spectrum, quantity), dtype=float)
        if quantity == "transfer":
            values = 100 * (values - 1)
        if quantity == "one_minus_r2":
            values = np.maximum(values, 1e-6)  # the rounding of float32; keeps nan
        keep = _positive(spectrum.k, values) if quantity == "power" else _finite(spectrum.k, values)
        ax.plot(
            spectrum.k[keep],
            values[keep],
            color=COLOURS[i % len(COLOURS)],
            linestyle=DASHES[(i + i // len(COLOURS)) % len(DASHES)],
            label=names[i],
        )
    for i, comparison in enumerate(comparisons):
        if comparison.expected_error is not None and quantity != "power":
            _draw_expected(ax, comparison.expected_error, field, quantity, COLOURS[i % len(COLOURS)])
    {"power": _power_axis, "transfer": _transfer_axis, "one_minus_r2": _decorrelation_axis}[quantity](
        ax, field
    )
    largest = max((float(np.nanmax(s.k)) for _, s in shown), default=nyquist)
    ax.set_xlim(2 * np.pi / first.box, max(largest, nyquist) * 1.02)
    if largest > 1.1 * nyquist:
        ax.axvline(nyquist, color="0.6", lw=0.8, ls=":", zorder=0)
        if quantity != "transfer":  # there the curves leave no room for words
            low = quantity == "one_minus_r2"
            ax.annotate(
                "lattice Nyquist",
                (nyquist, 0.02 if low else 0.98),
                xycoords=("data", "axes fraction"),
                rotation=90,
                ha="right",
                va="bottom" if low else "top",
                fontsize=8,
                color="0.45",
            )
    ax.set_xlabel(r"$k$ [$h$/Mpc]")
    plain_x(ax)


def _draw_expected(
    ax: Axes, expected: Mapping[str, Sequence[float]], field: str, quantity: str, colour: str
) -> None:
    """The error that a prediction expects of itself: a band about T = 1, or 1 - r^2 within a factor of `BAND`."""
    k = np.asarray(expected["k"])
    if quantity == "transfer" and f"{field} power" in expected:
        error = 50 * np.asarray(expected[f"{field} power"])  # per cent of T, half of those of P
        ax.fill_between(k, -error, error, color=colour, alpha=0.15, lw=0, label="expected error")
    elif quantity == "one_minus_r2" and f"{field} one_minus_r2" in expected:
        error = np.maximum(np.asarray(expected[f"{field} one_minus_r2"]), 1e-6)
        ax.fill_between(k, error / BAND, error * BAND, color=colour, alpha=0.15, lw=0, label="expected error")


def legend_entries(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """Handles and names for one legend of all axes; what reads the same stands in it once."""
    entries: dict[str, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    return list(entries.values()), list(entries)


def legend_columns(names: Sequence[str]) -> int:
    """Of a legend under the axes: two where all names are short enough."""
    return 2 if max(map(len, names), default=0) <= 26 else 1


def _fit(figure: Figure, ax: Axes, left: float = 0.85) -> None:
    """Margins in inches, and a legend under the axes, where it hides no curve.

    By hand, as matplotlib's own layout draws everything twice.
    """
    handles, names = legend_entries([ax])
    columns = legend_columns(names)
    legend = 0.2 * -(-len(names) // columns) + 0.06
    height = HEIGHT + legend
    figure.set_size_inches(WIDTH, height)
    figure.subplots_adjust(left / WIDTH, (0.52 + legend) / height, 1 - 0.12 / WIDTH, 1 - 0.32 / height)
    if names:
        figure.legend(handles, names, loc="lower center", ncols=columns, **LEGEND)


def _power_axis(ax: Axes, field: str) -> None:
    ax.set_yscale("log")
    ax.set_title(f"{field}: power spectrum")
    ax.set_ylabel(rf"$P(k)$ [{POWER_UNITS[field]}]" if field in POWER_UNITS else "$P(k)$")


def _transfer_axis(ax: Axes, field: str) -> None:
    # linear where a per cent matters, logarithmic where an engine fails: both stay on one picture
    ax.set_yscale("asinh", linear_width=2.0)
    low, high = (min(ax.get_ylim()[0], -5.0), max(ax.get_ylim()[1], 5.0))
    ticks = [t for t in (-90, -50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50, 100, 200, 500) if low <= t <= high]
    ax.set_yticks(ticks, [f"{t:+d}".replace("-", "−") if t else "0" for t in ticks])
    ax.set_yticks([], minor=True)
    ax.set_ylim(low, high)
    ax.axhspan(-1, 1, color="0.5", alpha=0.22, lw=0, zorder=0, label="within 1 %")
    ax.axhline(0, color="black", lw=0.8, zorder=0)
    ax.set_title(f"{field}: transfer function")
    ax.set_ylabel(r"$T - 1$ [per cent]")


def _decorrelation_axis(ax: Axes, field: str) -> None:
    ax.set_yscale("log")
    ax.set_ylim(max(min(ax.get_ylim()[0], 3e-3), 5e-7), 1.6)
    ax.axhline(0.01, color="0.45", lw=1.0, ls=(0, (2, 2)), zorder=0, label="1 %")
    ax.set_title(f"{field}: decorrelation")
    ax.set_ylabel(r"$1 - r^2$")


def plain_x(ax: Axes) -> None:
    """Plain numbers on a logarithmic x-axis: at 1 and 3 of each decade, or closer where fewer than two are in sight."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

    low, high = ax.get_xlim()
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.floor(np.log10(high)) + 1)
    coarse = [(1,)] if high > LONG_AXIS * low else [(1, 3), (1, 2, 5)]
    choices = [np.outer(decades, digits).ravel() for digits in coarse]
    for ticks in (*choices, MaxNLocator(4).tick_values(low, high)):
        shown = [tick for tick in ticks if low <= tick <= high]
        if len(shown) > 1:
            break
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.7g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def cost_figure(
    comparisons: Sequence[Comparison], k: float = 0.5, names: Sequence[str] | None = None
) -> Figure | None:
    """Wall time against 1 - r^2 of the density at k (h/Mpc). None where no engine has both."""
    names = names or labels(comparisons)
    points = [
        (i, comparison.wall_seconds, max(lost, 1e-6))
        for i, comparison in enumerate(comparisons)
        if comparison.wall_seconds and np.isfinite(lost := at_k(comparison, "density", "one_minus_r2", k))
    ]
    if not points:
        return None
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, HEIGHT))
        ax = figure.subplots()
        for i, seconds, value in points:
            marker, colour = MARKERS[i % len(MARKERS)], COLOURS[i % len(COLOURS)]
            ax.plot(
                seconds, value, marker, color=colour, markersize=11, label=names[i], markeredgecolor="white"
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        for axis, values in ((ax.set_xlim, [p[1] for p in points]), (ax.set_ylim, [p[2] for p in points])):
            axis(min(values) / 3, max(values) * 3)
        ax.set_xlabel("wall time [s]")
        ax.set_ylabel(rf"density $1 - r^2$, $k = {k:g}$ $h$/Mpc")
        ax.set_title("time and accuracy")
        ax.grid(color="0.9", lw=0.6)
        ax.set_axisbelow(True)
        plain_x(ax)
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        _fit(figure, ax, left=1.15)  # minor ticks have long numbers
    return figure


def memory_figure(comparisons: Sequence[Comparison], names: Sequence[str] | None = None) -> Figure | None:
    """A bar for the peak memory of each engine, GB. None where nobody measured."""
    names = names or labels(comparisons)
    bars = [(i, comparison.peak_memory) for i, comparison in enumerate(comparisons) if comparison.peak_memory]
    if not bars:
        return None
    with style():
        from matplotlib.figure import Figure

        written = [in_lines(names[i], 22) for i, _ in bars]
        lines = max(text.count("\n") + 1 for text in written)
        height = max(HEIGHT, len(bars) * max(0.45, 0.19 * lines) + 0.9)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        ax = figure.subplots()
        where = np.arange(len(bars))[::-1]
        drawn = ax.barh(
            where, [gb for _, gb in bars], height=0.6, color=[COLOURS[i % len(COLOURS)] for i, _ in bars]
        )
        ax.bar_label(drawn, [cost_text(gb) for _, gb in bars], padding=4)
        ax.set_yticks(where, written, fontsize=9.5)
        ax.tick_params(axis="y", length=0)
        ax.set_xlim(0, 1.15 * max(gb for _, gb in bars))
        ax.set_ylim(-0.7, max(len(bars), 3) - 0.3)
        ax.set_xlabel("peak memory [GB]")
        ax.set_title("memory")
    return figure


def _finite(*arrays: np.ndarray) -> np.ndarray:
    return np.isfinite(arrays).all(axis=0) & (arrays[0] > 0)


def _positive(*arrays: np.ndarray) -> np.ndarray:
    return _finite(*arrays) & (np.asarray(arrays) > 0).all(axis=0)


def style() -> AbstractContextManager[None]:
    """The fonts, lines and axes of every picture, while the context lasts."""
    import matplotlib  # 0.5 s, for those who draw

    return matplotlib.rc_context(STYLE)
