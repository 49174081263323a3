"""Tables of cosmologies in files: CSV, columns of text like those of Quijote's Latin hypercube, or JSON."""

from __future__ import annotations

import csv
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zeldo.cosmology.parameters import Cosmology
from zeldo.errors import ELSEWHERE, InputError, ZeldoWarning, nearest

# Columns of tables that do not name them: with a cosmological constant, or dark energy that varies
UNNAMED = (Cosmology.required(), Cosmology.names())
BARE = {name.replace("_", "") for name in Cosmology.names()}


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a table, by the names of its columns.

    Parameters
    ----------
    path : str or path
        Columns between commas or blanks, below a line of their names. This line may be a comment, as `numpy.savetxt` writes
        it, and begin as "columns:". Without names the columns are taken as omega_m, omega_b, h, n_s, sigma_8, and perhaps
        w0 and wa, with a warning. Otherwise JSON: a list of objects, or one a line.

    Returns
    -------
    list of dict
        Of texts, or of what JSON holds. Names are in lower case, so that Quijote's Omega_m is omega_m. None of them is
        checked.

    Raises
    ------
    InputError
        For a file that cannot be read, for rows that do not fit the columns, and for a comment that names other columns.
    """
    text = _text(path)
    if text.lstrip().startswith(("[", "{")):
        return _json(text, path)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    if any(";" in line for line in lines[first:] if not line.startswith("#")):
        raise InputError(
            f"cosmologies {path} have semicolons between cells: give commas or blanks, and points in numbers"
        )
    rows = _split([line for line in lines[first:] if not line.startswith("#")])
    if not rows:
        return []
    if not is_number(rows[0][0]):
        names: Sequence[str] = rows.pop(0)
    else:
        names = _names_above(lines[:first], len(rows[0]), path) or _unnamed(len(rows[0]), path)
    names = [name.lower() for name in names]
    if "" in names:
        raise InputError(f"cosmologies {path} have a column without a name: give one, or remove it")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"cosmologies {path} have {names.count(twice[0])} columns {twice[0]!r}: keep one")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise InputError(
                f"cosmology {number} of {path} has {len(row)} cells, and the table has {len(names)} columns: "
                "give one for each"
            )
    return [dict(zip(names, row, strict=True)) for row in rows]


def from_row(row: Mapping[str, Any], base: Cosmology, where: str, others: Sequence[str] = ()) -> Cosmology:
    """The cosmology of a row.

    Parameters
    ----------
    row : mapping
        Parameters by their names.
    base : Cosmology
        It has the parameters that the row does not.
    where : str
        What an error begins with.
    others : sequence of str
        Further columns, which are left to the caller.

    Raises
    ------
    InputError
        For an unknown parameter, and a value that is not allowed.
    """
    known = (*Cosmology.names(), *others)
    values: dict[str, float] = {}
    for name, value in row.items():
        if name in others:
            continue
        if name not in known:
            raise InputError(f"{where} has {name!r}: give any of {', '.join(known)}{nearest(name, known)}")
        try:
            values[name] = float(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where} has {name} = {value!r}: give a number") from None
    try:
        return Cosmology(**{**base.to_dict(), **values})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def is_number(cell: str) -> bool:
    """Whether the text of a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _text(path: str | os.PathLike[str]) -> str:
    """What a file of text says."""
    kinds = "give a CSV file, columns of text as numpy.savetxt writes them, or JSON"
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # spreadsheets begin files with a mark
    except OSError as error:
        raise InputError(f"cosmologies {path} cannot be read ({error}): {kinds}") from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"cosmologies {path} are binary, or no text in UTF-8: {kinds}")
    return text


def _json(text: str, path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    try:
        listed = text.lstrip().startswith("[")
        rows = (
            json.loads(text) if listed else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except ValueError as error:
        raise InputError(
            f"cosmologies {path} are not JSON: {error}; give a list of objects, or one a line"
        ) from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(f"cosmology {number} of {path} is {row!r}: give parameters by name")
        twice = [name for name in row if sum(name.lower() == other.lower() for other in row) > 1]
        if twice:
            raise InputError(f"cosmology {number} of {path} has {' and '.join(twice)}: keep one")
    return [{name.lower(): value for name, value in row.items()} for row in rows]


def _split(lines: Sequence[str]) -> list[list[str]]:
    """The cells of lines, between commas where there are any, and otherwise between blanks."""
    if any("," in line for line in lines):
        return [[cell.strip() for cell in row] for row in csv.reader(lines)]
    return [line.split() for line in lines]


def _names_above(comments: Sequence[str], columns: int, path: str | os.PathLike[str]) -> Sequence[str] | None:
    """The names of columns in the comments above them; None where these name no parameter.

    Raises
    ------
    InputError
        Where a comment names parameters, and none has a name for each column: their order would be a guess.
    """
    lines = [line.lstrip("# ") for line in comments]
    fitting = [
        cells
        for line in lines
        for text in (line, line.partition(":")[2])
        if len(cells := _split([text])[0] if text.strip() else []) == columns and any(map(_is_name, cells))
    ]
    if fitting:  # what is nearer to the rows comes first where two have as many names
        return max(reversed(fitting), key=lambda cells: sum(map(_is_name, cells)))
    for line in lines:
        named = [word for word in re.split(r"[\s,;:|=()\[\]{}]+", line) if _is_name(word)]
        if named:
            raise InputError(
                f"cosmologies {path} have {columns} columns, and a comment that names {', '.join(named)} without a name for "
                "each: give the names, and no other words, in the first line"
            )
    return None


def _is_name(word: str) -> bool:
    """Whether a word names a parameter, in zeldo's spelling or in those of other codes."""
    bare = word.lower().replace("_", "")
    # A_s without its underscore is a word of English
    return bare in BARE or (bare != "as" and ELSEWHERE.get(bare, ("",))[0] in Cosmology.names())


def _unnamed(columns: int, path: str | os.PathLike[str]) -> Sequence[str]:
    """The names of so many columns where the file has none: those of UNNAMED."""
    for names in UNNAMED:
        if len(names) == columns:
            warnings.warn(
                f"cosmologies {path} do not name their columns, which are taken as {', '.join(names)}: name them in the "
                "first line",
                ZeldoWarning,
                stacklevel=2,
            )
            return names
    raise InputError(
        f"cosmologies {path} have {columns} columns without names: name them in the first line, or give "
        f"{', '.join(UNNAMED[0])}, and perhaps w0, wa"
    )
