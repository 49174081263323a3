"""Curves and slices of a running training, in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from zeldo.mesh.torch_kernels import paint
from zeldo.training.validation import Score


class Monitor:
    """Writes to TensorBoard where it is installed and wanted, and otherwise does nothing.

    Parameters
    ----------
    directory : Path
    wanted : bool
    purge_step : int
        Events from this step on, of earlier calls, are discarded: 0 for all.
    """

    def __init__(self, directory: Path, wanted: bool, purge_step: int = 0) -> None:
        self._directory, self._wanted, self._purge_step = directory, wanted, purge_step

    @cached_property
    def _writer(self) -> Any:
        """Created with the first entry, so that bad input leaves no file."""
        if not self._wanted:
            return None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        return SummaryWriter(str(self._directory), purge_step=self._purge_step)

    def train(self, step: int, parts: Mapping[str, float], rate: float) -> None:
        """The loss of a step and its parts, and the learning rate."""
        if self._writer is not None:
            for name, value in {**parts, "rate": rate}.items():
                self._writer.add_scalar(f"train/{name}", value, step)

    def validation(self, step: int, scores: Mapping[float, Score]) -> None:
        """Scores by redshift, as from `validation.by_redshift`."""
        if self._writer is None:
            return
        for z, score in scores.items():
            where = f"z={z:g} " if len(scores) > 1 else ""
            for name, value in {"loss": score.loss, **score.parts}.items():
                self._writer.add_scalar(f"{where}validation/{name}", value, step)
            for name, values in score.at.items():
                for k, value in values.items():
                    self._writer.add_scalar(f"{where}{name}/k={k:g}", value, step)
        self._writer.flush()

    def pictures(
        self, start: torch.Tensor | None, psi: torch.Tensor, truth: torch.Tensor, box: float, epoch: int
    ) -> None:
        """Slabs of ln(1 + n) of the network's input, its prediction and the truth, with errors of displacement.

        Parameters
        ----------
        start : Tensor, (3, n, n, n), or None
            Displacement of the input, Mpc/h; None where the input is no displacement on this lattice.
        psi, truth : Tensor, (3, n, n, n)
            Predicted and true displacement, Mpc/h.
        box : float
            Side of the box, Mpc/h.
        epoch : int
        """
        if self._writer is None:
            return
        n = truth.shape[-1]
        thick = max(1, n // 16)
        displacements = {"network": psi, "N-body": truth}
        if start is not None and start.shape == truth.shape:
            displacements = {"input": start, **displacements}
        slabs = [
            torch.log1p(paint(displacement, n, box)[:thick].mean(0))
            for displacement in displacements.values()
        ]
        image = torch.cat(slabs, dim=1) / slabs[-1].max()
        self._writer.add_image(f"density: {', '.join(displacements)}", image.clamp(0, 1)[None], epoch)
        del displacements["N-body"]
        errors = [(displacement - truth)[:, 0].norm(dim=0) for displacement in displacements.values()]
        image = torch.cat(errors, dim=1) / errors[0].max()
        self._writer.add_image(
            f"error of displacement: {', '.join(displacements)}", image.clamp(0, 1)[None], epoch
        )

    def close(self) -> None:
        if "_writer" in vars(self) and self._writer is not None:
            self._writer.close()
