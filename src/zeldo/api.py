"""The public functions behind `zeldo run` and `zeldo plan`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.power import check_table
from zeldo.engines.base import Engine, Observer, Progress
from zeldo.engines.checks import redshift_list
from zeldo.engines.parsing import parse_engine
from zeldo.errors import InputError
from zeldo.files import check_writable, write
from zeldo.files.registry import format_to_write
from zeldo.files.saved import saved
from zeldo.files.sets import check_no_input
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.phases import Phases
from zeldo.keywords import PathLike, checked_keywords, scalar
from zeldo.measuring.memory import limited
from zeldo.particles.snapshot import Snapshot
from zeldo.planning import RunPlan, check_fits, plan_run
from zeldo.store.universe import check_place, run_into
from zeldo.universe import Universe


@checked_keywords()
def initial_conditions(
    *,
    cosmology: str | Cosmology | Any | None = None,
    omega_m: float | None = None,
    omega_b: float | None = None,
    h: float | None = None,
    n_s: float | None = None,
    sigma_8: float | None = None,
    w0: float | None = None,
    wa: float | None = None,
    box: float | None = None,
    n: int | None = None,
    seed: int | None = None,
    fixed: bool = False,
    flip: bool = False,
    power: str | None = None,
    phases: PathLike | Phases | None = None,
    ics: PathLike | InitialConditions | Snapshot | None = None,
    universe: Universe | None = None,
) -> InitialConditions:
    """Make or read initial conditions: from a cosmology and a seed, from a `Universe`, or from a file.

    Parameters
    ----------
    cosmology : str, Cosmology or astropy.cosmology.FLRW, optional
        A preset's name, "quijote" by default, or a flat model.
    omega_m, omega_b, h, n_s, sigma_8, w0, wa : float, optional
        Parameters that replace those of the cosmology: density parameters of matter and baryons today, the Hubble
        constant over 100 km/s/Mpc, spectral index, sigma_8, and the dark energy's w = w0 + wa (1 - a).
    box : float, optional
        Side of the periodic box, Mpc/h; 250 by default.
    n : int, optional
        Particles per side, even; 128 by default.
    seed : int, optional
        Seed of the random phases; 7 by default.
    fixed : bool
        Set the amplitude of every mode to its expected value.
    flip : bool
        Change the sign of the linear field, for the paired simulation of the same seed.
    power : str or path, optional
        Linear power spectrum: "camb" (default), "eisenstein-hu", or a text file with the columns k in h/Mpc and P in
        (Mpc/h)^3.
    phases : str, path or Phases, optional
        Where the phases come from: "native" (default), "ngenic" with options, a published simulation as in
        "quijote:fiducial/17", which sets cosmology, box and seed too, a file of white noise, or a `Phases` object.
    ics : path, InitialConditions or Snapshot, optional
        A reference run, a linear field, or particles displaced by first or second order Lagrangian perturbation theory, in
        any format that zeldo reads. It replaces all arguments above, except cosmological parameters that its file lacks.
    universe : Universe, optional
        A `Universe`, which replaces all arguments above.

    Returns
    -------
    InitialConditions
        The linear density field today on the lattice, with its cosmology and box.

    Raises
    ------
    InputError
        For a value that is not allowed, and for arguments that contradict each other.
    """
    changes: dict[str, Any] = dict(
        zip(Cosmology.names(), (omega_m, omega_b, h, n_s, sigma_8, w0, wa), strict=True)
    )
    changes = {name: value for name, value in changes.items() if value is not None}
    arguments = {"cosmology": cosmology, "box": box, "n": n, "seed": seed, "power": power, **changes}
    arguments |= {"fixed": fixed, "flip": flip, "phases": phases, "universe": universe}
    if ics is not None:
        from zeldo.linear_fields import initial_conditions_of

        known: dict[str, Any] = {"cosmology": cosmology, **changes}  # which a file of particles may lack
        allowed = () if isinstance(ics, InitialConditions | Snapshot) else tuple(known)
        _check_alone("ics", arguments, allowed)
        return initial_conditions_of(
            ics, Universe.of(**known).cosmology if cosmology is not None else changes
        )

    return universe_of(arguments).initial_conditions()


@checked_keywords(initial_conditions)
def run(
    *,
    engine: PathLike | Engine = "emulator",
    redshift: float | Sequence[float] | None = None,
    steps: int | None = None,
    mesh_factor: float | None = None,
    extrapolate: bool = False,
    output: PathLike | None = None,
    progress: Progress | None = None,
    observers: Sequence[Observer] = (),
    memory: str | float | None = None,
    **universe: Any,
) -> list[Snapshot]:
    """Evolve a universe, and write its snapshots where an output is given.

    Parameters
    ----------
    engine : str, path or Engine
        An engine's name or a file of a network's weights, with further options as in "cola:start_redshift=19", or an
        `Engine` object. The emulator serves lattice spacings of 1 to 4 Mpc/h and z = 3 to 0; `cola` and `pm` serve any.
    redshift : float or sequence of float, optional
        Redshifts of the snapshots; 0 by default.
    steps : int, optional
        Number of steps; the engine's default where None.
    mesh_factor : float, optional
        Mesh points per particle and dimension; the engine's default where None.
    extrapolate : bool
        Allow a network outside the ranges of its model card. The snapshot records it.
    output : path, optional
        A file to write, .hdf5, .npz, .bigfile, .gadget or .gadget2. With several redshifts, each file name gets _z1 and so
        on before the suffix. A name that ends in .zarr is a directory for all redshifts, tile by tile. A killed run
        continues there, when it is called again, with the same bits.
    progress : callable, optional
        Called with the work done, the total work, and a short text.
    observers : sequence of callable
        Called between steps with a `View` of the particles; see `Engine.run`.
    memory : str or float, optional
        The most memory that the process may take, such as "8GB"; by default what the machine has free. A network divides
        the box into tiles that fit. Where the output is a .zarr, particles that do not fit stay on disk. Emulators, `pm`,
        and `cola` with a mesh as coarse as the lattice can do this. A run that cannot fit is refused.
    **universe
        The arguments of `initial_conditions`, such as `box=250, n=128, seed=7` or `universe=Universe(...)`.

    Returns
    -------
    list of Snapshot
        From high redshift to low. A snapshot that was written is not kept in memory: its `psi` and `vel`, both
        (3, n, n, n) in Mpc/h and km/s, are read from the file when they are used. That is refused where the file was
        written again by then.

    Raises
    ------
    InputError
        For a value that is not allowed. It is raised before any work begins.
    ZeldoError
        Where a file cannot be written, such as on a full disk.
    """
    parsed_engine = parse_engine(
        engine, steps=steps, mesh_factor=mesh_factor, extrapolate=extrapolate or None
    )
    redshifts = parsed_engine.check(redshift_list(redshift), observers)
    store, paths = _places(output, redshifts)
    inputs = {name: universe.get(name) for name in ("ics", "power", "phases")}
    check_no_input(paths.values(), inputs | vars(parsed_engine))
    with limited(memory):
        given = inputs["ics"] is not None
        chosen = [initial_conditions(**universe) if given else universe_of(universe)]
        parsed_engine.check_universe(chosen[0].cosmology, chosen[0].spacing, redshifts)
        parsed_engine.check_lattice(chosen[0].n)
        place = Path(output) if output is not None and not observers else None
        _check_velocities(parsed_engine, chosen[0].n, redshifts, paths)
        on_disk = check_fits(parsed_engine, chosen[0].n, redshifts, place)

        def make() -> InitialConditions:
            # the universe is let go, with the white noise that it may hold
            last = chosen.pop()
            return last.initial_conditions() if isinstance(last, Universe) else last

        if store is not None:
            return run_into(
                store,
                parsed_engine,
                make(),
                redshifts,
                progress,
                observers,
                streamed=on_disk,
            )
        outputs = parsed_engine.run(make(), redshifts, progress, observers)
        # `map` drops each snapshot before the engine computes the next, so that only one is in memory
        return list(map(partial(_write_and_release, paths), outputs) if paths else outputs)


@checked_keywords(initial_conditions)
def plan(
    *,
    engine: PathLike | Engine = "emulator",
    redshift: float | Sequence[float] | None = None,
    steps: int | None = None,
    mesh_factor: float | None = None,
    extrapolate: bool = False,
    output: PathLike | None = None,
    memory: str | float | None = None,
    **universe: Any,
) -> RunPlan:
    """Predict what `run` with these arguments will take.

    Parameters
    ----------
    engine, redshift, steps, mesh_factor, extrapolate, output, memory, **universe
        Those of `run`.

    Returns
    -------
    RunPlan
        Memory, disk and time of the whole run on this machine under its present load, which a short trial measures.

    Raises
    ------
    InputError
        For a value that is not allowed.
    """
    parsed_engine = parse_engine(
        engine, steps=steps, mesh_factor=mesh_factor, extrapolate=extrapolate or None
    )
    redshifts = parsed_engine.check(redshift_list(redshift))
    _places(output, redshifts)
    with limited(memory):
        chosen = initial_conditions(**universe) if universe.get("ics") is not None else universe_of(universe)
        if isinstance(chosen, Universe):
            check_table(chosen.cosmology, chosen.power)
        parsed_engine.check_universe(chosen.cosmology, chosen.spacing, redshifts)
        parsed_engine.check_lattice(chosen.n)
        return plan_run(parsed_engine, chosen.n, redshifts, None if output is None else Path(output))


def universe_of(arguments: Mapping[str, Any]) -> Universe:
    """The universe that arguments of `initial_conditions` describe, of which `ics` is none."""
    universe = arguments.get("universe")
    if universe is not None:
        _check_alone("universe", arguments)
        if not isinstance(universe, Universe):
            raise InputError(f"universe is a {type(universe).__name__}: give a `Universe`")
        return universe
    values = {name: value for name, value in arguments.items() if name not in ("ics", "universe")}
    return Universe.of(values.pop("cosmology", None), **values)


def _check_alone(source: str, arguments: Mapping[str, Any], allowed: Sequence[str] = ()) -> None:
    """`InputError` where another argument than `source`, which fixes the universe, is given too."""
    clash = [
        name
        for name, value in arguments.items()
        if name not in (source, *allowed) and value is not None and scalar(value) is not False
    ]
    if clash:
        raise InputError(
            f"{source} fixes the universe, so {', '.join(clash)} cannot be given too: leave out one or the other"
        )


def check_output(
    output: object, what: str = "file or directory, such as z0.hdf5", *, optional: bool = True
) -> None:
    """`InputError` for what names no file; for None too, unless it is `optional`."""
    if not isinstance(output, str | os.PathLike | None) or (output is None and not optional):
        raise InputError(f"output = {output!r} is not allowed: give the name of a {what}")


def _places(output: PathLike | None, redshifts: Sequence[float]) -> tuple[Path | None, dict[float, Path]]:
    """Where snapshots go, checked: the directory of all of them, or else a file for each redshift."""
    check_output(output)
    if output is None:
        return None, {}
    if Path(output).suffix.lower() == ".zarr":
        check_place(Path(output))
        return Path(output), {}
    paths = output_paths(output, redshifts)
    for path in paths.values():
        check_writable(path)
    return None, paths


def _check_velocities(
    engine: Engine, n: int, redshifts: Sequence[float], paths: Mapping[float, Path]
) -> None:
    """`InputError` where files would need velocities that the engine does not make."""
    for path in paths.values():
        if format_to_write(path).needs_velocities and engine.plan(n, redshifts).vectors < 2:
            raise InputError(
                f"{path.name} needs velocities, and engine {engine.name} makes none: give another suffix, such as .hdf5"
            )


def _write_and_release(paths: Mapping[float, Path], snapshot: Snapshot) -> Snapshot:
    path = write(snapshot, paths[snapshot.redshift])
    return saved(snapshot, path)


def output_paths(output: PathLike, redshifts: Sequence[float]) -> dict[float, Path]:
    """The file that `run` writes for each redshift.

    Parameters
    ----------
    output : path
        The name of the file.
    redshifts : sequence of float
        One redshift keeps the name; with several, each name gets _z1 and so on before the suffix.

    Returns
    -------
    dict of float to Path
        The paths by redshift.
    """
    path = Path(output)
    if len(redshifts) == 1:
        return {redshifts[0]: path}
    short_names = {z: f"{z:g}" for z in redshifts}
    names = (
        short_names if len(set(short_names.values())) == len(short_names) else {z: repr(z) for z in redshifts}
    )
    if not path.suffix:
        format_to_write(path)  # which refuses it, before redshifts stand where a suffix would
    return {z: path.with_name(f"{path.stem}_z{name}{path.suffix}") for z, name in names.items()}
