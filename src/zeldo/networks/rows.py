"""Fields and kernels as the kernels for the CPU take them: rows along z, and groups of channels that are made at once."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from zeldo.networks.vectors import FEW, MANY


def whole_rows(x: Tensor) -> Tensor:
    """The field, or a copy of one whose rows along z have gaps in memory."""
    return x if x.stride(4) == 1 else x.contiguous()


def as_row(x: Tensor) -> np.ndarray:
    """All numbers from the first of a field to its last in memory, in one row."""
    if not x.numel():
        return np.zeros(0, np.float32)
    last = sum((side - 1) * step for side, step in zip(x.shape, x.stride(), strict=True))
    return x.detach().as_strided((last + 1,), (1,)).numpy()


def grouped(kernels: np.ndarray) -> np.ndarray:
    """Kernels of (outputs, ...) as float32 (groups, ..., `MANY` or `FEW`), of which the last group is filled up by zeros."""
    at_once = FEW if len(kernels) % MANY else MANY
    groups = -(-len(kernels) // at_once)
    whole = np.zeros((groups * at_once, *kernels.shape[1:]), np.float32)
    whole[: len(kernels)] = kernels
    return np.ascontiguousarray(np.moveaxis(whole.reshape(groups, at_once, *kernels.shape[1:]), 1, -1))
