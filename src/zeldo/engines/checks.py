"""Checks of redshifts and options that all engines share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from zeldo.cosmology.redshifts import distinct_redshifts, same_redshift
from zeldo.errors import InputError, nearest
from zeldo.initial.lattice import MATCHED
from zeldo.keywords import scalar
from zeldo.mesh.checks import MAX_MESH

if TYPE_CHECKING:
    from zeldo.particles.snapshot import Snapshot

MAX_REDSHIFT = 1000.0


def most_n(mesh_factor: float) -> int:
    """The largest lattice with a mesh that the CPU's kernels take, of `mesh_factor` points a particle and dimension."""
    return int(MAX_MESH / mesh_factor) // 2 * 2


def check_redshifts(redshifts: Sequence[float], start: float | None = None) -> list[float]:
    """Check redshifts and sort them.

    Parameters
    ----------
    redshifts : sequence of float
        In any order.
    start : float, optional
        Where the engine starts, the highest redshift that is allowed; 1000 for what has no start.

    Returns
    -------
    list of float
        From high to low, each once.

    Raises
    ------
    InputError
        For no redshift at all, one outside the range, and two that differ by rounding alone.
    """
    redshifts = [scalar(z) for z in redshifts]
    most, end = (MAX_REDSHIFT, f"{MAX_REDSHIFT:g}") if start is None else (start, f"the start at {start:g}")
    for z in redshifts:
        if isinstance(z, bool) or not isinstance(z, Real) or not 0 <= float(z) <= most:
            raise InputError(f"redshift {z!r} is not allowed: give numbers from 0 to {end}")
    if len(redshifts) == 0:
        raise InputError("no redshift was asked for: give at least one, such as 0")
    return distinct_redshifts(redshifts)


def redshift_list(redshift: float | Sequence[float] | None) -> list[float]:
    """Check redshifts, given as one number, several, or None.

    Parameters
    ----------
    redshift : float, sequence of float, or None
        None is today.

    Returns
    -------
    list of float
        From high to low, each once.

    Raises
    ------
    InputError
        For what is no redshift from 0 to 1000.
    """
    redshift = scalar(redshift)
    if redshift is None:
        return [0.0]
    try:
        values: list[Any] = [redshift] if isinstance(redshift, Real | str) else list(redshift)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"redshift {redshift!r} is not allowed: give a number or a list of them") from None
    return check_redshifts(values)


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Check that an option is a whole number in a range.

    Parameters
    ----------
    name : str
        The option, for the message.
    value : object
        What the user gave. NumPy's integers count.
    low, high : int
        The range, ends included.

    Raises
    ------
    InputError
        For anything else.
    """
    value = scalar(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} = {value!r} is not allowed: give a whole number from {low} to {high}")


def check_number(name: str, value: object, low: float, high: float, hint: str = "") -> None:
    """Check that an option is a number in a range.

    Parameters
    ----------
    name : str
        The option, for the message.
    value : object
        What the user gave.
    low, high : float
        The range, ends included.
    hint : str
        The end of the message, as in ", such as 2".

    Raises
    ------
    InputError
        For anything else.
    """
    value = scalar(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{name} = {value!r} is not allowed: give a number from {low:g} to {high:g}{hint}")


def check_nbody_start(redshift: object) -> None:
    """Raise `InputError` unless the redshift is 0 or one at which an N-body run may start."""
    redshift = scalar(redshift)
    if isinstance(redshift, bool) or redshift != 0:
        hint = ", where the N-body run to be matched starts, or 0 for the growth of a fluid"
        check_number("nbody_start", redshift, 1 / MATCHED - 1, MAX_REDSHIFT, hint)


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Check that an option is one of a few names.

    Parameters
    ----------
    name : str
        The option, for the message.
    value : object
        What the user gave.
    choices : iterable of str
        What is allowed.

    Raises
    ------
    InputError
        For anything else.
    """
    allowed = list(choices)
    if value not in allowed:
        hint = nearest(str(value), allowed)
        raise InputError(f"{name} {value!r} is not known: choose one of {', '.join(allowed)}{hint}")


def _share_memory(one: Snapshot, other: Snapshot) -> bool:
    """Whether a field of one snapshot lies in the memory of the other's."""
    pairs = ((one.psi, other.psi), (one.vel, other.vel))
    return any(a is not None and b is not None and np.may_share_memory(a, b) for a, b in pairs)


def one_for_each(
    name: str, snapshots: Iterable[Snapshot] | None, redshifts: Sequence[float]
) -> Iterator[Snapshot]:
    """The snapshots that an engine gives; `InputError` unless there is one for each redshift, in their order.

    Nor may the arrays of one be those of the one before, if that one is still in use: it would have changed.
    """
    iterator = iter(() if snapshots is None else snapshots)

    def checked(snapshot: Snapshot | None, wanted: float | None) -> Any:
        if not (snapshot is None or hasattr(snapshot, "redshift")):
            raise InputError(
                f"engine {name} gave a {type(snapshot).__name__}: its `evolve` must yield what `self.snapshot` returns"
            )
        given = None if snapshot is None else snapshot.redshift
        same = given == wanted if given is None or wanted is None else same_redshift(given, wanted)
        if not same:
            gave = "no snapshot" if given is None else f"z = {given:g}"
            place = "after the last one" if wanted is None else f"in place of z = {wanted:g}"
            raise InputError(
                f"engine {name} gave {gave} {place}: its `evolve` must yield a snapshot for each redshift, from high to low"
            )
        if snapshot is None or wanted is None or given == wanted:
            return snapshot
        return replace(snapshot, redshift=wanted)  # what is equal but for rounding is found by it

    last: ref[Snapshot] | None = None

    def own(snapshot: Snapshot) -> Snapshot:
        nonlocal last
        before = None if last is None else last()
        if before is not None and _share_memory(before, snapshot):
            raise InputError(
                f"engine {name} put z = {snapshot.redshift:g} into the arrays of its snapshot at z = {before.redshift:g}, "
                "which changed: let its `evolve` yield copies"
            )
        last = ref(snapshot)
        return snapshot

    for redshift in redshifts:
        # no name holds a snapshot while the engine makes the next one
        yield own(checked(next(iterator, None), redshift))
    checked(next(iterator, None), None)
