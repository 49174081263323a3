"""3^3 convolutions of float32 on the CPU with a quarter of the products, by Winograd's transform along x and y.

4^2 rows of cells are made from 6^2 by 36 products in place of 144 (F(4, 3) of Lavin & Gray 2016, arXiv:1509.09308).
Rounding errors are a few times those of torch's convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor, nn

from zeldo.networks.layout import MARGIN
from zeldo.networks.rows import as_row, empty, grouped, whole_rows
from zeldo.networks.vectors import FAR, FEW, NEAR
from zeldo.networks.vnet import SLOPE
from zeldo.networks.winograd_kernels import convolve

POINTS = (0.0, NEAR, -NEAR, FAR, -FAR)
_KERNELS = np.array(
    [np.power(p, [0, 1, 2]) / np.prod([p - q for q in POINTS if q != p]) for p in POINTS] + [[0, 0, 1]]
)


class Beside(NamedTuple):
    """A 1^3 convolution that is added to another one.

    Parameters
    ----------
    parts : sequence of Tensor
        One field, or two whose channels are joined.
    kernels : ndarray, (groups, channels, `MANY` or `FEW`)
        As `grouped` makes them, in groups like those of the other convolution.
    shift : int
        The cell that belongs to the first one of the result, along each axis; periodic.
    """

    parts: Sequence[Tensor]
    kernels: np.ndarray
    shift: int


class WinogradConv(nn.Module):
    """A 3^3 convolution and a leaky ReLU. It has no derivatives.

    Parameters
    ----------
    layer : Conv3d
    slope : float
        Of the leaky ReLU, for negative numbers; 1 for none.
    """

    def __init__(self, layer: nn.Conv3d, slope: float = 1.0) -> None:
        super().__init__()
        assert layer.bias is not None
        self.weight, self.bias = layer.weight, layer.bias  # for those who look at them
        self.transformed = transformed(layer.weight.detach().numpy())
        self.slope = np.float32(slope)

    def forward(
        self, *parts: Tensor, margins: tuple[int, int] = (0, 0), beside: Beside | None = None
    ) -> Tensor:
        """Of one field, or of the channels of two, continued periodically by cells before and after each axis."""
        others, kernels, shift = beside or Beside((), np.zeros((0, 0, FEW), np.float32), 0)
        numbers, shapes = _described(parts, others)
        sides = (side + sum(margins) - 2 for side in parts[0].shape[2:])
        out = empty((len(parts[0]), len(self.weight), *sides))
        bias, threads = self.bias.detach().numpy(), numba.get_num_threads()
        weights, slope = self.transformed, self.slope
        convolve(numbers, shapes, margins[0], weights, shift, kernels, bias, slope, out.numpy(), threads)
        return out


class WinogradBlock(nn.Module):
    """A block whose first convolution joins and continues its fields, and so spares a copy of them.

    Parameters
    ----------
    first, second, skip : Conv3d
        Its convolutions.
    slope : float
        Of the leaky ReLU of their sum, for negative numbers; 1 for none.
    margins : (int, int)
        Cells by which a periodic box is continued before and after each axis.
    """

    takes_parts = True  # and continues them by its margins itself
    planar = True

    def __init__(
        self, first: nn.Conv3d, second: nn.Conv3d, skip: nn.Conv3d, slope: float, margins: tuple[int, int]
    ) -> None:
        super().__init__()
        assert second.bias is not None and skip.bias is not None
        self.first = WinogradConv(first, SLOPE)
        self.second = WinogradConv(second, slope)
        self.second.bias = nn.Parameter(second.bias + skip.bias, requires_grad=False)
        self.kernels = grouped(skip.weight.detach().numpy()[..., 0, 0, 0])
        self.margins = margins

    def forward(self, parts: Sequence[Tensor], periodic: bool, style: Tensor | None = None) -> Tensor:
        parts = [whole_rows(part) for part in parts]
        if not periodic:
            return self.second(self.first(*parts), beside=Beside(parts, self.kernels, MARGIN))
        before, after = self.margins
        y = self.first(*parts, margins=(before - 1, after - 1))  # as many cells as the box has
        return self.second(y, margins=(1, 1), beside=Beside(parts, self.kernels, MARGIN - before))


def _described(*pairs: Sequence[Tensor]) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Pairs of fields as `convolve` takes them, of which some are not there."""
    nothing = torch.empty((0, 0, 1, 1, 1), dtype=torch.float32, device="cpu")
    fields = [whole_rows(field) for pair in pairs for field in [*pair, nothing, nothing][:2]]
    shapes = np.array([(field.stride(), field.shape) for field in fields])
    return tuple(as_row(field) for field in fields), shapes


def transformed(weight: np.ndarray) -> np.ndarray:
    """Kernels as the products want them.

    Parameters
    ----------
    weight : ndarray, (outputs, inputs, 3, 3, 3)

    Returns
    -------
    ndarray, (36, groups, inputs, 3, `MANY` or `FEW`)
        G w G^T along x and y, in groups of outputs, of which the last is filled up by zeros.
    """
    outputs, inputs = weight.shape[:2]
    along_z = weight.astype(float).reshape(outputs, inputs, 9, 3)
    points = np.tensordot(along_z, np.kron(_KERNELS, _KERNELS), (2, 1))  # (outputs, inputs, 3, 36)
    return np.ascontiguousarray(np.moveaxis(grouped(points), 3, 0))
