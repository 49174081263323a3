"""One HTML page of measurements, with a plot of each statistic; several snapshots lie over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zeldo.report.html import machine_line, svg_uri, template
from zeldo.report.labels import in_lines, settings_text
from zeldo.report.pictures import COLOURS, DASHES, LEGEND, legend_columns, legend_entries, plain_x, style
from zeldo.statistics.measurement import Measurement
from zeldo.version import __version__

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDEST = 60  # characters of a name in one line of a legend
MANY = 6  # snapshots in one plot
HIGHEST = 3.0  # a ratio that a plot shows, where most are lower


class Plot(NamedTuple):
    """One column of a statistic against another: its title, what stands at y, and whether y is logarithmic."""

    statistic: str
    x: str
    y: str
    title: str
    label: str
    log: bool


PLOTS = (
    Plot("power", "k", "power", "matter power spectrum", r"$P(k)$ [$({\rm Mpc}/h)^3$]", True),
    Plot("multipoles", "k", "monopole", "monopole", r"$P_0(k)$ [$({\rm Mpc}/h)^3$]", True),
    Plot("multipoles", "k", "quadrupole", "quadrupole", r"$k P_2(k)$ [$({\rm Mpc}/h)^2$]", False),
    Plot("multipoles", "k", "hexadecapole", "hexadecapole", r"$k P_4(k)$ [$({\rm Mpc}/h)^2$]", False),
    Plot("equilateral_bispectrum", "k", "reduced", "equilateral bispectrum", r"$Q(k)$", False),
    Plot("squeezed_bispectrum", "k", "reduced", "squeezed bispectrum", r"$Q(k)$", False),
    Plot(
        "mass_function", "mass", "dn_dlnm", "halo mass function", r"$dn/d\ln M$ [$({\rm Mpc}/h)^{-3}$]", True
    ),
)
MEANINGS = {
    "power": "The matter power spectrum in real space, in bins of the fundamental mode. The "
    "dotted line is the Nyquist wavenumber of the particles' lattice. Below it, errors from the window and from aliasing "
    "are under 0.1 %.",
    "multipoles": "Multipoles of the power in redshift space, with one axis of the box as the line of sight. The monopole "
    "is the mean over directions. The others say how the power depends on the angle to the line of sight.",
    "equilateral_bispectrum": "The reduced bispectrum Q = B / (P₁P₂ + P₂P₃ + P₃P₁) of triangles with three equal sides. "
    "Bars are the standard deviation of a Gaussian field of the same power.",
    "squeezed_bispectrum": "The reduced bispectrum of one long wave, of 1 to 3 fundamentals, and two short waves of equal "
    "wavenumber k.",
    "mass_function": "Friends-of-friends halos per comoving volume and logarithm of mass, with Poisson errors.",
}


def _shot_noise(measurements: Sequence[Measurement]) -> str:
    subtracted = [bool(m.settings.get("subtract_shot_noise")) for m in measurements]
    if all(subtracted):
        return "Shot noise, V/N, is subtracted."
    return (
        "Shot noise is subtracted where the settings say so."
        if any(subtracted)
        else "Shot noise is not subtracted."
    )


def page(measurements: Sequence[Measurement], command: str = "") -> str:
    """The page as text."""
    shown = list(measurements[:MANY])
    sections = []
    for statistic, meaning in MEANINGS.items():
        if not any(statistic in m.tables for m in shown):
            continue
        figures = [
            measured_figure(shown, plot)
            for plot in PLOTS
            if plot.statistic == statistic and any(drawable(m, plot) for m in shown)
        ]
        if statistic == "power":
            meaning = f"{meaning} {_shot_noise(shown)}"
        if not figures:
            meaning = f"Nothing is drawn: no value is above 0. {meaning}"
        title = {"power": "Power spectrum"}.get(statistic, statistic.replace("_", " ").capitalize())
        sections.append({"title": title, "images": [svg_uri(f) for f in figures], "meaning": meaning})
    return str(
        template("measured.html").render(
            title="Measurements of " + ", ".join(m.name for m in shown),
            version=__version__,
            rows=[_row(m) for m in measurements],
            sections=sections,
            left_out=[m.name for m in measurements[MANY:]],
            command=command,
            machine=machine_line(),
        )
    )


def _row(m: Measurement) -> dict[str, str]:
    side = round(m.count ** (1 / 3))
    return {
        "name": m.name,
        "engine": ", ".join(filter(None, (m.engine, settings_text(m.made.get("settings", {}))))),
        "redshift": f"{m.redshift:.4g}",
        "box": f"{m.box:g}",
        "count": f"{side}³" if side**3 == m.count else f"{m.count:,}".replace(",", " "),
        "settings": ", ".join(f"{key} {value}" for key, value in m.settings.items()),
    }


def drawable(m: Measurement, plot: Plot) -> bool:
    """Whether a column has a value to draw. On a logarithmic axis it must be above 0."""
    return plot.statistic in m.tables and bool(_kept(m.tables[plot.statistic][plot.y], plot).any())


def _kept(values: np.ndarray, plot: Plot) -> np.ndarray:
    """Which values can be drawn."""
    return np.isfinite(values) & ((values > 0) | (not plot.log))


def measured_figure(measurements: Sequence[Measurement], plot: Plot) -> Figure:
    """One column of a statistic of every snapshot; below it, of several, their ratio to the first one."""
    having = [(i, m) for i, m in enumerate(measurements) if drawable(m, plot)]
    compared = len(having) > 1 and plot.log
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.4, 4.9 if compared else 4.1), layout="constrained")
        ratio = None
        if compared:
            ax, ratio = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
        else:
            ax = figure.subplots()
        for i, m in having:
            look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
            _draw(ax, m, plot, look)
            if ratio is not None:
                _draw_ratio(ratio, m, having[0][1], plot, look)
        _axes(ax, ratio, [m for _, m in having], plot)
        handles, names = legend_entries([ax])
        columns = min(len(names), legend_columns(names)) or 1
        names = [in_lines(name, WIDEST) for name in names]
        figure.legend(handles, names, loc="outside lower center", ncols=columns, **LEGEND)
    return figure


def _draw(ax: Axes, m: Measurement, plot: Plot, look: dict[str, Any]) -> None:
    table = m.tables[plot.statistic]
    x, values = table[plot.x], table[plot.y]
    if not plot.log and plot.x == "k" and plot.y != "reduced":
        values = values * x
    keep = _kept(values, plot)
    name = f"{m.name}, z = {m.redshift:.3g}"
    if "error" not in table:
        ax.plot(x[keep], values[keep], label=name, **look)
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        error = table["error"] * (table["reduced"] / table["bispectrum"] if plot.y == "reduced" else 1.0)
    bars = {"marker": "o", "markersize": 4, "capsize": 2.5, "elinewidth": 1.0}
    ax.errorbar(x[keep], values[keep], np.abs(error[keep]), label=name, **look, **bars)  # type: ignore[arg-type]


def _draw_ratio(ax: Axes, m: Measurement, reference: Measurement, plot: Plot, look: dict[str, Any]) -> None:
    """The ratio to a reference, at whose x the values are interpolated."""
    table, first = m.tables[plot.statistic], reference.tables[plot.statistic]
    x, y = plot.x, plot.y
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.interp(np.log(first[x]), np.log(table[x]), table[y], left=np.nan, right=np.nan) / first[y]
    keep = np.isfinite(values) & (values > 0)
    ax.plot(first[x][keep], values[keep], **look)


def _axes(ax: Axes, ratio: Axes | None, having: Sequence[Measurement], plot: Plot) -> None:
    ax.set_xscale("log")
    ax.set_title(plot.title)
    ax.set_ylabel(plot.label)
    if plot.log:
        ax.set_yscale("log")
    else:
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    lowest = ratio or ax
    if ratio is not None:
        # single values at the ends may be anything, but another redshift is far away as a whole
        drawn = [np.asarray(line.get_ydata()) for line in ratio.lines]
        usual = max((float(np.median(values)) for values in drawn if len(values)), default=1.0)
        ratio.axhline(1, color="0.6", lw=0.8, zorder=0)
        ratio.set_ylabel("ratio")
        low, high = ratio.get_ylim()
        ratio.set_ylim(max(low, 0.0), min(high, max(HIGHEST, 1.5 * usual)))
    if plot.statistic == "mass_function":
        lowest.set_xlabel(r"$M$ [$10^{10}\,M_\odot/h$]")
        plain_x(lowest)
        return
    for panel in filter(None, (ax, ratio)):
        for nyquist in {round(m.nyquist, 6) for m in having}:
            panel.axvline(nyquist, color="0.6", lw=0.8, ls=":", zorder=0)
    lowest.set_xlabel(r"$k$ [$h$/Mpc]")
    plain_x(lowest)
