"""Initial conditions that somebody else made: linear fields, or displaced particles, in files of any code."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology, same_parameter
from zeldo.errors import InputError, ZeldoWarning
from zeldo.files import read
from zeldo.files.linear_density import read_linear_density
from zeldo.files.reference import read_initial_conditions
from zeldo.files.registry import locate
from zeldo.files.universe_zarr import UniverseZarr
from zeldo.files.white_noise import bare_field
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.recovery import recover_linear_field, shifted
from zeldo.particles.linear_theory import expected_contrast
from zeldo.particles.snapshot import Snapshot, drawn

LINEAR = "reference"  # the format of files that hold a linear field with its cosmology
MODES = "linear-density"  # and of those without
UNIVERSE = "universe"  # of zarr arrays, perhaps at several redshifts
FEW = 8  # points per side, below which chance alone may do so
WITHOUT_BOX = ("npy",)  # and of arrays alone
UNLIKELY = 1.3  # rms of a field over the expected one: more than chance and the error of the power make
DIFFERENCES = "FastPM"  # the code that displaces particles by finite differences


def initial_conditions_of(
    source: str | os.PathLike[str] | Snapshot | InitialConditions | Any,
    cosmology: Cosmology | Mapping[str, float] | str | None = None,
    order: int | None = None,
) -> InitialConditions:
    """The linear density field today in a file of any code, or behind a snapshot of initial conditions.

    Parameters
    ----------
    source : path, Snapshot or InitialConditions
        A reference run, a file of `delta_lin`, or particles displaced by first or second order Lagrangian perturbation
        theory, in any format that zeldo reads. Of a universe in .zarr, the highest redshift is taken.
    cosmology : Cosmology, str or mapping of str to float, optional
        The cosmology of the run, the name of a preset, or those of its parameters that the file does not give.
    order : {1, 2}, optional
        Order of the perturbation theory; by default what the velocities say, or 2 without them.

    Returns
    -------
    InitialConditions

    Raises
    ------
    InputError
        For anything else, particles without a lattice, and particles that are no initial conditions. Also for a cosmology
        other than that of the file.
    """
    if isinstance(cosmology, str):
        cosmology = Cosmology.preset(cosmology)
    if isinstance(source, InitialConditions | Snapshot):
        _check_given(f"a {type(source).__name__}", source.cosmology, cosmology or {})
    if order is not None and order not in (1, 2):
        raise InputError(f"order = {order!r} is not allowed: give 1 for Zel'dovich or 2 for second order")
    if isinstance(source, InitialConditions):
        return source
    if isinstance(source, Snapshot):
        return _behind(source, order)
    if isinstance(source, Sequence) and not isinstance(source, str):
        raise InputError(
            f"ics is a {type(source).__name__} of {len(source)}: give one of them, as in snapshots[0]"
        )
    if not isinstance(source, str | os.PathLike):
        raise InputError(
            f"ics is a {type(source).__name__}: give `InitialConditions`, a snapshot of initial conditions, or the path "
            "of a file of either"
        )
    if bare_field(source):
        raise InputError(
            f"{source} holds a field and no particles: give white noise as --phases, and a linear density in an .npz file "
            "with delta_lin and box"
        )
    kind, place = locate(source)
    if kind.name == LINEAR:
        given = cosmology.to_dict() if isinstance(cosmology, Cosmology) else cosmology
        conditions = read_initial_conditions(source, given)
        _check_given(source, conditions.cosmology, given or {})
        return _compared(conditions, source)
    if kind.name == MODES:
        if not cosmology:
            raise InputError(f"{source} does not say its cosmology: pass that of the run")
        whole = cosmology if isinstance(cosmology, Cosmology) else Cosmology.from_mapping(cosmology)
        return _compared(read_linear_density(place, whole), source)
    if kind.name in WITHOUT_BOX:
        raise InputError(
            f"{source} has no box and no redshift: convert it first, as in zeldo convert {source} ics.npz --box 200 "
            "--redshift 49, and give ics.npz"
        )
    # of several redshifts the highest, which is nearest to linear theory
    earliest: dict[str, Any] = (
        {"redshift": max(UniverseZarr(place).redshifts)} if kind.name == UNIVERSE else {}
    )
    particles = read(source, cosmology, **earliest)
    if not isinstance(particles, Snapshot):
        raise InputError(
            f"{source} holds particles without a lattice: initial conditions need whole lattices of an even number "
            "per side, whose ids count it"
        )
    _check_given(source, particles.cosmology, cosmology or {})
    try:
        return _compared(_behind(particles, order), source)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _compared(ics: InitialConditions, source: object) -> InitialConditions:
    """The same, with a warning where its amplitude is far from that of its cosmology."""
    field = ics.delta_lin
    ratio = float(np.vdot(field, field) / field.size) ** 0.5 / expected_contrast(
        ics.cosmology, ics.box, ics.n
    )
    if ics.n >= FEW and not 1 / UNLIKELY < ratio < UNLIKELY:
        warnings.warn(
            f"{source}: the linear field's rms is {ratio:.2g} times what sigma_8 = {ics.cosmology.sigma_8:g} has on this "
            f"lattice: check that the field is for z = 0 and the box {ics.box:g} Mpc/h, and the cosmology",
            ZeldoWarning,
            stacklevel=3,
        )
    return ics


def _check_given(source: Any, own: Cosmology, given: Cosmology | Mapping[str, float]) -> None:
    """`InputError` where a parameter that was given is not that of the file, which would leave it unused."""
    for name, value in (given.to_dict() if isinstance(given, Cosmology) else given).items():
        said = getattr(own, name)
        if not same_parameter(said, value):
            raise InputError(f"{source} has {name} = {said:g}, and {value:g} is given: leave it out")


def _behind(snapshot: Snapshot, order: int | None) -> InitialConditions:
    vel = snapshot.vel
    recovered = recover_linear_field(
        snapshot.psi,
        vel,
        snapshot.box,
        snapshot.cosmology,
        snapshot.redshift,
        order,
        differences=snapshot.engine == DIFFERENCES,
    )
    # the lattice of some codes begins at half a cell: the field is wanted where ours has its points
    delta = shifted(recovered.delta_lin, snapshot.offset)
    return InitialConditions(snapshot.box, snapshot.n, snapshot.cosmology, delta, **drawn(snapshot))
