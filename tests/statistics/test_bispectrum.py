"""Claims about the bispectrum."""

import itertools

import numpy as np
import pytest

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.bispectrum import (
    bispectrum_of_shells,
    equilateral,
    equilateral_bispectrum,
    squeezed_bispectrum,
)
from zeldo.statistics.modes import density_modes, field_modes

BOX = 100.0


def gaussian(n, seed, top=None):
    """White noise, cut at |k| < top fundamentals."""
    field = np.random.default_rng(seed).standard_normal((n, n, n))
    if top is None:
        return field
    k = np.fft.fftfreq(n, 1 / n)
    length = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[: n // 2 + 1] ** 2)
    return np.fft.irfftn(np.fft.rfftn(field) * (length < top), s=3 * (n,), axes=(0, 1, 2))


@pytest.mark.parametrize(
    "triangle", [3 * [(1.0, 2.5)], [(1.0, 1.5), (2.0, 3.2), (2.0, 3.2)], [(1, 2), (2, 3), (3, 4)]]
)
def test_triangles_and_their_products_equal_those_of_a_triple_sum(triangle):
    n = 8
    field = gaussian(n, 1) ** 2
    found = bispectrum_of_shells(field_modes(field), BOX, [tuple(tuple(shell) for shell in triangle)])
    modes = np.fft.fftn(field) / n**3
    waves = list(itertools.product(range(-n // 2 + 1, n // 2), repeat=3))
    first, second, third = (
        [k for k in waves if shell[0] <= np.sqrt(np.dot(k, k)) < shell[1]] for shell in triangle
    )
    third = set(third)
    count, total = 0, 0.0
    for p, q in itertools.product(first, second):
        r = tuple(-a - b for a, b in zip(p, q, strict=True))
        if r in third:
            count += 1
            total += (modes[p] * modes[q] * modes[r]).real
    assert found.triangles[0] == count > 0
    assert found.bispectrum[0] == pytest.approx(BOX**6 * total / count, rel=1e-9)
    power = []
    for column, shell in enumerate((first, second, list(third))):
        assert found.k[0, column] == pytest.approx(
            np.mean([np.linalg.norm(k) for k in shell]) * 2 * np.pi / BOX
        )
        power.append(np.mean([abs(modes[k]) ** 2 for k in shell]) * BOX**3)
    pairs = power[0] * power[1] + power[1] * power[2] + power[2] * power[0]
    assert found.reduced[0] == pytest.approx(found.bispectrum[0] / pairs)


def test_a_gaussian_field_has_none_within_the_errors_given():
    shells = [(1.0, 3.0), (3.0, 5.0), (5.0, 7.0)]
    triangles = [3 * (s,) for s in shells] + [((1.0, 3.0), s, s) for s in [(5.0, 7.0), (7.0, 9.0)]]
    sigmas = []
    for seed in range(60):
        found = bispectrum_of_shells(field_modes(gaussian(18, seed)), BOX, triangles)
        sigmas.append(found.bispectrum / found.error)
    sigmas = np.array(sigmas)
    assert np.abs(sigmas.mean(0) * np.sqrt(60)).max() < 4
    assert sigmas[:, :3].std() == pytest.approx(1, abs=0.2)
    assert sigmas[:, 3:].std() == pytest.approx(1, abs=0.2)


def test_a_quadratic_field_has_the_tree_level_bispectrum():
    n, c, seeds = 48, 0.02, 6
    equal, squeezed = 3 * ((6.0, 10.0),), ((1.0, 3.0), (6.0, 8.0), (6.0, 8.0))
    reduced = []
    for seed in range(seeds):
        g = gaussian(n, seed, top=13)
        g /= g.std()
        both = []
        for sign in (1, -1):  # the field and its negative: their Gaussian noise cancels
            field = sign * g + c * (g**2 - (g**2).mean())
            both.append(bispectrum_of_shells(field_modes(field), BOX, [equal, squeezed]).reduced)
        reduced.append(np.mean(both, 0) / (2 * c))
    scatter = np.std(reduced, 0, ddof=1) / np.sqrt(seeds)
    assert (scatter < [0.05, 0.12]).all()
    assert (np.abs(np.mean(reduced, 0) - 1) < 4 * scatter).all()


def test_snapshots_give_the_shells_asked_for():
    n = 16
    psi = 3 * np.random.default_rng(2).standard_normal((3, n, n, n))
    snapshot = Snapshot(psi, None, BOX, Cosmology.preset("quijote"), 0.0, "test")
    fundamental = 2 * np.pi / BOX
    equal = equilateral_bispectrum(snapshot, width=2.0)
    assert equal.k.shape == (3, 3) and np.ptp(equal.k, axis=1).max() == 0
    assert (np.abs(equal.k[:, 0] / fundamental - [2, 4, 6]) < 0.5).all()
    again = bispectrum_of_shells(density_modes(snapshot, 2 * n), BOX, [3 * ((3.0, 5.0),)])
    assert again.bispectrum[0] == pytest.approx(equal.bispectrum[1])
    squeezed = squeezed_bispectrum(snapshot, width=1.0, long=(1.0, 2.0), k_max=6 * fundamental)
    assert squeezed.k.shape == (2, 3)
    assert (squeezed.k[:, 0] < 2 * fundamental).all() and (squeezed.k[:, 1] > 4 * fundamental).all()


def test_a_mesh_coarser_than_the_lattice_has_shells_up_to_its_own_nyquist_wavenumber():
    psi = 3 * np.random.default_rng(2).standard_normal((3, 16, 16, 16))
    snapshot = Snapshot(psi, None, BOX, Cosmology.preset("quijote"), 0.0, "test")
    assert equilateral_bispectrum(snapshot, mesh=8, width=1.0).k.shape == (3, 3)


def test_shells_go_on_beyond_the_lattice_to_the_k_max_that_is_asked_for():
    psi = 3 * np.random.default_rng(2).standard_normal((3, 16, 16, 16))
    snapshot = Snapshot(psi, None, BOX, Cosmology.preset("quijote"), 0.0, "test")
    found = equilateral_bispectrum(snapshot, width=4.0, k_max=15 * 2 * np.pi / BOX)
    assert (np.abs(found.k[:, 0] * BOX / (2 * np.pi) - [3, 7, 11]) < 1).all()
    assert len(equilateral_bispectrum(snapshot, width=4.0, k_max=1e3).k) == 3  # the mesh has no more


def test_shells_that_hold_nothing_are_refused():
    snapshot = Snapshot(np.zeros((3, 8, 8, 8)), None, BOX, Cosmology.preset("quijote"), 0.0, "test")
    for options in ({"k_max": 0.01}, {"width": 0.0}, {"k_max": -1.0}, {"width": 50.0}):
        with pytest.raises(InputError):
            equilateral_bispectrum(snapshot, **options)
    with pytest.raises(InputError, match="shell"):
        squeezed_bispectrum(snapshot, long=(3.0, 2.0), width=0.1)
    with pytest.raises(InputError, match="give two numbers, from and to"):
        squeezed_bispectrum(snapshot, long=7)
    with pytest.raises(InputError, match="shell"):
        bispectrum_of_shells(field_modes(np.zeros((8, 8, 8))), BOX, [3 * ((3.0, 5.0),)])


@pytest.mark.parametrize(("mesh", "width"), [(30, 0.07), (112, 0.55), (112, 2.2)])
def test_shells_end_at_the_nyquist_wavenumber_in_spite_of_rounding(mesh, width):
    *_, last = equilateral(mesh / 2, width)[-1]
    assert mesh / 2 - width < last[1] <= mesh / 2
