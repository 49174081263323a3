"""The times of the steps: uniform in a power of the scale factor."""

import numpy as np
import pytest
from waves import QUIJOTE

from zeldo.engines.registry import engine
from zeldo.engines.steppers import BullFrog
from zeldo.engines.table import timetable
from zeldo.errors import InputError
from zeldo.statistics import Reference


def _times(exponent, end=0.0, steps=10, start=9.0, early=0):
    rows = timetable(
        QUIJOTE,
        BullFrog(QUIJOTE),
        steps=steps,
        start_redshift=start,
        redshifts=[end],
        moving=False,
        time_exponent=exponent,
        early_steps=early,
    ).rows
    return rows.columns.a1


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_steps_are_uniform_in_the_power(exponent, end):
    times = _times(exponent, end)
    assert times[0] == 1 / 10 and times[-1] == 1 / (1 + end) and len(times) == 11
    intervals = np.diff(times**exponent)
    np.testing.assert_allclose(intervals, intervals[0], rtol=1e-10)


def test_late_steps_shorten_as_the_power_grows():
    last = [np.diff(_times(exponent))[-1] for exponent in (0.5, 1.0, 1.5, 3.0)]
    assert (np.diff(last) < 0).all()


def test_steps_uniform_in_time_are_nearer_to_the_n_body_run(small):
    ics, truth = small
    reference = Reference(truth[0.0])
    in_a, in_time = (
        reference.compare(next(iter(engine("pm", time_exponent=p).run(ics, [0.0])))).fields["density"]
        for p in (1.0, 1.5)
    )
    scales = (in_a.k > 0.3) & (in_a.k < 1.5)
    assert (in_time.one_minus_r2[scales] < 0.95 * in_a.one_minus_r2[scales]).mean() > 0.9
    assert (np.abs(in_time.transfer - 1)[scales] < np.abs(in_a.transfer - 1)[scales]).all()


def test_many_steps_agree_whatever_their_times(small):
    ics, _ = small
    far, near = (
        np.diff(
            [next(iter(engine("pm", steps=n, time_exponent=p).run(ics, [0.0]))).psi for p in (1.0, 1.5)],
            axis=0,
        ).std()
        for n in (10, 40)
    )
    assert near < far / 3


@pytest.mark.parametrize("exponent", [0, 0.4, 4, float("nan"), "1.5"])
def test_an_exponent_that_is_not_allowed_is_named(exponent):
    with pytest.raises(InputError, match="time_exponent"):
        engine("pm", time_exponent=exponent)


def test_early_steps_come_before_the_uniform_ones():
    times = _times(1.0, steps=12, start=39.0, early=2)
    np.testing.assert_allclose(times[:3], [0.025, 0.05, 0.1], rtol=1e-12)
    np.testing.assert_allclose(times[2:], _times(1.0), rtol=1e-12)
    late = _times(1.0, end=11.0, steps=4, start=49.0, early=1)
    np.testing.assert_allclose(late[1:] / late[:-1], (50 / 12) ** 0.25)


def test_an_early_step_mends_what_2lpt_leaves(small):
    """The same force, the same late steps, one more before."""
    ics, truth = small
    reference = Reference(truth[0.0])
    usual, early = (
        reference.compare(next(iter(engine("pm", **options).run(ics, [0.0])))).fields["density"]
        for options in ({}, {"steps": 11, "start_redshift": 17.0, "early_steps": 1})
    )
    scales = (usual.k > 0.1) & (usual.k < 1.5)
    assert (early.one_minus_r2[scales] < 0.97 * usual.one_minus_r2[scales]).mean() > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"early_steps": 1}, "start_redshift = 9 is not allowed"),
        ({"early_steps": 10, "start_redshift": 19.0}, "a whole number from 0 to 9"),
        ({"early_steps": -1}, "a whole number from 0 to 9"),
    ],
)
def test_early_steps_need_an_earlier_start_and_later_steps(options, words):
    with pytest.raises(InputError, match=words):
        engine("pm", **options)
