"""The loop of the mesh engines against the same steps written out in float64, one kick after the other."""

import itertools

import numpy as np
import pytest
from waves import QUIJOTE, difference, universe

from zeldo.cosmology.background import expansion, growth
from zeldo.engines.leapfrog import evolve
from zeldo.engines.steppers import BullFrog, Cola, FastPM, merged, second_slope
from zeldo.initial.lpt import displacements
from zeldo.mesh.gravity import gravity

START, STEPS = 9.0, 4


def plain(ics, stepper, relative):
    """(psi, vel) after each step from the start to today: kick, drift, kick; with `relative` of what 2LPT leaves (COLA)."""
    mesh, grow = gravity(ics.n, ics.box, ics.n), growth(QUIJOTE)
    first, second = (field.astype(float) for field in displacements(ics))
    times = np.linspace(1 / (1 + START), 1, STEPS + 1)
    offsets = itertools.cycle((0.5, 0.0))

    def trajectory(a):
        d, e = float(grow.d1(a)), float(grow.d2(a))
        return (
            d * first + e * second,
            first + second_slope(grow, a) * second,
            d * first + (e - d * d) * second,
        )

    def force(a):
        psi = x + trajectory(a)[0] if relative else x
        found = mesh(psi.astype(np.float32), next(offsets)).astype(float)
        return found - trajectory(a)[2] if relative else found

    psi, v, _ = trajectory(times[0])
    x, v = (0 * psi, 0 * v) if relative else (psi, v)
    f = 0 * x if relative else force(times[0])
    for a0, a1 in itertools.pairwise(times):
        alpha, beta = stepper.open(a0, a1)
        v = alpha * v + beta * f
        x = x + stepper.drift(a0, a1) * v
        f = force(a1)
        alpha, beta = stepper.close(a0, a1)
        v = alpha * v + beta * f
        psi, slope, _ = trajectory(a1)
        unit = 100 * a1 * float(expansion(QUIJOTE, a1) * grow.f1(a1) * grow.d1(a1))
        yield (x + psi, unit * (v + slope)) if relative else (x, unit * v)


@pytest.mark.parametrize(
    ("stepper", "relative"), [(Cola, True), (BullFrog, False), (FastPM, False), (BullFrog, True)]
)
def test_steps_are_kick_drift_kick(stepper, relative):
    """The loop joins the kick that closes a step to the one that opens the next, and moves 2LPT with the particles."""
    ics, chosen = universe(), stepper(QUIJOTE)
    times = np.linspace(1 / (1 + START), 1, STEPS + 1)[1:]
    options = {"steps": STEPS, "start_redshift": START, "relative_to_lpt": relative, "progress": None}
    ours = evolve(ics, list(1 / times - 1), stepper=chosen, gravity=gravity(ics.n, ics.box, ics.n), **options)
    for (_, psi, vel), (psi_plain, vel_plain) in zip(ours, plain(ics, chosen, relative), strict=True):
        assert difference(psi, psi_plain) < 1e-5
        assert difference(vel, vel_plain) < 3e-5


def test_a_merged_kick_is_one_after_the_other():
    first, second, v, force = (0.7, 1.3), (1.2, -0.4), 2.5, 0.9
    once = first[0] * v + first[1] * force
    alpha, beta = merged(first, second)
    assert alpha * v + beta * force == pytest.approx(second[0] * once + second[1] * force)
