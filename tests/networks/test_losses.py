"""The paper's loss: what it is at, near and far from the truth, and in crops."""

import math

import pytest
import torch

from zeldo.errors import InputError
from zeldo.mesh.torch_kernels import paint
from zeldo.networks.losses import (
    DENSE,
    FEW,
    LAMBDA,
    by_scale,
    dense_cells,
    gradient_error,
    momentum_error,
    number_by_scale,
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


def _by_whole_transform(field, truth, last, wedges=1):
    """The two figures from the whole transform of fields on m^3 points, in shells one mode wide up to `last`."""
    m = field.shape[-1]
    numbers = torch.fft.fftfreq(m, 1 / m, dtype=torch.float64)
    x, y, z = torch.meshgrid(numbers, numbers, numbers, indexing="ij")
    k = (x**2 + y**2 + z**2).sqrt()
    wedge = (wedges * z.abs() / k.clamp(min=0.5)).long().clamp(max=wedges - 1)
    a, b = (torch.fft.fftn(values, dim=(-3, -2, -1)) for values in (field, truth))

    def power(u, v):
        product = (u * v.conj()).real.sum(0)
        return torch.stack(
            [
                torch.stack([product[(k.round() == i) & (wedge == w)].sum() for i in range(1, last + 1)])
                for w in range(wedges)
            ]
        )

    aa, bb, ab = power(a, a), power(b, b), power(a, b)
    weights = (bb > 0) / torch.arange(1, last + 1, dtype=torch.float64)  # some wedges of a shell have no mode
    lost = 1 - ab**2 / (aa * bb)
    ratio = (aa / bb).log().square().nan_to_num()
    return lost[~lost.isnan()].log().mean(), (ratio * weights).sum() / weights.sum()


def test_scales_count_every_mode_once(fields):
    field, truth = (f[0].double() for f in fields)
    made = by_scale(field, truth)
    torch.testing.assert_close(tuple(made), _by_whole_transform(field, truth, 4), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("wedges", [1, 2, 3])
def test_scales_of_the_density_end_at_the_nyquist_wavenumber_of_the_lattice(fields, wedges):
    psi, target = (f[0].double() / H for f in fields)
    fine = [paint(x, 16, 8.0)[None] for x in (psi, target)]
    made = number_by_scale(psi, target, wedges=wedges)
    expected = _by_whole_transform(*fine, 4, wedges)
    torch.testing.assert_close(tuple(made), expected, rtol=1e-4, atol=1e-9)


def test_amplitudes_do_not_change_the_decorrelation(fields):
    """A term that rewards too little power where phases are unknown would bias every spectrum."""
    field, truth = (f[0].double() for f in fields)
    weak, strong = by_scale(0.7 * field, truth), by_scale(1.4 * field, truth)
    assert float(weak.decorrelation) == pytest.approx(float(strong.decorrelation), rel=1e-4)
    assert float(by_scale(1.1 * truth, truth).spectrum) == pytest.approx(math.log(1.21) ** 2, rel=1e-6)


def test_small_errors_are_known_in_single_precision(fields):
    """1 - r^2 of 1e-8 is below the rounding of r^2 itself."""
    truth = fields[1][0]
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    near = (truth + 1e-4 * truth.std() * noise).float()
    single = by_scale(near, truth.float()).decorrelation
    double = by_scale(near.double(), truth.float().double()).decorrelation
    assert float(double) < math.log(1e-6) and float(single) == pytest.approx(float(double), abs=0.02)


def test_dense_cells_are_counted_beyond_each_threshold():
    n = 16
    target = torch.zeros(3, n, n, n)
    axis = torch.arange(6.0)
    # 6^3 particles on one point of either mesh: 216 times the mean of the lattice's own, 1728 times that of the finer
    target[:, :6, :6, :6] = -torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    assert dense_cells(target, target) == 0
    expected = []
    for threshold in DENSE:
        clump, fine_clump, alone = (1 / (1 + (threshold / density) ** 4) for density in (216.0, 1728.0, 8.0))
        few, many = (
            (4096 - 216) * alone + fine_clump,
            4096 * alone,
        )  # on the finer mesh one particle is 8 times the mean
        expected += [math.log(FEW / (FEW + clump)) ** 2, math.log((FEW + many) / (FEW + few)) ** 2]
    made = float(dense_cells(torch.zeros_like(target), target))
    assert made == pytest.approx(sum(expected) / len(expected), rel=1e-4)


def test_dense_cells_pull_apart_what_is_too_dense():
    generator = torch.Generator().manual_seed(3)
    loose = 0.6 * torch.randn(3, 16, 16, 16, generator=generator)
    loose[:, 4:12, 4:12, 4:12] -= 0.8 * torch.stack(torch.meshgrid(*[torch.arange(8.0)] * 3, indexing="ij"))
    tight = loose.clone()
    tight[:, 4:12, 4:12, 4:12] -= 0.1 * torch.stack(torch.meshgrid(*[torch.arange(8.0)] * 3, indexing="ij"))
    psi = tight.clone().requires_grad_()
    before = dense_cells(psi, loose)
    before.backward()
    step = 0.05 * psi.grad / psi.grad.norm()
    assert dense_cells(tight - step, loose) < before


def test_densities_by_scale_are_blind_to_place_and_know_power(fields):
    target = fields[1][0].float() / H
    moved = target.roll(3, dims=2)  # the same universe elsewhere
    assert number_by_scale(moved, target).spectrum < 1e-8
    quiet = 0.1 * torch.randn(3, 16, 16, 16)  # linear: twice the displacement is four times the power
    scales = number_by_scale(2 * quiet, quiet)
    assert scales.spectrum == pytest.approx(math.log(4) ** 2, rel=0.3)
    assert scales.decorrelation < -2  # the same phases
    near = (target + 0.1 * torch.randn_like(target)).requires_grad_()
    sum(number_by_scale(near, target)).backward()
    assert torch.isfinite(near.grad).all() and near.grad.abs().max() > 0
