"""3^3 convolutions of float32 on the CPU with a quarter of the products, by Winograd's transform along x and y.

4^2 rows of cells are made from 6^2 by 36 products in place of 144 (F(4, 3) of Lavin & Gray 2016, arXiv:1509.09308).
Rounding errors are about five times those of the usual sum.
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
from zeldo.networks.vnet import SLOPE, LayeredNet
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
    for name, wrap in net.layout.wraps.items():
        block = net.get_submodule(name)
        known = type(block) is ModulatedBlock and not block.modulations  # others compute something else
        if known and wrap == (MARGIN, MARGIN) and _fits(block.first) and _fits(block.second):
            net.add_module(name, WinogradBlock(block))
    for stage in [*net.modules()]:
        for name, layer in stage.named_children():
            if _fits(layer):
                setattr(stage, name, WinogradConv(layer))


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

    def forward(self, *parts: Tensor, margin: int = 0) -> Tensor:
        """Of one field, or of the channels of two, continued periodically by a margin of cells on each side."""
        fields = [_dense(part) for part in parts]
        channels = [field.shape[1] for field in fields]
        if len(fields) == 1:
            fields, channels = 2 * fields, [*channels, 0]
        batch, _, *sides = fields[0].shape
        shape = (batch, len(self.weight), *(side + 2 * margin - 2 for side in sides))
        out = torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=_LAST)
        steps = np.array([[field.stride(axis) for axis in (0, 2, 3, 4, 1)] for field in fields])
        convolve(
            tuple(field.as_strided((field.numel(),), (1,)).numpy() for field in fields),
            steps,
            np.array(channels),
            np.array(sides),
            margin,
            self.transformed,
            self.bias.detach().numpy(),
            self.slope,
            out.permute(0, 2, 3, 4, 1).numpy(),
            numba.get_num_threads(),
        )
        return out


class WinogradBlock(nn.Module):
    """A `ModulatedBlock` whose first convolution joins and continues its fields, and so spares a copy of them.

    Parameters
    ----------
    block : ModulatedBlock
        One for a single style, which has no modulations left.
    """

    takes_parts = True  # and continues them by its margin itself

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.first, self.second = WinogradConv(block.first, SLOPE), WinogradConv(block.second)
        self.skip, self.end = block.skip, block.end
        self.second.bias = nn.Parameter(block.second.bias + block.skip.bias, requires_grad=False)

    def forward(self, parts: Sequence[Tensor], periodic: bool, style: Tensor | None) -> Tensor:
        y = self.second(self.first(*parts, margin=MARGIN if periodic else 0))
        kernels = self.skip.weight.flatten(1).split([part.shape[1] for part in parts], dim=1)
        for part, kernel in zip(parts, kernels, strict=True):
            _rows(y).addmm_(_rows(part if periodic else crop(part, MARGIN)), kernel.t())
        return self.end(y)


def _dense(x: Tensor) -> Tensor:
    """The field, or a copy of one with gaps in memory."""
    whole = x.is_contiguous() or x.is_contiguous(memory_format=_LAST)
    return x if whole else x.contiguous(memory_format=_LAST)


def _rows(x: Tensor) -> Tensor:
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
    points = np.zeros((6, 6, groups * at_once, inputs, 3))
    points[:, :, :outputs] = np.einsum("pi,qj,ocijk->pqock", _KERNELS, _KERNELS, weight.astype(float))
    grouped = points.reshape(36, groups, at_once, inputs, 3).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(grouped, dtype=np.float32)
