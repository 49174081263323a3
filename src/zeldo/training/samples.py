"""The samples of a training: runs of a store, or snapshots in files, at one redshift or several."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zeldo.cosmology.power import MODELS
from zeldo.cosmology.redshifts import nearest_redshift, same_redshift
from zeldo.errors import InputError
from zeldo.files.registry import locate
from zeldo.initial.conditions import InitialConditions, difference
from zeldo.initial.linear import initial_conditions
from zeldo.initial.recovery import shifted
from zeldo.networks.tasks.base import Fields, Task
from zeldo.networks.tasks.units import growth_factor
from zeldo.particles.snapshot import Snapshot
from zeldo.store.runs import RunStore
from zeldo.training.config import DataConfig, SnapshotPair
from zeldo.training.dynamics import Dynamics
from zeldo.training.sample import Sample
from zeldo.training.symmetries import IDENTITY, random_element

CPU = torch.device("cpu")
Key = tuple[str, float]  # of a sample: a run of the store, or the path of a snapshot, and its redshift


class Samples:
    """The samples of a data configuration. They are made when needed, and kept in memory up to `cache_gb`.

    Parameters
    ----------
    config : DataConfig
        Where runs and snapshots are, and the redshifts to learn.
    task : Task
        Makes inputs and targets.
    directory : Path, optional
        Where snapshots of the task's dynamics are kept; with None they are computed each time.

    Raises
    ------
    InputError
        Where a target does not follow from its linear field, and where lattice spacings differ that must not.
    """

    def __init__(self, config: DataConfig, task: Task, directory: Path | None = None) -> None:
        self.config, self.task = config, task
        self._store = None if config.store is None else RunStore(config.store, create=False)
        for file in config.snapshots:  # report it now, not at the end of the first epoch
            for path in filter(None, (file.path, file.initial, file.linear)):
                locate(path)
        self._dynamics = None if task.dynamics is None else Dynamics(task, directory)
        self._kept: OrderedDict[Key, tuple[Sample, Snapshot]] = OrderedDict()
        self._lock = threading.Lock()
        self._kernels = threading.Lock()  # Numba's pool of threads must not have two callers
        self._first: tuple[str, float] | None = None  # the others must have its spacing

    def keys(self, part: str) -> list[Key]:
        """The samples of a part that exist at present, in a fixed order."""
        most = {"train": self.config.runs, "validation": self.config.validation_runs}.get(part, 0) or None
        if self._store is None:
            files = [file for file in self.config.snapshots if file.part == part]
            return [(str(file.path), self._redshift(file)) for file in files[:most]]
        runs = [row["run_id"] for row in self._store.runs() if row["part"] == part]
        return [(name, z) for name in runs[:most] for z in self.config.redshifts]

    def kinds(self) -> dict[str, list[Any]]:
        """The engines and lattices of the store's runs to train and validate with, by the names of their rows.

        More runs add to the lists and take nothing away. It is empty for snapshots in files.
        """
        if self._store is None:
            return {}
        rows = [row for row in self._store.runs() if row["part"] in ("train", "validation")]
        return {name: sorted({row[name] for row in rows}) for name in ("engine", "box", "n")}

    def described(self, keys: Sequence[Key]) -> dict[str, Any]:
        """The description of the data in a model card; empty for no samples."""
        if not keys:
            return {}
        names = list(dict.fromkeys(name for name, _ in keys))
        truths = [self._store.row(name) for name in names] if self._store else []
        if not truths:
            snapshots = [self.truth(key) for key in keys]
            truths = [
                {
                    "seed": s.seed,
                    "cosmology": s.cosmology.to_dict(),
                    "box": s.box,
                    "n": s.n,
                    "engine": s.engine,
                    "settings": dict(s.settings),
                }
                for s in snapshots
            ]
        ranges = {
            name: [min(t["cosmology"][name] for t in truths), max(t["cosmology"][name] for t in truths)]
            for name in truths[0]["cosmology"]
        }
        return {
            "runs": len(truths),
            "seeds": [t["seed"] for t in truths],
            "engine": " and ".join(dict.fromkeys(t["engine"] for t in truths)),
            "settings": truths[0]["settings"],
            "box": sorted({t["box"] for t in truths}),
            "n": sorted({t["n"] for t in truths}),
            "spacing": sorted({t["box"] / t["n"] for t in truths}),
            "redshifts": sorted({z for _, z in keys}),
            "cosmology": ranges,
        }

    def get(self, key: Key) -> Sample:
        """One sample. May be called from several threads."""
        return self._sample_and_truth(key)[0]

    def truth(self, key: Key) -> Snapshot:
        """The snapshot from which the sample's target is made."""
        return self._sample_and_truth(key)[1]

    def _sample_and_truth(self, key: Key) -> tuple[Sample, Snapshot]:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        truth, ics, fields = self._from_store(*key) if self._store else self._from_file(*key)
        with self._kernels:
            if fields is None:
                assert ics is not None
                if self._dynamics is None:
                    fields = self.task.fields(ics)
                else:
                    fields = self.task.fields(ics, self._dynamics.engine.amplitudes(ics.spacing))
                    fields = fields.at(*self._dynamics.outcome(ics, key[1]))
            sample = Sample.of(self.task, fields, truth)
        self._check(key[0], fields, truth)
        pair = sample, truth
        with self._lock:
            self._kept[key] = pair
            while (
                sum(sample.nbytes for sample, _ in self._kept.values()) > self.config.cache_gb * 1e9
                and len(self._kept) > 1
            ):
                self._kept.popitem(last=False)
        return pair

    def draw(self, key: Key, rng: np.random.Generator, halo: int, device: torch.device = CPU) -> Sample:
        """A training sample: rotated, reflected and shifted where `augment` is set, and cropped where there is a crop.

        On a GPU, fields are gathered there, where it takes no time.
        """
        sample, side = self.get(key), self.config.crop
        if device.type != "cpu":
            sample = sample.on(device)
        element = random_element(rng) if self.config.augment else IDENTITY
        i, j, k = (int(x) for x in rng.integers(sample.inputs.shape[-1], size=3))
        origin = (i, j, k) if self.config.augment or side else (0, 0, 0)
        return sample.cut(element, origin, side, halo)

    def _from_store(self, name: str, redshift: float) -> tuple[Snapshot, InitialConditions, None]:
        assert self._store is not None
        truth = self._store.snapshot(name, redshift, velocity="vel" in self.task.predicts)
        return truth, self._store.initial(name), None

    def _from_file(
        self, name: str, redshift: float
    ) -> tuple[Snapshot, InitialConditions | None, Fields | None]:
        from zeldo.files import read_snapshot

        file = next(file for file in self.config.snapshots if str(file.path) == name)
        truth = read_snapshot(file.path, file.cosmology)
        if not same_redshift(truth.redshift, redshift):
            raise InputError(
                f"{name} is at redshift {truth.redshift:g}, the configuration says {redshift:g}: "
                "change one of them"
            )
        if file.linear is None:
            ics = _conditions(file, truth)
            if file.initial is not None:
                _check_same_universe(file.initial, ics, truth, name)
            # inputs are wanted where the target's particles set out, which need not be our lattice points
            i, j, k = truth.offset
            return truth, replace(ics, delta_lin=shifted(ics.delta_lin, (-i, -j, -k))), None
        if self.task.dynamics is not None:
            raise InputError(
                f"{name}: the task {self.task.name} runs an engine, which needs initial conditions: give `initial`, "
                "not `linear`"
            )
        linear = read_snapshot(file.linear, file.cosmology)
        _check_same_universe(file.linear, linear, truth, name)
        if not np.allclose(linear.offset, truth.offset, atol=1e-3):
            raise InputError(
                f"{file.linear} has its lattice at {linear.offset}, its target {name} at {truth.offset}: give `initial`"
            )
        grown = growth_factor(linear.cosmology, linear.redshift)
        return truth, None, Fields((linear.psi / grown).astype(np.float32))

    def _redshift(self, file: SnapshotPair) -> float:
        if len(self.config.redshifts) == 1:
            return self.config.redshifts[0]
        from zeldo.files import read_snapshot

        redshift = read_snapshot(file.path, file.cosmology).redshift
        nearest = nearest_redshift(self.config.redshifts, redshift)
        if nearest is None:
            listed = ", ".join(f"{z:g}" for z in self.config.redshifts)
            raise InputError(
                f"{file.path} is at redshift {redshift:g}, data.redshifts has {listed}: change one of them"
            )
        return nearest

    def _check(self, name: str, fields: Fields, truth: Snapshot) -> None:
        if fields.psi_lin.shape != truth.psi.shape:
            raise InputError(
                f"{name}: the linear field has shape {fields.psi_lin.shape}, the target {truth.psi.shape}"
            )
        spacing = truth.box / truth.n
        with self._lock:
            first, wanted = self._first = self._first or (name, spacing)
        if self.task.trained_at_one_spacing and abs(spacing / wanted - 1) > 1e-6:
            raise InputError(
                f"{name} has a lattice spacing of {spacing:g} Mpc/h, {first} {wanted:g}: a network for "
                f"{self.task.name} learns one spacing only"
            )
        # not the displacements themselves: their few largest waves are alike by chance in small boxes
        x, y = _divergence(fields.psi_lin), _divergence(truth.psi)
        r = float(x @ y) / max(float(np.sqrt((x @ x) * (y @ y))), 1e-30)
        if not r > 0.3:
            raise InputError(
                f"{name}: the divergences of target and linear displacement correlate by {r:.2f} only: are they of one "
                "seed, and the particles in Lagrangian order?"
            )


def prefetch(
    make: Callable[[int], Any], first: int, end: int, workers: int = 2, ahead: int = 2
) -> Generator[Any, None, None]:
    """make(first), ..., make(end - 1) in order, computed in threads while the caller works."""
    with ThreadPoolExecutor(workers, thread_name_prefix="samples") as pool:
        waiting = [pool.submit(make, i) for i in range(first, min(first + ahead, end))]
        try:
            for i in range(first, end):
                if i + ahead < end:
                    waiting.append(pool.submit(make, i + ahead))
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


def _conditions(file: SnapshotPair, truth: Snapshot) -> InitialConditions:
    if file.initial is not None:
        from zeldo.linear_fields import initial_conditions_of

        return initial_conditions_of(file.initial, file.cosmology)
    if truth.seed is None:
        raise InputError(
            f"{file.path} names no seed: give its initial conditions by `initial`, or a snapshot of its "
            "linear displacement by `linear`"
        )
    power = truth.power or "camb"
    if power not in MODELS:
        raise InputError(
            f"{file.path} was made with the power spectrum of {power}: give its initial conditions by `initial`"
        )
    drawn = {"fixed": bool(truth.fixed), "flip": bool(truth.flip)}
    return initial_conditions(
        truth.cosmology, truth.box, truth.n, truth.seed, power=power, phases=truth.phases or "native", **drawn
    )


def _check_same_universe(
    path: Path, source: InitialConditions | Snapshot, truth: Snapshot, name: str
) -> None:
    """`InputError` for another box, cosmology or lattice: with equal phases the fields correlate all the same."""
    if what := difference(source, truth):
        raise InputError(
            f"{path} has {what} = {getattr(source, what)}, its target {name} has {getattr(truth, what)}: "
            "both must be one universe; give the target's own initial conditions"
        )


def _divergence(psi: np.ndarray) -> np.ndarray:
    """That of a field on a periodic lattice, as a list and up to a factor."""
    return sum(np.roll(psi[i], -1, i) - np.roll(psi[i], 1, i) for i in range(3)).reshape(-1)
