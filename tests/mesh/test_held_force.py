"""A force read some planes at a time, held against the force of all particles at once."""

import numpy as np
import pytest

from zeldo.mesh import held_force
from zeldo.mesh.gravity import gravity
from zeldo.mesh.numba_kernels import read_gradient

BOX = 200.0


def displaced(n, rms, seed=1):
    return (rms * np.random.default_rng(seed).standard_normal((3, n, n, n))).astype(np.float32)


@pytest.fixture
def thin(monkeypatch):
    """Pieces of some planes, so that a small mesh has many."""
    monkeypatch.setattr(held_force, "planes_together", lambda n: 5)


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize(("factor", "rms"), [(1, 1.0), (2, 3.0), (1, 80.0)])
def test_pieces_are_the_whole_force_to_the_last_bit(thin, factor, rms, offset):
    """Also where particles cross the box, and where they are so far away that the whole mesh is needed."""
    n, psi = 32, displaced(32, rms)
    psi[0] += 0.9 * BOX
    mesh = gravity(BOX, factor * n)
    held = mesh.held(psi, offset)
    ring = mesh._work
    potential = np.ascontiguousarray(held.potential[:, :, : factor * n])
    whole = read_gradient(potential, psi, BOX, offset=offset)
    np.testing.assert_array_equal(held.array(), whole)
    if rms == 1.0:
        assert mesh._work.size < 0.7 * 4 * n * n * (n + 1)
    assert ring is not mesh._work


@pytest.mark.parametrize(("box", "cells"), [(62.5, -7), (62.5, -3), (123.4, 2), (31.7, 5)])
def test_particles_that_rounding_puts_into_the_cell_below_are_reached(thin, box, cells):
    """On mesh points in double precision, by which planes are chosen, and just below them in single."""
    n, psi = 32, displaced(32, 1.0)
    psi[0] = cells * box / n
    held = gravity(box, n).held(psi)
    whole = read_gradient(np.ascontiguousarray(held.potential[:, :, :n]), psi, box)
    np.testing.assert_array_equal(held.array(), whole)


def test_a_held_force_survives_another_density_on_the_mesh():
    psi, other = displaced(16, 2.0), displaced(16, 2.0, seed=2)
    mesh = gravity(BOX, 16)
    force = mesh(psi)
    held = mesh.held(psi)
    mesh.held(other), mesh.potential(other), mesh.density(other)
    np.testing.assert_array_equal(held.array(), force)


def test_particles_may_move_while_their_force_is_read(thin):
    n, psi = 16, displaced(16, 2.0)
    v, kick, drift = displaced(n, 1.0, seed=3), (0.5, 2.0), (0.3,)
    mesh = gravity(BOX, n)
    plain = mesh.advance(psi, v, mesh(psi), kick, drift)
    held = mesh.held(psi)
    donated = mesh.advance(psi, v, held, kick, drift, donate=True)
    assert donated[0] is psi and donated[1] is v
    np.testing.assert_array_equal(plain, donated)


def test_combine_takes_a_held_force(thin):
    psi, v = displaced(16, 2.0), displaced(16, 1.0, seed=3)
    mesh = gravity(BOX, 16)
    expected = mesh.combine(None, (0.5, v), (2.0, mesh(psi)))
    np.testing.assert_array_equal(mesh.combine(v, (0.5, v), (2.0, mesh.held(psi))), expected)
