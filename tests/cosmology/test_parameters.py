"""Cosmologies: what is allowed, what is refused and how, presets, astropy's objects."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import cosmology as astropy_cosmology
from astropy import units

from refusals import refusal
from zeldo.cosmology.parameters import RANGES, Cosmology, same_cosmology, with_parameters
from zeldo.errors import ZeldoWarning

FIDUCIAL = {"omega_m": 0.3175, "omega_b": 0.049, "h": 0.6711, "n_s": 0.9624, "sigma_8": 0.834}


def test_the_quijote_preset_is_the_published_one():
    assert Cosmology.preset("quijote") == Cosmology(**FIDUCIAL)
    assert Cosmology.preset("quijote").omega_de == 1 - 0.3175
    assert (Cosmology.preset("quijote").w0, Cosmology.preset("quijote").wa) == (-1, 0)


def test_the_planck_preset_is_that_of_astropy():
    """Both are of table 2 of Planck 2018; astropy's omega_m leaves the neutrinos out."""
    ours, theirs = Cosmology.preset("planck2018"), astropy_cosmology.Planck18
    assert ours.omega_m == pytest.approx(theirs.Om0 + theirs.Onu0, abs=2e-4)
    assert ours.omega_b == pytest.approx(theirs.Ob0, abs=2e-5)
    assert ours.h == pytest.approx(theirs.h)
    assert (ours.n_s, ours.sigma_8) == (theirs.meta["n"], theirs.meta["sigma8"])


@pytest.mark.parametrize("name", RANGES)
def test_what_is_out_of_range_is_refused_with_what_is_allowed(name):
    low, high = RANGES[name]
    for value in (low - 1e-6, high + 1e-6, float("nan"), float("inf"), -float("inf"), "0.3", None):
        line = refusal(lambda value=value: Cosmology(**(FIDUCIAL | {name: value})))
        assert line.startswith(f"{name} = {value!r}")
        assert f"{low:g} to {high:g}" in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"omega_b": 0.3175}, "not below omega_m"),
        ({"omega_m": 0.04}, "not below omega_m"),
        ({"w0": -0.5, "wa": 0.5}, "above -0.1"),
        ({"w0": -0.3, "wa": 0.2001}, "above -0.1"),
    ],
)
def test_what_contradicts_itself_is_refused(change, words):
    assert words in refusal(lambda: Cosmology(**(FIDUCIAL | change)))


@pytest.mark.parametrize("w0", [-0.3, -0.4, -0.6, -0.7, -0.9, -1.1])
def test_dark_energy_on_the_limit_is_allowed_whatever_its_rounding(w0):
    wa = round(-0.1 - w0, 1)
    assert Cosmology(**FIDUCIAL, w0=w0, wa=wa).wa == wa


def test_parameters_by_name_replace_those_of_what_is_given():
    fiducial, changed = Cosmology(**FIDUCIAL), Cosmology(**FIDUCIAL | {"n_s": 0.9})
    model = astropy_cosmology.FlatLambdaCDM(H0=67.11, Om0=0.3175, Ob0=0.049)
    for given in ("quijote", fiducial):
        assert with_parameters(given, n_s=0.9) == changed and with_parameters(given, n_s=None) == fiducial
    assert with_parameters(model, n_s=0.9, sigma_8=0.834) == changed
    assert with_parameters({"h": 0.7, "n_s": 1}, n_s=0.9) == {"h": 0.7, "n_s": 0.9}
    assert with_parameters(None, n_s=0.9) == {"n_s": 0.9} and with_parameters(None) == {}
    assert with_parameters(Cosmology(**FIDUCIAL, wa=0.1), wa=0) == fiducial


def test_numbers_of_any_kind_become_floats():
    cosmology = Cosmology(1, np.float32(0.125), np.float64(0.5), 1, 1, np.int64(-1))
    assert all(type(getattr(cosmology, name)) is float for name in RANGES)
    assert cosmology == Cosmology(1.0, 0.125, 0.5, 1.0, 1.0)
    assert hash(cosmology) == hash(Cosmology(1.0, 0.125, 0.5, 1.0, 1.0))


def test_an_unknown_preset_is_refused_with_the_nearest():
    line = refusal(lambda: Cosmology.preset("quijot"))
    assert "quijote, planck2018" in line
    assert "did you mean 'quijote'?" in line


def test_planck18_of_astropy_is_taken_with_its_metadata():
    theirs = astropy_cosmology.Planck18
    with pytest.warns(ZeldoWarning, match=r"massive neutrinos.*omega_m"):
        ours = Cosmology.from_astropy(theirs)
    assert (ours.omega_b, ours.h) == (theirs.Ob0, theirs.h)
    assert ours.omega_m == pytest.approx(0.3111, abs=5e-5)  # of the paper, which counts neutrinos of 0.06 eV
    assert (ours.n_s, ours.sigma_8, ours.w0, ours.wa) == (0.9665, 0.8102, -1, 0)


@pytest.mark.parametrize("masses", [[0.0, 0.0, 0.1], [0.2, 0.2, 0.2], [0.05, 0.0, 0.3]])
def test_massive_neutrinos_of_astropy_are_matter(masses):
    given = {"H0": 70, "Om0": 0.3, "Ob0": 0.05, "Tcmb0": 2.7255, "meta": {"n": 0.96, "sigma8": 0.8}}
    theirs = astropy_cosmology.FlatLambdaCDM(**given, m_nu=masses * units.eV)
    with pytest.warns(ZeldoWarning, match="massive neutrinos"):
        ours = Cosmology.from_astropy(theirs)
    # the sum of masses over 93.1 eV h^2, for neutrinos that move slowly today (Mangano et al. 2005)
    assert ours.omega_m - 0.3 == pytest.approx(sum(masses) / 93.14 / 0.7**2, rel=0.01)


def test_massless_neutrinos_of_astropy_are_no_matter(recwarn):
    given = {"H0": 70, "Om0": 0.3, "Ob0": 0.05, "Tcmb0": 2.7255, "meta": {"n": 0.96, "sigma8": 0.8}}
    assert Cosmology.from_astropy(astropy_cosmology.FlatLambdaCDM(**given)).omega_m == 0.3
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:.*massive neutrinos")
def test_what_is_given_goes_before_the_metadata():
    ours = Cosmology.from_astropy(astropy_cosmology.Planck18, sigma_8=0.7, n_s=0.9)
    assert (ours.sigma_8, ours.n_s) == (0.7, 0.9)


def test_dark_energy_of_astropy_is_kept():
    known = {"Ob0": 0.05, "meta": {"n": 0.96, "sigma8": 0.8}}
    w0wa = astropy_cosmology.Flatw0waCDM(H0=70, Om0=0.3, w0=-0.9, wa=0.3, **known)
    assert (Cosmology.from_astropy(w0wa).w0, Cosmology.from_astropy(w0wa).wa) == (-0.9, 0.3)
    wcdm = astropy_cosmology.FlatwCDM(H0=70, Om0=0.3, w0=-0.8, **known)
    assert (Cosmology.from_astropy(wcdm).w0, Cosmology.from_astropy(wcdm).wa) == (-0.8, 0)


def test_what_astropy_does_not_say_is_asked_for():
    bare = astropy_cosmology.FlatLambdaCDM(H0=70, Om0=0.3)
    line = refusal(lambda: Cosmology.from_astropy(bare))
    assert "sigma_8, n_s, omega_b" in line
    given = Cosmology.from_astropy(bare, omega_b=0.05, sigma_8=0.8, n_s=0.96)
    assert given == Cosmology(omega_m=0.3, omega_b=0.05, h=0.7, n_s=0.96, sigma_8=0.8)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (astropy_cosmology.LambdaCDM(H0=70, Om0=0.3, Ode0=0.6, Ob0=0.05), "curved"),
        (astropy_cosmology.LambdaCDM(H0=70, Om0=0.3, Ode0=0.8, Ob0=0.05), "curved"),
        (astropy_cosmology.wpwaCDM(H0=70, Om0=0.3, Ode0=0.7, Ob0=0.05), "the cosmology is a wpwaCDM: give"),
        (astropy_cosmology.FlatLambdaCDM, "FlatLambdaCDM is a class: give an object of it"),
    ],
)
def test_models_that_zeldo_does_not_know_are_refused(model, words):
    assert words in refusal(lambda: Cosmology.from_astropy(model, sigma_8=0.8, n_s=0.96))


def test_a_cosmology_goes_to_a_mapping_and_back():
    ours = Cosmology(**FIDUCIAL, w0=-0.9, wa=0.1)
    assert Cosmology.from_mapping(ours.to_dict()) == ours
    assert tuple(ours.to_dict()) == Cosmology.names() == (*Cosmology.required(), "w0", "wa") == tuple(RANGES)
    assert Cosmology.from_mapping(FIDUCIAL) == Cosmology.preset("quijote")


@pytest.mark.parametrize("name", list(RANGES))
def test_the_same_cosmology_may_be_written_in_single_precision_but_not_with_three_digits(name):
    """Dark energy's wa may be zero, where no error is small by comparison."""
    ours = Cosmology(**FIDUCIAL)
    value = getattr(ours, name)
    assert same_cosmology(ours, replace(ours, **{name: value * (1 + 1e-7) + 1e-8}))
    assert not same_cosmology(ours, replace(ours, **{name: value * 1.001 + 1e-5}))


def test_a_mapping_with_another_name_or_too_few_is_refused():
    line = refusal(lambda: Cosmology.from_mapping(FIDUCIAL | {"omega_n": 0.1}))
    assert "no parameter 'omega_n'; did you mean 'omega_m'?" in line
    short = {name: value for name, value in FIDUCIAL.items() if name != "h"}
    assert "lacks h: give omega_m, omega_b" in refusal(lambda: Cosmology.from_mapping(short))
