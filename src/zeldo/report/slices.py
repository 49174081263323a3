"""Slices of the density: the same slab of every snapshot on one colour scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from zeldo.errors import InputError
from zeldo.particles.snapshot import Snapshot
from zeldo.report.labels import in_lines
from zeldo.report.pictures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from zeldo.engines.base import Progress

SLAB = 15.0  # Mpc/h: thin enough to see filaments, thick enough to see where they join
EMPTIEST = 0.1  # the lower end of the colours, 1 + delta
EVEN = 2.0  # a map whose highest values are lower has no halos, and colours of its own


def slice_figure(
    snapshots: Sequence[Snapshot],
    names: Sequence[str],
    *,
    thickness: float = SLAB,
    mesh: int | None = None,
    reference: bool = False,
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
    reference : bool
        Whether the first snapshot is what the others are held against. Its title is then bold.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        For no snapshots, and for another number of names.
    """
    if isinstance(snapshots, Snapshot) or isinstance(names, str):
        raise InputError("snapshots and names are lists: give [snapshot] and [name] for one")
    if not snapshots or len(snapshots) != len(names):
        raise InputError(f"{len(snapshots)} snapshots, {len(names)} names: give one or more, and a name each")
    from matplotlib.figure import Figure

    box = snapshots[0].box
    maps, norm, depth = same_slab(snapshots, thickness, mesh)
    columns = 2 if len(maps) in (2, 4) else min(len(maps), 3)
    rows = -(-len(maps) // columns)
    titles = [in_lines(name, 36) for name in names]
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
            ax.set_title(title, fontsize=11, fontweight="bold" if reference and i == 0 else "normal")
            ax.tick_params(labelbottom=lowest, length=3)
            if lowest:
                ax.set_xlabel(r"$x$ [Mpc/$h$]")
            if i % columns == 0:
                ax.set_ylabel(r"$y$ [Mpc/$h$]")
        bar = figure.colorbar(image, ax=axes, shrink=0.9, aspect=15 * rows + 10, pad=0.02, extend="both")
        bar.set_label(depth)
    return figure


def same_slab(
    snapshots: Sequence[Snapshot], thickness: float = SLAB, mesh: int | None = None
) -> tuple[list[np.ndarray], Normalize, str]:
    """Maps of one slab of every snapshot, the colours that the first one sets, and what the colours are, in words.

    The parameters are those of `slice_figure`.
    """
    first = snapshots[0]
    thickness = min(thickness, first.box)
    start = densest_slab(first, thickness)
    maps = [
        projected_density(snapshot, mesh or min(2 * snapshot.n, 512), start, thickness)
        for snapshot in snapshots
    ]
    return maps, colours(maps[0]), rf"$\log_{{10}}(1 + \delta)$, {thickness:.3g} Mpc/$h$ deep"


def colours(density: np.ndarray) -> Normalize:
    """The colour scale of a reference's map: it alone sets it, so that an engine does not change how others look."""
    from matplotlib.colors import Normalize

    low, high = (float(value) for value in np.quantile(density, (0.0005, 0.9995)))
    if high < EVEN:  # early, or on a coarse lattice: from a tenth of the mean on, all would have one colour
        return Normalize(np.log10(max(min(low, 0.99), EMPTIEST)), np.log10(max(high, 1.01)))
    return Normalize(np.log10(EMPTIEST), np.log10(high))


def draw_slice(ax: Axes, density: np.ndarray, box: float, norm: Normalize) -> AxesImage:
    """A map of `projected_density` on axes of any figure, log10(1 + delta) in the colours of `norm`."""
    assert norm.vmin is not None  # of `colours`, and of every other scale with ends
    from matplotlib.ticker import MaxNLocator

    ax.spines[:].set_visible(False)
    for axis in (ax.xaxis, ax.yaxis):  # no number at the far end, where the next picture begins
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], prune="upper"))
    return ax.imshow(
        np.log10(np.maximum(density, 10**norm.vmin)).T,
        origin="lower",
        extent=(0, box, 0, box),
        cmap="inferno",
        norm=norm,
        interpolation="bilinear",
    )


def projected_density(
    snapshot: Snapshot,
    mesh: int,
    start: float,
    thickness: float,
    axis: int = 2,
    progress: Progress | None = None,
) -> np.ndarray:
    """1 + delta averaged along an axis over [start, start + thickness), (mesh, mesh), cloud-in-cell.

    The axes of the result are the two after it in cyclic order. Cell (i, j) is centred on (i + 1/2, j + 1/2) box / mesh;
    the mean over all slabs of the box is 1. Every lattice cell is filled with 2 to 4 particles per side, interpolated
    between its corners, so that voids do not show the lattice. This is the dark matter sheet of Abel, Hahn & Kaehler 2012
    (arXiv:1111.3944). The lattice is read some planes at a time, and `progress` is told how many are done.
    """
    n, box = snapshot.n, snapshot.box
    near, step, per_side = np.float32(box), np.float32(box / n), finer(n)
    parts = np.arange(per_side, dtype=np.float32) / np.float32(per_side)
    right, up, ahead = cyclic(axis)
    density = np.zeros(mesh * mesh)
    for first, psi in _sheet(snapshot):
        if progress is not None:
            progress(first, n, f"plane {first + 1} of {n}")
        lattice = _lattice(snapshot, first, psi.shape[1] - 1)
        for place in product(parts, repeat=3):
            a, b, c = place
            if c == 0:
                edge = _between(psi[:, :-1], psi[:, 1:], a)
                edge = _between(edge, np.roll(edge, -1, 2), b)
                beyond = np.roll(edge, -1, 3)
            shift = place[ahead] * step - np.float32(start)
            depth = edge[ahead] + c * (beyond[ahead] - edge[ahead]) + (lattice[ahead] + shift)
            inside = np.mod(depth, near) < thickness
            x, y = (1 - c) * edge[:, inside][[right, up]] + c * beyond[:, inside][[right, up]]
            x += np.broadcast_to(lattice[right], inside.shape)[inside] + place[right] * step
            y += np.broadcast_to(lattice[up], inside.shape)[inside] + place[up] * step
            density += _deposit(x * (mesh / box) - 0.5, y * (mesh / box) - 0.5, mesh)
    particles = (per_side * n) ** 3
    return density.reshape(mesh, mesh) * (mesh * mesh / (particles * thickness / box))


def cyclic(axis: int) -> list[int]:
    """The axes of a picture, and the line of sight last."""
    return [(axis + 1) % 3, (axis + 2) % 3, axis]


def _sheet(snapshot: Snapshot) -> Iterator[tuple[int, np.ndarray]]:
    """The first plane, and displacements to the nearest image on some planes and on the one that follows them."""
    box = np.float32(snapshot.box)
    start, before = 0, None
    for first, psi in snapshot.slabs():
        psi = psi - box * np.round(psi / box)  # for psi made of wrapped positions
        if before is None:
            edge = psi[:, :1].copy()
        else:
            yield start, np.concatenate([before, psi[:, :1]], 1)
        start, before = first, psi
    assert before is not None
    yield start, np.concatenate([before, edge], 1)


def _lattice(snapshot: Snapshot, first: int, planes: int) -> list[np.ndarray]:
    """Where the lattice points of some planes are along each axis, Mpc/h, shaped to broadcast over (planes, n, n)."""
    step = np.float32(snapshot.box / snapshot.n)
    x, y, z = (
        np.arange(snapshot.n, dtype=np.float32) * step + np.float32(cells) * step for cells in snapshot.offset
    )
    return [x[first : first + planes, None, None], y[:, None], z]


def finer(n: int) -> int:
    """Points of the sheet per side of a lattice cell."""
    return min(max(192 // n, 2), 4)


def _between(field: np.ndarray, following: np.ndarray, part: np.float32) -> np.ndarray:
    """Interpolated linearly, `part` of the way from one field to the other."""
    return field + part * (following - field) if part else field


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


def densest_slab(snapshot: Snapshot, thickness: float, axis: int = 2) -> float:
    """Where the slab along an axis begins that holds most mass, Mpc/h; slabs side by side from 0."""
    count = max(int(snapshot.box // thickness), 1)
    held = np.zeros(count, np.int64)
    for first, psi in snapshot.slabs():
        x = np.mod(psi[axis] + _lattice(snapshot, first, psi.shape[1])[axis], np.float32(snapshot.box))
        cells = (x.ravel() / np.float32(thickness)).astype(np.int64)
        held += np.bincount(cells, minlength=count)[:count]
    return float(held.argmax() * thickness)
