"""Strided convolutions, with a workaround for a library that computes some of them wrongly.

On processors with AMX, oneDNN's strided bfloat16 convolution gives wrong numbers where the output is one cell wide along
its last axis (pytorch issue 169688). Such layers, the smallest there are, are computed in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeldo.networks.layout import Layer


def narrow(x: Tensor) -> bool:
    """Whether the 2^3 convolution of stride 2 of this field may be computed wrongly."""
    computed = x.dtype
    if torch.is_autocast_enabled(x.device.type):
        computed = torch.get_autocast_dtype(x.device.type)
    return x.device.type == "cpu" and computed == torch.bfloat16 and x.shape[-1] < 4


def halved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The 2^3 convolution of stride 2."""
    if not narrow(x):
        return functional.conv3d(x, weight, bias, stride=2)
    with torch.autocast("cpu", enabled=False):
        y = functional.conv3d(x.float(), weight.float(), None if bias is None else bias.float(), stride=2)
    return y.to(torch.bfloat16)


class Halving(nn.Conv3d):
    """A 2^3 convolution of stride 2: `torch.nn.Conv3d` with the same names and numbers."""

    def forward(self, input: Tensor) -> Tensor:
        return halved(input, self.weight, self.bias)


def convolution(layer: Layer) -> nn.Conv3d | nn.ConvTranspose3d:
    """The convolution of a layer that changes the resolution, "down" or "up"."""
    kind = Halving if layer.kind == "down" else nn.ConvTranspose3d
    return kind(layer.inputs, layer.outputs, 2, stride=2)
