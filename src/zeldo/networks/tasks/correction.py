"""Correction of a fast engine: its dynamics carry the particles most of the way, and the network corrects the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from zeldo.cosmology.background import growth
from zeldo.cosmology.scalars import is_tensor, scalar, single
from zeldo.errors import InputError, nearest
from zeldo.mesh.gravity import gravity
from zeldo.networks.architectures import is_weights
from zeldo.networks.losses import Loss, gradient_error, logarithm, momentum_error, number_error
from zeldo.networks.scales import DENSITY_MESH, Scales, by_density, by_scale, number_by_scale
from zeldo.networks.tasks import register
from zeldo.networks.tasks.base import Batch, Evolved, Fields, Setting, Task, check_weight, scaled
from zeldo.networks.tasks.units import growth_factor, hubble_flow, omega_style

WEIGHTS = {
    "displacement": 1.0,
    "density": 1.0,
    "velocity": 1.0,
    "momentum": 0.0,
    "gradient": 0.0,
    "displacement_decorrelation": 0.0,
    "velocity_decorrelation": 0.0,
    "density_decorrelation": 0.0,
    "redshift_space_decorrelation": 0.0,
    "displacement_spectrum": 0.0,
    "velocity_spectrum": 0.0,
    "density_spectrum": 0.0,
    "redshift_space_spectrum": 0.0,
    "density_particles": 0.0,
    "density_energy": 0.0,
}
BY_SCALE = ("_decorrelation", "_spectrum")
BY_DENSITY = ("density_particles", "density_energy")
WHOLE = (*BY_SCALE, *BY_DENSITY)  # of periodic boxes alone
# a card must not name a file to read or to write
REFUSED = ("checkpoint", "checkpoint_minutes", "weights", "velocity")
WEDGES = 2  # of redshift space: across and along the line of sight
TYPICAL_SPACING = 2.0  # Mpc/h, where the style is 0


Scaled = tuple[np.ndarray, Any]  # a field and what it is multiplied by


def _density(fields: Fields, setting: Setting) -> Scaled:
    """ln of the density at the particles, in units of its mean, on a mesh of twice the lattice's points a side."""
    from zeldo.mesh import numba_kernels as kernels

    if fields.density is not None:
        return fields.density, 1
    assert fields.psi is not None
    n = fields.psi.shape[-1]
    if is_tensor(fields.psi):
        from zeldo.mesh.torch_numba import paint, read

        tensor: Any = fields.psi
        box = n * setting.spacing
        density: Any = torch.log(read(paint(tensor, DENSITY_MESH * n, box), tensor, box))
        return density, 1
    psi, box = np.ascontiguousarray(fields.psi), n * setting.spacing
    # its own mass keeps the density at a particle at 1 or above
    density = kernels.read(kernels.paint(psi, DENSITY_MESH * n, box), psi, box)
    return np.log(density, out=density), 1


def _force(fields: Fields, setting: Setting) -> Scaled:
    """-grad lap^-1 delta at the particles, in lattice spacings: the dynamics' own where they have one at the end."""
    per_spacing = single(1 / setting.spacing)
    if fields.force is not None:
        return fields.force, per_spacing
    assert fields.psi is not None
    n = fields.psi.shape[-1]
    if is_tensor(fields.psi):
        from zeldo.mesh.torch_numba import differentiable_gravity

        tensor: Any = fields.psi
        device, box = str(tensor.device), n * setting.spacing
        force: Any = differentiable_gravity(box, DENSITY_MESH * n, device=device, dtype=tensor.dtype)
        return force(tensor), per_spacing
    return gravity(n * setting.spacing, DENSITY_MESH * n)(fields.psi), per_spacing


def _linear(fields: Fields, setting: Setting) -> Scaled:
    d1 = growth_factor(setting.cosmology, setting.redshift)
    return fields.psi_lin, single(d1 / setting.spacing)


def _psi(fields: Fields, setting: Setting) -> Scaled:
    assert fields.psi is not None
    return fields.psi, single(1 / setting.spacing)


def _vel(fields: Fields, setting: Setting) -> Scaled:
    assert fields.vel is not None
    return fields.vel, single(1 / velocity_unit(setting))


INPUTS: dict[str, Callable[[Fields, Setting], Scaled]] = {
    "psi": _psi,
    "vel": _vel,
    "linear": _linear,
    "density": _density,
    "force": _force,
}
SCALARS = ("density",)


def velocity_unit(setting: Setting) -> float:
    """The linear velocity of a displacement by one lattice spacing, km/s."""
    return setting.spacing * hubble_flow(setting.cosmology, setting.redshift)


@register
@dataclass(frozen=True)
class Correction(Task):
    """A network corrects the displacement and the velocity of any engine, at any redshift, cosmology and spacing.

    Lengths are in lattice spacings, and velocities in the linear velocity of a displacement by one spacing. The first six
    inputs are the displacement and velocity by the dynamics, and they are added to the output: a network whose last layers
    are zero changes nothing. The style is (5 (omega_m - 0.3), D - 1, f - 1, ln(spacing / 2)).

    Parameters
    ----------
    engine : str
        The name of the engine that gives the dynamics.
    engine_options : mapping
        Its options.
    inputs : sequence of str
        The fields that the network is given: "psi" and "vel" first, then any of "linear" (D1 psi_lin), "density" (its
        logarithm, at the particle) and "force" (at the particle).
    weights : mapping of str to float
        Weights of the terms of the loss. "displacement", "density", "velocity", "momentum" and "gradient" (of the
        displacement) are logarithms of mean square errors. "FIELD_decorrelation" is the mean of ln(1 - r^2) over shells of
        wavenumber. "FIELD_spectrum" is the mean square of ln(P / P_true) there. FIELD is displacement, velocity, density
        or redshift_space, which is the density with velocities along the last axis. "density_particles" is the mean
        square of ln(N / N_true), with N particles in an interval of the density around them; "density_energy" is that of
        their mean square velocity. Missing ones keep their defaults; 0 leaves a term out.
    """

    name: ClassVar[str] = "correction"
    engine_class: ClassVar[str] = "emulator"
    trained_at_one_spacing: ClassVar[bool] = False
    loss_options: ClassVar[tuple[str, ...]] = ("weights",)
    engine: str = "cola"
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ("psi", "vel", "linear", "density")
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.engine, str) or not isinstance(self.engine_options, Mapping):
            raise InputError("the dynamics are not allowed: give engine = a name and a table engine_options")
        files = [name for name in self.engine_options if name in REFUSED]
        if files or is_weights(self.engine):
            raise InputError(
                f"the dynamics {self.engine} with {files[0] if files else 'weights'} are not allowed: choose an engine "
                "by its name, with options that name no file"
            )
        if isinstance(self.inputs, str) or not isinstance(self.inputs, Sequence):
            raise InputError(f"inputs = {self.inputs!r} is not allowed: give a list of names")
        if not isinstance(self.weights, Mapping):
            raise InputError(f"weights = {self.weights!r} is not allowed: give a table of terms and numbers")
        inputs = tuple(self.inputs)
        for name in inputs:
            if name not in INPUTS:
                raise InputError(
                    f"input {name!r} is not known: choose from {', '.join(INPUTS)}{nearest(str(name), INPUTS)}"
                )
        if inputs[:2] != ("psi", "vel") or len(set(inputs)) < len(inputs):
            raise InputError(
                f"inputs = {list(inputs)} is not allowed: begin with psi and vel, each name once"
            )
        for name, value in self.weights.items():
            if name not in WEIGHTS:
                raise InputError(
                    f"the loss has no term {name!r}: it has {', '.join(WEIGHTS)}{nearest(name, WEIGHTS)}"
                )
            check_weight(f"weights.{name}", value)
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "engine_options", dict(self.engine_options))
        object.__setattr__(self, "weights", {**WEIGHTS, **self.weights})
        if not any(self.weights.values()):
            raise InputError("all terms of the loss have no weight: set one of task.weights above 0")

    @property
    def predicts(self) -> tuple[str, ...]:
        return ("psi", "vel")

    @property
    def vectors(self) -> tuple[bool, ...]:
        return tuple(name not in SCALARS for name in self.inputs)

    @property
    def styles(self) -> int:
        return 4

    @property
    def dynamics(self) -> tuple[str, Mapping[str, Any]]:
        return self.engine, self.engine_options

    def check_training(self, *, crop: bool) -> None:
        whole = [name for name, weight in self.weights.items() if weight and name.endswith(WHOLE)]
        if crop and whole:
            raise InputError(
                f"{whole[0]} of a crop is not that of a box: set data.crop or task.weights.{whole[0]} to 0"
            )

    def encode(self, fields: Fields, setting: Setting) -> np.ndarray:
        if fields.psi is None or fields.vel is None:
            raise InputError(
                f"the task {self.name} needs displacement and velocity of its dynamics, {self.engine} did not give both: "
                "choose an engine with velocities, and use the network by its engine"
            )
        inputs: list[Any] = [INPUTS[name](fields, setting) for name in self.inputs]
        shape = inputs[0][0].shape[-3:]
        if is_tensor(inputs[0][0]):
            return torch.cat([factor * values.reshape(-1, *shape) for values, factor in inputs])  # type: ignore[return-value]
        out, end = np.empty((self.in_channels, *shape), np.float32), 0
        for values, factor in inputs:  # straight to their places: copies of all fields take time
            begin, end = end, end + (values.size // out[0].size)
            # by torch: the emulator in pieces encodes in a thread, and Numba's pool must not have two callers
            given = torch.from_numpy(np.require(values.reshape(-1, *shape), np.float32, ["C", "W"]))
            torch.mul(given, float(factor), out=torch.from_numpy(out[begin:end]))
        return out

    def style(self, setting: Setting) -> tuple[float, ...]:
        cosmology, grown = setting.cosmology, growth(setting.cosmology)
        a = setting.scale_factor
        spacing = float(np.log(setting.spacing / TYPICAL_SPACING))
        return omega_style(cosmology.omega_m), scalar(grown.d1(a)) - 1, scalar(grown.f1(a)) - 1, spacing

    def decode(self, output: Tensor, settings: Sequence[Setting]) -> Evolved:
        psi = scaled(output[:, :3], [setting.spacing for setting in settings])
        return Evolved(psi, scaled(output[:, 3:], [velocity_unit(setting) for setting in settings]))

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        assert batch.psi is not None and batch.vel is not None
        units = [(setting.spacing, velocity_unit(setting)) for setting in batch.settings]
        # lengths in spacings, velocities in `velocity_unit`: the same scale for all redshifts and lattices
        psi, vel = output.float().split(3, dim=1)
        target = scaled(batch.psi, [1 / spacing for spacing, _ in units])
        target_vel = scaled(batch.vel, [1 / unit for _, unit in units])
        losses = []
        for p, v, t, w, setting in zip(psi, vel, target, target_vel, batch.settings, strict=True):
            losses.append(self._terms(p, v, t, w, setting, batch.periodic))
        total, parts = output.new_zeros((), dtype=torch.float32), {}
        for name, weight in self.weights.items():
            if weight:
                # of the logarithms, so that early times and smooth cosmologies count as much as others
                term = torch.stack([terms[name] for terms in losses]).mean()
                parts[f"l_{name}"] = term.detach()
                total = total + weight * term
        return Loss(total, parts)

    def _terms(
        self, psi: Tensor, vel: Tensor, target: Tensor, target_vel: Tensor, setting: Setting, periodic: bool
    ) -> dict[str, Tensor]:
        """The terms of the loss that have a weight, of one item, in the task's units."""
        cells, terms = psi[0].numel(), {}
        errors: dict[str, Callable[[], Tensor]] = {
            "displacement": lambda: (psi - target).square().mean(),
            "density": lambda: number_error(psi, target, 1.0, periodic=periodic).square().sum() / cells,
            "velocity": lambda: (vel - target_vel).square().mean(),
            "momentum": lambda: (
                momentum_error(psi, vel, target, target_vel, 1.0, periodic=periodic).square().sum()
                / (3 * cells)
            ),
            "gradient": lambda: gradient_error(psi[None], target[None]),
        }
        for name, error in errors.items():
            if self.weights[name]:
                terms[name] = logarithm(error())
        rate = float(growth(setting.cosmology).f1(setting.scale_factor))
        pairs: dict[str, Callable[[], Scales]] = {
            "displacement": lambda: by_scale(psi, target),
            "velocity": lambda: by_scale(vel, target_vel),
            "density": lambda: number_by_scale(psi, target),
            "redshift_space": lambda: number_by_scale(
                _in_redshift_space(psi, vel, rate),
                _in_redshift_space(target, target_vel, rate),
                wedges=WEDGES,
            ),
        }
        for compared_field, compared in pairs.items():
            names = [compared_field + end for end in BY_SCALE]
            if any(self.weights[name] for name in names):
                terms.update(zip(names, compared(), strict=True))
        if any(self.weights[name] for name in BY_DENSITY):
            terms.update(zip(BY_DENSITY, by_density(psi, vel, target, target_vel), strict=True))
        return terms

    def describe_loss(self) -> str:
        terms = [f"{weight:g} {name}" for name, weight in self.weights.items() if weight]
        return f"logarithms of errors, weights {', '.join(terms)}"


def _in_redshift_space(psi: Tensor, vel: Tensor, rate: float) -> Tensor:
    """The displacement with v / (a H) added along the last axis, all in the task's units; rate is f."""
    return torch.cat([psi[:2], psi[2:] + rate * vel[2:]])
