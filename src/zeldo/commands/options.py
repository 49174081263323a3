"""What the options and answers of several commands have in common."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import CoercionError, Parameter, Token


def whole(kind: type, tokens: Sequence[Token]) -> int:
    """The whole number in a text, such as 128 or 1e3. `ValueError` for a fraction, which would otherwise be cut off."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not number.is_integer():
        raise ValueError(f"{text} is not a whole number")
    return int(number)


def some(kind: type, tokens: Sequence[Token]) -> str:
    """The text. `CoercionError` for an empty one, which as a path would be the directory of the command."""
    if not tokens[0].value:
        raise CoercionError(msg="an empty name is not allowed: give that of a file")
    return tokens[0].value


def one_number(kind: type, tokens: Sequence[Token]) -> float:
    """The number in a text. `CoercionError` for several, of which each needs an option of its own."""
    text = tokens[0].value
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1:
        keyword = tokens[0].keyword or "-z"
        raise CoercionError(
            msg=f"{text!r} is not one number: give {' '.join(f'{keyword} {x}' for x in parts if x)}"
        )
    return float(text)


def named(kind: type, tokens: Sequence[Token]) -> Path:
    """The path in a text; errors as of `some`."""
    return Path(some(kind, tokens))


Named = Annotated[Path, Parameter(converter=named)]
Whole = Annotated[int, Parameter(converter=whole)]
Axis = Literal["x", "y", "z", "0", "1", "2"]
Flag = Annotated[bool, Parameter(negative="")]
PerSide = Annotated[Whole | None, Parameter(name=["--n", "-n"])]
OneOfSeveral = Annotated[float, Parameter(converter=one_number)]
Redshifts = Annotated[list[OneOfSeveral] | None, Parameter(name=["--redshift", "-z"], negative="")]
Output = Annotated[Named | None, Parameter(name=["--output", "-o"])]


def print_json(answer: object) -> None:
    """What --json prints."""
    print(json.dumps(answer, indent=1))


def command_line() -> str:
    """The command as it was typed, for pages to quote."""
    return shlex.join(["zeldo", *sys.argv[1:]])
