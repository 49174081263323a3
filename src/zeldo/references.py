"""What is compared: files, snapshots, universes on disk, or an engine, and the initial conditions of a reference."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zeldo.api import initial_conditions
from zeldo.cosmology.parameters import PRESETS
from zeldo.cosmology.power import MODELS
from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.engines.base import Engine
from zeldo.engines.parsing import parse_engine
from zeldo.engines.registry import names
from zeldo.errors import InputError
from zeldo.files.sets import member
from zeldo.files.stored import stored
from zeldo.files.universe_zarr import UniverseZarr, is_universe
from zeldo.initial.conditions import InitialConditions, difference
from zeldo.initial.phase_names import NAMES, generator
from zeldo.keywords import PathLike
from zeldo.measuring.memory import check_room
from zeldo.particles.snapshot import DRAWN, Snapshot
from zeldo.sources import Given

GENERATORS = tuple(name.partition(":")[0] for name in NAMES)  # of phases, which need no file
SNAPSHOT_BYTES = 24  # of a particle


def find_reference(
    reference: PathLike | Engine | Snapshot | None, universe: dict[str, Any]
) -> tuple[InitialConditions, dict[float, Snapshot] | Engine, str]:
    """The initial conditions; the reference, as snapshots by redshift or as an engine; and the reference's name."""
    from zeldo.files.reference import SHIPPED, is_reference, read_reference

    ics_file = universe.get("ics")
    if reference is None and isinstance(ics_file, str | os.PathLike):
        archive = Path(ics_file).suffix == ".npz"  # other formats hold no runs
        reference = ics_file if archive and is_reference(ics_file) else None
    asked = any(map(is_asked, universe.values()))
    if isinstance(reference, Snapshot):
        ics = initial_conditions(**(universe if asked else _arguments(reference)))
        return ics, {reference.redshift: _same_universe(reference, ics)}, reference.engine
    if isinstance(reference, Engine):
        return initial_conditions(**universe), reference, reference.name
    if reference is not None and not isinstance(reference, str | os.PathLike):
        raise InputError(
            f"reference is a {type(reference).__name__}: give a file, a snapshot such as snapshots[0], or an engine"
        )
    name = "p3m" if reference is None else os.fspath(reference)
    if name.partition(":")[0] in names() and not Path(name).is_file():
        return initial_conditions(**universe), parse_engine(name), name
    name, there = _located(name)
    if not there:
        raise InputError(
            f"reference {name!r} is neither a file nor an engine nor {', '.join(SHIPPED)}: engines are {', '.join(names())}"
        )
    if Path(name).suffix == ".npz" and is_reference(name):
        reference_ics, snapshots = read_reference(name)
        ics = initial_conditions(**universe) if asked else reference_ics
        for snapshot in snapshots.values():
            _same_universe(snapshot, ics)
        return ics, snapshots, next(iter(snapshots.values())).engine
    chosen = initial_conditions(**universe) if asked else None
    # what its header does not say is that of the initial conditions
    snapshots, label = _in_file(name, PRESETS["quijote"] if chosen is None else chosen.cosmology)
    ics = chosen or initial_conditions(**_arguments(next(iter(snapshots.values()))))
    return ics, {z: _same_universe(snapshot, ics) for z, snapshot in snapshots.items()}, label


def is_asked(value: object) -> bool:
    """Whether an argument of a universe was given. A seed of 0 is one, though it equals False."""
    return value is not None and value is not False


def snapshots_of(
    source: PathLike | Snapshot, cosmology: Given, option: str
) -> tuple[dict[float, Snapshot], str]:
    """The snapshots of a file by redshift, or one in memory, and what they are called.

    Parameters
    ----------
    source : path or Snapshot
        A snapshot, its file, a universe in .zarr, or a reference run, which may be one that ships.
    cosmology : Cosmology or mapping of str to float, optional
        Of files that do not say theirs.
    option : str
        What the source was given as, for messages.
    """
    from zeldo.files.reference import is_reference, read_reference

    if isinstance(source, Snapshot):
        return {source.redshift: source}, source.engine
    if not isinstance(source, str | os.PathLike):
        raise InputError(
            f"{option} is a {type(source).__name__}: give a file, or a snapshot such as snapshots[0]"
        )
    name, there = _located(os.fspath(source))
    if not there:
        engines = "an engine runs only by --engine; " if name.partition(":")[0] in names() else ""
        raise InputError(f"{option} {name!r} is not a file: {engines}check the path")
    if Path(name).suffix == ".npz" and is_reference(name):
        _, snapshots = read_reference(name)
        return snapshots, next(iter(snapshots.values())).engine
    return _in_file(name, cosmology)


def _located(name: str) -> tuple[str, bool]:
    """A name, in place of which the path of a run that ships may stand, and whether there is such a file."""
    from zeldo.files.reference import SHIPPED, reference_path

    if name in SHIPPED and not Path(name).exists():
        name = str(reference_path(name))
    # a snapshot may be a directory, or a set whose names begin so
    return name, Path(name).exists() or member(Path(name)) is not None


def _in_file(name: str, cosmology: Given) -> tuple[dict[float, Snapshot], str]:
    """The snapshots of a file or a universe, and their label. The cosmology is of files that do not say theirs."""
    from zeldo.files import open_particles, read_snapshot

    if is_universe(Path(name)):
        there = UniverseZarr(name)
        for z in there.redshifts:
            there.check_complete(z)
        return {z: stored(there, z) for z in there.redshifts}, f"{there.header['engine']} ({Path(name).name})"
    with open_particles(name) as source:
        whole = source.header.cosmology is not None
        needed, advice = SNAPSHOT_BYTES * len(source), "give more memory, or a universe in .zarr"
        check_room(f"{name}: {len(source)} particles need", needed, advice)
    snapshot = read_snapshot(name, None if whole else cosmology)
    return {snapshot.redshift: snapshot}, f"{snapshot.engine} ({Path(name).name})"


def _arguments(snapshot: Snapshot) -> dict[str, Any]:
    """The arguments of `initial_conditions` that make a snapshot's universe again; none where it does not tell."""
    kind = (snapshot.phases or "").partition(":")[0]
    if snapshot.seed is None or snapshot.power not in MODELS or kind not in GENERATORS:
        return {}
    made = {name: getattr(snapshot, name) for name in ("cosmology", "box", "n", "seed", *DRAWN)}
    return {name: value for name, value in made.items() if value is not None}


def _same_universe(snapshot: Snapshot, ics: InitialConditions) -> Snapshot:
    """The snapshot; `InputError` unless it is of the universe of the initial conditions."""
    if name := difference(ics, snapshot):
        expected, value = getattr(ics, name), getattr(snapshot, name)
        raise InputError(
            f"the reference has {name} = {value} and the initial conditions have {expected}: both must be one universe; "
            "give the reference's own initial conditions by --ics, or its parameters and seed"
        )
    check_drawn(snapshot, ics, ("the reference has", "the initial conditions have"))
    return snapshot


def check_drawn(first: Any, second: Any, whose: tuple[str, str]) -> None:
    """`InputError` where two universes are known to have different phases; the message begins with whose they are."""
    for name in ("seed", *DRAWN):
        value, expected = getattr(first, name), getattr(second, name)
        if name == "phases" and generator(expected) == generator(value):
            continue
        if None not in (expected, value) and expected != value:
            raise InputError(
                f"{whose[0]} {name} = {value} and {whose[1]} {expected}: "
                f"mode by mode they are not one universe; give the same {name}"
            )


def snapshot_at(snapshots: dict[float, Snapshot], redshift: float, whose: str) -> Snapshot:
    """The snapshot nearest to a redshift, since the redshifts in file headers are rarely round numbers."""
    z = nearest_redshift(snapshots, redshift)
    if z is None:
        available = ", ".join(f"{z:g}" for z in snapshots)
        raise InputError(f"{whose} has no redshift {redshift:g}: choose among {available}")
    return snapshots[z]


def default_redshift(truth: dict[float, Snapshot]) -> float:
    """Today where the reference has it, else its lowest redshift."""
    return 0.0 if 0.0 in truth else min(truth)
