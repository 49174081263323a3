"""Claims about painting by cubic splines."""

import numba
import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from zeldo.errors import InputError
from zeldo.mesh import splines, torch_splines

BOX = 50.0


def displacements(n=6, scale=8.0, seed=1):
    return (scale * np.random.default_rng(seed).standard_normal((3, n, n, n))).astype(np.float32)


def positions_of(psi):
    n = psi.shape[1]
    q = np.stack(np.meshgrid(*3 * [np.arange(n) * BOX / n], indexing="ij"))
    return (q + psi.astype(np.float64)).reshape(3, -1).T


def by_definition(positions, m):
    """Every particle's cloud at every mesh point and its nearest images."""
    cloud = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
    away = np.arange(m)[:, None, None] - positions.T * m / BOX
    away = away.transpose(1, 2, 0)  # axis, particle, point
    away -= m * np.round(away / m)
    x, y, z = sum(np.nan_to_num(cloud(away + image * m)) for image in (-1, 0, 1))
    return np.einsum("pi,pj,pk->ijk", x, y, z) * m**3 / len(positions)


@pytest.mark.parametrize("m", [4, 6, 8, 18, 40])
def test_a_particle_is_the_cubic_spline_around_it(m):
    psi = displacements()
    expected = by_definition(positions_of(psi), m)
    for paint, made in ((splines.paint, np.asarray), (torch_splines.paint, torch.from_numpy)):
        for particles in (psi, positions_of(psi)):
            mesh = np.asarray(paint(made(particles), m, BOX))
            assert np.abs(mesh - expected).max() < 2e-6 * expected.max()
            assert mesh.mean(dtype=float) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_particle_that_rounding_puts_on_the_edge_of_the_box_stays(axis):
    """The lowest point of its cloud is at the edge of the box, or below by less than rounding."""
    m = 16
    position = np.full((1, 3), 5.5)
    position[0, axis] = 1.0
    expected = splines.paint(position, m, float(m))
    position[0, axis] = np.nextafter(1.0, 0.0)
    made = splines.paint(position, m, float(m))
    assert np.abs(made - expected).max() < 1e-6 * expected.max()


@pytest.mark.parametrize("offset", [0.5, -1.25])
def test_an_offset_moves_the_particles_by_a_part_of_a_cell(offset):
    psi, m = displacements(), 16
    expected = splines.paint(psi + np.float32(offset * BOX / m), m, BOX)
    assert np.abs(splines.paint(psi, m, BOX, offset) - expected).max() < 1e-4 * expected.max()
    twin = torch_splines.paint(torch.from_numpy(psi), m, BOX, offset).numpy()
    assert np.abs(twin - expected).max() < 1e-4 * expected.max()


def test_the_bits_do_not_depend_on_the_number_of_threads():
    psi = displacements(24, scale=20.0)
    before = numba.get_num_threads()
    meshes = []
    try:
        for threads in {1, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(threads)
            meshes += [splines.paint(psi, 64, BOX), splines.paint(psi, 64, BOX)]
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(meshes[0], other) for other in meshes[1:])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_position_that_is_no_number_shows_on_the_mesh(bad):
    psi = displacements()
    psi[:, 3, 2, 1] = bad
    assert np.isnan(splines.paint(psi, 8, BOX)).any()
    assert np.isnan(torch_splines.paint(torch.from_numpy(psi), 8, BOX)).any()


def test_what_is_no_particles_is_refused():
    for shape in ((2, 4, 4, 4), (5, 2), (0, 3), (3, 4, 4, 5)):
        with pytest.raises(InputError, match="shape"):
            splines.paint(np.zeros(shape, np.float32), 8, BOX)
        with pytest.raises(InputError, match="shape"):
            torch_splines.paint(torch.zeros(shape), 8, BOX)
    with pytest.raises(InputError, match="mesh"):
        splines.paint(displacements(), 7, BOX)
    with pytest.raises(InputError, match="box"):
        splines.paint(displacements(), 8, -1.0)
