"""Claims about the modes of densities."""

import numpy as np
import torch

from zeldo.cosmology.parameters import Cosmology
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.modes import density_modes

BOX = 100.0


def test_positions_and_displacements_have_the_same_modes():
    psi = 3 * np.random.default_rng(4).standard_normal((3, 8, 8, 8))
    snap = Snapshot(psi, None, BOX, Cosmology.preset("quijote"), 0.0, "test")
    a = density_modes(snap, 12)
    b = density_modes(torch.from_numpy(snap.positions()), 12, BOX)
    assert torch.allclose(a, b.to(a.dtype), atol=1e-5)


def test_gradients_of_modes_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(5)
    psi = BOX * torch.rand(3, 4, 4, 4, dtype=torch.float64, generator=generator)
    psi.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: density_modes(x, 4, BOX).abs().square()[1, :, 1], psi)


def test_the_mean_is_no_part_of_the_density_contrast():
    modes = density_modes(BOX * torch.rand(100, 3, generator=torch.Generator().manual_seed(1)), 8, BOX)
    assert modes[0, 0, 0] == 0 and modes.abs().max() > 0.01
