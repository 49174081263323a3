"""A V-Net without batch normalisation, whose features are scaled and shifted by numbers that it is given.

Its output does not depend on statistics of the training set, so that it may serve other cosmologies, redshifts and
lattice spacings. Modulation feature by feature: Perez et al. 2018 (arXiv:1709.07871).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zeldo.errors import InputError
from zeldo.networks.convolution import convolution
from zeldo.networks.layout import MARGIN, Layer
from zeldo.networks.vnet import SLOPE, LayeredNet, activation, vnet_layout
from zeldo.networks.wrap import crop


class Modulation(nn.Module):
    """y (1 + s) + t with s and t linear in the style; at the start both are zero."""

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.linear = nn.Linear(styles, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, y: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.linear(style).to(y.dtype).view(-1, 2 * y.shape[1], 1, 1, 1).chunk(2, dim=1)
        return torch.addcmul(y + shift, y, scale)


class ModulatedBlock(nn.Module):
    """Two 3^3 convolutions beside a 1^3 one, summed, modulated after each, then activated."""

    def __init__(self, layer: Layer, styles: int) -> None:
        super().__init__()
        a, m, b = layer.inputs, layer.middle, layer.outputs
        self.first, self.second, self.skip = nn.Conv3d(a, m, 3), nn.Conv3d(m, b, 3), nn.Conv3d(a, b, 1)
        self.modulations = nn.ModuleList([Modulation(c, styles) for c in (m, b)] if styles else [])
        self.activate = activation()
        self.end = nn.Identity() if layer.last else activation()
        for convolve, share in ((self.first, 1.0), (self.second, 0.5), (self.skip, 0.5)):
            _initialise(convolve, share)

    def forward(self, x: Tensor, style: Tensor | None) -> Tensor:
        y = self.first(x)
        if style is not None:
            y = self.modulations[0](y, style)
        y = self.second(self.activate(y)).add_(crop(self.skip(x), MARGIN))
        if style is not None:
            y = self.modulations[1](y, style)
        return self.end(y)


class ModulatedResampling(nn.Module):
    """A 2^3 convolution of stride 2, or its transpose, then activation."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.convolve = convolution(layer)
        self.activate = activation()
        _initialise(self.convolve, 1.0 if layer.kind == "down" else 8.0)

    def forward(self, x: Tensor, style: Tensor | None) -> Tensor:
        return self.activate(self.convolve(x))


class ModulatedVNet(LayeredNet):
    """The modulated V-Net: `net(x, style)` with x as for `VNet` and a style of shape (styles,) or (batch, styles).

    Parameters
    ----------
    channels : int
        Channels of the layers.
    levels : int
        Number of resolutions.
    in_channels, out_channels : int
        Channels of the input and of the output.
    styles : int
        How many numbers the style has; with 0 the network is called without a style.
    """

    def __init__(
        self,
        channels: int = 32,
        levels: int = 3,
        in_channels: int = 3,
        out_channels: int = 3,
        styles: int = 0,
    ) -> None:
        super().__init__(vnet_layout(channels, levels, in_channels, out_channels))
        self.styles = styles
        for layer in self.layout.layers:
            block = layer.kind == "block"
            self.add_module(
                layer.name, ModulatedBlock(layer, styles) if block else ModulatedResampling(layer)
            )

    def forward(self, x: Tensor, style: Tensor | None = None, periodic: bool = False) -> Tensor:
        if not self.styles:
            return self.follow(x, periodic, None)
        if style is None or style.shape not in ((self.styles,), (len(x), self.styles)):
            shape = None if style is None else tuple(style.shape)
            raise InputError(
                f"the style has shape {shape}: give {self.styles} numbers, or so many for each of {len(x)} fields"
            )
        return self.follow(x, periodic, style.to(x.device, torch.float32))

    def last_convolutions(self) -> list[nn.Module]:
        block = self.get_submodule(self.layout.layers[-1].name)
        return [block.second, block.skip]  # type: ignore[list-item]


def _initialise(convolve: nn.Module, share: float) -> None:
    """Weights that keep the variance, times `share`, through the activation that follows (He et al. 2015)."""
    weight: Tensor = convolve.weight  # type: ignore[assignment]
    nn.init.kaiming_normal_(weight, a=SLOPE)
    with torch.no_grad():
        weight.mul_(share**0.5)
    nn.init.zeros_(convolve.bias)  # type: ignore[arg-type]
