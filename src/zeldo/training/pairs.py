"""Training pairs: the linear displacement at a redshift, and what an N-body run made of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from zeldo.cosmology.background import growth
from zeldo.cosmology.power import MODELS
from zeldo.cosmology.redshifts import same_redshift
from zeldo.errors import InputError
from zeldo.files.archive import existing
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.initial.lpt import linear_displacement
from zeldo.particles.snapshot import Snapshot
from zeldo.store.runs import RunStore
from zeldo.training.config import DataConfig, SnapshotPair
from zeldo.training.symmetries import IDENTITY, crop, random_element


@dataclass(frozen=True, eq=False)
class Pair:
    """linear: D1(z) psi_lin; target: psi; both (3, n, n, n) float32, Mpc/h, whole periodic boxes."""

    name: str
    linear: np.ndarray
    target: np.ndarray
    truth: Snapshot

    @property
    def spacing(self) -> float:
        """Lattice spacing, Mpc/h."""
        return self.truth.box / self.truth.n

    @property
    def nbytes(self) -> int:
        return self.linear.nbytes + self.target.nbytes


class Pairs:
    """The pairs of a data configuration, read when needed; what was read is kept up to `cache_gb`.

    Raises `InputError` where a target does not follow its linear field, or lattice spacings differ.
    """

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self._store = None if config.store is None else RunStore(config.store, create=False)
        for one in config.snapshots:  # now, not at the end of the first epoch
            for path in filter(None, (one.path, one.initial, one.linear)):
                existing(path)
        self._kept: OrderedDict[str, Pair] = OrderedDict()
        self._lock = threading.Lock()
        self._spacing: tuple[str, float] | None = None

    def names(self, part: str) -> list[str]:
        """Names of the pairs of a part that are there now, in a fixed order."""
        if self._store is None:
            found = [str(one.path) for one in self.config.snapshots if one.part == part]
        else:
            found = [row["run_id"] for row in self._store.runs() if row["part"] == part]
        most = {"train": self.config.runs, "validation": self.config.validation_runs}.get(part, 0)
        return found[:most] if most else found

    def described(self, names: Sequence[str]) -> dict[str, Any]:
        """What a model card says of the data; empty for no names."""
        if not names:
            return {}
        truths = [self._store.row(name) for name in names] if self._store else []
        if not truths:
            snapshots = [self.get(name).truth for name in names]
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
            "engine": truths[0]["engine"],
            "settings": truths[0]["settings"],
            "box": sorted({t["box"] for t in truths}),
            "n": sorted({t["n"] for t in truths}),
            "spacing": truths[0]["box"] / truths[0]["n"],
            "redshift": self.config.redshift,
            "cosmology": ranges,
        }

    def get(self, name: str) -> Pair:
        """One pair. May be called from several threads."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        pair = self._checked(self._from_store(name) if self._store else self._from_file(name))
        with self._lock:
            self._kept[name] = pair
            while (
                sum(p.nbytes for p in self._kept.values()) > self.config.cache_gb * 1e9
                and len(self._kept) > 1
            ):
                self._kept.popitem(last=False)
        return pair

    def sample(self, name: str, rng: np.random.Generator, halo: int) -> tuple[np.ndarray, np.ndarray]:
        """(input, target) for training, float32, Mpc/h: rotated, reflected and shifted where `augment`.

        A whole periodic box has no halo; a crop of side s has an input of side s + 2 halo.
        """
        pair = self.get(name)
        n, side = pair.truth.n, self.config.crop
        if side > n:
            raise InputError(f"crop = {side} is larger than the box of {n} cells ({name}): give at most {n}")
        element = random_element(rng) if self.config.augment else IDENTITY
        i, j, k = (int(x) for x in rng.integers(n, size=3))
        origin = (i, j, k) if self.config.augment or side else (0, 0, 0)
        if not side:
            return crop(pair.linear, element, origin), crop(pair.target, element, origin)
        return crop(pair.linear, element, origin, side, halo), crop(pair.target, element, origin, side)

    def _from_store(self, name: str) -> Pair:
        assert self._store is not None
        truth = self._store.snapshot(name, self.config.redshift, velocity=False)
        return _pair(name, self._store.initial(name), truth)

    def _from_file(self, name: str) -> Pair:
        from zeldo.files import read

        one = next(one for one in self.config.snapshots if str(one.path) == name)
        truth = read(one.path)
        if not same_redshift(truth.redshift, self.config.redshift):
            raise InputError(
                f"{name} is at redshift {truth.redshift:g}, the configuration says {self.config.redshift:g}: "
                "change one of them"
            )
        if one.linear is None:
            return _pair(name, _conditions(one, truth), truth)
        linear = read(one.linear)
        grown = _d1(truth) / _d1(linear)
        return Pair(name, (linear.psi * grown).astype(np.float32), truth.psi, truth)

    def _checked(self, pair: Pair) -> Pair:
        if pair.linear.shape != pair.target.shape:
            raise InputError(
                f"{pair.name}: the linear field has shape {pair.linear.shape}, the target {pair.target.shape}"
            )
        with self._lock:
            name, spacing = self._spacing = self._spacing or (pair.name, pair.spacing)
        if abs(pair.spacing / spacing - 1) > 1e-6:
            raise InputError(
                f"{pair.name} has a lattice spacing of {pair.spacing:g} Mpc/h, {name} {spacing:g}: a network "
                "learns one spacing only"
            )
        x, y = pair.linear.reshape(-1), pair.target.reshape(-1)
        r = float(x @ y) / max(float(np.sqrt((x @ x) * (y @ y))), 1e-30)
        if not r > 0.3:
            raise InputError(
                f"{pair.name}: target and linear displacement correlate by {r:.2f} only: are they of one "
                "seed, and the particles in Lagrangian order?"
            )
        return pair


def prefetch(
    make: Callable[[int], Any], first: int, end: int, workers: int = 2, ahead: int = 2
) -> Generator[Any, None, None]:
    """make(first), ..., make(end - 1) in order, made in threads while the caller works."""
    with ThreadPoolExecutor(workers, thread_name_prefix="pairs") as pool:
        waiting = [pool.submit(partial(make, i)) for i in range(first, min(first + ahead, end))]
        try:
            for i in range(first, end):
                if i + ahead < end:
                    waiting.append(pool.submit(partial(make, i + ahead)))
                yield waiting.pop(0).result()
        finally:
            for one in waiting:
                one.cancel()


def _pair(name: str, ics: InitialConditions, truth: Snapshot) -> Pair:
    linear = linear_displacement(ics)
    linear *= np.float32(_d1(truth))
    return Pair(name, linear, truth.psi, truth)


def _conditions(one: SnapshotPair, truth: Snapshot) -> InitialConditions:
    if one.initial is not None:
        from zeldo.files.reference import read_initial_conditions

        return read_initial_conditions(one.initial)
    if truth.seed is None:
        raise InputError(
            f"{one.path} names no seed: give its initial conditions by `initial`, or a snapshot of its "
            "linear displacement by `linear`"
        )
    power = truth.power or "camb"
    if power not in MODELS:
        raise InputError(
            f"{one.path} was made with the power spectrum of {power}: give its initial conditions by `initial`"
        )
    drawn = {"fixed": bool(truth.fixed), "flip": bool(truth.flip)}
    return initial_conditions(
        truth.cosmology, truth.box, truth.n, truth.seed, power=power, phases=truth.phases or "native", **drawn
    )


def _d1(snapshot: Snapshot) -> float:
    return float(growth(snapshot.cosmology).d1(snapshot.scale_factor))
