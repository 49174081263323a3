"""A run into a universe of zarr arrays, which goes on where it was killed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.errors import InputError, ZeldoError
from zeldo.files.atomic import FULL, check_writable
from zeldo.files.saved import SavedSnapshot
from zeldo.files.universe_zarr import STATE, UniverseZarr, is_universe
from zeldo.initial.conditions import InitialConditions, Origin
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import Snapshot
from zeldo.store.identity import check_same
from zeldo.store.resume import Resume, resuming


def check_place(path: Path) -> Path:
    """The path where a universe may be written, or gone on with; else `InputError`."""
    if path.exists() and not is_universe(path):
        names = {entry.name for entry in path.iterdir()} if path.is_dir() else {"a file"}
        if names - {STATE} and not all(name.startswith(".zarr.json") for name in names - {STATE}):
            raise InputError(f"{path} is no universe of zarr arrays: remove it, or give a new name")
    check_writable(path.parent / f"{path.name}.part")
    return path


def run_into(
    path: str | os.PathLike[str],
    engine: Any,
    ics: InitialConditions,
    redshifts: Sequence[float],
    progress: Callable[[float, float, str], None] | None = None,
    observers: Sequence[Callable[[Any], None]] = (),
) -> list[Snapshot]:
    """Run an engine into a universe on disk, or go on with it. Tiles that are there and whole are not written again.

    Parameters
    ----------
    path : path
        Its name ends in .zarr.
    engine : Engine
    ics : InitialConditions
    redshifts : sequence of float
        From high to low.
    progress, observers
        As in `Engine.run`.

    Returns
    -------
    list of Snapshot
        Their fields are read when they are asked for.

    Raises
    ------
    InputError
        Where a universe of other arguments is there; it says which differs.
    ZeldoError
        For a full disk. The same call goes on afterwards.
    """
    path = check_place(Path(path))
    header = header_of(engine, ics.origin, redshifts)
    header["linear field"] = sha256(ics.delta_lin.data).hexdigest()[:16]
    if is_universe(path):
        universe = UniverseZarr(path)
        check_same(path, universe.header, header)
    else:
        try:
            universe = UniverseZarr.create(path, header)
        except OSError as error:
            kind = ZeldoError if error.errno in FULL else InputError
            raise kind(f"no universe can be made at {path}: {error.strerror}") from None
    if all(_is_whole(universe, z) for z in redshifts):
        return [stored(universe, z) for z in redshifts]

    def load(number: int) -> tuple[np.ndarray, np.ndarray]:
        return universe.whole(redshifts[number], "psi"), universe.whole(redshifts[number], "vel")

    resume = Resume(path / STATE, engine.key(ics, redshifts), load)
    with resuming(resume):
        outputs = engine.run(ics, redshifts, progress, observers)
        del ics
        # `map` drops each snapshot before the engine computes the next, so that only one is in memory
        for _ in map(universe_writer(universe), outputs):
            pass
    resume.remove()
    return [stored(universe, z) for z in redshifts]


def universe_writer(universe: UniverseZarr) -> Callable[[Snapshot], None]:
    """A function that writes the tiles of a snapshot which are not on disk."""

    def write(snapshot: Snapshot) -> None:
        fields: list[str] = []
        for field in ("psi", "vel"):
            values = getattr(snapshot, field)
            if values is None:
                continue
            fields.append(field)
            for tile in universe.tiles:
                if not universe.is_whole(snapshot.redshift, field, tile):
                    piece = values[:, *tile.inside]
                    if not np.isfinite(piece).all():
                        raise InputError(
                            f"{field} at z = {snapshot.redshift:g} is not finite: check the initial conditions"
                        )
                    universe.write_tile(snapshot.redshift, field, tile, piece)
        universe.note_told(snapshot)
        universe.note_complete(snapshot.redshift, fields)

    return write


def _is_whole(universe: UniverseZarr, redshift: float) -> bool:
    """Whether all tiles are there as they were written."""
    fields = universe.complete().get(f"{redshift:g}", [])
    return bool(fields) and all(
        universe.is_whole(redshift, field, tile) for field in fields for tile in universe.tiles
    )


def header_of(engine: Any, origin: Origin, redshifts: Sequence[float]) -> dict[str, Any]:
    """What a universe on disk says of itself, as JSON gives it back."""
    made = Provenance.of(engine)
    header = {
        "engine": engine.name,
        "settings": {name: plain(value) for name, value in engine.settings.items()},
        "version": made.version,
        "revision": made.revision,
        "weights": made.weights,
        "redshifts": list(redshifts),
        "box": origin.box,
        "n": origin.n,
        "cosmology": origin.cosmology.to_dict(),
        "seed": origin.seed,
        "fixed": origin.fixed,
        "flip": origin.flip,
        "power": origin.power,
        "phases": origin.phases,
    }
    return json.loads(json.dumps(header))


def plain(value: object) -> object:
    """What JSON can say of an option."""
    return value if isinstance(value, bool | int | float | str | None) else str(value)


class StoredSnapshot(SavedSnapshot):
    """A snapshot whose `psi` and `vel` are read from a universe on disk when they are asked for."""

    @property
    def psi(self) -> np.ndarray:
        """(3, n, n, n) float32, Mpc/h, from the disk."""
        return UniverseZarr(self.path).whole(self.redshift, "psi")

    @property
    def vel(self) -> np.ndarray | None:
        """(3, n, n, n) float32, km/s, from the disk; None where it has none."""
        universe = UniverseZarr(self.path)
        return universe.whole(self.redshift, "vel") if universe.has(self.redshift, "vel") else None

    def __reduce__(self) -> tuple[Any, ...]:
        return stored, (UniverseZarr(self.path), self.redshift)


def stored(universe: UniverseZarr, redshift: float) -> StoredSnapshot:
    """The snapshot of a universe at one of its redshifts, without its fields in memory."""
    snapshot: StoredSnapshot = object.__new__(StoredSnapshot)
    vars(snapshot).update(universe.about(redshift), path=universe.path, _n=universe.n, _alive={})
    return snapshot
