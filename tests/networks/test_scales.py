"""Terms of losses by scale: against the whole transform, blind to amplitude and place, and cells counted by hand."""

import math

import pytest
import torch

from zeldo.mesh.torch_kernels import paint
from zeldo.networks.scales import DENSE, FEW, by_scale, dense_cells, number_by_scale

H = 1.953125  # lattice spacing, Mpc/h


@pytest.fixture
def fields():
    torch.manual_seed(3)
    target = 3 * torch.randn(2, 3, 8, 8, 8, dtype=torch.float64)
    return target + 0.3 * torch.randn_like(target), target


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
