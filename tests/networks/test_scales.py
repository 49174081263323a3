"""Terms of losses by scale and by density: against the whole transform, and particles counted by hand."""

import math

import pytest
import torch

from zeldo.mesh.torch_kernels import paint
from zeldo.networks.scales import DENSITIES, FEW, by_density, by_scale, number_by_scale

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


def _lattice(side):
    axis = torch.arange(float(side))
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))


def test_particles_and_their_energy_are_counted_in_intervals_of_density():
    n = 16
    clumped, speed = torch.zeros(3, n, n, n), torch.ones(3, n, n, n)
    clumped[:, :6, :6, :6] = -_lattice(
        6
    )  # 216 particles on one point of the finer mesh; alone, one is 8 times the mean
    speed[:, :6, :6, :6] = 2.0
    spread, slow = torch.zeros_like(clumped), torch.ones_like(speed)
    assert by_density(clumped, speed, clumped, speed) == (0, 0)

    def shares(density):
        beyond = [1 / (1 + (edge / density) ** 4) for edge in DENSITIES]
        return [a - b for a, b in zip(beyond, [*beyond[1:], 0.0], strict=True)]

    typical = FEW * 3.0 * ((n**3 - 216) + 4 * 216) / n**3
    numbers, energies = [], []
    for alone, clump in zip(shares(8.0), shares(8.0 * 216), strict=True):
        made, true = n**3 * alone, (n**3 - 216) * alone + 216 * clump
        number = (made + FEW) / (true + FEW)
        energy = (3 * made + typical) / (3 * (n**3 - 216) * alone + 12 * 216 * clump + typical) / number
        numbers.append(math.log(number) ** 2)
        energies.append(math.log(energy) ** 2)
    measured = by_density(spread, slow, clumped, speed)
    assert float(measured.particles) == pytest.approx(sum(numbers) / len(numbers), rel=1e-3)
    assert float(measured.energy) == pytest.approx(sum(energies) / len(energies), rel=1e-3)


def test_halos_that_are_too_dense_and_too_cold_are_pulled_apart_and_heated():
    generator = torch.Generator().manual_seed(3)
    loose = 0.6 * torch.randn(3, 16, 16, 16, generator=generator)
    warm = torch.randn(3, 16, 16, 16, generator=generator)
    loose[:, 4:12, 4:12, 4:12] -= 0.8 * _lattice(8)
    tight, cold = loose.clone(), warm.clone()
    tight[:, 4:12, 4:12, 4:12] -= 0.1 * _lattice(8)
    cold[:, 4:12, 4:12, 4:12] *= 0.7
    psi, vel = tight.clone().requires_grad_(), cold.clone().requires_grad_()
    before = by_density(psi, vel, loose, warm)
    sum(before).backward()
    step, heat = (0.05 * field.grad / field.grad.norm() for field in (psi, vel))
    assert by_density(tight - step, cold, loose, warm).particles < before.particles
    assert by_density(tight, cold - heat, loose, warm).energy < before.energy


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


def test_the_gradient_vanishes_at_the_truth_whatever_its_power():
    generator = torch.Generator().manual_seed(4)
    for amplitude in (1.0, 1e-2, 1e-4):
        truth = amplitude * torch.randn(3, 8, 8, 8, generator=generator)
        for terms in (by_scale, number_by_scale):
            field = truth.clone().requires_grad_()
            sum(terms(field, truth)).backward()
            assert field.grad.abs().max() == 0


@pytest.mark.parametrize("share", [0.0, 1e-6, 1e-4, 1e-3])
def test_predictions_with_next_to_no_power_have_a_loss_and_a_gradient(share):
    torch.manual_seed(3)
    target = 0.3 * torch.randn(3, 16, 16, 16)
    psi = (share * target).requires_grad_()
    terms = [*by_scale(psi, target), *number_by_scale(psi, target), *by_density(psi, psi, target, target)]
    for term in [*terms, *by_density(psi, psi, psi.detach(), 0 * target), *by_scale(psi, 0 * target)]:
        psi.grad = None
        term.backward(retain_graph=True)
        assert term.isfinite() and psi.grad.isfinite().all()
    if share == 1e-3:
        assert terms[1].item() == pytest.approx((2 * math.log(share)) ** 2, rel=1e-4)
