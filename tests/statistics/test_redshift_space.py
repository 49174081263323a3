"""Claims about redshift space."""

from importlib import import_module

import numpy as np
import pytest

import zeldo
from zeldo.cosmology.background import expansion
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.particles.lattice import particles_of
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.modes import field_modes
from zeldo.statistics.redshift_space import multipoles, redshift_space_multipoles, redshift_space_points
from zeldo.statistics.spectra import power_spectrum

BOX = 100.0
COSMOLOGY = Cosmology.preset("quijote")


def linear(n=16, growth_rate=0.0, redshift=0.0, seed=1):
    """A linear field of one amplitude in every mode below n / 4 fundamentals, with its linear velocities."""
    k = 2 * np.pi / BOX * np.fft.fftfreq(n, 1 / n)
    axes = np.meshgrid(k, k, k[: n // 2 + 1], indexing="ij")
    square = sum(x**2 for x in axes)
    modes = np.fft.rfftn(np.random.default_rng(seed).standard_normal((n, n, n)))
    modes *= 1e-3 / np.abs(modes)
    modes[(square == 0) | (square > (2 * np.pi / BOX * n / 4) ** 2)] = 0
    square[0, 0, 0] = 1
    psi = np.stack([np.fft.irfftn(1j * x / square * modes, s=3 * (n,), axes=(0, 1, 2)) for x in axes])
    psi *= n**1.5
    a = 1 / (1 + redshift)
    velocity = 100 * float(expansion(COSMOLOGY, a)) * a * growth_rate * psi
    return Snapshot(psi, velocity, BOX, COSMOLOGY, redshift, "linear")


def sums_over_directions(n, axis, growth_rate, top):
    """Mean over the modes of a bin of (1 + f mu^2)^2 (2 l + 1) L_l(mu)."""
    k = np.fft.fftfreq(n, 1 / n)
    axes = np.meshgrid(k, k, k, indexing="ij")
    length = np.sqrt(sum(x**2 for x in axes))
    mu2 = axes[axis] ** 2 / np.where(length == 0, 1, length) ** 2
    boost = (1 + growth_rate * mu2) ** 2
    legendre = (np.ones_like(mu2), 5 * (1.5 * mu2 - 0.5), 9 * (35 * mu2**2 - 30 * mu2 + 3) / 8)
    inside = [np.round(length) == i for i in range(1, top)]
    return [np.array([(boost * x)[one].mean() for one in inside]) for x in legendre]


@pytest.mark.parametrize(("axis", "redshift"), [(0, 0.0), (1, 0.0), (2, 0.0), (2, 1.5)])
def test_a_linear_field_has_the_multipoles_of_kaiser(axis, redshift):
    n, f, top = 16, 0.6, 4
    snapshot = linear(n, f, redshift)
    found = redshift_space_multipoles(snapshot, axis)
    real = power_spectrum(snapshot)
    assert np.array_equal(found.k, real.k) and np.array_equal(found.modes, real.modes)
    expected = sums_over_directions(n, axis, f, top)
    for have, want in zip((found.monopole, found.quadrupole, found.hexadecapole), expected, strict=True):
        assert np.allclose((have / real.power)[: top - 1], want, atol=0.01)
    # and with many directions in a bin the sums become Kaiser's polynomials
    kaiser = [1 + 2 * f / 3 + f**2 / 5, 4 * f / 3 + 4 * f**2 / 7, 8 * f**2 / 35]
    assert np.allclose([x[-1] for x in sums_over_directions(32, axis, f, 16)], kaiser, atol=0.06)


def test_matter_at_rest_has_no_multipoles_but_the_first():
    n, sigmas = 16, []
    # the few directions of a bin leak some of the monopole into the others
    leaks = sums_over_directions(2 * n, 2, 0.0, n)[1:]
    for seed in range(8):
        psi = np.random.default_rng(seed).uniform(-BOX / 2, BOX / 2, (3, n, n, n))
        snapshot = Snapshot(psi, np.zeros_like(psi), BOX, COSMOLOGY, 0.0, "rest")
        found = redshift_space_multipoles(snapshot)
        assert np.allclose(found.monopole, power_spectrum(snapshot).power)
        noise = found.monopole * np.sqrt(2 / found.modes)
        clean = np.array([found.quadrupole, found.hexadecapole]) - leaks * found.monopole
        sigmas.append(clean / noise / np.sqrt([[5], [9]]))
    # aliases of a single cloud-in-cell mesh make a hexadecapole of 8 sigma in the last bins
    assert np.abs(np.sqrt(8) * np.mean(sigmas, 0))[:, 1:].max() < 4


def test_the_shift_is_velocity_over_the_hubble_rate_of_that_time():
    z = 1.0
    snapshot = linear(8, 1.0, z)
    shifted = redshift_space_points(snapshot, axis="y")
    rate = 67.11 * np.sqrt(0.3175 * 8 + 0.6825)  # km/s/Mpc
    expected = snapshot.psi[1] + snapshot.vel[1] * 2 / rate * 0.6711
    assert np.allclose(shifted[1], expected, rtol=1e-5)
    assert np.array_equal(shifted[[0, 2]], snapshot.psi[[0, 2]])


def test_shot_noise_enters_the_monopole_alone():
    n = 8
    rng = np.random.default_rng(3)
    psi, vel = rng.uniform(-BOX / 2, BOX / 2, (2, 3, n, n, n))
    snapshot = Snapshot(psi, vel, BOX, COSMOLOGY, 0.0, "noise")
    with_noise = redshift_space_multipoles(snapshot)
    without = redshift_space_multipoles(snapshot, subtract_shot_noise=True)
    assert np.allclose(with_noise.monopole - without.monopole, (BOX / n) ** 3)
    assert np.array_equal(with_noise.quadrupole, without.quadrupole)


def test_what_a_user_does_with_the_number_of_modes_changes_no_later_result():
    modes = field_modes(np.random.default_rng(1).standard_normal((8, 8, 8)))
    multipoles(modes, BOX).modes[:] = -1
    assert (multipoles(modes, BOX).modes > 0).all()


def test_a_wrong_axis_or_no_velocities_are_refused():
    snapshot = linear(8, 1.0)
    with pytest.raises(InputError, match="axis"):
        redshift_space_multipoles(snapshot, axis=3)
    still = Snapshot(snapshot.psi, None, BOX, COSMOLOGY, 0.0, "positions only")
    with pytest.raises(InputError, match="no velocities"):
        redshift_space_multipoles(still)


@pytest.mark.parametrize("axis", "xyz")
def test_bare_particles_have_the_multipoles_of_their_lattice(axis):
    (snapshot,) = zeldo.run(engine="zeldovich", n=16, box=16.0, power="eisenstein-hu", redshift=0)
    bare, lattice = (redshift_space_multipoles(x, axis) for x in (particles_of(snapshot), snapshot))
    for name in ("monopole", "quadrupole", "hexadecapole"):
        np.testing.assert_allclose(
            getattr(bare, name), getattr(lattice, name), rtol=1e-3, atol=1e-3 * lattice.monopole.max()
        )


def test_modes_in_redshift_space_are_made_on_the_device(monkeypatch):
    (snapshot,) = zeldo.run(box=32, n=8, engine="2lpt", power="eisenstein-hu")
    monkeypatch.setattr("zeldo.statistics.modes.check_device", lambda device: device)
    places = []
    module = import_module("zeldo.statistics.redshift_space")  # a function hides it
    monkeypatch.setattr(module, "multipoles", lambda modes, *_, **__: places.append(modes.device.type))
    module.redshift_space_multipoles(snapshot, device="meta")
    places.append(
        import_module("zeldo.statistics.measurement")._InMemory(snapshot, "meta").modes(16, 2).device.type
    )
    assert places == ["meta", "meta"]
