"""A universe made in pieces: its 2LPT by slabs, then tile after tile, by any number of processes or on a cluster.

universe.zarr/.zeldo/linear     psi_lin and grad phi2 of the whole volume, until all tiles are made
universe.zarr/.zeldo/claims     which process makes what
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from zeldo.api import check_output, initial_conditions, universe_of
from zeldo.cosmology.power import MODELS
from zeldo.engines.base import Progress
from zeldo.engines.checks import redshift_list
from zeldo.engines.cola import Cola
from zeldo.engines.parsing import parse_engine
from zeldo.errors import InputError
from zeldo.files.atomic import raise_if_full, resolved
from zeldo.files.stored import stored
from zeldo.files.universe_zarr import STATE, UniverseZarr, is_universe, largest_divisor, tile_of
from zeldo.initial.conditions import Origin
from zeldo.keywords import PathLike, checked_keywords, scalar
from zeldo.particles.snapshot import Snapshot
from zeldo.particles.tiles import Indices, Tile
from zeldo.store.claims import LEASE, Claims, check_lease
from zeldo.store.identity import check_same, power_identity
from zeldo.store.queue import LEFT, MADE, WAIT, in_turn
from zeldo.store.universe import check_place, header_of
from zeldo.suites.cluster import by_workers, connected
from zeldo.universe import Universe
from zeldo.volumes.pieces import Fields, check_piece, evolve_piece

FIELDS = ("psi_lin", "second")
PLANES = 16  # of a slab, at most


@checked_keywords(initial_conditions)
def run_in_pieces(
    *,
    output: PathLike,
    engine: PathLike | Cola = "cola",
    redshift: float | None = None,
    side: int | None = None,
    buffer: int = 16,
    thickness: int | None = None,
    scheduler: str | Any | None = None,
    lease: float = LEASE,
    progress: Progress | None = None,
    **universe: Any,
) -> Snapshot:
    """Make a universe in pieces, none of which knows of the others (sCOLA; Leclercq et al. 2020, arXiv:2003.04925).

    No process holds more than a piece, or some slabs of the linear field. The same call in any number of processes that
    share the directory divides the pieces; after a kill it goes on.

    Parameters
    ----------
    output : path
        Its name ends in .zarr.
    engine : str or Cola
        `cola`, perhaps with options.
    redshift : float, optional
        Redshift of the snapshot; 0 by default.
    side : int, optional
        Cells per side of a piece, which divides n; by default at most 128.
    buffer : int
        Cells around a piece that are evolved with it and thrown away.
    thickness : int, optional
        Planes of a slab of the linear field, which divides n; by default at most 16.
    scheduler : str or distributed.Client, optional
        Address of a scheduler of dask.distributed, whose workers make the fields and the pieces.
    lease : float
        Seconds without a sign of life after which the piece of a process on another machine is taken over.
    progress : callable, optional
        Called with pieces done, their number, and a text.
    **universe
        The arguments of `initial_conditions`, with native phases.

    Returns
    -------
    Snapshot
        Its fields are read when they are asked for.

    Raises
    ------
    InputError
        For a value that is not allowed, and for a directory of other arguments.
    ZeldoError
        For a full disk. The same call goes on afterwards.
    """
    check_output(output, "universe, such as volume.zarr", optional=False)
    cola, redshifts = parse_engine(engine), redshift_list(redshift)
    if not isinstance(cola, Cola) or len(redshifts) > 1 or cola.checkpoint is not None or cola.nbody_start:
        raise InputError(
            'run_in_pieces works only with cola and one redshift: give engine="cola" without checkpoint or nbody_start'
        )
    cola.check(redshifts)
    if universe.get("ics") is not None:
        raise InputError("pieces take no ics: give a cosmology and a seed")
    whole = universe_of(universe).with_absolute_power()
    if Path(output).suffix.lower() != ".zarr":
        raise InputError(f"output {output} is not allowed: give a name that ends in .zarr")
    side = tile_of(whole.n) if side is None else scalar(side)
    thickness = largest_divisor(whole.n, PLANES) if thickness is None else scalar(thickness)
    buffer = scalar(buffer)
    check_piece(whole.n, side, buffer)
    lease = check_lease(lease)
    volume = Volume(resolved(output), cola, whole, redshifts[0], side, buffer, thickness, lease)
    with _full_disk_told(volume.path):
        if scheduler is None:
            left, count = _begin(volume, progress)
            _follow(in_turn(left, volume.make, volume.claims), left, count, progress)
        else:  # where no scheduler answers, nothing is begun
            with connected(scheduler) as client, client.as_current():
                left, count = _begin(volume, progress)
                _follow(by_workers(left, partial(_attempt, volume), client), left, count, progress)
        return volume.finished()


@contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
    """`ZeldoError` for what says anywhere inside that the disk is full."""
    try:
        yield
    except Exception as error:
        raise_if_full(error, path)
        raise


@dataclass(frozen=True)
class Volume:
    """What is made in pieces, and where; see `run_in_pieces`."""

    path: Path
    engine: Cola
    universe: Universe
    redshift: float
    side: int
    buffer: int
    thickness: int
    lease: float

    @property
    def origin(self) -> Origin:
        """What snapshots record of the initial conditions."""
        whole = self.universe
        name = Path(whole.power).name
        return Origin(
            whole.box, whole.n, whole.cosmology, whole.seed, whole.fixed, whole.flip, name, "native"
        )

    @property
    def folder(self) -> Path:
        """Of the fields."""
        return self.path / STATE / "linear"

    @property
    def claims(self) -> Claims:
        return _claims(self.path / STATE / "claims", self.lease)

    def join(self) -> None:
        """Begin the universe on disk, or check that what is there has the same arguments."""
        from zeldo.volumes.fields import VolumeFields

        VolumeFields(self.universe, self.thickness)  # refuses what slabs cannot make
        check_place(self.path)
        header = header_of(self.engine, self.origin, [self.redshift])
        header["engine"] = f"{self.engine.name} in pieces"
        header["settings"] |= {"side": self.side, "buffer": self.buffer}
        header["tile"] = self.side
        if self.universe.power not in MODELS:
            header["power table"] = power_identity(self.universe.power)
        if is_universe(self.path):
            check_same(self.path, UniverseZarr(self.path).header, header)
        else:
            UniverseZarr.create(self.path, header)

    def is_made(self, tile: Tile) -> bool:
        """Whether a piece is on disk as it was written."""
        there = UniverseZarr(self.path)
        return all(there.is_whole(self.redshift, field, tile) for field in ("psi", "vel"))

    @property
    def has_fields(self) -> bool:
        return self.folder.exists()

    def make_fields(self) -> bool:
        """Make the displacements of the volume, unless they are made; False where another process makes them."""
        from zeldo.volumes.fields import VolumeFields

        with self.claims.claim("fields") as is_ours:
            if is_ours and not self.has_fields:
                # renamed first, so that an owner that was only slow notices
                for left in self._partial_fields():
                    with suppress(OSError):
                        shutil.rmtree(left.rename(self._new_partial()), ignore_errors=True)
                partial = self._new_partial()
                stages, begun = partial / "stages", partial / "begun"
                stages.mkdir(parents=True)
                begun.touch()
                fields = VolumeFields(self.universe, self.thickness, stages)
                fields.write(*(partial / f"{name}.zarr" for name in FIELDS))
                shutil.rmtree(stages, ignore_errors=True)
                # without it another process has taken over, and zarr has made the directory again
                if begun.exists():
                    with suppress(OSError):  # another one has been faster
                        partial.rename(self.folder)
                shutil.rmtree(partial, ignore_errors=True)
        return self.has_fields

    def _new_partial(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{uuid4().hex}")

    def _partial_fields(self) -> list[Path]:
        return list(self.folder.parent.glob(f"{self.folder.name}.*"))

    def make(self, tile: Tile) -> str:
        """Make a piece, unless it is made, `MADE`, or another process makes it, `LEFT`."""
        if self.is_made(tile):
            return MADE
        with self.claims.claim(".".join(map(str, tile.origin))) as is_ours:
            if not is_ours:
                return LEFT
            if not self.is_made(tile):
                made = evolve_piece(
                    self.engine, self.origin, stored_fields(self.folder), tile, self.buffer, self.redshift
                )
                # others took over and have ended: chunks that were read after that were zeros
                if not self.has_fields:
                    return LEFT
                for field, values in zip(("psi", "vel"), made, strict=True):
                    UniverseZarr(self.path).write_tile(self.redshift, field, tile, values)
        return MADE

    def finished(self) -> Snapshot:
        """The snapshot of all pieces; what they were made from is removed."""
        there = UniverseZarr(self.path)
        while True:  # all processes are done at once, and would remove each other's unfinished files
            with self.claims.claim("end") as is_ours:
                if is_ours:
                    there.note_complete(self.redshift, ["psi", "vel"])
                    there.tidy()
                    # renamed first: after a kill, nobody takes what is left for whole fields
                    with suppress(OSError):
                        self.folder.rename(self._new_partial())
                    for left in (*self._partial_fields(), self.path / STATE / "claims"):
                        shutil.rmtree(left, ignore_errors=True)
                    return stored(there, self.redshift)
            time.sleep(WAIT)


@lru_cache(maxsize=4)
def _claims(folder: Path, lease: float) -> Claims:
    """The claims of this process, kept from task to task: they know how long those of others have stood still."""
    return Claims(folder, lease)


def stored_fields(folder: Path) -> Fields:
    """The 2LPT of a volume from zarr arrays on disk."""
    import zarr

    psi_lin, second = (zarr.open_array(folder / f"{name}.zarr", mode="r") for name in FIELDS)
    return Fields(lambda where: read_window(psi_lin, where), lambda where: read_window(second, where))


def read_window(array: Any, where: Indices) -> np.ndarray:
    """The cells of an array (3, n, n, n) on disk at indices along each axis that count up, but where they wrap around."""
    out = np.empty((3, *map(len, where)), np.float32)
    parts = [np.split(np.arange(len(axis)), np.flatnonzero(np.diff(axis) != 1) + 1) for axis in where]
    for i in parts[0]:
        for j in parts[1]:
            for k in parts[2]:
                here = [slice(part[0], part[-1] + 1) for part in (i, j, k)]
                there = [
                    slice(int(axis[part[0]]), int(axis[part[-1]]) + 1)
                    for axis, part in zip(where, (i, j, k), strict=True)
                ]
                out[:, *here] = array[:, *there]
    return out


def _begin(volume: Volume, progress: Progress | None) -> tuple[list[Tile], int]:
    """The tiles that are not made, when the displacements are, and the number of all tiles."""
    volume.join()
    tiles = UniverseZarr(volume.path).tiles
    left = [tile for tile in tiles if not volume.is_made(tile)]
    while left and not volume.has_fields:
        if progress is not None:
            progress(0, len(tiles), "displacements by slabs")
        if not volume.make_fields():
            time.sleep(WAIT)
            left = [tile for tile in left if not volume.is_made(tile)]
    return left, len(tiles)


def _follow(
    outcomes: Iterator[tuple[Tile, str]], left: Sequence[Tile], count: int, progress: Progress | None
) -> None:
    for ready, _ in enumerate(outcomes, count - len(left) + 1):
        if progress is not None:
            progress(ready, count, f"{ready} of {count} pieces")


def _attempt(volume: Volume, tile: Tile) -> tuple[Tile, str]:
    """`Volume.make` in a process of a cluster."""
    return tile, volume.make(tile)
