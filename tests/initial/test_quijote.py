"""Quijote's simulations by name: published seeds, cosmologies, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from refusals import refusal
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.initial.ngenic import NGenIC
from zeldo.initial.quijote import DERIVATIVES, latin_hypercube, simulation

FIDUCIAL = PRESETS["quijote"]


@pytest.mark.parametrize(
    ("name", "seed", "fixed", "flip", "changes"),
    [
        ("fiducial/17", 175, False, False, {}),
        ("fiducial/14999", 149995, False, False, {}),
        ("fiducial_HR/99", 995, False, False, {}),
        ("fiducial/NCV_0_40", 401, True, False, {}),
        ("fiducial/NCV_1_40", 401, True, True, {}),
        ("Om_p/0", 5, False, False, {"omega_m": 0.3275}),
        ("Ob_p/3", 35, False, False, {"omega_b": 0.050}),
        ("Ob2_m/3", 35, False, False, {"omega_b": 0.047}),
        ("h_m/NCV_1_0", 1, True, True, {"h": 0.6511}),
        ("ns_p/499", 4995, False, False, {"n_s": 0.9824}),
        ("s8_p/2", 25, False, False, {"sigma_8": 0.849}),
    ],
)
def test_seed_and_cosmology_of_the_fiducial_and_derivative_sets(name, seed, fixed, flip, changes):
    one = simulation(name)
    assert (one.seed, one.fixed, one.flip, one.box) == (seed, fixed, flip, 1000.0)
    assert one.cosmology == replace(FIDUCIAL, **changes)
    assert one.label == f"quijote:{name}"
    np.testing.assert_array_equal(one.modes(8), NGenIC(seed, fixed, flip).modes(8))


def test_derivatives_are_symmetric_steps_of_one_parameter():
    for name in (name for name in DERIVATIVES if name.endswith("_p")):
        ((parameter, above),) = DERIVATIVES[name].items()
        ((same, below),) = DERIVATIVES[f"{name[:-1]}m"].items()
        assert parameter == same
        assert (above + below) / 2 == pytest.approx(getattr(FIDUCIAL, parameter), rel=1e-12)


def test_the_latin_hypercube_is_one():
    """Each parameter is stratified: one of the 2000 values in each of 2000 equal steps of its range."""
    values = np.array([[c.omega_m, c.omega_b, c.h, c.n_s, c.sigma_8] for c in latin_hypercube()])
    assert values.shape == (2000, 5)
    lows, highs = np.array([0.1, 0.03, 0.5, 0.8, 0.6]), np.array([0.5, 0.07, 0.9, 1.2, 1.0])
    steps = np.floor((values - lows) / (highs - lows) * 2000).astype(int)
    for column in steps.T:
        assert sorted(column) == list(range(2000))


def test_the_shipped_hypercube_is_the_published_one(shared):
    published = np.loadtxt(shared / "reference" / "quijote_latin_hypercube.txt")
    ours = [[c.omega_m, c.omega_b, c.h, c.n_s, c.sigma_8] for c in latin_hypercube()]
    np.testing.assert_allclose(ours, published, rtol=1e-12)


def test_simulations_of_the_hypercube():
    one = simulation("latin_hypercube/100")
    assert one.cosmology == Cosmology(omega_m=0.3133, omega_b=0.06231, h=0.5619, n_s=0.9675, sigma_8=0.9093)
    assert (one.seed, one.fixed) == (100, False)
    fixed = simulation("latin_hypercube/NCV_100")
    assert (fixed.seed, fixed.fixed, fixed.flip, fixed.cosmology) == (467, True, False, one.cosmology)
    assert simulation("latin_hypercube_HR/1999").seed == 1999


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Mnu_p/3", "'Mnu_p' is not supported (massive neutrinos)"),
        ("latin_hypercube_nwLH/3", "is not supported (massive neutrinos)"),
        ("w_m/3", "'w_m' is not supported"),
        ("fidicual/3", "did you mean 'fiducial'"),
        ("", "Quijote has no set ''"),
        ("fiducial", "give fiducial/0 to fiducial/14999"),
        ("fiducial/15000", "give fiducial/0 to fiducial/14999"),
        ("h_p/NCV_2_0", "NCV_0_0 to NCV_1_249"),
        ("h_p/NCV_1_250", "NCV_0_0 to NCV_1_249"),
        ("fiducial_HR/NCV_1_0", "give fiducial_HR/0 to fiducial_HR/99"),
        ("latin_hypercube/2000", "latin_hypercube/1999, or NCV_0"),
        ("latin_hypercube_HR/NCV_3", "latin_hypercube_HR/1999"),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(name, words):
    assert words in refusal(lambda: simulation(name))


def test_number_0_of_the_latin_hypercube_has_the_phases_of_number_1():
    """Its seed is 0, which GSL's generators take as 1: the two simulations differ in cosmology alone."""
    first, second = simulation("latin_hypercube/0"), simulation("latin_hypercube/1")
    assert (first.seed, second.seed) == (0, 1) and first.cosmology != second.cosmology
    np.testing.assert_array_equal(first.modes(8), second.modes(8))
    assert not np.array_equal(first.modes(8), simulation("latin_hypercube/2").modes(8))
