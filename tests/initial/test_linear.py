"""The linear field: its power, sigma_8, modes shared between lattices, bad input."""

from dataclasses import replace

import numpy as np
import pytest

from zeldo.cosmology.parameters import PRESETS
from zeldo.cosmology.power import linear_power, sigma_r
from zeldo.cosmology.top_hat import top_hat
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.linear import initial_conditions
from zeldo.initial.quijote import simulation

QUIJOTE = PRESETS["quijote"]
BOX = 200.0
POWER = linear_power(QUIJOTE, "eisenstein-hu")


def make(n=32, box=BOX, seed=7, power=POWER, **options):
    return initial_conditions(QUIJOTE, box, n, seed, power=power, **options)


def modes_of(ics):
    """delta_k = (1/N) sum delta exp(-ikx) on the full grid, and |k| in h/Mpc, both (n, n, n), in float64."""
    k = np.fft.fftfreq(ics.n, ics.box / ics.n) * 2 * np.pi
    size = np.sqrt(sum(axis**2 for axis in np.ix_(k, k, k)))
    return np.fft.fftn(ics.delta_lin.astype(float)) / ics.n**3, size


def filled(n):
    """Where modes are: not the mean, not on Nyquist planes."""
    inside = np.arange(n) != n // 2
    where = inside[:, None, None] & inside[None, :, None] & inside
    where[0, 0, 0] = False
    return where


@pytest.mark.parametrize("n", [32, 130])  # planes are scaled one by one, or two at a time
def test_fixed_amplitudes_follow_the_input_power_exactly(n):
    ics = make(n, fixed=True)
    delta, k = modes_of(ics)
    where = filled(ics.n)
    power = np.abs(delta[where]) ** 2 * ics.box**3
    np.testing.assert_allclose(power, POWER(k[where]), rtol=2e-4)
    assert np.abs(delta[~where]).max() < 1e-6 * np.abs(delta).max()


def test_power_of_a_realisation_follows_the_input_within_its_scatter():
    ics = make()
    delta, k = modes_of(ics)
    where = filled(ics.n)
    ratio = np.abs(delta[where]) ** 2 * ics.box**3 / POWER(k[where])
    bins = np.digitize(k[where], np.linspace(0, k.max(), 8))
    for b in np.unique(bins):
        independent = np.sum(bins == b) / 2
        assert abs(ratio[bins == b].mean() - 1) < 4 / np.sqrt(independent)
    assert ratio.std() == pytest.approx(1, abs=0.05)  # exponential, as squares of complex Gaussians are


def test_sigma_8_of_a_fixed_realisation_is_the_cosmologys():
    """Spheres of 8 Mpc/h in the field itself; what the modes of the box miss of the integral is added from theory."""
    ics = make(n=64, box=256.0, fixed=True)
    delta, k = modes_of(ics)
    smooth = np.fft.ifftn(delta * top_hat(k * 8.0)).real * ics.n**3
    seen = (POWER(k) * top_hat(k * 8.0) ** 2)[filled(ics.n)].sum() / ics.box**3
    assert smooth.std() == pytest.approx(np.sqrt(seen), rel=1e-4)
    # from the fundamental mode to Nyquist the box holds nearly all of sigma_8
    assert smooth.std() == pytest.approx(QUIJOTE.sigma_8, rel=0.02)
    assert sigma_r(POWER) == pytest.approx(QUIJOTE.sigma_8, rel=1e-6)


def test_sigma_8_of_free_realisations_scatters_around_the_cosmologys():
    measured = []
    for seed in range(8):
        ics = make(n=32, box=160.0, seed=seed)
        delta, k = modes_of(ics)
        measured.append((np.abs(delta * top_hat(k * 8.0)) ** 2).sum())
    where = filled(32)
    parts = (POWER(k) * top_hat(k * 8.0) ** 2)[where] / 160.0**3
    scatter = np.sqrt(
        2 * np.sum(parts**2) / 8
    )  # variance of |delta_k|^2 is its square; pairs of modes are one
    assert abs(np.mean(measured) - parts.sum()) < 4 * scatter
    assert np.mean(measured) == pytest.approx(QUIJOTE.sigma_8**2, rel=0.15)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_larger_lattice_agrees_on_the_shared_modes(fixed):
    small, large = modes_of(make(16, fixed=fixed))[0], modes_of(make(32, fixed=fixed))[0]
    index = np.r_[0:8, 9:16]
    up = np.r_[0:8, 25:32]
    scale = np.abs(small).max()
    shared = large[np.ix_(up, up, up)]
    np.testing.assert_allclose(small[np.ix_(index, index, index)], shared, atol=3e-6 * scale)


def test_a_flip_is_the_negative_field():
    np.testing.assert_array_equal(make(flip=True).delta_lin, -make().delta_lin)


def test_power_by_name_and_by_function_are_the_same():
    np.testing.assert_array_equal(make(16, power="eisenstein-hu").delta_lin, make(16).delta_lin)


def test_camb_is_the_default():
    ics = initial_conditions(QUIJOTE, BOX, 16, fixed=True)
    delta, k = modes_of(ics)
    where = filled(16)
    np.testing.assert_allclose(
        np.abs(delta[where]) ** 2 * BOX**3, linear_power(QUIJOTE, "camb")(k[where]), rtol=2e-4
    )
    assert ics.seed == 7


def test_conditions_say_how_they_were_drawn(tmp_path):
    table = tmp_path / "table.txt"
    np.savetxt(table, np.stack([POWER.k, POWER.p], axis=1))
    for power, name in (
        (POWER, "eisenstein-hu"),
        ("camb", "camb"),
        (table, "table.txt"),
        (lambda k: 0 * k, None),
    ):
        one = make(n=8, power=power, fixed=True)
        assert (one.fixed, one.flip, one.power) == (True, False, name)


def test_conditions_say_what_they_are():
    ics = make(16, box=100, seed=11)
    assert (ics.box, ics.n, ics.seed, ics.cosmology) == (100.0, 16, 11, QUIJOTE)
    assert (ics.spacing, ics.delta_lin.dtype, ics.delta_lin.shape) == (6.25, np.float32, (16, 16, 16))
    assert abs(ics.delta_lin.mean()) < 1e-6
    np.testing.assert_array_equal(ics.delta_lin, make(16, box=100, seed=11).delta_lin)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 1}, "n = 1 is not allowed: give an even number"),
        ({"n": 15}, "n = 15 is not allowed: give an even number"),
        ({"n": 16.0}, "n = 16.0 is not allowed"),
        ({"n": 4098}, "4 to 4096"),
        ({"box": 0}, "box = 0 is not allowed: give the side in Mpc/h"),
        ({"box": -1.0}, "box = -1.0"),
        ({"box": float("nan")}, "box = nan"),
        ({"box": 1e6}, "0.1 to 100000"),
        ({"seed": -1}, "seed = -1"),
        ({"power": "cmab"}, "did you mean 'camb'"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, words):
    with pytest.raises(InputError, match=words) as caught:
        make(**({"n": 16} | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (np.zeros((8, 8, 7)), r"shape \(8, 8, 7\).*\(8, 8, 8\)"),
        (np.full((8, 8, 8), np.nan), "not finite"),
        (np.full((8, 8, 8), np.inf), "not finite"),
        (np.full((8, 8, 8), 2e4), "delta_lin reaches 2e.04"),
        (np.full((8, 8, 8), -2e4), "delta_lin reaches 2e.04"),
    ],
)
def test_fields_from_outside_are_checked(field, words):
    with pytest.raises(InputError, match=words) as caught:
        InitialConditions(100.0, 8, QUIJOTE, field)
    assert "\n" not in str(caught.value)


def test_fields_from_outside_are_taken_as_they_are():
    field = np.random.default_rng(1).standard_normal((8, 8, 8))
    before = field.copy()
    ics = InitialConditions(100, 8, QUIJOTE, field)
    np.testing.assert_array_equal(ics.delta_lin, field.astype(np.float32))
    np.testing.assert_array_equal(field, before)
    assert ics.seed is None


@pytest.mark.parametrize("phases", ["quijote:fiducial/17", simulation("fiducial/17")])
@pytest.mark.parametrize(
    ("cosmology", "box", "message"),
    [(QUIJOTE, 250.0, "bring box = 1000"), (replace(QUIJOTE, omega_m=0.3), 1000.0, "another cosmology")],
)
def test_phases_of_a_simulation_take_no_other_box_or_cosmology(phases, cosmology, box, message):
    with pytest.raises(InputError, match=message):
        initial_conditions(cosmology, box, 8, power="eisenstein-hu", phases=phases)
