"""The base class of engines with time steps: it runs the loop, calls observers, and writes checkpoints."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from zeldo.engines.base import Engine, Observer, Progress, silent
from zeldo.engines.checks import check_number
from zeldo.engines.driver import View, evolve
from zeldo.engines.state import Dynamics
from zeldo.engines.table import Timetable
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.snapshot import Snapshot
from zeldo.store.checkpoint import Checkpoint
from zeldo.store.resume import active

if TYPE_CHECKING:
    from zeldo.engines.blocks import StreamedOutput


@dataclass(frozen=True)
class Stepping(Engine):
    """An engine with time steps.

    A subclass implements `dynamics` and `timetable`. Where it checks its own options, it calls `super().__post_init__()`.

    Parameters
    ----------
    checkpoint : path, optional
        A .npz file from which a killed run resumes with identical results. It is removed at the end of the run.
    checkpoint_minutes : float
        The interval at which it is written.
    """

    resumable: ClassVar[bool] = True
    observable: ClassVar[bool] = True
    checkpoint: str | os.PathLike[str] | None = field(default=None, kw_only=True)
    checkpoint_minutes: float = field(default=2.0, kw_only=True)

    def __post_init__(self) -> None:
        check_number("checkpoint_minutes", self.checkpoint_minutes, 0, 1e6)
        if not isinstance(self.checkpoint, str | os.PathLike | None):
            raise InputError(f"checkpoint = {self.checkpoint!r} is not allowed: give the name of a .npz file")

    def check(self, redshifts: Sequence[float], observers: Sequence[Observer] = ()) -> list[float]:
        device = getattr(self, "device", "cpu")
        if device != "cpu":
            from zeldo.mesh.gravity import torch_device

            torch_device(device)
        return super().check(redshifts, observers)

    @abstractmethod
    def dynamics(self, ics: InitialConditions) -> Dynamics[Any]:
        """What a step does to the particles."""

    @abstractmethod
    def timetable(self, ics: InitialConditions, redshifts: Sequence[float]) -> Timetable[Any]:
        """The steps that lead to these redshifts, from high to low."""

    def for_trial(self) -> Self:
        return replace(self, checkpoint=None)

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
        from zeldo.engines.streamed import stream

        return stream(self, ics, redshifts, folder, written, block=block, progress=progress or silent)

    def run(
        self,
        ics: InitialConditions,
        redshifts: Sequence[float],
        progress: Progress | None = None,
        observers: Sequence[Observer] = (),
    ) -> Iterator[Snapshot]:
        """Snapshots at the redshifts, from high to low; see `Engine.run`.

        Observers are called with a `View` after every step and at every output. In a run that resumes from a
        checkpoint, they see only what comes after it.
        """
        wanted = self.check(redshifts, observers)
        store, resume = None, active()
        if resume is not None and self.checkpoint is None:
            store = resume.checkpoint(self.key(ics, wanted), self.checkpoint_minutes)
        elif self.checkpoint is not None:
            store = Checkpoint(Path(self.checkpoint), self.key(ics, wanted), self.checkpoint_minutes)
        return self._run(ics, wanted, progress or silent, observers, store)

    def evolve(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress
    ) -> Iterator[Snapshot]:
        return self._run(ics, redshifts, progress, (), None)

    def _run(
        self,
        ics: InitialConditions,
        redshifts: Sequence[float],
        progress: Progress,
        observers: Sequence[Observer],
        store: Checkpoint | None,
    ) -> Iterator[Snapshot]:
        timetable = self.timetable(ics, redshifts)
        resumed = store.load() if store else None
        keeper = None
        if store:
            outputs_done = _outputs_before(timetable, resumed)
            for number in range(outputs_done):
                yield self.snapshot(ics, *store.load_output(number), redshifts[number])
            keeper = Keeper(store, outputs_done)
        dynamics, origin = self.dynamics(ics), ics.origin
        del ics  # dynamics let the linear field go when they need it no more
        for view in evolve(dynamics, timetable, progress, resumed):
            for observer in observers:
                observer(view)
            if view.redshift is not None:
                if keeper:
                    keeper.keep_output(view)
                yield self.snapshot(origin, *view.output(), view.redshift)
            if keeper:
                keeper.keep_state(view)
            del view  # and with it the arrays that its observers asked for
        if store:
            store.remove(len(redshifts))


@dataclass
class Keeper:
    """It writes checkpoints; `outputs_done` counts the snapshots that were yielded before.

    A state is kept when every observer has seen it, and when whoever asked for its snapshot has come back for the next.
    """

    store: Checkpoint
    outputs_done: int = 0

    def keep_output(self, view: View) -> None:
        if self.store.keeps_outputs:
            self.store.save_output(self.outputs_done, view.psi, view.velocity)
        self.outputs_done += 1

    def keep_state(self, view: View) -> None:
        if not view.spare and view.step > 0 and self.store.due():
            host = view.dynamics.host
            self.store.save(view.step, host(view.state.psi), host(view.state.v))


def _outputs_before(timetable: Timetable[Any], resumed: tuple[int, Any, Any] | None) -> int:
    """How many outputs were yielded before a checkpoint: those up to its step, without states off the main path after it."""
    if resumed is None:
        return 0
    return sum(
        output.step < resumed[0] or (output.step == resumed[0] and output.aside is None)
        for output in timetable.outputs
    )
