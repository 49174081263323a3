"""Applies a network to a whole periodic box, in one piece where it fits in memory, and otherwise in tiles."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from zeldo.errors import InputError
from zeldo.measuring.heap import freed_memory_kept
from zeldo.measuring.memory import available, budget, resident, size_in_words
from zeldo.networks import integers
from zeldo.networks.convolution import Paired
from zeldo.networks.layout import MARGIN, Layout
from zeldo.networks.vnet import LayeredNet
from zeldo.particles import tiles as geometry
from zeldo.store.resume import active

# A call of the network: (network, field (1, channel, x, y, z), periodic) -> one or several fields
Call = Callable[[LayeredNet, Tensor, bool], "Tensor | tuple[Tensor, ...]"]

SHARE = 0.7  # of the free memory that a forward pass may take
COUNTED = 2**31  # numbers of a field on a GPU: not all versions of cuDNN have indices of 64 bits
SMALL = 0.1  # of the free memory: a pass that takes less may keep what it frees


def native_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether the device multiplies bfloat16 faster than float32.

    Emulation is far slower. Intel's processors without tile registers (AMX) multiply as many bfloat16 as float32 in a
    cycle, and lose time by rounding.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    if getattr(torch.cpu, "_is_amx_tile_supported", bool)():
        return True
    described: Any = getattr(torch.cpu, "get_capabilities", dict)()
    intel = str(described.get("cpu_name", "")).startswith("Intel")
    return getattr(torch.cpu, "_is_avx512_bf16_supported", bool)() and not intel


def layer_type(
    wanted: torch.dtype | None = None, device: torch.device | str = "cpu", precision: str = "auto"
) -> torch.dtype:
    """The type of the layers at inference.

    Parameters
    ----------
    wanted : torch.dtype, optional
        What the task asks for; None for the device's best.
    device : torch.device or str
    precision : {"auto", "float32"}
        "float32" for that, whatever is faster.

    Returns
    -------
    torch.dtype
    """
    if precision == "float32":
        return torch.float32
    return wanted or (torch.bfloat16 if native_bfloat16(device) else torch.float32)


def optimise(
    net: LayeredNet, device: torch.device | str = "cpu", *, dtype: torch.dtype | None = None
) -> LayeredNet:
    """Copy a network for inference on a device, with batch norm folded into the convolutions and channels last.

    Parameters
    ----------
    net : LayeredNet
    device : torch.device or str
    dtype : torch.dtype, optional
        Type of the layers; by default bfloat16 where the hardware has it (`native_bfloat16`), and float32 elsewhere. The
        input is added to the output in float32.

    Returns
    -------
    LayeredNet
    """
    dtype = layer_type(dtype, device)
    folded = copy.deepcopy(net).eval().requires_grad_(False)
    for stage in folded.modules():
        if not isinstance(stage, nn.Sequential):
            continue
        for i, layer in enumerate(stage):
            if isinstance(layer, nn.BatchNorm3d):
                transposed = isinstance(stage[i - 1], nn.ConvTranspose3d)
                convolution: Any = stage[i - 1]
                stage[i - 1] = fuse_conv_bn_eval(convolution, layer, transpose=transposed)
                stage[i] = nn.Identity()
    for layer in folded.modules():  # styled kernels are made in float32 and rounded when used
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            layer.to(dtype)
    if torch.device(device).type == "cpu" and getattr(torch.cpu, "_is_avx512_supported", bool)():
        for stage in [*folded.modules()]:
            for name, layer in stage.named_children():
                setattr(stage, name, Paired.faster(layer))
    folded.compute_dtype = dtype
    folded = folded.requires_grad_(False).to(device)
    return folded.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


@contextmanager
def whole_float32() -> Iterator[None]:
    """Inside, cuDNN's convolutions of float32 keep all its digits; by default GPUs round their inputs to ten bits (TF32)."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def memory_estimate(layout: Layout, side: int, *, periodic: bool, item_bytes: int = 4) -> float:
    """Peak memory of the fields of one forward pass.

    Parameters
    ----------
    layout : Layout
    side : int
        Cells per side of the input.
    periodic : bool
        Whether the input is a whole periodic box.
    item_bytes : int
        Bytes of a number.

    Returns
    -------
    float
        Bytes.
    """
    peak, kept, before = 0.0, [0.0], side
    for layer, after in zip(layout.layers, layout.sides(side, periodic=periodic), strict=True):
        incoming, outgoing = layer.inputs * before**3, layer.outputs * after**3
        if layer.kind == "block":
            wrapped = layer.inputs * (after + 2 * MARGIN) ** 3
            between = layer.middle * (after + MARGIN) ** 3
            if layer.join:
                kept.pop()  # it is counted in the incoming channels
            peak = max(peak, sum(kept) + wrapped + max(incoming, between + 2 * outgoing))
            if layer.keep:
                kept.append(outgoing)
        else:
            peak = max(peak, sum(kept) + incoming + 2 * outgoing)
        before = after
    return peak * item_bytes


def largest_field(layout: Layout, side: int, *, periodic: bool) -> int:
    """The numbers of the largest field that a convolution is given or makes; arguments as of `memory_estimate`."""
    most, before = 0, side
    for layer, after in zip(layout.layers, layout.sides(side, periodic=periodic), strict=True):
        given = after + 2 * MARGIN if layer.kind == "block" else before
        most = max(most, layer.inputs * given**3, layer.outputs * after**3)
        if layer.kind == "block":
            most = max(most, layer.middle * (after + MARGIN) ** 3)
        before = after
    return most


def free_memory(device: torch.device | str) -> float:
    """Bytes free on the device."""
    device = torch.device(device)
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept  # torch keeps what tensors free, for the next ones
    return available()


def crop_side(layout: Layout, out_side: int) -> int:
    """The side of the smallest legal crop whose output has at least out_side cells."""
    return geometry.aligned_side(out_side + 2 * layout.halo, layout.smallest, layout.stride)


def choose_tiles(
    layout: Layout,
    n: int,
    free: float,
    *,
    share: float = 1.0,
    item_bytes: int = 4,
    passes: int = 1,
    device: torch.device | str = "cpu",
) -> int:
    """Choose the number of tiles per side for a box.

    Parameters
    ----------
    layout : Layout
    n : int
        Cells per side of the box.
    free : float
        Bytes that are free, of which a forward pass may take a share.
    share : float
        The share.
    item_bytes : int
        Bytes of a number.
    passes : int
        Fields that pass through the network together: 2 with a forward derivative.
    device : torch.device or str
        Whose memory it is.

    Returns
    -------
    int
        1 where the whole box fits.

    Raises
    ------
    InputError
        Where not even the smallest tile fits.
    """
    elsewhere = torch.device(device).type != "cpu"

    def bytes_of(side: int, periodic: bool) -> float:
        needed = memory_estimate(layout, side, periodic=periodic, item_bytes=item_bytes)
        if elsewhere:  # the input and the output are there in float32 too
            needed += 4 * (layout.layers[0].inputs + 2 * layout.layers[-1].outputs) * side**3
        return passes * needed

    def counted(side: int, periodic: bool) -> bool:
        return not elsewhere or largest_field(layout, side, periodic=periodic) < COUNTED

    smallest = bytes_of(n, True)
    if smallest <= share * free and counted(n, True):
        return 1
    for tiles in range(2, n // layout.stride + 1):
        side = crop_side(layout, geometry.tile_side(n, tiles, layout.stride))
        needed = bytes_of(side, False)
        if needed <= share * free and counted(side, False):
            return tiles
        smallest = min(smallest, needed)
    whole, most, python, remedy = smallest / share, free, "", f"free some on {device}"
    if torch.device(device).type == "cpu":
        whole, most = whole + resident(), min(free + resident(), budget())
        python, remedy = " with Python and its libraries", "raise --memory (memory= in Python) or free some"
    raise InputError(
        f"the smallest tile of this network needs about {size_in_words(whole)} of memory{python}, but only "
        f"{size_in_words(most)} is available: {remedy}, or use a narrower network"
    )


def plain(net: LayeredNet, x: Tensor, periodic: bool) -> Tensor:
    """Call a network without style."""
    return net(x, periodic=periodic)


def apply(
    net: LayeredNet,
    field: np.ndarray,
    *,
    call: Call = plain,
    passes: int = 1,
    tiles: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, ...]:
    """Apply a network to a whole periodic box.

    Tiles begin at multiples of the network's stride, with a halo from across the box, so that all numbers of tiles agree
    to rounding.

    Parameters
    ----------
    net : LayeredNet
        As `optimise` makes it, on the device where it is.
    field : ndarray, (channels, n, n, n)
        In the network's units; n is a multiple of the stride.
    call : callable
        How to call the network.
    passes : int
        Fields that pass through the network together: 2 with a forward derivative.
    tiles : int, optional
        Pieces per side; 1 for the whole box at once; by default as few as fit in memory.
    progress : callable, optional
        Called with the number of tiles done and of all tiles.

    Returns
    -------
    tuple of ndarray, each (channels, n, n, n)
        float32, in the network's units.

    Raises
    ------
    InputError
        For a shape or a number of tiles that is not allowed.
    """
    n = field.shape[-1]
    layout = net.layout
    if field.ndim != 4 or len(set(field.shape[1:])) != 1:
        raise InputError(f"the field has shape {field.shape}: give ({net.in_channels}, n, n, n)")
    layout.check((1, *field.shape), net.in_channels, periodic=True)
    parameter = next(net.parameters())
    item_bytes = (net.compute_dtype or parameter.dtype).itemsize
    free = free_memory(parameter.device)
    if tiles is None:
        tiles = choose_tiles(
            layout, n, free, share=SHARE, item_bytes=item_bytes, passes=passes, device=parameter.device
        )
    resume = active()
    kept = resume.tiles() if resume is not None else None
    if kept is not None:
        tiles = kept.count(tiles)
    layout.check_box(n, tiles)
    field = np.ascontiguousarray(field, dtype=np.float32)

    def run(piece: np.ndarray, origin: tuple[int, int, int] | None = None) -> list[np.ndarray]:
        periodic = origin is None
        integers.place(net, origin or (0, 0, 0))
        x = torch.from_numpy(piece)[None].to(parameter.device)
        needed = passes * memory_estimate(layout, piece.shape[-1], periodic=periodic, item_bytes=item_bytes)
        small = parameter.device.type == "cpu" and needed < SMALL * free
        with torch.no_grad(), whole_float32(), freed_memory_kept() if small else nullcontext():
            outputs = call(net, x, periodic)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return [output[0].float().contiguous().cpu().numpy() for output in outputs]

    if tiles == 1:
        whole = run(field)
        if progress is not None:
            progress(1, 1)
        return tuple(whole)
    side = geometry.tile_side(n, tiles, layout.stride)
    around = crop_side(layout, side)
    results: list[np.ndarray] = []
    pieces = list(geometry.cover(n, side))
    for done, tile in enumerate(pieces, 1):
        outputs = kept.load(tile.origin) if kept is not None else None
        if outputs is None:
            i, j, k = (first - layout.halo for first in tile.origin)
            outputs = run(geometry.take(field, geometry.window((i, j, k), around, n)), tile.origin)
            outputs = [np.ascontiguousarray(output[:, *tile.valid]) for output in outputs]
            if kept is not None:
                kept.save(tile.origin, outputs)
        if not results:
            results = [np.empty((len(output), n, n, n), dtype=np.float32) for output in outputs]
        for result, output in zip(results, outputs, strict=True):
            result[:, *tile.inside] = output
        if progress is not None:
            progress(done, len(pieces))
    return tuple(results)
