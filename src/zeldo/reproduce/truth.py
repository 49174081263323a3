"""The truth that predictions are compared with: N-body runs, which are made once and kept, or reference files."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zeldo.cosmology.parameters import Cosmology, same_cosmology
from zeldo.engines.base import Engine
from zeldo.errors import DamagedFileError, InputError
from zeldo.files import read_snapshot, write
from zeldo.files.atomic import make_directory
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import Snapshot

KEY = "run"  # the entry of a kept snapshot's settings that says what made it


@dataclass(frozen=True, eq=False)
class Truth:
    """Initial conditions and the N-body snapshot at z = 0 that follows from them.

    Parameters
    ----------
    ics : InitialConditions
    snapshot : Snapshot
    name : str
        The code that made it.
    """

    ics: InitialConditions
    snapshot: Snapshot
    name: str


@dataclass(frozen=True)
class NBody:
    """An N-body engine whose runs are kept in a directory, one file for each name.

    Parameters
    ----------
    engine : Engine
    text : str
        The engine as the user wrote it.
    directory : Path
    say : callable
        Called with the reason, in one line, where an existing file is not used.
    """

    engine: Engine
    text: str
    directory: Path
    say: Callable[[str], None] = lambda line: None

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.npz"

    def kept(self, name: str, ics: InitialConditions) -> Truth | None:
        """The run of that name, if the same engine, version and settings made it from these phases; otherwise None."""
        path = self.path(name)
        if not path.exists():
            return None
        try:
            snapshot = read_snapshot(path)
        except DamagedFileError as error:
            self.say(f"{error}: made again")
            return None
        settings = dict(snapshot.settings)
        if settings.pop(KEY, None) != self._key(ics):
            self.say(f"{path} is of another version, engine, setting or universe: made again")
            return None
        return Truth(ics, replace(snapshot, settings=settings), self.text)

    def keep(self, name: str, ics: InitialConditions, snapshot: Snapshot) -> Truth:
        make_directory(self.directory)
        write(replace(snapshot, settings={**snapshot.settings, KEY: self._key(ics)}), self.path(name))
        return Truth(ics, snapshot, self.text)

    def run(self, name: str, ics: InitialConditions, watch: Callable[[str], Any]) -> Truth:
        """The run that was kept, or a new one, which is kept now."""
        truth = self.kept(name, ics)
        if truth is None:
            with watch(f"N-body {name}") as progress:
                (snapshot,) = self.engine.run(ics, [0.0], progress)
            truth = self.keep(name, ics, snapshot)
        return truth

    def _key(self, ics: InitialConditions) -> str:
        return f"{self.engine.name} {self.engine.key(ics, [0.0])}"


@dataclass(frozen=True)
class ReferenceFile:
    """The description of a reference run, without its fields."""

    path: Path
    cosmology: Cosmology
    n: int
    box: float

    def read(self) -> Truth:
        """Read the run at z = 0. `InputError` where it has no snapshot there."""
        from zeldo.files.reference import read_reference

        ics, snapshots = read_reference(self.path)
        if 0.0 not in snapshots:
            raise InputError(f"{self.path} has no redshift 0: give runs that reach today")
        return Truth(ics, snapshots[0.0], f"{snapshots[0.0].engine} ({self.path.name})")


def reference_files(directory: Path) -> list[ReferenceFile]:
    """The reference runs in a directory. `InputError` where there is no directory, or no run in it."""
    from zeldo.files.archive import read_arrays
    from zeldo.files.entries import cosmology_of, integer, number
    from zeldo.files.reference import COSMOLOGY, is_reference

    if not directory.is_dir():
        raise InputError(
            f"reference {directory} is not a directory: give one that holds files of reference runs"
        )
    references = []
    for path in sorted(directory.glob("*.npz")):
        if is_reference(path):
            values = read_arrays(path, ["n", "box", *COSMOLOGY])
            n, box = integer(values, "n", path), number(values, "box", path)
            references.append(ReferenceFile(path, cosmology_of(values, path), n, box))
    if not references:
        raise InputError(
            f"{directory} holds no reference runs (.npz with delta_lin and psi_z0): give another"
        )
    return references


def nearest_file(
    files: list[ReferenceFile], cosmology: Cosmology, n: int, spacing: float
) -> ReferenceFile | None:
    """The run with this cosmology and lattice spacing (Mpc/h) whose size is nearest to n; None without such a run."""
    fitting = [
        file
        for file in files
        if same_cosmology(file.cosmology, cosmology)
        and math.isclose(file.box / file.n, spacing, rel_tol=1e-3)
    ]
    return min(fitting, key=lambda file: (abs(math.log(file.n / n)), -file.n), default=None)
