"""What the commands call: one function each, with the same names for the same things."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.base import Engine, Observer, Progress
from zeldo.engines.checks import check_redshifts
from zeldo.engines.registry import engine as make_engine
from zeldo.engines.registry import engine_class, plain
from zeldo.errors import InputError
from zeldo.files import check_writable, write
from zeldo.files.saved import saved
from zeldo.initial.conditions import InitialConditions
from zeldo.initial.phases import Phases
from zeldo.keywords import checked_keywords
from zeldo.particles.snapshot import Snapshot
from zeldo.universe import Universe

PathLike = str | os.PathLike[str]


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
    ics: PathLike | InitialConditions | None = None,
    universe: Universe | None = None,
) -> InitialConditions:
    """The linear field of a cosmology and a seed, of a universe, or of a file.

    Parameters
    ----------
    cosmology : str, Cosmology or astropy.cosmology.FLRW, optional
        A preset's name, "quijote" where absent, or a flat model.
    omega_m, omega_b, h, n_s, sigma_8, w0, wa : float, optional
        Parameters that replace the cosmology's own.
    box : float, optional
        Side of the box, Mpc/h (250).
    n : int, optional
        Particles per side (128).
    seed : int, optional
        Of the phases (7).
    fixed, flip : bool
        Unit amplitudes, inverted phases.
    power : str or path, optional
        "camb", which is the default, "eisenstein-hu", or a table.
    phases : str, path or Phases, optional
        "native", which is the default, "ngenic" with options, "quijote:fiducial/17" and the like, which bring cosmology,
        box and seed, a file of white noise, or phases.
    ics : path or InitialConditions, optional
        A reference run or a file of initial conditions, which fixes all of the above.
    universe : Universe, optional
        The same, as a value.

    Returns
    -------
    InitialConditions

    Raises
    ------
    InputError
        For a value that is not allowed, and for two that contradict each other.
    """
    changes: dict[str, Any] = dict(
        zip(Cosmology.names(), (omega_m, omega_b, h, n_s, sigma_8, w0, wa), strict=True)
    )
    changes = {name: value for name, value in changes.items() if value is not None}
    arguments = {"cosmology": cosmology, "box": box, "n": n, "seed": seed, "power": power, **changes}
    arguments |= {"fixed": fixed or None, "flip": flip or None, "phases": phases}
    for argument, source in (("ics", ics), ("universe", universe)):
        clash = [name for name, value in arguments.items() if value is not None]
        if source is not None and clash:
            raise InputError(
                f"{argument} fixes the universe, so {', '.join(clash)} cannot be given too: leave out one or the other"
            )
        arguments[argument] = source
    if ics is not None:
        if isinstance(ics, InitialConditions):
            return ics
        if not isinstance(ics, str | os.PathLike):
            raise InputError(
                f"ics is a {type(ics).__name__}: give `InitialConditions`, or the path of a file of them"
            )
        from zeldo.files.reference import read_initial_conditions

        return read_initial_conditions(ics)

    if universe is None:
        universe = Universe.of(
            cosmology, **changes, box=box, n=n, seed=seed, fixed=fixed, flip=flip, power=power, phases=phases
        )
    return universe.initial_conditions()


@checked_keywords(initial_conditions)
def run(
    *,
    engine: PathLike | Engine = "cola",
    redshift: float | Sequence[float] | None = None,
    steps: int | None = None,
    mesh_factor: float | None = None,
    extrapolate: bool = False,
    output: PathLike | None = None,
    progress: Progress | None = None,
    observers: Sequence[Observer] = (),
    **universe: Any,
) -> list[Snapshot]:
    """Evolve a universe; snapshots from high redshift to low, written to `output` where it is given.

    Snapshots that are written do not stay in memory: `psi` and `vel` of what is returned are read from its file.

    engine: a name or a file of a network's weights, with further options as "cola:start_redshift=19", or an `Engine`.
    redshift: one or several, 0 where None. steps, mesh_factor: of the engine, its own defaults where None. extrapolate:
    lets a network leave the ranges of its model card. output: .hdf5 or .npz; with several redshifts each file gets _z1
    and so on before the suffix. observers: called between steps with a view of the particles, see `Engine.run`.
    universe: the arguments of `initial_conditions`, or `universe=Universe(...)`. Raises `InputError` before any work.
    """
    chosen = parse_engine(engine, steps=steps, mesh_factor=mesh_factor, extrapolate=extrapolate or None)
    redshifts = redshift_list(redshift)
    paths = output_paths(output, redshifts) if output is not None else {}
    for path in paths.values():
        check_writable(path)
    chosen.check(redshifts, observers)
    inputs = {name: universe.get(name) for name in ("ics", "power", "phases")}
    _check_output_is_no_input(paths.values(), inputs | vars(chosen))
    outputs = chosen.run(initial_conditions(**universe), redshifts, progress, observers)
    # `map` holds no output while the engine makes the next one
    return list(map(partial(_write_and_release, paths), outputs) if paths else outputs)


def _write_and_release(paths: Mapping[float, Path], snapshot: Snapshot) -> Snapshot:
    path = write(snapshot, paths[snapshot.redshift])
    return saved(snapshot, path)


def _check_output_is_no_input(outputs: Iterable[Path], inputs: Mapping[str, Any]) -> None:
    """`InputError` where an output has the name of a file that the run reads, or of its checkpoint, which ends with it."""
    names = {path.resolve() for path in outputs}
    for name, value in inputs.items():
        if isinstance(value, str | os.PathLike) and Path(value).resolve() in names:
            raise InputError(f"output and {name} are one file, {value}: give the output another name")


def parse_engine(text: PathLike | Engine, *, optional: bool = False, **options: Any) -> Engine:
    """An engine from "name" or "name:option=value,...". `options` apply too; with `optional` only where it has them.

    An `Engine` keeps the options that it has: others beside it are refused, or left out where they are `optional`.
    """
    if isinstance(text, Engine):
        clash = [key for key, value in options.items() if value is not None]
        if clash and not optional:
            raise InputError(
                f"engine {text.name} is an object with its options, so {clash[0]} cannot be given too: make it with that"
            )
        return text
    if isinstance(text, type) and issubclass(text, Engine):
        raise InputError(f"an engine is made from the class: write {text.__name__}()")
    if not isinstance(text, str | os.PathLike):
        raise InputError(
            f"engine {text!r} is not allowed: give a name such as cola, a file of weights, or a zeldo.Engine object"
        )
    name, _, tail = os.fspath(text).partition(":")
    options = {key: _whole_as_int(plain(value)) for key, value in options.items()}
    written: dict[str, Any] = {}
    for part in filter(None, tail.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InputError(
                f"engine {text!r}: {part!r} is not an option; write {name}:option=value,option=value"
            )
        written[key.strip().replace("-", "_")] = _parse_value(value.strip())
    if optional:
        known = engine_class(name).options()
        options = {key: value for key, value in options.items() if key in known}
    clash = [key for key in options if key in written and options[key] is not None]
    if clash and not optional:
        raise InputError(f"{clash[0]} is given twice for engine {name}: once is enough")
    return make_engine(name, **{**options, **written})


def _whole_as_int(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_value(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def redshift_list(redshift: float | Sequence[float] | None) -> list[float]:
    """From high to low; today where None."""
    if redshift is None:
        return [0.0]
    try:
        values: list[Any] = [redshift] if isinstance(redshift, Real | str) else list(redshift)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"redshift {redshift!r} is not allowed: give a number or a list of them") from None
    return check_redshifts(values)


def output_paths(output: PathLike, redshifts: Sequence[float]) -> dict[float, Path]:
    """Where `run` writes each redshift: `output` itself where there is one, else with _z1 and so on before the suffix."""
    path = Path(output)
    if len(redshifts) == 1:
        return {redshifts[0]: path}
    short = {z: f"{z:g}" for z in redshifts}
    names = short if len(set(short.values())) == len(short) else {z: repr(z) for z in redshifts}
    return {z: path.with_name(f"{path.stem}_z{name}{path.suffix}") for z, name in names.items()}
