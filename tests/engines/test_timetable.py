"""The table of a run's coefficients: rows applied to numbers in float64, without particles or a mesh."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from waves import QUIJOTE

from zeldo.cosmology.background import expansion, growth
from zeldo.engines.parsing import parse_engine
from zeldo.engines.steppers import BullFrog, Cola, FastPM, second_slope
from zeldo.engines.table import Table, timetable

ALL = pytest.mark.parametrize(("stepper", "moving"), [(BullFrog, False), (BullFrog, True), (Cola, True)])


def made(stepper, moving, redshifts=(0.0,), steps=4):
    return timetable(
        QUIJOTE, stepper(QUIJOTE), steps=steps, start_redshift=9.0, redshifts=redshifts, moving=moving
    )


def second_order(a):
    """F of a 2LPT trajectory whose two orders are 0.3 and 0.2."""
    grow = growth(QUIJOTE)
    return 0.3 * float(grow.d1(a)) + 0.2 * float(grow.d2(a) - grow.d1(a) ** 2)


def follow(rows, last=None):
    """psi and peculiar velocity after the rows and one more, where the force is that of 2LPT."""
    psi, v, force, lpt = 0.0, 0.0, 0.0, (0.3, 0.2)
    for row in [*rows, *([last] if last else [])]:
        if force is not None:  # else nothing is kicked
            v = np.dot(row.kick, (v, force, *lpt))
        psi += np.dot(row.drift, (v, *lpt))
        force = None if np.isnan(row.offset) else second_order(row.a1)
    return psi, np.dot(row.close, (v, force or 0.0, *lpt))


def theory(a):
    grow = growth(QUIJOTE)
    psi = 0.3 * float(grow.d1(a)) + 0.2 * float(grow.d2(a))
    unit = 100 * a * float(expansion(QUIJOTE, a) * grow.f1(a) * grow.d1(a))
    return psi, unit * (0.3 + 0.2 * second_slope(grow, a))


@ALL
def test_rows_follow_second_order_theory_exactly(stepper, moving):
    table = made(stepper, moving, [1.4, 0.7, 0.0])
    for i in range(1, len(table.rows) + 1):
        assert follow(table.rows[:i]) == pytest.approx(theory(float(table.rows[i - 1].a1)), rel=1e-6)
    for output in table.outputs[:2]:
        assert follow(table.rows[: output.step + 1], output.aside) == pytest.approx(
            theory(1 / (1 + output.redshift)), rel=1e-6
        )


def test_fastpm_misses_second_order_so_that_the_test_above_can_fail():
    psi, _ = follow(made(FastPM, False).rows)
    assert abs(psi / theory(1.0)[0] - 1) > 1e-4


@ALL
def test_times_are_uniform_and_the_mesh_moves_from_force_to_force(stepper, moving):
    rows = made(stepper, moving).rows
    np.testing.assert_allclose([row.a1 for row in rows], np.linspace(0.1, 1, 5))
    assert all(row.a0 == before.a1 for before, row in itertools.pairwise(rows))
    offsets = [float(row.offset) for row in rows]
    if moving:
        assert np.isnan(offsets.pop(0))  # COLA takes no force at its start
    assert offsets == [0.5 * (i % 2 == 0) for i in range(len(offsets))]


def test_outputs_lie_on_steps_or_aside():
    on_a_step = 1 / 0.55 - 1
    table = made(BullFrog, False, [9.0, on_a_step, 0.3, 0.0])
    where = [(output.redshift, output.step, output.aside is None) for output in table.outputs]
    assert where == [(9.0, 0, True), (on_a_step, 2, True), (0.3, 2, False), (0.0, 4, True)]
    assert table.outputs[2].aside.offset == table.rows[3].offset  # that of the step which goes on
    alone = made(BullFrog, False)
    for column, other in zip(table.rows.columns, alone.rows.columns, strict=True):
        np.testing.assert_array_equal(column, other)


def test_a_run_that_ends_where_it_starts_has_no_steps():
    table = made(Cola, True, [9.0])
    assert len(table.rows) == 1 and [output.step for output in table.outputs] == [0]


@pytest.mark.parametrize("stepper", [BullFrog, FastPM, Cola])
def test_an_end_that_rounding_puts_beside_the_start_is_the_start(stepper):
    for below in (0.0, 2e-15, 1e-13, 1e-10):
        table = made(stepper, stepper is Cola, [9.0 - below])
        assert len(table.rows) == 1 and [output.step for output in table.outputs] == [0]


def test_a_table_is_a_sequence_of_its_rows():
    rows = made(BullFrog, False).rows
    again = Table.of(list(rows))
    assert len(rows[1:]) == 4 and isinstance(rows[1:], Table)
    for name in rows.columns._fields:
        np.testing.assert_array_equal(getattr(rows.columns, name), getattr(again.columns, name))


def test_steps_are_computed_once_for_a_cosmology():
    first = parse_engine("pm:steps=3").steps_of(QUIJOTE, [0.0])
    assert parse_engine("pm:steps=3").steps_of(QUIJOTE, (0.0,)) is first
    engine, other = parse_engine("pm:steps=3"), replace(QUIJOTE, omega_m=0.3)
    rows = [engine.steps_of(cosmology, [0.0]).rows for cosmology in (other, QUIJOTE)]
    assert not np.array_equal(rows[0][-1].close, rows[1][-1].close)
    for name in ("pm:steps=4", "cola:steps=3", "pm:steps=3,spacing=graded", "pm:steps=3,sharpening=1"):
        assert parse_engine(name).steps_of(QUIJOTE, [0.0]) is not first
    assert engine.steps_of(QUIJOTE, [1.0]) is not first
