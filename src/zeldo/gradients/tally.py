"""What is kept of a chain of samples while it runs: sums, traces and some of its samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zeldo.gradients.reconstruction import Samples
from zeldo.mesh import fft

TRACES = 64  # modes of the largest scales, and lattice points, that are followed
DRAWS = 8  # samples kept whole


@dataclass
class Tally:
    """A chain of `steps` samples, as far as it went; arrays as of `Samples`."""

    steps: int
    total: np.ndarray
    squares: np.ndarray
    draws: list[np.ndarray]
    energies: list[float]
    large: list[np.ndarray]
    small: list[np.ndarray]

    @classmethod
    def empty(cls, like: Tensor, steps: int) -> Tally:
        """For white noise of the shape of `like`."""
        shape = tuple(like.shape)
        return cls(steps, np.zeros(shape), np.zeros(shape), [], [], [], [])

    @classmethod
    def resumed(cls, arrays: Mapping[str, np.ndarray], steps: int) -> Tally:
        """From what `arrays` gave."""
        draws, energies, large, small = (list(arrays[x]) for x in ("draws", "energies", "large", "small"))
        return cls(steps, arrays["total"], arrays["squares"], draws, energies, large, small)

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, to be kept on disk."""
        shape = self.total.shape
        return {
            "total": self.total,
            "squares": self.squares,
            "draws": np.array(self.draws, np.float32).reshape(-1, *shape),
            "energies": np.array(self.energies),
            "large": np.array(self.large, np.float32).reshape(-1, TRACES),
            "small": np.array(self.small, np.float32).reshape(-1, TRACES),
        }

    def add(self, white_noise: Tensor, energy: float) -> None:
        """A sample."""
        values = white_noise.float().cpu().numpy()
        self.total += values
        self.squares += values.astype(np.float64) ** 2
        self.energies.append(energy)
        modes = torch.fft.rfftn(white_noise).flatten()[_largest(len(values)).to(white_noise.device)]
        self.large.append(torch.cat([modes.real, modes.imag]).cpu().numpy())
        self.small.append(values.reshape(-1)[np.linspace(0, values.size - 1, TRACES).astype(int)])
        count = len(self.energies)
        if count * DRAWS // self.steps > (count - 1) * DRAWS // self.steps:
            self.draws.append(values)

    def samples(self) -> Samples:
        """What the chain gave."""
        mean = self.total / self.steps
        deviation = np.sqrt(np.maximum(self.squares / self.steps - mean**2, 0))
        kept = self.arrays()
        return Samples(
            mean.astype(np.float32),
            deviation.astype(np.float32),
            kept["draws"],
            kept["energies"],
            kept["large"],
            kept["small"],
        )


def _largest(n: int) -> Tensor:
    """Places of the modes of the largest scales in the flat rfft of n^3 values, one of each pair of conjugates."""
    x, y, z = fft.wavenumbers(n)
    square = np.where(z > 0, x**2 + y**2 + z**2, np.inf)
    return torch.from_numpy(np.argsort(square, axis=None, kind="stable")[: TRACES // 2])
