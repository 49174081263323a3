"""What the engines with a trained network share: the file of weights, how it is applied, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from zeldo.engines.base import Engine, Plan, Progress
from zeldo.engines.checks import check_choice, check_whole
from zeldo.errors import InputError
from zeldo.initial.conditions import MAX_N, InitialConditions
from zeldo.keywords import check_flags
from zeldo.particles.provenance import weights_hash
from zeldo.particles.snapshot import Snapshot

if TYPE_CHECKING:
    from zeldo.cosmology.parameters import Cosmology
    from zeldo.networks.card import ModelCard
    from zeldo.networks.field import Prediction
    from zeldo.networks.tasks.base import Fields
    from zeldo.networks.vnet import LayeredNet

PRECISIONS = ("auto", "float32")


@dataclass(frozen=True)
class Trained(Engine):
    """An engine with a file of weights.

    Parameters
    ----------
    weights : path, optional
        A file of weights; by default the one of the engine's name that ships.
    extrapolate : bool
        Allow a lattice spacing, redshift or cosmology outside the ranges of the model card. Snapshots record it.
    tiles : int, optional
        Pieces per side that the box is divided into; by default as few as fit in memory.
    device : str
        A torch device for the network, such as "cpu" or "cuda".
    precision : str
        "auto" for layers of the type that is fastest on the device, or "float32" for the same numbers on any processor, to
        rounding.
    """

    weights: str | PathLike | None = None
    extrapolate: bool = False
    tiles: int | None = None
    device: str = "cpu"
    precision: str = "auto"

    def __post_init__(self) -> None:
        check_weights("weights", self.weights)
        check_flags(self, "extrapolate")
        if self.tiles is not None:
            check_whole("tiles", self.tiles, 1, MAX_N)
        check_choice("precision", self.precision, PRECISIONS)
        if self.device != "cpu":
            from zeldo.mesh.gravity import check_device

            check_device(self.device)

    @property
    def path(self) -> Path:
        """The file of weights."""
        return Path(self.weights) if self.weights else shipped_weights(self.name)

    @property
    def least_n(self) -> int:
        """The smallest number of particles per side that the network takes."""
        from zeldo.networks.weights import shared

        return max(8, shared(self.path).stride)

    @property
    def weights_hash(self) -> str:
        """sha256 of the weights; of all files where the engine has several networks."""
        return weights_hash(*self._files)

    @property
    def _files(self) -> list[Path]:
        """Of all networks of the engine."""
        return [self.path]

    @property
    def _cards(self) -> list[ModelCard]:
        return [card_of(path) for path in self._files]

    def check_universe(self, cosmology: Cosmology, spacing: float, redshifts: Sequence[float]) -> None:
        for card in self._cards if not self.extrapolate else ():
            for z in redshifts:
                card.check_range(cosmology, redshift=z, spacing=spacing)

    def check_lattice(self, n: int) -> None:
        super().check_lattice(n)
        for net in self._nets():
            net.layout.check_box(n, self.tiles)

    def _nets(self) -> list[LayeredNet]:
        """All networks of the engine; `InputError` for weights that it cannot use."""
        from zeldo.networks.weights import shared

        return [shared(path) for path in self._files]

    def _predict(
        self,
        net: LayeredNet,
        fields: Fields,
        ics: InitialConditions,
        redshift: float,
        progress: Callable[[int, int], None],
    ) -> Prediction:
        """What a network makes of fields, applied as the options say."""
        from zeldo.networks.field import predict

        return predict(
            net,
            fields,
            ics.cosmology,
            redshift,
            spacing=ics.spacing,
            extrapolate=self.extrapolate,
            tiles=self.tiles,
            device=self.device,
            precision=self.precision,
            progress=progress,
        )

    def plan(self, n: int, redshifts: Sequence[float] = (0.0,)) -> Plan:
        """The cost with as many tiles as the free memory asks for; a crop is timed to know this machine's speed."""
        from zeldo.engines.network_plans import network

        return network(self, n, self.check(redshifts))

    def for_trial(self) -> Self:
        """A small box may not hold as many pieces."""
        return replace(self, tiles=None)


def card_of(path: Path) -> ModelCard:
    """The model card of a network, read once as long as the file stays the same."""
    from zeldo.networks.weights import load

    if not path.is_file():
        return load(path).card  # which says what is wrong
    return _card_of(path, weights_hash(path))


@lru_cache(maxsize=16)
def _card_of(path: Path, content: str) -> ModelCard:
    """Weights are only read where the card is not in the file."""
    from zeldo.networks.weights import load, read_card

    return read_card(path) or load(path).card


def check_weights(name: str, value: object) -> None:
    """Raise `InputError` unless the value is a path or None."""
    if value is not None and (not isinstance(value, str | PathLike) or not str(value)):
        raise InputError(f"{name} = {value!r} is not allowed: give a file of weights")


@dataclass(frozen=True, eq=False)
class Carried:
    """Where dynamics have carried the particles, for a network to correct.

    Parameters
    ----------
    snapshot : Snapshot
    force : ndarray, (3, n, n, n), or None
        At the particles, Mpc/h; None for engines that compute no such force.
    psi_lin : ndarray, (3, n, n, n), or None
        The linear displacement today that the run began with, Mpc/h, where it was asked for and the engine has it.
    """

    snapshot: Snapshot
    force: np.ndarray | None = None
    psi_lin: np.ndarray | None = None


def run_dynamics(
    dynamics: Engine,
    ics: InitialConditions,
    redshift: float,
    progress: Progress | None = None,
    *,
    linear: bool = False,
) -> Carried:
    """Run the engine that a network corrects.

    Parameters
    ----------
    dynamics : Engine
    ics : InitialConditions
    redshift : float
        Where the run ends.
    progress : callable, optional
        As in `Engine.run`.
    linear : bool
        Whether to keep the linear displacement too.

    Returns
    -------
    Carried
    """
    if not dynamics.observable:
        (snapshot,) = dynamics.run(ics, [redshift], progress)
        return Carried(snapshot)
    seen: dict[str, Any] = {}

    def keep(view: Any) -> None:
        first = getattr(view.dynamics, "linear", None)
        if linear and first is not None:
            seen["psi_lin"] = view.dynamics.host(first)
        if view.redshift is not None:
            seen["force"] = view.force

    (snapshot,) = dynamics.run(ics, [redshift], progress, [keep])
    return Carried(snapshot, **seen)


def shipped_weights(name: str = "vnet") -> Path:
    """The file of a network that ships with zeldo. Its model card is inside, and beside it as JSON.

    Parameters
    ----------
    name : str
        The engine that the network is for.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        Where the installed version has no such file.
    """
    path = Path(str(files("zeldo.weights") / f"{name}.safetensors"))
    if not path.is_file():
        raise InputError(
            f"no weights of {name} ship with this version: give a file of weights, as --engine FILE"
        )
    return path
