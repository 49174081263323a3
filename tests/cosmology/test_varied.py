"""A cosmology of tensors against the one of floats, and its derivatives against central differences."""

import numpy as np
import pytest
import torch
from torch.func import grad, hessian

from zeldo.cosmology.background import expansion, growth
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.cosmology.varied import VariedCosmology
from zeldo.engines.steppers import BullFrog, Cola, FastPM
from zeldo.engines.table import timetable
from zeldo.errors import InputError

COSMOLOGIES = [PRESETS["quijote"], Cosmology(0.25, 0.04, 0.7, 1.0, 0.8, -0.8, -0.3)]
FACTORS = ("d1", "d2", "f1", "f2")


def table_of(cosmology, stepper):
    options = {"steps": 6, "start_redshift": 9.0, "redshifts": [0.5], "moving": stepper is Cola}
    return timetable(cosmology, stepper(cosmology), **options).rows.columns


@pytest.mark.parametrize("cosmology", COSMOLOGIES)
def test_growth_and_expansion_are_those_of_floats(cosmology):
    varied = VariedCosmology.of(cosmology, {}, "cpu")
    a = np.geomspace(5e-5, 1, 101)
    for name in FACTORS:
        assert getattr(growth(varied), name)(a).numpy() == pytest.approx(
            getattr(growth(cosmology), name)(a), rel=5e-8
        )
        assert getattr(growth(varied), name)(0.3).item() == pytest.approx(
            float(getattr(growth(cosmology), name)(0.3)), rel=5e-8
        )
    assert expansion(varied, a).numpy() == pytest.approx(expansion(cosmology, a), rel=1e-12)


@pytest.mark.parametrize("cosmology", COSMOLOGIES)
@pytest.mark.parametrize("stepper", [Cola, BullFrog, FastPM])
def test_the_table_of_steps_is_that_of_floats(cosmology, stepper):
    plain, varied = (table_of(c, stepper) for c in (cosmology, VariedCosmology.of(cosmology, {}, "cpu")))
    for name in ("kick", "drift", "close"):
        expected = getattr(plain, name)
        assert isinstance(expected, np.ndarray)
        assert np.abs(getattr(varied, name).numpy() - expected).max() < 2e-7 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["omega_m", "w0", "wa"])
@pytest.mark.parametrize("stepper", [Cola, BullFrog])
def test_derivatives_of_the_table_are_central_differences(name, stepper):
    base = COSMOLOGIES[1]

    def total(value):
        columns = table_of(VariedCosmology.of(base, {name: value}, "cpu"), stepper)
        return (columns.kick**2).sum() + columns.drift.sum() + 1e-4 * columns.close.sum()

    x, h = torch.tensor(getattr(base, name), dtype=torch.float64), 1e-5
    expected = (total(x + h) - total(x - h)) / (2 * h)
    assert grad(total)(x).item() == pytest.approx(expected.item(), rel=1e-7)
    second = (grad(total)(x + h) - grad(total)(x - h)) / (2 * h)
    assert hessian(total)(x).item() == pytest.approx(second.item(), rel=1e-5)


@pytest.mark.parametrize("a", [2.0, 0.0, float("nan")])
def test_growth_of_tensors_ends_today(a):
    grown = growth(VariedCosmology.of(PRESETS["quijote"], {}, "cpu"))
    assert float(grown.d1(1.0)) == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(InputError, match="known for 0 < a <= 1"):
        grown.d1(a)
