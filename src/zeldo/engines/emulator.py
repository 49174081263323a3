"""A fast engine that a network corrects, as one engine: dynamics first, then the correction."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from zeldo.engines.base import BLOCK, Engine, Plan, Progress, silent
from zeldo.engines.checks import check_choice, most_n
from zeldo.engines.registry import dynamics_of, register
from zeldo.engines.trained import Trained, run_dynamics, shipped_weights
from zeldo.errors import InputError, ZeldoError, ZeldoWarning
from zeldo.initial.conditions import InitialConditions, Origin
from zeldo.particles.snapshot import Snapshot

if TYPE_CHECKING:
    from zeldo.cosmology.parameters import Cosmology
    from zeldo.engines.blocks import StreamedOutput
    from zeldo.networks.card import ModelCard
    from zeldo.networks.expected import Measures

PRESETS = {"accurate": "emulator", "fast": "emulator_fast"}  # files of weights that ship
TINY = 1e-36  # of a universe without structure
FLAT = -60.0  # ln of an rms linear density contrast that only a universe without structure is below
SHARE = 0.5  # the share of the progress bar that the dynamics take


@register
@dataclass(frozen=True)
class Emulator(Trained):
    """Dynamics whose displacement and velocity a network corrects; the network's card names the dynamics.

    Each redshift has a run of the dynamics of its own that ends there, as in training.

    Parameters
    ----------
    preset : str
        Which of the networks that ship: "accurate", or "fast", with cheaper dynamics.
    weights : path, optional
        A file of a network whose task is "correction", in place of a preset.
    extrapolate : bool
        Allow a lattice spacing, redshift or cosmology outside the ranges of the model card. The snapshot records it.
    tiles : int, optional
        Pieces per side that the box is divided into; by default as few as fit in memory. With particles on disk, pieces
        fill the tiles of the universe there, of at most 128 cells a side, and numbers that do not allow it are refused.
    device : str
        A torch device for the network. The dynamics run where their own options say.
    precision : str
        "auto" for layers of the type that is fastest on the device, or "float32" for the same numbers on any processor, to
        rounding.
    """

    name: ClassVar[str] = "emulator"
    preset: str = "accurate"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("preset", self.preset, PRESETS)
        if self.weights is not None and self.preset != "accurate":
            raise InputError(f"weights and the preset {self.preset} exclude each other: leave out one")

    @property
    def path(self) -> Path:
        return Path(self.weights) if self.weights else shipped_weights(PRESETS[self.preset])

    @property
    def start_redshift(self) -> float | None:
        """Where the dynamics start; None where they have no start."""
        return self._dynamics.start_redshift

    @property
    def most_n(self) -> int:
        """The largest number of particles per side, for the mesh of the density and the force that the network is given."""
        from zeldo.networks.scales import DENSITY_MESH

        inputs = getattr(self._card.make_task(), "inputs", ())
        return most_n(DENSITY_MESH) if {"density", "force"} & set(inputs) else super().most_n

    @property
    def settings(self) -> Mapping[str, object]:
        """The options that affect the results, with the file by its name, without its directory."""
        dynamics = self._dynamics
        name, options = self._card.make_task().dynamics  # type: ignore[misc] # or the line before refuses
        chosen = ",".join(f"{option}={value}" for option, value in options.items())
        own = asdict(self) | {"weights": self.path.name, "preset": None if self.weights else self.preset}
        first = ("weights", "preset") if self.weights else ("preset",)  # labels name the first that differs
        return {
            **{name: own[name] for name in first},
            **own,
            "dynamics": f"{name}:{chosen}" if chosen else name,
            "dynamics_revision": dynamics.revision,
        }

    def check_universe(self, cosmology: Cosmology, spacing: float, redshifts: Sequence[float]) -> None:
        from zeldo.networks.card import EXTRAPOLATE

        super().check_universe(cosmology, spacing, redshifts)
        (card,) = self._cards
        dynamics = self._dynamics
        if card.dynamics_revision not in (None, dynamics.revision) and not self.extrapolate:
            raise InputError(
                f"{self.path} learned to correct revision {card.dynamics_revision} of {dynamics.name}, which has revision "
                f"{dynamics.revision} now: train it again, or set {EXTRAPOLATE}"
            )

    def check_lattice(self, n: int) -> None:
        self._dynamics.check_lattice(n)
        super().check_lattice(n)

    @property
    def _card(self) -> ModelCard:
        return self._cards[0]

    @property
    def _dynamics(self) -> Engine:
        """The engine that the network corrects."""
        dynamics = dynamics_of(self._card.make_task())
        if dynamics is None:
            raise InputError(
                f"{self.path} corrects no engine ({self._card.task}): give a network with the task correction"
            )
        return dynamics

    def evolve(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress
    ) -> Iterator[Snapshot]:
        from zeldo.networks.expected import measures
        from zeldo.networks.tasks.base import Fields

        (net,) = self._nets()
        dynamics = self._dynamics
        self.check_universe(ics.cosmology, ics.spacing, redshifts)
        weights = self.weights_hash
        task, fields = net.card.make_task(), None
        for count, z in enumerate(redshifts):
            report = _dynamics_progress(progress, count, len(redshifts))
            run = run_dynamics(dynamics, ics, z, report, linear=fields is None)
            carried, force = run.snapshot, run.force
            if fields is None:
                fields = (
                    task.fields(ics, dynamics.amplitudes(ics.spacing))
                    if run.psi_lin is None
                    else Fields(run.psi_lin)
                )
            del run  # it may hold a field that no input needs
            corrected = _network_progress(progress, count, len(redshifts), z)
            prediction = self._predict(net, fields.at(carried, force), ics, z, corrected)
            assert prediction.psi is not None and prediction.vel is not None and carried.vel is not None
            shares = _added(prediction.psi, carried.psi), _added(prediction.vel, carried.vel)
            told = self.told(net.card, shares, measures(ics, fields.psi_lin, z), ics.origin, z)
            snapshot = replace(self.snapshot(ics, prediction.psi, prediction.vel, z), weights=weights, **told)
            del carried, force, prediction  # the dynamics run again to the next redshift
            yield snapshot
            del snapshot

    def streamed(
        self,
        ics: list[InitialConditions],
        redshifts: Sequence[float],
        folder: Path,
        written: Sequence[bool],
        *,
        block: int,
        progress: Progress | None = None,
    ) -> Iterator[StreamedOutput]:
        from zeldo.engines.streamed_emulator import StreamedEmulator

        (net,) = self._nets()
        self.check_universe(ics[0].cosmology, ics[0].spacing, redshifts)
        dynamics: Any = self._dynamics
        key = self.key(ics[0], redshifts)
        told = partial(self.told, net.card)
        run = StreamedEmulator(
            net, dynamics, folder, key, block, progress or silent, told, self.tiles, self.precision
        )
        return run.run(ics, redshifts, written)

    def told(
        self,
        card: ModelCard,
        shares: Sequence[tuple[float, float]],
        measured: Measures,
        origin: Origin,
        redshift: float,
    ) -> dict[str, Any]:
        """What a snapshot says of the emulator's own work.

        Parameters
        ----------
        card : ModelCard
            Of the network.
        shares : sequence of (float, float)
            Of displacement and velocity, the mean square of what the network added, and that of the result, in any unit.
        measured : Measures
            As from `zeldo.networks.expected.measures`.
        origin : Origin
            Of the universe.
        redshift : float

        Returns
        -------
        dict
            "correction", and "expected_error" where the card knows it and the universe is in its ranges.

        Raises
        ------
        ZeldoError
            Where the network's output is not finite.
        """
        from zeldo.networks.expected import ExpectedError

        if not np.isfinite(shares).all():
            raise ZeldoError(
                "the network's output is not finite: its weights, or the linear field, have absurd values"
            )
        spacing = origin.box / origin.n
        rms = [float(f"{(added / max(corrected, TINY)) ** 0.5:.3g}") for added, corrected in shares]
        told: dict[str, Any] = {"correction": dict(zip(("displacement", "velocity"), rms, strict=True))}
        errors = card.accuracy.get("expected")
        learned = card.dynamics_revision in (None, self._dynamics.revision)
        if (
            errors is not None
            and learned
            and card.covers(origin.cosmology, redshift=redshift, spacing=spacing)
        ):
            expected = ExpectedError.from_dict(errors).at(measured, np.pi / spacing)
            if expected is not None:
                told["expected_error"] = expected
            elif measured[0] > FLAT:
                warnings.warn(
                    f"the rms linear density contrast of {np.exp(measured[0]):.3g}, or the displacement, is far from those "
                    "for which the network's error was measured, so the snapshot has no expected error: check that the "
                    "linear field is for z = 0 and in the right units",
                    ZeldoWarning,
                    stacklevel=2,
                )
        return told

    def amplitudes(self, spacing: float) -> np.ndarray | None:
        return self._dynamics.amplitudes(spacing)

    def plan_streamed(
        self, n: int, redshifts: Sequence[float] = (0.0,), block: int = BLOCK, fields: int = 2
    ) -> Plan | None:
        from zeldo.engines.network_plans import streamed

        return streamed(self, self._dynamics, n, redshifts)


def _added(corrected: np.ndarray, carried: np.ndarray) -> tuple[float, float]:
    """The mean square of what the network added, and that of the result."""
    added = 0.0
    plane = np.empty_like(corrected[0, 0])  # one for all planes: a whole field of new memory takes time
    for after, before in zip(corrected, carried, strict=True):
        for pair in zip(after, before, strict=True):
            change = np.subtract(*pair, out=plane)
            added += float(np.vdot(change, change))
    return added / corrected.size, float(np.vdot(corrected, corrected)) / corrected.size


def _dynamics_progress(progress: Progress, count: int, total: int) -> Progress:
    """The progress of the dynamics at one redshift, as a share of the progress of all redshifts."""
    return lambda done, steps, text: progress(count + SHARE * done / steps, total, text)


def _network_progress(progress: Progress, count: int, total: int, z: float) -> Callable[[int, int], None]:
    return lambda done, tiles: progress(
        count + SHARE + (1 - SHARE) * done / tiles, total, f"z = {z:g}, corrected"
    )
