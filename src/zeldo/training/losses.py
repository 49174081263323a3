"""The paper's loss: displacement and particle numbers, each by its logarithm.

L = ln(L_delta L_psi^lambda)   (de Oliveira et al. 2020, arXiv:2012.00240, section 2)
with L_psi the mean square error of the displacement, (Mpc/h)^2, and L_delta that of the particle number
per lattice cell n(x), painted by cloud-in-cell. The logarithm makes either scale a constant that no gradient
sees.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zeldo.errors import InputError
from zeldo.mesh.torch_kernels import paint, paint_positions

LAMBDA = 3.0
MARGIN = 12  # cells: beyond it a particle that leaves a crop is counted on the opposite side


class Loss(NamedTuple):
    """total: ln(L_delta L_psi^lambda). delta, psi: L_delta and L_psi, detached; psi in (Mpc/h)^2."""

    total: Tensor
    delta: Tensor
    psi: Tensor


def paper_loss(
    psi: Tensor,
    target: Tensor,
    spacing: float,
    *,
    weight: float = LAMBDA,
    periodic: bool = True,
    margin: int = MARGIN,
) -> Loss:
    """The loss of predicted displacements against true ones, over a batch.

    psi, target: (batch, 3, n, n, n), Mpc/h. spacing: lattice spacing, Mpc/h. weight: lambda. periodic: each
    item is a whole periodic box, else a crop (see `number_error`). At the truth itself the gradient is zero.
    """
    if psi.shape != target.shape or psi.ndim != 5 or psi.shape[1] != 3:
        raise InputError(
            f"prediction {tuple(psi.shape)} and target {tuple(target.shape)} must both be (batch, 3, n, n, n)"
        )
    l_psi = (psi - target).square().mean()
    errors = [
        number_error(p, t, spacing, periodic=periodic, margin=margin).square().sum() / p[0].numel()
        for p, t in zip(psi, target, strict=True)
    ]
    l_delta = torch.stack(errors).mean()
    tiny = torch.finfo(psi.dtype).tiny  # of no weight but at the truth itself, where it stands for ln 0
    total = torch.log(l_delta + tiny) + weight * torch.log(l_psi + tiny)
    return Loss(total, l_delta.detach(), l_psi.detach())


def number_error(
    psi: Tensor, target: Tensor, spacing: float, *, periodic: bool = True, margin: int = MARGIN
) -> Tensor:
    """n_pred(x) - n_true(x), particles per lattice cell, painted by cloud-in-cell on the lattice's own mesh.

    psi, target: (3, n, n, n), Mpc/h. A whole periodic box gives (n, n, n). A crop gives its mesh continued by
    `margin` cells per side: particles that leave the crop are painted where they arrive. The particles of the
    halo around it, which move into it and out of it, are the target's own in both fields and cancel in the
    difference: they need not be painted at all.
    """
    n = psi.shape[-1]
    if periodic:
        box = n * spacing
        with torch.no_grad():
            truth = paint(target, n, box)
        return paint(psi, n, box) - truth
    m = n + 2 * margin
    with torch.no_grad():
        truth = _paint_crop(target, spacing, m, margin)
    return _paint_crop(psi, spacing, m, margin) - truth


def _paint_crop(psi: Tensor, spacing: float, m: int, margin: int) -> Tensor:
    n = psi.shape[-1]
    axis = torch.arange(margin, margin + n, device=psi.device, dtype=psi.dtype)
    q = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    positions = (q + psi / spacing).reshape(3, -1).T
    return paint_positions(positions, m, float(m)) * (n / m) ** 3
