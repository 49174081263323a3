"""The emulator in pieces: its dynamics with the particles on disk, and the network on tiles that are read from there.

Neither the inputs of the network nor its outputs are ever whole in memory. The dynamics leave their displacement, velocity
and force in slabs; linear displacement and density follow, slab by slab; then each tile's inputs are cut out of the files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.engines.base import Progress
from zeldo.engines.stepping import Stepping
from zeldo.engines.streamed import Block, StreamedOutput
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.slabs import displacement_of_planes
from zeldo.measuring.memory import available
from zeldo.particles import tiles as geometry
from zeldo.store.slabs import SlabStore

INPUT_SLABS = 16  # of the lattice, at least
DYNAMICS = 0.6  # share of the progress bar
FIRST = ("first.phi", "first.along_x")


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
    """

    net: Any
    dynamics: Stepping
    folder: Path
    key: str
    block: int
    progress: Progress

    def run(
        self, ics: list[InitialConditions], redshifts: Sequence[float], written: Sequence[bool]
    ) -> Iterator[StreamedOutput]:
        """The outputs that are not written yet."""
        (start,) = ics
        origin, total = start.origin, len(redshifts)
        del start
        for number, z in enumerate(redshifts):
            if written[number]:
                continue
            inputs = SlabStore(self.folder / f"inputs{number}", f"{self.key} {z}")
            if not inputs.state.get("ready"):
                handed = ics if not any(not w for w in written[number + 1 :]) else list(ics)
                self._make_inputs(inputs, handed, z, number, total)
            yield StreamedOutput(z, number, partial(self._blocks, inputs, origin, z, number, total))
            shutil.rmtree(inputs.folder)

    def _make_inputs(
        self, inputs: SlabStore, ics: list[InitialConditions], z: float, number: int, total: int
    ) -> None:
        """Slabs of all input channels."""
        n, box = ics[0].n, ics[0].box
        together = max(d for d in range(1, max(1, n // INPUT_SLABS) + 1) if self.block % d == 0)
        pieces = list(geometry.slabs(n, together))
        folder, key = self.folder / f"dynamics{number}", self.dynamics.key(ics[0], [z])

        def report(done: float, steps: float, text: str) -> None:
            self.progress(number + DYNAMICS * done / steps, total, text)

        if not inputs.state.get("carried"):
            outputs = self.dynamics.streamed(
                ics, [z], folder, [False], block=together, progress=report, keep=True
            )
            for output in outputs:
                for block in output.blocks(inputs.state.get("next", 0), force=True):
                    slab = block.first // together
                    fields = {"psi": block.psi, "vel": block.vel, "force": block.force}
                    inputs.put({k: v for k, v in fields.items() if v is not None}, slab, next=slab + 1)
            inputs.put({}, 0, carried=True)
        ics.clear()
        kept = SlabStore(folder, key)
        for slab, (first, end) in enumerate(pieces):
            planes = end - first
            thin = kept.slabs(FIRST[0])
            own = range(first * thin // n, end * thin // n)
            modes = [np.concatenate([kept.get(name, s).view(np.complex64) for s in own]) for name in FIRST]
            assert len(modes[0]) == planes
            inputs.put({"linear": displacement_of_planes(modes[0], modes[1], box)}, slab)
        if "density" in self.net.card.make_task().inputs:
            self._density(inputs, n, box, pieces)
        inputs.put({}, 0, ready=True)
        shutil.rmtree(folder)

    def _density(self, inputs: SlabStore, n: int, box: float, pieces: Sequence[tuple[int, int]]) -> None:
        """ln of the density at the particles."""
        from zeldo.mesh import numba_kernels as kernels
        from zeldo.mesh.painting import add_planes, clear
        from zeldo.networks.losses import DENSITY_MESH

        mesh = np.empty(3 * (DENSITY_MESH * n,), np.float32)
        clear(mesh)
        for slab, (first, _) in enumerate(pieces):
            add_planes(mesh, inputs.get("psi", slab), first, box, 0.0)
        for slab, (first, _) in enumerate(pieces):
            density = kernels.read(mesh, inputs.get("psi", slab), box, first=first)
            inputs.put({"density": np.log(density, out=density)[None]}, slab)

    def _blocks(
        self, inputs: SlabStore, origin: Any, z: float, number: int, total: int, first: int
    ) -> Iterator[Block]:
        import torch

        from zeldo.networks import inference
        from zeldo.networks.tasks.base import Batch, Fields, Setting

        n, task = origin.n, self.net.card.make_task()
        setting = Setting(origin.cosmology, z, origin.box / n)
        settled = self.net.settled(torch.tensor(task.style(setting), dtype=torch.float32))
        net = inference.optimise(settled, "cpu", dtype=task.dtype)
        style = torch.tensor([task.style(setting)], dtype=torch.float32)
        side = inputs.state.get("side") or self._side(net, task, n)
        inputs.put({}, 0, side=side)
        halo, around = net.layout.halo, inference.crop_side(net.layout, side)
        psi, vel = (np.empty((3, self.block, n, n), np.float32) for _ in range(2))
        reader = _Crops(inputs, n)
        for at in range(first * self.block, n, self.block):
            for tile in geometry.cover(n, side):
                if not at <= tile.origin[0] < at + self.block:
                    continue
                i, j, k = (a - halo for a in tile.origin)
                window = geometry.window((i, j, k), around, n)
                fields = Fields(
                    reader.crop("linear", window),
                    psi=reader.crop("psi", window),
                    vel=reader.crop("vel", window),
                    force=reader.crop("force", window) if inputs.has("force", 0) else None,
                    density=reader.crop("density", window) if inputs.has("density", 0) else None,
                )
                x = torch.from_numpy(task.encode(fields, setting))[None]
                del fields
                with torch.no_grad():
                    evolved = task.decode(
                        task.run(net, Batch(x, style, (setting,), False)).float(), (setting,)
                    )
                del x
                _, y, z_axis = tile.inside
                rows = slice(tile.origin[0] - at, tile.origin[0] - at + tile.shape[0])
                for out, made in ((psi, evolved.psi), (vel, evolved.vel)):
                    out[:, rows, y, z_axis] = made[0].float().numpy()[:, *tile.valid]
            done = DYNAMICS + (1 - DYNAMICS) * (at + self.block) / n
            self.progress(number + done, total, f"z = {z:g}, corrected")
            yield Block(at, psi, vel, None)

    def _side(self, net: Any, task: Any, n: int) -> int:
        """The side of the largest tiles that fit into memory and into a block."""
        from zeldo.networks import inference

        blocks = 2 * 3 * 4 * self.block * n**2
        return tile_side(net.layout, task, n, self.block, inference.SHARE * (available() - blocks))


def tile_side(layout: Any, task: Any, n: int, block: int, free: float) -> int:
    """The side of the largest tiles of a network, a divisor of a block, whose forward pass takes no more than is free."""
    import torch

    from zeldo.networks import inference

    dtype = task.dtype or (torch.bfloat16 if inference.native_bfloat16("cpu") else torch.float32)
    sides = [d for d in range(layout.stride, block + 1, layout.stride) if block % d == 0]
    fitting = [side for side in sides if crop_memory(layout, task, side, dtype.itemsize) <= free]
    return max(fitting) if fitting else sides[0]


def crop_memory(layout: Any, task: Any, side: int, item_bytes: int) -> float:
    """Bytes of a tile's inputs, twice, and of its forward pass."""
    from zeldo.networks import inference

    around = inference.crop_side(layout, side)
    inputs = 2 * 4 * task.in_channels * around**3
    return inputs + inference.memory_estimate(layout, around, periodic=False, item_bytes=item_bytes)


class _Crops:
    """Cubes of periodic fields, cut out of slabs on disk."""

    def __init__(self, store: SlabStore, n: int) -> None:
        self.store, self.n = store, n

    def crop(self, name: str, window: geometry.Indices) -> np.ndarray:
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
