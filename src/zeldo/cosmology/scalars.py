"""Arithmetic that serves numbers and tensors alike, so that coefficients of steps can carry gradients.

Everything here leaves NumPy's numbers as they are: the bits are the same as without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Scalar = Any  # a float, or a tensor without dimensions


def is_tensor(value: object) -> bool:
    """Whether a value is torch's, without importing torch."""
    return hasattr(value, "new_tensor")


def scalar(value: Any) -> Scalar:
    """A float from NumPy's numbers; a tensor stays as it is."""
    return value if is_tensor(value) else float(value)


def single(value: Any) -> Any:
    """A factor of float32 fields: NumPy's float32 from a number; a tensor stays as it is."""
    return value if is_tensor(value) else np.float32(value)


def like(value: Scalar, array: np.ndarray) -> Any:
    """The array as a tensor where `value` is one."""
    return value.new_tensor(array) if is_tensor(value) else array


def weighted_sum(weights: np.ndarray, values: Any) -> Scalar:
    """The sum of weights times values."""
    if is_tensor(values):
        return (values.new_tensor(weights) * values).sum()
    return float(np.sum(weights * values))


def stacked(values: Sequence[Any]) -> Any:
    """Numbers, or tuples of numbers, as an array; as a tensor where one of them is a tensor."""
    parts = [stacked(value) if isinstance(value, tuple) else value for value in values]
    tensors = [part for part in parts if is_tensor(part)]
    if not tensors:
        return np.array(parts)
    import torch

    return torch.stack([part if is_tensor(part) else tensors[0].new_tensor(part) for part in parts])
