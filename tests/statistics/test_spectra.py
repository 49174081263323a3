"""Claims about power and cross power."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import jv

import zeldo
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics import spectra
from zeldo.statistics.modes import cloud_in_cell_modes, density_modes, field_modes
from zeldo.statistics.spectra import bins, cross_power, power_spectrum, spectrum

BOX = 100.0
COSMOLOGY = Cosmology.preset("quijote")


def snapshot(psi, vel=None, redshift=0.0):
    return Snapshot(psi, vel, BOX, COSMOLOGY, redshift, "test")


def wave(n, mode, amplitude):
    """psi of a plane wave along (1, 0, 0), with delta = amplitude cos(k x) to first order."""
    k = 2 * np.pi * mode / BOX
    psi = np.zeros((3, n, n, n))
    psi[0] = -amplitude / k * np.sin(k * np.arange(n) * BOX / n)[:, None, None]
    return psi


def poisson(number, seed=1):
    return torch.rand(number, 3, generator=torch.Generator().manual_seed(seed)) * BOX


def test_power_of_a_cosine_is_a_quarter_of_its_square_in_one_of_six_modes():
    n, amplitude = 16, 0.3
    x = np.arange(n) * BOX / n
    field = amplitude * np.cos(2 * np.pi * x / BOX)[:, None, None] * np.ones((n, n, n))
    found = spectrum(field_modes(field), BOX)
    # the bin of the fundamental has 6 modes of length 1 and 12 of sqrt 2 (rounds to 1): 2 are excited
    assert found.modes[0] == 18
    assert found.k[0] == pytest.approx(2 * np.pi / BOX * (6 + 12 * np.sqrt(2)) / 18)
    assert found.power[0] == pytest.approx(2 * amplitude**2 / 4 * BOX**3 / 18, rel=1e-12)
    assert np.abs(found.power[1:]).max() < 1e-20


def test_power_of_white_noise_is_its_variance_times_the_cell_volume():
    n, sigma = 32, 2.0
    field = sigma * np.random.default_rng(1).standard_normal((n, n, n))
    found = spectrum(field_modes(field), BOX)
    ratio = found.power / (sigma**2 * (BOX / n) ** 3)
    assert np.abs((ratio - 1) * np.sqrt(found.modes / 2)).max() < 4


def test_modes_count_every_wave_once():
    m = 12
    k = np.fft.fftfreq(m, 1 / m)
    length = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + k**2)
    group = bins(m)
    for i in range(1, m // 2):
        inside = np.round(length) == i
        assert group.modes[i - 1] == inside.sum()
        assert group.k[i - 1] == pytest.approx(length[inside].mean())


def test_a_mesh_that_is_binned_some_planes_at_a_time_has_the_same_power(monkeypatch):
    modes = field_modes(np.random.default_rng(3).standard_normal((12, 12, 12)))
    whole = spectrum(modes, BOX)
    bins.cache_clear()
    monkeypatch.setattr(spectra, "TOGETHER", 5 * 12**2)
    parts = spectrum(modes, BOX)
    bins.cache_clear()
    for name in ("k", "power", "modes"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-6)


def test_cross_power_of_independent_fields_vanishes_and_of_a_shifted_one_follows_its_phase():
    n = 16
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, n, n, n))
    group = bins(n)
    x, y = field_modes(a), field_modes(b)
    r = cross_power(x, y, BOX) / np.sqrt(cross_power(x, x, BOX) * cross_power(y, y, BOX))
    assert np.abs(r * np.sqrt(group.modes / 2)).max() < 4
    assert np.allclose(cross_power(x, field_modes(-2 * a), BOX), -2 * cross_power(x, x, BOX))
    both = cross_power(torch.stack([x, y]), torch.stack([x, y]), BOX)
    assert np.allclose(both, cross_power(x, x, BOX) + cross_power(y, y, BOX))


def test_a_plane_wave_of_particles_has_the_power_of_its_bessel_functions():
    n, mode, amplitude = 16, 2, 0.4
    found = power_spectrum(snapshot(wave(n, mode, amplitude)))
    # particles at q - A / k sin(k q): delta = J_h(h A) in the two modes +- h k, and a lattice knows h modulo n / mode
    for harmonic, tolerance in ((1, 1e-3), (2, 1e-3), (3, 1e-2)):
        bin_ = harmonic * mode - 1
        delta = jv(harmonic + n // mode * np.arange(-2, 3), harmonic * amplitude).sum()
        expected = 2 * delta**2 * BOX**3 / found.modes[bin_]
        assert found.power[bin_] == pytest.approx(expected, rel=tolerance)
    assert found.power[[0, 2, 4]].max() < 1e-8 * found.power[1]


def direct_sum(particles, top):
    """P(k) by summing exp(-ikx) over particles, in bins 1 to top of the fundamental."""
    waves = np.arange(-top, top + 1)
    x, y, z = (
        np.exp(-2j * np.pi / particles.box * waves[:, None] * axis) for axis in particles.positions().T
    )
    half = z[top:]
    power = np.array([np.abs((y * column) @ half.T) ** 2 for column in x])
    power *= particles.box**3 / x.shape[1] ** 2
    squares = waves[:, None, None] ** 2 + waves[:, None] ** 2 + waves[top:] ** 2
    weight = np.where(waves[top:] == 0, 1.0, 2.0) * np.ones(squares.shape)
    shell = np.round(np.sqrt(squares)).astype(int).ravel()
    total = np.bincount(shell, (power * weight).ravel())
    return (total / np.bincount(shell, weight.ravel()))[1 : top + 1]


@pytest.mark.parametrize(("engine", "redshift"), [("2lpt", 49), ("2lpt", 9), ("cola", 1), ("cola", 0)])
def test_power_is_that_of_a_direct_sum_up_to_the_lattices_nyquist_wavenumber(engine, redshift):
    n = 32
    (made,) = zeldo.run(
        cosmology=COSMOLOGY, box=2.0 * n, n=n, seed=7, power="eisenstein-hu", engine=engine, redshift=redshift
    )
    found = power_spectrum(made).power[: n // 2 - 1]
    expected = direct_sum(made, n // 2 - 1)
    assert np.abs(found / expected - 1).max() < 1e-3
    if redshift == 49:  # what cloud-in-cell makes of the same particles
        modes = cloud_in_cell_modes(made, 2 * n)
        assert np.abs(cross_power(modes, modes, made.box)[: n // 2 - 1] / expected - 1).max() > 0.1


def test_random_particles_have_their_shot_noise_in_every_bin():
    m, number = 32, 20000
    power = np.zeros(m // 2 - 1)
    for seed in range(6):
        power += spectrum(density_modes(poisson(number, seed), m, BOX), BOX).power / 6
    ratio = power / (BOX**3 / number)
    assert np.abs((ratio - 1) * np.sqrt(6 * bins(m).modes / 2)).max() < 4.5
    # aliases of a single cloud-in-cell mesh add 25 % to the last bins
    assert abs(ratio[-8:].mean() - 1) < 0.01


def test_shot_noise_is_subtracted_on_demand():
    n = 16
    psi = np.random.default_rng(3).uniform(-BOX / 2, BOX / 2, (3, n, n, n))
    with_noise = power_spectrum(snapshot(psi))
    without = power_spectrum(snapshot(psi), subtract_shot_noise=True)
    noise = (BOX / n) ** 3
    assert np.allclose(with_noise.power - without.power, noise)
    assert abs(np.average(without.power, weights=without.modes)) < 0.05 * noise


def test_what_a_user_does_with_a_result_changes_no_later_one():
    modes = field_modes(np.random.default_rng(1).standard_normal((8, 8, 8)))
    first = spectrum(modes, BOX)
    for values in (first.k, first.power, first.modes):
        values[:] = -1
    again = spectrum(modes, BOX)
    assert min(values.min() for values in (again.k, again.power, again.modes)) > 0


@pytest.mark.parametrize("mesh", [7, 2, 0, -4, 8.0, 20_000])
def test_an_odd_or_absurd_mesh_is_refused(mesh):
    with pytest.raises(InputError, match="mesh"):
        power_spectrum(snapshot(np.zeros((3, 4, 4, 4))), mesh=mesh)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="device 'tpu9' cannot be used"):
        power_spectrum(snapshot(np.zeros((3, 4, 4, 4))), device="tpu9")


def test_statistics_load_torch_only_when_used():
    code = (
        "import sys, zeldo.statistics as s; assert 'torch' not in sys.modules; "
        "assert all(hasattr(s, x) for x in s.__all__); assert 'torch' in sys.modules; "
        "assert not hasattr(s, 'nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
