"""The inputs of the benchmarks: references by an independent code, or realisations of our own."""

from __future__ import annotations

import json
import os
from pathlib import Path

from zeldo.initial.conditions import InitialConditions

PEERS = {"l-picola, mesh N": "l-picola:mesh_factor=1", "l-picola, mesh 2N": "l-picola:mesh_factor=2"}
# of rows that other people measured
PUBLISHED = {"commit": "", "date": "", "machine": "as published with the references", "versions": ""}
BESIDE = Path(__file__).parents[2] / "shared" / "reference"


def reference_directory(directory: str | None) -> Path | None:
    """The directory of the reference files; None where there is none."""
    if directory and not Path(directory).is_dir():
        raise SystemExit(f"{directory} is not a directory: give the one that holds fiducial.npz")
    for place in (directory, os.environ.get("ZELDO_REFERENCE"), BESIDE):
        if place and Path(place).is_dir():
            return Path(place)
    return None


def references(wanted_directory: str | None, names: tuple[str, ...]) -> dict[str, Path]:
    """The reference files that exist, by name; the shipped 64^3 one where no other exists."""
    directory = reference_directory(wanted_directory)
    paths = {name: directory / name for name in names if (directory / name).exists()} if directory else {}
    if not paths:
        from zeldo.files.reference import reference_path

        paths = {"small.npz": reference_path("small")}
    return {name: path for name, path in paths.items() if path.exists()}


def peers(wanted_directory: str | None) -> dict:
    """Figures of other codes on the same phases, by file and by code as the record spells it; empty where there are none."""
    directory = reference_directory(wanted_directory)
    path = directory / "peers.json" if directory else None
    by_file = json.loads(path.read_text()) if path and path.exists() else {}
    return {
        name: {PEERS.get(code, code): figures for code, figures in codes.items()}
        for name, codes in by_file.items()
        if isinstance(codes, dict)
    }


def realisation(n: int, box: float | None = None, seed: int = 7) -> InitialConditions:
    """Initial conditions at the lattice spacing of the fiducial reference, 250 / 128 Mpc/h, which are fast to make."""
    from zeldo.cosmology.parameters import PRESETS
    from zeldo.initial.linear import initial_conditions

    return initial_conditions(PRESETS["quijote"], box or 250.0 * n / 128, n, seed, power="eisenstein-hu")
