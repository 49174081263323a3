"""A training sample: input and target of a task, from a run at one redshift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from zeldo.errors import InputError
from zeldo.networks.tasks.base import Batch, Fields, Setting, Task
from zeldo.particles.snapshot import Snapshot
from zeldo.training.symmetries import Element, crop

Field = Any  # a numpy array, or a torch tensor


@dataclass(frozen=True, eq=False)
class Sample:
    """A whole periodic box, or a crop of it.

    Parameters
    ----------
    inputs : ndarray or Tensor, (channels, n, n, n)
        In the network's units.
    style : tuple of float
        The numbers that the network is given besides fields.
    psi : ndarray or Tensor, (3, m, m, m)
        True displacement on the output's lattice, Mpc/h; m is a multiple of n.
    vel : ndarray or Tensor, (3, m, m, m), or None
        True peculiar velocity, km/s; None where the task does not predict it.
    setting : Setting
    vectors : tuple of bool
        As `Task.vectors`.
    """

    inputs: Field
    style: tuple[float, ...]
    psi: Field
    vel: Field | None
    setting: Setting
    vectors: tuple[bool, ...] = (True,)

    @classmethod
    def of(cls, task: Task, fields: Fields, truth: Snapshot) -> Sample:
        """The sample of a task for fields and the N-body snapshot that followed from them."""
        setting = Setting(truth.cosmology, truth.redshift, truth.box / truth.n)
        inputs, (psi, vel) = task.encode(fields, setting), task.target(truth)
        if len(inputs) != task.in_channels or psi.shape[-1] % inputs.shape[-1]:
            raise InputError(
                f"the task {task.name} made inputs of shape {inputs.shape} for a target of {psi.shape}: it must "
                f"give {task.in_channels} channels on a lattice that divides the target's"
            )
        return cls(inputs, task.style(setting), psi, vel, setting, task.vectors)

    @property
    def redshift(self) -> float:
        return self.setting.redshift

    @property
    def spacing(self) -> float:
        """Spacing of the particles' lattice, Mpc/h."""
        return self.setting.spacing

    @property
    def nbytes(self) -> int:
        return self.inputs.nbytes + self.psi.nbytes + (0 if self.vel is None else self.vel.nbytes)

    def on(self, device: torch.device) -> Sample:
        """The sample as tensors on a device."""

        def moved(field: Field) -> torch.Tensor:
            return torch.as_tensor(field, device=device)

        vel = None if self.vel is None else moved(self.vel)
        return replace(self, inputs=moved(self.inputs), psi=moved(self.psi), vel=vel)

    def cut(self, element: Element, origin: tuple[int, int, int], side: int = 0, halo: int = 0) -> Sample:
        """The box rotated, reflected and shifted or, with a side, a crop of it whose inputs have a halo.

        origin, side and halo are in cells of the inputs.
        """
        n = self.inputs.shape[-1]
        if side > n:
            raise InputError(f"crop = {side} is larger than the box of {n} cells: give at most {n}")
        ratio = self.psi.shape[-1] // n
        i, j, k = (ratio * cell for cell in origin)
        target = (element, (i, j, k), ratio * (side or n))
        parts, channel = [], 0
        for vector in self.vectors:
            group = self.inputs[channel : channel + 3] if vector else self.inputs[channel]
            channel += 3 if vector else 1
            part = crop(group, element, origin, side or n, halo if side else 0, vector=vector)
            parts.append(part if vector else part[None])
        return replace(
            self,
            inputs=parts[0] if len(parts) == 1 else _joined(parts),
            psi=crop(self.psi, *target),
            vel=None if self.vel is None else crop(self.vel, *target),
        )


def _joined(parts: Sequence[Any]) -> Field:
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else torch.cat(list(parts))


def collate(
    samples: Sequence[Sample],
    device: torch.device,
    *,
    periodic: bool = True,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Batch:
    """Samples of one shape as a batch on a device."""
    if len({sample.inputs.shape for sample in samples}) > 1:
        shapes = " and ".join(str(sample.inputs.shape) for sample in samples)
        raise InputError(
            f"a batch of boxes of shapes {shapes} cannot be made: set optimizer.batch to 1 or data.crop"
        )

    def stacked(arrays: Sequence[Field], form: torch.memory_format = torch.contiguous_format) -> torch.Tensor:
        field = torch.stack([torch.as_tensor(array, device=device) for array in arrays])
        return field.contiguous(memory_format=form)

    vel = [sample.vel for sample in samples if sample.vel is not None]
    return Batch(
        inputs=stacked([sample.inputs for sample in samples], memory_format),
        style=torch.tensor([sample.style for sample in samples], dtype=torch.float32, device=device),
        settings=tuple(sample.setting for sample in samples),
        periodic=periodic,
        psi=stacked([sample.psi for sample in samples]),
        vel=stacked(vel) if vel else None,
    )
