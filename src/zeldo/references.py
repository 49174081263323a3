"""What engines are compared with: a file, a snapshot, a universe on disk, or another engine, and its initial conditions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zeldo.api import initial_conditions
from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.engines.base import Engine
from zeldo.engines.parsing import parse_engine
from zeldo.engines.registry import names
from zeldo.errors import InputError
from zeldo.files.sets import member
from zeldo.files.stored import stored
from zeldo.files.universe_zarr import UniverseZarr, is_universe
from zeldo.initial.conditions import InitialConditions, difference
from zeldo.initial.phase_names import generator
from zeldo.keywords import PathLike
from zeldo.measuring.memory import check_room
from zeldo.particles.snapshot import DRAWN, Snapshot

SNAPSHOT_BYTES = 24  # of a particle


def find_reference(
    reference: PathLike | Engine | Snapshot | None, universe: dict[str, Any]
) -> tuple[InitialConditions, dict[float, Snapshot] | Engine, str]:
    """The initial conditions; the reference, as snapshots by redshift or as an engine; and the reference's name."""
    from zeldo.files import open_particles, read_snapshot
    from zeldo.files.reference import SHIPPED, is_reference, read_reference, reference_path

    ics_file = universe.get("ics")
    if reference is None and isinstance(ics_file, str | os.PathLike):
        archive = Path(ics_file).suffix == ".npz"  # other formats hold no runs
        reference = ics_file if archive and is_reference(ics_file) else None
    if isinstance(reference, Snapshot):
        ics = initial_conditions(**universe)
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
    if name in SHIPPED and not Path(name).exists():
        name = str(reference_path(name))
    # a snapshot may be a directory, or a set whose names begin so
    if not Path(name).exists() and member(Path(name)) is None:
        raise InputError(
            f"reference {name!r} is neither a file nor an engine nor {', '.join(SHIPPED)}: engines are {', '.join(names())}"
        )
    if Path(name).suffix == ".npz" and is_reference(name):
        reference_ics, snapshots = read_reference(name)
        # a seed of 0 is one, though it equals False
        asked = any(value is not None and value is not False for value in universe.values())
        ics = initial_conditions(**universe) if asked else reference_ics
        for snapshot in snapshots.values():
            _same_universe(snapshot, ics)
        return ics, snapshots, next(iter(snapshots.values())).engine
    ics = initial_conditions(**universe)
    if is_universe(Path(name)):
        there = UniverseZarr(name)
        for z in there.redshifts:
            there.check_complete(z)
        stored_ones = {z: _same_universe(stored(there, z), ics) for z in there.redshifts}
        return ics, stored_ones, f"{there.header['engine']} ({Path(name).name})"
    with open_particles(name) as source:
        whole = source.header.cosmology is not None
        needed, advice = SNAPSHOT_BYTES * len(source), "give more memory, or a universe in .zarr"
        check_room(f"{name}: {len(source)} particles need", needed, advice)
    # what its header does not say is that of the initial conditions
    snapshot = read_snapshot(name, None if whole else ics.cosmology)
    return ics, {snapshot.redshift: _same_universe(snapshot, ics)}, f"{snapshot.engine} ({Path(name).name})"


def _same_universe(snapshot: Snapshot, ics: InitialConditions) -> Snapshot:
    """The snapshot; `InputError` unless it is of the universe of the initial conditions."""
    if name := difference(ics, snapshot):
        expected, value = getattr(ics, name), getattr(snapshot, name)
        raise InputError(
            f"the reference has {name} = {value} and the initial conditions have {expected}: both must be one universe; "
            "give the reference's own initial conditions by --ics, or its parameters and seed"
        )
    for name in ("seed", *DRAWN):
        expected, value = getattr(ics, name), getattr(snapshot, name)
        if name == "phases" and generator(expected) == generator(value):
            continue
        if None not in (expected, value) and expected != value:
            raise InputError(
                f"the reference has {name} = {value} and the initial conditions have {expected}: "
                f"mode by mode they are not one universe; give the same {name}"
            )
    return snapshot


def reference_at(truth: dict[float, Snapshot], redshift: float) -> Snapshot:
    """The reference snapshot nearest to a redshift, since the redshifts in file headers are rarely round numbers."""
    z = nearest_redshift(truth, redshift)
    if z is None:
        available = ", ".join(f"{z:g}" for z in truth)
        raise InputError(f"the reference has no redshift {redshift:g}: choose among {available}")
    return truth[z]


def default_redshift(truth: dict[float, Snapshot]) -> float:
    """Today where the reference has it, else its lowest redshift."""
    return 0.0 if 0.0 in truth else min(truth)
