"""The loop of the mesh engines against the same steps written out in float64, one kick after the other."""

import itertools

import numpy as np
import pytest
from waves import QUIJOTE, difference, universe

from zeldo.cosmology.background import expansion, growth
from zeldo.engines.driver import evolve
from zeldo.engines.leapfrog import Leapfrog, step
from zeldo.engines.steppers import BullFrog, Cola, FastPM, merged, second_slope
from zeldo.engines.table import Table, timetable
from zeldo.initial.lpt import displacements
from zeldo.mesh.gravity import gravity

START, STEPS = 9.0, 4


def plain(ics, stepper, relative):
    """(psi, vel) after each step from the start to today: kick, drift, kick; with `relative` of what 2LPT leaves (COLA)."""
    mesh, grow = gravity(ics.box, ics.n), growth(QUIJOTE)
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


def steps_of(stepper, relative):
    """The timetable of the steps in `plain`."""
    return timetable(QUIJOTE, stepper, steps=STEPS, start_redshift=START, redshifts=[0.0], moving=relative)


@pytest.mark.parametrize(
    ("stepper", "relative"), [(Cola, True), (BullFrog, False), (FastPM, False), (BullFrog, True)]
)
def test_steps_are_kick_drift_kick(stepper, relative):
    """The loop joins the kick that closes a step to the one that opens the next, and moves 2LPT with the particles."""
    ics, chosen = universe(), stepper(QUIJOTE)
    table = steps_of(chosen, relative)
    views = evolve(Leapfrog(ics, gravity(ics.box, ics.n), relative), table, lambda *told: None)
    assert next(views).step == 0
    # the next step writes over what a view shows: each is looked at before it
    for view, (psi_plain, vel_plain) in zip(views, plain(ics, chosen, relative), strict=True):
        assert difference(view.psi, psi_plain) < 1e-5
        assert difference(view.velocity, vel_plain) < 3e-5


@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize(("stepper", "relative"), [(Cola, True), (BullFrog, False)])
def test_a_step_changes_nothing_that_it_is_given_and_donation_changes_no_bit(stepper, relative, device):
    ics, table = universe(), steps_of(stepper(QUIJOTE), relative)
    dynamics = Leapfrog(ics, gravity(ics.box, ics.n, device=device), relative)
    state = dynamics.start(table.rows[0])
    for row in table.rows[1:]:
        before = [np.array(field) for field in (state.psi, state.v)]
        force = None if state.force is None else np.array(dynamics.force(state))
        after = step(state, row, dynamics.gravity, dynamics.frame)
        np.testing.assert_array_equal(before, [np.array(state.psi), np.array(state.v)])
        if force is not None:
            np.testing.assert_array_equal(force, np.array(dynamics.force(state)))
        donated = step(state, row, dynamics.gravity, dynamics.frame, donate=True)
        assert donated.psi is state.psi and after.psi is not state.psi
        for name in ("psi", "v"):
            np.testing.assert_array_equal(np.array(getattr(after, name)), np.array(getattr(donated, name)))
        np.testing.assert_array_equal(np.array(dynamics.force(after)), np.array(dynamics.force(donated)))
        state = donated


def test_gradients_run_through_steps_and_their_table():
    """By torch, against differences of runs with a coefficient a little larger and smaller."""
    torch = pytest.importorskip("torch")
    ics, plain_table = universe(8, 40.0), steps_of(BullFrog(QUIJOTE), False).rows
    dynamics = Leapfrog(ics, gravity(ics.box, 16, device="torch"))

    def loss(table):
        state = dynamics.start(table[0])
        for i in range(1, len(table)):
            state = dynamics.step(state, table[i])
        return (state.psi.double() ** 2).mean()

    def tensor(column):
        return torch.tensor(column, requires_grad=True)

    table = Table(type(plain_table.columns)(*map(tensor, plain_table.columns)))
    loss(table).backward()
    for name, place in (("kick", (2, 1)), ("drift", (1, 0)), ("kick", (0, 3))):
        slope = float(getattr(table.columns, name).grad[place])
        sides = []
        for change in (1e-2, -1e-2):
            column = getattr(plain_table.columns, name).copy()
            column[place] += change
            columns = plain_table.columns._replace(**{name: column})
            sides.append(float(loss(Table(columns))))
        assert slope == pytest.approx((sides[0] - sides[1]) / 2e-2, rel=0.02)


def test_a_merged_kick_is_one_after_the_other():
    first, second, v, force = (0.7, 1.3), (1.2, -0.4), 2.5, 0.9
    once = first[0] * v + first[1] * force
    alpha, beta = merged(first, second)
    assert alpha * v + beta * force == pytest.approx(second[0] * once + second[1] * force)
