"""P3M: the N-body teacher. The mesh attracts from afar, pairs of particles from near by; nothing is fitted to other codes.

The method and the measurements that chose its parameters: docs/p3m.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import ceil, log
from typing import ClassVar

import numpy as np

from zeldo.engines.checkpoint import Checkpoint, run_key
from zeldo.engines.lpt import SecondOrder
from zeldo.engines.p3m.steps import (
    MeshStep,
    Weights,
    expected_pair_steps,
    longest_step,
    pair_length,
    schedule,
)
from zeldo.engines.registry import Progress, check_redshifts, register
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import Snapshot

RANGES: dict[str, tuple[float, float]] = {
    "mesh_factor": (1, 8),
    "reach": (0.5, 10),
    "shape": (1, 4),
    "softening": (1e-4, 0.5),
    "start_redshift": (1, 1000),
    "mesh_step": (1e-3, 1),
    "crossing": (1e-3, 1e3),
    "pair_accuracy": (1e-5, 100),
    "checkpoint_minutes": (0, 1e6),
}
LEAST_REACH = 4.0  # mesh points: what the split leaves to the mesh it must resolve
MESH_WORK = 2.5  # the time of a mesh force in units of a pair force, for the progress bar


@register
@dataclass(frozen=True)
class P3M:
    """N-body with a particle mesh and pair forces, from 2LPT: as accurate as tree codes at this resolution.

    mesh_factor: mesh points per particle and dimension. reach: where the pair force ends, in lattice spacings.
    shape: order of the force split (1 to 4). softening: Plummer-equivalent, in lattice spacings.
    start_redshift: of the 2LPT start. mesh_step: longest step of the mesh force in ln a. crossing: how far the rms
    particle moves in one at most, in lattice spacings. pair_accuracy: decides the steps of the pair force, see
    `Simulation.pair_length`; they go as its square root. checkpoint: a .npz file from which a
    killed run resumes to the same bits; it is removed when the run is done. checkpoint_minutes: how often it is written.
    """

    name: ClassVar[str] = "p3m"
    mesh_factor: float = 3.0
    reach: float = 1.915
    shape: int = 3
    softening: float = 1 / 40
    start_redshift: float = 49.0
    mesh_step: float = 0.08
    crossing: float = 0.06
    pair_accuracy: float = 0.01
    checkpoint: str | os.PathLike | None = None
    checkpoint_minutes: float = 2.0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"{name} = {value!r} is not allowed: give a number from {low:g} to {high:g}")
        if self.shape != int(self.shape):
            raise InputError(f"shape = {self.shape!r} is not allowed: give a whole number from 1 to 4")
        if self.reach * self.mesh_factor < LEAST_REACH:
            raise InputError(
                f"reach = {self.reach:g} with mesh_factor = {self.mesh_factor:g} is not allowed: the pair force "
                f"must reach over {LEAST_REACH:g} mesh points; 1.915 does on a mesh factor of 3, 2.393 on 2"
            )
        if not isinstance(self.checkpoint, str | os.PathLike | None):
            raise InputError(f"checkpoint = {self.checkpoint!r} is not allowed: give the name of a .npz file")

    @property
    def least_n(self) -> int:
        """The pair force must fit into the box three times."""
        return max(8, 2 * ceil(1.5 * self.reach))

    def run(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress | None = None
    ) -> Iterator[Snapshot]:
        """Snapshots at the redshifts, from high to low. `InputError` for bad input before any work."""
        wanted = check_redshifts(redshifts, self.start_redshift)
        settings = {key: value for key, value in asdict(self).items() if not key.startswith("checkpoint")}
        if wanted[0] == self.start_redshift:
            (first,) = SecondOrder().run(ics, wanted[:1])
            yield replace(first, engine=self.name, settings=settings)
            del wanted[0]
        if not wanted:
            return
        simulation = Simulation(self, ics)
        longest = longest_step(ics, self.mesh_step, self.crossing)
        steps = schedule(self.start_redshift, wanted, longest)
        store = None
        if self.checkpoint is not None:
            key = run_key(ics, settings, wanted)
            store = Checkpoint(self.checkpoint, key, self.checkpoint_minutes)  # type: ignore[arg-type]
        for z, (psi, vel) in zip(wanted, _outputs(simulation, steps, store, progress), strict=True):
            yield Snapshot.of(ics, psi, vel, z, self.name, settings)
        if store is not None:
            store.remove(len(wanted))


def _outputs(
    simulation: Simulation, steps: list[MeshStep], store: Checkpoint | None, progress: Progress | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """psi and velocity at the end of each step that is an output; the first of them from `store` where it has them."""
    saved = store.load() if store is not None else None
    first = saved[0] if saved is not None else 0
    work = [expected_pair_steps(step) + MESH_WORK for step in steps]
    total, done = sum(work), sum(work[:first])
    number = 0

    def report(share: float, a: float) -> None:
        if progress is not None:
            progress(done + share * work[k - 1], total, f"z = {1 / a - 1:.2f}")

    if store is not None:
        for number, _ in enumerate([step for step in steps[:first] if step.is_output], start=1):
            yield store.load_output(number - 1)
    if saved is not None:
        simulation.resume(saved[1], saved[2])
    else:
        simulation.start()
    for k, step in enumerate(steps[first:], start=first + 1):
        simulation.step(step, report)
        done += work[k - 1]
        output = simulation.state(step.end) if step.is_output else None
        if store is not None:
            if output is not None:
                store.save_output(number, *output)
            store.save(k, simulation.psi, simulation.p)
        if output is not None:
            number += 1
            yield output


class Simulation:
    """Particles on their way: psi (Mpc/h) and momentum p = a^2 dx/dt / (100 km/s), (3, n, n, n) float32."""

    def __init__(self, engine: P3M, ics: InitialConditions):
        from zeldo.engines.p3m.cells import CellList
        from zeldo.engines.p3m.force_split import ForceSplit
        from zeldo.engines.p3m.mesh_force import MeshForce
        from zeldo.engines.p3m.pair_force import PairForce

        self.mesh_points = 2 * round(engine.mesh_factor * ics.n / 2)
        split = ForceSplit(engine.reach * ics.spacing, int(engine.shape), engine.softening * ics.spacing)
        self.ics, self.engine, self.softening = ics, engine, split.softening
        self.weights = Weights(ics.cosmology)
        self.cells = CellList(ics.n, ics.box, split.radius)
        self.pairs = PairForce(split, self.cells)
        self.mesh = MeshForce(split, self.mesh_points, self.cells)

    def start(self) -> None:
        """2LPT at the start redshift."""
        from zeldo.initial.lpt import displacements

        a = 1 / (1 + self.engine.start_redshift)
        w = self.weights
        first, second = displacements(self.ics)
        psi = np.float32(w.growth.d1(a)) * first + np.float32(w.growth.d2(a)) * second
        self.resume(psi, np.float32(w.momentum(a)) * first + np.float32(w.momentum2(a)) * second)

    def resume(self, psi: np.ndarray, p: np.ndarray) -> None:
        """Takes up particles where they are; the arrays are changed from now on."""
        self.psi, self.p = psi, p
        self.near, self.far = np.empty_like(psi), np.empty_like(psi)
        self.cells.sort(psi)
        self.pairs(self.near)
        self.mesh(self.far)

    def step(self, step: MeshStep, report: Callable[[float, float], None] = lambda share, a: None) -> None:
        """One mesh step with its pair steps, both kick-drift-kick; report(share done, a) follows each part."""
        from zeldo.engines.p3m.kernels import advance

        w, psi, p, near, far = self.weights, self.psi, self.p, self.near, self.far
        times = step.times(self.pair_length(step.start))
        middle = (step.start * step.end) ** 0.5
        kick, kick_far = 0.0, w.kick(step.start, middle)
        for a, b in pairwise(times):
            m = (a * b) ** 0.5
            # the kick that ends one pair step and the one that begins the next are by the same force
            advance(p, psi, near, far, kick + w.kick(a, m), kick_far, w.drift(a, b))
            self.cells.sort(psi)
            self.pairs(near)
            kick, kick_far = w.kick(m, b), 0.0
            report(log(b / step.start) / log(step.end / step.start) * 0.9, b)
        self.mesh(far)
        advance(p, psi, near, far, kick, w.kick(middle, step.end), 0.0)
        report(1.0, step.end)

    def pair_length(self, a: float) -> float:
        """The longest pair step in ln a from here: by the mean force, fourth powers averaged, and half of `mesh_step`.

        The fourth power sees the first halos when few particles are in any (docs/p3m.md).
        """
        from zeldo.engines.p3m.kernels import mean_fourth_power

        force = mean_fourth_power(self.near) ** 0.25
        return min(
            pair_length(self.ics.cosmology, a, force, self.softening, self.engine.pair_accuracy),
            self.engine.mesh_step / 2,
        )

    def state(self, a: float) -> tuple[np.ndarray, np.ndarray]:
        """Displacement (Mpc/h) and peculiar velocity (km/s) at scale factor a, as copies."""
        return self.psi.copy(), self.p * np.float32(100 / a)
