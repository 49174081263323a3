"""The V-Net of de Oliveira et al. 2020 (arXiv:2012.00240), from the linear to the non-linear displacement.

Convolutions have no padding inside. A crop loses the halo on each side; a whole periodic box is computed with
each block's margin wrapped around, so that no halo is computed twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zeldo.errors import InputError
from zeldo.networks.convolution import convolution
from zeldo.networks.layout import MARGIN, Layer, Layout
from zeldo.networks.wrap import channels_last, crop, wrap

if TYPE_CHECKING:
    from zeldo.networks.card import ModelCard

SLOPE = 0.01  # slope of the leaky ReLU


def activation() -> nn.Module:
    return nn.LeakyReLU(SLOPE, inplace=True)


def vnet_layout(
    channels: int, levels: int, in_channels: int = 3, out_channels: int = 3, narrow: bool = False
) -> Layout:
    """The layers of the V-Net with `levels` resolutions, `channels` wide.

    In the published V-Nets, blocks that join two fields are twice as wide between their convolutions; with `narrow` they
    are as wide as the others.
    """
    check_width(channels, levels, in_channels, out_channels)
    c = channels
    encoder: list[Layer] = []
    decoder: list[Layer] = []
    for i in range(levels - 1):
        encoder += [
            Layer("block", f"conv_l{i}", c if i else in_channels, c, keep=True),
            Layer("down", f"down_l{i}", c, c),
        ]
        decoder = [
            Layer("up", f"up_r{i}", c, c),
            Layer(
                "block",
                f"conv_r{i}",
                2 * c,
                c if i else out_channels,
                join=True,
                last=not i,
                narrowed=c if narrow else 0,
            ),
            *decoder,
        ]
    return Layout((*encoder, Layer("block", "conv_c", c, c), *decoder))


def check_width(channels: int, levels: int, in_channels: int, out_channels: int) -> None:
    """`InputError` unless a network of this shape is possible."""
    if channels < 1:
        raise InputError(
            f"channels = {channels} is not allowed: give 1 or more, the published networks have 64"
        )
    if not 2 <= levels <= 8:
        raise InputError(f"levels = {levels} is not allowed: give 2 to 8 resolutions, the paper has 3")
    if not 1 <= out_channels <= in_channels:
        raise InputError(
            f"out_channels = {out_channels} is not allowed: the input is added to the output, give 1 to "
            f"in_channels = {in_channels}"
        )


class Block(nn.Module):
    """Two 3^3 convolutions beside a 1^3 one, summed, then activated: (.., side) -> (.., side - 4).

    Parameters
    ----------
    layer : Layer
    norms : (bool, bool)
        Whether batch normalisation follows the first and the second convolution.
    """

    def __init__(self, layer: Layer, norms: tuple[bool, bool]) -> None:
        super().__init__()
        a, m, b = layer.inputs, layer.middle, layer.outputs
        convs: list[nn.Module] = [nn.Conv3d(a, m, 3)]
        convs += [nn.BatchNorm3d(m)] * norms[0]
        convs += [activation(), nn.Conv3d(m, b, 3)]
        convs += [nn.BatchNorm3d(b)] * norms[1]
        self.convs = nn.Sequential(*convs)
        self.skip = nn.Conv3d(a, b, 1)
        self.end = nn.Identity() if layer.last else activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.convs(x).add_(crop(self.skip(x), MARGIN)))


class Resampling(nn.Module):
    """A 2^3 convolution of stride 2, or its transpose, then batch normalisation and activation."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.convs = nn.Sequential(convolution(layer), nn.BatchNorm3d(layer.outputs), activation())

    def forward(self, x: Tensor) -> Tensor:
        return self.convs(x)


class LayeredNet(nn.Module):
    """A network that follows a `Layout`, with one child module for every layer, of the layer's name.

    Parameters
    ----------
    layout : Layout
    """

    card: ModelCard = None  # type: ignore[assignment] # every one that `load` gives has a card
    compute_dtype: torch.dtype | None = None  # of the layers; None: that of the input

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return self.layout.layers[0].inputs

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.layout.layers[-1].outputs

    @property
    def halo(self) -> int:
        """Cells that a crop loses on each side."""
        return self.layout.halo

    @property
    def stride(self) -> int:
        """Origins of crops must differ by multiples of this many cells."""
        return self.layout.stride

    @property
    def wrapped(self) -> bool:
        """Whether some block is given a copy of its fields, which has a margin, and does not continue them itself."""
        blocks = [layer.name for layer in self.layout.layers if layer.kind == "block"]
        return not all(getattr(self.get_submodule(name), "takes_parts", False) for name in blocks)

    def last_convolutions(self) -> list[nn.Module]:
        """The convolutions whose sum is the output. Where they are zero, the network returns its input."""
        raise InputError("this network cannot begin as its input: set network.start_linear to false")

    def settled(self, style: Tensor) -> LayeredNet:
        """The network for one style; where that costs nothing, one that is faster."""
        return self

    def follow(self, x: Tensor, periodic: bool, *args: Tensor | None) -> Tensor:
        """Apply all layers, each with `args`, and add the input.

        Parameters
        ----------
        x : Tensor, (batch, channels, x, y, z)
        periodic : bool
            Whether x is a whole periodic box, or else a crop, which loses the halo.
        *args
            Further arguments of every layer, such as the style.

        Returns
        -------
        Tensor, (batch, out_channels, x', y', z')
        """
        layout = self.layout
        layout.check(x.shape, self.in_channels, periodic=periodic)
        kept: list[Tensor] = []
        y, last = x, self.compute_dtype is not None  # as `inference.optimise` sets it, with channels last
        first = layout.layers[0]
        planar = getattr(self.get_submodule(first.name), "planar", False)
        if last and (planar or (periodic and first.kind == "block")):
            y = x.to(self.compute_dtype)  # the margin is put around it in the same copy
        elif last:
            y = channels_last(x, self.compute_dtype)
        for layer in layout.layers:
            module = self.get_submodule(layer.name)
            if layer.kind == "block":
                parts: tuple[Tensor, ...] = (y,)
                if layer.join:
                    kept_crop = 0 if periodic else layout.crops[layer.name]
                    parts = (crop(kept.pop(), kept_crop), y)
                del y  # otherwise the fields of the finest level stay in memory beside their copy
                if getattr(module, "takes_parts", False):
                    y = module(parts, periodic, *args)
                else:
                    if periodic:
                        joined = wrap(parts, *layout.wraps[layer.name], last=last)
                    else:
                        joined = torch.cat(parts, dim=1) if layer.join else parts[0]
                    del parts
                    y = module(joined, *args)
                    del joined
            else:
                y = module(y, *args)
            if layer.keep:
                kept.append(y)
        # the sum has the precision of the input, which may be higher than that of the layers, and its order in memory:
        # a sum of fields in different orders takes three times as long
        return y.contiguous().to(x.dtype) + crop(x[:, : self.out_channels], 0 if periodic else layout.halo)


class VNet(LayeredNet):
    """The V-Net of de Oliveira et al. 2020: `net(x)` with x of shape (batch, in_channels, x, y, z), in the network's units.

    A crop of side L gives an output of side L - 2 halo. With `net(x, periodic=True)`, x is a whole periodic box. The output
    then has the same side, and equals that of a crop of the box padded by the halo. The first out_channels channels of the
    input are added to the output. State-dict names are those of the public checkpoints.

    Parameters
    ----------
    channels : int
        Channels of the layers.
    levels : int
        Number of resolutions.
    in_channels, out_channels : int
        Channels of the input and of the output.

    Raises
    ------
    InputError
        For a width that is not allowed; when called, for an illegal side.
    """

    def __init__(
        self, channels: int = 64, levels: int = 3, in_channels: int = 3, out_channels: int = 3
    ) -> None:
        super().__init__(vnet_layout(channels, levels, in_channels, out_channels))
        layers = self.layout.layers
        for layer in layers:
            # batch normalisation after every convolution but the first and the last two
            if layer.kind == "block":
                norms = (layer is not layers[0] and not layer.last, not layer.last)
                self.add_module(layer.name, Block(layer, norms))
            else:
                self.add_module(layer.name, Resampling(layer))

    def forward(self, x: Tensor, periodic: bool = False) -> Tensor:
        return self.follow(x, periodic)

    def last_convolutions(self) -> list[nn.Module]:
        block = self.get_submodule(self.layout.layers[-1].name)
        convolutions = [layer for layer in block.convs if isinstance(layer, nn.Conv3d)]  # type: ignore[union-attr]
        return [convolutions[-1], block.skip]  # type: ignore[list-item]
