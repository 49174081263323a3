"""The paper's loss: what it is at, near and far from the truth, and in crops."""

import math

import pytest
import torch

from zeldo.errors import InputError
from zeldo.mesh.torch_kernels import paint
from zeldo.training.losses import LAMBDA, number_error, paper_loss

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
    assert (loss.delta.item(), loss.psi.item()) == pytest.approx((l_delta.item(), l_psi.item()))


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
