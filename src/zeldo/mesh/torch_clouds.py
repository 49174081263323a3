"""Gathering from a mesh and scattering to it with the weights of a cloud, or with derivatives of these weights.

Cloud-in-cell has order 2, piecewise cubic splines order 4. A derivative is named by how often the weight is
differentiated along each axis, so that (0, 0, 0) is the weight itself. Gathering and scattering with any list of
derivatives have derivatives of the same kind. So both can be differentiated any number of times, forwards and backwards,
and keep nothing but cells and fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

CLOUD_IN_CELL, CUBIC_SPLINE = 2, 4

Derivative = tuple[int, int, int]
Weight = Tensor | float
WEIGHT: Derivative = (0, 0, 0)


def gather(
    mesh: Tensor,
    fractions: Tensor,
    cells: Tensor,
    order: int = CLOUD_IN_CELL,
    derivatives: Sequence[Derivative] = (WEIGHT,),
) -> Tensor:
    """Sums of mesh points with the weights of each particle, (derivatives, N).

    Parameters
    ----------
    mesh : Tensor, (m, m, m)
    fractions : Tensor, (3, N)
        Positions inside the cells, from 0 to 1.
    cells : Tensor, (3, N)
        Whole numbers from 0 to m - 1.
    order : int
        Mesh points along each axis that a particle touches.
    derivatives : sequence of Derivative
        Which derivatives of the weight to take.
    """
    return _Gather.apply(mesh, fractions, cells, order, tuple(derivatives))


def scatter(
    fractions: Tensor,
    weights: Tensor | None,
    cells: Tensor,
    m: int,
    order: int = CLOUD_IN_CELL,
    derivatives: Sequence[Derivative] = (WEIGHT,),
) -> Tensor:
    """The transpose of `gather`: a mesh (m, m, m) from `weights` (derivatives, N), which are 1 where None."""
    return _Scatter.apply(fractions, weights, cells, m, order, tuple(derivatives))


def looped(function: Callable[..., Any], info: Any, dims: Sequence[int | None], *inputs: Any) -> Any:
    """The rule of `torch.vmap` for an autograd function that takes one item of a batch after the other."""
    outputs = [
        function(*(x.select(d, i) if isinstance(d, int) else x for x, d in zip(inputs, dims, strict=True)))
        for i in range(info.batch_size)
    ]
    if isinstance(outputs[0], tuple):
        stacked = tuple(torch.stack(column) for column in zip(*outputs, strict=True))
        return stacked, len(stacked) * (0,)
    return torch.stack(outputs), 0


def axis_weights(f: Tensor, order: int, derivative: int) -> Sequence[Weight] | None:
    """The weights of the mesh points along an axis, at fraction f of a cell; None where all of them are zero."""
    g = 1.0 - f
    if order == CLOUD_IN_CELL:
        return ([g, f], [-1.0, 1.0])[derivative] if derivative < 2 else None
    if derivative == 0:
        return [g**3 / 6, (4 - 3 * f**2 * (g + 1)) / 6, (4 - 3 * g**2 * (f + 1)) / 6, f**3 / 6]
    if derivative == 1:
        return [-(g**2) / 2, f * (1.5 * f - 2), g * (2 - 1.5 * g), f**2 / 2]
    if derivative == 2:
        return [g, 3 * f - 2, 3 * g - 2, f]
    return [-1.0, 3.0, -3.0, 1.0] if derivative == 3 else None


def _raised(derivatives: Sequence[Derivative]) -> tuple[Derivative, ...]:
    """Each derivative differentiated once more, along the first axis, then along the others."""
    return tuple((d[0] + (a == 0), d[1] + (a == 1), d[2] + (a == 2)) for a in range(3) for d in derivatives)


def _points(
    cells: Tensor, fractions: Tensor, m: int, order: int, derivatives: Sequence[Derivative]
) -> Iterator[tuple[Tensor, list[Weight | None]]]:
    """For each mesh point around a particle: its flat index (N,), and its weight for each derivative."""
    first = 0 if order == CLOUD_IN_CELL else -1
    along = [[torch.remainder(axis + first + step, m) for step in range(order)] for axis in cells]
    needed = {(a, d[a]) for d in derivatives for a in range(3)}
    weights = {(a, s): axis_weights(fractions[a], order, s) for a, s in needed}
    for corner in product(range(order), repeat=3):
        i, j, k = (along[axis][c] for axis, c in enumerate(corner))
        shares: list[Weight | None] = []
        for derivative in derivatives:
            factors = [weights[axis, derivative[axis]] for axis in range(3)]
            x, y, z = (None if w is None else w[c] for w, c in zip(factors, corner, strict=True))
            shares.append(None if x is None or y is None or z is None else x * y * z)
        yield (i * m + j) * m + k, shares


def _gather(
    mesh: Tensor, fractions: Tensor, cells: Tensor, order: int, derivatives: tuple[Derivative, ...]
) -> Tensor:
    flat = mesh.reshape(-1)
    totals: list[Tensor | None] = [None] * len(derivatives)
    for index, shares in _points(cells, fractions, mesh.shape[0], order, derivatives):
        values = flat[index]
        for number, share in enumerate(shares):
            if share is not None:
                before = totals[number]
                totals[number] = values * share if before is None else before + values * share
    nothing = fractions.new_zeros(fractions.shape[1])
    return torch.stack([nothing if total is None else total for total in totals])


def _scatter(
    fractions: Tensor,
    weights: Tensor | None,
    cells: Tensor,
    m: int,
    order: int,
    derivatives: tuple[Derivative, ...],
) -> Tensor:
    mesh = fractions.new_zeros(m**3)
    for index, shares in _points(cells, fractions, m, order, derivatives):
        total: Any = None
        for number, share in enumerate(shares):
            if share is not None:
                value = share if weights is None else share * weights[number]
                total = value if total is None else total + value
        if total is not None:
            mesh.index_add_(0, index, total)
    return mesh.reshape(m, m, m)


def _slopes(mesh: Tensor, f: Tensor, cells: Tensor, order: int, derivatives: Sequence[Derivative]) -> Tensor:
    """(3, derivatives, N): what `gather` changes by with each fraction."""
    return gather(mesh, f, cells, order, _raised(derivatives)).reshape(3, len(derivatives), -1)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(mesh, fractions, cells, order, derivatives):  # type: ignore[no-untyped-def, override]
        return _gather(mesh, fractions, cells, order, derivatives)

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        mesh, fractions, cells, *ctx.options = inputs
        ctx.save_for_backward(mesh, fractions, cells)
        ctx.save_for_forward(mesh, fractions, cells)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def, override]
        mesh, fractions, cells = ctx.saved_tensors
        by_mesh = by_fraction = None
        if ctx.needs_input_grad[0]:
            by_mesh = scatter(fractions, grad, cells, mesh.shape[0], *ctx.options)
        if ctx.needs_input_grad[1]:
            by_fraction = (_slopes(mesh, fractions, cells, *ctx.options) * grad).sum(1)
        return by_mesh, by_fraction, None, None, None

    @staticmethod
    def jvp(ctx, mesh_rate, fraction_rate, *_):  # type: ignore[no-untyped-def, override]
        mesh, fractions, cells = ctx.saved_tensors
        rate: Any = 0
        if mesh_rate is not None:
            rate = rate + gather(mesh_rate, fractions, cells, *ctx.options)
        if fraction_rate is not None:
            slopes = _slopes(mesh, fractions, cells, *ctx.options)
            rate = rate + (slopes * fraction_rate[:, None]).sum(0)
        return rate

    @staticmethod
    def vmap(info, dims, *inputs):  # type: ignore[no-untyped-def, override]
        return looped(_Gather.apply, info, dims, *inputs)


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(fractions, weights, cells, m, order, derivatives):  # type: ignore[no-untyped-def, override]
        return _scatter(fractions, weights, cells, m, order, derivatives)

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        fractions, weights, cells, *ctx.options = inputs
        ctx.save_for_backward(fractions, weights, cells)
        ctx.save_for_forward(fractions, weights, cells)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def, override]
        fractions, weights, cells = ctx.saved_tensors
        _, order, derivatives = ctx.options
        by_fraction = by_weight = None
        if ctx.needs_input_grad[0]:
            slopes = _slopes(grad, fractions, cells, order, derivatives)
            by_fraction = (slopes if weights is None else slopes * weights).sum(1)
        if ctx.needs_input_grad[1]:
            by_weight = gather(grad, fractions, cells, order, derivatives)
        return by_fraction, by_weight, None, None, None, None

    @staticmethod
    def jvp(ctx, fraction_rate, weight_rate, *_):  # type: ignore[no-untyped-def, override]
        fractions, weights, cells = ctx.saved_tensors
        m, order, derivatives = ctx.options
        rate: Any = 0
        if weight_rate is not None:
            rate = rate + scatter(fractions, weight_rate, cells, m, order, derivatives)
        if fraction_rate is not None:
            moved = fraction_rate[:, None] * (torch.ones_like(fractions[:1]) if weights is None else weights)
            flat = moved.reshape(-1, moved.shape[-1])
            rate = rate + scatter(fractions, flat, cells, m, order, _raised(derivatives))
        return rate

    @staticmethod
    def vmap(info, dims, *inputs):  # type: ignore[no-untyped-def, override]
        return looped(_Scatter.apply, info, dims, *inputs)
