"""Particles of any number in a periodic box: what they are, and their fields, read by slices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError, nearest
from zeldo.particles.tiles import slabs

FIELDS: dict[str, tuple[int, ...]] = {"positions": (3,), "velocities": (3,), "ids": (), "masses": ()}
KINDS = {"positions": "f", "velocities": "f", "ids": "iu", "masses": "f"}  # of their numbers
SMALLEST_SLICE = 1024  # rows


@dataclass(frozen=True, eq=False)
class Header:
    """What is known of particles beside their fields.

    Parameters
    ----------
    count:
        Number of particles.
    box:
        Side of the periodic box, Mpc/h.
    redshift:
        Above -1.
    cosmology:
        None where it is not known in full.
    parameters:
        Cosmological parameters by the names of `Cosmology`, as far as they are known.
    particle_mass:
        Of every particle, 10^10 Msun/h; None where it is unknown, or masses differ.
    n:
        Particles per side where the rows are the points of a lattice, row (i n + j) n + k; None for other orders.
    engine, settings:
        The code that made the particles, and its options.
    version, revision, weights:
        As in `Provenance`.
    seed, fixed, flip, power, phases:
        As in `InitialConditions`.
    extra:
        Whatever else a file says, by the file's names. No format has to keep it.
    """

    count: int
    box: float
    redshift: float
    cosmology: Cosmology | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    particle_mass: float | None = None
    n: int | None = None
    engine: str = "unknown"
    settings: Mapping[str, object] = field(default_factory=dict)
    version: str = ""
    seed: int | None = None
    fixed: bool | None = None
    flip: bool | None = None
    power: str | None = None
    revision: int | None = None
    weights: str | None = None
    phases: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def scale_factor(self) -> float:
        return 1.0 / (1.0 + self.redshift)


class Source(ABC):
    """Where particles are read from, slice by slice. A file format subclasses it and defines `rows`.

    Parameters
    ----------
    name:
        What messages call it, such as a path.
    header:
        What the particles are.
    fields:
        The type of the numbers of each field that is there, by the names in `FIELDS`.
    """

    def __init__(self, name: str, header: Header, fields: Mapping[str, np.dtype]) -> None:
        self.name, self.header, self.fields = name, header, dict(fields)

    @abstractmethod
    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        """Rows start to stop of a field: Mpc/h in [0, box], peculiar km/s, ids, or 10^10 Msun/h.

        The field is there and 0 <= start <= stop <= count: `Particles.read` has checked it.
        """


class Particles:
    """Particles in a periodic box, in memory or in a file, in any order.

    Parameters
    ----------
    header:
        What they are.
    positions:
        (N, 3) float32 or float64, comoving Mpc/h.
    velocities:
        (N, 3) float32 or float64, peculiar, km/s.
    ids:
        (N,) whole numbers.
    masses:
        (N,) float32 or float64, 10^10 Msun/h.

    Raises
    ------
    InputError
        For an array of another shape or type.
    """

    def __init__(
        self,
        header: Header,
        positions: np.ndarray,
        velocities: np.ndarray | None = None,
        ids: np.ndarray | None = None,
        masses: np.ndarray | None = None,
    ) -> None:
        fields = {"positions": positions, "velocities": velocities, "ids": ids, "masses": masses}
        arrays = {name: np.asarray(values) for name, values in fields.items() if values is not None}
        for name, values in arrays.items():
            if values.shape != (header.count, *FIELDS[name]) or values.dtype.kind not in KINDS[name]:
                raise InputError(
                    f"{name} are {values.dtype} of shape {values.shape}: {header.count} particles need "
                    f"{(header.count, *FIELDS[name])} {'integers' if name == 'ids' else 'floats'}"
                )
        self._source: Source = _Arrays(header, arrays)

    @classmethod
    def backed(cls, source: Source) -> Particles:
        """Particles that stay where they are and are read by slices."""
        particles = cls.__new__(cls)
        particles._source = source
        return particles

    @property
    def header(self) -> Header:
        return self._source.header

    @property
    def name(self) -> str:
        """What messages call them: the path of their file, or "particles"."""
        return self._source.name

    @property
    def fields(self) -> dict[str, np.dtype]:
        """The type of the numbers of each field that is there."""
        return self._source.fields

    def __len__(self) -> int:
        return self.header.count

    def read(self, field: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows start to stop of a field, (stop - start, 3) or (stop - start,), as `Particles` has them.

        Raises
        ------
        InputError
            For a field that is not there, or rows that are not.
        """
        stop = len(self) if stop is None else stop
        if field not in self.fields:
            raise InputError(
                f"{self.name} has no {field}: it has {', '.join(self.fields)}{nearest(field, self.fields)}"
            )
        if not 0 <= start <= stop <= len(self):
            raise InputError(f"rows {start} to {stop} of {self.name} are not there: it has {len(self)}")
        return self._source.rows(field, start, stop)

    def slices(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of pieces to read one by one: a plane each where the particles are a lattice in order."""
        return slabs(len(self), max(SMALLEST_SLICE, round(len(self) ** (2 / 3))))

    @property
    def positions(self) -> np.ndarray:
        """(N, 3), comoving Mpc/h, all in memory."""
        return self.read("positions")

    @property
    def velocities(self) -> np.ndarray:
        """(N, 3), peculiar km/s, all in memory. `InputError` where there are none."""
        return self.read("velocities")

    @property
    def ids(self) -> np.ndarray:
        """(N,), all in memory. `InputError` where there are none."""
        return self.read("ids")

    @property
    def masses(self) -> np.ndarray:
        """(N,), 10^10 Msun/h, all in memory. `InputError` where there are none: all have `header.particle_mass`."""
        return self.read("masses")


class _Arrays(Source):
    def __init__(self, header: Header, arrays: dict[str, np.ndarray]) -> None:
        super().__init__("particles", header, {name: values.dtype for name, values in arrays.items()})
        self._arrays = arrays

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        return self._arrays[field][start:stop]
