"""V-Nets whose convolutions are modulated by cosmology and redshift.

Jamieson et al. 2023 (arXiv:2206.04594): displacement or velocity today, style 5 (omega_m - 0.3).
Jamieson et al. 2024 (arXiv:2408.07699): both at any redshift, styles 5 (omega_m - 0.3) and D - 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from zeldo.errors import InputError
from zeldo.networks.convolution import halved
from zeldo.networks.layout import MARGIN, Layer, Layout
from zeldo.networks.vnet import LayeredNet, activation, check_width
from zeldo.networks.wrap import crop

EPSILON = 1e-8  # added under the root that normalises modulated kernels


def styled_layout(channels: int, levels: int, in_channels: int = 3, out_channels: int = 3) -> Layout:
    """The layers of the styled V-Net: two blocks on the finest level, one on each other."""
    check_width(channels, levels, in_channels, out_channels)
    c = channels
    encoder = [
        Layer("block", "conv_l00", in_channels, c),
        Layer("block", "conv_l01", c, c, keep=True),
        Layer("down", "down_l0", c, c),
    ]
    decoder = [
        Layer("up", "up_r0", c, c),
        Layer("block", "conv_r00", 2 * c, c, join=True),
        Layer("block", "conv_r01", c, out_channels, last=True),
    ]
    for i in range(1, levels - 1):
        encoder += [Layer("block", f"conv_l{i}", c, c, keep=True), Layer("down", f"down_l{i}", c, c)]
        decoder = [Layer("up", f"up_r{i}", c, c), Layer("block", f"conv_r{i}", 2 * c, c, join=True), *decoder]
    return Layout((*encoder, Layer("block", "conv_c", c, c), *decoder))


class StyledConv(nn.Module):
    """A convolution whose kernel is scaled, input channel by input channel, by an affine map of the style.

    The scaled kernel of each output channel is divided by its root sum of squares over input channels and voxels. The bias
    is added unchanged.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of channels.
    size : int
        Voxels per side of the kernel.
    styles : int
        How many numbers the style has.
    kind : str
        As in `Layer`. The weight has the shape (out, in, k, k, k), or (in, out, 2, 2, 2) for "up".
    """

    def __init__(self, inputs: int, outputs: int, size: int, styles: int, kind: str = "block") -> None:
        super().__init__()
        self.stride = 1 if kind == "block" else 2
        self.transposed = kind == "up"
        shape = (inputs, outputs) if self.transposed else (outputs, inputs)
        self.weight = nn.Parameter(torch.empty(*shape, size, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.style_weight = nn.Parameter(torch.empty(inputs, styles))
        self.style_bias = nn.Parameter(torch.ones(inputs))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        nn.init.kaiming_uniform_(self.style_weight, a=math.sqrt(5))

    def kernel(self, style: Tensor) -> Tensor:
        """The kernel for one style vector, in the shape of `weight`."""
        scale = self.style_bias + self.style_weight @ style
        out_axis, in_axis = (1, 0) if self.transposed else (0, 1)
        shape = [1] * 5
        shape[in_axis] = -1
        kernel = self.weight * scale.view(shape)
        axes = [axis for axis in range(5) if axis != out_axis]
        return kernel * torch.rsqrt((kernel * kernel).sum(axes, keepdim=True) + EPSILON)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        kernel, bias = self.kernel(style).to(x.dtype), self.bias.to(x.dtype)
        if self.stride == 1:
            return functional.conv3d(x, kernel, bias)
        if self.transposed:
            return functional.conv_transpose3d(x, kernel, bias, stride=2)
        return halved(x, kernel, bias)


class StyledBlock(nn.Module):
    """Two styled 3^3 convolutions beside a 1^3 one, summed, then activated."""

    def __init__(self, layer: Layer, styles: int) -> None:
        super().__init__()
        a, m, b = layer.inputs, layer.middle, layer.outputs
        self.convs = nn.ModuleList([StyledConv(a, m, 3, styles), activation(), StyledConv(m, b, 3, styles)])
        self.skip = StyledConv(a, b, 1, styles)
        self.end = nn.Identity() if layer.last else activation()

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        first, activate, second = self.convs
        y = second(activate(first(x, style)), style)
        return self.end(y.add_(crop(self.skip(x, style), MARGIN)))


class StyledResampling(nn.Module):
    """A styled 2^3 convolution of stride 2, or its transpose, then activation."""

    def __init__(self, layer: Layer, styles: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [StyledConv(layer.inputs, layer.outputs, 2, styles, layer.kind), activation()]
        )

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        convolve, activate = self.convs
        return activate(convolve(x, style))


class StyledVNet(LayeredNet):
    """The styled V-Net: `net(x, style)` with x as for `VNet` and a style of shape (styles,) or (batch, styles).

    The style may be a number where there is only one. State-dict names are those of the public checkpoints.

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

    Raises
    ------
    InputError
        For a width that is not allowed; when called, for an illegal side or a style of another size.
    """

    def __init__(
        self,
        channels: int = 64,
        levels: int = 4,
        in_channels: int = 3,
        out_channels: int = 3,
        styles: int = 1,
    ) -> None:
        super().__init__(styled_layout(channels, levels, in_channels, out_channels))
        self.styles = styles
        for layer in self.layout.layers:
            kind = StyledBlock if layer.kind == "block" else StyledResampling
            self.add_module(layer.name, kind(layer, styles))

    def forward(self, x: Tensor, style: Tensor | float, periodic: bool = False) -> Tensor:
        style = torch.as_tensor(style, dtype=x.dtype, device=x.device)
        if style.ndim == 0 and self.styles == 1:
            style = style[None]
        if style.shape not in ((self.styles,), (len(x), self.styles)):
            raise InputError(
                f"the style has shape {tuple(style.shape)}: give {self.styles} number(s), or so many "
                f"for each of the {len(x)} fields of the batch"
            )
        if style.ndim == 1:
            return self.follow(x, periodic, style)
        fields = [
            self.follow(field, periodic, numbers) for field, numbers in zip(x.split(1), style, strict=True)
        ]
        return torch.cat(fields)


def displacement_and_rate(
    net: StyledVNet, psi: Tensor, style: Tensor, *, periodic: bool = False
) -> tuple[Tensor, Tensor]:
    """The displacement by a network with two styles, and its derivative with respect to the growth factor D.

    D multiplies the whole input, and enters the style as D - 1. One forward-mode pass gives both results.

    Parameters
    ----------
    net : StyledVNet
    psi : Tensor, (batch, 3, x, y, z)
        Linear displacement today in units of 6 Mpc/h.
    style : Tensor, (2,)
        5 (omega_m - 0.3) and D - 1.
    periodic : bool
        Whether psi is a whole periodic box, or else a crop.

    Returns
    -------
    (Tensor, Tensor)
        Both in units of 6 Mpc/h.

    Raises
    ------
    InputError
        Where the network does not have two styles.
    """
    if net.styles != 2:
        raise InputError(
            f"a network with {net.styles} style(s) knows no redshift: load one with two for velocities"
        )

    omega_m, growth = style.to(psi)

    def displacement(grown: Tensor) -> Tensor:  # D - 1
        return net(psi * (grown + 1), torch.stack([omega_m, grown]), periodic)

    carried = psi.requires_grad or style.requires_grad
    with torch.set_grad_enabled(carried and torch.is_grad_enabled()):  # forward mode needs no graph
        value, rate = torch.func.jvp(displacement, (growth,), (torch.ones_like(growth),))[:2]
    return value, rate
