"""The 48 rotations and reflections and the shifts act on vector fields as isometries of the periodic box."""

import numpy as np
import pytest
import torch

from zeldo.errors import InputError
from zeldo.training.symmetries import ELEMENTS, crop, random_element

N = 8
everyone = pytest.mark.parametrize("element", ELEMENTS, ids=lambda e: f"{e.axis}{e.sign}")


def matrix(element):
    """R with (R x)_a = sign[a] x_axis[a]."""
    return np.array(element.sign)[:, None] * np.eye(3, dtype=int)[list(element.axis)]


def transform(field, element, *, vector=True):
    """(g psi)(q) = R psi(R^-1 q), from the definition, for every lattice point q of a periodic box."""
    n = field.shape[-1]
    q = np.stack(np.meshgrid(*3 * [np.arange(n)], indexing="ij")).reshape(3, -1)
    back = matrix(element).T @ q % n
    moved = field[..., back[0], back[1], back[2]]
    return (matrix(element) @ moved if vector else moved).reshape(field.shape)


def gradient_of_inverse_laplacian(delta):
    """psi with delta = - div psi, by FFT, Nyquist planes zero; box = N."""
    n = delta.shape[-1]
    k1 = np.fft.fftfreq(n, 1 / n)
    k1[n // 2] = 0
    k = np.stack(np.meshgrid(k1, k1, k1, indexing="ij"))
    k2 = (k**2).sum(0)
    k2[k2 == 0] = np.inf
    return np.fft.ifftn(1j * k / k2 * np.fft.fftn(delta), axes=(1, 2, 3)).real * n / (2 * np.pi)


@pytest.fixture
def psi(rng):
    return rng.standard_normal((3, N, N, N))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_there_are_48_elements_closed_under_products_with_inverses():
    matrices = {matrix(e).tobytes() for e in ELEMENTS}
    assert len(matrices) == 48
    for a in ELEMENTS:
        assert matrix(a).T.tobytes("C") in matrices  # the inverse
        assert all((matrix(a) @ matrix(b)).tobytes() in matrices for b in ELEMENTS)


def test_half_of_them_are_proper_rotations():
    assert sum(np.linalg.det(matrix(e)) > 0 for e in ELEMENTS) == 24


@everyone
def test_particles_move_as_a_rigid_body_moves_them(psi, element):
    """x = q + psi(q): the transformed field puts R x at R q."""
    q = np.stack(np.meshgrid(*3 * [np.arange(N)], indexing="ij")).reshape(3, -1)
    moved = crop(psi, element)
    rq = matrix(element) @ q % N
    np.testing.assert_array_equal(moved[:, rq[0], rq[1], rq[2]], matrix(element) @ psi.reshape(3, -1))


@everyone
def test_each_element_commutes_with_the_zeldovich_operator(rng, element):
    delta = rng.standard_normal((N, N, N))
    first = gradient_of_inverse_laplacian(crop(delta, element, vector=False))
    np.testing.assert_allclose(first, crop(gradient_of_inverse_laplacian(delta), element), atol=1e-12)


@everyone
def test_a_crop_is_a_window_of_the_transformed_box(psi, element):
    whole = transform(psi, element)
    wrapped = np.pad(whole, [(0, 0)] + 3 * [(N, N)], mode="wrap")
    got = crop(psi, element, origin=(5, -1, 3), side=4, halo=2)
    want = wrapped[:, N + 3 : N + 11, N - 3 : N + 5, N + 1 : N + 9]
    np.testing.assert_array_equal(got, want)


def test_the_crop_of_the_whole_side_is_the_shifted_box(psi):
    np.testing.assert_array_equal(crop(psi, origin=(1, 2, 7)), np.roll(psi, (-1, -2, -7), (1, 2, 3)))


def test_applying_two_elements_is_applying_their_product(psi, rng):
    by_matrix = {matrix(e).tobytes(): e for e in ELEMENTS}
    for _ in range(60):
        a, b = random_element(rng), random_element(rng)
        product = by_matrix[(matrix(a) @ matrix(b)).tobytes()]
        np.testing.assert_array_equal(crop(crop(psi, b), a), crop(psi, product))


def test_torch_and_numpy_agree_and_leave_the_input_alone(psi, rng):
    tensor = torch.tensor(psi)
    for _ in range(12):
        e = random_element(rng)
        np.testing.assert_array_equal(crop(tensor, e).numpy(), crop(psi, e))
        np.testing.assert_array_equal(crop(tensor, e, (1, 2, 3), 4, 1).numpy(), crop(psi, e, (1, 2, 3), 4, 1))
    np.testing.assert_array_equal(tensor.numpy(), np.random.default_rng(7).standard_normal((3, N, N, N)))


def test_what_is_not_a_cube_of_vectors_is_refused():
    for shape in ((2, 4, 4, 4), (2, 3, 4, 4, 4), (3, 4, 4, 2)):
        with pytest.raises(InputError, match=r"must be \(3, n, n, n\)"):
            crop(np.zeros(shape))
    with pytest.raises(InputError, match="does not fit"):
        crop(np.zeros((3, 4, 4, 4)), side=5)
