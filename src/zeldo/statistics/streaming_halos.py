"""Halos of a universe on disk, by slabs of space that overlap by the linking length.

Every two friends are together in one slab, and what is in two slabs joins their groups. Masses, centres and velocities are
then summed over the particles in lattice order, as for a snapshot in memory, so that the catalogue is the same to the last
bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from zeldo.errors import InputError
from zeldo.files.atomic import scratch
from zeldo.keywords import PathLike
from zeldo.measuring.memory import available, check_room
from zeldo.particles.particles import into_box
from zeldo.statistics.halos import Halos, check_linking, groups
from zeldo.statistics.on_disk import OnDisk

if TYPE_CHECKING:
    from zeldo.engines.base import Progress

BYTES = 400  # per particle of a slab: positions, trees, pairs and labels
PASSES = 2  # over the slabs: for groups, and for spheres
NOBODY = -1
RECORD = np.dtype([("id", "<i8"), ("x", "<f8", 3)])
LABEL = np.dtype(np.int32)
ROWS = 1 << 24  # labels at a time


def stream_halos(
    path: PathLike,
    redshift: float | None = None,
    *,
    linking_length: float = 0.2,
    minimum: int = 20,
    backend: str | None = None,
    slabs: int | None = None,
) -> Halos:
    """Halos of a universe on disk: those that `friends_of_friends` finds in it.

    Parameters
    ----------
    path : path
        Of a universe that `run` wrote to a name that ends in .zarr.
    redshift : float, optional
        One of its redshifts; the lowest by default.
    linking_length, minimum, backend
        As in `friends_of_friends`.
    slabs : int, optional
        Of space, one of which is in memory; by default as few as fit. Particles are kept meanwhile beside the universe, or
        among temporary files where that is not possible, 36 bytes each.

    Returns
    -------
    Halos
        Its `group` is empty, since the particles are not in memory.

    Raises
    ------
    InputError
        For values out of range.
    """
    with sorted_halos(OnDisk.open(path, redshift), linking_length, minimum, backend, slabs) as made:
        return made.friends


@dataclass(frozen=True, eq=False)
class SortedHalos:
    """Halos, and what was made for them on disk.

    Parameters
    ----------
    friends : Halos
        Without `group`.
    group : ndarray
        (N,) int32, the halo of each particle in the order of the lattice, -1 for none; on disk.
    slabs : list of Path
        Files of `RECORD`, each with the particles of a slab of space, the first of which begins at x = 0.
    """

    friends: Halos
    group: np.ndarray
    slabs: list[Path]


@contextmanager
def sorted_halos(
    here: OnDisk,
    linking_length: float,
    minimum: int,
    backend: str | None,
    slabs: int | None,
    progress: Progress | None = None,
) -> Iterator[SortedHalos]:
    """Halos of a snapshot on disk, whose files are there inside; see `stream_halo_catalogue`."""
    link, least = check_linking(linking_length, minimum)
    box, n, path = here.box, here.n, here.path
    most = int(n / (2 * link))  # each as wide as two links
    if slabs is None:
        check_room(f"{path}: its thinnest slabs need", BYTES * n**3 / most, "give more memory")
        slabs = min(most, int(np.ceil(BYTES * n**3 / max(available(), 1.0))))
    if not 1 <= slabs <= most:
        raise InputError(f"slabs = {slabs} is not allowed: give 1 to {most}")
    with scratch(path, (RECORD.itemsize + LABEL.itemsize) * n**3) as folder:
        files = [folder / f"{slab}" for slab in range(slabs)]
        if progress is not None:
            progress(0, PASSES * slabs, "sorting particles")
        _sort(here, files, link * box / n)
        labels = _nobodys(folder / "labels", n**3)
        size, first = _label(files, box, link * box / n, least, labels, backend, progress)
        yield SortedHalos(_catalogue(here, labels, size, first, least), labels, files)


def _nobodys(path: Path, count: int) -> np.ndarray:
    """Labels on disk, all `NOBODY`. They are written first: on a full disk, to write to a map would kill the process."""
    with open(path, "wb") as file:
        for start in range(0, count, ROWS):
            np.full(min(ROWS, count - start), NOBODY, LABEL).tofile(file)
    return np.memmap(path, LABEL, "r+", shape=(count,))


def _sort(here: OnDisk, files: list[Path], link: float) -> None:
    """Write each particle to the file of its slab, and to that of the slab before where it is near enough."""
    box, slabs = here.box, len(files)
    width, near = box / slabs, link * (1 + 1e-9)
    with ExitStack() as stack:
        own = [stack.enter_context(open(file, "wb")) for file in files]
        over = [stack.enter_context(open(file.with_suffix(".over"), "wb")) for file in files]
        for start, x in here.positions():
            slab = np.minimum((x[:, 0] / width).astype(np.int64), slabs - 1)
            record = np.empty(len(x), RECORD)
            record["id"], record["x"] = np.arange(start, start + len(x)), x
            for number in np.unique(slab):
                inside = record[slab == number]
                inside.tofile(own[number])
                if slabs > 1:
                    inside[inside["x"][:, 0] - number * width <= near].tofile(over[number - 1])


def _label(
    files: list[Path],
    box: float,
    link: float,
    least: int,
    labels: np.ndarray,
    backend: str | None,
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Number the groups that may be halos in `labels`; their sizes and first particles.

    A group that ends inside its slab counts if it is large enough. One that goes on in another slab is joined with what
    is there.
    """
    sizes, firsts, seen, count = [], [], [], 0
    for done, file in enumerate(files):
        if progress is not None:
            progress(done, PASSES * len(files), f"groups in slab {done + 1} of {len(files)}")
        own, over = np.fromfile(file, RECORD), np.fromfile(file.with_suffix(".over"), RECORD)
        ids = np.concatenate([own["id"], over["id"]])
        if not len(ids):
            continue
        group = groups(np.concatenate([own["x"], over["x"]]), box, link, backend)
        size = np.bincount(group[: len(own)], minlength=int(group.max()) + 1)
        kept = size >= least
        kept[group[len(own) :]] = True
        before = np.fromfile(files[done - 1].with_suffix(".over"), RECORD)["id"]
        kept[group[: len(own)][np.isin(own["id"], before)]] = True
        number = np.full(len(size), NOBODY)
        number[kept] = count + np.arange(np.count_nonzero(kept))
        mine = number[group[: len(own)]]
        labels[own["id"]] = mine
        first = np.full(np.count_nonzero(kept), np.iinfo(np.int64).max)
        np.minimum.at(first, mine[mine >= 0] - count, own["id"][mine >= 0])
        sizes.append(size[kept])
        firsts.append(first)
        seen.append(np.stack([over["id"], number[group[len(own) :]]]))
        count += len(first)
    size, first = np.concatenate(sizes), np.concatenate(firsts)
    ids, there = np.concatenate(seen, axis=1)
    graph = coo_array((np.ones(len(ids), np.int8), (labels[ids], there)), shape=(count, count))
    joined, whole = connected_components(graph, directed=False)
    total, earliest = np.zeros(joined, np.int64), np.full(joined, np.iinfo(np.int64).max)
    np.add.at(total, whole, size)
    np.minimum.at(earliest, whole, first)
    for start in range(0, len(labels), ROWS):
        part = labels[start : start + ROWS]
        part[part >= 0] = whole[part[part >= 0]]
    return total, earliest


def _catalogue(here: OnDisk, labels: np.ndarray, size: np.ndarray, first: np.ndarray, least: int) -> Halos:
    """Centres and velocities of the groups that are large enough, the largest first, whose numbers go to `labels`."""
    box, plane = here.box, here.n**2
    order = np.lexsort([first, -size])
    order = order[: np.count_nonzero(size >= least)]
    rename = np.full(len(size) + 1, NOBODY, np.int32)
    rename[order] = np.arange(len(order))
    count, first = size[order], first[order]
    begin, around, motion = (np.zeros((len(order), 3)) for _ in range(3))
    moving = here.has_velocities
    for start, x in here.positions():
        halo = rename[labels[start : start + len(x)]]
        labels[start : start + len(x)] = halo
        member = np.flatnonzero(halo >= 0)
        halo = halo[member]
        inside = (first >= start) & (first < start + len(x))
        begin[inside] = x[first[inside] - start]
        apart = x[member] - begin[halo]
        apart -= box * np.round(apart / box)
        for axis in range(3):
            np.add.at(around[:, axis], halo, apart[:, axis])
        if moving:
            planes = start // plane, (start + len(x)) // plane
            vel = here.universe.planes(here.redshift, "vel", *planes).reshape(3, -1)
            for axis in range(3):
                np.add.at(motion[:, axis], halo, vel[axis, member].astype(np.float64))
    centre = into_box(begin + around / count[:, None], box)
    return Halos(
        count=count,
        mass=count * here.matter.particle_mass,
        centre_of_mass=centre,
        velocity=motion / count[:, None] if moving else None,
        group=np.empty(0, np.int64),
        box=box,
        redshift=here.redshift,
        particle_mass=here.matter.particle_mass,
        minimum=least,
    )
