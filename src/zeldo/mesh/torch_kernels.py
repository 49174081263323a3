"""Cloud-in-cell painting and reading in torch: any device, differentiable, twins of the Numba kernels.

Mesh point (i, j, k) lies at (i, j, k) box / m. Where m is a multiple of n, a lattice of n particles per side coincides
with mesh points. Everything is periodic. Sources: Hockney & Eastwood 1988, chapter 5.

Gradients come from the autograd functions of torch_clouds, which keep cells and fractions only. Autograd by itself would
keep eight copies of weights and indices.
On CUDA the order of scattered adds, and with it the last bit of a painted mesh, may change from run to run.
"""

from __future__ import annotations

import torch

from zeldo.errors import InputError
from zeldo.mesh.checks import check_box, check_mesh
from zeldo.mesh.torch_clouds import gather, scatter


def paint(psi: torch.Tensor, m: int, box: float) -> torch.Tensor:
    """Cloud-in-cell density of n^3 particles displaced from their lattice.

    psi: (3, n, n, n) float, Mpc/h. m: mesh points per side. box: Mpc/h. Returns (m, m, m) of psi's type, mean
    1, so that the density contrast is the result minus 1. Differentiable in psi. Raises `InputError` for a
    wrong shape or m.
    """
    cells, fractions = lattice_cells(psi, m, box)
    return scatter(fractions, None, cells, m) * (m**3 / fractions.shape[1])


def paint_positions(
    positions: torch.Tensor, m: int, box: float, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Cloud-in-cell mesh of particles anywhere, with optional weights.

    positions: (N, 3) float, Mpc/h, wrapped into the box here. weights: (N,). Returns (m, m, m) whose mean is
    the mean weight (1 without weights). Differentiable in positions and weights.
    """
    if positions.ndim != 2 or positions.shape[1] != 3 or not len(positions):
        raise InputError(f"positions have shape {tuple(positions.shape)}: give (N, 3) with N at least 1")
    if weights is not None and weights.shape != positions.shape[:1]:
        raise InputError(
            f"weights have shape {tuple(weights.shape)}: give one for each of {len(positions)} positions"
        )
    _check_mesh(m, box)
    cells, fractions = split_cells(positions.T * (m / box), None, m)
    each = None if weights is None else weights[None]
    return scatter(fractions, each, cells, m) * (m**3 / len(positions))


def read(field: torch.Tensor, psi: torch.Tensor, box: float) -> torch.Tensor:
    """A mesh field interpolated to the particles with the weights of `paint`: its adjoint.

    field: (m, m, m). psi: (3, n, n, n), Mpc/h, of the same float type and device. Returns (n, n, n), in
    field's units. Differentiable in both.
    """
    m = check_field(field, box)
    cells, fractions = lattice_cells(psi, m, box)
    return gather(field, fractions, cells).reshape(psi.shape[1:])


def read_gradient(phi: torch.Tensor, psi: torch.Tensor, box: float) -> torch.Tensor:
    """Minus the gradient of a potential at the particles: centred differences of fourth order, then `read`.

    phi: (m, m, m). psi: (3, n, n, n), Mpc/h. Returns (3, n, n, n), in phi's units per Mpc/h. Differentiable
    in both.
    """
    m = check_field(phi, box)
    cells, fractions = lattice_cells(psi, m, box)
    components = []
    for axis in range(3):  # one axis after the other: one mesh of differences at a time
        difference = torch.roll(phi, 1, axis).sub_(torch.roll(phi, -1, axis)).mul_(8.0)
        difference.sub_(torch.roll(phi, 2, axis).sub_(torch.roll(phi, -2, axis)))
        components.append(gather(difference.mul_(m / (12.0 * box)), fractions, cells))
    return torch.cat(components).reshape(psi.shape)


def _check_mesh(m: int, box: float) -> None:
    check_mesh(m, least=2, even=False)
    check_box(box)


def check_lattice(psi: torch.Tensor) -> None:
    """`InputError` unless psi is the displacement of a lattice."""
    if psi.ndim != 4 or psi.shape != (3, *3 * [psi.shape[1]]):
        raise InputError(f"psi has shape {tuple(psi.shape)}: give (3, n, n, n)")


def check_field(field: torch.Tensor, box: float) -> int:
    """The mesh points per side of a field; `InputError` unless it is a mesh."""
    m = field.shape[0] if field.ndim else 0
    if field.shape != (m, m, m):
        raise InputError(f"the mesh has shape {tuple(field.shape)}: give a cube (m, m, m)")
    _check_mesh(m, box)
    return m


def lattice_cells(psi: torch.Tensor, m: int, box: float) -> tuple[torch.Tensor, torch.Tensor]:
    """`split_cells` of particles displaced from their lattice by psi (3, n, n, n), Mpc/h."""
    check_lattice(psi)
    _check_mesh(m, box)
    n = psi.shape[1]
    # whole cells of lattice points and what is left of them are kept apart from psi: a sum of both in float32
    # would lose the digits that psi has
    along = torch.arange(n, device=psi.device) * m
    grid = torch.stack(torch.meshgrid(along, along, along, indexing="ij"))
    whole = torch.div(grid, n, rounding_mode="floor").reshape(3, -1)
    moved = psi * (m / box)
    if m % n:
        moved = moved + (grid % n).to(psi.dtype) / n
    return split_cells(moved.reshape(3, -1), whole, m)


def split_cells(u: torch.Tensor, whole: torch.Tensor | None, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower cell (3, N) in [0, m) and fraction in [0, 1] of positions u (+ whole) in cells."""
    floor = u.detach().floor()
    cells = floor.long()
    if whole is not None:
        cells += whole
    cells = torch.remainder(cells, m)
    return cells.int() if m**3 < 2**31 else cells, u - floor
