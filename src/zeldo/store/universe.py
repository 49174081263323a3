"""A run into a universe of zarr arrays, which goes on where it was killed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.errors import InputError, ZeldoError
from zeldo.files.atomic import FULL, check_parent, resolved
from zeldo.files.stored import stored
from zeldo.files.universe_zarr import STATE, UniverseZarr, is_universe
from zeldo.initial.conditions import InitialConditions, Origin
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import TOLD, Snapshot, drawn
from zeldo.particles.tiles import Tile
from zeldo.store.identity import check_same
from zeldo.store.queue import alone
from zeldo.store.resume import Resume, resuming


def check_place(path: Path) -> Path:
    """The path where a universe may be written, or gone on with; else `InputError`."""
    check_parent(path)
    if path.exists() and not is_universe(path):
        names = {entry.name for entry in path.iterdir()} if path.is_dir() else {"a file"}
        if names - {STATE} and not all(name.startswith(".zarr.json") for name in names - {STATE}):
            raise InputError(f"{path} is not a universe of zarr arrays: remove it, or give a new name")
    return path


def run_into(
    path: str | os.PathLike[str],
    engine: Any,
    ics: InitialConditions,
    redshifts: Sequence[float],
    progress: Callable[[float, float, str], None] | None = None,
    observers: Sequence[Callable[[Any], None]] = (),
    *,
    streamed: bool = False,
) -> list[Snapshot]:
    """Run an engine into a universe on disk, or go on with it. Tiles that are there and whole are not written again.

    While another process makes it, this one waits: for the end, or to go on where the other was killed.

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
    streamed : bool
        Whether the particles stay on disk during the run (`Stepping.streamed`). A run that goes on does as it did before.

    Returns
    -------
    list of Snapshot
        Their fields are read when they are asked for.

    Raises
    ------
    InputError
        Where a universe of other arguments is there; it says which differs. Where a run that is gone on with was begun on
        disk and has observers now, or was begun in memory and does not fit there now.
    ZeldoError
        For a full disk. The same call goes on afterwards.
    """
    path = check_place(Path(path))
    if path.is_symlink():  # no directory is made through a link
        path = resolved(path)
    header = header_of(engine, ics.origin, redshifts)
    header["linear field"] = sha256(ics.delta_lin.data).hexdigest()[:16]
    if is_universe(path):
        check_same(path, UniverseZarr(path).header, header)
    with _making(path):
        (path / STATE).mkdir(parents=True, exist_ok=True)
    # two would write over each other's checkpoints and slabs
    with alone(path / STATE / "claims", progress), _kept_if_begun(path):
        universe = _joined(path, header)
        written = [_is_whole(universe, z) for z in redshifts]
        resume = Resume(
            path / STATE, engine.key(ics, redshifts), lambda number: _load(universe, redshifts[number])
        )
        if all(written):
            return _finished(universe, resume, redshifts)
        if resume.streams(usually=streamed, observed=bool(observers)):
            handed = [ics]
            del ics
            outputs = engine.streamed(
                handed, redshifts, resume.slabs, written, block=universe.side, progress=progress
            )
            for output in outputs:
                write_blocks(universe, output)
            return _finished(universe, resume, redshifts)
        with resuming(resume):
            outputs = engine.run(ics, redshifts, progress, observers)
            del ics
            # `map` drops each snapshot before the engine computes the next, so that only one is in memory
            for _ in map(universe_writer(universe), outputs):
                pass
        return _finished(universe, resume, redshifts)


@contextmanager
def _kept_if_begun(path: Path) -> Iterator[None]:
    """A universe that is new and was refused before its first tile is removed: it would stand in the way of the next run."""
    new = not is_universe(path)
    try:
        yield
    except InputError:
        if new and is_universe(path) and not UniverseZarr(path).done():
            shutil.rmtree(path)
        raise


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """The system's errors where a universe is made, in a line."""
    try:
        yield
    except OSError as error:
        kind = ZeldoError if error.errno in FULL else InputError
        raise kind(f"no universe can be made at {path}: {error.strerror}") from None


def _joined(path: Path, header: dict[str, Any]) -> UniverseZarr:
    """The universe of these arguments: a new one, or the one that is there."""
    if not is_universe(path):
        with _making(path):
            return UniverseZarr.create(path, header)
    universe = UniverseZarr(path)
    check_same(path, universe.header, header)
    return universe


def _finished(universe: UniverseZarr, resume: Resume, redshifts: Sequence[float]) -> list[Snapshot]:
    """The snapshots of a universe that is written. What it was made from is removed, with what killed processes left."""
    resume.remove()
    universe.tidy()
    return [stored(universe, z) for z in redshifts]


def _load(universe: UniverseZarr, redshift: float) -> tuple[np.ndarray, np.ndarray]:
    return universe.whole(redshift, "psi"), universe.whole(redshift, "vel")


def write_blocks(universe: UniverseZarr, output: Any) -> None:
    """Write a snapshot that comes in blocks of planes, a `StreamedOutput`, from the first block that is not whole."""
    z, fields = output.redshift, ("psi", "vel")
    rows: dict[int, list[Tile]] = {}
    for tile in universe.tiles:
        rows.setdefault(tile.origin[0], []).append(tile)
    whole = [
        all(universe.is_whole(z, field, tile) for field in fields for tile in row) for row in rows.values()
    ]
    for block in output.blocks(whole.index(False) if not all(whole) else len(whole)):
        for field in fields:
            for tile in rows[block.first]:
                _, y, z_axis = tile.inside
                _write(universe, z, field, tile, getattr(block, field)[:, :, y, z_axis])
    universe.note_told(z, output.told())
    universe.note_complete(z, list(fields))


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
                    _write(universe, snapshot.redshift, field, tile, values[:, *tile.inside])
        universe.note_told(snapshot.redshift, {name: getattr(snapshot, name) for name in TOLD})
        universe.note_complete(snapshot.redshift, fields)

    return write


def _write(universe: UniverseZarr, redshift: float, field: str, tile: Tile, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise InputError(f"{field} at z = {redshift:g} is not finite: check the initial conditions")
    universe.write_tile(redshift, field, tile, values)


def _is_whole(universe: UniverseZarr, redshift: float) -> bool:
    """Whether all tiles are there as they were written."""
    fields = universe.complete().get(f"{redshift:g}", [])
    return bool(fields) and all(
        universe.is_whole(redshift, field, tile) for field in fields for tile in universe.tiles
    )


def header_of(engine: Any, origin: Origin, redshifts: Sequence[float]) -> dict[str, Any]:
    """What a universe on disk says of itself, as JSON gives it back."""
    header = {
        "engine": engine.name,
        "settings": {name: _for_json(value) for name, value in engine.settings.items()},
        **vars(Provenance.of(engine)),
        "redshifts": list(redshifts),
        "box": origin.box,
        "n": origin.n,
        "cosmology": origin.cosmology.to_dict(),
        **drawn(origin),
    }
    return json.loads(json.dumps(header))


def _for_json(value: object) -> object:
    """What JSON can say of an option."""
    return value if isinstance(value, bool | int | float | str | None) else str(value)
