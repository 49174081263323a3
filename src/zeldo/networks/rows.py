"""Fields and kernels as the kernels for the CPU take them: rows along z, and groups of channels that are made at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zeldo.networks.vectors import FEW, LINE, MANY


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


def empty(shape: Sequence[int]) -> Tensor:
    """A field of float32 to be filled, which begins with a cache line.

    NumPy asks for huge pages, which torch does not: to fill new memory and to find its pages then takes a fraction of the
    time.
    """
    count = math.prod(shape)
    numbers = np.empty(count + LINE, np.float32)
    first = -(numbers.ctypes.data // numbers.itemsize) % LINE
    return torch.from_numpy(numbers[first : first + count].reshape(shape))
