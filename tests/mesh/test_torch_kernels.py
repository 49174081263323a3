"""Claims about painting and reading in torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeldo.errors import InputError
from zeldo.mesh.torch_kernels import paint, paint_positions, read, read_gradient

BOX = 50.0


def displacement(n=6, seed=1, spread=5.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(3, n, n, n, generator=generator, dtype=torch.float64)).to(dtype)


def lattice(n, dtype=torch.float64):
    along = torch.arange(n, dtype=dtype) * BOX / n
    return torch.stack(torch.meshgrid(along, along, along, indexing="ij"))


@pytest.mark.parametrize("m", [5, 6, 8, 12])
def test_mass_is_kept(m):
    mesh = paint(displacement(), m, BOX)
    assert mesh.shape == (m, m, m)
    assert mesh.mean().item() == pytest.approx(1, abs=1e-12)
    assert mesh.min() >= 0


def test_lattice_at_rest_paints_a_uniform_mesh():
    mesh = paint(torch.zeros(3, 6, 6, 6), 6, BOX)
    assert torch.equal(mesh, torch.ones(6, 6, 6))


def test_one_particle_gives_the_analytic_weights():
    m, h = 8, BOX / 8
    position = torch.tensor([[3.25, 7.5, 2.0]], dtype=torch.float64) * h
    mesh = paint_positions(position, m, BOX) / m**3
    expected = torch.zeros(m, m, m, dtype=torch.float64)
    expected[3, 7, 2], expected[3, 0, 2], expected[4, 7, 2], expected[4, 0, 2] = 0.375, 0.375, 0.125, 0.125
    assert torch.allclose(mesh, expected, atol=1e-12)


@pytest.mark.parametrize("m", [6, 9, 12])
def test_painting_a_lattice_is_painting_its_positions(m):
    psi = displacement()
    positions = (lattice(6) + psi).reshape(3, -1).T
    assert torch.allclose(paint(psi, m, BOX), paint_positions(positions, m, BOX), atol=1e-10)


def test_weights_are_painted_where_the_particles_are():
    positions = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * BOX
    weights = torch.linspace(-1, 2, 50, dtype=torch.float64)
    parts = sum(paint_positions(positions[i : i + 1], 6, BOX, weights[i : i + 1]) for i in range(50)) / 50
    assert torch.allclose(paint_positions(positions, 6, BOX, weights), parts, atol=1e-12)


@pytest.mark.parametrize("m", [5, 6, 12])
def test_paint_and_read_are_adjoint(m):
    psi = displacement()
    field = torch.randn(m, m, m, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    painted = (paint(psi, m, BOX) * field).sum() * 6**3 / m**3
    assert read(field, psi, BOX).sum().item() == pytest.approx(painted.item(), rel=1e-12)


def test_read_gives_a_linear_field_exactly_between_mesh_points():
    psi = 0.9 * BOX / 12 * torch.rand(3, 6, 6, 6, dtype=torch.float64)
    along = torch.arange(12, dtype=torch.float64) * BOX / 12
    field = 2 * along[:, None, None] - along[None, :, None] + 0.5 * along[None, None, :]
    field = field.expand(12, 12, 12)
    x = lattice(6) + psi
    inside = (x < BOX * 11 / 12).all(0)
    expected = 2 * x[0] - x[1] + 0.5 * x[2]
    assert torch.allclose(read(field, psi, BOX)[inside], expected[inside], atol=1e-10)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gradient_of_a_plane_wave_has_the_factor_of_fourth_order_differences(axis):
    m, k = 32, 2 * np.pi / BOX * 3
    h = BOX / m
    x = lattice(m)[axis]
    force = read_gradient(torch.sin(k * x), torch.zeros(3, 16, 16, 16, dtype=torch.float64), BOX)
    factor = (8 * np.sin(k * h) - np.sin(2 * k * h)) / (6 * h)
    expected = torch.zeros_like(force)
    expected[axis] = -factor * torch.cos(k * lattice(16)[axis])
    assert torch.allclose(force, expected, atol=1e-12)
    assert factor == pytest.approx(k, rel=(k * h) ** 4 / 25)  # the error of fourth order is (kh)^4 / 30


def test_gradients_of_paint_and_read_are_those_of_finite_differences():
    # psi away from mesh planes, where cloud-in-cell has kinks
    generator = torch.Generator().manual_seed(4)
    whole = torch.randint(-3, 4, (3, 2, 2, 2), generator=generator)
    part = 0.1 + 0.8 * torch.rand(3, 2, 2, 2, dtype=torch.float64, generator=generator)
    psi = ((whole + part) * BOX / 4).requires_grad_()
    field = torch.randn(4, 4, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    some = torch.randn(2, 2, 2, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(lambda p: (paint(p, 4, BOX) ** 2).sum(), (psi,))
    assert torch.autograd.gradcheck(lambda f, p: (read(f, p, BOX) * some).sum(), (field, psi))
    assert torch.autograd.gradcheck(
        lambda f, p: (read_gradient(f, p, BOX)[1] * some).sum(), (field, psi), atol=1e-6
    )
    positions = (psi.detach().reshape(3, -1).T).requires_grad_()
    weights = torch.linspace(0.5, 2, 8, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, w: (paint_positions(x, 4, BOX, w) ** 2).sum(), (positions, weights)
    )
    assert torch.autograd.gradgradcheck(lambda f, p: (read(f, p, BOX) * some).sum(), (field, psi))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    m=st.integers(3, 11),
    images=st.tuples(*3 * [st.integers(-3, 3)]),
    cells=st.tuples(*3 * [st.integers(-15, 15)]),
)
def test_the_box_is_periodic(seed, m, images, cells):
    psi = displacement(4, seed)
    mesh = paint(psi, m, BOX)
    far = psi + BOX * torch.tensor(images, dtype=torch.float64)[:, None, None, None]
    assert torch.allclose(paint(far, m, BOX), mesh, atol=1e-9)
    shift = torch.tensor(cells, dtype=torch.float64)[:, None, None, None] * BOX / m
    assert torch.allclose(paint(psi + shift, m, BOX), torch.roll(mesh, cells, (0, 1, 2)), atol=1e-9)
    assert torch.allclose(read(torch.roll(mesh, cells, (0, 1, 2)), psi + shift, BOX), read(mesh, psi, BOX))


def test_float32_keeps_the_digits_of_psi_far_from_the_origin():
    psi = displacement(8, spread=0.5)
    positions = (lattice(8) + psi).reshape(3, -1).T
    true = paint(psi, 64, BOX)
    error = (paint(psi.float(), 64, BOX) - true).abs().max()
    error_of_positions = (paint_positions(positions.float(), 64, BOX) - true).abs().max()
    assert error < error_of_positions / 5


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: paint(torch.zeros(3, 4, 4), 8, BOX), "psi has shape"),
        (lambda: paint(torch.zeros(3, 4, 4, 4), 0, BOX), "mesh"),
        (lambda: paint(torch.zeros(3, 4, 4, 4), 4, 0.0), "box"),
        (lambda: read(torch.zeros(4, 4, 5), torch.zeros(3, 4, 4, 4), BOX), "cube"),
        (lambda: paint_positions(torch.zeros(4, 2), 4, BOX), "positions have shape"),
        (lambda: paint_positions(torch.zeros(4, 3), 4, BOX, torch.ones(3)), "weights have shape"),
    ],
)
def test_wrong_shapes_are_refused_in_one_line(call, word):
    with pytest.raises(InputError, match=word) as caught:
        call()
    assert "\n" not in str(caught.value)
