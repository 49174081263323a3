"""Scores of a network on boxes it was not trained on: the loss, and T and 1 - r^2 of its predictions, by redshift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from zeldo.cosmology.redshifts import nearest_redshift
from zeldo.networks.inference import apply
from zeldo.networks.tasks.base import Batch, Task
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.comparison import K_SHOWN, compare_snapshots
from zeldo.training.sample import Sample, collate
from zeldo.training.samples import Key, Samples

FIGURES = ("transfer", "one_minus_r2")
# (what the network returned, the whole box) -> nothing
Look = Callable[[torch.Tensor, Batch], None]


@dataclass
class Score:
    """The score of one box, or the mean of several.

    Parameters
    ----------
    redshift : float
    loss : float
    parts : dict of str to float
        The parts of the loss.
    at : dict of str to dict of float to float
        "density transfer" and other figures, by wavenumber in h/Mpc.
    """

    redshift: float
    loss: float
    parts: dict[str, float]
    at: dict[str, dict[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        at = {name: {f"{k:g}": value for k, value in values.items()} for name, values in self.at.items()}
        return {"loss": self.loss, **self.parts, **at}


@torch.no_grad()
def predict(net: torch.nn.Module, task: Task, sample: Sample, tile: int = 0) -> tuple[torch.Tensor, Batch]:
    """The network's output for a whole box, in its units and on its device, and the box as a batch.

    Parameters
    ----------
    net : Module
        In the mode it is in; call `eval` before.
    task : Task
    sample : Sample
    tile : int
        Side of the pieces that are computed one by one; 0 for the whole box at once.

    Returns
    -------
    (Tensor, Batch)
    """
    parameter = next(net.parameters())
    last = any(
        p.ndim == 5 and p.is_contiguous(memory_format=torch.channels_last_3d) for p in net.parameters()
    )
    form = torch.channels_last_3d if last else torch.contiguous_format
    batch = collate([sample], parameter.device, memory_format=form)
    n = sample.inputs.shape[-1]
    if not tile or tile >= n:
        return task.run(net, batch).float(), batch

    def call(_: torch.nn.Module, x: torch.Tensor, periodic: bool) -> torch.Tensor:
        return task.run(net, replace(batch, inputs=x, periodic=periodic))

    (output,) = apply(net, sample.inputs, call=call, tiles=-(-n // tile))  # type: ignore[arg-type]
    return torch.from_numpy(output)[None].to(parameter.device), batch


def score(
    net: torch.nn.Module,
    task: Task,
    samples: Samples,
    keys: Sequence[Key],
    *,
    tile: int = 0,
    look: Look | None = None,
) -> list[Score]:
    """Score a network on several samples.

    Parameters
    ----------
    net : Module
    task : Task
    samples : Samples
    keys : sequence
        The samples to score.
    tile : int
        As in `predict`.
    look : callable, optional
        Called with the output and the batch of the first sample.

    Returns
    -------
    list of Score
        One for each sample.
    """
    scores = []
    for i, key in enumerate(keys):
        sample, truth = samples.get(key), samples.truth(key)
        output, batch = predict(net, task, sample, tile)
        with torch.no_grad():
            loss = task.loss(output, batch)
            psi, vel = (None if field is None else field[0] for field in task.decode(output, batch.settings))
        if look is not None and not i:
            look(output, batch)
        parts = {name: float(value) for name, value in loss.parts.items()}
        at = _figures(psi, vel, sample, truth)
        scores.append(Score(sample.redshift, float(loss.total), parts, at))
    return scores


def _figures(
    psi: torch.Tensor | None, vel: torch.Tensor | None, sample: Sample, truth: Snapshot
) -> dict[str, dict[float, float]]:
    """T and 1 - r^2 of density and displacement, and of the velocity where it is predicted."""
    predicted_field = psi if psi is not None else vel
    if predicted_field is None or predicted_field.shape != truth.psi.shape:
        return {}
    # for a network of velocities alone, particles are at their true positions
    moved = truth.psi if psi is None else psi.cpu().numpy()
    moving = None if vel is None else vel.cpu().numpy()
    predicted = replace(truth, psi=moved, vel=moving, engine="network")
    compared = compare_snapshots(predicted, replace(truth, vel=sample.vel), device=predicted_field.device)
    nyquist = np.pi / sample.spacing
    return {
        f"{label} {figure}": {
            k: float(getattr(values, figure)[values.nearest(k)])
            for k in K_SHOWN
            if values.k[0] * 0.75 <= k <= nyquist
        }
        for label, values in compared.fields.items()
        if psi is not None or label == "velocity"
        for figure in FIGURES
    }


def by_redshift(scores: Sequence[Score]) -> dict[float, Score]:
    """The mean score at each redshift, from high to low."""
    grouped: dict[float, list[Score]] = {}
    for item in sorted(scores, key=lambda item: item.redshift, reverse=True):
        same = nearest_redshift(grouped, item.redshift)
        grouped.setdefault(item.redshift if same is None else same, []).append(item)
    return {z: mean(items) for z, items in grouped.items()}


def mean(scores: Sequence[Score]) -> Score:
    """The mean of the scores of several boxes, with figures at those k that all have."""
    first = scores[0]
    shared = {
        name: [k for k in values if all(k in item.at.get(name, {}) for item in scores)]
        for name, values in first.at.items()
    }
    return Score(
        first.redshift,
        float(np.mean([item.loss for item in scores])),
        {name: float(np.mean([item.parts[name] for item in scores])) for name in first.parts},
        {
            name: {k: float(np.mean([item.at[name][k] for item in scores])) for k in ks}
            for name, ks in shared.items()
        },
    )


def summary(scores: Sequence[Score]) -> dict[str, Any]:
    """The entry for history and card: the mean loss, and with several redshifts the scores at each."""
    means = by_redshift(scores)
    if len(means) == 1:
        return next(iter(means.values())).to_dict()
    overall = mean(scores)
    by_name: Mapping[str, Any] = {f"z = {z:g}": item.to_dict() for z, item in means.items()}
    return {"loss": overall.loss, **overall.parts, **by_name}
