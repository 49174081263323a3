"""Initial conditions for N-body codes: particles, parameter files, and the linear field that they came from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeldo.datasets.parameter_files import CODES, SOFTENING, Job
from zeldo.engines.checks import check_redshifts, redshift_list
from zeldo.errors import InputError, nearest
from zeldo.files import write
from zeldo.files.atomic import write_text, writing_directory
from zeldo.files.reference import write_initial_conditions
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.lpt import lpt_state
from zeldo.keywords import number
from zeldo.particles.snapshot import Snapshot

FIELD = "initial_conditions.npz"  # the linear field, beside what the code reads
ENGINES = {1: "zeldovich", 2: "2lpt"}
EARLIEST = 999.0  # redshift


@dataclass(frozen=True)
class Exported:
    """A directory from which an N-body code starts.

    Parameters
    ----------
    path : Path
        The directory.
    files : list of str
        What is in it.
    run : str
        How the code is started there.
    """

    path: Path
    files: list[str]
    run: str


def export_initial_conditions(
    ics: InitialConditions,
    output: str | os.PathLike[str],
    code: str = "gadget-4",
    *,
    start_redshift: float = 49.0,
    order: int = 2,
    redshift: float | Sequence[float] = 0.0,
    mesh_factor: float = 2.0,
    softening: float = SOFTENING,
) -> Exported:
    """Write initial conditions and parameter files for an N-body code into a new directory.

    `zeldo dataset` takes the finished run back, with the linear field that stands beside it.

    Parameters
    ----------
    ics : InitialConditions
        The universe.
    output : path
        A directory that does not exist yet, or is empty.
    code : {"gadget-4", "mp-gadget", "swift"}
        The code that will read them.
    start_redshift : float
        Redshift of the particles.
    order : {1, 2}
        Order of Lagrangian perturbation theory: Zel'dovich, or second order too.
    redshift : float or sequence of float
        Redshifts of the snapshots that the code writes.
    mesh_factor : float
        Mesh points of its long-range force per particle and dimension.
    softening : float
        Plummer-equivalent, in lattice spacings.

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        For a value that is not allowed, and a directory that has something in it.
    """
    if not isinstance(ics, InitialConditions):
        raise InputError(
            f"ics is a {type(ics).__name__}: give `InitialConditions`, as from zeldo.initial_conditions"
        )
    if code not in CODES:
        raise InputError(f"code {code!r} is not known: give one of {', '.join(CODES)}{nearest(code, CODES)}")
    if order not in ENGINES:
        raise InputError(f"order = {order!r} is not allowed: give 1 for Zel'dovich or 2 for second order")
    start = number(start_redshift, "start_redshift")
    if not 1 <= start <= EARLIEST:
        raise InputError(f"start_redshift = {start:g} is not allowed: give a number from 1 to {EARLIEST:g}")
    redshifts = check_redshifts(redshift_list(redshift), start)
    if redshifts[0] >= start:
        raise InputError(
            f"redshift = {redshifts[0]:g} is where the run starts: give redshifts below {start:g}, or an earlier start"
        )
    factor = number(mesh_factor, "mesh_factor")
    if not 0.5 <= factor <= 8:
        raise InputError(f"mesh_factor = {mesh_factor!r} is not allowed: give a number from 0.5 to 8")
    mesh = 2 * round(factor * ics.n / 2)
    soft = number(softening, "softening")
    if not 0 < soft < 1:
        raise InputError(
            f"softening = {softening!r} is not allowed: give a part of the lattice spacing, below 1"
        )
    path = Path(output)
    if path.is_dir() and any(path.iterdir()):
        raise InputError(f"{path} is not empty: give a new directory, so that no finished run is lost")
    chosen = CODES[code]
    texts = chosen.write(Job(ics, start, redshifts, mesh, soft * ics.spacing))
    with writing_directory(path) as folder:
        psi, vel = lpt_state(ics, 1 / (1 + start), order)
        snapshot = Snapshot.of(ics, psi, vel, start, ENGINES[order], {"order": order})
        write(snapshot, folder / chosen.particles, chosen.format)
        write_initial_conditions(ics, folder / FIELD)
        for name, text in texts.items():
            write_text(folder / name, text)
        (folder / "output").mkdir()
    return Exported(path, [chosen.particles, *texts, FIELD], chosen.run)
