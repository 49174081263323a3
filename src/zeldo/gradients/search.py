"""The parts of a reconstruction one after another, with their progress and what is kept of them on disk."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeldo.engines.base import PREPARING, Progress
from zeldo.gradients import langevin
from zeldo.gradients.checkpoint import SearchCheckpoint
from zeldo.gradients.maximum import maximise, perturbed_maximum, stages
from zeldo.gradients.posterior import Posterior
from zeldo.gradients.reconstruction import Samples
from zeldo.gradients.tally import Tally
from zeldo.gradients.whitening import Whitened, measured_curvature

WARM_UP = 0.5  # of the samples, before them
PERTURBED = 60  # iterations from the maximum to the first sample


class Search:
    """The maximum of a posterior, and a chain of samples.

    Parameters
    ----------
    posterior : Posterior
    noiseless : bool
        Whether the observation holds no draw of its error yet, so that samples need one.
    effort : float
        What the usual numbers of iterations are multiplied by.
    samples : int
    seed : int
    checkpoint : SearchCheckpoint or None
    progress : callable
    """

    def __init__(
        self,
        posterior: Posterior,
        noiseless: bool,
        effort: float,
        samples: int,
        seed: int,
        checkpoint: SearchCheckpoint | None,
        progress: Progress,
    ):
        self.posterior, self.samples, self.progress = posterior, samples, progress
        self.checkpoint = checkpoint
        self.plan = stages(posterior, effort)
        self.warm_up = math.ceil(WARM_UP * samples)
        self.iterations = sum(stage.iterations for stage in self.plan)
        self.perturbed = max(1, round(effort * PERTURBED)) if samples else 0
        # a step of the sampler takes two gradients
        self.total = self.iterations + self.perturbed + 2 * (self.warm_up + samples)
        self.generator = torch.Generator().manual_seed(seed)
        self.sampled = self._with_error(posterior) if noiseless else posterior
        self.kept: dict[str, np.ndarray] = checkpoint.load() if checkpoint else {}

    def _with_error(self, posterior: Posterior) -> Posterior:
        """The posterior of the observation with a draw of its error, which a likelihood with that error expects.

        Data without it fit better than they should, and samples of their posterior have too little power.
        """
        seen = posterior.observation
        return Posterior(posterior.function, seen.moved(seen.draw(self.generator)))

    def maximum(self) -> Tensor:
        """The white noise where the posterior is largest."""
        if "x" in self.kept or self.kept.get("stage") == len(self.plan):  # it was there already
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
            if self.checkpoint and self.checkpoint.due():
                self._save(white_noise, stage=stage, iteration=iteration)

        self.progress(0, self.total, PREPARING)
        found = maximise(self.posterior, start, self.plan, first=first, watch=watch)
        if self.checkpoint:
            self._save(found, stage=len(self.plan), iteration=0)
        return found

    def chain(self, maximum: Tensor) -> Samples:
        """Samples: one by the perturbed maximum, the others by the sampler from there on."""
        if "x" in self.kept:
            target = Whitened(self.sampled, self._tensor("curvature"))
            walker = self._walker()
            first = int(self.kept["done"])
            tally = Tally.resumed(self.kept, self.samples)
            self.generator.set_state(torch.from_numpy(self.kept["generator"]))
        else:
            sample = perturbed_maximum(
                self.sampled, maximum, self.perturbed, self.generator, self._watch_perturbed
            )
            target = Whitened(self.sampled, measured_curvature(self.sampled, sample, self.generator))
            walker = langevin.start(target.value_and_gradient, target.coordinates(sample), self.generator)
            first, tally = 0, Tally.empty(maximum, self.samples)
        for done in range(first + 1, self.warm_up + self.samples + 1):
            warming = done <= self.warm_up
            walker = langevin.advance(target.value_and_gradient, walker, self.generator, adapt=warming)
            if not warming:
                tally.add(target.white_noise(walker.x), walker.energy)
            self.progress(
                self.iterations + self.perturbed + 2 * done,
                self.total,
                "sampler, warming up" if warming else "sampler",
            )
            if self.checkpoint and self.checkpoint.due():
                state = {part.name: getattr(walker, part.name) for part in fields(walker)}
                self._save(
                    maximum,
                    **state,
                    **tally.arrays(),
                    curvature=target.curvature,
                    done=done,
                    generator=self.generator.get_state(),
                )
        return tally.samples()

    def _walker(self) -> langevin.Walker:
        x, u, gradient = (self._tensor(name) for name in ("x", "u", "gradient"))
        energy, step, error = (float(self.kept[name]) for name in ("energy", "step", "error"))
        return langevin.Walker(x, u, energy, gradient, step, error)

    def _watch_perturbed(self, iteration: int, white_noise: Tensor) -> None:
        self.progress(self.iterations + iteration, self.total, "first sample")

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.kept[name]).to(self.posterior.function.field.device)

    def _save(self, white_noise: Tensor, **values: Any) -> None:
        assert self.checkpoint is not None
        arrays = {"white_noise": white_noise, **values}
        self.checkpoint.save(
            {k: v.cpu().numpy() if isinstance(v, Tensor) else np.asarray(v) for k, v in arrays.items()}
        )
