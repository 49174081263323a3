"""The interface of engines: from initial conditions to snapshots, and an estimate of the cost before a run."""

from __future__ import annotations

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from zeldo.engines.checks import check_redshifts, one_for_each
from zeldo.errors import InputError
from zeldo.initial.conditions import MAX_N, InitialConditions, Origin
from zeldo.initial.lattice import times_table
from zeldo.particles.provenance import Provenance
from zeldo.particles.snapshot import Snapshot

if TYPE_CHECKING:
    from zeldo.cosmology.parameters import Cosmology
    from zeldo.engines.blocks import StreamedOutput

Progress = Callable[[float, float, str], None]  # work done, total work, text
PREPARING = "preparing (the first run on a machine compiles for a minute)"  # the text before the first step
Observer = Callable[[Any], None]  # called with a `zeldo.engines.driver.View` after every step

BLOCK = 128  # planes of the lattice that outputs of a run come in whose particles are on disk
RUN_OPTIONS = ("checkpoint", "checkpoint_minutes")  # of one run: they decide nothing of what comes out


@dataclass(frozen=True)
class Plan:
    """The expected cost of a run.

    Parameters
    ----------
    memory_gb : float
        Size of all arrays of the run at its peak, GB (10^9 bytes), without Python and its libraries.
    seconds : float, optional
        Wall time on two cores, from measured costs of one particle and step; None where no cost was measured.
    forces : int
        How many times the force on all particles is computed; 0 for an engine without steps.
    tiles : int, optional
        Pieces per side that a network divides the box into; None for an engine without a network.
    vectors : int
        Vector fields of a snapshot: displacement and velocity, or one of them.
    scratch_gb : float
        Size of the files that hold the particles of a run, GB; 0 where they are in memory.
    device_gb : float
        The same as `memory_gb` on a GPU; 0 for a run on the CPU.
    network : float
        Of the seconds, those of a network, whose rate was measured on this machine as it is now.
    """

    memory_gb: float
    seconds: float | None = None
    forces: int = 0
    tiles: int | None = None
    vectors: int = 2
    scratch_gb: float = 0.0
    device_gb: float = 0.0
    network: float = 0.0


@dataclass(frozen=True)
class Engine(ABC):
    """The base class of engines, which evolve initial conditions into snapshots.

    A subclass is a frozen dataclass. The first line of its docstring describes it, its fields are its options, and its
    `__post_init__` checks them. It sets `name` and `revision`, and implements `evolve`. `zeldo.register` makes it
    available by its name.

    Attributes
    ----------
    name : str
        The name that users call it by.
    revision : int
        Raised whenever the same options and initial conditions give other results.
    resumable : bool
        Whether it has the options `checkpoint`, a file from which a killed run resumes with identical results, and
        `checkpoint_minutes`, the interval at which it is written.
    observable : bool
        Whether it has time steps, so that observers can be called between them.
    start_redshift : float or None
        The redshift of the first step, which is the highest that can be asked for. None where there is no limit.
    least_n : int
        The smallest number of particles per side.
    most_n : int
        The largest.
    weights_hash : str or None
        sha256 of the weights of its networks; None where it has none.
    """

    name: ClassVar[str]
    revision: ClassVar[int] = 1
    resumable: ClassVar[bool] = False
    observable: ClassVar[bool] = False

    @property
    def start_redshift(self) -> float | None:
        """The highest redshift that can be asked for; None where there is no limit."""
        return None

    @property
    def least_n(self) -> int:
        """The smallest number of particles per side."""
        return 8

    @property
    def most_n(self) -> int:
        """The largest number of particles per side."""
        return MAX_N

    @property
    def weights_hash(self) -> str | None:
        """sha256 of the weights; None for an engine without weights."""
        return None

    @property
    def settings(self) -> Mapping[str, object]:
        """The options that affect the results. Snapshots record them."""
        values = dataclasses.asdict(self)
        return {key: value for key, value in values.items() if key not in RUN_OPTIONS}

    @classmethod
    def options(cls) -> list[str]:
        """The names of all options: the engine's own first, then those that engines share."""
        fields = dataclasses.fields(cls)
        return [field.name for field in sorted(fields, key=lambda field: bool(field.kw_only))]

    @abstractmethod
    def evolve(
        self, ics: InitialConditions, redshifts: Sequence[float], progress: Progress
    ) -> Iterator[Snapshot]:
        """Yield a snapshot for each redshift. `run` calls this after all checks.

        Each needs arrays of its own, because `self.snapshot` does not copy those that it is given.

        Parameters
        ----------
        ics : InitialConditions
            The linear field. It must not be written to.
        redshifts : sequence of float
            From high to low, each once, none above the start.
        progress : callable
            To be called with the work done, the total work, and a short text, as in `progress(3, 10, "z = 2")`.

        Yields
        ------
        Snapshot
        """

    def run(
        self,
        ics: InitialConditions,
        redshifts: Sequence[float],
        progress: Progress | None = None,
        observers: Sequence[Observer] = (),
    ) -> Iterator[Snapshot]:
        """Evolve initial conditions to one or several redshifts.

        Parameters
        ----------
        ics : InitialConditions
            The linear field.
        redshifts : sequence of float
            Redshifts of the snapshots, in any order.
        progress : callable, optional
            Called with the work done, the total work, and a short text.
        observers : sequence of callable
            Called between steps with a view of the particles. Engines without steps refuse them.

        Returns
        -------
        iterator of Snapshot
            From high redshift to low; each is computed when it is asked for.

        Raises
        ------
        InputError
            For a value that is not allowed, before any work.
        """
        wanted = self.check(redshifts, observers)
        return one_for_each(self.name, self.evolve(ics, wanted, progress or silent), wanted)

    def check(self, redshifts: Sequence[float], observers: Sequence[Observer] = ()) -> list[float]:
        """Check a request before any work.

        Parameters
        ----------
        redshifts : sequence of float
            Redshifts of the snapshots, in any order.
        observers : sequence of callable
            As in `run`.

        Returns
        -------
        list of float
            The redshifts from high to low, each once.

        Raises
        ------
        InputError
            For what this engine cannot do.
        """
        if not isinstance(observers, Sequence) or not all(callable(observer) for observer in observers):
            raise InputError(
                f"observers = {observers!r} is not allowed: give a list of functions of a view of the particles"
            )
        if observers and not self.observable:
            raise InputError(f"engine {self.name} has no steps to observe: give no observers")
        return check_redshifts(redshifts, self.start_redshift)

    def amplitudes(self, spacing: float) -> np.ndarray | None:
        """What waves of the linear field are multiplied by on a lattice of this spacing, see `zeldo.initial.lattice`.

        None, as by default, for nothing.
        """
        return None

    def linear_field(self, ics: InitialConditions) -> InitialConditions:
        """The linear field that a run begins with: that of the universe times `amplitudes`."""
        table = self.amplitudes(ics.spacing)
        return ics if table is None else times_table(ics, table)

    def check_universe(  # noqa: B027 - most engines may be used for any
        self, cosmology: Cosmology, spacing: float, redshifts: Sequence[float]
    ) -> None:
        """Check that the engine may be used for a universe. By default, for any.

        Parameters
        ----------
        cosmology : Cosmology
        spacing : float
            Of the lattice, Mpc/h.
        redshifts : sequence of float

        Raises
        ------
        InputError
            Outside the ranges of a network's model card.
        """

    def check_lattice(self, n: int) -> None:
        """Check that the engine takes a lattice of this size. By default, it takes `least_n` to `most_n` a side.

        Parameters
        ----------
        n : int
            Particles per side.

        Raises
        ------
        InputError
            For a lattice that its options or its network do not allow, and for weights of the wrong kind.
        """
        if n < self.least_n:
            raise InputError(f"n = {n} is too small for engine {self.name}: give {self.least_n} or more")
        if n > self.most_n:
            raise InputError(
                f"n = {n} is too large for engine {self.name} with its mesh: give up to {self.most_n}"
            )

    def plan(self, n: int, redshifts: Sequence[float] = (0.0,)) -> Plan:
        """Estimate the cost of a run. By default: the memory of the linear field and of the snapshot.

        Parameters
        ----------
        n : int
            Particles per side.
        redshifts : sequence of float
            Redshifts of the snapshots.

        Returns
        -------
        Plan
        """
        return Plan(memory_gb=(1 + 2 * 6) * 4 * n**3 / 1e9)

    def plan_streamed(
        self, n: int, redshifts: Sequence[float] = (0.0,), block: int = BLOCK, fields: int = 2
    ) -> Plan | None:
        """The cost of a run with its particles on disk; None for an engine that needs them in memory.

        Parameters
        ----------
        n, redshifts
            As in `plan`.
        block : int
            Planes of the lattice that outputs come in.
        fields : int
            Vector fields of an output.
        """
        return None

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
        """Snapshots of a run whose particles are on disk, in blocks of lattice planes. It goes on where it was killed.

        Parameters
        ----------
        ics : list of one InitialConditions
            It is taken out of the list, so that the linear field may be let go.
        redshifts : sequence of float
            From high to low.
        folder : Path
            For the particles. It is left there.
        written : sequence of bool
            For each output, whether all its blocks are on disk already.
        block : int
            Planes of a block, a divisor of n.
        progress : callable, optional
            As in `run`.

        Yields
        ------
        StreamedOutput
            Those that are not made yet. All blocks of one must be taken before the next.

        Raises
        ------
        InputError
            For an engine that needs its particles in memory, whose `plan_streamed` gives None.
        """
        raise needs_memory(self)

    def snapshot(
        self, ics: InitialConditions | Origin, psi: np.ndarray, vel: np.ndarray | None, redshift: float
    ) -> Snapshot:
        """Make a snapshot of this engine's results, with a record of where they come from.

        Parameters
        ----------
        ics : InitialConditions or Origin
            The initial conditions of the run, or what snapshots record of them.
        psi : ndarray, (3, n, n, n)
            Displacement, Mpc/h.
        vel : ndarray, (3, n, n, n), or None
            Peculiar velocity, km/s.
        redshift : float

        Returns
        -------
        Snapshot
        """
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
        """Hash everything that determines the results of a run, with zeldo's minor version, the revision and the weights.

        Parameters
        ----------
        ics : InitialConditions
        redshifts : sequence of float
            From high to low.

        Returns
        -------
        str
            sha256 in hexadecimal.
        """
        inputs = (self.name, dict(self.settings), list(redshifts))
        text = f"{Provenance.of(self).key} {ics.box} {ics.n} {ics.cosmology} {inputs}"
        digest = hashlib.sha256(text.encode())
        digest.update(ics.delta_lin.data)
        return digest.hexdigest()

    def for_trial(self) -> Self:
        """This engine for a trial run on a few particles: without options of one run, such as its checkpoint."""
        return self


def needs_memory(engine: Engine) -> InputError:
    """The refusal to keep on disk the particles of an engine that needs them in memory."""
    return InputError(f"{engine.name} needs its particles in memory: give a smaller n, or another engine")


def silent(done: float, total: float, text: str) -> None:
    """A progress callback that does nothing."""
