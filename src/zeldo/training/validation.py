"""How good a network is on boxes it has not seen: the loss, T and 1 - r^2, and pictures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zeldo.mesh.torch_kernels import paint
from zeldo.particles.tiles import cover, take, window
from zeldo.statistics.comparison import K_SHOWN, compare_snapshots
from zeldo.training.losses import paper_loss
from zeldo.training.pairs import Pair, Pairs

FIGURES = ("transfer", "one_minus_r2")


@torch.no_grad()
def predict(net: torch.nn.Module, linear: np.ndarray, scale: float, tile: int = 0) -> torch.Tensor:
    """psi of a whole periodic box, (3, n, n, n) float32, Mpc/h, on the device of `net`.

    linear: D1 psi_lin, (3, n, n, n), Mpc/h. scale: Mpc/h. tile: side of crops computed one by one; 0: the
    whole box at once.
    """
    parameter = next(net.parameters())
    last = any(
        p.ndim == 5 and p.is_contiguous(memory_format=torch.channels_last_3d) for p in net.parameters()
    )
    n = linear.shape[-1]

    def forward(x: np.ndarray, periodic: bool) -> torch.Tensor:
        given = torch.from_numpy(x)[None].to(parameter) / scale
        if last:
            given = given.contiguous(memory_format=torch.channels_last_3d)
        return net(given, periodic=periodic)[0].float() * scale

    if not tile or tile >= n:
        return forward(linear, True)
    out = torch.empty(linear.shape, device=parameter.device)
    for piece in cover(n, tile):
        around = take(linear, window(piece.origin, tile, n, net.halo))  # type: ignore[arg-type]
        out[:, *piece.inside] = forward(around, False)[:, *piece.valid]
    return out


@dataclass
class Score:
    """Means over validation boxes. delta, psi: L_delta and L_psi; at: "density T" and so on at K_SHOWN."""

    loss: float
    delta: float
    psi: float
    at: dict[str, dict[float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        at = {name: {f"{k:g}": value for k, value in values.items()} for name, values in self.at.items()}
        return {"loss": self.loss, "l_delta": self.delta, "l_psi": self.psi, **at}


def score(
    net: torch.nn.Module,
    pairs: Pairs,
    names: Sequence[str],
    *,
    scale: float,
    weight: float,
    tile: int = 0,
    monitor: Monitor | None = None,
    epoch: int = 0,
) -> list[Score]:
    """One `Score` a box, of the network as it is (call net.eval() before)."""
    found = []
    for i, name in enumerate(names):
        pair = pairs.get(name)
        psi = predict(net, pair.linear, scale, tile)
        target = torch.from_numpy(pair.target).to(psi.device)
        loss = paper_loss(psi[None], target[None], pair.spacing, weight=weight)
        predicted = replace(pair.truth, psi=psi.cpu().numpy(), vel=None, engine="network")
        compared = compare_snapshots(predicted, replace(pair.truth, vel=None), device=psi.device)
        nyquist = np.pi / pair.spacing
        at = {
            f"{label} {figure}": {
                k: float(getattr(values, figure)[values.nearest(k)])
                for k in K_SHOWN
                if values.k[0] * 0.75 <= k <= nyquist
            }
            for label, values in compared.fields.items()
            for figure in FIGURES
        }
        found.append(Score(float(loss.total), float(loss.delta), float(loss.psi), at))
        if monitor is not None and not i:
            monitor.pictures(pair, psi.cpu(), epoch)
    return found


def mean(scores: Sequence[Score]) -> Score:
    """The mean of scores of several boxes."""
    at = {
        name: {k: float(np.mean([s.at[name][k] for s in scores])) for k in scores[0].at[name]}
        for name in scores[0].at
    }
    loss, delta, psi = np.mean([(s.loss, s.delta, s.psi) for s in scores], axis=0)
    return Score(float(loss), float(delta), float(psi), at)


class Monitor:
    """TensorBoard, where it is installed and wanted; else nothing."""

    def __init__(self, directory: Path, wanted: bool, purge_step: int | None = None) -> None:
        self._directory, self._wanted, self._purge_step = directory, wanted, purge_step

    @cached_property
    def _writer(self) -> Any:
        """Made when there is something to write, so that bad input leaves no file."""
        if not self._wanted:
            return None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        return SummaryWriter(str(self._directory), purge_step=self._purge_step)

    def train(self, step: int, loss: float, delta: float, psi: float, rate: float) -> None:
        if self._writer is not None:
            named = (("loss", loss), ("l_delta", delta), ("l_psi", psi), ("rate", rate))
            for name, value in named:
                self._writer.add_scalar(f"train/{name}", value, step)

    def validation(self, step: int, found: Score) -> None:
        if self._writer is None:
            return
        for name, value in (("loss", found.loss), ("l_delta", found.delta), ("l_psi", found.psi)):
            self._writer.add_scalar(f"validation/{name}", value, step)
        for name, values in found.at.items():
            for k, value in values.items():
                self._writer.add_scalar(f"{name}/k={k:g}", value, step)
        self._writer.flush()

    def pictures(self, pair: Pair, psi: torch.Tensor, epoch: int) -> None:
        """Slabs of ln(1 + n): linear displacement, network, truth; and |psi - truth| beside them."""
        if self._writer is None:
            return
        box, n = pair.truth.box, pair.truth.n
        thick = max(1, n // 16)
        slabs = []
        for one in (torch.from_numpy(pair.linear), psi, torch.from_numpy(pair.target)):
            slabs.append(torch.log1p(paint(one, n, box)[:thick].mean(0)))
        image = torch.cat(slabs, dim=1) / slabs[2].max()
        self._writer.add_image("density: linear, network, N-body", image.clamp(0, 1)[None], epoch)
        truth = torch.from_numpy(pair.target)
        errors = [(one - truth)[:, 0].norm(dim=0) for one in (torch.from_numpy(pair.linear), psi)]
        image = torch.cat(errors, dim=1) / errors[0].max()
        self._writer.add_image("error of displacement: linear, network", image.clamp(0, 1)[None], epoch)

    def close(self) -> None:
        if "_writer" in vars(self) and self._writer is not None:
            self._writer.close()
