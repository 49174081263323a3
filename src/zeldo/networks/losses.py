"""Losses: errors of displacement, density, velocity and momentum, each as its logarithm.

The paper's loss is L = ln(L_delta L_psi^lambda) (de Oliveira et al. 2020, arXiv:2012.00240, section 2). L_psi is the mean
square error of the displacement, in (Mpc/h)^2. L_delta is that of n(x), the number of particles in each lattice cell,
painted by cloud-in-cell. Because of the logarithm, the unit of either error adds a constant to the loss and leaves
gradients as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zeldo.errors import InputError
from zeldo.mesh.torch_kernels import paint_positions
from zeldo.mesh.torch_numba import paint

LAMBDA = 3.0
MARGIN = 12  # cells: beyond it a particle that leaves a crop is counted on the opposite side


class Loss(NamedTuple):
    """A loss and its parts.

    Parameters
    ----------
    total : Tensor
        What is minimised.
    parts : mapping of str to Tensor
        The errors that it consists of, detached, for monitoring.
    """

    total: Tensor
    parts: Mapping[str, Tensor]


def paper_loss(
    psi: Tensor,
    target: Tensor,
    spacing: float | Sequence[float],
    *,
    weight: float = LAMBDA,
    periodic: bool = True,
    margin: int = MARGIN,
) -> Loss:
    """The paper's loss of predicted displacements, over a batch.

    Parameters
    ----------
    psi, target : Tensor, (batch, 3, n, n, n)
        Predicted and true displacement, Mpc/h. At the truth itself the gradient is zero.
    spacing : float or sequence of float
        Lattice spacing, Mpc/h; one for all items, or one for each.
    weight : float
        lambda.
    periodic : bool
        Whether each item is a whole periodic box, or else a crop (see `number_error`).
    margin : int
        Cells added to the mesh on each side of a crop.

    Returns
    -------
    Loss
        With the parts "l_delta" and "l_psi", the latter in (Mpc/h)^2.
    """
    _check_shapes(psi, target)
    spacings = [spacing] * len(psi) if isinstance(spacing, int | float) else spacing
    l_psi = (psi - target).square().mean()
    errors = [
        number_error(p, t, h, periodic=periodic, margin=margin).square().sum() / p[0].numel()
        for p, t, h in zip(psi, target, spacings, strict=True)
    ]
    l_delta = torch.stack(errors).mean()
    total = logarithm(l_delta) + weight * logarithm(l_psi)
    return Loss(total, {"l_delta": l_delta.detach(), "l_psi": l_psi.detach()})


def log_square_error(field: Tensor, target: Tensor, name: str) -> Loss:
    """The logarithm of a field's mean square error. The error itself is the part `name` of the loss."""
    _check_shapes(field, target)
    error = (field - target).square().mean()
    return Loss(logarithm(error), {name: error.detach()})


def logarithm(error: Tensor) -> Tensor:
    """ln of an error that may be zero."""
    return torch.log(error + torch.finfo(error.dtype).tiny)  # negligible except at the truth itself


def number_error(
    psi: Tensor, target: Tensor, spacing: float, *, periodic: bool = True, margin: int = MARGIN
) -> Tensor:
    """The error of the number of particles per lattice cell, painted by cloud-in-cell on the lattice's own mesh.

    The mesh of a crop extends by `margin` cells on each side, and particles that leave the crop are painted where they
    arrive. Particles of the halo around the crop would be those of the target in both fields. They cancel in the
    difference, so they are not painted.

    Parameters
    ----------
    psi, target : Tensor, (3, n, n, n)
        Predicted and true displacement, Mpc/h.
    spacing : float
        Lattice spacing, Mpc/h.
    periodic : bool
        Whether the fields are a whole periodic box, or else a crop.
    margin : int
        Cells added to the mesh on each side of a crop.

    Returns
    -------
    Tensor, (n, n, n), or (n + 2 margin, ...) for a crop
        n_pred(x) - n_true(x).
    """
    n = psi.shape[-1]
    if periodic:
        box = n * spacing
        with torch.no_grad():
            truth = paint(target, n, box)
        return paint(psi, n, box) - truth
    with torch.no_grad():
        truth = _paint_weights(target, None, spacing, margin)
    return _paint_weights(psi, None, spacing, margin) - truth


def momentum_error(
    psi: Tensor,
    vel: Tensor,
    target_psi: Tensor,
    target_vel: Tensor,
    spacing: float,
    *,
    periodic: bool = True,
) -> Tensor:
    """The error of the momentum per lattice cell: each particle is painted with its velocity.

    Parameters
    ----------
    psi, vel, target_psi, target_vel : Tensor, (3, n, n, n)
        Predicted and true displacement, Mpc/h, and velocity, in any unit.
    spacing : float
        Lattice spacing, Mpc/h.
    periodic : bool
        Whether the fields are a whole periodic box, or else a crop.

    Returns
    -------
    Tensor, (3, m, m, m)
        Predicted minus true, in the unit of the velocity, on the mesh of `number_error`.
    """
    margin = 0 if periodic else MARGIN
    components = []
    for v, w in zip(vel, target_vel, strict=True):
        with torch.no_grad():
            truth = _paint_weights(target_psi, w, spacing, margin)
        components.append(_paint_weights(psi, v, spacing, margin) - truth)
    return torch.stack(components)


def gradient_error(psi: Tensor, target: Tensor) -> Tensor:
    """The mean square of the error's differences between lattice neighbours, summed over the three directions.

    It gives small scales more weight than the error of the field itself does.

    Parameters
    ----------
    psi, target : Tensor, (batch, 3, n, n, n)

    Returns
    -------
    Tensor
        A scalar, in the square of the field's unit.
    """
    error = psi - target
    return sum((error.diff(dim=axis).square().mean() for axis in (2, 3, 4)), start=error.new_zeros(()))


def _paint_weights(psi: Tensor, weights: Tensor | None, spacing: float, margin: int) -> Tensor:
    """Particles, or weights, per lattice cell on the lattice's mesh continued by `margin` cells per side."""
    n = psi.shape[-1]
    m = n + 2 * margin
    axis = torch.arange(margin, margin + n, device=psi.device, dtype=psi.dtype)
    q = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    positions = (q + psi / spacing).reshape(3, -1).T
    flat = None if weights is None else weights.reshape(-1)
    return paint_positions(positions, m, float(m), flat) * (n / m) ** 3


def _check_shapes(field: Tensor, target: Tensor) -> None:
    if field.shape != target.shape or field.ndim != 5 or field.shape[1] != 3:
        raise InputError(
            f"prediction {tuple(field.shape)} and target {tuple(target.shape)} must both be (batch, 3, n, n, n)"
        )
