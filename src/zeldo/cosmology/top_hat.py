"""The Fourier transform of a sphere, and what makes one function serve NumPy's arrays and tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")
CLOSE = 1e-2  # below it the closed form cancels


def arithmetic(x: Any) -> Any:
    """NumPy for its arrays, else torch: both have the same functions by the same names."""
    if isinstance(x, np.ndarray):
        return np
    import torch

    return torch


def top_hat(x: Array) -> Array:
    """Fourier transform of a sphere of radius R at x = k R, 1 at x = 0; differentiable."""
    xp = arithmetic(x)
    safe = xp.where(x < CLOSE, xp.ones_like(x), x)
    return xp.where(x < CLOSE, 1 - x**2 / 10, 3 * (xp.sin(safe) - safe * xp.cos(safe)) / safe**3)
