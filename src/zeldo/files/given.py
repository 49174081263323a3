"""Plain arrays of others, whose box, redshift and units come from options or from entries beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeldo import keywords
from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import InputError
from zeldo.files.entries import SIZES, number, positive, redshift_of
from zeldo.files.units import length_factor, velocity_power, velocity_words
from zeldo.particles.particles import Header, Source, usual_type

LEAST = {"box": 0, "redshift": -1}


@dataclass(frozen=True)
class Given:
    """What the caller says of a file: box in the file's lengths, redshift, and conventions by their names."""

    path: Path
    box: float | None
    redshift: float | None
    length: str | None
    velocities: str | None
    cosmology: Cosmology | None

    def header(
        self,
        count: int,
        values: Mapping[str, Any],
        form: str,
        n: int | None = None,
        *,
        moving: bool = True,
    ) -> tuple[Header, dict[str, float]]:
        """The header of `count` particles, and the factors of their fields.

        Parameters
        ----------
        values : mapping
            box, redshift and cosmological parameters, as far as the file has them.
        form : str
            The format in words.
        n : int, optional
            As in `Header`.
        moving : bool
            Whether the file has velocities.

        Raises
        ------
        InputError
            Where neither the file nor the caller gives box or redshift.
        """
        said = dict(values)
        notes = []
        for name, unit in (("box", ", in the file's unit of length"), ("redshift", "")):
            given = getattr(self, name)
            if given is not None:
                said[name] = given
                notes.append(f"{name} = {given:g} by option")
            elif name not in said:
                raise InputError(f"{self.path} does not say its {name}: give --{name}{unit}")
        parameters = {name: number(said, name, self.path) for name in Cosmology.names() if name in said}
        cosmology = self.cosmology
        if cosmology is None and set(Cosmology.required()) <= set(parameters):
            cosmology = Cosmology.from_mapping(parameters)
        h = parameters.get("h", cosmology.h if cosmology else None)
        length, velocities = self.length or "Mpc/h", self.velocities or "peculiar"
        factor, power = length_factor(length, h, self.path), velocity_power(velocities)
        if self.length is None:
            notes.append("lengths are taken as Mpc/h, which the file does not say")
        if self.velocities is None and moving:
            notes.append("velocities are taken as peculiar, in km/s, which the file does not say")
        redshift = redshift_of(said, "redshift", self.path)
        header = Header(
            count=count,
            box=positive(said, "box", self.path) * factor,
            redshift=redshift,
            cosmology=cosmology,
            parameters=parameters,
            n=n,
            stored={"format": form, "lengths": length, "velocities": velocity_words(power)},
            notes=tuple(notes),
        )
        return header, {"positions": factor, "velocities": (1 / (1 + redshift)) ** power}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a reader, of any format, with box and redshift as numbers. `InputError` for what cannot be one."""
    values = {name: value for name, value in options.items() if value is not None}
    for name, value in values.items():
        if name in LEAST:
            values[name] = given = keywords.number(value, name)
            if not LEAST[name] < given < SIZES[1]:
                raise InputError(f"{name} = {given:g} is not allowed: give a number above {LEAST[name]}")
        elif name == "particle_type" and type(keywords.scalar(value)) is not int:
            raise InputError(f"{name} = {value!r} is not allowed: give a whole number, such as 1")
        elif name in ("length", "velocities") and not isinstance(value, str):
            raise InputError(f"{name} = {value!r} is not allowed: give its name, a text")
    return values


def check_not_given(path: Path, **options: object) -> None:
    """`InputError` for options that say something of a file of zeldo's, which records them already."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InputError(
            f"{path} was written by zeldo and already records this: leave out {', '.join(given)}"
        )


class Rescaled(Source):
    """Another source, with its numbers times factors by field."""

    def __init__(self, source: Source, factors: Mapping[str, float]) -> None:
        super().__init__(source.name, source.header, source.fields)
        self._source, self._factors = source, factors

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        values, factor = self._source.rows(field, start, stop), self._factors.get(field, 1.0)
        return values if factor == 1.0 else values * values.dtype.type(factor)


class _Retyped(Source):
    """Another source, with floats of other types."""

    def __init__(self, source: Source, types: Mapping[str, np.dtype]) -> None:
        super().__init__(source.name, source.header, types)
        self._source = source

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        return self._source.rows(field, start, stop).astype(self.fields[field], copy=False)


def of_usual_widths(source: Source) -> Source:
    """The source with floats of 32 or 64 bits, as most formats have."""
    types = {field: usual_type(dtype) for field, dtype in source.fields.items()}
    return source if types == source.fields else _Retyped(source, types)
