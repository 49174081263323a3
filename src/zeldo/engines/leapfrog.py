"""The loop of the mesh engines: steps uniform in the scale factor, with outputs that do not disturb it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy

import numpy as np

from zeldo.cosmology.background import expansion, growth
from zeldo.engines.steppers import STILL, Kick, Stepper, merged, second_slope
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import displacements
from zeldo.mesh.gravity import Array, Gravity

Progress = Callable[[float, float, str], None]  # done, total, what is being done


class Motion:
    """The particles on their way, fields on gravity's device.

    psi: displacement, Mpc/h; v = d psi / d D1. With `relative` (COLA) v is what the motion has beyond 2LPT, and
    forces count without what 2LPT has of them.
    """

    def __init__(self, ics: InitialConditions, gravity: Gravity, start: float, relative: bool):
        self.cosmology, self.growth = ics.cosmology, growth(ics.cosmology)
        self.gravity, self.relative = gravity, relative
        self.lpt1, self.lpt2 = (gravity.array(field) for field in displacements(ics))
        d, e, slope = self.factors(start)
        own = 0.0 if relative else 1.0
        self.psi = gravity.combine(None, (d, self.lpt1), (e, self.lpt2))
        self.v = gravity.combine(None, (own, self.lpt1), (own * slope, self.lpt2))
        self.offset = 0.5

    def factors(self, a: float) -> tuple[float, float, float]:
        """D1, D2 and d D2 / d D1."""
        return float(self.growth.d1(a)), float(self.growth.d2(a)), second_slope(self.growth, a)

    def force(self) -> Array:
        """F here. The mesh moves by half a cell from force to force, so that what aliases cancels in the sum."""
        force = self.gravity(self.psi, self.offset)
        self.offset = 0.5 - self.offset
        return force

    def advance(self, a0: float, a1: float, kick: Kick, force: Array | None, drift: float) -> None:
        """v <- alpha v + beta F at a0, then psi to a1; without a force v stays as it is."""
        (d0, e0, _), (d1, e1, _) = self.factors(a0), self.factors(a1)
        if not self.relative:
            self.gravity.advance(self.psi, self.v, force, kick, drift)
            return
        first, second = (d1 - d0, self.lpt1), (e1 - e0, self.lpt2)
        if force is None:
            self.gravity.combine(self.psi, (1.0, self.psi), (drift, self.v), first, second)
            return
        beta = kick[1]
        self.gravity.advance(
            self.psi, self.v, force, kick, drift, (-beta * d0, *first), (-beta * (e0 - d0 * d0), *second)
        )

    def velocity(self, a: float, kick: Kick, force: Array | None) -> Array:
        """Peculiar velocity at a after a kick there, km/s: a dx/dt, dx/dt = v dD/dt. A new field."""
        d, e, slope = self.factors(a)
        unit = 100 * a * float(expansion(self.cosmology, a) * self.growth.f1(a)) * d
        alpha, beta = kick
        terms = [(unit * alpha, self.v)]
        if force is not None:
            terms.append((unit * beta, force))
        if self.relative:
            terms.append((unit * (1 - beta * d), self.lpt1))
            terms.append((unit * (slope - beta * (e - d * d)), self.lpt2))
        return self.gravity.combine(None, *terms)

    def aside(self) -> Motion:
        """A copy that goes its own way; LPT is shared."""
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
    if min(redshifts) == start_redshift:
        steps = 0
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
    closing = STILL  # what ends the step before; done in one go with what opens the next
    for i, a0 in enumerate(times):
        a1 = times[min(i + 1, steps)]
        # COLA starts on the trajectory that it is relative to: the first force would be noise of the lattice
        force = None if i == 0 and relative_to_lpt else motion.force()
        report(f"z = {1 / a0 - 1:.2f}")
        while outputs and (i == steps or (outputs[0][0] < a1 and not _same(outputs[0][0], a1))):
            a, z = outputs.pop(0)
            if _same(a, a0):
                yield z, gravity.numpy(motion.psi + 0), gravity.numpy(motion.velocity(a, closing, force))
                continue
            if force is not None:
                force = force + 0  # the next force overwrites this one
            here = motion.aside()
            here.advance(a0, a, merged(closing, stepper.open(a0, a)), force, stepper.drift(a0, a))
            velocity = here.velocity(a, stepper.close(a0, a), here.force())
            report(f"z = {z:g}, written")
            yield z, gravity.numpy(here.psi), gravity.numpy(velocity)
        if i < steps:
            motion.advance(a0, a1, merged(closing, stepper.open(a0, a1)), force, stepper.drift(a0, a1))
            closing = stepper.close(a0, a1)


def _same(a: float, other: float | np.ndarray) -> np.ndarray:
    return np.isclose(a, other, rtol=1e-12, atol=0)
