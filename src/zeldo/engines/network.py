"""A network as an engine: from the linear displacement to the evolved one in a single step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from zeldo.engines.base import Progress
from zeldo.engines.registry import register
from zeldo.engines.trained import Trained, check_weights
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import Snapshot

if TYPE_CHECKING:
    from zeldo.networks.vnet import LayeredNet


@register
@dataclass(frozen=True)
class Network(Trained):
    """The V-Net of de Oliveira et al. 2020 (arXiv:2012.00240), or any network that `zeldo.networks.load` reads.

    Parameters
    ----------
    weights : path, optional
        A file of weights; the V-Net that ships with zeldo by default.
    velocity : path, optional
        A file of a second network, which predicts velocities, for weights that predict displacements alone.
    extrapolate : bool
        Allow a lattice spacing, redshift or cosmology outside the ranges of the model card. The snapshot records it.
    tiles : int, optional
        Pieces per side that the box is divided into; by default as few as fit in memory.
    device : str
        A torch device, such as "cpu" or "cuda".
    precision : str
        "auto" for layers of the type that is fastest on the device, or "float32" for the same numbers on any processor, to
        rounding.
    """

    name: ClassVar[str] = "vnet"
    velocity: str | PathLike | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights("velocity", self.velocity)

    @property
    def _files(self) -> list[Path]:
        return [self.path, *([Path(self.velocity)] if self.velocity is not None else [])]

    @property
    def settings(self) -> Mapping[str, object]:
        """The options that affect the results, with files by their names, without directories."""
        velocity = Path(self.velocity).name if self.velocity else None
        return {**asdict(self), "weights": self.path.name, "velocity": velocity}

    def evolve(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress
    ) -> Iterator[Snapshot]:
        nets = self._nets()
        card = nets[0].card
        weights = self.weights_hash
        fields = card.make_task().fields(ics)
        total = len(nets) * len(redshifts)
        for count, z in enumerate(redshifts):
            predictions = [
                self._predict(
                    net, fields, ics, z, _network_progress(progress, len(nets) * count + number, total, z)
                )
                for number, net in enumerate(nets)
            ]
            psi, vel = predictions[0].psi, predictions[-1].vel
            assert psi is not None  # its quantity is a displacement
            # the task says whose network it is, which the name of a file does not
            settings = {**self.settings, "task": card.task}
            yield replace(self.snapshot(ics, psi, vel, z), weights=weights, settings=settings)

    def _nets(self) -> list[LayeredNet]:
        from zeldo.networks.weights import shared

        net = shared(self.path)
        card = net.card
        if card.make_task().dynamics is not None:
            raise InputError(
                f"{self.path} corrects an engine ({card.task}): give it as engine, not as weights of {self.name}"
            )
        if card.quantity == "velocity":
            raise InputError(
                f"{self.path} predicts velocities only: an engine needs a network of displacements"
            )
        if self.velocity is None:
            return [net]
        if card.quantity != "displacement":
            raise InputError(f"{self.path} predicts velocities too: leave velocity = {self.velocity} out")
        return [net, shared(Path(self.velocity), quantity="velocity")]


def _network_progress(progress: Progress, count: int, total: int, z: float) -> Callable[[float, float], None]:
    return lambda done, tiles: progress(count + done / tiles, total, f"z = {z:g}")
