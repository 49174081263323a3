"""A suite on disk: its arguments, a row for each finished universe, and its manifest.

suite.json      the arguments, which every process that joins must share
rows/           one file for each finished universe, written once
failed/         one file for each failed universe, until it is made
universes/      particles or statistics, a directory for each universe
claims/         which process makes which universe
manifest.csv    everything as a table, made from the above
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.parsing import name_and_options
from zeldo.errors import DamagedFileError, InputError, ZeldoError
from zeldo.files.atomic import FULL, write_text
from zeldo.networks.architectures import is_weights
from zeldo.store.claims import publish
from zeldo.store.identity import check_same
from zeldo.suites.tasks import Task, make_tasks

if TYPE_CHECKING:
    from zeldo.suites.arrays import SuiteArrays

FORMAT = "zeldo suite 1"
COLUMNS = (
    "name",
    "status",
    "seed",
    *Cosmology.names(),
    "box",
    "n",
    "fixed",
    "flip",
    "power",
    "phases",
    "engine",
    "settings",
    "redshifts",
    "version",
    "revision",
    "weights",
    "seconds",
    "energy_wh",
    "where",
    "sha256",
    "error",
)
ARGUMENTS = ("cosmology", "seeds", "cosmologies", "seed_of_cosmology", "engine", "redshifts", "keep")
FOLDERS = ("rows", "failed", "universes", "claims")


@dataclass
class Suite:
    """Many universes by one engine, in a directory that any number of processes fill.

    Parameters
    ----------
    path : Path
        The directory.
    arguments : mapping
        What determines the universes, as in `suite.json`.
    """

    path: Path
    arguments: Mapping[str, Any]
    _rows: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Suite:
        """A suite that is there. Raises `InputError` for anything else."""
        path = Path(path)
        try:
            arguments = json.loads((path / "suite.json").read_text())
            _check_has(arguments, ARGUMENTS)
        except OSError:
            raise InputError(f"{path} is not a suite: make one by zeldo run --seeds") from None
        except ValueError as error:
            raise DamagedFileError(f"{path / 'suite.json'} is damaged ({error}): remove the suite") from None
        return cls(path, arguments)

    @classmethod
    def join(cls, path: str | os.PathLike[str], arguments: Mapping[str, Any]) -> Suite:
        """The suite of these arguments: a new one, or one that is there.

        Raises
        ------
        InputError
            Where something else is there, or a suite of other arguments; it says which.
        """
        path = Path(path)
        arguments = json.loads(json.dumps(arguments))
        if path.exists() and not _may_be_suite(path):
            raise InputError(f"{path} is not a suite: give a new directory, or that of a suite")
        try:
            for name in FOLDERS:
                (path / name).mkdir(parents=True, exist_ok=True)
                if not os.access(path / name, os.W_OK):  # or each universe would be made, and fail to be kept
                    raise PermissionError(errno.EACCES, f"{name} is not writable")
            publish(json.dumps(arguments, indent=1), path / "suite.json")
        except OSError as error:
            kind = ZeldoError if error.errno in FULL else InputError
            raise kind(f"no suite can be made at {path}: {error.strerror}") from None
        suite = cls.open(path)
        check_same(path, _by_name(suite.arguments, arguments), arguments)
        return suite

    @property
    def tasks(self) -> list[Task]:
        """All universes of the suite, in the order of its arguments."""
        cosmologies = [Cosmology(**values) for values in self.arguments["cosmologies"]]
        return make_tasks(self.arguments["seeds"], cosmologies, self.arguments["seed_of_cosmology"])

    def done(self) -> set[str]:
        """Names of the universes that are made."""
        return _noted(self.path / "rows")

    def is_done(self, name: str) -> bool:
        """Whether a universe is made."""
        return self._row_path(name).exists()

    def rows(self) -> list[dict[str, Any]]:
        """One row for each universe, in the order of the tasks; `status` is done, failed or waiting."""
        failed, done = _noted(self.path / "failed"), self.done()
        shared = {name: value for name, value in self.arguments.items() if name in COLUMNS}
        shared["redshifts"] = " ".join(f"{z:g}" for z in self.arguments["redshifts"])
        rows = []
        for task in self.tasks:
            if task.name in done:
                rows.append(self._row(task.name))
                continue
            cosmology = task.cosmology.to_dict() if task.cosmology else self.arguments["cosmology"]
            row = {**shared, "name": task.name, **cosmology, "seed": task.seed, "status": "waiting"}
            if task.name in failed and (failure := self._failure(task.name)):
                row |= {"status": "failed", **failure}
            rows.append(row)
        return rows

    def failed(self) -> dict[str, str]:
        """What went wrong, by the names of the universes that failed and are not made yet."""
        return {row["name"]: row["error"] for row in self.rows() if row["status"] == "failed"}

    def arrays(self, parameters: Sequence[str] | None = None) -> SuiteArrays:
        """What the finished universes measured, as arrays for inference.

        Parameters
        ----------
        parameters : sequence of str, optional
            Parameters of `Cosmology`; by default those that differ between universes of the suite.

        Returns
        -------
        SuiteArrays
            Of U universes in the order of `rows`: `parameters` (U, P), `k` (K,) in h/Mpc, `power` and the multipoles
            (U, Z, K) in (Mpc/h)^3, float64.

        Raises
        ------
        InputError
            For a suite that keeps particles, where no universe is finished, where k differ, and for an unknown parameter.
        DamagedFileError
            For a file that is damaged.
        """
        from zeldo.suites.arrays import arrays_of

        return arrays_of(self, parameters)

    def _row_path(self, name: str) -> Path:
        return self.path / "rows" / f"{name}.json"

    def _failure_path(self, name: str) -> Path:
        return self.path / "failed" / f"{name}.json"

    def _row(self, name: str) -> dict[str, Any]:
        if name not in self._rows:
            path = self._row_path(name)
            try:
                row = json.loads(path.read_text())
                _check_has(row, ("name", "status"))
                self._rows[name] = row
            except (OSError, ValueError) as error:
                raise DamagedFileError(
                    f"{path} is damaged ({error}): remove it, and run the suite again"
                ) from None
        return self._rows[name]

    def _failure(self, name: str) -> dict[str, Any]:
        try:
            return json.loads(self._failure_path(name).read_text())
        except (OSError, ValueError):  # it is being made now, or the disk was full
            return {}

    def add(self, name: str, row: Mapping[str, Any]) -> bool:
        """Record that a universe is made; False where another process was first."""
        first = publish(json.dumps(row), self._row_path(name))
        self._failure_path(name).unlink(missing_ok=True)
        return first

    def fail(self, name: str, error: str) -> None:
        """Record that a universe failed."""
        write_text(self._failure_path(name), json.dumps({"error": error}))

    def failure_times(self) -> dict[str, int | None]:
        """`failure_time` of all universes that have failed."""
        return {name: self.failure_time(name) for name in _noted(self.path / "failed")}

    def failure_time(self, name: str) -> int | None:
        """When a universe failed last, in nanoseconds by the clock of the disk; None where it has not."""
        try:
            return self._failure_path(name).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    @contextmanager
    def outputs(self, name: str) -> Iterator[Path]:
        """A directory for the particles of a universe, which gets its name when the block is done."""
        final = self.path / "universes" / name
        partial = self.path / "universes" / f".{name}.{uuid4().hex}"
        partial.mkdir()
        try:
            yield partial
            if not self.is_done(name):
                # of a process that was killed before it wrote its row, and perhaps of the user
                _keep_others(final, partial)
                shutil.rmtree(final, ignore_errors=True)
                try:
                    partial.rename(final)
                except OSError:
                    made = [file.name for file in partial.iterdir()]
                    if not all((final / file).exists() for file in made):
                        raise
                    # another one has been faster
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def sweep(self, name: str) -> None:
        """Remove the unfinished files that killed processes left of a universe. Its claim must be held."""
        for old in (self.path / "universes").glob(f".{name}.*"):
            shutil.rmtree(old, ignore_errors=True)
        for old in (self.path / "claims").glob(f".{name}.*.part"):
            old.unlink(missing_ok=True)

    def checkpoint(self, name: str) -> Path:
        """Where a long universe keeps its state."""
        return self.path / "claims" / f"{name}.npz"

    def remove_checkpoint(self, name: str) -> bool:
        """Remove the state of a universe; False where there is none."""
        path = self.checkpoint(name)
        files = [*path.parent.glob(path.name), *path.parent.glob(f"{name}.output*.npz")]
        for file in files:
            file.unlink(missing_ok=True)
        return bool(files)

    def tidy(self) -> None:
        """Remove what processes that were killed at their very end left of universes that are made."""
        done = self.done()
        for old in [*(self.path / "claims").iterdir(), *(self.path / "universes").glob(".*")]:
            if old.name.lstrip(".").partition(".")[0] not in done:
                continue
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.unlink(missing_ok=True)

    def write_manifest(self) -> Path:
        """Write manifest.csv, with a row for each universe. Whoever is still at work writes it again later."""
        path = self.path / "manifest.csv"
        while True:
            before = self.done()
            rows = self.rows()
            text = io.StringIO()
            writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(row | {"settings": _options_text(row.get("settings", {}))} for row in rows)
            write_text(path, text.getvalue())
            # else the last process may have made a universe meanwhile, and written before this one did
            if self.done() == before or any(claim.is_dir() for claim in (self.path / "claims").iterdir()):
                return path


def read_manifest(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """The rows of a suite's manifest.csv, as text."""
    with open(Path(path) / "manifest.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _check_has(values: object, names: Sequence[str]) -> None:
    """`ValueError` for what JSON can read, and is no mapping with these names."""
    lacks = [name for name in names if not isinstance(values, Mapping) or name not in values]
    if lacks:
        raise ValueError(f"it lacks {lacks[0]}")


def _by_name(there: Mapping[str, Any], here: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a suite with its engine by name: it was recorded as it was typed before, such as "cola:steps=3".

    A file of weights has the name of the engine here: the hash of its weights and its settings are compared too.
    """
    spelled, _ = name_and_options(there["engine"])
    weights = here["weights"] is not None and is_weights(spelled)
    return {**there, "engine": here["engine"] if weights else spelled}


def _options_text(settings: Mapping[str, str]) -> str:
    """The settings of an engine that are set, such as "steps=10 mesh_factor=1"."""
    return " ".join(f"{name}={value}" for name, value in settings.items() if value != "None")


def _may_be_suite(path: Path) -> bool:
    """Whether a directory is a suite, or empty, or one that another process is making."""
    if not path.is_dir():
        return False
    begun = all(
        item.name.startswith(".") or (item.name in FOLDERS and item.is_dir() and not any(item.iterdir()))
        for item in path.iterdir()
    )
    return begun or (path / "suite.json").exists()  # asked last: another process may write it in this moment


def _keep_others(former: Path, new: Path) -> None:
    """Move what a directory holds, and a new one does not, into the new one."""
    with suppress(FileNotFoundError):
        for item in former.iterdir():
            if not (new / item.name).exists():
                item.rename(new / item.name)


def _noted(folder: Path) -> set[str]:
    """Names of the universes that have a file in a folder."""
    return {
        name.removesuffix(".json")
        for name in os.listdir(folder)
        if name.endswith(".json") and not name.startswith(".")
    }
