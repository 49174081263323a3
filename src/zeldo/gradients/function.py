"""The evolved universe as a differentiable function of its initial conditions and its cosmology."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from zeldo.brief import brief
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.varied import VariedCosmology
from zeldo.engines.base import Engine
from zeldo.engines.cola import Cola
from zeldo.engines.lpt import Perturbation
from zeldo.engines.parsing import parse_engine
from zeldo.engines.pm import ParticleMesh
from zeldo.engines.table import Row
from zeldo.engines.trained import Trained
from zeldo.errors import InputError, nearest
from zeldo.gradients.linear import LinearField
from zeldo.gradients.mesh_run import MeshRun
from zeldo.initial.lpt import lpt_factors
from zeldo.keywords import check_plain, checked_keywords, number
from zeldo.mesh.gravity import torch_device
from zeldo.mesh.numba_kernels import apply_table
from zeldo.mesh.torch_accelerated import kept
from zeldo.mesh.torch_numba import differentiable_gravity
from zeldo.universe import Universe

GRADIENTS = ("adjoint", "autograd")
Evolved = tuple[Tensor, Tensor | None]
AnyCosmology = Any  # a Cosmology of floats, or a VariedCosmology of tensors


class Physics(Protocol):
    """From the linear density today to displacement and velocity."""

    def __call__(self, delta_lin: Tensor, cosmology: AnyCosmology) -> Evolved: ...


@dataclass(frozen=True, eq=False)
class Differentiable:
    """A function of tensors, which `zeldo.differentiable` makes: `f(white_noise, **cosmology) -> (psi, vel)`.

    Parameters
    ----------
    engine : Engine
    field : LinearField
        The linear density as a function of white noise.
    redshift : float
        Redshift of the evolved universe.
    physics : callable
        From the linear density to displacement and velocity.
    """

    engine: Engine
    field: LinearField
    redshift: float
    physics: Physics = dataclasses.field(repr=False)

    __repr__ = brief

    @property
    def box(self) -> float:
        """Side of the box, Mpc/h."""
        return self.field.box

    @property
    def n(self) -> int:
        """Particles per side."""
        return self.field.n

    @property
    def cosmology(self) -> Cosmology:
        """The cosmology of all parameters that a call does not give."""
        return self.field.cosmology

    @property
    def delta_amplitude(self) -> Tensor:
        """The linear density of each mode over its white noise, (n, n, n // 2 + 1), in the function's cosmology."""
        return self.field.base_amplitude

    def __call__(self, white_noise: Tensor, **cosmology: Any) -> Evolved:
        """The evolved universe.

        Parameters
        ----------
        white_noise : Tensor, (n, n, n)
            Of unit variance.
        **cosmology : float or Tensor
            Parameters by the names of `Cosmology`, which replace those of the function.

        Returns
        -------
        psi : Tensor, (3, n, n, n)
            Displacement, Mpc/h.
        vel : Tensor, (3, n, n, n), or None
            Peculiar velocity, km/s; None from a network that predicts none.
        """
        return self.evolve(self.delta_lin(white_noise, **cosmology), **cosmology)

    def delta_lin(self, white_noise: Tensor, **cosmology: Any) -> Tensor:
        """The linear density contrast today of white noise, (n, n, n); arguments as of the function."""
        return self.field.delta_lin(self._checked(white_noise, "white noise"), self.varied(cosmology))

    def evolve(self, delta_lin: Tensor, **cosmology: Any) -> Evolved:
        """The evolved universe of a linear density contrast today, (n, n, n), which does not change with cosmology."""
        return self.physics(
            self._checked(delta_lin, "delta_lin"), self.varied(cosmology) or self.field.cosmology
        )

    def varied(self, changes: Mapping[str, Any]) -> VariedCosmology | None:
        """The cosmology with some parameters changed; None for no change."""
        if not changes:
            return None
        check_parameters(changes)
        numbers = {name: _number(name, value) for name, value in changes.items()}
        known = {name: value for name, value in numbers.items() if value is not None}
        allowed = Cosmology.from_mapping({**self.cosmology.to_dict(), **known})
        self.engine.check_universe(allowed, self.box / self.n, [self.redshift])
        return VariedCosmology.of(self.cosmology, changes, self.field.device)

    def _checked(self, field: Tensor, name: str) -> Tensor:
        check_plain(field, name)
        if isinstance(field, np.ndarray):
            field = field.astype(field.dtype.newbyteorder("="), copy=False)
        try:
            tensor = torch.as_tensor(field, device=self.field.device)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(f"{name} is a {type(field).__name__}: give a tensor of real numbers") from None
        if tensor.dtype.is_complex or tensor.dtype == torch.bool:
            raise InputError(f"{name} is a tensor of {tensor.dtype}: give one of real numbers")
        tensor = tensor.to(self.field.dtype)
        if tensor.shape != 3 * (self.n,):
            raise InputError(
                f"{name} has shape {tuple(tensor.shape)}: with n = {self.n} it must have {3 * (self.n,)}"
            )
        if not _finite(tensor):
            raise InputError(f"{name} holds values that are not finite: check where it comes from")
        return tensor


def check_parameters(names: Iterable[str]) -> None:
    """`InputError` for a name that is no parameter of a cosmology."""
    allowed = Cosmology.names()
    for name in names:
        if name not in allowed:
            hint = nearest(name, allowed) or f": give any of {', '.join(allowed)}"
            raise InputError(f"the cosmology has no parameter {name!r}{hint}")


def _number(name: str, value: Any) -> float | None:
    """The value as a float; None inside of `torch.vmap`, which has many at once."""
    if not isinstance(value, Tensor):
        return number(value, name)
    if value.numel() != 1:
        raise InputError(f"{name} has shape {tuple(value.shape)}: give one number, or use torch.vmap")
    if value.dtype.is_complex or value.dtype == torch.bool:
        raise InputError(f"{name} is of type {value.dtype}: give a real number")
    try:
        return float(value.detach())
    except RuntimeError:
        return None


def _finite(field: Tensor) -> bool:
    """Whether all numbers are finite; true inside of `torch.vmap`, where nobody can tell."""
    try:
        return bool(field.detach().isfinite().all())
    except RuntimeError:
        return True


@checked_keywords()
def differentiable(
    engine: str | os.PathLike[str] | Engine = "pm",
    *,
    box: float,
    n: int,
    redshift: float = 0.0,
    cosmology: Any = None,
    power: str | os.PathLike[str] | None = None,
    gradient: str = "adjoint",
    dtype: torch.dtype = torch.float32,
    device: str | None = None,
    **parameters: float,
) -> Differentiable:
    """The evolved universe as a function that torch differentiates.

    Gradients run through the linear power, the growth factors, 2LPT and all steps. `torch.autograd` and the transforms of
    `torch.func` work on the function.

    Parameters
    ----------
    engine : str, path or Engine
        zeldovich, 2lpt, cola, pm, emulator, vnet or a file of weights, with options as in "cola:steps=20".
    box : float
        Side of the box, Mpc/h.
    n : int
        Particles per side, even.
    redshift : float
        Redshift of the evolved universe.
    cosmology : str, Cosmology or astropy.cosmology.FLRW, optional
        Values of all parameters that a call does not give; "quijote" where absent. The linear power is exact there.
    power : str or path, optional
        As in `zeldo.linear_power`. CAMB's has its own first derivatives there. A table changes as the power
        of Eisenstein & Hu 1998 does.
    gradient : {"adjoint", "autograd"}
        How the steps of cola and pm are differentiated. The reverse-time adjoint (Li et al. 2022, arXiv:2211.09815) needs
        memory for one step, torch's own for all of them.
    dtype : torch.dtype
        float32, for which the CPU has fast kernels, or float64.
    device : str, optional
        A torch device; by default where the engine's own options say.
    **parameters : float
        Parameters that replace those of the cosmology.

    Returns
    -------
    Differentiable
        `f(white_noise, **cosmology) -> (psi, vel)`: white noise (n, n, n) of unit variance, and parameters by the names
        of `Cosmology`, floats or tensors; displacement in Mpc/h and peculiar velocity in km/s, (3, n, n, n) each.

    Raises
    ------
    InputError
        For an engine that is not differentiable, such as p3m, and a value that is not allowed.

    Examples
    --------
    >>> f = zeldo.differentiable("pm", box=125, n=32)
    >>> psi, vel = f(torch.randn(32, 32, 32), omega_m=torch.tensor(0.3, requires_grad=True))
    """
    check_parameters(parameters)  # a seed, or phases, would be left unused
    universe = Universe.of(cosmology, box=box, n=n, power=power, **parameters)
    parsed = parse_engine(engine)
    if gradient not in GRADIENTS:
        raise InputError(f"gradient = {gradient!r} is not allowed: give adjoint or autograd")
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"dtype = {dtype} is not allowed: give torch.float32 or torch.float64")
    (redshift,) = parsed.check([number(redshift, "redshift")])
    parsed.check_lattice(universe.n)
    if getattr(parsed, "checkpoint", None) is not None:
        raise InputError(f"only runs keep checkpoints: leave checkpoint out of engine {parsed.name}")
    place: str = getattr(parsed, "device", "cpu") if device is None else device
    if hasattr(parsed, "device"):
        parsed = replace(parsed, **{"device": place})
    place = torch_device(place)
    field = LinearField(universe.box, universe.n, universe.cosmology, universe.power, dtype, place)
    return Differentiable(parsed, field, redshift, physics_of(parsed, field, redshift, gradient))


def physics_of(engine: Engine, field: LinearField, redshift: float, gradient: str) -> Physics:
    """What an engine does to a linear density, differentiable; `InputError` for an engine that is not."""
    if isinstance(engine, Perturbation):
        return _Lpt(engine, field, redshift)
    if isinstance(engine, Cola | ParticleMesh):
        return _Mesh(engine, field, redshift, gradient)
    if isinstance(engine, Trained):
        from zeldo.gradients.network_run import network_physics

        return network_physics(
            engine, field, redshift, lambda dynamics: physics_of(dynamics, field, redshift, gradient)
        )
    raise InputError(
        f"engine {engine.name} is not differentiable: take zeldovich, 2lpt, cola, pm, emulator or vnet"
    )


class _Lpt:
    """Lagrangian perturbation theory: straight lines, or second order too."""

    def __init__(self, engine: Perturbation, field: LinearField, redshift: float):
        self.order, self.field, self.a = engine.order, field, 1 / (1 + redshift)

    def __call__(self, delta_lin: Tensor, cosmology: AnyCosmology) -> Evolved:
        field = self.field
        orders = field.displacements(delta_lin) if self.order > 1 else (field.linear_displacement(delta_lin),)
        factors = lpt_factors(cosmology, self.a, self.order)
        psi = sum(d * psi for (d, _), psi in zip(factors, orders, strict=True))
        vel = sum(v * psi for (_, v), psi in zip(factors, orders, strict=True))
        return psi, vel  # type: ignore[return-value]


class _Mesh:
    """The steps of a particle mesh."""

    def __init__(self, engine: Cola | ParticleMesh, field: LinearField, redshift: float, gradient: str):
        self.engine, self.field, self.redshift, self.gradient = engine, field, redshift, gradient
        self.gravity = differentiable_gravity(
            field.box,
            engine.mesh_factor * field.n,
            **engine.force_options(field.box / field.n),
            device="torch" if engine.device == "torch" else field.device,
            dtype=field.dtype,
        )

    def __call__(self, delta_lin: Tensor, cosmology: AnyCosmology) -> Evolved:
        varied = isinstance(cosmology, VariedCosmology)
        table: Any = self.engine.steps_of(cosmology, [self.redshift]).rows if varied else self._usual
        run = MeshRun(self.gravity, table, self.engine.moving, varied)
        first, second = self.field.displacements(self.linear_field(delta_lin))
        return run.adjoint(first, second) if self.gradient == "adjoint" else run.autograd(first, second)

    def linear_field(self, delta_lin: Tensor) -> Tensor:
        """As of `Engine.linear_field`."""
        if self._amplitudes is None:
            return delta_lin
        return self.field.from_modes(torch.fft.rfftn(delta_lin) * self._amplitudes)

    def force(self, psi: Tensor) -> Tensor | None:
        """The force of the last step at the particles, Mpc/h; None where it took none, as at the start of COLA."""
        last: Row = self._usual[-1]
        if not last.forced:
            return None
        return self.gravity(psi, float(last.offset), sharpening=float(last.sharpening))

    @cached_property
    def _amplitudes(self) -> Tensor | None:
        table, n = self.engine.amplitudes(self.field.box / self.field.n), self.field.n
        if table is None:
            return None
        modes = np.ones((n, n, n // 2 + 1), np.complex64)
        apply_table(modes, table)
        return torch.from_numpy(modes.real).to(self.field.device, self.field.dtype)

    @cached_property
    def _usual(self) -> Any:
        """The steps in the function's own cosmology."""
        return kept(lambda: self.engine.steps_of(self.field.cosmology, [self.redshift]).rows)
