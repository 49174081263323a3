"""Tasks that are no part of the package: another loss, another resolution, two networks that play against each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from zeldo.networks.architectures import register as architecture
from zeldo.networks.layout import Layer, Layout
from zeldo.networks.losses import Loss
from zeldo.networks.tasks import register
from zeldo.networks.tasks.base import Batch, Evolved, Fields, Setting, Task
from zeldo.networks.vnet import LayeredNet


@register
@dataclass(frozen=True)
class Squares(Task):
    """The displacement in Mpc/h by its mean square error: of two batches the mean is that of both together."""

    name: ClassVar[str] = "squares"

    @property
    def predicts(self) -> tuple[str, ...]:
        return ("psi",)

    def encode(self, fields: Fields, setting: Setting) -> np.ndarray:
        return fields.psi_lin

    def decode(self, output: Tensor, settings: Sequence[Setting]) -> Evolved:
        return Evolved(output, None)

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        assert batch.psi is not None
        error = (output - batch.psi).square().mean()
        return Loss(error, {"l_psi": error.detach()})


class Critic(nn.Module):
    """Tells true displacements from predicted ones."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(3, 4, 3), nn.LeakyReLU(0.2), nn.Conv3d(4, 1, 3))

    def forward(self, psi: Tensor) -> Tensor:
        return self.layers(psi).mean((1, 2, 3, 4))


@register
@dataclass(frozen=True)
class Adversarial(Squares):
    """The network also pleases a critic (Mao et al. 2017, arXiv:1611.04076), which learns beside it."""

    name: ClassVar[str] = "adversarial"

    def modules(self, network: nn.Module) -> dict[str, nn.Module]:
        return {"net": network, "critic": Critic()}

    def objective(self, turn, nets, batch: Batch) -> Loss:
        predicted = self.run(nets["net"], batch).float()
        if turn == "critic":
            real, false = nets["critic"](batch.psi), nets["critic"](predicted.detach())
            error = (real - 1).square().mean() + false.square().mean()
            return Loss(error, {"real": real.mean().detach(), "false": false.mean().detach()})
        loss = self.loss(predicted, batch)
        pleased = (nets["critic"](predicted) - 1).square().mean()
        return Loss(loss.total + 0.1 * pleased, {**loss.parts, "l_critic": pleased.detach()})


@architecture("finer")
class Finer(LayeredNet):
    """One transposed convolution: n cells a side become 2 n, beside the input on the finer lattice."""

    def __init__(
        self, channels: int = 4, levels: int = 2, in_channels: int = 3, out_channels: int = 3
    ) -> None:
        super().__init__(Layout((Layer("up", "up", in_channels, out_channels),)))
        self.up = nn.ConvTranspose3d(in_channels, out_channels, 2, stride=2)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor, periodic: bool = False) -> Tensor:
        copied = x.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
        return copied + self.up(x)


@register
@dataclass(frozen=True)
class SuperResolution(Squares):
    """Every second particle's linear displacement goes in, the displacement of all comes out."""

    name: ClassVar[str] = "super resolution"

    def encode(self, fields: Fields, setting: Setting) -> np.ndarray:
        return np.ascontiguousarray(fields.psi_lin[:, ::2, ::2, ::2])
