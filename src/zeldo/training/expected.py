"""Measures the error to expect of an emulator on runs that it was not trained on, and writes it on the model card."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.cosmology.parameters import Cosmology
from zeldo.engines.registry import engine
from zeldo.errors import InputError, ZeldoWarning
from zeldo.initial.lpt import linear_displacement
from zeldo.networks.arrays import read_arrays
from zeldo.networks.card import ModelCard
from zeldo.networks.expected import FIGURES, NODES, ExpectedError, Measures, fit, in_bins, measures
from zeldo.networks.tasks.correction import Correction
from zeldo.networks.weights import load, save
from zeldo.statistics.comparison import Comparison, compare_snapshots
from zeldo.store.runs import RunStore


def measure(
    weights: str | Path,
    stores: Sequence[str | Path],
    *,
    part: str = "test",
    progress: Callable[[int, int, str], None] | None = None,
) -> ExpectedError:
    """Run an emulator on the initial conditions of stored runs, and fit its errors.

    Snapshots outside the ranges of its card are left out, as the network is not used there.

    Parameters
    ----------
    weights : path
        The emulator's file.
    stores : sequence of path
        Stores of runs.
    part : str
        The part of their data set.
    progress : callable, optional
        Called with the number of runs done, of all runs, and the name of the run.

    Returns
    -------
    ExpectedError

    Raises
    ------
    InputError
        For a network of another task, and where there are no such runs, or none within the ranges of the card.
    """
    emulator = engine(str(weights))
    if emulator.name != Correction.engine_class:
        raise InputError(
            f"{weights} corrects no engine: errors are expected of networks for the task {Correction.name} alone"
        )
    measured: list[Measures] = []
    errors: list[dict[str, np.ndarray]] = []
    names = []
    for ics, compared, name in comparisons(emulator, stores, part, progress, load(weights).card):
        linear = linear_displacement(ics, emulator.amplitudes(ics.spacing))
        measured.append(measures(ics, linear, compared.redshift))
        errors.append(errors_of(compared))
        names.append(name)
    runs = list(dict.fromkeys(names))
    about = f"{len(runs)} {part} runs, {runs[0]} to {runs[-1]}, {len(measured)} snapshots"
    unknown = np.full(len(NODES), np.nan)  # of velocities, in runs without them
    labels = dict.fromkeys(label for made in errors for label in made)
    by_label = {label: np.array([made.get(label, unknown) for made in errors]) for label in labels}
    return fit(np.array(measured), by_label, about)


def comparisons(
    emulator: Any,
    stores: Sequence[str | Path],
    part: str = "test",
    progress: Callable[[int, int, str], None] | None = None,
    card: ModelCard | None = None,
) -> Iterator[tuple[Any, Comparison, str]]:
    """An engine against every stored run, within the ranges of a card: initial conditions, comparison, name of the run."""
    jobs = [
        (store, row)
        for store in (RunStore(path, create=False) for path in stores)
        for row in store.runs()
        if row["part"] == part
    ]
    if not jobs:
        raise InputError(
            f"there are no runs of the part {part} in {', '.join(map(str, stores))}: make them by `zeldo dataset`"
        )
    allowed = [(store, row, within) for store, row in jobs if (within := _covered(card, row))]
    if not allowed:
        raise InputError(
            f"no run of the part {part} in {', '.join(map(str, stores))} is within the ranges of the model card: "
            "give runs that are, or train with wider ones by range_omega_m and the like"
        )
    count, used = sum(len(row["redshifts"]) for _, row in jobs), sum(len(within) for *_, within in allowed)
    if used < count:
        warnings.warn(
            f"{count - used} of {count} snapshots are outside the ranges of the model card, and are left out",
            ZeldoWarning,
            stacklevel=3,
        )
    for done, (store, row, redshifts) in enumerate(allowed):
        name = row["run_id"]
        if progress is not None:
            progress(done, len(allowed), name)
        ics = store.initial(name)
        for z in redshifts:
            (made,) = emulator.run(ics, [z])
            yield ics, compare_snapshots(made, store.snapshot(name, z)), name


def _covered(card: ModelCard | None, row: Mapping[str, Any]) -> list[float]:
    """The redshifts of a stored run that are within the ranges of a card; all of them without one."""
    cosmology, spacing = Cosmology.from_mapping(row["cosmology"]), row["box"] / row["n"]
    return [
        z for z in row["redshifts"] if card is None or card.covers(cosmology, redshift=z, spacing=spacing)
    ]


def errors_of(compared: Comparison) -> dict[str, np.ndarray]:
    """Errors at the nodes of `ExpectedError`, by "field figure"."""
    nyquist = np.pi * compared.n / compared.box
    made = {}
    for label, field in compared.fields.items():
        off = {"power": field.transfer**2 - 1, "one_minus_r2": field.one_minus_r2}
        for figure in FIGURES:
            made[f"{label} {figure}"] = in_bins(field.k, off[figure], nyquist, figure)
    return made


def write(weights: str | Path, expected: ExpectedError) -> None:
    """Put the expected error on the card of a file of weights, which keep their precision."""
    net = load(weights)
    accuracy = {**net.card.accuracy, "expected": expected.to_dict()}
    arrays, _ = read_arrays(Path(weights))
    half = any(array.dtype == np.float16 for array in arrays.values())
    save(net, weights, replace(net.card, accuracy=accuracy), half=half)
