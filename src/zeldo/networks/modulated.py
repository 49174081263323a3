"""Networks without batch normalisation, whose features are scaled and shifted by numbers that they are given.

Their output does not depend on statistics of the training set, so that they may serve other cosmologies, redshifts and
lattice spacings. Modulation feature by feature: Perez et al. 2018 (arXiv:1709.07871).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from zeldo.errors import InputError
from zeldo.networks.convolution import convolution
from zeldo.networks.layout import MARGIN, Layer, Layout
from zeldo.networks.vnet import SLOPE, LayeredNet, activation, check_width, vnet_layout
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
        if style is not None and self.modulations:
            y = self.modulations[0](y, style)
        y = self.second(self.activate(y)).add_(crop(self.skip(x), MARGIN))
        if style is not None and self.modulations:
            y = self.modulations[1](y, style)
        return self.end(y)

    def settle(self, style: Tensor) -> None:
        """Put the modulations for a style into the convolutions, and drop them."""
        stages: list[list[nn.Conv3d]] = [[self.first], [self.second, self.skip]]
        for modulation, convolutions in zip(self.modulations, stages, strict=False):
            scale, shift = modulation.linear(style).chunk(2)  # type: ignore[union-attr, operator]
            for convolve in convolutions:
                assert convolve.bias is not None
                convolve.weight.mul_(1 + scale.view(-1, 1, 1, 1, 1))
                convolve.bias.mul_(1 + scale)
            assert convolutions[0].bias is not None
            convolutions[0].bias.add_(shift)
        self.modulations = nn.ModuleList()


class ModulatedResampling(nn.Module):
    """A 2^3 convolution of stride 2, or its transpose, then activation."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.convolve = convolution(layer)
        self.activate = nn.Identity() if layer.last else activation()
        _initialise(self.convolve, 1.0 if layer.kind == "down" else 8.0)

    def forward(self, x: Tensor, style: Tensor | None) -> Tensor:
        return self.activate(self.convolve(x))


class ModulatedNet(LayeredNet):
    """Modulated layers: `net(x, style)` with x as for `VNet` and a style of shape (styles,) or (batch, styles).

    Parameters
    ----------
    layout : Layout
    styles : int
        How many numbers the style has; with 0 the network is called without a style.
    """

    def __init__(self, layout: Layout, styles: int) -> None:
        super().__init__(layout)
        self.styles = styles
        for layer in layout.layers:
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
                f"the style has shape {shape}: give {self.styles} numbers, or as many for each of {len(x)} fields"
            )
        return self.follow(x, periodic, style.to(x.device, torch.promote_types(torch.float32, x.dtype)))

    def last_convolutions(self) -> list[nn.Module]:
        last = self.get_submodule(self.layout.layers[-1].name)
        return [last.second, last.skip] if isinstance(last, ModulatedBlock) else [last.convolve]  # type: ignore[list-item]

    @torch.no_grad()
    def settled(self, style: Tensor) -> ModulatedNet:
        """A copy for one style, whose modulations are in the weights of its convolutions.

        Parameters
        ----------
        style : Tensor, (styles,)

        Returns
        -------
        ModulatedNet
            It ignores any style that it is given.
        """
        net = copy.deepcopy(self)
        net.styles = 0
        for block in net.modules():
            if isinstance(block, ModulatedBlock):
                block.settle(style)
        return net


class ModulatedVNet(ModulatedNet):
    """The modulated V-Net, whose last block is half as wide inside as the published one, for a third less time.

    Parameters
    ----------
    channels : int
        Channels of the layers.
    levels : int
        Number of resolutions.
    in_channels, out_channels : int
        Channels of the input and of the output.
    styles : int
        How many numbers the style has.
    """

    def __init__(
        self,
        channels: int = 32,
        levels: int = 3,
        in_channels: int = 3,
        out_channels: int = 3,
        styles: int = 0,
    ) -> None:
        super().__init__(vnet_layout(channels, levels, in_channels, out_channels, narrow=True), styles)


class ModulatedResNet(ModulatedNet):
    """Residual blocks on cells of 2^3 lattice points (He et al. 2016, arXiv:1512.03385).

    A convolution of stride 2 gathers the points of each cell, and a transposed one hands the result back to them. At the
    cost of a layer at full resolution there are three times as many channels, and a third of the memory traffic.

    Parameters
    ----------
    channels : int
        Channels of the blocks.
    levels : int
        Number of blocks, each of two convolutions.
    in_channels, out_channels : int
        Channels of the input and of the output.
    styles : int
        How many numbers the style has.
    """

    def __init__(
        self,
        channels: int = 48,
        levels: int = 3,
        in_channels: int = 3,
        out_channels: int = 3,
        styles: int = 0,
    ) -> None:
        super().__init__(resnet_layout(channels, levels, in_channels, out_channels), styles)


def resnet_layout(channels: int, levels: int, in_channels: int, out_channels: int) -> Layout:
    """The layers of a `ModulatedResNet`."""
    check_width(channels, levels, in_channels, out_channels)
    blocks = [Layer("block", f"block_{i}", channels, channels) for i in range(levels)]
    return Layout(
        (
            Layer("down", "gather", in_channels, channels, last=True),
            *blocks,
            Layer("up", "scatter", channels, out_channels, last=True),
        )
    )


def _initialise(convolve: nn.Module, share: float) -> None:
    """Weights that keep the variance, times `share`, through the activation that follows (He et al. 2015)."""
    weight: Tensor = convolve.weight  # type: ignore[assignment]
    if weight.is_meta:  # of a network that is read from a file
        return
    nn.init.kaiming_normal_(weight, a=SLOPE)
    with torch.no_grad():
        weight.mul_(share**0.5)
    nn.init.zeros_(convolve.bias)  # type: ignore[arg-type]
