"""Spherical-overdensity masses of the halos of a universe on disk, by slabs of space and what spheres need around them.

Every halo sees the same particles as in memory, and they are counted by the same code, so that masses agree to the last bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zeldo.keywords import PathLike
from zeldo.measuring.memory import available
from zeldo.statistics.on_disk import OnDisk
from zeldo.statistics.overdensity import HaloCatalogue, Spheres, SphericalOverdensity, centres
from zeldo.statistics.streaming_halos import PASSES, RECORD, SortedHalos, sorted_halos

if TYPE_CHECKING:
    from zeldo.engines.base import Progress

MEMBER = np.dtype([("halo", "<i8"), ("x", "<f8", 3)])
MEMBER_BYTES = 200  # of a member, while centres are looked for


def stream_halo_catalogue(
    path: PathLike,
    redshift: float | None = None,
    *,
    linking_length: float = 0.2,
    minimum: int = 20,
    backend: str | None = None,
    slabs: int | None = None,
    progress: Progress | None = None,
) -> HaloCatalogue:
    """Halos of a universe on disk with M200c, M200m and Mvir: what `halos` finds in its snapshot.

    Parameters
    ----------
    path, redshift, linking_length, minimum, backend, slabs
        As in `stream_halos`.
    progress : callable, optional
        `progress(done, total, text)` before each slab, where work is counted in slabs, each for groups and for spheres.

    Returns
    -------
    HaloCatalogue
    """
    here = OnDisk.open(path, redshift)
    with sorted_halos(here, linking_length, minimum, backend, slabs, progress) as made:
        spheres, matter = _spheres(here, made, progress), here.matter
        return HaloCatalogue(made.friends, spheres, matter.header.cosmology, matter.parameters)


def _spheres(here: OnDisk, made: SortedHalos, progress: Progress | None) -> SphericalOverdensity:
    from scipy.spatial import cKDTree

    centre, slabs = _centres(here, made), len(made.slabs)
    spheres = Spheres(here.matter, centre, made.friends.count)
    slab = np.minimum((centre[:, 0] * (slabs / here.box)).astype(np.int64), slabs - 1)
    for number in range(slabs):
        if progress is not None:
            progress(slabs + number, PASSES * slabs, f"spheres in slab {number + 1} of {slabs}")
        waiting = np.flatnonzero(slab == number)
        while waiting.size:
            margin = float(spheres.radius[waiting].max())
            tree = cKDTree(_around(made.slabs, here.box, number, margin), boxsize=here.box)
            # all that wait are looked at; those whose spheres outgrow the margin come again
            while waiting.size and spheres.radius[waiting].max() <= margin:
                waiting = spheres.grow(tree, waiting)
    return spheres.found()


def _around(files: list[Path], box: float, number: int, margin: float) -> np.ndarray:
    """Positions of the particles of a slab, and of those within a margin of it."""
    width = box / len(files)
    middle, reach = (number + 0.5) * width, 0.5 * width + margin * (1 + 1e-9)
    parts = []
    for other, file in enumerate(files):
        apart = abs((other - number + 0.5 * len(files)) % len(files) - 0.5 * len(files)) * width
        if apart - 0.5 * width > reach:
            continue
        x = np.fromfile(file, RECORD)["x"]
        if apart + 0.5 * width > reach:
            away = x[:, 0] - middle
            x = x[np.abs(away - box * np.round(away / box)) <= reach]
        parts.append(x)
    return np.concatenate(parts)


def _centres(here: OnDisk, made: SortedHalos) -> np.ndarray:
    """Centres by shrinking spheres, of as many halos at a time as have members that fit into memory."""
    friends, out = made.friends, np.empty((len(made.friends.count), 3))
    most = max(available() / MEMBER_BYTES, 1.0)
    part = (np.cumsum(friends.count) / most).astype(np.int64)  # halos that follow each other
    with tempfile.TemporaryDirectory(dir=made.slabs[0].parent) as folder, ExitStack() as stack:
        numbers = np.unique(part).tolist()
        files = {number: stack.enter_context(open(Path(folder) / str(number), "wb")) for number in numbers}
        for halo, x in _members(here, made.group):
            record = np.empty(len(halo), MEMBER)
            record["halo"], record["x"] = halo, x
            there = part[halo]
            for number in np.unique(there).tolist():
                record[there == number].tofile(files[number])
        stack.close()
        for number in numbers:
            members, own = np.fromfile(Path(folder) / str(number), MEMBER), part == number
            first = int(np.flatnonzero(own)[0])
            some = replace(
                friends,
                count=friends.count[own],
                centre_of_mass=friends.centre_of_mass[own],
                group=members["halo"] - first,
            )
            out[own] = centres(members["x"], some)
    return out


def _members(here: OnDisk, group: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The halos and positions of the particles that are in halos, in the order of the lattice."""
    for start, x in here.positions():
        halo = np.asarray(group[start : start + len(x)])
        member = np.flatnonzero(halo >= 0)
        yield halo[member].astype(np.int64), x[member]
