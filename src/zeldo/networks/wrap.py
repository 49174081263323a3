"""Joins fields along channels and continues them periodically, in a single copy."""

from __future__ import annotations

import torch
from torch import Tensor


def channels_last(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A copy with channels last in memory. `torch.func.vmap` refuses to make one by `memory_format`."""
    # first the type: numbers of half the size are put in another order in less than half the time
    last = (x if dtype is None else x.to(dtype)).permute(0, 2, 3, 4, 1)
    copy = last.to(last.dtype, copy=True, memory_format=torch.contiguous_format)
    return copy.permute(0, 4, 1, 2, 3)


def _format(x: Tensor) -> torch.memory_format:
    """The memory format of x or of the field that x is a view of."""
    last = x.stride(1) == 1 and x.stride(4) == x.shape[1] > 1
    return torch.channels_last_3d if last else torch.contiguous_format


def _forward(parts: tuple[Tensor, ...], before: int, after: int, last: bool) -> Tensor:
    batch, sides = parts[0].shape[0], parts[0].shape[2:]
    shape = (batch, sum(part.shape[1] for part in parts), *(side + before + after for side in sides))
    first = parts[0]
    memory_format = torch.channels_last_3d if last else _format(first)
    out = torch.empty(shape, dtype=first.dtype, device=first.device, memory_format=memory_format)
    inner = out[:, :, before : before + sides[0], before : before + sides[1], before : before + sides[2]]
    channel = 0
    for part in parts:
        inner[:, channel : channel + part.shape[1]] = part
        channel += part.shape[1]
    continue_periodically(out, before, after)
    return out


def continue_periodically(out: Tensor, before: int, after: int) -> None:
    """Fill the first and last cells of each of the last three axes from those between, which are a whole box."""
    for axis in (2, 3, 4):
        side = out.shape[axis] - before - after
        if side >= max(before, after):
            out.narrow(axis, 0, before).copy_(out.narrow(axis, side, before))
            out.narrow(axis, before + side, after).copy_(out.narrow(axis, before, after))
            continue
        # plane by plane, so that a box narrower than the margin is continued more than once
        for plane in range(before - 1, -1, -1):
            out.select(axis, plane).copy_(out.select(axis, plane + side))
        for plane in range(before + side, before + side + after):
            out.select(axis, plane).copy_(out.select(axis, plane - side))


class _Wrap(torch.autograd.Function):
    """The linear map of `wrap` with its adjoint and its forward derivative (itself)."""

    @staticmethod
    def forward(before, after, last, *parts):  # type: ignore[override]
        return _forward(parts, before, after, last)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.before, ctx.after, ctx.last, *parts = inputs
        ctx.channels = [part.shape[1] for part in parts]
        ctx.sides = parts[0].shape[2:]

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        before, after, sides = ctx.before, ctx.after, ctx.sides
        last = _format(grad) is torch.channels_last_3d
        grad = channels_last(grad) if last else grad.clone(memory_format=torch.contiguous_format)
        for axis, side in zip((4, 3, 2), reversed(sides), strict=True):
            for plane in range(before + side + after - 1, before + side - 1, -1):
                grad.select(axis, plane - side).add_(grad.select(axis, plane))
            for plane in range(before):
                grad.select(axis, plane + side).add_(grad.select(axis, plane))
        inner = grad[:, :, before : before + sides[0], before : before + sides[1], before : before + sides[2]]
        return None, None, None, *inner.split(ctx.channels, dim=1)

    @staticmethod
    def jvp(ctx, *tangents):  # type: ignore[override]
        # by the function itself, so that the derivative has one too
        return _Wrap.apply(ctx.before, ctx.after, ctx.last, *tangents[3:])

    @staticmethod
    def vmap(info, dims, before, after, last, *parts):  # type: ignore[override]
        size = info.batch_size
        pairs = zip(parts, dims[3:], strict=True)
        many = [x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0) for x, dim in pairs]
        joined = _Wrap.apply(before, after, last, *(x.flatten(0, 1) for x in many))  # as items of one batch
        return joined.unflatten(0, (size, -1)), 0


def wrap(parts: tuple[Tensor, ...], before: int, after: int, *, last: bool = False) -> Tensor:
    """Concatenate fields along channels and continue them periodically.

    It keeps the channels-last memory format, and is differentiable in reverse and forward mode.

    Parameters
    ----------
    parts : tuple of Tensor, each (batch, channels, x, y, z)
    before, after : int
        Cells added at the beginning and at the end of each of the three axes.
    last : bool
        Whether channels are last in memory in the result, wherever they are in the parts.

    Returns
    -------
    Tensor, (batch, all channels, x + before + after, ...)
    """
    return _Wrap.apply(before, after, last, *parts)


def crop(x: Tensor, cells: int) -> Tensor:
    """A view of (batch, channel, x, y, z) without `cells` cells at each end of the three axes."""
    if not cells:
        return x
    inside = slice(cells, -cells)
    return x[:, :, inside, inside, inside]
