"""The memory that a network takes, and how many tiles it therefore divides a box into."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from zeldo.errors import InputError
from zeldo.measuring.memory import available, budget, resident, size_in_words
from zeldo.networks.layout import MARGIN, Layout
from zeldo.particles import tiles as geometry

SHARE = 0.7  # of the free memory that a forward pass may take
COUNTED = 2**31  # numbers of a field on a GPU: not all versions of cuDNN have indices of 64 bits
SMALL = 0.1  # of the free memory: a pass that takes less may keep what it frees


def memory_estimate(
    layout: Layout, side: int, *, periodic: bool, item_bytes: int = 4, wrapped: bool = True
) -> float:
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
    wrapped : bool
        Whether blocks are given copies of their fields, as `LayeredNet.wrapped` says.

    Returns
    -------
    float
        Bytes.
    """
    peak, kept, before = 0.0, [0.0], side
    for layer, after in zip(layout.layers, layout.sides(side, periodic=periodic), strict=True):
        incoming, outgoing = layer.inputs * before**3, layer.outputs * after**3
        if layer.kind == "block":
            between = layer.middle * (after + MARGIN * (wrapped or not periodic)) ** 3
            if layer.join:
                kept.pop()  # it is counted in the incoming channels
            if wrapped:
                copies = layer.inputs * (after + 2 * MARGIN) ** 3
                peak = max(peak, sum(kept) + copies + max(incoming, between + 2 * outgoing))
            else:
                peak = max(peak, sum(kept) + incoming + between + outgoing)
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


def crops(layout: Layout, n: int, tiles: int) -> Iterator[tuple[geometry.Tile, geometry.Indices]]:
    """The tiles of a box of n cells a side, so many per side, each with the indices of the crop that gives it."""
    side = geometry.tile_side(n, tiles, layout.stride)
    around = crop_side(layout, side)
    for tile in geometry.cover(n, side):
        yield tile, geometry.window(crop_origin(layout, tile), around, n)


def crop_origin(layout: Layout, tile: geometry.Tile) -> tuple[int, int, int]:
    """The first cell of the crop that gives a tile, which may be outside the box."""
    i, j, k = (first - layout.halo for first in tile.origin)
    return i, j, k


def block_bytes(layout: Layout, n: int, block: int) -> float:
    """Bytes of the outputs of a network on a block of planes of a lattice of n^3 points."""
    return 4 * layout.layers[-1].outputs * block * n**2


def tile_bytes(layout: Layout, side: int, item_bytes: int) -> float:
    """Bytes of a tile's inputs, and of the next one's as fields and encoded twice; of its forward pass and its outputs."""
    around = crop_side(layout, side)
    fields = 4 * (4 * layout.layers[0].inputs * around**3 + 3 * layout.layers[-1].outputs * side**3)
    return fields + memory_estimate(layout, around, periodic=False, item_bytes=item_bytes)


def side_in_blocks(
    layout: Layout,
    n: int,
    block: int,
    item_bytes: int,
    tiles: int | None = None,
    free: float | None = None,
) -> int:
    """The side of tiles that fill blocks of planes, of which it is a divisor.

    Parameters
    ----------
    layout : Layout
    n : int
        Cells per side of the box.
    block : int
        Planes of a block.
    item_bytes : int
        Bytes of a number.
    tiles : int, optional
        Pieces per side of the box; by default the largest ones whose forward pass fits in memory beside the outputs.
    free : float, optional
        Bytes for both; by default those that are free now.

    Raises
    ------
    InputError
        Where so many tiles do not fill a block.
    """
    sides = [d for d in range(layout.stride, block + 1, layout.stride) if block % d == 0]
    if tiles is not None:
        by_number = {n // side: side for side in reversed(sides)}
        if tiles not in by_number:
            raise InputError(
                f"tiles = {tiles} is not possible with the particles of n = {n} on disk: leave tiles out, so that a number "
                f"is chosen, or give one of {', '.join(map(str, by_number))}"
            )
        return by_number[tiles]
    left = SHARE * ((available() if free is None else free) - block_bytes(layout, n, block))
    fitting = [side for side in sides if tile_bytes(layout, side, item_bytes) <= left]
    return max(fitting) if fitting else sides[0]


def choose_tiles(
    layout: Layout,
    n: int,
    free: float,
    *,
    share: float = 1.0,
    item_bytes: int = 4,
    passes: int = 1,
    device: torch.device | str = "cpu",
    wrapped: bool = True,
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
    wrapped : bool
        As of `memory_estimate`.

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
        needed = memory_estimate(layout, side, periodic=periodic, item_bytes=item_bytes, wrapped=wrapped)
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
