"""Painting by piecewise cubic splines in torch: any device, the twin of splines.

Differentiable any number of times, as torch_clouds says.
"""

from __future__ import annotations

import torch

from zeldo.errors import InputError
from zeldo.mesh.torch_clouds import CUBIC_SPLINE, scatter
from zeldo.mesh.torch_kernels import lattice_cells, split_cells


def paint(particles: torch.Tensor, m: int, box: float, offset: float = 0.0) -> torch.Tensor:
    """Density (m, m, m) in units of its mean; particles, offset and errors as in `splines.paint`."""
    if particles.ndim == 4:
        cells, f = lattice_cells(particles + offset * box / m, m, box)
    elif particles.ndim == 2 and particles.shape[1] == 3 and len(particles):
        cells, f = split_cells(particles.T * (m / box) + offset, None, m)
    else:
        raise InputError(f"particles have shape {tuple(particles.shape)}: give (3, n, n, n) or (N, 3)")
    return scatter(f, None, cells, m, CUBIC_SPLINE) * (m**3 / f.shape[1])
