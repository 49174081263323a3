"""Convolutions of eight-bit integers, which processors with VNNI multiply several times as fast as floats.

Each channel that such a convolution is given is rounded to 256 values between the ends of its range, and each kernel to
127 on either side of zero. Sums are exact. Most of a channel's numbers are a few steps from zero. To the nearest integer
they would lose what they have in common, so on a network's finest cells, neighbours are rounded at different places.

The ranges are found before a network is applied to a box, on crops around the densest particles: so they are the same for
the whole box and for tiles, and depend on nothing but the box. What lies outside takes the value of the nearer end.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zeldo.networks.convolution import Paired, usual
from zeldo.networks.layout import MARGIN, Layout
from zeldo.networks.modulated import JoinedBlock, ModulatedBlock
from zeldo.networks.rounding import DITHER, LEVELS, NEAREST, round_to_integers
from zeldo.networks.vnet import LayeredNet
from zeldo.networks.wrap import continue_periodically
from zeldo.particles import tiles as geometry

HALF = 127  # steps of a kernel on either side of zero
PLACES = 2  # crops in which ranges are found
CORE = 16  # cells per side of what the network makes of a crop, at least
APART = 16  # planes between the centres of two crops, at least
BEYOND = 1.5  # how far ranges reach beyond what the crops hold
FINENESS = 4.0  # ranges are powers of 2^(1 / FINENESS): rounding of floats does not change them
SILENT = 0.02  # of the largest range of a layer: what a channel without a signal in the crops has at least
ZEROS = (1, 2, 4, 8, 16, 32, 64, 128)  # the integers that may stand for zero

# (origin, side) -> inputs, (channels, side, side, side)
Crop = Callable[[tuple[int, int, int], int], np.ndarray]
# applies a network to crops, (PLACES, channels, x, y, z)
Run = Callable[[LayeredNet, Tensor], object]


class Peak(NamedTuple):
    """The densest particle of a plane of the lattice.

    Parameters
    ----------
    density : float
        In any unit that rises with it.
    at : (int, int, int)
        Where the particle stands on the lattice.
    """

    density: float
    at: tuple[int, int, int]


@lru_cache(maxsize=1)
def supported() -> bool:
    """Whether this processor multiplies eight-bit integers faster than any floats, and torch lets us.

    Tile registers (AMX) multiply bfloat16 so fast that rounding to integers would cost more than it gains.
    """
    described: Any = getattr(torch.cpu, "get_capabilities", dict)()
    if not described.get("avx512_vnni") or described.get("amx_tile"):
        return False
    layer = nn.utils.skip_init(nn.Conv3d, 2, 3, 3, dtype=torch.float32)  # drawn numbers would change a user's
    for parameter in layer.parameters():
        nn.init.constant_(parameter, 0.01)
    x = torch.linspace(-1, 1, 2 * 4**3, device="cpu").view(1, 2, 4, 4, 4)
    try:  # the operator is torch's own, for its compiled networks, and other versions may lack it
        with torch.no_grad():
            error = IntegerConv(layer, x.amin((0, 2, 3, 4)), x.amax((0, 2, 3, 4)))(x) - layer(x)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool(error.abs().max() < 0.01)


def peaks(density: np.ndarray, first: int = 0) -> Iterator[Peak]:
    """The peak of each plane of a density.

    Parameters
    ----------
    density : ndarray, (planes, n, n)
        At the particles, in any unit that rises with it.
    first : int
        The number of the first plane on the lattice.

    Yields
    ------
    Peak
    """
    for x, plane in enumerate(density, first):
        y, z = np.unravel_index(np.argmax(plane), plane.shape)
        yield Peak(float(plane[y, z]), (x, int(y), int(z)))


def rounded(net: LayeredNet, peaks: Iterable[Peak], n: int, crop: Crop, run: Run) -> LayeredNet:
    """A copy of a network whose inner 3^3 convolutions are of integers.

    The first layer keeps its floats, because displacements matter by their small differences, and so does the last one,
    whose rounding nothing smooths any more.

    Parameters
    ----------
    net : LayeredNet
        As `inference.optimise` makes it, on the CPU.
    peaks : iterable of Peak
        Of all planes of the lattice.
    n : int
        Points of the lattice per side.
    crop : callable
        crop(origin, side) gives the network's inputs there; an origin may be outside the lattice, which is periodic.
    run : callable
        run(net, x) applies the network to a batch of crops.

    Returns
    -------
    LayeredNet
    """
    layout = net.layout
    side = geometry.aligned_side(CORE + 2 * layout.halo, layout.smallest, layout.stride)
    corners = [_corner(peak.at, side, layout) for peak in _chosen(peaks, n)]
    x = torch.from_numpy(np.stack([crop(corner, side) for corner in corners]))
    ranges: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, given: tuple[Tensor]) -> None:
            low, high = torch.aminmax(given[0].float().movedim(1, 0).flatten(1), dim=1)
            ranges[name] = low, high

        return hook

    inner = list(_inner(net))
    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in inner]
    try:
        with torch.no_grad():
            run(net, x)
    finally:
        for hook in hooks:
            hook.remove()
    made = copy.deepcopy(net)
    finest = min(layout.widths.values())
    alternate = n % (2 * finest) == 0  # cells of even and odd numbers, all around the box
    for name, layer in inner:
        parent, _, child = name.rpartition(".")
        dithered = alternate and layout.widths[name.partition(".")[0]] == finest
        integer = IntegerConv(layer, *ranges[name], dither=finest if dithered else None)
        setattr(made.get_submodule(parent), child, integer)
    for joining in (layer for layer in layout.layers if layer.join):
        block = made.get_submodule(joining.name)
        known = type(block) is ModulatedBlock and not block.modulations  # others compute something else
        if known and isinstance(block.first, IntegerConv) and layout.wraps[joining.name] == (MARGIN, MARGIN):
            made.add_module(joining.name, JoinedBlock(block))
    return made


def place(net: nn.Module, origin: tuple[int, int, int]) -> None:
    """Set where the next tile begins, so that its cells are rounded as they are in the whole box.

    Parameters
    ----------
    net : Module
        Any network; one without integers does not change.
    origin : (int, int, int)
        The tile's first cell on the lattice, halo not counted; (0, 0, 0) for the whole box.
    """
    for layer in net.modules():
        if isinstance(layer, IntegerConv):
            layer.place(origin)


def _inner(net: LayeredNet) -> Iterator[tuple[str, nn.Conv3d]]:
    """The convolutions that `rounded` replaces."""
    found = [
        (name, layer)
        for name, layer in net.named_modules()
        if isinstance(layer, Paired) or (type(layer) is nn.Conv3d and layer.kernel_size == (3, 3, 3))
    ]
    layers = net.layout.layers  # where those at the ends change the resolution, they are none of these
    first, last = (int(layers[end].kind == "block") for end in (0, -1))
    for name, layer in found[first : len(found) - last]:
        if isinstance(layer, nn.Conv3d) and usual(layer):
            yield name, layer


def _chosen(peaks: Iterable[Peak], n: int) -> list[Peak]:
    """The highest peaks that are not too near to each other."""
    chosen: list[Peak] = []
    for peak in sorted(peaks, key=lambda peak: -peak.density):
        apart = (abs(peak.at[0] - other.at[0]) for other in chosen)
        if all(min(d, n - d) >= APART for d in apart):
            chosen.append(peak)
        if len(chosen) == PLACES:
            break
    return chosen


def _corner(at: tuple[int, int, int], side: int, layout: Layout) -> tuple[int, int, int]:
    i, j, k = ((a - side // 2) // layout.stride * layout.stride for a in at)
    return i, j, k


class IntegerConv(nn.Module):
    """A 3^3 convolution of integers.

    Parameters
    ----------
    layer : Conv3d
        The convolution of floats; the output has its type.
    low, high : Tensor, (channels,)
        The ends of each channel's range in samples of what it is given.
    dither : int, optional
        The width of the layer's cells on the lattice, for a layer whose neighbouring cells are rounded at different places.
        By default all are rounded to the nearest integer.
    """

    def __init__(self, layer: nn.Conv3d, low: Tensor, high: Tensor, *, dither: int | None = None) -> None:
        super().__init__()
        assert layer.bias is not None
        weight = layer.weight.detach().float()
        self.dtype = layer.weight.dtype
        self.zero, step = _steps(low, high, weight)
        self.per_step = (1 / step).numpy()
        self.width = dither or 1
        self.shifts = (self.zero + (DITHER if dither else NEAREST)).astype(np.float32)
        self.placed = self.shifts
        weight = weight * step.view(-1, 1, 1, 1)
        self.scale = (weight.abs().amax((1, 2, 3, 4)) / HALF).clamp(min=torch.finfo(torch.float32).tiny)
        kernels = (weight / self.scale.view(-1, 1, 1, 1, 1)).round().to(torch.int8)
        self.packed = torch.ops.onednn.qconv_prepack(
            kernels, self.scale, 1.0, self.zero, [1] * 3, [0] * 3, [1] * 3, 1, None
        )
        self.bias = layer.bias.detach().float()
        self.zeros = torch.zeros(len(self.scale), dtype=torch.int32, device="cpu")

    def place(self, origin: tuple[int, int, int]) -> None:
        """As the function `place`, for this layer."""
        odd = [first // self.width % 2 for first in origin]
        self.placed = np.ascontiguousarray(np.roll(self.shifts, odd, axis=(0, 1, 2)))

    def forward(self, *parts: Tensor, margin: int = 0) -> Tensor:
        """Of one field, or of the channels of several, continued periodically by a margin of cells on each side."""
        batch, sides = parts[0].shape[0], parts[0].shape[2:]
        shape = (batch, sum(part.shape[1] for part in parts), *(side + 2 * margin for side in sides))
        whole = torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last_3d, device="cpu")
        channel = 0
        for part in parts:
            end = channel + part.shape[1]
            cells = _cells(part.contiguous(memory_format=torch.channels_last_3d))
            round_to_integers(cells, self.per_step[channel:end], self.placed, _cells(whole), margin, channel)
            channel = end
        continue_periodically(whole, margin, margin)
        return torch.ops.onednn.qconv_pointwise(
            whole, 1.0, self.zero, self.packed, self.scale, self.zeros, self.bias,
            [1] * 3, [0] * 3, [1] * 3, 1, 1.0, 0, self.dtype, "none", [], "",
        )  # fmt: skip


def _steps(low: Tensor, high: Tensor, weight: Tensor) -> tuple[int, Tensor]:
    """The integer that stands for zero, and the step of each channel.

    Of the integers that are allowed, the one that adds the least noise to the output.
    """
    low, high = (BEYOND * end.abs() for end in (low.clamp(max=0), high.clamp(min=0)))
    least = SILENT * torch.maximum(low, high).max().clamp(min=1e-30) / LEVELS
    power = weight.square().sum((0, 2, 3, 4))
    best: tuple[float, int, Tensor] | None = None
    for zero in ZEROS:
        step = torch.maximum(high / (LEVELS - zero), low / zero).clamp(min=least)
        step = torch.exp2((FINENESS * torch.log2(step)).ceil() / FINENESS)
        noise = float((step.square() * power).sum())
        if best is None or noise < best[0]:
            best = noise, zero, step
    assert best is not None
    return best[1:]


def _cells(x: Tensor) -> np.ndarray:
    """A field with channels last as (batch, x, y, z, channels); bfloat16 as its bits."""
    cells = x.permute(0, 2, 3, 4, 1)
    return cells.view(torch.int16).numpy().view(np.uint16) if x.dtype == torch.bfloat16 else cells.numpy()
