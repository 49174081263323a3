"""Networks as differentiable functions: each piece of the box runs again on the way back, so that nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zeldo.engines.base import Engine
from zeldo.engines.emulator import Emulator
from zeldo.engines.network import Network
from zeldo.engines.registry import dynamics_of
from zeldo.engines.trained import Trained
from zeldo.errors import InputError
from zeldo.gradients.linear import LinearField
from zeldo.mesh.torch_accelerated import Tensors, accelerated
from zeldo.networks import inference, tiling
from zeldo.networks.tasks.base import Batch, Fields, Setting, Task
from zeldo.networks.weights import load
from zeldo.particles import tiles as geometry

if TYPE_CHECKING:
    from zeldo.gradients.function import AnyCosmology, Evolved, Physics

SHARE = 0.2  # of the free memory, for the layers of one piece: on the way back all of them are there at once


def network_physics(
    engine: Trained, field: LinearField, redshift: float, physics_of: Callable[[Engine], Physics]
) -> Physics:
    """What an engine with a network does to a linear density, differentiable; `physics_of` is asked for its dynamics."""
    if isinstance(engine, Network) and engine.velocity is not None:
        raise InputError("a second network for velocities is not differentiable: leave velocity out")
    net = load(engine.path)
    task = net.card.make_task()
    setting = Setting(field.cosmology, redshift, field.box / field.n)
    task.check(setting)
    if (task.dynamics is None) == isinstance(engine, Emulator):
        raise InputError(
            f"{engine.path} is for engine {task.engine_class}: give it as engine, not as weights"
        )
    engine.check_universe(field.cosmology, setting.spacing, [redshift])  # as a run does
    corrected = dynamics_of(task)
    dynamics = None if corrected is None else physics_of(corrected)
    optimised: Any = inference.optimise(net, field.device, dtype=field.dtype, derivatives=True)
    if field.dtype == torch.float64:
        optimised = optimised.double()
    return _NetworkPhysics(task, optimised, dynamics, field, redshift, engine.tiles)


@dataclass(frozen=True, eq=False)
class _NetworkPhysics:
    """A network, after its dynamics where it has any."""

    task: Task
    net: Any
    dynamics: Physics | None
    field: LinearField
    redshift: float
    tiles: int | None

    def __call__(self, delta_lin: Tensor, cosmology: AnyCosmology) -> Evolved:
        setting = Setting(cosmology, self.redshift, self.field.box / self.field.n)
        begun = getattr(self.dynamics, "linear_field", lambda field: field)(delta_lin)
        fields: Any = {"psi_lin": self.field.linear_displacement(begun)}
        if self.dynamics is not None:
            fields["psi"], fields["vel"] = self.dynamics(delta_lin, cosmology)
            if hasattr(self.dynamics, "force"):
                fields["force"] = self.dynamics.force(fields["psi"])
        inputs: Any = self.task.encode(Fields(**fields), setting)
        if not isinstance(inputs, Tensor):
            raise InputError(
                f"the task {self.task.name} encodes tensors as {type(inputs).__name__}, through which no derivative passes: "
                "let its `encode` return a tensor where its fields are tensors"
            )
        style = self._style(setting, inputs)
        plain = Setting(self.field.cosmology, self.redshift, setting.spacing)
        output = accelerated(_Pieces(self.task, self.net, plain, self.tiles), inputs, style)
        evolved = self.task.decode(output[None], (setting,))
        if evolved.psi is None:
            raise InputError("this network predicts velocities only: an engine needs one of displacements")
        return evolved.psi[0], None if evolved.vel is None else evolved.vel[0]

    def _style(self, setting: Setting, inputs: Tensor) -> Tensor:
        style = self.task.style(setting)
        numbers = [torch.as_tensor(x, dtype=inputs.dtype, device=inputs.device) for x in style]
        return torch.stack(numbers) if numbers else inputs.new_zeros(0)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """A network on a periodic box (channels, n, n, n) with a style, piece by piece."""

    task: Task
    net: Any
    setting: Setting
    tiles: int | None

    def reference(self, x: Tensor, style: Tensor) -> Tensor:
        with inference.own_types():
            return self._run(x, style, True)

    def value(self, x: Tensor, style: Tensor) -> Tensor:
        out: Any = None
        with torch.no_grad(), inference.own_types():
            for piece, window in self._pieces(x):
                if window is None:
                    return self._run(x, style, True)
                result = self._run(geometry.take(x, window), style, False)
                out = x.new_empty(len(result), *x.shape[1:]) if out is None else out
                out[:, *piece.inside] = result[:, *piece.valid]
        return out

    def pull_back(self, inputs: Tensors, cotangents: Tensors) -> Tensors:
        x, style = inputs
        (cotangent,) = cotangents
        by_x, by_style = torch.zeros_like(x), torch.zeros_like(style)
        for piece, window in self._pieces(x):
            periodic = window is None
            part = x if window is None else geometry.take(x, window)
            with torch.enable_grad(), inference.own_types():
                part, look = part.detach().requires_grad_(), style.detach().requires_grad_()
                result = self._run(part, look, periodic)
                weight = cotangent
                if window is not None:
                    weight = torch.zeros_like(result)
                    weight[:, *piece.valid] = cotangent[:, *piece.inside]
                found = torch.autograd.grad(result, (part, look), weight, allow_unused=True)
            if found[1] is not None:
                by_style += found[1]
            if window is None:
                by_x += found[0]
            else:
                i, j, k = (torch.as_tensor(index, device=x.device) for index in window)
                place = (i[:, None, None], j[:, None], k)
                for out, values in zip(by_x, found[0], strict=True):
                    out.index_put_(place, values, accumulate=True)  # a halo may hold a cell twice
        return by_x, by_style

    def _run(self, x: Tensor, style: Tensor, periodic: bool) -> Tensor:
        return self.task.run(self.net, Batch(x[None], style[None], (self.setting,), periodic))[0]

    def _pieces(self, x: Tensor) -> Iterator[tuple[Any, Any]]:
        """Tiles with the indices of their crops; the whole box has none."""
        layout, n = self.net.layout, x.shape[-1]
        tiles = self.tiles
        if tiles is None:
            tiles = tiling.choose_tiles(
                layout,
                n,
                tiling.free_memory(x.device),
                share=SHARE,
                item_bytes=x.element_size(),
                passes=self.task.passes,
                device=x.device,
            )
        if tiles == 1:
            yield None, None
            return
        yield from tiling.crops(layout, n, tiles)
