"""Muon: momentum whose singular values are set to one, for the kernels of convolutions; Adam for the rest.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon); the step is scaled so that its root mean square is that of
a usual step of Adam (Liu et al. 2025, arXiv:2502.16982, section 2.2), hence one learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
RMS = 0.2  # of Adam's steps over its rate, as a rule
# of the quintic iteration that takes singular values to about one, whatever they are: Jordan et al. 2024
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def split(net: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(kernels between hidden channels, all other parameters): biases, norms, first and last layers."""
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
    """Muon for the kernels of a network, Adam for what else it has.

    net: its parameters are shared out by `split`. rate: of both. betas: of Adam. weight_decay: decoupled.
    """

    def __init__(
        self,
        net: nn.Module,
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        kernels, others = split(net)
        groups = [{"params": kernels, "kernels": True}, {"params": others, "kernels": False}]
        defaults = {"lr": rate, "betas": betas, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._muon if group["kernels"] else self._adam
            for p in group["params"]:
                if p.grad is not None:
                    if group["weight_decay"]:
                        p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(update(p, p.grad, group), alpha=group["lr"])
        return loss

    def _muon(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        ahead = torch.lerp(gradient, momentum, MOMENTUM)  # Nesterov's
        # the linear map of one voxel's channels: rows of a transposed convolution are its inputs
        matrix = ahead.reshape(p.shape[0], -1)
        scale = RMS * max(matrix.shape) ** 0.5
        return orthogonalised(matrix).mul_(scale).view(p.shape)

    def _adam(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
        state["step"] += 1
        (beta1, beta2), step = group["betas"], float(state["step"])
        mean = state["mean"].lerp_(gradient, 1 - beta1)
        square = state["square"].lerp_(gradient.square(), 1 - beta2)
        root = (square / (1 - beta2**step)).sqrt_().add_(1e-8)
        return mean / (1 - beta1**step) / root
