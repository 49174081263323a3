"""The paper's loss: what it is at, near and far from the truth, and in crops."""

import math

import pytest
import torch

from zeldo.errors import InputError
from zeldo.mesh.torch_kernels import paint
from zeldo.networks.losses import (
    LAMBDA,
    gradient_error,
    momentum_error,
    number_error,
    paper_loss,
)

H = 1.953125  # lattice spacing, Mpc/h


@pytest.fixture
def fields():
    torch.manual_seed(3)
    target = 3 * torch.randn(2, 3, 8, 8, 8, dtype=torch.float64)
    return target + 0.3 * torch.randn_like(target), target


def test_it_is_the_logarithm_of_the_product(fields):
    psi, target = fields
    loss = paper_loss(psi, target, H)
    numbers = [paint(p, 8, 8 * H) - paint(t, 8, 8 * H) for p, t in zip(psi, target, strict=True)]
    l_delta = torch.stack(numbers).square().mean()
    l_psi = (psi - target).square().mean()
    assert loss.total.item() == pytest.approx(math.log(l_delta * l_psi**3))
    assert (loss.parts["l_delta"].item(), loss.parts["l_psi"].item()) == pytest.approx(
        (l_delta.item(), l_psi.item())
    )


@pytest.mark.parametrize("periodic", [True, False])
def test_the_gradient_vanishes_at_the_truth_and_is_finite(fields, periodic):
    psi = fields[1].clone().requires_grad_()
    paper_loss(psi, fields[1], H, periodic=periodic).total.backward()
    assert torch.count_nonzero(psi.grad) == 0


def test_it_falls_towards_the_truth(fields):
    psi, target = fields
    values = [paper_loss(target + s * (psi - target), target, H).total for s in (1.0, 0.3, 0.1, 0.01)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("periodic", [True, False])
def test_units_of_length_add_a_constant_only(fields, periodic):
    psi, target = (x.requires_grad_() for x in fields)
    c = 3.7
    one = paper_loss(psi, target, H, periodic=periodic).total
    (slope,) = torch.autograd.grad(one, psi)
    other = paper_loss(c * psi, c * target, c * H, periodic=periodic).total
    (slope_other,) = torch.autograd.grad(other, psi)
    assert other.item() - one.item() == pytest.approx(2 * LAMBDA * math.log(c))
    torch.testing.assert_close(slope_other, slope)


@pytest.mark.parametrize("periodic", [True, False])
def test_its_gradient_is_the_slope(periodic):
    torch.manual_seed(5)
    # away from cell faces, where the slope of cloud-in-cell jumps
    target = 0.5 + 0.2 * (torch.rand(1, 3, 4, 4, 4, dtype=torch.float64) - 0.5)
    psi = (target + 0.1 * torch.rand_like(target)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: paper_loss(p, target, 1.0, periodic=periodic, margin=2).total, psi, eps=1e-6
    )


def test_halo_particles_that_the_target_has_too_cancel():
    """A crop painted alone equals the crop painted in the whole box among the target's other particles."""
    torch.manual_seed(1)
    n, side, lo = 24, 8, 8
    target = 2.5 * torch.randn(3, n, n, n, dtype=torch.float64)
    inside = (slice(None), *3 * [slice(lo, lo + side)])
    mixed = target.clone()
    mixed[inside] += 0.5 * torch.randn(3, side, side, side, dtype=torch.float64)
    whole = number_error(mixed, target, 1.0)
    alone = number_error(mixed[inside], target[inside], 1.0, periodic=False, margin=8)
    torch.testing.assert_close(alone, whole)


def test_no_particle_is_lost_from_a_crop():
    psi = torch.full((3, 6, 6, 6), 4.4)
    error = number_error(psi, torch.zeros_like(psi), 1.0, periodic=False)
    assert error.sum().abs() < 1e-4
    assert error.clamp(min=0).sum() > 0.5 * 6**3


def test_shapes_that_do_not_agree_are_refused(fields):
    with pytest.raises(InputError, match="must both be"):
        paper_loss(fields[0][:1], fields[1], H)


def test_momentum_is_what_particles_carry_to_where_they_are(fields):
    """Its sum over cells is the sum of velocities, and with equal velocities it is their density."""
    psi, target = (f[0] for f in fields)
    vel, target_vel = torch.randn_like(psi), torch.randn_like(psi)
    error = momentum_error(psi, vel, target, target_vel, H)
    torch.testing.assert_close(error.sum((1, 2, 3)), (vel - target_vel).sum((1, 2, 3)))
    even = torch.full_like(psi, 2.0)
    torch.testing.assert_close(
        momentum_error(psi, even, target, even, H)[1], 2 * number_error(psi, target, H)
    )
    crop = momentum_error(psi, even, target, even, H, periodic=False)[2]
    torch.testing.assert_close(crop, 2 * number_error(psi, target, H, periodic=False))


def test_gradient_error_weighs_small_scales_more():
    n, axis = 16, 2 * math.pi * torch.arange(16.0) / 16

    def error(waves):
        psi = torch.zeros(1, 3, n, n, n)
        psi[0, 0] = torch.sin(waves * axis)[:, None, None]
        return gradient_error(psi, torch.zeros_like(psi))

    assert error(4) > 5 * error(1) > 0
    waves = torch.zeros(3, 1, 3, n, n, n)
    for direction, psi in enumerate(waves):  # along any axis it is the same wave
        psi[0, 0] = torch.sin(4 * axis).view([n if a == direction else 1 for a in range(3)])
    assert [float(gradient_error(psi, 0 * psi)) for psi in waves] == pytest.approx([float(error(4))] * 3)
    assert gradient_error(torch.ones(1, 3, n, n, n), torch.zeros(1, 3, n, n, n)) == 0
