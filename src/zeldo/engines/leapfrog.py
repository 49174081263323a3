"""The loop of the mesh engines: steps uniform in the scale factor, with outputs that do not disturb it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy

import numpy as np

from zeldo.cosmology.background import expansion, growth
from zeldo.engines.steppers import Kick, Stepper, second_slope
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import linear_displacement, second_order_displacement
from zeldo.mesh.gravity import Array, Gravity

Progress = Callable[[float, float, str], None]  # done, total, what is being done


class Motion:
    """What is integrated: the particles themselves, or what 2LPT leaves of them (COLA). Fields live on gravity's device.

    psi: displacement, Mpc/h; v = d psi / d D1. With `relative` both are relative to the 2LPT trajectory.
    """

    def __init__(self, ics: InitialConditions, gravity: Gravity, start: float, relative: bool):
        self.cosmology, self.growth = ics.cosmology, growth(ics.cosmology)
        self.gravity, self.relative = gravity, relative
        self.lpt1 = gravity.array(linear_displacement(ics))
        self.lpt2 = gravity.array(second_order_displacement(ics))
        self.psi, self.v, self.work = 0 * self.lpt1, 0 * self.lpt1, 0 * self.lpt1
        self.offset = 0.5
        if not relative:
            d, e, slope = self.factors(start)
            gravity.combine(self.psi, (d, self.lpt1), (e, self.lpt2))
            gravity.combine(self.v, (1.0, self.lpt1), (slope, self.lpt2))

    def factors(self, a: float) -> tuple[float, float, float]:
        """D1, D2 and d D2 / d D1."""
        return float(self.growth.d1(a)), float(self.growth.d2(a)), second_slope(self.growth, a)

    def displacement(self, a: float) -> Array:
        """The whole displacement at a, valid until the next call."""
        if not self.relative:
            return self.psi
        d, e, _ = self.factors(a)
        self.gravity.combine(self.work, (1.0, self.psi), (d, self.lpt1), (e, self.lpt2))
        return self.work

    def velocity(self, a: float) -> Array:
        """Peculiar velocity at a, km/s: a dx/dt, dx/dt = v dD/dt. Valid until the next call."""
        d, _, slope = self.factors(a)
        unit = 100 * a * float(expansion(self.cosmology, a) * self.growth.f1(a)) * d
        base = unit if self.relative else 0.0
        self.gravity.combine(self.work, (unit, self.v), (base, self.lpt1), (base * slope, self.lpt2))
        return self.work

    def force(self, a: float) -> Array:
        """F at a. The mesh moves by half a cell from force to force, so that what aliases cancels in the sum."""
        force = self.gravity(self.displacement(a), self.offset)
        self.offset = 0.5 - self.offset
        return force

    def kick(self, a: float, force: Array, kick: Kick) -> None:
        """v <- alpha v + beta F, F without what 2LPT has of it where the motion is relative to that."""
        alpha, beta = kick
        lpt: tuple[tuple[float, Array], ...] = ()
        if self.relative:
            d, e, _ = self.factors(a)
            lpt = (-beta * d, self.lpt1), (-beta * (e - d * d), self.lpt2)
        self.gravity.combine(self.v, (alpha, self.v), (beta, force), *lpt)

    def drift(self, factor: float) -> None:
        self.gravity.combine(self.psi, (1.0, self.psi), (factor, self.v))

    def aside(self) -> Motion:
        """A copy that goes its own way; room to work in and LPT are shared."""
        other = copy(self)
        other.psi, other.v = self.psi + 0, self.v + 0
        return other


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
    times = np.linspace(1 / (1 + start_redshift), 1 / (1 + min(redshifts)), steps + 1)
    outputs = sorted((1 / (1 + z), z) for z in redshifts)
    total = float(steps + 1 + sum(not _same(a, times).any() for a, _ in outputs))
    done = 0.0

    def report(text: str) -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total, text)

    if progress:
        progress(0, total, "preparing (the first run on a machine compiles for a minute)")
    motion = Motion(ics, gravity, times[0], relative_to_lpt)
    closing: Kick | None = None  # what ends the step before
    for i, a0 in enumerate(times):
        a1 = times[min(i + 1, steps)]
        # COLA starts on the trajectory that it is relative to: the first force would be noise of the lattice
        force = None if i == 0 and relative_to_lpt else motion.force(a0)
        if closing and force is not None:
            motion.kick(a0, force, closing)
        report(f"z = {1 / a0 - 1:.2f}")
        while outputs and (i == steps or (outputs[0][0] < a1 and not _same(outputs[0][0], a1))):
            a, z = outputs.pop(0)
            here = motion
            if not _same(a, a0):
                here = motion.aside()
                if force is not None:
                    force = gravity.array(force)  # the next force overwrites this one
                    here.kick(a0, force, stepper.open(a0, a))
                here.drift(stepper.drift(a0, a))
                here.kick(a, here.force(a), stepper.close(a0, a))
                report(f"z = {z:g}, written")
            yield z, gravity.numpy(here.displacement(a)), gravity.numpy(here.velocity(a))
        if i < steps:
            if force is not None:
                motion.kick(a0, force, stepper.open(a0, a1))
            motion.drift(stepper.drift(a0, a1))
            closing = stepper.close(a0, a1)


def _same(a: float, other: float | np.ndarray) -> np.ndarray:
    return np.isclose(a, other, rtol=1e-12, atol=0)
