"""The loop of the mesh engines: steps uniform in the scale factor, with outputs that do not disturb it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zeldo.cosmology.background import expansion, growth
from zeldo.engines.steppers import Kick, Stepper, second_slope
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import linear_displacement, second_order_displacement
from zeldo.mesh.gravity import Array, Gravity

Progress = Callable[[float, float, str], None]  # done, total, what is being done


@dataclass
class Motion:
    """What is integrated: the particles themselves, or what 2LPT leaves of them (COLA). All arrays on gravity's device.

    psi, v: displacement (Mpc/h) and its derivative with respect to D1. base: the weights of LPT in the trajectory that
    psi and v are relative to, 1 for COLA and 0 for the whole motion.
    """

    gravity: Gravity
    lpt1: Array
    lpt2: Array
    psi: Array
    v: Array
    base: float
    d1: Callable[[float], float]
    d2: Callable[[float], float]
    offset: float = 0.5

    def displacement(self, a: float, out: Array) -> Array:
        """The whole displacement at a."""
        if not self.base:
            return self.psi
        self.gravity.combine(out, (1.0, self.psi), (self.d1(a), self.lpt1), (self.d2(a), self.lpt2))
        return out

    def force(self, a: float, work: Array) -> Array:
        """F at a. The mesh moves by half a cell from force to force, so that what aliases cancels in the sum."""
        force = self.gravity(self.displacement(a, work), self.offset)
        self.offset = 0.5 - self.offset
        return force

    def kick(self, a: float, force: Array, kick: Kick) -> None:
        alpha, beta = kick
        if not self.base:
            self.gravity.combine(self.v, (alpha, self.v), (beta, force))
            return
        d, e = self.d1(a), self.d2(a)
        lpt = (-beta * d, self.lpt1), (-beta * (e - d * d), self.lpt2)
        self.gravity.combine(self.v, (alpha, self.v), (beta, force), *lpt)

    def drift(self, factor: float) -> None:
        self.gravity.combine(self.psi, (1.0, self.psi), (factor, self.v))


def evolve(
    ics: InitialConditions,
    redshifts: Sequence[float],
    *,
    stepper: Stepper,
    gravity: Gravity,
    steps: int,
    start_redshift: float,
    relative_to_lpt: bool,
    progress: Progress | None,
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """(redshift, psi, vel) for each of the redshifts, from high to low; psi in Mpc/h, vel in km/s, (3, n, n, n).

    From 2LPT at start_redshift in `steps` steps uniform in a to the lowest redshift. An output between two steps is a
    step of its own off the main path, one force more, so that the others do not depend on it.
    """
    grow = growth(ics.cosmology)
    times = np.linspace(1 / (1 + start_redshift), 1 / (1 + min(redshifts)), steps + 1)
    outputs = sorted((1 / (1 + z), z) for z in redshifts)
    extra = sum(not np.isclose(a, times, rtol=1e-12).any() for a, _ in outputs)
    total = float(steps + 1 + extra)

    lpt1, lpt2 = gravity.array(linear_displacement(ics)), gravity.array(second_order_displacement(ics))
    psi, v, work = 0 * lpt1, 0 * lpt1, 0 * lpt1
    motion = Motion(
        gravity,
        lpt1,
        lpt2,
        psi,
        v,
        float(relative_to_lpt),
        lambda a: float(grow.d1(a)),
        lambda a: float(grow.d2(a)),
    )
    if not relative_to_lpt:
        gravity.combine(psi, (motion.d1(times[0]), lpt1), (motion.d2(times[0]), lpt2))
        gravity.combine(v, (1.0, lpt1), (second_slope(grow, times[0]), lpt2))

    def result(motion: Motion, a: float, z: float) -> tuple[float, np.ndarray, np.ndarray]:
        # dx/dt = v dD/dt; peculiar velocity is a times that
        unit = 100 * a * float(expansion(ics.cosmology, a) * grow.f1(a) * grow.d1(a))
        out = gravity.numpy(motion.displacement(a, work))
        gravity.combine(
            work,
            (unit, motion.v),
            (unit * motion.base, lpt1),
            (unit * motion.base * second_slope(grow, a), lpt2),
        )
        return z, out, gravity.numpy(work)

    done = 0.0
    if progress:
        progress(0, total, "preparing (the first run on a machine compiles for a minute)")

    def report(text: str) -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total, text)

    inside: Kick | None = None  # the kick that closes the step before
    for i, a0 in enumerate(times):
        a1 = times[min(i + 1, steps)]
        # COLA starts on the trajectory that it is relative to: the first force would be third-order noise of the lattice
        force = None if i == 0 and relative_to_lpt else motion.force(a0, work)
        if inside and force is not None:
            motion.kick(a0, force, inside)
        report(f"z = {1 / a0 - 1:.2f}")
        while outputs and (outputs[0][0] < a1 or i == steps):
            a, z = outputs.pop(0)
            if np.isclose(a, a0, rtol=1e-12):
                yield result(motion, a, z)
                continue
            aside = Motion(
                gravity, lpt1, lpt2, motion.psi + 0, motion.v + 0, motion.base, motion.d1, motion.d2
            )
            saved = gravity.array(gravity.numpy(force)) if force is not None else None
            if saved is not None:
                aside.kick(a0, saved, stepper.open(a0, a))
            aside.drift(stepper.drift(a0, a))
            aside.kick(a, aside.force(a, work), stepper.close(a0, a))
            yield result(aside, a, z)
            force = saved
            report(f"z = {z:g}, written")
        if i < steps:
            if force is not None:
                motion.kick(a0, force, stepper.open(a0, a1))
            motion.drift(stepper.drift(a0, a1))
            inside = stepper.close(a0, a1)
