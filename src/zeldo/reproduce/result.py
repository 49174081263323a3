"""What a reproduction of the paper's figures and table found."""

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
    """Engines against N-body in one cosmology. comparisons: averaged over the seeds."""

    cosmology: Cosmology
    comparisons: Sequence[Comparison]
    seeds: Sequence[int | None]


@dataclass(frozen=True, eq=False)
class Reproduction:
    """What `reproduce` found. slices: N-body and the network's density of Figure 1, with their names."""

    figure1: Panel
    figure2: Sequence[Panel]
    table1: TimingTable | None
    slices: Sequence[tuple[str, Snapshot]]
    network: str
    output: Path
    page: Path
