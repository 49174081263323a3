"""The times of the steps: uniform in the scale factor, or graded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waves import QUIJOTE

from zeldo.engines.registry import engine
from zeldo.engines.steppers import BullFrog
from zeldo.engines.table import timetable
from zeldo.errors import InputError
from zeldo.statistics import Reference


def _times(spacing, end=0.0, steps=10, start=9.0):
    rows = timetable(
        QUIJOTE,
        BullFrog(QUIJOTE),
        steps=steps,
        start_redshift=start,
        redshifts=[end],
        moving=False,
        spacing=spacing,
    ).rows
    return rows.columns.a1


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_uniform_steps_are_equal_in_the_scale_factor(end):
    times = _times("uniform", end)
    assert times[0] == 1 / 10 and times[-1] == 1 / (1 + end) and len(times) == 11
    np.testing.assert_allclose(np.diff(times), np.diff(times)[0], rtol=1e-10)


@given(st.floats(0, 3), st.floats(6, 40), st.integers(1, 60))
def test_graded_steps_lead_exactly_from_start_to_end(end, start, steps):
    times = _times("graded", end, steps, start)
    assert times[0] == 1 / (1 + start) and times[-1] == 1 / (1 + end) and len(times) == steps + 1
    assert (np.diff(times) > 0).all()


def test_graded_steps_are_at_equal_ratios_early_and_short_at_the_end():
    times = _times("graded", steps=100, start=99.0)
    ratios, steps = times[1:] / times[:-1], np.diff(times)
    np.testing.assert_allclose(ratios[times[1:] < 0.1], ratios[0], rtol=0.01)
    # d(interval) / da = 1 / a + a^2 / 0.5^3 is 9 at the end and 4 in the middle
    assert steps[-1] / steps[np.searchsorted(times, 0.5)] == pytest.approx(4 / 9, rel=0.05)


@pytest.mark.parametrize(
    ("name", "usual", "graded", "gain"),
    [
        ("pm", {"sharpening": 2.0}, {"sharpening": 2.0, "start_redshift": 16.0}, 0.8),
        ("cola", {"sharpening": 1.5}, {"sharpening": 1.5, "steps": 7, "start_redshift": 7.0}, 1.2),
    ],
)
def test_graded_steps_are_nearer_to_the_n_body_run(small, name, usual, graded, gain):
    """Ten of them in pm; in this universe seven in cola do about as well as ten."""
    ics, truth = small
    reference = Reference(truth[0.0])
    before, after = (
        reference.compare(next(iter(engine(name, **options).run(ics, [0.0])))).fields["density"]
        for options in (usual, {**graded, "spacing": "graded"})
    )
    scales = (before.k > 0.2) & (before.k < 1.5)
    assert (after.one_minus_r2[scales] < gain * before.one_minus_r2[scales]).mean() > 0.9


def test_many_steps_agree_whatever_their_times(small):
    ics, _ = small
    far, near = (
        np.diff(
            [
                next(iter(engine("pm", steps=n, spacing=spacing).run(ics, [0.0]))).psi
                for spacing in ("uniform", "graded")
            ],
            axis=0,
        ).std()
        for n in (10, 40)
    )
    assert near < far / 3


@pytest.mark.parametrize("name", ["pm", "cola"])
def test_a_spacing_that_is_not_known_is_named(name):
    with pytest.raises(InputError, match="spacing 'grade' is not known: choose one of uniform, graded"):
        engine(name, spacing="grade")
