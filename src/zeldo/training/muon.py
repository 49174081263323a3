"""Muon: momentum whose singular values are set to one, for the kernels of convolutions.

The method is that of Jordan et al. 2024 (kellerjordan.github.io/posts/muon). A step is scaled to the root mean square of a
usual step of Adam (Liu et al. 2025, arXiv:2502.16982, section 2.2), so one learning rate serves both.

`torch.optim.Muon` takes only matrices and refuses the five axes of a kernel. A channels-last kernel has no view as a
matrix either. It also iterates in bfloat16, which most processors emulate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
RMS = 0.2  # of Adam's steps over its rate, as a rule
# of the quintic iteration that takes all singular values to about one: Jordan et al. 2024
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def split(net: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(kernels between more than three channels, all other parameters): biases, norms, layers next to a single vector."""
    kernels = [p for p in net.parameters() if p.ndim == 5 and min(p.shape[:2]) > 3]
    known = {id(p) for p in kernels}
    return [*kernels], [p for p in net.parameters() if id(p) not in known]


@torch.no_grad()
def orthogonalised(matrix: Tensor) -> Tensor:
    """Nearly U V^T of the singular value decomposition U S V^T of a matrix, by Newton and Schulz."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-12)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide is matrix else x.T


class Muon(torch.optim.Optimizer):
    """Muon for kernels of convolutions, as `split` picks them.

    Parameters
    ----------
    kernels : iterable of Tensor
        (out, in, k, k, k); of a transposed convolution (in, out, k, k, k).
    rate : float
        As Adam's.
    weight_decay : float
        Decoupled.
    """

    def __init__(self, kernels: Iterable[Tensor], rate: float, weight_decay: float = 0.0) -> None:
        super().__init__(kernels, {"lr": rate, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if group["weight_decay"]:
                        p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(self._update(p, p.grad), alpha=group["lr"])
        return loss

    def _update(self, p: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        ahead = torch.lerp(gradient, momentum, MOMENTUM)  # Nesterov's
        # the linear map of one voxel's channels: rows of a transposed convolution are its inputs
        matrix = ahead.reshape(p.shape[0], -1)
        scale = RMS * max(matrix.shape) ** 0.5
        return orthogonalised(matrix).mul_(scale).view(p.shape)
