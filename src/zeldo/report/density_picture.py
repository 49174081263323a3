"""Pictures of the density of any particles: slices and projections along an axis of the box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zeldo.errors import InputError
from zeldo.keywords import axis_index, number
from zeldo.particles.particles import Particles
from zeldo.particles.snapshot import Snapshot
from zeldo.report.labels import in_lines
from zeldo.report.pictures import style
from zeldo.report.slices import cyclic, densest_slab, draw_slice, finer, projected_density
from zeldo.statistics.matter import Matter, matter_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zeldo.engines.base import Progress

AXES = "xyz"
FEWEST = 12.0  # particles that a smoothed pixel averages over
FEWEST_OF_SHEET = 100.0  # the same of points of a sheet: in voids they stand in rows
LETTERS = 10  # of a title, for each inch of a picture
LEVELS = 9  # of smoothing, each sqrt 2 wider
RANGE = 1.2  # between the ends of the colours at least: less is the grain of the map
SHARES = (0.002, 0.9995)  # of the pixels, outside of which the colours end


@dataclass(frozen=True)
class Slab:
    """A part of the box along an axis.

    Parameters
    ----------
    axis : {0, 1, 2}
        The line of sight.
    start, thickness : float
        Where it begins, and how deep it is, Mpc/h.
    """

    axis: int
    start: float
    thickness: float


def slab_of(
    snapshot: Snapshot | Particles, axis: int | str, start: float | None, thickness: float | None
) -> Slab:
    """The slab to show: checked, and by default where most mass is.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        The particles.
    axis : {"x", "y", "z", 0, 1, 2}
        The line of sight.
    start, thickness : float, optional
        Mpc/h. The densest slab, and the whole box, where absent.

    Raises
    ------
    InputError
        For another axis, and a slab that is not in the box.
    """
    matter = matter_of(snapshot, "show")
    along = axis_index(axis)
    thickness = matter.box if thickness is None else number(thickness, "thickness")
    if not 0 < thickness <= matter.box:
        raise InputError(
            f"thickness = {thickness:g} is not allowed: give a length in Mpc/h, at most the box, {matter.box:g}"
        )
    if start is None:
        start = _densest(matter, along, thickness)
    start = number(start, "start")
    if not 0 <= start < matter.box:
        raise InputError(f"start = {start:g} is not allowed: give a place in the box, 0 to {matter.box:g}")
    return Slab(along, float(start), float(thickness))


def density_map(
    snapshot: Snapshot | Particles,
    slab: Slab,
    pixels: int,
    progress: Progress | None = None,
) -> np.ndarray:
    """1 + delta averaged along the line of sight through a slab.

    A lattice is filled as a continuous sheet (Abel, Hahn & Kaehler 2012, arXiv:1111.3944). Bare particles are smoothed
    over as many pixels as hold a dozen of them.

    Parameters
    ----------
    snapshot : Snapshot or Particles
        The particles.
    slab : Slab
        What to show.
    pixels : int
        Per side.
    progress : callable, optional
        `progress(done, total, text)` before planes of a lattice are drawn, where work is counted in planes.

    Returns
    -------
    ndarray
        (pixels, pixels), the axes after the line of sight in cyclic order.
    """
    if isinstance(snapshot, Snapshot):
        density = projected_density(snapshot, pixels, slab.start, slab.thickness, slab.axis, progress)
        points = (finer(snapshot.n) * snapshot.n) ** 3 * slab.thickness / snapshot.box / pixels**2
        return _smoothed(density * points, FEWEST_OF_SHEET) / points
    matter = matter_of(snapshot)
    x = matter.positions()[:, cyclic(slab.axis)]
    x = x[np.mod(x[:, 2] - slab.start, matter.box) < slab.thickness]
    cells = np.minimum((x[:, :2] * (pixels / matter.box)).astype(np.int64), pixels - 1)
    counts = np.bincount(cells[:, 0] * pixels + cells[:, 1], minlength=pixels**2).reshape(pixels, pixels)
    mean = matter.count * slab.thickness / matter.box / pixels**2
    return _smoothed(counts.astype(float), FEWEST) / mean


def density_figure(
    maps: Sequence[np.ndarray], slabs: Sequence[Slab], boxes: Sequence[float], titles: Sequence[str]
) -> Figure:
    """The maps side by side on one colour scale, log10(1 + delta).

    Parameters
    ----------
    maps : sequence of ndarray
        Of `density_map`.
    slabs, boxes, titles : sequence
        What each shows, its side in Mpc/h, and what stands above it.
    """
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    columns = min(len(maps), 3 if len(maps) != 4 else 2)
    rows = -(-len(maps) // columns)
    side = 7.2 if len(maps) == 1 else 4.6
    low, high = np.quantile(np.concatenate([m.ravel() for m in maps]), SHARES)
    norm = Normalize(np.log10(max(low, 1e-2)), np.log10(max(high, RANGE * low, RANGE * 1e-2)))
    with style():
        figure = Figure(figsize=(side * columns + 0.9, (side + 0.3) * rows + 0.2), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(maps) :]:
            ax.set_visible(False)
        for ax, density, slab, box, title in zip(axes.flat, maps, slabs, boxes, titles, strict=False):
            image = draw_slice(ax, density, box, norm)
            image.set_cmap("magma")
            first, second, _ = (AXES[i] for i in cyclic(slab.axis))
            ax.set_xlabel(rf"${first}$ [Mpc/$h$]")
            ax.set_ylabel(rf"${second}$ [Mpc/$h$]")
            whole = np.isclose(slab.thickness, box)
            depth = (
                "whole box"
                if whole
                else f"{slab.start:.4g} to {slab.start + slab.thickness:.4g} Mpc/h along {AXES[slab.axis]}"
            )
            ax.set_title(f"{in_lines(title, int(LETTERS * side))}\n{depth}", fontsize=10.5)
        bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=32, pad=0.015, extend="both")
        bar.set_label(r"$\log_{10}(1 + \delta)$, mean along the line of sight")
        bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _densest(matter: Matter, axis: int, thickness: float) -> float:
    if isinstance(matter.source, Snapshot):
        return densest_slab(matter.source, thickness, axis)
    slabs = max(int(matter.box // thickness), 1)
    along = matter.positions()[:, axis]
    counts = np.bincount((along / thickness).astype(np.int64), minlength=slabs)
    return float(counts[:slabs].argmax() * thickness)


def _smoothed(counts: np.ndarray, fewest: float) -> np.ndarray:
    """Counts a pixel, each averaged over the smallest Gaussian that holds `fewest`; their sum stays."""
    from scipy.ndimage import gaussian_filter

    result = gaussian_filter(counts, 2 ** (0.5 * (LEVELS - 1)), mode="wrap")
    for level in range(LEVELS - 2, -1, -1):
        width = 0.7 * 2 ** (0.5 * level)
        finer = gaussian_filter(counts, width, mode="wrap")
        held = finer * (4 * np.pi * width**2)
        share = np.clip(held / fewest - 0.5, 0, 1)  # from one width to the next without an edge
        result += share * (finer - result)
    return result * (counts.sum() / max(result.sum(), 1.0))  # the smoothing conserves mass only nearly
