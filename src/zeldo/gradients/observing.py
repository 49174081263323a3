"""What is observed: a density on a mesh, or a snapshot that makes one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.files import read
from zeldo.files.universe_zarr import is_universe
from zeldo.keywords import check_plain
from zeldo.mesh.checks import MAX_MESH, check_mesh
from zeldo.mesh.numba_kernels import paint
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.matter import matter_of
from zeldo.statistics.redshift_space import redshift_space_points
from zeldo.universe import Universe

NEAR = 0.1  # the mean of a density in units of its mean, or of a contrast, is as near to 1 or to 0


@dataclass(frozen=True, eq=False)
class Observed:
    """A density contrast on a mesh, (m, m, m) float32, and the universe that it is of."""

    delta: np.ndarray
    box: float
    n: int
    redshift: float
    cosmology: Cosmology


def observed(
    source: str | os.PathLike[str] | np.ndarray | Snapshot,
    *,
    box: float | None,
    n: int | None,
    redshift: float | None,
    cosmology: Any,
    mesh: int | None,
    smoothing: float,
    bias: float,
    axis: int | None,
) -> Observed:
    """The density contrast of a source; arguments as of `zeldo.reconstruct`."""
    if isinstance(source, str | os.PathLike):
        place = Path(source)
        chosen = {}
        if is_universe(place):
            chosen, redshift = {"redshift": redshift}, None
        is_density = place.suffix == ".npy"
        source = _density_file(place) if is_density else _snapshot_file(place, cosmology, **chosen)
    if isinstance(source, Snapshot):
        given = {"box": box, "redshift": redshift}
        clash = [name for name, value in given.items() if value is not None]
        if clash:
            raise InputError(f"a snapshot brings its own {clash[0]}: leave it out")
        if smoothing != 0 or bias != 1:
            name, value = ("smoothing", smoothing) if smoothing != 0 else ("bias", bias)
            raise InputError(
                f"the density of a snapshot is its particles', so {name} = {value:g} is not allowed: leave it out, or give "
                "a density as .npy"
            )
        return _of_snapshot(source, n, cosmology, mesh, axis)
    if mesh is not None:
        raise InputError("a density brings its own mesh: leave mesh out")
    if box is None:
        raise InputError("a density comes without a box: give box, its side in Mpc/h")
    check_plain(source, "the density")
    delta = _contrast(np.asarray(source))
    m = len(delta)
    if n is None and m % 4:
        raise InputError(
            f"half the points of a density on a mesh of {m}^3 are no lattice, which has an even number per side: give n, "
            f"such as {m // 4 * 2}"
        )
    size = {"box": box, "n": m // 2 if n is None else n}
    universe = (
        Universe.of(None, **cosmology, **size)
        if isinstance(cosmology, Mapping)
        else Universe.of(cosmology, **size)
    )
    return Observed(
        delta, universe.box, universe.n, 0.0 if redshift is None else redshift, universe.cosmology
    )


def _of_snapshot(
    snapshot: Snapshot, n: int | None, cosmology: Any, mesh: int | None, axis: int | None
) -> Observed:
    m = check_mesh(2 * snapshot.n if mesh is None else mesh, MAX_MESH)
    psi = matter_of(snapshot).points if axis is None else redshift_space_points(snapshot, axis)
    if cosmology is None or isinstance(cosmology, Mapping):
        base = Cosmology.from_mapping({**snapshot.cosmology.to_dict(), **(cosmology or {})})
    else:
        base = Universe.of(cosmology).cosmology
    n = snapshot.n if n is None else n
    universe = Universe(cosmology=base, box=snapshot.box, n=n)
    if any(snapshot.offset):  # what is recovered begins at the corner
        begin = np.array(snapshot.offset) * (snapshot.box / snapshot.n)
        psi = psi + begin.astype(np.float32)[:, None, None, None]
    delta = paint(psi, m, snapshot.box) - np.float32(1)
    return Observed(delta, universe.box, universe.n, snapshot.redshift, universe.cosmology)


def _snapshot_file(path: Path, cosmology: Any, **options: Any) -> Snapshot:
    given = (
        cosmology if cosmology is None or isinstance(cosmology, Mapping) else Universe.of(cosmology).cosmology
    )
    particles = read(path, given, **options)
    if isinstance(particles, Snapshot):
        return particles
    raise InputError(
        f"{path} holds particles that are not a full lattice: give their density on a mesh as .npy"
    )


def _density_file(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"{path} does not exist: check the path")
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} is not an array that can be read ({reason}): give a density as .npy"
        ) from error


def _contrast(values: np.ndarray) -> np.ndarray:
    shape = values.shape
    if len(shape) != 3 or len(set(shape)) != 1 or values.dtype.kind not in "fiu":
        raise InputError(f"the density has shape {shape} and type {values.dtype}: give numbers, (m, m, m)")
    check_mesh(shape[0], MAX_MESH)
    if not np.isfinite(values).all():
        raise InputError("the density holds values that are not finite: check where it came from")
    mean = float(values.mean(dtype=np.float64))
    if min(abs(mean), abs(mean - 1)) >= NEAR:
        raise InputError(
            f"the mean of the density is {mean:.3g}: give it in units of its mean, so that the mean is 1, or as a contrast"
        )
    if values.min() == values.max():
        raise InputError("the density is the same everywhere: check where it came from")
    if abs(mean - 1) < NEAR:  # noise may have made some of it negative
        return (values / mean - 1).astype(np.float32)
    return values.astype(np.float32)
