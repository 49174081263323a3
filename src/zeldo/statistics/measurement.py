"""All that `zeldo measure` finds in one snapshot, as tables whose columns have units."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from zeldo.brief import brief
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError, ZeldoWarning, nearest
from zeldo.keywords import axis_index, scalar
from zeldo.mesh.checks import check_mesh
from zeldo.particles.particles import Particles, check_box, warn_of_box
from zeldo.particles.snapshot import DRAWN, MADE, Snapshot
from zeldo.statistics.bispectrum import Bispectrum, bispectrum_of_shells, equilateral, squeezed
from zeldo.statistics.comparison import json_value
from zeldo.statistics.halos import friends_of_friends, mass_function
from zeldo.statistics.matter import Matter, matter_of
from zeldo.statistics.modes import as_tensor, density_modes
from zeldo.statistics.on_disk import OnDisk
from zeldo.statistics.redshift_space import multipoles, redshift_space_points
from zeldo.statistics.spectra import spectrum
from zeldo.statistics.streaming_halos import stream_halos

if TYPE_CHECKING:
    from zeldo.engines.base import Progress

STATISTICS = ("power", "multipoles", "bispectrum", "mass-function")
DEFAULT = ("power", "multipoles")  # the quick ones
FEWEST = 18  # particles per side that leave a shell for the squeezed bispectrum

# unit and meaning of every column
COLUMNS: dict[str, tuple[str, str]] = {
    "k": ("h/Mpc", "mean wavenumber of the bin; of the squeezed bispectrum, of the two short waves"),
    "k_long": ("h/Mpc", "mean wavenumber of the long waves"),
    "power": (
        "(Mpc/h)^3",
        "P(k) of the matter; without shot noise where the setting subtract_shot_noise says so",
    ),
    "modes": ("1", "number of modes that the bin averages"),
    "monopole": ("(Mpc/h)^3", "P_0(k) in redshift space"),
    "quadrupole": ("(Mpc/h)^3", "P_2(k) in redshift space"),
    "hexadecapole": ("(Mpc/h)^3", "P_4(k) in redshift space"),
    "bispectrum": ("(Mpc/h)^6", "B of the three shells"),
    "reduced": ("1", "Q = B / (P1 P2 + P2 P3 + P3 P1)"),
    "error": ("", "standard deviation: of a Gaussian field for B, Poisson for dn/dlnM"),
    "triangles": ("1", "number of closed triangles"),
    "mass_low": ("1e10 Msun/h", "lower edge of the bin"),
    "mass_high": ("1e10 Msun/h", "upper edge of the bin"),
    "mass": ("1e10 Msun/h", "geometric centre of the bin"),
    "dn_dlnm": ("(Mpc/h)^-3", "comoving number of friends-of-friends halos per ln M"),
    "count": ("1", "number of halos"),
}

Table = dict[str, np.ndarray]


def unit(column: str, table: Mapping[str, object]) -> str:
    """The unit of a column of a table; an error has that of the value beside it."""
    if column == "error":
        column = "dn_dlnm" if "dn_dlnm" in table else "bispectrum"
    return COLUMNS[column][0]


@dataclass(frozen=True, eq=False)
class Measurement:
    """Statistics of one snapshot.

    Parameters
    ----------
    name : str
        The file, or what else the snapshot is called.
    engine : str
        The code that made it.
    redshift : float
        Of the snapshot.
    box : float
        Mpc/h.
    count : int
        Number of particles.
    nyquist : float
        Nyquist wavenumber of the particles' lattice, or of one with as many points, h/Mpc.
    cosmology : Cosmology or None
        None where it is not known in full.
    settings : mapping
        How it was measured.
    tables : mapping of str to mapping of str to ndarray
        The columns of each statistic, which `COLUMNS` explains: "power", "multipoles", "equilateral_bispectrum",
        "squeezed_bispectrum" and "mass_function".
    made : mapping
        How the snapshot was made, as far as it is known: version, seed, fixed, flip, power, phases, revision, weights, and
        the engine's settings.
    """

    name: str
    engine: str
    redshift: float
    box: float
    count: int
    nyquist: float
    cosmology: Cosmology | None
    settings: Mapping[str, object] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and text for JSON; None for what is not finite."""
        return {
            "name": self.name,
            "engine": self.engine,
            "redshift": self.redshift,
            "box": self.box,
            "count": self.count,
            "cosmology": self.cosmology.to_dict() if self.cosmology else None,
            "settings": dict(self.settings),
            "made": dict(self.made),
            **{
                statistic: {
                    column: [json_value(x) for x in values.tolist()] for column, values in table.items()
                }
                for statistic, table in self.tables.items()
            },
        }


def measurement(
    snapshot: Snapshot | Particles | OnDisk,
    statistics: Sequence[str] = DEFAULT,
    *,
    name: str = "",
    mesh: int | None = None,
    axis: int | str = "z",
    linking_length: float = 0.2,
    minimum: int = 20,
    subtract_shot_noise: bool = False,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Measurement:
    """Measure one snapshot.

    Parameters
    ----------
    snapshot : Snapshot, Particles or OnDisk
        The particles, of equal mass.
    statistics : sequence of str
        Any of `STATISTICS`.
    name : str
        What the results are called.
    mesh : int, optional
        Points per side of the density, by default twice the lattice.
    axis : {"x", "y", "z", 0, 1, 2}
        Line of sight of redshift space.
    linking_length, minimum
        As in `friends_of_friends`.
    subtract_shot_noise : bool
        Subtract V/N from P(k) and from the monopole, as in `power_spectrum`; not from bispectra.
    device : str or torch.device
        Where spectra are computed.
    progress : callable, optional
        `progress(done, total, text)` before each statistic, where work is counted in statistics.

    Returns
    -------
    Measurement
        With the default statistics, without multipoles where the particles have no velocities.

    Raises
    ------
    InputError
        For an unknown statistic, and for what the particles cannot give.
    """
    statistics = check_statistics(statistics)
    source = snapshot if isinstance(snapshot, OnDisk) else _InMemory(snapshot, device)
    matter = source.matter
    if isinstance(matter.source, Particles):
        check_box(matter.source.positions, matter.box, matter.name)
        warn_of_box(matter.source)
    along = axis_index(axis)
    mesh = check_mesh(2 * matter.n if mesh is None else mesh)
    if "bispectrum" in statistics:
        _check_bispectra(matter, mesh)
    noise = matter.count if subtract_shot_noise else None
    tables: dict[str, Table] = {}
    modes = None
    in_turn = [statistic for statistic in STATISTICS if statistic in statistics]

    def begin(statistic: str) -> None:
        if progress is not None:
            progress(in_turn.index(statistic), len(in_turn), statistic)

    begin(in_turn[0])
    if "power" in statistics or "bispectrum" in statistics:
        modes = source.modes(mesh)
    if "power" in statistics and modes is not None:
        power = spectrum(modes, matter.box, shot_noise=noise)
        tables["power"] = {"k": power.k, "power": power.power, "modes": power.modes}
    if set(statistics) == set(DEFAULT) and not source.has_velocities:
        warnings.warn(
            f"{name or 'the snapshot'} has no velocities, so multipoles in redshift space are left out",
            ZeldoWarning,
            stacklevel=2,
        )
    elif "multipoles" in statistics:
        begin("multipoles")
        poles = multipoles(source.modes(mesh, along), matter.box, along, shot_noise=noise)
        names = ("k", "monopole", "quadrupole", "hexadecapole", "modes")
        tables["multipoles"] = {column: getattr(poles, column) for column in names}
    if "bispectrum" in statistics and modes is not None:
        begin("bispectrum")
        tables |= _bispectra(modes, matter, mesh)
    if "mass-function" in statistics:
        begin("mass-function")
        tables["mass_function"] = _mass_function(source, linking_length, minimum)
    settings: dict[str, object] = {"mesh": mesh}
    if "multipoles" in tables:
        settings["axis"] = along
    if subtract_shot_noise:
        settings["subtract_shot_noise"] = True
    if "mass_function" in tables:
        settings |= {"linking_length": float(linking_length), "minimum": int(minimum)}
    return Measurement(
        name,
        matter.header.engine,
        matter.redshift,
        matter.box,
        matter.count,
        np.pi / matter.spacing,
        matter.header.cosmology,
        settings,
        tables,
        _made(matter.header),
    )


def _made(header: Any) -> dict[str, Any]:
    """What a snapshot or the header of particles says of how they were made, as plain values."""
    known = {name: getattr(header, name) for name in ("version", "seed", *DRAWN, *MADE)}
    settings = {name: scalar(value) for name, value in header.settings.items()}
    return {
        name: value for name, value in {**known, "settings": settings}.items() if value not in (None, "", {})
    }


@dataclass(frozen=True, eq=False)
class _InMemory:
    """What `OnDisk` has, of a snapshot or of particles in memory."""

    particles: Snapshot | Particles
    device: str | torch.device

    @cached_property
    def matter(self) -> Matter:
        return matter_of(self.particles, "measure")

    @property
    def has_velocities(self) -> bool:
        return self.matter.has_velocities

    def modes(self, mesh: int, axis: int | None = None) -> torch.Tensor:
        if axis is None:
            return density_modes(self.particles, mesh, device=self.device)
        points = as_tensor(redshift_space_points(self.particles, axis), self.device)
        return density_modes(points, mesh, self.matter.box, device=self.device)


def check_statistics(statistics: Sequence[str]) -> tuple[str, ...]:
    """The names where all are in `STATISTICS`, "all" being every one; else `InputError`."""
    if not isinstance(statistics, str | Iterable):
        raise InputError(
            f"statistics = {statistics!r} is not allowed: give any of {', '.join(STATISTICS)}, or all"
        )
    given = (statistics,) if isinstance(statistics, str) else tuple(statistics)
    names = tuple(str(name).replace("_", "-") for name in given)  # as tables are called
    if "all" in names:
        return STATISTICS
    for name in names:
        if name not in STATISTICS:
            hint = nearest(name, STATISTICS)
            raise InputError(f"statistic {name!r} is not known: give {', '.join(STATISTICS)} or all{hint}")
    if not names:
        raise InputError(f"no statistic was asked for: give any of {', '.join(STATISTICS)}")
    return names


def _check_bispectra(matter: Matter, mesh: int) -> None:
    if matter.n < FEWEST:
        raise InputError(f"{matter.n} particles per side are too few for bispectra: they need {FEWEST}")
    if mesh < FEWEST:
        raise InputError(f"a mesh of {mesh} points a side is too coarse for bispectra: give {FEWEST} or more")


def _bispectra(modes: torch.Tensor, matter: Matter, mesh: int) -> dict[str, Table]:
    top = min(matter.n, mesh) / 2
    sides = {
        "equilateral_bispectrum": (bispectrum_of_shells(modes, matter.box, equilateral(top)), ("k",)),
        "squeezed_bispectrum": (bispectrum_of_shells(modes, matter.box, squeezed(top)), ("k_long", "k")),
    }
    return {name: _triangles(result, columns) for name, (result, columns) in sides.items()}


def _triangles(result: Bispectrum, sides: tuple[str, ...]) -> Table:
    table: Table = {name: result.k[:, i] for i, name in enumerate(sides)}
    return table | {name: getattr(result, name) for name in ("bispectrum", "reduced", "error", "triangles")}


def _mass_function(source: _InMemory | OnDisk, linking_length: float, minimum: int) -> Table:
    if isinstance(source, OnDisk):
        friends = stream_halos(source.path, source.redshift, linking_length=linking_length, minimum=minimum)
    else:
        friends = friends_of_friends(source.particles, linking_length, minimum)
    result = mass_function(friends)
    return {
        "mass_low": result.edges[:-1],
        "mass_high": result.edges[1:],
        "mass": result.mass,
        "dn_dlnm": result.dn_dlnm,
        "error": result.error,
        "count": result.count,
    }
