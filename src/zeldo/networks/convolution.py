"""Convolutions for inference: strided ones, which a library computes wrongly in places, and ones to few channels.

On processors with AMX, oneDNN's strided bfloat16 convolution gives wrong numbers where the output is one cell wide along
its last axis (pytorch issue 169688). Such layers, the smallest there are, are computed in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeldo.networks.layout import Layer

FEW = 8  # channels, of which two fill the register


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


class Paired(nn.Module):
    """A 3^3 convolution to few channels, which makes two neighbouring cells at once.

    Processors with wide registers take as long for 16 channels of output as for a few.

    Parameters
    ----------
    layer : Conv3d
        The convolution, whose numbers are copied.
    """

    def __init__(self, layer: nn.Conv3d) -> None:
        super().__init__()
        self.outputs, inputs = layer.weight.shape[:2]
        weight = layer.weight.new_zeros(2 * self.outputs, inputs, 3, 3, 4)
        weight[: self.outputs, ..., :3] = weight[self.outputs :, ..., 1:] = layer.weight
        self.weight = nn.Parameter(weight, requires_grad=False)
        assert layer.bias is not None
        self.bias = nn.Parameter(layer.bias.repeat(2), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 2 or x.shape[-1] < 6:  # cells that make no pairs, or a pair alone (see above)
            single = slice(self.outputs)
            return functional.conv3d(x, self.weight[single, ..., :3], self.bias[single])
        pairs = functional.conv3d(x, self.weight, self.bias, stride=(1, 1, 2)).permute(0, 2, 3, 4, 1)
        # no copy where channels are last
        cells = pairs.reshape(*pairs.shape[:3], 2 * pairs.shape[3], self.outputs)
        return cells.permute(0, 4, 1, 2, 3)

    @classmethod
    def faster(cls, layer: nn.Module) -> nn.Module:
        """The layer, or this in its place where it is a convolution that gains by it."""
        if type(layer) is nn.Conv3d and usual(layer) and layer.out_channels <= FEW:
            return cls(layer)
        return layer


def usual(layer: nn.Conv3d) -> bool:
    """Whether a convolution is a 3^3 one with a bias and nothing else, which faster ones may replace.

    Networks of somebody's own may have others, such as one for each channel.
    """
    alone = layer.stride == layer.dilation == (1, 1, 1) and layer.padding == (0, 0, 0) and layer.groups == 1
    return layer.kernel_size == (3, 3, 3) and alone and layer.bias is not None


def convolution(layer: Layer) -> nn.Conv3d | nn.ConvTranspose3d:
    """The convolution of a layer that changes the resolution, "down" or "up"."""
    kind = Halving if layer.kind == "down" else nn.ConvTranspose3d
    return kind(layer.inputs, layer.outputs, 2, stride=2)
