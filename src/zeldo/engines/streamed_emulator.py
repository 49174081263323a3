"""The emulator in pieces: its dynamics with the particles on disk, and the network on tiles that are read from there.

Neither the inputs of the network nor its outputs are ever whole in memory. The dynamics leave their displacement, velocity
and force in slabs; linear displacement and density follow, slab by slab; then each tile's inputs are cut out of the files.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.engines.base import Progress
from zeldo.engines.blocks import Block, StreamedOutput
from zeldo.engines.stepping import Stepping
from zeldo.engines.streamed import stream, thickness
from zeldo.initial.conditions import InitialConditions, Origin
from zeldo.measuring.heap import freed_memory_kept
from zeldo.particles import tiles as geometry
from zeldo.store.slabs import SlabStore

INPUT_SLABS = 16  # of the lattice, at least
DYNAMICS = 0.6  # share of the progress bar


@dataclass(frozen=True)
class StreamedEmulator:
    """One run of an emulator.

    Parameters
    ----------
    net : LayeredNet
        As it was read, with its card.
    dynamics : Stepping
        It can run with its particles on disk.
    folder : Path
    key : str
        Of the run.
    block : int
        Planes that outputs come in.
    progress : callable
    told : callable
        told(shares, measures, origin, redshift), as of `Emulator.told`.
    tiles, precision
        As in `Emulator`.
    """

    net: Any
    dynamics: Stepping
    folder: Path
    key: str
    block: int
    progress: Progress
    told: Callable[..., dict[str, Any]]
    tiles: int | None = None
    precision: str = "auto"

    def run(
        self, ics: list[InitialConditions], redshifts: Sequence[float], written: Sequence[bool]
    ) -> Iterator[StreamedOutput]:
        """The outputs that are not written yet."""
        from zeldo.networks.expected import rms

        (start,) = ics
        origin, contrast, total = start.origin, rms(start.delta_lin), len(redshifts)
        del start
        for number, z in enumerate(redshifts):
            if written[number]:
                continue
            inputs = SlabStore(self.folder / f"inputs{number}", f"{self.key} {z}")
            if not inputs.state.get("ready"):
                handed = ics if all(written[number + 1 :]) else list(ics)
                self._make_inputs(inputs, handed, z, number, total)
            blocks = partial(self._blocks, inputs, origin, z, number, total)
            yield StreamedOutput(z, number, blocks, partial(self._told, inputs, origin, contrast, z))
            shutil.rmtree(inputs.folder)

    def _make_inputs(
        self, inputs: SlabStore, ics: list[InitialConditions], z: float, number: int, total: int
    ) -> None:
        """Slabs of all input channels."""
        n, box, folder = ics[0].n, ics[0].box, self.folder / f"dynamics{number}"
        wanted = self.net.card.make_task().inputs
        together = thickness(n, self.block, INPUT_SLABS)
        if not inputs.state.get("carried"):
            self._carry(inputs, ics, z, folder, together, number, total)
        ics.clear()
        shutil.rmtree(folder, ignore_errors=True)
        pieces = list(geometry.slabs(n, together))
        if "force" in wanted and inputs.slabs("force") < len(pieces):
            self._force(inputs, n, box, pieces)
        if "density" in wanted:
            self._density(inputs, n, box, pieces)
        inputs.put({}, 0, ready=True)

    def _carry(
        self,
        inputs: SlabStore,
        ics: list[InitialConditions],
        z: float,
        folder: Path,
        together: int,
        number: int,
        total: int,
    ) -> None:
        """Slabs of what the dynamics leave. Their mesh is let go when this returns."""

        def report(done: float, steps: float, text: str) -> None:
            self.progress(number + DYNAMICS * done / steps, total, text)

        for output in stream(
            self.dynamics, ics, [z], folder, [False], block=together, progress=report, keep=True
        ):
            for block in output.blocks(inputs.state.get("next", 0), force=True, linear=True):
                slab, linear = block.first // together, block.linear
                assert linear is not None  # it was asked for
                fields = {name: getattr(block, name) for name in ("psi", "vel", "force", "linear")}
                square = {f"linear{slab}": float(np.vdot(linear, linear))}
                inputs.put(
                    {name: values for name, values in fields.items() if values is not None},
                    slab,
                    next=slab + 1,
                    **square,
                )
        inputs.put({}, 0, carried=True)

    def _force(self, inputs: SlabStore, n: int, box: float, pieces: Sequence[tuple[int, int]]) -> None:
        """The force at the particles where the dynamics took none, as at the start of COLA: that of the task itself."""
        from zeldo.mesh.gravity import gravity
        from zeldo.mesh.held_force import Ring, reach_of
        from zeldo.networks.scales import DENSITY_MESH

        mesh: Any = gravity(box, DENSITY_MESH * n)
        psi = partial(inputs.get, "psi")
        mesh.solve_slabs(((first, psi(slab)) for slab, (first, _) in enumerate(pieces)), 0.0, 0.0)
        reaches = [reach_of(psi(slab)[0], first, box / n) for slab, (first, _) in enumerate(pieces)]
        ring = Ring(mesh, mesh.field, 0.0, reaches)
        for slab, piece in enumerate(pieces):
            here = psi(slab)
            inputs.put({"force": ring.force(here, piece, np.empty_like(here), held=piece[0])}, slab)

    def _density(self, inputs: SlabStore, n: int, box: float, pieces: Sequence[tuple[int, int]]) -> None:
        """ln of the density at the particles."""
        from zeldo.mesh import numba_kernels as kernels
        from zeldo.mesh.painting import add_planes, clear
        from zeldo.networks.scales import DENSITY_MESH

        mesh = np.empty(3 * (DENSITY_MESH * n,), np.float32)
        clear(mesh)
        for slab, (first, _) in enumerate(pieces):
            add_planes(mesh, inputs.get("psi", slab), first, box, 0.0)
        for slab, (first, _) in enumerate(pieces):
            density = kernels.read(mesh, inputs.get("psi", slab), box, first=first)
            inputs.put({"density": np.log(density, out=density)[None]}, slab)

    def _blocks(
        self, inputs: SlabStore, origin: Origin, z: float, number: int, total: int, first: int
    ) -> Iterator[Block]:
        """The output, from a block on, or from the first one whose share is not known."""
        import torch

        from zeldo.networks import inference, tiling
        from zeldo.networks.field import optimise, style_of
        from zeldo.networks.tasks.base import Batch, Setting

        n, task = origin.n, self.net.card.make_task()
        setting = Setting(origin.cosmology, z, origin.box / n)
        style = style_of(task, setting)
        item_bytes = inference.layer_type(task.dtype, "cpu", self.precision).itemsize
        side = inputs.state.get("side") or tiling.side_in_blocks(
            self.net.layout, n, self.block, item_bytes, self.tiles
        )
        inputs.put({}, 0, side=side)
        made = [f"share{block}" in inputs.state for block in range(n // self.block)]
        begin = min(first, made.index(False) if not all(made) else len(made)) * self.block
        tiles = [tile for tile in geometry.cover(n, side) if tile.origin[0] >= begin]
        psi, vel = (np.empty((3, self.block, n, n), np.float32) for _ in range(2))
        squares = np.zeros((2, 2))
        layout = self.net.layout
        around = tiling.crop_side(layout, side)
        reader = _Crops(inputs, n)
        net = optimise(self.net, task, setting, precision=self.precision)

        def read(tile: geometry.Tile) -> np.ndarray:
            return reader.encoded(task, setting, tiling.crop_origin(layout, tile), around)

        # the inputs of the next tile are read while the network works on this one
        with freed_memory_kept(returned=True), ThreadPoolExecutor(1) as disk:
            following = [disk.submit(read, tile) for tile in tiles[:1]]
            for place, tile in enumerate(tiles, 1):
                x = torch.from_numpy(following.pop().result())[None]
                if place < len(tiles):
                    following.append(disk.submit(read, tiles[place]))
                with torch.no_grad(), inference.own_types():
                    output = task.run(net, Batch(x, style, (setting,), False)).float()
                    output = output[..., *tile.valid]
                    squares += _squares(output, x, layout.halo)
                    evolved = task.decode(output, (setting,))
                at = tile.origin[0] // self.block * self.block
                _, y, z_axis = tile.inside
                rows = slice(tile.origin[0] - at, tile.origin[0] - at + tile.shape[0])
                for out, values in ((psi, evolved.psi), (vel, evolved.vel)):
                    out[:, rows, y, z_axis] = values[0].numpy()
                del x, output, evolved, values
                if place < len(tiles) and tiles[place].origin[0] < at + self.block:
                    continue
                inputs.put({}, 0, **{f"share{at // self.block}": squares.tolist()})
                squares[:] = 0
                done = DYNAMICS + (1 - DYNAMICS) * (at + self.block) / n
                self.progress(number + done, total, f"z = {z:g}, corrected")
                yield Block(at, psi, vel)

    def _told(self, inputs: SlabStore, origin: Origin, contrast: float, z: float) -> dict[str, Any]:
        """What the snapshot says of the emulator's work, from sums over slabs and blocks."""
        from zeldo.networks.expected import measures_of

        n, state = origin.n, inputs.state
        squares = np.sum([state[f"share{block}"] for block in range(n // self.block)], axis=0) / (3 * n**3)
        linear = sum(state[f"linear{slab}"] for slab in range(inputs.slabs("linear"))) / (3 * n**3)
        measured = measures_of(origin, contrast, max(linear**0.5, np.finfo(np.float32).tiny), z)
        return self.told(squares.tolist(), measured, origin, z)


class _Crops:
    """Inputs of cubes, cut out of slabs of periodic fields on disk."""

    def __init__(self, store: SlabStore, n: int) -> None:
        self.store, self.n = store, n

    def encoded(self, task: Any, setting: Any, origin: tuple[int, int, int], side: int) -> np.ndarray:
        """(channels, side, side, side) float32, in the network's units."""
        from zeldo.networks.tasks.base import Fields

        window = geometry.window(origin, side, self.n)
        names = [name for name in ("psi", "vel", "force", "density") if self.store.has(name, 0)]
        fields = {name: self._crop(name, window) for name in names}
        return task.encode(Fields(self._crop("linear", window), **fields), setting)

    def _crop(self, name: str, window: geometry.Indices) -> np.ndarray:
        """(channels, x, y, z) float32."""
        x, y, z = window
        thick = self.n // self.store.slabs(name)
        channels = self.store.shape(name, 0)[0]
        out = np.empty((channels, len(x), len(y), len(z)), np.float32)
        for slab in np.unique(x // thick):
            here = np.flatnonzero(x // thick == slab)
            values = self.store.mapped(name, int(slab))
            for at in here:
                plane = np.take(values[:, x[at] - slab * thick], y, axis=1)
                np.take(plane, z, axis=2, out=out[:, at], mode="wrap")
            del values  # and the pages of the file
        return out


def _squares(output: Any, x: Any, halo: int) -> np.ndarray:
    """Of displacement and velocity, the sums of squares of what the network added, and of the result."""
    inside = (slice(halo, halo + side) for side in output.shape[2:])
    # the first six channels are carried from the input to the output
    added = output - x[:, :6, *inside]
    return np.array(
        [[float(t[:, part].square().sum()) for t in (added, output)] for part in (slice(3), slice(3, 6))]
    )
