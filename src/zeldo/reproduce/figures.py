"""Figures 1 and 2 of de Oliveira et al. 2020."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zeldo.files.atomic import writing
from zeldo.particles.snapshot import Snapshot
from zeldo.report.labels import in_lines
from zeldo.report.pictures import LEGEND, QUANTITIES, draw_spectrum, legend_entries, style
from zeldo.report.slices import draw_slice, same_slab
from zeldo.statistics.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 130


def figure1(slices: Sequence[tuple[str, Snapshot]], comparisons: Sequence[Comparison]) -> Figure:
    """The density of N-body above that of the network, and P, T and 1 - r^2 of displacement and density.

    Parameters
    ----------
    slices : sequence of (str, Snapshot)
        Two names and snapshots of one box.
    comparisons : sequence of Comparison

    Returns
    -------
    Figure
    """
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(14.2, 10.2), layout="constrained")
        grid = figure.add_gridspec(1, 2, width_ratios=[1.02, 2])
        _slices(figure, grid[0].subgridspec(2, 1), slices)
        panels = grid[1].subgridspec(3, 2)
        axes = []
        for column, field in enumerate(("displacement", "density")):
            for row, quantity in enumerate(QUANTITIES):
                axes.append(figure.add_subplot(panels[row, column]))
                draw_spectrum(axes[-1], comparisons, field, quantity)
        figure.legend(*legend_entries(axes), loc="outside lower center", ncols=6, **LEGEND)
    return figure


def _slices(figure: Figure, grid, slices: Sequence[tuple[str, Snapshot]]) -> None:  # type: ignore[no-untyped-def]
    maps, norm, depth = same_slab([snapshot for _, snapshot in slices])
    axes = []
    for row, ((name, snapshot), density) in enumerate(zip(slices, maps, strict=True)):
        axes.append(figure.add_subplot(grid[row]))
        image = draw_slice(axes[-1], density, snapshot.box, norm)
        axes[-1].set_title(in_lines(name, 40))
        axes[-1].set_ylabel(r"$y$ [Mpc/$h$]")
        axes[-1].set_xlabel(r"$x$ [Mpc/$h$]")
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.9, aspect=32, pad=0.02, extend="both")
    bar.set_label(depth)


def figure2(groups: Sequence[tuple[str, Sequence[Comparison]]], field: str = "density") -> Figure:
    """P, T and 1 - r^2 of a field in rows, with a column for each cosmology.

    Parameters
    ----------
    groups : sequence of (str, sequence of Comparison)
        The title and the comparisons of each column.
    field : str

    Returns
    -------
    Figure
    """
    with style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.75 * len(groups), 10.0), layout="constrained")
        axes = figure.subplots(len(QUANTITIES), len(groups), squeeze=False)
        for column, (title, comparisons) in zip(axes.T, groups, strict=True):
            for ax, quantity in zip(column, QUANTITIES, strict=True):
                draw_spectrum(ax, comparisons, field, quantity)
                ax.set_title("")
            column[0].set_title(title, fontsize=10.5)
        for row in axes:
            _one_scale(row)
        figure.legend(*legend_entries(list(axes.flat)), loc="outside lower center", ncols=6, **LEGEND)
    return figure


def _one_scale(axes: Sequence[Axes]) -> None:
    """Give panels side by side the same vertical scale and ticks, so that heights can be compared."""
    low, high = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
    busiest = max(axes, key=lambda ax: len(ax.get_yticks()))
    ticks, names = busiest.get_yticks(), [text.get_text() for text in busiest.get_yticklabels()]
    for ax in axes:
        if ax.get_yscale() == "asinh":
            ax.set_yticks(ticks, names)
        ax.set_ylim(low, high)
        if ax is not axes[0]:
            ax.set_ylabel("")


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG. The file is complete or not there at all."""
    with writing(path) as temporary, style():
        figure.savefig(temporary, format="png", dpi=DPI)
    return path
