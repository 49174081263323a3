"""The shape of the linear power in cosmologies of tensors, against CAMB's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import jvp

import zeldo
from zeldo.cosmology.varied import VariedCosmology
from zeldo.gradients.linear import LinearField

QUIJOTE = zeldo.Cosmology.preset("quijote")
K = np.geomspace(0.02, 1, 40)


def spectrum(field, **changes):
    return field.spectrum(VariedCosmology.of(field.cosmology, changes, "cpu"), K)


def test_derivatives_are_those_of_camb():
    """Those of Eisenstein & Hu's fit differ by 0.11, of 1.4."""
    field, step = LinearField(250.0, 8, QUIJOTE, "camb", torch.float64), 0.02
    point = torch.tensor(QUIJOTE.h, dtype=torch.float64)
    slope = jvp(lambda h: spectrum(field, h=h).log(), (point,), (torch.ones_like(point),))[1]
    high, low = (
        np.log(zeldo.linear_power(replace(QUIJOTE, h=QUIJOTE.h * (1 + s * step)))(K)) for s in (1, -1)
    )
    assert np.abs(QUIJOTE.h * slope.numpy() - (high - low) / (2 * step)).max() < 0.005


@pytest.mark.parametrize("name", ["omega_m", "omega_b", "h"])
def test_each_parameter_of_the_shape_has_a_slope_of_its_own(monkeypatch, name):
    """Of a model that tilts against Eisenstein & Hu's fit as the parameter grows."""
    own, fit = (LinearField(250.0, 8, QUIJOTE, power, torch.float64) for power in ("camb", "eisenstein-hu"))
    assert own.model is not fit.model  # both are made before the other model takes their place
    value = getattr(QUIJOTE, name)

    def tilted(cosmology, model):
        tilt = np.log(getattr(cosmology, name) / value)
        return lambda k: zeldo.linear_power(cosmology, "eisenstein-hu")(k) * k**tilt

    monkeypatch.setattr("zeldo.gradients.shape.linear_power", tilted)
    point = torch.tensor(value, dtype=torch.float64)
    slopes = [
        value * jvp(lambda x: spectrum(field, **{name: x}).log(), (point,), (torch.ones_like(point),))[1]  # noqa: B023
        for field in (own, fit)
    ]
    apart = (slopes[0] - slopes[1]).numpy()
    np.testing.assert_allclose(apart - apart[0], np.log(K / K[0]), atol=0.02)


def test_camb_runs_for_parameters_that_are_given_alone(monkeypatch):
    field = LinearField(250.0, 8, QUIJOTE, "camb", torch.float64)
    own = zeldo.linear_power(QUIJOTE)(K)
    assert spectrum(field).numpy() == pytest.approx(own, rel=1e-6)
    monkeypatch.setattr("zeldo.gradients.shape.linear_power", None)  # CAMB of any other cosmology
    amplitude = spectrum(field, sigma_8=0.9) / spectrum(field)
    assert amplitude.numpy() == pytest.approx((0.9 / QUIJOTE.sigma_8) ** 2)


@pytest.mark.filterwarnings("ignore:.*is scaled")
@pytest.mark.parametrize("changes", [{"h": 0.8}, {"omega_m": 0.25, "omega_b": 0.06}])
def test_a_table_changes_as_eisenstein_and_hu(tmp_path, changes):
    table = tmp_path / "p.txt"
    k = np.geomspace(1e-4, 50, 400)
    tilted = (k / 0.1) ** 0.05  # not the shape of any model
    np.savetxt(table, np.transpose([k, zeldo.linear_power(QUIJOTE, "eisenstein-hu")(k) * tilted]))
    own, fit = (
        LinearField(250.0, 8, QUIJOTE, power, torch.float64) for power in (str(table), "eisenstein-hu")
    )
    ratio = spectrum(own, **changes) / spectrum(fit, **changes)
    expected = torch.from_numpy(K) ** 0.05
    assert (ratio / expected).numpy() == pytest.approx(float(ratio[0] / expected[0]), rel=1e-4)


def test_the_shape_is_known_at_the_end_of_the_range():
    field = LinearField(250.0, 8, replace(QUIJOTE, omega_m=1.0), "camb", torch.float64)
    point = torch.tensor(1.0, dtype=torch.float64)
    slope = jvp(lambda x: spectrum(field, omega_m=x).log(), (point,), (torch.ones_like(point),))[1]
    assert slope.isfinite().all()
