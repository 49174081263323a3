"""Phases by name, with options."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from zeldo.errors import InputError, nearest
from zeldo.initial.phases import SEED, Native, Phases, check_given

NAMES = ("native", "ngenic", "quijote:SET/NUMBER")


def named(name: str, *, seed: int | None = None, fixed: bool = False, flip: bool = False) -> Phases:
    """Phases by name.

    Parameters
    ----------
    name : str
        "native"; "ngenic", with options as "ngenic:sphere=true,nyquist=filled"; or a simulation of Quijote as
        "quijote:fiducial/17".
    seed : int, optional
        7 where absent. A simulation of Quijote has its own.
    fixed, flip : bool
        Unit amplitudes, inverted phases.

    Raises
    ------
    InputError
        For an unknown name or option, and where seed, fixed or flip are not those of the simulation.
    """
    kind, _, rest = name.partition(":")
    drawn: dict[str, Any] = {"seed": SEED if seed is None else seed, "fixed": fixed, "flip": flip}
    if kind == "native":
        return Native(**drawn, **options_of(rest, (), name))
    if kind == "ngenic":
        from zeldo.initial.ngenic import NGenIC

        known = [field.name for field in fields(NGenIC) if field.name not in drawn]
        return NGenIC(**drawn, **options_of(rest, known, name))
    if kind == "quijote":
        from zeldo.initial.quijote import simulation

        phases = simulation(rest)
        check_given(phases, {"seed": seed, "fixed": fixed or None, "flip": flip or None})
        return phases
    raise InputError(
        f"phases {name!r} are not known: give {', '.join(NAMES)}, or a file of white noise{nearest(kind, NAMES)}"
    )


def generator(label: str | None) -> str | None:
    """What drew the phases of a label, beside their seed: simulations of Quijote have N-GenIC's.

    Parameters
    ----------
    label : str, optional
        As snapshots and files have it.
    """
    return "ngenic" if label is not None and label.startswith("quijote:") else label


def options_of(text: str, known: tuple[str, ...] | list[str], name: str) -> dict[str, Any]:
    """Options from "a=1,b=true"; `InputError` for one that is not known."""
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        key = key.replace("-", "_")
        if not equals and key in known:
            raise InputError(f"phases {name!r}: {key} has no value: give {key}=true, or a number")
        if not equals or key not in known:
            allowed = f"give any of {', '.join(known)} as option=value" if known else "they have none"
            raise InputError(
                f"phases {name!r} have no option {part.strip()!r}: {allowed}{nearest(key, known)}"
            )
        options[key] = _value(value)
    return options


def _value(text: str) -> bool | int | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        return text
