"""Derivatives of painting, reading and the force: transposes, finite differences, and every transform of `torch.func`."""

import numpy as np
import pytest
import torch
from torch.func import grad, hessian, jvp, vjp, vmap

from zeldo.errors import InputError
from zeldo.mesh import torch_kernels, torch_numba, torch_splines
from zeldo.mesh.torch_gravity import TorchGravity

BOX = 100.0


def noise(*shape, seed=0, spread=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(*shape, generator=generator, dtype=torch.float64)).to(dtype)


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize(("n", "m"), [(16, 16), (16, 32), (12, 16)])
@pytest.mark.parametrize(("gradient", "deconvolution"), [("difference", 0.0), ("spectral", 1.0)])
@pytest.mark.parametrize(("offset", "sharpening"), [(0.0, 0.0), (0.5, 1.5)])
def test_pulled_back_force_of_numba_is_that_of_torch_in_float64(
    n, m, gradient, deconvolution, offset, sharpening
):
    psi, weights = noise(3, n, n, n, spread=8.0), noise(3, n, n, n, seed=1)
    fast = torch_numba.differentiable_gravity(BOX, m, gradient=gradient, deconvolution=deconvolution)
    true = TorchGravity(BOX, m, gradient, deconvolution, "cpu", np.float64)
    force, back = fast.pull_back(psi, offset, weights, sharpening)
    expected, expected_back = true.pull_back(psi.double(), offset, weights.double(), sharpening)
    assert relative(force, expected) < 5e-6
    assert relative(back, expected_back) < 5e-6


def test_particles_far_from_their_lattice_are_spread_too():
    """Displacements of a box go by the list of particles that have left their pencils."""
    psi, weights = noise(3, 16, 16, 16, spread=60.0), noise(3, 16, 16, 16, seed=1)
    back = torch_numba.differentiable_gravity(BOX, 32).pull_back(psi, 0.0, weights)[1]
    true = TorchGravity(BOX, 32, "difference", 0.0, "cpu", np.float64)
    assert relative(back, true.pull_back(psi.double(), 0.0, weights.double())[1]) < 1e-5


def test_read_and_paint_of_numba_are_transposes():
    psi = noise(3, 12, 12, 12, spread=8.0).requires_grad_()
    field, weights = noise(16, 16, 16, seed=1).requires_grad_(), noise(12, 12, 12, seed=2)
    values = torch_numba.read(field, psi, BOX)
    by_field, by_psi = torch.autograd.grad((values * weights).sum(), (field, psi))
    assert torch.vdot(by_field.flatten(), field.detach().flatten()).item() == pytest.approx(
        (values * weights).sum().item(), rel=1e-4
    )
    exact = psi.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(
        (torch_kernels.read(field.detach().double(), exact, BOX) * weights).sum(), exact
    )
    assert relative(by_psi, expected) < 1e-5
    (by_paint,) = torch.autograd.grad((torch_numba.paint(psi, 16, BOX) * field.detach()).sum(), psi)
    (expected,) = torch.autograd.grad(
        (torch_kernels.paint(exact, 16, BOX) * field.detach().double()).sum(), exact
    )
    assert relative(by_paint, expected) < 1e-5


FUNCTIONS = {
    "cloud-in-cell": lambda psi: (torch_kernels.paint(psi, 6, BOX) ** 3).sum(),
    "cubic splines": lambda psi: (torch_splines.paint(psi, 6, BOX, 0.5) ** 3).sum(),
    "read": lambda psi: (torch_kernels.read(torch_kernels.paint(psi, 6, BOX) ** 2, psi, BOX) ** 2).sum(),
    "force": lambda psi: (torch_numba.differentiable_gravity(BOX, 6, dtype=psi.dtype)(psi, 0.5) ** 3).sum(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_first_and_second_derivatives_are_those_of_central_differences(name):
    function = FUNCTIONS[name]
    psi, along = (noise(3, 4, 4, 4, seed=s, spread=9.0, dtype=torch.float64) for s in (3, 4))
    step = 1e-6
    slope = (function(psi + step * along) - function(psi - step * along)) / (2 * step)
    gradient = grad(function)(psi)
    assert (gradient * along).sum().item() == pytest.approx(slope.item(), rel=1e-7)
    assert jvp(function, (psi,), (along,))[1].item() == pytest.approx(slope.item(), rel=1e-7)
    assert torch.equal(vjp(function, psi)[1](torch.ones((), dtype=torch.float64))[0], gradient)
    change = (grad(function)(psi + step * along) - grad(function)(psi - step * along)) / (2 * step)
    second = jvp(grad(function), (psi,), (along,))[1]
    assert relative(second, change) < 1e-6
    backwards = grad(lambda x: (grad(function)(x) * along).sum())(psi)
    assert relative(backwards, second) < 1e-9


@pytest.mark.parametrize("name", FUNCTIONS)
def test_hessian_and_batches_work(name):
    function, psi = FUNCTIONS[name], noise(3, 2, 2, 2, spread=9.0, dtype=torch.float64)
    matrix = hessian(lambda x: function(x.reshape(3, 2, 2, 2)))(psi.flatten())
    assert torch.allclose(matrix, matrix.T, atol=1e-10 * matrix.abs().max())
    batch = torch.stack([psi, 2 * psi])
    assert torch.allclose(vmap(grad(function))(batch)[1], grad(function)(2 * psi), rtol=1e-10)


def test_derivatives_of_numbas_force_beyond_the_first_are_those_of_torch():
    psi, along = noise(3, 4, 4, 4, spread=8.0), noise(3, 4, 4, 4, seed=5)
    fast = torch_numba.differentiable_gravity(BOX, 8)
    true = TorchGravity(BOX, 8, "difference", 0.0, "cpu", np.float64)
    second = jvp(grad(lambda x: (fast(x, 0.5) ** 2).sum()), (psi,), (along,))[1]
    expected = jvp(grad(lambda x: (true(x, 0.5) ** 2).sum()), (psi.double(),), (along.double(),))[1]
    assert relative(second, expected) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wrong_shapes_are_refused_whichever_kernels_serve(dtype):
    """Numba's kernels test no index: they would read beyond the end of such arrays."""
    psi, mesh = torch.zeros(3, 8, 8, 8, dtype=dtype), torch.zeros(8, 8, 8, dtype=dtype)
    for call, words in (
        (lambda: torch_numba.paint(psi[:, :, :, :4], 8, BOX), "psi has shape"),
        (lambda: torch_numba.paint(psi[:2], 8, BOX), "psi has shape"),
        (lambda: torch_numba.paint(psi, 8, 0.0), "box = 0.0"),
        (lambda: torch_numba.read(mesh, psi[:, :, :, :4], BOX), "psi has shape"),
        (lambda: torch_numba.read(mesh[:4], psi, BOX), "give a cube"),
    ):
        with pytest.raises(InputError, match=words):
            call()
