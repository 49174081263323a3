"""Painting by piecewise cubic splines in torch: any device, the twin of splines.

Differentiable by autograd, which keeps some hundred numbers a particle: for gradients through large fields take the
cloud-in-cell of torch_kernels.
"""

from __future__ import annotations

from itertools import product

import torch

from zeldo.errors import InputError
from zeldo.mesh.torch_kernels import lattice_cells, split_cells


def paint(particles: torch.Tensor, m: int, box: float, offset: float = 0.0) -> torch.Tensor:
    """Density (m, m, m) in units of its mean; particles, offset and errors as in `splines.paint`."""
    if particles.ndim == 4:
        cells, f = lattice_cells(particles + offset * box / m, m, box)
    elif particles.ndim == 2 and particles.shape[1] == 3 and len(particles):
        cells, f = split_cells(particles.T * (m / box) + offset, None, m)
    else:
        raise InputError(f"particles have shape {tuple(particles.shape)}: give (3, n, n, n) or (N, 3)")
    g = 1 - f
    weights = [g**3 / 6, (4 - 3 * f**2 * (g + 1)) / 6, (4 - 3 * g**2 * (f + 1)) / 6, f**3 / 6]
    points = [torch.remainder(cells.long() + step, m) for step in range(-1, 3)]
    mesh = f.new_zeros(m**3)
    for i, j, k in product(range(4), repeat=3):
        index = (points[i][0] * m + points[j][1]) * m + points[k][2]
        mesh.index_add_(0, index, weights[i][0] * weights[j][1] * weights[k][2])
    return mesh.reshape(m, m, m) * (m**3 / f.shape[1])
