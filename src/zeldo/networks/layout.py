"""The layers of a V-Net as a list, and the geometry that follows from it.

Halo, stride, crops and legal sides are all derived here from the list of layers, so they are defined nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from zeldo.errors import InputError

MARGIN = 2  # cells that a block of two 3^3 convolutions without padding takes from each side


@dataclass(frozen=True)
class Layer:
    """One stage of a V-Net.

    Parameters
    ----------
    kind : str
        "block" (two 3^3 convolutions beside a 1^3 one), "down" (2^3, stride 2) or "up" (transposed 2^3).
    name : str
        The name of its module.
    inputs, outputs : int
        Numbers of channels; with `join`, inputs counts those of both fields.
    keep : bool
        Whether the output also goes to the block of the same level that joins.
    join : bool
        Whether it reads that output, followed by the upsampled one.
    last : bool
        Whether there is no activation at the end.
    narrowed : int
        Channels between the two convolutions of a block; 0 for the larger of inputs and outputs.
    """

    kind: str
    name: str
    inputs: int
    outputs: int
    keep: bool = False
    join: bool = False
    last: bool = False
    narrowed: int = 0

    @property
    def middle(self) -> int:
        """Channels between the two convolutions of a block."""
        return self.narrowed or max(self.inputs, self.outputs)


@dataclass(frozen=True)
class Layout:
    """The layers of a network in order of application, and the geometry that follows from them.

    Lengths are in cells of the input lattice unless said otherwise.

    Parameters
    ----------
    layers : tuple of Layer
    """

    layers: tuple[Layer, ...]

    @cached_property
    def _offsets(self) -> tuple[dict[str, int], int, int]:
        """Crop of each joined output in cells of its level, the halo, and the stride."""
        offset, spacing, stride = 0, 1, 1  # where the first output cell begins, how wide it is
        kept: list[int] = []
        crops: dict[str, int] = {}
        for layer in self.layers:
            if layer.kind == "down":
                spacing *= 2
            elif layer.kind == "up":
                spacing //= 2
            else:
                if layer.join:
                    crops[layer.name] = (offset - kept.pop()) // spacing
                offset += MARGIN * spacing
                if layer.keep:
                    kept.append(offset)
            stride = max(stride, spacing)
        return crops, offset, stride

    @cached_property
    def widths(self) -> dict[str, int]:
        """For each block, the width of the cells it works on."""
        widths, finer = {}, 0
        for layer in self.layers:
            finer += {"down": 1, "up": -1}.get(layer.kind, 0)
            if layer.kind == "block":
                widths[layer.name] = 2**finer
        return widths

    @property
    def crops(self) -> dict[str, int]:
        """For each block that joins: cells of its level to crop from each side of the field that was kept."""
        return self._offsets[0]

    @property
    def halo(self) -> int:
        """Cells that the network without padding removes from each side."""
        return self._offsets[1]

    @property
    def stride(self) -> int:
        """The network commutes with translations by multiples of this many cells, and no others."""
        return self._offsets[2]

    @cached_property
    def wraps(self) -> dict[str, tuple[int, int]]:
        """For each block, the cells to wrap around (before, after) when a whole periodic box is computed.

        The coarse cells of the network without padding begin at minus the halo. Where that is no multiple of their own
        width, a block before a "down" shifts its output by one cell, and the block that joins it shifts it back.
        """
        offset, spacing, frame = -self.halo, 1, 0
        shifts: list[int] = []
        wraps: dict[str, tuple[int, int]] = {}
        for layer in self.layers:
            if layer.kind == "down":
                spacing *= 2
            elif layer.kind == "up":
                spacing //= 2
            else:
                offset += MARGIN * spacing
                shift = 0
                if layer.keep:
                    shift = (offset - frame) // spacing % 2
                    shifts.append(shift)
                elif layer.join:
                    shift = -shifts.pop()
                frame += shift * spacing
                wraps[layer.name] = (MARGIN - shift, MARGIN + shift)
        return wraps

    def _walk(self, side: int, periodic: bool) -> list[int] | None:
        """Side after every layer; None where a layer cannot take its input."""
        lost = 0 if periodic else 2 * MARGIN
        sides = []
        for layer in self.layers:
            if layer.kind == "down" and side % 2:
                return None
            side = {"block": side - lost, "down": side // 2, "up": side * 2}[layer.kind]
            if side < 1:
                return None
            sides.append(side)
        return sides

    def sides(self, side: int, *, periodic: bool = False) -> list[int]:
        """Side after every layer, for an input of this side. It raises `InputError` for an illegal side."""
        sides = self._walk(side, periodic)
        if sides is not None:
            return sides
        if periodic:
            raise InputError(
                f"a periodic box of {side} cells a side is not allowed: give a multiple of {self.stride}"
            )
        raise InputError(
            f"a crop of {side} cells a side is not allowed: give {self.smallest}, with a halo of {self.halo} "
            f"on each side, or a multiple of {self.stride} more"
        )

    @cached_property
    def smallest(self) -> int:
        """The smallest legal side of a crop; legal sides are `stride` apart."""
        return next(side for side in range(2 * self.halo + 1, 9**9) if self._walk(side, False) is not None)

    def check(self, shape: Sequence[int], channels: int, *, periodic: bool = False) -> None:
        """Raise `InputError` unless shape is (batch, channels, x, y, z) with legal sides."""
        if len(shape) != 5 or shape[1] != channels:
            raise InputError(
                f"the network's input has shape {tuple(shape)}: give (batch, {channels}, x, y, z)"
            )
        for side in shape[2:]:
            self.sides(side, periodic=periodic)

    def check_box(self, n: int, tiles: int | None = None) -> None:
        """Raise `InputError` unless the network can be applied to a box of n cells a side, in so many tiles per side."""
        self.sides(n, periodic=True)
        if tiles is not None and not 1 <= tiles <= n // self.stride:
            raise InputError(f"tiles = {tiles} is not allowed: give 1 to {n // self.stride} pieces per side")

    def flops(self, side: int, *, periodic: bool = False) -> float:
        """Floating point operations of the convolutions for one input of this side, two per multiply-add."""
        total = 0.0
        before = side
        for layer, after in zip(self.layers, self.sides(side, periodic=periodic), strict=True):
            a, b, m = layer.inputs, layer.outputs, layer.middle
            if layer.kind == "block":
                # the 1^3 convolution runs before its result is cropped
                read, between = after + 2 * MARGIN, after + MARGIN
                total += 54 * a * m * between**3 + 54 * m * b * after**3 + 2 * a * b * read**3
            else:  # each cell of the finer lattice meets one voxel of the kernel
                total += 2 * a * b * max(before, after) ** 3
            before = after
        return total
