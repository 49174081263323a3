"""Slices of the density: the same slab of every snapshot on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zeldo.errors import InputError
from zeldo.particles.snapshot import Snapshot
from zeldo.report.labels import wrapped
from zeldo.report.pictures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

SLAB = 15.0  # Mpc/h: thin enough to see filaments, thick enough to see where they join
EMPTIEST = 0.1  # the lower end of the colours, 1 + delta


def slice_figure(
    snapshots: Sequence[Snapshot],
    names: Sequence[str],
    *,
    thickness: float = SLAB,
    mesh: int | None = None,
) -> Figure:
    """The same slab of every snapshot, log10(1 + delta) on one colour scale, which the first snapshot sets.

    Parameters
    ----------
    snapshots : sequence of Snapshot
        Of one box.
    names : sequence of str
        A title for each.
    thickness : float
        Depth of the slab along the third axis, Mpc/h. It lies where the first snapshot has most mass.
    mesh : int, optional
        Cells per side of each map, by default twice the lattice, up to 512.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        For no snapshots, and for another number of names.
    """
    if not snapshots or len(snapshots) != len(names):
        raise InputError(f"{len(snapshots)} snapshots, {len(names)} names: give one or more, and a name each")
    from matplotlib.figure import Figure

    box = snapshots[0].box
    thickness = min(thickness, box)
    start = densest_slab(snapshots[0], thickness)
    maps = [
        projected_density(snapshot, mesh or min(2 * snapshot.n, 512), start, thickness)
        for snapshot in snapshots
    ]
    norm = colours(maps[0])
    columns = 2 if len(maps) in (2, 4) else min(len(maps), 3)
    rows = -(-len(maps) // columns)
    titles = [wrapped(name, 36) for name in names]
    title_lines = max(title.count("\n") for title in titles)
    with style():
        size = (3.3 * columns + 0.9, (3.25 + 0.18 * title_lines) * rows + 0.55)
        figure = Figure(figsize=size, layout="compressed")  # boxes are square
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for ax in axes.flat[len(maps) :]:
            ax.set_visible(False)
        for i, (ax, density, title) in enumerate(zip(axes.flat, maps, titles, strict=False)):
            lowest = i + columns >= len(maps)
            image = draw_slice(ax, density, box, norm)
            ax.set_title(title, fontsize=11, fontweight="bold" if i == 0 else "normal")
            ax.tick_params(labelbottom=lowest, length=3)
            if lowest:
                ax.set_xlabel(r"$x$ [Mpc/$h$]")
            if i % columns == 0:
                ax.set_ylabel(r"$y$ [Mpc/$h$]")
        bar = figure.colorbar(image, ax=axes, shrink=0.9, aspect=15 * rows + 10, pad=0.02, extend="both")
        bar.set_label(rf"$\log_{{10}}(1 + \delta)$, {thickness:.3g} Mpc/$h$ deep")
    return figure


def colours(density: np.ndarray) -> Normalize:
    """The colour scale of a reference's map: it alone sets it, so that an engine does not change how others look."""
    from matplotlib.colors import Normalize

    return Normalize(np.log10(EMPTIEST), np.log10(max(float(np.quantile(density, 0.9995)), 2.0)))


def draw_slice(ax: Axes, density: np.ndarray, box: float, norm: Normalize) -> AxesImage:
    """A map of `projected_density` on axes of any figure, log10(1 + delta) in the colours of `norm`."""
    from matplotlib.ticker import MaxNLocator

    ax.spines[:].set_visible(False)
    for axis in (ax.xaxis, ax.yaxis):  # no number at the far end, where the next picture begins
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], prune="upper"))
    return ax.imshow(
        np.log10(np.maximum(density, EMPTIEST)).T,
        origin="lower",
        extent=(0, box, 0, box),
        cmap="inferno",
        norm=norm,
        interpolation="bilinear",
    )


def projected_density(snapshot: Snapshot, mesh: int, start: float, thickness: float) -> np.ndarray:
    """1 + delta averaged along the third axis over [start, start + thickness), (mesh, mesh), cloud-in-cell.

    Cell (i, j) is centred on (i + 1/2, j + 1/2) box / mesh; the mean over all slabs of the box is 1. Every lattice cell
    is filled with 2 to 4 particles per side, interpolated between its corners, so that voids do not show the lattice.
    This is the dark matter sheet of Abel, Hahn & Kaehler 2012 (arXiv:1111.3944).
    """
    n, box = snapshot.n, snapshot.box
    near = np.float32(box)
    images = np.round(snapshot.psi / near)  # the nearest one, for psi made of wrapped positions
    psi = snapshot.psi - near * images
    axis = np.arange(n, dtype=np.float32) * np.float32(box / n)
    per_side = finer(n)
    parts = np.arange(per_side, dtype=np.float32) / np.float32(per_side)
    step = np.float32(box / n)
    density = np.zeros(mesh * mesh)
    for a in parts:
        face = _between(psi, a, 1)
        for b in parts:
            edge = _between(face, b, 2)
            ahead = np.roll(edge, -1, 3)
            for c in parts:
                z = edge[2] + c * (ahead[2] - edge[2]) + (axis + c * step - np.float32(start))
                inside = np.mod(z, near) < thickness
                i, j, _ = np.nonzero(inside)
                x, y = (1 - c) * edge[:2, inside] + c * ahead[:2, inside]
                x += axis[i] + a * step
                y += axis[j] + b * step
                density += _deposit(x * (mesh / box) - 0.5, y * (mesh / box) - 0.5, mesh)
    particles = (per_side * n) ** 3
    return density.reshape(mesh, mesh) * (mesh * mesh / (particles * thickness / box))


def finer(n: int) -> int:
    """Points of the sheet per side of a lattice cell."""
    return min(max(192 // n, 2), 4)


def _between(field: np.ndarray, part: np.float32, axis: int) -> np.ndarray:
    """A periodic field, linearly interpolated `part` of a lattice spacing further along an axis."""
    return field + part * (np.roll(field, -1, axis) - field) if part else field


def _deposit(x: np.ndarray, y: np.ndarray, mesh: int) -> np.ndarray:
    """Cloud-in-cell weights of points at (x, y), in cells, on a periodic mesh, flat (mesh * mesh,)."""
    left, below = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x, y = x - left, y - below
    total = np.zeros(mesh * mesh)
    for di, wx in ((0, 1 - x), (1, x)):
        for dj, wy in ((0, 1 - y), (1, y)):
            cell = (left + di) % mesh * mesh + (below + dj) % mesh
            total += np.bincount(cell, weights=wx * wy, minlength=mesh * mesh)
    return total


def densest_slab(snapshot: Snapshot, thickness: float) -> float:
    """Where the slab of the third axis begins that holds most mass, Mpc/h; slabs side by side from 0."""
    n, box = snapshot.n, snapshot.box
    slabs = max(int(box // thickness), 1)
    axis = np.arange(n, dtype=np.float32) * np.float32(box / n)
    z = np.mod(snapshot.psi[2] + axis, np.float32(box))
    counts = np.bincount((z.ravel() / np.float32(thickness)).astype(np.int64), minlength=slabs)
    return float(counts[:slabs].argmax() * thickness)
