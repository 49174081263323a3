"""The error to expect of an emulator: what it depends on, and the fit."""

from dataclasses import replace

import numpy as np
import pytest

import zeldo
from zeldo.cosmology.background import growth
from zeldo.errors import InputError
from zeldo.initial.lpt import linear_displacement
from zeldo.networks.card import ModelCard
from zeldo.networks.expected import FIGURES, NODES, TERMS, ExpectedError, fit, in_bins, measures

NAMES = [f"density {figure}" for figure in FIGURES]


def law(measured, node):
    """An error that the fit can represent."""
    s, u, f, spacing = np.asarray(measured).T
    shape = 2 * s - 0.3 * s * s + 0.1 * s**3 + u - 2 * f + 0.2 * u * f
    return np.exp(-8 + 5 * NODES[node] + shape + 0.4 * spacing**2 - 0.5 * spacing)


def random_measures(rng, cases):
    return rng.normal(size=(cases, 4)) * [0.8, 0.2, 0.2, 0.4] + [0, 0, 0, 0.7]


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(1)
    measured = random_measures(rng, 60)
    clean = np.stack([law(measured, node) for node in range(len(NODES))], axis=1)
    noisy = np.abs(rng.normal(size=clean.shape)) * clean
    return measured, fit(measured, {NAMES[0]: noisy, NAMES[1]: clean}, "some runs")


def test_the_fit_finds_the_law_and_the_rms_of_errors_of_either_sign(fitted):
    measured, expected = fitted
    truth = np.array([law([measured[5]], node)[0] for node in range(len(NODES))])
    made = expected.at(measured[5], 1.6)
    np.testing.assert_allclose(made["k"], 1.6 * np.array(NODES), rtol=1e-3)
    np.testing.assert_allclose(made[NAMES[1]], truth, rtol=0.01)
    assert np.log(np.array(made[NAMES[0]]) / truth).std() < 0.5
    assert np.log(np.array(made[NAMES[0]]) / truth).mean() == pytest.approx(0, abs=0.25)


def test_outliers_of_some_universes_raise_no_other_rms():
    """Errors of P(k) scatter widely at high contrast alone."""
    rng = np.random.default_rng(2)
    measured = random_measures(rng, 2000)
    scatter = np.where(measured[:, :1] > 0, 1.0, 0.2)
    clean = np.stack([law(measured, node) for node in range(len(NODES))], axis=1)
    noisy = clean * np.exp(
        scatter * rng.normal(size=clean.shape) - scatter**2
    )  # whose rms is that of the law
    calm = [-0.8, 0.0, 0.0, 0.7]
    made = fit(measured, {NAMES[0]: noisy}, "some runs").at(calm, 1.6)
    off = np.log(np.array(made[NAMES[0]]) / [law([calm], node)[0] for node in range(len(NODES))])
    assert abs(off.mean()) < 0.1


def test_fewer_snapshots_than_coefficients_are_refused(fitted):
    measured = fitted[0][:4]
    with pytest.raises(InputError, match=r"4 snapshots have a density at 0\.06 .* needs 30 or more"):
        fit(measured, {NAMES[1]: np.ones((4, len(NODES)))}, "four runs")
    gap = np.ones((60, len(NODES)))
    gap[:57, 2] = np.nan  # boxes too small for such long waves
    with pytest.raises(InputError, match=r"3 snapshots have a density at 0\.15"):
        fit(fitted[0], {NAMES[1]: gap}, "small boxes")


@pytest.mark.parametrize("scatter", [1e-3, 0.0])
def test_snapshots_that_are_too_alike_are_refused(fitted, scatter):
    """One universe at two redshifts: s and the growth rate say the same."""
    late = np.arange(60) % 2
    measured = fitted[0] * [scatter, scatter, 0, 1] + np.stack(
        [late, 0 * late, -0.5 * late, 0 * late], axis=1
    )
    with pytest.raises(InputError, match="too alike"):
        fit(measured, {NAMES[1]: np.ones((60, len(NODES)))}, "one universe")


def damaged(change):
    content = {"coefficients": {name: [[0.0] * TERMS] * len(NODES) for name in NAMES}, "ranges": [[0, 1]] * 4}
    return {**content, "runs": "", **change}


@pytest.mark.parametrize(
    "content",
    [
        "abc",
        [1],
        {},
        damaged({"coefficients": {NAMES[0]: [[0.0] * TERMS] * len(NODES)}}),
        damaged({"coefficients": {name: [[0.0] * TERMS] * 3 for name in NAMES}}),
        damaged({"coefficients": {name: [[np.nan] * TERMS] * len(NODES) for name in NAMES}}),
        damaged({"ranges": [[0, 1]] * 3}),
        damaged({"ranges": [[1, 0]] * 4}),
    ],
)
def test_a_damaged_one_is_refused_with_its_card(content):
    card = {"architecture": "vnet", "arguments": {"channels": 4}, "task": "deoliveira2020", "options": {}}
    ranges = {"redshift": (0, 0), "spacing": (1, 2), "omega_m": (0.1, 0.5)}
    assert ModelCard(**card, **ranges, accuracy={"expected": damaged({})})
    with pytest.raises(InputError, match="expected error on the model card is damaged"):
        ModelCard(**card, **ranges, accuracy={"expected": content})


def test_just_outside_what_was_measured_it_is_the_error_of_the_end(fitted):
    measured, expected = fitted
    end = measured[:, 0].max()
    assert expected.at([end + 0.4, 0.0, 0.0, 0.7], 1.6) == expected.at([end, 0.0, 0.0, 0.7], 1.6)


@pytest.mark.parametrize("spacings", [[2.0], [1.0, 2.0], [2.0, 2.002]])
def test_runs_of_one_or_two_spacings_are_enough_for_these(fitted, spacings):
    measured = fitted[0].copy()
    measured[:, 3] = np.log(np.resize(spacings, 60))
    clean = np.stack([law(measured, node) for node in range(len(NODES))], axis=1)
    expected = fit(measured, {NAMES[1]: clean}, "some runs")
    for case in measured[:4]:
        truth = [law([case], node)[0] for node in range(len(NODES))]
        np.testing.assert_allclose(expected.at(case, 1.6)[NAMES[1]], truth, rtol=0.01)
    assert expected.at([0.0, 0.0, 0.0, np.log(4.0)], 1.6) is None


@pytest.mark.parametrize(
    "far", [[99.0, 0, 0, 0.7], [-99.0, 0, 0, 0.7], [0.0, 9, 0, 0.7], [0.0, 0, 0, 3], [np.nan, 0, 0, 0.7]]
)
def test_far_outside_nothing_is_expected(fitted, far):
    assert fitted[1].at(far, 1.6) is None


def test_it_survives_a_card(fitted):
    _, expected = fitted
    back = ExpectedError.from_dict(expected.to_dict())
    assert back.runs == "some runs"
    for name, values in expected.at([0.1, 0.0, 0.1, 0.7], 1.0).items():
        np.testing.assert_allclose(back.at([0.1, 0.0, 0.1, 0.7], 1.0)[name], values, rtol=0.01)


def test_shells_go_to_the_nearest_node():
    k = np.linspace(0.05, 1.0, 400)
    power = in_bins(k, np.where(k < 0.2**0.5, 0.01, -0.02), 1.0, "power")
    np.testing.assert_allclose(power[NODES.index(0.4)], 0.01)
    np.testing.assert_allclose(power[NODES.index(0.5)], 0.02)
    mean = in_bins(k, k, 1.0, "one_minus_r2")
    np.testing.assert_allclose(mean[:-1], NODES[:-1], rtol=0.12)
    assert np.isnan(in_bins(k[k > 0.3], k[k > 0.3], 1.0, "power")[0])


def test_measures_follow_growth_and_amplitude_but_not_units():
    ics = zeldo.initial_conditions(box=62.5, n=32, seed=1, power="eisenstein-hu")
    psi = linear_displacement(ics)
    s, u, f, spacing = measures(ics, psi, 0.0)
    assert spacing == pytest.approx(np.log(62.5 / 32))
    assert s == pytest.approx(np.log(ics.delta_lin.std()), abs=1e-3)
    early = measures(ics, psi, 3.0)
    grown = growth(ics.cosmology)
    assert early[0] - s == pytest.approx(np.log(grown.d1(0.25)), abs=1e-6)
    assert early[1] == u and early[2] > f
    empty = replace(ics, delta_lin=0 * ics.delta_lin)
    assert np.isfinite(measures(empty, 0 * psi, 0.0)).all()
    assert u == pytest.approx(np.log(psi.std() / (62.5 / 32) / ics.delta_lin.std()), abs=1e-3)
