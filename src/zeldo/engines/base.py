"""What an engine is: it takes initial conditions to snapshots, and tells beforehand what that costs."""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from zeldo.engines.checks import MAX_REDSHIFT, check_redshifts
from zeldo.errors import InputError
from zeldo.initial.conditions import InitialConditions
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import Snapshot

Progress = Callable[[float, float, str], None]  # done, total, what is being done
Observer = Callable[[Any], None]  # called with a `zeldo.engines.driver.View` after every step

RUN_OPTIONS = ("checkpoint", "checkpoint_minutes")  # of one run: they decide nothing of what comes out


@dataclass(frozen=True)
class Plan:
    """What a run will cost.

    Parameters
    ----------
    memory
        The arrays that the run holds at its peak, GB (10^9 bytes), without Python and the libraries.
    seconds
        Wall time on two cores, from measured costs of a particle and step; None where nobody measured.
    forces
        How often the force of all particles is taken: 0 for an engine without steps.
    """

    memory: float
    seconds: float | None = None
    forces: int = 0


@dataclass(frozen=True)
class Engine(ABC):
    """From initial conditions to the evolved universe.

    A subclass is a frozen dataclass. The first line of its docstring says what it is, its fields are its options, and
    `__post_init__` refuses what makes no sense. It gives itself a `name` and a `revision`, and writes `evolve`;
    `zeldo.register` makes it known by its name.

    Attributes
    ----------
    name : str
        By which it is called.
    revision : int
        Raised whenever the same options and initial conditions give other results.
    resumable : bool
        Whether it has the options `checkpoint`, a file from which a killed run goes on to the same bits, and
        `checkpoint_minutes`, how often it is written.
    observable : bool
        Whether it has steps, so that observers can look between them.
    start_redshift : float or None
        Where its steps begin: nothing before it can be asked for. None where any redshift can.
    least_n : int
        The smallest lattice that it takes, particles per side.
    weights_hash : str or None
        sha256 of the weights of its networks; None where it has none.
    """

    name: ClassVar[str]
    revision: ClassVar[int] = 1
    resumable: ClassVar[bool] = False
    observable: ClassVar[bool] = False

    @property
    def start_redshift(self) -> float | None:
        """None: any redshift can be asked for."""
        return None

    @property
    def least_n(self) -> int:
        """Particles per side."""
        return 8

    @property
    def weights_hash(self) -> str | None:
        """None: it has no weights."""
        return None

    @property
    def settings(self) -> Mapping[str, object]:
        """The options that decide what comes out: what snapshots record."""
        values = dataclasses.asdict(self)
        return {key: value for key, value in values.items() if key not in RUN_OPTIONS}

    @classmethod
    def options(cls) -> list[str]:
        """The names of all options, those of its own before those that engines share."""
        fields = dataclasses.fields(cls)
        return [field.name for field in sorted(fields, key=lambda field: bool(field.kw_only))]

    @abstractmethod
    def evolve(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress
    ) -> Iterator[Snapshot]:
        """Yield a snapshot for each redshift; what `run` calls once everything is checked.

        Parameters
        ----------
        ics
            Not to be written to.
        redshifts
            From high to low, each once, none before the start.
        progress
            To be called with what is done, the total, and what is being done, as progress(3, 10, "z = 2").
        """

    def run(
        self,
        ics: InitialConditions,
        redshifts: Sequence[float],
        progress: Progress | None = None,
        observers: Sequence[Observer] = (),
    ) -> Iterator[Snapshot]:
        """Snapshots at the redshifts, from high to low.

        Parameters
        ----------
        ics
            The linear field.
        redshifts
            In any order.
        progress
            Called with what is done, the total, and what is being done.
        observers
            Called between steps with a view of the particles; engines without steps refuse them.

        Raises
        ------
        InputError
            Before any work.
        """
        wanted = self.check(redshifts, observers)
        return self.evolve(ics, wanted, progress or silent)

    def check(self, redshifts: Sequence[float], observers: Sequence[Observer] = ()) -> list[float]:
        """The redshifts from high to low, each once; `InputError` for what this engine cannot do."""
        if observers and not self.observable:
            raise InputError(f"engine {self.name} has no steps to observe: give no observers")
        return check_redshifts(
            redshifts, MAX_REDSHIFT if self.start_redshift is None else self.start_redshift
        )

    def plan(self, n: int, redshifts: Sequence[float] = (0.0,)) -> Plan:
        """What a run of n^3 particles to these redshifts will cost: by default the fields that go in and come out."""
        return Plan(memory=(1 + 2 * 6) * 4 * n**3 / 1e9)

    def snapshot(
        self, ics: InitialConditions, psi: np.ndarray, vel: np.ndarray | None, redshift: float
    ) -> Snapshot:
        """What this engine made: psi (3, n, n, n) in Mpc/h and vel in km/s, with all that says where they are from."""
        return Snapshot.of(
            ics,
            psi,
            vel,
            redshift,
            self.name,
            self.settings,
            revision=self.revision,
            weights=self.weights_hash,
        )

    def key(self, ics: InitialConditions, redshifts: Sequence[float]) -> str:
        """A hash of all that decides the bits of a run: the minor version, revision and weights too."""
        inputs = (self.name, dict(self.settings), list(redshifts))
        text = f"{Provenance.of(self).key} {ics.box} {ics.n} {ics.cosmology} {inputs}"
        return hashlib.sha256(text.encode() + ics.delta_lin.tobytes()).hexdigest()

    def for_trial(self) -> Self:
        """This engine for a run on a few particles: without what belongs to one run, such as its checkpoint."""
        return self


def silent(done: float, total: float, text: str) -> None:
    """Progress that nobody watches."""
