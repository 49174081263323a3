"""3^3 convolutions of float32 on the CPU with a quarter of the products, by Winograd's transform along x and y.

4^2 rows of cells are made from 6^2 by 36 products in place of 144 (F(4, 3) of Lavin & Gray 2016, arXiv:1509.09308).
Rounding errors are about four times those of the usual sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numba
import numpy as np
import torch
from torch import Tensor, nn

from zeldo.networks.convolution import usual
from zeldo.networks.layout import MARGIN
from zeldo.networks.modulated import ModulatedBlock
from zeldo.networks.vnet import SLOPE, Block, LayeredNet
from zeldo.networks.winograd_kernels import FEW, MANY, convolve
from zeldo.networks.wrap import crop

_LAST = torch.channels_last_3d
_KERNELS = np.array([
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
])  # fmt: skip


def replace(net: LayeredNet) -> None:
    """Put these convolutions into a network on the CPU in place of torch's. They have no derivatives.

    Parameters
    ----------
    net : LayeredNet
        For a single style. Layers that are not of float32 stay as they are.
    """
    for name, margins in net.layout.wraps.items():
        block = net.get_submodule(name)
        convolutions = [layer for layer in _convolutions(block) if _fits(layer)]
        if len(convolutions) == 2:
            net.add_module(name, WinogradBlock(block, convolutions[0], convolutions[1], margins))
    for stage in [*net.modules()]:
        for name, layer in stage.named_children():
            if _fits(layer):
                setattr(stage, name, WinogradConv(layer))


def _convolutions(block: Any) -> list[Any]:
    """Both convolutions of a block that does nothing else but activate between them, and join a third one."""
    if type(block) is ModulatedBlock and not block.modulations:
        return [block.first, block.second]
    if type(block) is Block and not any(isinstance(layer, nn.BatchNorm3d) for layer in block.convs):
        return [layer for layer in block.convs if isinstance(layer, nn.Conv3d)]
    return []  # somebody's own


def _fits(layer: Any) -> TypeGuard[nn.Conv3d]:
    return type(layer) is nn.Conv3d and usual(layer) and layer.weight.dtype == torch.float32


class WinogradConv(nn.Module):
    """A 3^3 convolution.

    Parameters
    ----------
    layer : Conv3d
    slope : float
        Of a leaky ReLU that follows, for negative numbers; 1 for none.
    """

    def __init__(self, layer: nn.Conv3d, slope: float = 1.0) -> None:
        super().__init__()
        assert layer.bias is not None
        self.weight, self.bias = layer.weight, layer.bias  # for those who look at them
        self.transformed = transformed(layer.weight.detach().numpy())
        self.slope = np.float32(slope)

    def forward(self, *parts: Tensor, margins: tuple[int, int] = (0, 0)) -> Tensor:
        """Of one field, or of the channels of two, continued periodically by cells before and after each axis."""
        fields = [_dense(part) for part in parts]
        channels = [field.shape[1] for field in fields]
        if len(fields) == 1:
            fields, channels = 2 * fields, [*channels, 0]
        batch, _, *sides = fields[0].shape
        shape = (batch, len(self.weight), *(side + sum(margins) - 2 for side in sides))
        out = torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=_LAST)
        steps = np.array([[field.stride(axis) for axis in (0, 2, 3, 4, 1)] for field in fields])
        convolve(
            tuple(field.as_strided((field.numel(),), (1,)).numpy() for field in fields),
            steps,
            np.array(channels),
            np.array(sides),
            margins[0],
            self.transformed,
            self.bias.detach().numpy(),
            self.slope,
            out.permute(0, 2, 3, 4, 1).numpy(),
            numba.get_num_threads(),
        )
        return out


class WinogradBlock(nn.Module):
    """A block whose first convolution joins and continues its fields, and so spares a copy of them.

    Parameters
    ----------
    block : Block or ModulatedBlock
        One without normalisation, and for a single style.
    first, second : Conv3d
        Its convolutions.
    margins : (int, int)
        Cells by which a periodic box is continued before and after each axis.
    """

    takes_parts = True  # and continues them by its margins itself

    def __init__(self, block: Any, first: nn.Conv3d, second: nn.Conv3d, margins: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.second = WinogradConv(first, SLOPE), WinogradConv(second)
        self.skip, self.end, self.margins = block.skip, block.end, margins
        self.second.bias = nn.Parameter(self.second.bias + block.skip.bias, requires_grad=False)

    def forward(self, parts: Sequence[Tensor], periodic: bool, style: Tensor | None = None) -> Tensor:
        y = self.second(self.first(*parts, margins=self.margins if periodic else (0, 0)))
        kernels = self.skip.weight.flatten(1).split([part.shape[1] for part in parts], dim=1)
        for part, kernel in zip(parts, kernels, strict=True):
            _cells(y).addmm_(_cells(self._inside(part, periodic)), kernel.t())
        return self.end(y)

    def _inside(self, part: Tensor, periodic: bool) -> Tensor:
        """The cells of a field that those of the result stand for."""
        if not periodic:
            return crop(part, MARGIN)
        shift = self.margins[0] - MARGIN
        return part.roll((shift, shift, shift), (2, 3, 4)) if shift else part


def _dense(x: Tensor) -> Tensor:
    """The field, or a copy of one with gaps in memory."""
    whole = x.is_contiguous() or x.is_contiguous(memory_format=_LAST)
    return x if whole else x.contiguous(memory_format=_LAST)


def _cells(x: Tensor) -> Tensor:
    """The channels of all cells, (cells, channels)."""
    return x.permute(0, 2, 3, 4, 1).reshape(-1, x.shape[1])


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
    at_once = FEW if outputs % MANY else MANY
    groups = -(-outputs // at_once)
    along_z = weight.astype(float).reshape(outputs, inputs, 9, 3)
    points = np.zeros((36, groups * at_once, inputs, 3))
    points[:, :outputs] = np.tensordot(np.kron(_KERNELS, _KERNELS), along_z, (1, 2))
    grouped = points.reshape(36, groups, at_once, inputs, 3).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(grouped, dtype=np.float32)
