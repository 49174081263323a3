"""The initial conditions of an observed universe: the maximum of the posterior, and samples around it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeldo.engines.base import Engine, Progress, silent
from zeldo.engines.checks import check_number, check_whole
from zeldo.errors import InputError
from zeldo.gradients import langevin
from zeldo.gradients.function import Differentiable, differentiable
from zeldo.gradients.maximum import maximise, perturbed_maximum, stages
from zeldo.gradients.observing import observed
from zeldo.gradients.posterior import Observation, Posterior, Whitened
from zeldo.gradients.resume import Memory
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.noise import check_seed
from zeldo.keywords import checked_keywords
from zeldo.particles.snapshot import Snapshot

TOLERANCE = 0.2  # of a lattice cell: the error of a density that is called noiseless
WARM_UP = 0.5  # of the samples, before them
PERTURBED = 50  # iterations from the maximum to the first sample
TRACES = 128  # white-noise values that are followed along the chain


@dataclass(frozen=True, eq=False)
class Samples:
    """What a chain found.

    Parameters
    ----------
    mean, deviation : ndarray, (n, n, n)
        Of the posterior of white noise.
    last : ndarray, (n, n, n)
        White noise at the end of the chain.
    energies : ndarray, (samples,)
        Half of chi^2 plus half of the sum of squares.
    traces : ndarray, (samples, values)
        Some values of white noise.
    """

    mean: np.ndarray
    deviation: np.ndarray
    last: np.ndarray
    energies: np.ndarray
    traces: np.ndarray

    @property
    def effective(self) -> float:
        """Independent samples that the chain is worth: the median over the values followed."""
        return float(np.median([langevin.effective_size(trace) for trace in self.traces.T]))


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Recovered initial conditions.

    Parameters
    ----------
    posterior : Posterior
        What was maximised and sampled.
    maximum : ndarray, (n, n, n)
        White noise at the maximum.
    samples : Samples or None
        None where none were asked for.
    options : dict
        The options of the call, for the record.
    """

    posterior: Posterior
    maximum: np.ndarray
    samples: Samples | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def function(self) -> Differentiable:
        return self.posterior.function

    @property
    def white_noise(self) -> np.ndarray:
        """A sample of the posterior, whose variance is that of white noise; the maximum where there are no samples."""
        return self.maximum if self.samples is None else self.samples.last

    @property
    def estimate(self) -> np.ndarray:
        """The white noise nearest to the truth: the maximum. The mean of a short chain is little more than a sample."""
        return self.maximum

    def delta_lin(self, white_noise: np.ndarray) -> np.ndarray:
        """The linear density contrast today of white noise, (n, n, n)."""
        with torch.no_grad():
            return self.function.delta_lin(torch.from_numpy(white_noise)).cpu().numpy()

    def predicted(self, white_noise: np.ndarray) -> np.ndarray:
        """The density contrast that would be observed without error, (m, m, m)."""
        field = self.function.field
        with torch.no_grad():
            return self.posterior.predicted(_tensor(white_noise, field.device)).cpu().numpy()

    def initial_conditions(self) -> InitialConditions:
        """`white_noise` as initial conditions, for any engine."""
        f = self.function
        power = Path(str(f.field.power)).name
        delta = self.delta_lin(self.white_noise)
        return InitialConditions(f.box, f.n, f.cosmology, delta, power=power, phases="reconstructed")


@checked_keywords()
def reconstruct(
    source: str | os.PathLike[str] | np.ndarray | Snapshot,
    *,
    engine: str | os.PathLike[str] | Engine = "cola",
    cosmology: Any = None,
    box: float | None = None,
    n: int | None = None,
    redshift: float | None = None,
    power: str | os.PathLike[str] | None = None,
    mesh: int | None = None,
    noise: float | None = None,
    smoothing: float = 0.0,
    bias: float = 1.0,
    redshift_space: int | None = None,
    effort: float = 1.0,
    samples: int = 100,
    seed: int = 7,
    device: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_minutes: float = 2.0,
    progress: Progress | None = None,
) -> Reconstruction:
    """Find the initial conditions of an observed density, or of a snapshot.

    Parameters
    ----------
    source : path, ndarray or Snapshot
        A snapshot; or a density (m, m, m) by cloud-in-cell on a mesh, in units of its mean or as a contrast, as an array or
        a .npy file.
    engine : str, path or Engine
        What evolves initial conditions, with options as in "pm:steps=5"; see `zeldo.differentiable`.
    cosmology : str, Cosmology or astropy.cosmology.FLRW, optional
        The snapshot's own, or "quijote" where absent.
    box : float, optional
        Side of the box of a density, Mpc/h.
    n : int, optional
        Particles per side: those of the snapshot, or half of a density's mesh, where absent.
    redshift : float, optional
        Of a density; 0 where absent.
    power : str or path, optional
        As of `zeldo.linear_power`; "camb" where absent.
    mesh : int, optional
        Mesh points per side that a snapshot's density is taken on; twice its lattice where absent.
    noise : float, optional
        Standard deviation of the density contrast's Gaussian error in each mesh cell. Where absent the density is taken for
        noiseless, with a tolerance of 0.2 in each lattice cell.
    smoothing : float
        Standard deviation of the Gaussian that a density was smoothed with, Mpc/h.
    bias : float
        Linear bias of the density.
    redshift_space : {0, 1, 2}, optional
        The line of sight, for a density in redshift space. A snapshot is seen in redshift space along it.
    effort : float
        What the usual numbers of iterations are multiplied by.
    samples : int
        Steps of the sampler after the maximum is found and half as many are left aside; 0 for the maximum alone.
    seed : int
        Of the sampler.
    device : str, optional
        A torch device; by default where the engine's own options say.
    checkpoint : path, optional
        A .npz file from which a killed run goes on. It is removed at the end.
    checkpoint_minutes : float
        The interval at which it is written.
    progress : callable, optional
        Called with the work done, the total work, and a short text.

    Returns
    -------
    Reconstruction

    Raises
    ------
    InputError
        For a value that is not allowed, before any work.
    """
    for name, value, low, high in (
        ("smoothing", smoothing, 0, 1000),
        ("bias", bias, 0.01, 100),
        ("effort", effort, 0.01, 100),
        ("checkpoint_minutes", checkpoint_minutes, 0, 1e6),
    ):
        check_number(name, value, low, high)
    check_whole("samples", samples, 0, 1_000_000)
    check_seed(seed)
    if redshift_space not in (None, 0, 1, 2):
        raise InputError(
            f"redshift_space = {redshift_space!r} is not allowed: give 0, 1 or 2, the line of sight"
        )
    seen = observed(
        source, box=box, n=n, redshift=redshift, cosmology=cosmology, mesh=mesh, axis=redshift_space
    )
    f = differentiable(
        engine,
        box=seen.box,
        n=seen.n,
        redshift=seen.redshift,
        cosmology=seen.cosmology,
        power=power,
        device=device,
    )
    unit = (len(seen.delta) / f.n) ** 1.5  # the error of a lattice cell's density in one of its mesh cells
    if noise is not None:
        check_number("noise", noise, 1e-6, 1e6)
    sigma = TOLERANCE * unit if noise is None else float(noise)
    delta = _tensor(seen.delta, f.field.device)
    posterior = Posterior(f, Observation(delta, sigma, smoothing, bias, redshift_space))
    if redshift_space is not None and f.engine.name == "vnet":
        raise InputError("redshift space needs velocities, which engine vnet does not predict: take another")
    options = {
        "engine": f.engine.name,
        **{name: str(value) for name, value in f.engine.settings.items()},
        "power": str(f.field.power),
        "noise": sigma,
        "smoothing": smoothing,
        "bias": bias,
        "redshift_space": redshift_space,
        "effort": effort,
        "samples": samples,
        "seed": seed,
    }
    memory = None if checkpoint is None else Memory.of(checkpoint, seen, options, checkpoint_minutes)
    search = _Search(posterior, effort, samples, seed, memory, progress or silent)
    maximum = search.maximum()
    chain = search.chain(maximum) if samples else None
    if memory is not None:
        memory.remove()
    return Reconstruction(posterior, maximum.cpu().numpy(), chain, options)


class _Search:
    """The two parts of a reconstruction, with their progress and what is kept of them on disk."""

    def __init__(
        self,
        posterior: Posterior,
        effort: float,
        samples: int,
        seed: int,
        memory: Memory | None,
        progress: Progress,
    ):
        self.posterior, self.samples, self.memory, self.progress = posterior, samples, memory, progress
        self.plan = stages(posterior, effort)
        self.warm_up = math.ceil(WARM_UP * samples)
        self.iterations = sum(stage.iterations for stage in self.plan)
        self.perturbed = max(1, round(effort * PERTURBED)) if samples else 0
        # a step of the sampler takes two gradients
        self.total = self.iterations + self.perturbed + 2 * (self.warm_up + samples)
        self.generator = torch.Generator().manual_seed(seed)
        self.kept: dict[str, np.ndarray] = memory.load() if memory else {}

    def maximum(self) -> Tensor:
        if "x" in self.kept:
            return self._tensor("white_noise")
        f = self.posterior.function
        start = torch.zeros(3 * (f.n,), dtype=f.field.dtype, device=f.field.device)
        first = (0, 0)
        if self.kept:
            start, first = self._tensor("white_noise"), (int(self.kept["stage"]), int(self.kept["iteration"]))

        def watch(stage: int, iteration: int, white_noise: Tensor) -> None:
            before = sum(part.iterations for part in self.plan[:stage])
            scale = self.plan[stage].scale
            where = f"scales above {scale:.3g} Mpc/h" if scale else f"noise {self.plan[stage].noise:.2g}"
            self.progress(before + iteration, self.total, f"maximum, {where}")
            if self.memory and self.memory.due():
                self._save(white_noise, stage=stage, iteration=iteration)

        self.progress(0, self.total, "preparing (the first run on a machine compiles for a minute)")
        return maximise(self.posterior, start, self.plan, first=first, watch=watch)

    def chain(self, maximum: Tensor) -> Samples:
        """The sampler, from the maximum on."""
        target = Whitened(self.posterior)
        count = maximum.numel()
        followed = torch.from_numpy(np.linspace(0, count - 1, min(TRACES, count)).astype(np.int64))
        sums = [torch.zeros_like(maximum, dtype=torch.float64) for _ in range(2)]
        energies: list[float] = []
        traces: list[np.ndarray] = []
        if "x" in self.kept:
            walker = langevin.Walker(
                self._tensor("x"),
                self._tensor("u"),
                float(self.kept["energy"]),
                self._tensor("gradient"),
                float(self.kept["step"]),
                float(self.kept["error"]),
            )
            first = int(self.kept["done"])
            sums = [torch.from_numpy(self.kept[name]).to(maximum.device) for name in ("sum", "squares")]
            energies, traces = list(self.kept["energies"]), list(self.kept["traces"])
            self.generator.set_state(torch.from_numpy(self.kept["generator"]))
        else:
            sample = perturbed_maximum(
                self.posterior, maximum, self.perturbed, self.generator, self._watch_perturbed
            )
            walker = langevin.start(target.value_and_gradient, target.coordinates(sample), self.generator)
            first = 0
        for done in range(first + 1, self.warm_up + self.samples + 1):
            warming = done <= self.warm_up
            walker = langevin.advance(target.value_and_gradient, walker, self.generator, adapt=warming)
            if not warming:
                white_noise = target.white_noise(walker.x)
                sums[0] += white_noise
                sums[1] += white_noise.double().square()
                energies.append(walker.energy)
                traces.append(white_noise.reshape(-1).cpu()[followed].numpy())
            self.progress(
                self.iterations + self.perturbed + 2 * done,
                self.total,
                "sampler, warming up" if warming else "sampler",
            )
            if self.memory and self.memory.due():
                self._save(
                    maximum,
                    **{
                        name: getattr(walker, name)
                        for name in ("x", "u", "energy", "gradient", "step", "error")
                    },
                    done=done,
                    sum=sums[0],
                    squares=sums[1],
                    energies=energies,
                    traces=np.array(traces).reshape(-1, len(followed)),
                    generator=self.generator.get_state(),
                )
        mean = sums[0] / self.samples
        deviation = (sums[1] / self.samples - mean.square()).clamp_min(0).sqrt()
        last = target.white_noise(walker.x)
        found, spread, end = (x.float().cpu().numpy() for x in (mean, deviation, last))
        return Samples(found, spread, end, np.array(energies), np.array(traces))

    def _watch_perturbed(self, iteration: int, white_noise: Tensor) -> None:
        self.progress(self.iterations + iteration, self.total, "first sample")

    def _tensor(self, name: str) -> Tensor:
        return _tensor(self.kept[name], self.posterior.function.field.device)

    def _save(self, white_noise: Tensor, **values: Any) -> None:
        assert self.memory is not None
        arrays = {"white_noise": white_noise, **values}
        self.memory.save(
            {k: v.cpu().numpy() if isinstance(v, Tensor) else np.asarray(v) for k, v in arrays.items()}
        )


def _tensor(values: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)
