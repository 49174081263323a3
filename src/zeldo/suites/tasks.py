"""The universes of a suite: every cosmology with every seed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.tables import from_row, read_rows
from zeldo.errors import InputError
from zeldo.initial.noise import check_seed
from zeldo.initial.phases import SEED
from zeldo.keywords import PathLike, scalar

MOST = 10_000_000


@dataclass(frozen=True)
class Task:
    """A universe to be made.

    Parameters
    ----------
    name : str
        Of its files.
    seed : int
    cosmology : Cosmology or None
        None is that of the other arguments.
    """

    name: str
    seed: int
    cosmology: Cosmology | None = None


def make_tasks(
    seeds: Sequence[int], cosmologies: Sequence[Cosmology], pairs: Sequence[int] | None = None
) -> list[Task]:
    """One task for each cosmology and seed; `pairs` are the seeds of the cosmologies where each has its own."""
    if pairs is not None:
        return [
            Task(f"c{i:05d}-s{seed}", seed, cosmology)
            for i, (cosmology, seed) in enumerate(zip(cosmologies, pairs, strict=True))
        ]
    if not cosmologies:
        return [Task(f"s{seed}", seed) for seed in seeds]
    return [
        Task(f"c{i:05d}-s{seed}", seed, cosmology)
        for i, cosmology in enumerate(cosmologies)
        for seed in seeds
    ]


def parse_seeds(seeds: str | Iterable[int] | None) -> list[int]:
    """Seeds from "0:1000", which leaves out 1000, "3", "1,5,9", or whole numbers; 7 where None.

    Raises
    ------
    InputError
        For what is no seed, an empty range, and a seed that is given twice.
    """
    if seeds is None:
        return [SEED]
    ranges: list[range] = []
    try:
        for part in seeds.split(",") if isinstance(seeds, str) else seeds:
            if isinstance(part, str) and ":" in part:
                first, end = (int(text) for text in part.split(":"))
                ranges.append(range(first, end))
            else:
                seed = int(part)
                if isinstance(part, bool) or not (isinstance(part, str) or seed == part):
                    raise ValueError
                ranges.append(range(seed, seed + 1))
    except (TypeError, ValueError, OverflowError):
        ranges = []
    if not ranges or any(part.stop <= part.start for part in ranges):
        raise InputError(
            f"seeds {seeds!r} are not allowed: give a range such as 0:1000, or whole numbers as in 1,5,9"
        )
    if sum(part.stop - part.start for part in ranges) > MOST:
        raise InputError(f"seeds {seeds!r} are more than {MOST}: make several suites of them")
    numbers = [check_seed(seed) for part in ranges for seed in part]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"seeds {seeds!r} hold a seed twice: give each once")
    return numbers


def read_cosmologies(
    source: PathLike | Iterable[Cosmology | Mapping[str, float]] | None, base: Cosmology
) -> tuple[list[Cosmology], list[int] | None]:
    """Cosmologies from a table, or given as they are.

    Parameters
    ----------
    source : path or iterable, optional
        A file as in `read_rows`, with parameters of `Cosmology`, and perhaps `seed`; or cosmologies or mappings of
        parameters.
    base : Cosmology
        It has the parameters that the table does not.

    Returns
    -------
    cosmologies : list of Cosmology
    seeds : list of int or None
        The column `seed`, where there is one.

    Raises
    ------
    InputError
        For a missing file, an unknown parameter, and a value that is not allowed.
    """
    if source is None:
        return [], None
    if isinstance(source, Cosmology | Mapping):
        raise InputError(f"cosmologies is a {type(source).__name__}: give a list of them, or a file")
    if not isinstance(source, str | os.PathLike | Iterable):
        raise InputError(f"cosmologies = {source!r} is not allowed: give a list of them, or a file")
    from_file = isinstance(source, str | os.PathLike)
    name = source if from_file else "the list"
    rows: list[Any] = read_rows(source) if from_file else list(source)  # type: ignore[arg-type]
    if not rows:
        raise InputError(f"{name} holds no cosmology: give one a line")
    made: list[Cosmology] = []
    seeds: list[int] = []
    for number, row in enumerate(rows, 1):
        if isinstance(row, Cosmology):
            made.append(row)
            continue
        where = f"cosmology {number} of {name}"
        try:
            given = {name.strip(): value for name, value in row.items()}
        except AttributeError:
            raise InputError(
                f"{where} is a {type(row).__name__}: give a `Cosmology`, or parameters by name"
            ) from None
        made.append(from_row(given, base, where, ["seed"]))
        if given.get("seed") is not None:
            seeds.append(_seed(given["seed"], where))
    if seeds and len(seeds) != len(made):
        raise InputError(f"{name} has seeds for {len(seeds)} of {len(made)} cosmologies: give all or none")
    universes: list[Any] = list(zip(made, seeds, strict=True)) if seeds else made
    numbers: dict[Any, int] = {}
    for number, universe in enumerate(universes, 1):
        first = numbers.setdefault(universe, number)
        if first < number:
            raise InputError(
                f"cosmologies {first} and {number} of {name} are the same{', with the same seed' if seeds else ''}, and so "
                "would be their universes: give each once, with several seeds"
            )
    return made, seeds or None


def _seed(value: object, where: str) -> int:
    """A seed from text or a number. Whole numbers stay what they are: a float has 53 bits, and a seed may have 63."""
    seed = scalar(value)
    if isinstance(seed, str):
        with suppress(ValueError):
            seed = int(seed)
    if not isinstance(seed, int):
        try:
            seed = float(seed)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where} has seed = {value!r}: give a number") from None
        if not seed.is_integer():
            raise InputError(f"{where} has seed = {seed:g}: give a whole number")
    try:
        return check_seed(int(seed))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
