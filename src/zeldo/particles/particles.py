"""Particles of any number in a periodic box: their header, and their fields, which are read by slices."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, prod

import numpy as np

from zeldo.cosmology.parameters import Cosmology, check_cosmology
from zeldo.errors import InputError, ZeldoWarning, nearest
from zeldo.keywords import check_plain, number, plain_scalars
from zeldo.particles.tiles import slabs

FIELDS: dict[str, tuple[int, ...]] = {"positions": (3,), "velocities": (3,), "ids": (), "masses": ()}
KINDS = {"positions": "f", "velocities": "f", "ids": "iu", "masses": "f"}  # of their numbers
SMALLEST_SLICE = 1024  # rows
STRAY = 0.1  # share of coordinates that unwrapped particles do not have more than a box length outside
MANY = 1000  # particles, too many to be on one side of their box by chance


@dataclass(frozen=True, eq=False)
class Header:
    """What is known of particles besides their fields.

    Parameters
    ----------
    count : int
        Number of particles.
    box : float
        Side of the periodic box, Mpc/h.
    redshift : float
        Above -1.
    cosmology : Cosmology, optional
        None where not all parameters are known.
    parameters : mapping of str to float
        Those cosmological parameters that are known, by the names of `Cosmology`.
    particle_mass : float, optional
        Mass of every particle, 10^10 Msun/h; None where it is unknown, or where masses differ.
    n : int, optional
        Particles per side where the rows are the points of a lattice, row (i n + j) n + k; None for other orders.
    engine : str
        The code that made the particles.
    settings : mapping
        The options of that code.
    version : str
        As in `Provenance`.
    seed, fixed, flip, power
        As in `InitialConditions`.
    revision, weights
        As in `Provenance`.
    phases : str, optional
        As in `InitialConditions`.
    expected_error, correction : mapping, optional
        As in `Snapshot`.
    offset : tuple of float, optional
        Where the lattice begins, in cells: q = ((i, j, k) + offset) box / n; None where it is unknown.
    whole : bool
        Whether the particles are all the matter of the box. False where a file has other species too, and for tracers:
        halos, or galaxies of your own. Few tracers have power far below their mean distance, so spectra of them take a
        mesh of 128 points a side at least. Where masses are asked for, they stand for all the matter of the box.
    own : bool
        Whether zeldo says this, also in a file that it wrote, so that the cosmology is that of the particles.
    stored : mapping of str to str
        How the file stores what it holds: "lengths", "velocities", "format" and so on, in words.
    notes : tuple of str
        What the file does not say and was assumed, one line each.
    extra : mapping
        Whatever else a file says, by the file's names. Formats need not keep it.
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
    expected_error: Mapping[str, Sequence[float]] | None = None
    correction: Mapping[str, float] | None = None
    offset: tuple[float, float, float] | None = None
    whole: bool = True
    own: bool = False
    stored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plain_scalars(self, "count", "particle_mass", "n", "seed", "fixed", "flip")
        if type(self.count) is not int or self.count < 0:
            raise InputError(f"count = {self.count!r} is not allowed: give a whole number")
        for name, least in (("box", 0.0), ("redshift", -1.0)):
            value = number(getattr(self, name), name)
            if not least < value < inf:
                raise InputError(f"{name} = {value!r} is not allowed: give a number above {least:g}")
            object.__setattr__(self, name, value)
        if self.cosmology is not None:
            check_cosmology(self.cosmology)

    @property
    def scale_factor(self) -> float:
        """a = 1 / (1 + z), 1 today."""
        return 1.0 / (1.0 + self.redshift)


def known_parameters(header: Header) -> dict[str, float]:
    """The cosmological parameters of particles, by their own names, as far as they are known."""
    if header.cosmology is not None:
        return header.cosmology.to_dict()
    return {name: float(value) for name, value in header.parameters.items()}


def row_bytes(fields: Mapping[str, np.dtype]) -> int:
    """Bytes of a particle that has these fields."""
    return sum(dtype.itemsize * prod(FIELDS[name]) for name, dtype in fields.items())


def usual_type(dtype: np.dtype) -> np.dtype:
    """The type itself, but float32 for shorter floats, and float64 for longer ones."""
    if dtype.kind != "f" or dtype.itemsize in (4, 8):
        return dtype
    return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)


class Source(ABC):
    """Reads particles slice by slice. A file format subclasses it and defines `rows`.

    Parameters
    ----------
    name : str
        What messages call the particles, such as the path of a file.
    header : Header
        What the particles are.
    fields : mapping of str to dtype
        The fields that exist, by the names in `FIELDS`, with the types of their numbers.
    """

    def __init__(self, name: str, header: Header, fields: Mapping[str, np.dtype]) -> None:
        self.name, self.header, self.fields = name, header, dict(fields)
        self.stored_fields = self.fields  # with the types in the file, where `rows` gives others

    @abstractmethod
    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        """Rows start to stop of a field: Mpc/h in [0, box], peculiar km/s, ids, or 10^10 Msun/h.

        `Particles.read` has checked that the field exists and that 0 <= start <= stop <= count.
        """


class Particles:
    """Particles in a periodic box, in memory or in a file, in any order.

    Parameters
    ----------
    header : Header
        What they are. Tracers, such as a catalogue of galaxies, are `Header(..., whole=False)`.
    positions : ndarray, (N, 3)
        float32 or float64, comoving Mpc/h.
    velocities : ndarray, (N, 3), optional
        float32 or float64, peculiar, km/s.
    ids : ndarray, (N,), optional
        Whole numbers.
    masses : ndarray, (N,), optional
        float32 or float64, 10^10 Msun/h.

    Raises
    ------
    InputError
        For an array of another shape or type, or with a unit or a mask.
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
            check_plain(fields[name], name)
            if values.shape != (header.count, *FIELDS[name]) or values.dtype.kind not in KINDS[name]:
                raise InputError(
                    f"{name} are {values.dtype} of shape {values.shape}: {header.count} particles need "
                    f"{(header.count, *FIELDS[name])} {'integers' if name == 'ids' else 'floats'}"
                )
            arrays[name] = values.astype(usual_type(values.dtype), copy=False)
        self._source: Source = ArraySource("particles", header, arrays)

    @classmethod
    def backed(cls, source: Source) -> Particles:
        """Particles that stay in their source, such as a file, and are read from it by slices."""
        particles = cls.__new__(cls)
        particles._source = source
        return particles

    @property
    def header(self) -> Header:
        """What is known of the particles besides their fields."""
        return self._source.header

    @property
    def name(self) -> str:
        """What messages call them: the path of their file, or "particles"."""
        return self._source.name

    @property
    def fields(self) -> dict[str, np.dtype]:
        """The fields that exist, with the types of their numbers."""
        return self._source.fields

    @property
    def stored_fields(self) -> dict[str, np.dtype]:
        """The fields with the types that their file has, where numbers change their type in being read."""
        return self._source.stored_fields

    def __len__(self) -> int:
        return self.header.count

    def __repr__(self) -> str:
        fields = ", ".join(f"{name} {kind}" for name, kind in self.fields.items())
        header = self.header
        return f"Particles({self.name!r}, count={len(self)}, box={header.box:g}, redshift={header.redshift:g}, {fields})"

    def read(self, field: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows start to stop of a field.

        Parameters
        ----------
        field : str
            "positions", "velocities", "ids" or "masses".
        start, stop : int
            Range of rows; to the end by default.

        Returns
        -------
        ndarray, (stop - start, 3) or (stop - start,)
            In the units of `Particles`.

        Raises
        ------
        InputError
            For a field or rows that do not exist.
        """
        stop = len(self) if stop is None else stop
        if field not in self.fields:
            raise InputError(
                f"{self.name} has no {field}: it has {', '.join(self.fields)}{nearest(field, self.fields)}"
            )
        if not 0 <= start <= stop <= len(self):
            raise InputError(f"rows {start} to {stop} of {self.name} are not there: it has {len(self)}")
        return self._source.rows(field, start, stop)

    def in_memory(self) -> Particles:
        """The same particles with all fields in memory, which need no file any more, and positions inside the box.

        A warning says how many coordinates were outside.

        Raises
        ------
        InputError
            Where they are far outside, as in another unit of length.
        """
        fields = {name: self.read(name) for name in self.fields}
        check_box(fields["positions"], self.header.box, self.name)
        fields["positions"], outside = wrapped_positions(fields["positions"], self.header.box)
        if outside:
            warnings.warn(
                f"{self.name}: {outside} coordinates lie outside the box of {self.header.box:g} Mpc/h and are wrapped",
                ZeldoWarning,
                stacklevel=3,
            )
        copy = Particles(self.header, **fields)
        copy._source.name = self.name
        return copy

    def slices(self, least: int = SMALLEST_SLICE) -> Iterator[tuple[int, int]]:
        """(start, stop) of the pieces to read one by one, of a lattice's plane, but of no fewer rows than `least`."""
        return slabs(len(self), max(least, round(len(self) ** (2 / 3))))

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


def into_box(x: np.ndarray, box: float) -> np.ndarray:
    """Positions modulo the box, in [0, box), float64; they are overwritten."""
    np.mod(x, box, out=x)
    x[x >= box] = 0.0  # mod rounds up to the box for tiny negative numbers
    return x


def wrapped_positions(x: np.ndarray, box: float) -> tuple[np.ndarray, int]:
    """Positions in [0, box) and how many coordinates were outside; the same array where none was."""
    outside = (x < 0) | (x >= box)
    if outside.any():
        x = x.copy()
        x[outside] = np.mod(x[outside].astype(np.float64), box)
        x[x >= box] = 0.0  # where rounding reached it
    return x, int(np.count_nonzero(outside))


def check_box(x: np.ndarray, box: float, name: str) -> None:
    """`InputError` where more than `STRAY` of the coordinates are further outside the box than one length of it."""
    if not x.size or (x.min() >= -box and x.max() <= 2 * box):
        return
    far = np.count_nonzero((x < -box) | (x > 2 * box)) / x.size
    if far > STRAY:
        raise InputError(
            f"{name}: {100 * far:.0f} % of the coordinates, from {x.min():g} to {x.max():g} Mpc/h, are further outside the "
            f"box of {box:g} Mpc/h than its length: give the box in the unit of the positions (--box, --length)"
        )


def warn_of_box(particles: Particles) -> None:
    """Warn of a box that is far larger than its particles, as one in another unit of length is.

    Parts of the matter, such as halos or the fine particles of a zoom, may be anywhere.
    """
    if not particles.header.whole or len(particles) < MANY:
        return
    x, box = particles.positions, particles.header.box
    size = float((x.max(axis=0) - x.min(axis=0)).max())
    if size < box / 2:
        warnings.warn(
            f"{particles.name}: the particles are {size:.3g} Mpc/h across, in a box of {box:g} Mpc/h: check the box and the "
            "unit of lengths (--box, --length)",
            ZeldoWarning,
            stacklevel=3,
        )


def warn_of_species(particles: Particles) -> None:
    """Warn that particles are one species of several, and stand for all the matter of the box."""
    warnings.warn(
        f"{particles.name}: these particles are not all the matter of the box; here they stand for it, with its mass",
        ZeldoWarning,
        stacklevel=3,
    )


class ArraySource(Source):
    """Arrays in memory, (N, 3) or (N,), by field."""

    def __init__(self, name: str, header: Header, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(name, header, {field: values.dtype for field, values in arrays.items()})
        self._arrays = arrays

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        return self._arrays[field][start:stop]
