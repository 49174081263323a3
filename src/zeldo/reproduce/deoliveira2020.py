"""Figures 1 and 2 and Table 1 of de Oliveira et al. 2020 (arXiv:2012.00240), by this project's own runs.

A network, 10-step COLA and Zel'dovich are compared with N-body at z = 0. No network of this project was trained on the
phases used here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from zeldo.api import initial_conditions
from zeldo.comparing import unwatched, warm_up
from zeldo.cosmology.parameters import Cosmology
from zeldo.cosmology.power import check_model
from zeldo.engines.base import Engine
from zeldo.engines.parsing import parse_engine
from zeldo.errors import InputError
from zeldo.files.atomic import make_directory
from zeldo.initial.conditions import InitialConditions, Origin, check_grid
from zeldo.initial.noise import check_seed
from zeldo.measuring.cost import measured
from zeldo.measuring.energy import Meter
from zeldo.particles.snapshot import Snapshot
from zeldo.report.files import write_json
from zeldo.reproduce.result import Panel, Reproduction
from zeldo.reproduce.timing import Entry, TimingTable, paired_run, table_key
from zeldo.reproduce.truth import NBody, ReferenceFile, Truth, nearest_file, reference_files
from zeldo.statistics.comparison import Comparison, FieldComparison, Reference
from zeldo.universe import Universe

FIDUCIAL = Cosmology.preset("quijote")
FIGURE2 = (
    Cosmology(0.1755, 0.0668, 0.7737, 0.8849, 0.6641),
    Cosmology(0.3889, 0.0363, 0.6275, 0.9513, 0.9137),
    Cosmology(0.4291, 0.0337, 0.5511, 1.1687, 0.6619),
)
SPACING = Universe.box / Universe.n  # of the paper's lattice, 1000 Mpc/h / 512
SEEDS = (40001,)  # not in any data set of configs/
QUICK_N = 32
FIELDS = ("density", "displacement")
COLA = "10-step COLA"


def reproduce(
    *,
    engine: str = "vnet",
    nbody: str = "p3m",
    n: int | None = None,
    box: float | None = None,
    seeds: Sequence[int] = SEEDS,
    reference: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] = "deoliveira2020",
    quick: bool = False,
    table: bool = True,
    power: str | None = None,
    country: str | None = None,
    command: str = "",
    watch: Callable[[str], Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Reproduction:
    """Run everything that the paper shows, and write its figures, its table and a page into a directory.

    Parameters
    ----------
    engine : str
        The network, a file of weights, or any other engine in its place.
    nbody : str
        The engine that gives the truth.
    n : int, optional
        Particles per side; 128 by default, or 32 with `quick`.
    box : float, optional
        Side of the box, Mpc/h; by default at the paper's lattice spacing.
    seeds : sequence of int
        Phases of Figure 1, which is their average. Figure 2 and Table 1 use the first one.
    reference : path, optional
        A directory of reference runs. They replace N-body where one has the cosmology and the spacing; the nearest in size
        is used.
    output : path
        The directory for figure1.png, figure2.png (density), figure2_displacement.png, table1.json, comparison.json and
        index.html. N-body runs and the table are kept there. They are made again where version, settings or machine
        changed.
    quick : bool
        A small box, which takes a minute or two.
    table : bool
        Whether to measure times for Table 1.
    power : str or path, optional
        The linear power spectrum, as in `initial_conditions`.
    country : str, optional
        Three letters, for the CO2 of its electricity.
    command : str
        The command line that the page quotes.
    watch : callable, optional
        Called with a title before every run; returns a context manager that gives the run's progress callback.
    say : callable
        Called with messages.

    Returns
    -------
    Reproduction

    Raises
    ------
    InputError
        For a value that is not allowed, before any work.
    """
    n = n if n is not None else QUICK_N if quick else Universe.n
    box, n = check_grid(box if box is not None else SPACING * n, n)
    _check_seeds(seeds)
    if power is not None:
        check_model(power)
    network, cola, zeldovich = parse_engine(engine), parse_engine("cola"), parse_engine("zeldovich")
    ours = () if network.name == "emulator" else (parse_engine("emulator"),)  # beside the paper's network
    if not all(_covers(candidate, FIDUCIAL, box / n) for candidate in ours):
        say(f"the emulator is left out: its network serves no lattice spacing of {box / n:g} Mpc/h")
        ours = ()
    truth = parse_engine(nbody)
    if country is not None and not table:
        raise InputError(
            f"country = {country!r} is for the CO2 of the table: leave it out, or have the table made"
        )
    meter = Meter(country) if table else None
    files = reference_files(Path(reference)) if reference is not None else []
    chosen = [nearest_file(files, cosmology, n, box / n) for cosmology in (FIDUCIAL, *FIGURE2)]
    if files and not any(chosen):
        raise InputError(
            f"{reference} holds none of the paper's four cosmologies with a lattice spacing of {box / n:.4g} Mpc/h: "
            "give another directory, --n and --box, or none"
        )
    watch = watch or unwatched
    # an unsuitable network is refused here, with a few particles, and not after the N-body runs
    for candidate in (network, *ours, cola, zeldovich):
        warm_up(candidate, Origin(box, n, FIDUCIAL))
    folder = make_directory(output)
    kept = NBody(truth, nbody, make_directory(folder / "nbody"), say)

    def phases(cosmology: Cosmology, seed: int) -> InitialConditions:
        return initial_conditions(cosmology=cosmology, n=n, box=box, seed=seed, power=power)

    def truths(
        name: str, cosmology: Cosmology, file: ReferenceFile | None, used: Sequence[int]
    ) -> Iterator[Truth]:
        if file is not None:
            yield file.read()
            return
        for seed in used:
            yield kept.run(f"{name}_{seed}", phases(cosmology, seed), watch)

    timed = None
    if meter is not None:
        first = chosen[0].read().ics if chosen[0] is not None else phases(FIDUCIAL, seeds[0])
        timed = _table(
            first, (network, *ours), cola, kept, f"fiducial_{first.seed}", folder, meter, watch, command
        )
    engines = (network, cola, *ours, zeldovich)
    figure1, slices = _panel(engines, FIDUCIAL, truths("fiducial", FIDUCIAL, chosen[0], seeds), FIELDS, watch)
    figure2 = []
    for letter, cosmology, file in zip("abc", FIGURE2, chosen[1:], strict=True):
        abroad = tuple(
            candidate if _covers(candidate, cosmology, box / n) else _with_extrapolation(candidate)
            for candidate in engines
        )
        runs = truths(f"figure2{letter}", cosmology, file, seeds[:1])
        figure2.append(_panel(abroad, cosmology, runs, FIELDS, watch)[0])
    result = Reproduction(figure1, figure2, timed, slices, network.name, folder, folder / "index.html")
    _write(result, command)
    return result


def _covers(candidate: Engine, cosmology: Cosmology, spacing: float) -> bool:
    """Whether an engine runs there without extrapolation."""
    try:
        candidate.check_universe(cosmology, spacing, [0.0])
    except InputError:
        return False
    return True


def _check_seeds(seeds: Sequence[int]) -> None:
    if not seeds:
        raise InputError("no seed was given: give at least one, such as 40001")
    for seed in seeds:
        check_seed(seed)
    if len(set(seeds)) != len(seeds):
        raise InputError(f"seeds {', '.join(map(str, seeds))}: one is given twice: give each once")


def _with_extrapolation(engine: Engine) -> Engine:
    """The engine with extrapolation allowed, since Figure 2 tests cosmologies outside its training."""
    if any(field.name == "extrapolate" for field in fields(engine)):  # type: ignore[arg-type]
        return replace(engine, extrapolate=True)  # type: ignore[call-arg]
    return engine


def _table(
    ics: InitialConditions,
    networks: Sequence[Engine],
    cola: Engine,
    kept: NBody,
    name: str,
    folder: Path,
    meter: Meter,
    watch: Callable[[str], Any],
    command: str,
) -> TimingTable:
    """Table 1: measured now or, where everything that affects it is the same, read from the previous run."""
    path = folder / "table1.json"
    network, *ours = networks
    place = "network" if network.name == "vnet" else f"{network.name}, in the network's place"
    entries = [Entry("N-body", kept.engine, repeats=1), Entry(COLA, cola), Entry(place, network)]
    entries += [Entry(engine.name, engine) for engine in ours]
    key = table_key(entries, ics, meter.how)
    table = TimingTable.read(path, key)
    if table is None:
        if path.exists():
            kept.say(f"{path} is of other engines, settings or another machine: measured again")
        table, last = paired_run(entries, ics, meter, key, watch)
        kept.keep(name, ics, last["N-body"])
        table.write(path, command=command, paper=PAPER_TABLE1)
    return table


PAPER_TABLE1 = {
    "N-body": "1e5 s: Quijote (Gadget-III), 512^3, scaled to 20 cores",
    COLA: "112 s: L-PICOLA, 512^3, 20 cores of Intel Xeon E5-2640 v4",
    "network": "59 s: PyTorch, 64 crops of 128^3, one NVIDIA Tesla P100",
}


def _panel(
    engines: Sequence[Engine],
    cosmology: Cosmology,
    truths: Iterator[Truth],
    shown: Sequence[str],
    watch: Callable[[str], Any],
) -> tuple[Panel, list[tuple[str, Snapshot]]]:
    """The comparisons of engines with every truth, and the first truth with the first engine's prediction."""
    comparisons: list[list[Comparison]] = [[] for _ in engines]
    seeds: list[int | None] = []
    slices: list[tuple[str, Snapshot]] = []
    for truth in truths:
        against = Reference(truth.snapshot, truth.name)
        seeds.append(truth.ics.seed)
        for several, engine in zip(comparisons, engines, strict=True):
            with watch(engine.name) as progress, measured() as cost:
                (prediction,) = engine.run(truth.ics, [0.0], progress)
            comparison = against.compare(prediction, wall_seconds=cost.seconds, peak_memory=cost.peak_memory)
            several.append(replace(comparison, fields={name: comparison.fields[name] for name in shown}))
            if not slices:
                slices = [(f"N-body: {truth.name}", truth.snapshot), (engine.name, prediction)]
    return Panel(cosmology, [averaged(several) for several in comparisons], seeds), slices


def averaged(several: Sequence[Comparison]) -> Comparison:
    """The mean of comparisons of one engine on several phases, bin by bin; a single one is returned unchanged."""
    first = several[0]
    if len(several) == 1:
        return first
    names = ("power", "power_reference", "transfer", "one_minus_r2")
    means = {}
    for label, spectrum in first.fields.items():
        values = {
            name: np.mean([getattr(comparison.fields[label], name) for comparison in several], axis=0)
            for name in names
        }
        means[label] = FieldComparison(k=spectrum.k, **values)
    seconds = [comparison.wall_seconds for comparison in several if comparison.wall_seconds is not None]
    memory = [comparison.peak_memory for comparison in several if comparison.peak_memory is not None]
    return replace(
        first,
        fields=means,
        wall_seconds=float(np.mean(seconds)) if seconds else None,
        peak_memory=max(memory) if memory else None,
    )


def _write(result: Reproduction, command: str) -> None:
    """Write pictures, numbers and the page."""
    from zeldo.reproduce import figures
    from zeldo.reproduce.page import FIGURE2_FILES, write_page
    from zeldo.reproduce.tables import title_of

    folder = result.output
    figures.save(figures.figure1(result.slices, result.figure1.comparisons), folder / "figure1.png")
    groups = [(title_of(panel.cosmology, split=True), panel.comparisons) for panel in result.figure2]
    for field, name in FIGURE2_FILES.items():
        figures.save(figures.figure2(groups, field), folder / name)
    panels = {
        "figure 1": result.figure1,
        **{f"figure 2{x}": p for x, p in zip("abc", result.figure2, strict=True)},
    }
    comparisons = [comparison for panel in panels.values() for comparison in panel.comparisons]
    universes = [
        {
            "figure": name,
            "cosmology": vars(panel.cosmology),
            "seeds": list(panel.seeds),
            "engines": len(panel.comparisons),
        }
        for name, panel in panels.items()
    ]
    write_json(comparisons, folder / "comparison.json", command=command, panels=universes)
    write_page(result, command)
