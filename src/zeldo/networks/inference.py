"""Applies a network to a whole periodic box, in one piece where it fits in memory, and otherwise in tiles."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from zeldo.errors import InputError
from zeldo.measuring.heap import freed_memory_kept, return_freed_memory
from zeldo.networks import planar, tiling
from zeldo.networks.convolution import Paired
from zeldo.networks.vnet import LayeredNet
from zeldo.particles import tiles as geometry
from zeldo.store.resume import active

# A call of the network: (network, field (1, channel, x, y, z), periodic) -> one or several fields
Call = Callable[[LayeredNet, Tensor, bool], "Tensor | tuple[Tensor, ...]"]


def native_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether the device multiplies bfloat16 faster than float32.

    Emulation is far slower, and Intel's processors without tile registers (AMX) lose time by rounding. Without AMX,
    convolutions are of float32 by Winograd's transform.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and getattr(torch.cpu, "_is_amx_tile_supported", bool)()


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
    net: LayeredNet,
    device: torch.device | str = "cpu",
    *,
    dtype: torch.dtype | None = None,
    derivatives: bool = False,
    donate: bool = False,
) -> LayeredNet:
    """Copy a network for inference on a device, with batch norm folded into convolutions and the fastest layers for it.

    Parameters
    ----------
    net : LayeredNet
    device : torch.device or str
    dtype : torch.dtype, optional
        Type of the layers; by default bfloat16 where the hardware has it (`native_bfloat16`), and float32 elsewhere. The
        input is added to the output in float32.
    derivatives : bool
        Whether derivatives of the network will be asked for, which the fastest convolutions do not have.
    donate : bool
        Whether the network itself may be changed in place of a copy.

    Returns
    -------
    LayeredNet
    """
    dtype = layer_type(dtype, device)
    folded = (net if donate else copy.deepcopy(net)).eval().requires_grad_(False)
    for stage in folded.modules():
        if not isinstance(stage, nn.Sequential):
            continue
        for i, (before, layer) in enumerate(pairwise([*stage]), 1):
            # one that follows no convolution, as in blocks that normalise first, stays
            if isinstance(layer, nn.BatchNorm3d) and isinstance(before, nn.Conv3d | nn.ConvTranspose3d):
                transposed = isinstance(before, nn.ConvTranspose3d)
                convolution: Any = before
                stage[i - 1] = fuse_conv_bn_eval(convolution, layer, transpose=transposed)
                stage[i] = nn.Identity()
    for layer in folded.modules():  # styled kernels are made in float32 and rounded when used
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            layer.to(dtype)
    if torch.device(device).type == "cpu":
        if not derivatives:
            planar.replace(folded)
        if getattr(torch.cpu, "_is_avx512_supported", bool)():
            for stage in [*folded.modules()]:
                for name, layer in stage.named_children():
                    setattr(stage, name, Paired.faster(layer))
    folded.compute_dtype = dtype
    folded = folded.requires_grad_(False).to(device)
    return folded.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


@contextmanager
def own_types() -> Iterator[None]:
    """Inside, layers compute in their own types, whatever the caller has chosen for his.

    By default GPUs round inputs of float32 to ten bits (TF32), and within `torch.autocast` layers take bfloat16.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with ExitStack() as stack:
            for device in ("cpu", "cuda"):
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def apply(
    net: LayeredNet,
    field: np.ndarray,
    *,
    call: Call,
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
    free = tiling.free_memory(parameter.device)
    if tiles is None:
        tiles = tiling.choose_tiles(
            layout,
            n,
            free,
            share=tiling.SHARE,
            item_bytes=item_bytes,
            passes=passes,
            device=parameter.device,
            wrapped=net.wrapped,
        )
    resume = active()
    kept = resume.tiles() if resume is not None else None
    if kept is not None:
        tiles = kept.count(tiles)
    layout.check_box(n, tiles)
    field = np.ascontiguousarray(field, dtype=np.float32)

    def run(piece: np.ndarray, periodic: bool) -> list[np.ndarray]:
        x = torch.from_numpy(piece)[None].to(parameter.device)
        needed = passes * tiling.memory_estimate(
            layout, piece.shape[-1], periodic=periodic, item_bytes=item_bytes, wrapped=net.wrapped
        )
        cpu = parameter.device.type == "cpu"
        small = cpu and needed < tiling.SMALL * free
        with torch.no_grad(), own_types(), freed_memory_kept() if small else nullcontext():
            outputs = call(net, x, periodic)
        if cpu and not small:
            return_freed_memory()
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return [output[0].float().contiguous().cpu().numpy() for output in outputs]

    if tiles == 1:
        whole = run(field, True)
        if progress is not None:
            progress(1, 1)
        return tuple(whole)
    results: list[np.ndarray] = []
    pieces = list(tiling.crops(layout, n, tiles))
    for done, (tile, window) in enumerate(pieces, 1):
        outputs = kept.load(tile.origin) if kept is not None else None
        if outputs is None:
            outputs = run(geometry.take(field, window), False)
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
