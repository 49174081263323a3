"""Wall time and energy of several engines in one paired run: warm, on the same initial conditions, in turns."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from zeldo.comparing import warm_up
from zeldo.engines.base import Engine
from zeldo.files.atomic import write_text
from zeldo.initial.conditions import InitialConditions
from zeldo.measuring.cost import measured
from zeldo.measuring.energy import Meter
from zeldo.measuring.machine import processor, versions
from zeldo.particles.snapshot import Snapshot
from zeldo.version import __version__

REPEATS = 3  # of runs that take seconds; N-body runs once
PACKAGES = ("numpy", "numba", "torch", "ducc0")


@dataclass(frozen=True)
class Timing:
    """The runs of one engine in Table 1.

    Parameters
    ----------
    what : str
        The role of the engine in the table, such as "N-body".
    engine : str
    settings : mapping
    runs : sequence of float
        Wall times, s.
    energy : float or None
        Energy of a run, Wh; None where it was not measured.
    co2 : float or None
        Emissions of a run, g.
    peak_memory : float or None
        GB.
    """

    what: str
    engine: str
    settings: Mapping[str, object]
    runs: Sequence[float]
    energy: float | None
    co2: float | None
    peak_memory: float | None

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(self.runs)


@dataclass(frozen=True)
class TimingTable:
    """The engines' timings from one paired run.

    Parameters
    ----------
    timings : sequence of Timing
    n : int
        Particles per side.
    box : float
        Mpc/h.
    seed : int or None
    machine : mapping
        The properties of the machine that affect speed.
    energy : str
        How energy was measured.
    load_before : float or None
        Load of the system before the runs.
    measured : str
        Date and time.
    key : str
        A hash of everything that must be equal for tables to be comparable.
    """

    timings: Sequence[Timing]
    n: int
    box: float
    seed: int | None
    machine: Mapping[str, Any]
    energy: str
    load_before: float | None
    measured: str
    key: str

    def ratio(self, slow: str, fast: str) -> float:
        """How many times longer one engine takes than another."""
        seconds = {timing.what: timing.seconds for timing in self.timings}
        return seconds[slow] / seconds[fast]

    def write(self, path: Path, **extra: object) -> None:
        """Write as JSON, with `extra` entries beside the table's own."""
        content: dict[str, Any] = {"zeldo": __version__, **extra, **asdict(self)}
        for row, timing in zip(content["timings"], self.timings, strict=True):
            row["seconds"] = timing.seconds
        slowest, *others = self.timings
        content["ratios"] = {
            f"{a.what} / {b.what}": self.ratio(a.what, b.what)
            for a, b in [*((slowest, timing) for timing in others), *pairwise(others)]
        }
        write_text(path, json.dumps(content, indent=1, default=str) + "\n")

    @classmethod
    def read(cls, path: Path, key: str) -> TimingTable | None:
        """The table in a file, if its key is the same; otherwise None."""
        try:
            content = json.loads(path.read_text())
            if content["key"] != key:
                return None
            rows = [{name: row[name] for name in Timing.__annotations__} for row in content["timings"]]
            values = {name: content[name] for name in cls.__annotations__}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(**{**values, "timings": [Timing(**row) for row in rows]})


@dataclass
class Entry:
    """An engine to be timed.

    Parameters
    ----------
    what : str
        The role of the engine in the table.
    engine : Engine
    repeats : int
        How often it runs.
    runs, energy, co2 : list of float
        Measurements of the runs so far: s, Wh and g.
    peak_memory : float or None
        GB.
    """

    what: str
    engine: Engine
    repeats: int = REPEATS
    runs: list[float] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    co2: list[float] = field(default_factory=list)
    peak_memory: float | None = None

    def timing(self) -> Timing:
        return Timing(
            self.what,
            self.engine.name,
            self.engine.settings,
            self.runs,
            statistics.median(self.energy) if self.energy else None,
            statistics.median(self.co2) if self.co2 else None,
            self.peak_memory,
        )


def paired_run(
    entries: Sequence[Entry],
    ics: InitialConditions,
    meter: Meter,
    key: str,
    watch: Callable[[str], Any],
) -> tuple[TimingTable, dict[str, Snapshot]]:
    """Run the engines in turns, each as often as its entry says; the table, and the last snapshot of each engine."""
    load = _load()
    for entry in entries:
        warm_up(entry.engine, ics)
    last = {}
    for turn in range(max(entry.repeats for entry in entries)):
        for entry in entries:
            if turn >= entry.repeats:
                continue
            title = f"Table 1: {entry.what}, run {turn + 1} of {entry.repeats}"
            with watch(title) as progress, meter.measured() as used, measured() as cost:
                (last[entry.what],) = entry.engine.run(ics, [0.0], progress)
            entry.runs.append(cost.seconds)
            entry.peak_memory = max(entry.peak_memory or 0.0, cost.peak_memory or 0.0) or None
            if used.energy is not None and used.co2 is not None:
                entry.energy.append(used.energy)
                entry.co2.append(used.co2)
    table = TimingTable(
        timings=[entry.timing() for entry in entries],
        n=ics.n,
        box=ics.box,
        seed=ics.seed,
        machine=machine(),
        energy=meter.how,
        load_before=load,
        measured=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        key=key,
    )
    return table, last


def table_key(entries: Sequence[Entry], ics: InitialConditions, how: str) -> str:
    """A hash of engines, weights, phases, machine, versions, and how energy is measured."""
    parts: list[object] = [how, machine()]
    for entry in entries:
        parts += [entry.what, entry.engine.key(ics, [0.0]), entry.repeats]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def machine() -> dict[str, Any]:
    """Processor, threads and versions: everything that affects the speed of a run."""
    import numba
    import torch

    facts: dict[str, Any] = {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()}
    facts["threads"] = {"numba": numba.get_num_threads(), "torch": torch.get_num_threads()}
    facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    own = {"python": platform.python_version(), "zeldo": __version__}
    return {**facts, "versions": own | versions(PACKAGES)}


def _load() -> float | None:
    """Mean number of running processes in the last minute; None where the system does not report it."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None
