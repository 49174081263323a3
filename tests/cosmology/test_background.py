"""Expansion and growth against closed forms, astropy, CAMB and other ways to integrate."""

from itertools import pairwise

import numpy as np
import pytest
from astropy.cosmology import Flatw0waCDM
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.special import hyp2f1

from zeldo.cosmology.background import (
    A_EARLY,
    A_LATE,
    CRITICAL_DENSITY,
    Growth,
    expansion,
    growth,
    omega_m_at,
)
from zeldo.cosmology.parameters import PRESETS, Cosmology
from zeldo.cosmology.power import linear_power
from zeldo.cosmology.varied import VariedCosmology
from zeldo.errors import InputError

QUIJOTE = PRESETS["quijote"]
EDS = Cosmology(omega_m=1, omega_b=0.05, h=0.7, n_s=0.96, sigma_8=0.8)
DARK = [
    Cosmology(0.3175, 0.049, 0.6711, 0.9624, 0.834, w0=w0, wa=wa)
    for w0, wa in [(-1, 0), (-0.7, 0), (-0.9, 0.4), (-1.3, -0.5), (-0.8, -1.5)]
]
TIMES = np.geomspace(1e-3, 10, 41)


def name(cosmology):
    return f"w0={cosmology.w0:g},wa={cosmology.wa:g}"


@pytest.mark.parametrize("cosmology", DARK, ids=name)
def test_expansion_is_that_of_astropy(cosmology):
    theirs = Flatw0waCDM(H0=70, Om0=cosmology.omega_m, w0=cosmology.w0, wa=cosmology.wa, Tcmb0=0)
    np.testing.assert_allclose(expansion(cosmology, TIMES), theirs.efunc(1 / TIMES - 1), rtol=1e-9)
    np.testing.assert_allclose(omega_m_at(cosmology, TIMES), theirs.Om(1 / TIMES - 1), rtol=1e-9)
    assert float(expansion(cosmology, 1)) == pytest.approx(1, abs=1e-14)


def test_einstein_de_sitter_grows_as_the_scale_factor():
    a = np.geomspace(A_EARLY / 100, A_LATE, 60)
    grow = growth(EDS)
    np.testing.assert_allclose(grow.d1(a), a, rtol=1e-7)
    np.testing.assert_allclose(grow.d2(a), -3 / 7 * a**2, rtol=1e-7)
    np.testing.assert_allclose(grow.f1(a), 1, atol=1e-7)
    np.testing.assert_allclose(grow.f2(a), 2, atol=1e-7)


@pytest.mark.parametrize("omega_m", [0.05, 0.1, 0.3175, 0.5, 0.9])
def test_growth_of_lambda_cdm_is_the_hypergeometric_function(omega_m):
    """D1 = a 2F1(1/3, 1; 11/6; -x), x = a^3 Omega_de / Omega_m (Silveira & Waga 1994)."""
    grow = growth(Cosmology(omega_m, 0.01, 0.7, 0.96, 0.8))

    def d(a):
        return a * hyp2f1(1 / 3, 1, 11 / 6, -(a**3) * (1 - omega_m) / omega_m)

    x = TIMES**3 * (1 - omega_m) / omega_m
    slope = -3 * x * (1 / 3) / (11 / 6) * hyp2f1(4 / 3, 2, 17 / 6, -x) / hyp2f1(1 / 3, 1, 11 / 6, -x)
    np.testing.assert_allclose(grow.d1(TIMES), d(TIMES) / d(1.0), rtol=1e-6)
    np.testing.assert_allclose(grow.f1(TIMES), 1 + slope, rtol=1e-6)


def test_growth_of_lambda_cdm_is_heaths_integral():
    """D1 ~ E int da / (a E)^3 (Heath 1977)."""
    e = lambda a: float(expansion(QUIJOTE, a))  # noqa: E731
    d = [e(a) * quad(lambda x: (x * e(x)) ** -3, 0, a, epsrel=1e-10)[0] for a in (0.1, 0.5, 1.0, 2.0)]
    np.testing.assert_allclose(growth(QUIJOTE).d1([0.1, 0.5, 1, 2]), np.array(d) / d[2], rtol=1e-7)


@pytest.mark.parametrize("cosmology", DARK, ids=name)
def test_growth_is_that_of_another_integration(cosmology):
    """Written in time itself, with astropy's E and both orders as displacements of a sphere and of a plane.

    A plane wave stays psi = D1 psi_lin for good, so that D1 is the growth of its amplitude; a uniform sphere of
    contrast eps shrinks by s = D1 eps / 3 - D2 eps^2 / 9 + ..., so that the eps^2 part of its motion is D2.
    """
    theirs = Flatw0waCDM(H0=70, Om0=cosmology.omega_m, w0=cosmology.w0, wa=cosmology.wa, Tcmb0=0)
    start = 1e-4

    def rhs(a, y):
        e = float(theirs.efunc(1 / a - 1))
        s1, p1, s2, p2 = y
        # r = (1 - s) q, F = -q ((1 - s)^-2 - (1 - s)) / 3 = -q (s + s^2 + ...), order by order in eps
        drift, kick = 1 / (a**3 * e), 1.5 * cosmology.omega_m / (a**2 * e)
        return [p1 * drift, kick * s1, p2 * drift, kick * (s2 + s1**2)]

    e0 = float(theirs.efunc(1 / start - 1))
    speed = start**3 * e0
    s1, s2 = start / 3, start**2 / 21
    y0 = [s1, speed / 3, s2, speed * 2 * start / 21]
    times = np.array([start, 0.01, 0.1, 0.3, 0.5, 0.8, 1.0, 3.0])
    y = y0
    rows = []
    for a0, a1 in pairwise(times):
        y = solve_ivp(rhs, (a0, a1), y, method="LSODA", rtol=1e-10, atol=1e-16).y[:, -1]
        e = float(theirs.efunc(1 / a1 - 1))
        rows.append([3 * y[0], -9 * y[2], y[1] / (a1**2 * e * y[0]), y[3] / (a1**2 * e * y[2])])
    d1, d2, f1, f2 = np.array(rows).T
    today = d1[list(times[1:]).index(1.0)]
    grow, a = growth(cosmology), times[1:]
    np.testing.assert_allclose(grow.d1(a), d1 / today, rtol=1e-6)
    np.testing.assert_allclose(grow.d2(a), d2 / today**2, rtol=1e-6)
    np.testing.assert_allclose(grow.f1(a), f1, rtol=1e-6)
    np.testing.assert_allclose(grow.f2(a), f2, rtol=1e-6)


@pytest.mark.parametrize("cosmology", [QUIJOTE, DARK[2]], ids=name)
def test_growth_is_that_of_camb(cosmology):
    """CAMB has radiation. A sky of 1 K has 1/55 of ours: 1.4e-4 at z = 2 become 3e-6."""
    import camb

    pars = camb.CAMBparams()
    pars.set_cosmology(
        H0=100 * cosmology.h,
        ombh2=cosmology.omega_b * cosmology.h**2,
        omch2=(cosmology.omega_m - cosmology.omega_b) * cosmology.h**2,
        mnu=0,
        num_massive_neutrinos=0,
        nnu=0.01,
        TCMB=1.0,
    )
    pars.set_dark_energy(w=cosmology.w0, wa=cosmology.wa, dark_energy_model="ppf")
    pars.WantCls = False
    redshifts = [0.0, 0.5, 1.0, 2.0]
    pars.set_matter_power(redshifts=redshifts, kmax=1.0)
    pars.Transfer.high_precision = True
    _, z, p = camb.get_results(pars).get_matter_power_spectrum(minkh=0.2, maxkh=0.5, npoints=3)
    theirs = np.sqrt(p / p[0]).mean(1)
    np.testing.assert_allclose(growth(cosmology).d1(1 / (1 + np.array(z))), theirs, rtol=1e-5)


@pytest.mark.parametrize("cosmology", DARK, ids=name)
def test_rates_are_the_slopes_of_the_factors(cosmology):
    grow, step = growth(cosmology), 1e-4
    up, down = TIMES * np.exp(step), TIMES * np.exp(-step)
    np.testing.assert_allclose(grow.f1(TIMES), np.log(grow.d1(up) / grow.d1(down)) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(grow.f2(TIMES), np.log(grow.d2(up) / grow.d2(down)) / (2 * step), rtol=1e-6)


def test_growth_joins_einstein_de_sitter_at_early_times():
    grow = growth(QUIJOTE)
    early = np.array([1e-9, A_EARLY / 2, A_EARLY * (1 - 1e-9)])
    np.testing.assert_allclose(grow.d1(early) / early, grow.d1(A_EARLY) / A_EARLY, rtol=1e-7)
    np.testing.assert_allclose(grow.d2(early), -3 / 7 * grow.d1(early) ** 2, rtol=1e-6)
    np.testing.assert_allclose(grow.f1(early), 1, atol=1e-9)
    np.testing.assert_allclose(grow.f2(early), 2, atol=1e-9)


def test_second_order_growth_is_near_its_known_fit():
    """D2 = -3/7 D1^2 Omega_m(a)^(-1/143) and f2 = 2 Omega_m(a)^(6/11) (Bouchet et al. 1995)."""
    grow, a = growth(QUIJOTE), np.array([0.2, 0.5, 1.0])
    omega = omega_m_at(QUIJOTE, a)
    np.testing.assert_allclose(grow.d2(a), -3 / 7 * grow.d1(a) ** 2 * omega ** (-1 / 143), rtol=1e-3)
    np.testing.assert_allclose(grow.f2(a), 2 * omega ** (6 / 11), rtol=5e-3)


@settings(max_examples=60)
@given(cosmology=st.sampled_from([EDS, *DARK]), lna=st.floats(np.log(1e-6), np.log(A_LATE)))
def test_the_scale_factor_comes_back_from_the_growth_factor(cosmology, lna):
    grow, a = growth(cosmology), min(float(np.exp(lna)), A_LATE)
    # late, where growth has nearly stopped, a is hardly in D1 any more
    assert float(grow.a_of_d1(grow.d1(a))) == pytest.approx(a, rel=1e-8 / float(grow.f1(a)))


@pytest.mark.parametrize(("w0", "wa"), [(-1.5, 1.0), (-1.5, 1.2), (-2.0, 0.9), (-2.0, 1.5), (-0.3, 0.2)])
def test_growth_that_ends_early_has_an_inverse(w0, wa):
    grow = growth(Cosmology(0.3, 0.05, 0.7, 0.96, 0.8, w0=w0, wa=wa))
    np.testing.assert_allclose(grow.a_of_d1(grow.d1([0.02, 0.3, 1.0])), [0.02, 0.3, 1.0], rtol=1e-7)
    latest = grow.d1(A_LATE)
    assert float(grow.d1(grow.a_of_d1(latest))) == pytest.approx(float(latest), rel=1e-9)


def test_shapes_are_kept():
    grow = growth(QUIJOTE)
    for method in (grow.d1, grow.d2, grow.f1, grow.f2, grow.a_of_d1):
        assert np.shape(method(0.5)) == ()
        assert np.shape(method([0.5, 1.0])) == (2,)
        assert np.shape(method(np.full((2, 3), 0.5))) == (2, 3)
    assert float(grow.d1(1)) == pytest.approx(1, abs=1e-12)


def test_growth_is_solved_once_for_a_cosmology():
    assert growth(QUIJOTE) is growth(Cosmology.preset("quijote"))
    assert isinstance(growth(QUIJOTE), Growth)


@pytest.mark.parametrize("a", [0.0, -1.0, 20.1, float("nan"), [0.5, 0.0]])
def test_times_that_growth_does_not_know_are_refused(a):
    for method in (growth(QUIJOTE).d1, growth(QUIJOTE).d2, growth(QUIJOTE).f1, growth(QUIJOTE).f2):
        with pytest.raises(InputError, match="0 < a <= 20"):
            method(a)


@pytest.mark.parametrize("d", [0.0, -1.0, 10.0, float("nan")])
def test_growth_factors_that_are_never_reached_are_refused(d):
    with pytest.raises(InputError, match="0 < D1 <= "), np.errstate(all="raise"):
        growth(QUIJOTE).a_of_d1(d)


def test_the_critical_density_is_that_of_the_constants():
    """3 H0^2 / (8 pi G) with G of CODATA and the IAU's G Msun, in 10^10 Msun/h / (Mpc/h)^3."""
    from astropy import constants, units

    h0 = 100 * units.km / units.s / units.Mpc
    density = (3 * h0**2 / (8 * np.pi * constants.G)).to(1e10 * units.Msun / units.Mpc**3)
    assert density.value == pytest.approx(CRITICAL_DENSITY, rel=3e-4)


@pytest.mark.parametrize(
    ("omega_m", "w0", "wa"), [(0.01, -0.3, 0.2), (0.3, -0.7, 0.6), (0.1, -1.0, 0.9), (0.3, -0.7, 0.5)]
)
def test_growth_with_early_dark_energy_is_that_from_a_start_before_it(omega_m, w0, wa):
    """An integration from a = 1e-40, where matter is alone, in D1 / a and D2 / a^2."""
    c = Cosmology(omega_m, 0.005, 0.7, 0.96, 0.8, w0=w0, wa=wa)

    def rhs(x, y):
        dark = (1 - omega_m) / omega_m * np.exp(-3 * (w0 + wa) * x - 3 * wa * (1 - np.exp(x)))
        w, share = w0 + wa * (1 - np.exp(x)), 1 / (1 + dark)
        friction, source = 2 - 1.5 * (1 + w * dark * share), 1.5 * share
        d1, v1, d2, v2 = y
        return [
            v1 - d1,
            source * d1 - (friction + 1) * v1,
            v2 - 2 * d2,
            source * (d2 - d1**2) - (friction + 2) * v2,
        ]

    times = np.log([1e-6, 1e-3, 0.02, 1.0])  # the first is before the tables of other cosmologies
    start = [1.0, 1.0, -3 / 7, -6 / 7]
    solved = solve_ivp(rhs, [np.log(1e-40), 0.0], start, "DOP853", times, rtol=1e-11, atol=1e-13).y
    a, ours = np.exp(times), growth(c)
    np.testing.assert_allclose(ours.d1(a), a * solved[0] / solved[0, -1], rtol=1e-6)
    np.testing.assert_allclose(ours.f1(a), solved[1] / solved[0], rtol=1e-6)
    np.testing.assert_allclose(ours.d2(a), (a / solved[0, -1]) ** 2 * solved[2], rtol=1e-6)
    varied = VariedCosmology.of(c, {}, "cpu").growth
    for name in ("d1", "d2", "f1", "f2"):
        np.testing.assert_allclose(getattr(varied, name)(a), getattr(ours, name)(a), rtol=2e-7)


@pytest.mark.parametrize("ask", [growth, lambda c: expansion(c, 1.0), linear_power])
@pytest.mark.parametrize("wrong", ["quijote", {"omega_m": 0.3}, None])
def test_what_is_no_cosmology_is_refused(ask, wrong):
    with pytest.raises(InputError, match=r"cosmology = .* is not allowed: give a `Cosmology`"):
        ask(wrong)


@pytest.mark.parametrize("a", [0.0, -1.0, np.nan, [1.0, 0.0]])
def test_expansion_at_no_time_is_refused(a):
    with pytest.raises(InputError, match=r"scale factor .* is not allowed"):
        expansion(QUIJOTE, a)
