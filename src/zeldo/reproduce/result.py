"""The results of a reproduction of the paper's figures and table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeldo.cosmology.parameters import Cosmology
from zeldo.particles.snapshot import Snapshot
from zeldo.reproduce.timing import TimingTable
from zeldo.statistics.comparison import Comparison


@dataclass(frozen=True, eq=False)
class Panel:
    """Engines compared with N-body in one cosmology.

    Parameters
    ----------
    cosmology : Cosmology
    comparisons : sequence of Comparison
        One for each engine, averaged over the seeds.
    seeds : sequence of int
    """

    cosmology: Cosmology
    comparisons: Sequence[Comparison]
    seeds: Sequence[int | None]


@dataclass(frozen=True, eq=False)
class Reproduction:
    """The results of `reproduce`.

    Parameters
    ----------
    figure1 : Panel
    figure2 : sequence of Panel
        One for each cosmology.
    table1 : TimingTable or None
        None where nothing was timed.
    slices : sequence of (str, Snapshot)
        N-body and the network in Figure 1, with their names.
    network : str
        The name of the engine.
    output, page : Path
        The directory, and the page in it.
    """

    figure1: Panel
    figure2: Sequence[Panel]
    table1: TimingTable | None
    slices: Sequence[tuple[str, Snapshot]]
    network: str
    output: Path
    page: Path
