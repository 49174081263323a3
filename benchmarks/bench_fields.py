"""Linear fields from seeds and from others' initial conditions, P(k) against direct sums, and SO masses against counts."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import zeldo
from benchmarks.inputs import reference_directory
from benchmarks.output import bar, heading, options, save, start
from benchmarks.record import Record
from zeldo.cosmology.parameters import PRESETS
from zeldo.files.reference import read_initial_conditions
from zeldo.initial.linear import initial_conditions
from zeldo.initial.ngenic import NGenIC
from zeldo.mesh import fft
from zeldo.statistics.halos import friends_of_friends
from zeldo.statistics.overdensity import overdensities, spherical_overdensity
from zeldo.statistics.spectra import power_spectrum

COSMOLOGY = PRESETS["quijote"]
SEEDS, RECOVERED, POWER, MASS = 3e-4, 1e-3, 0.01, 0.01  # limits: of the rms, of the rms, relative, relative
REFERENCES = ("small", "figure2b_small", "fiducial")
FOREIGN = {  # what a file holds, and how its code draws the field
    "2lptic/2lpt_z49_single/ics": {},
    "2lptic/2lpt_z127_kpc_sphere/ics": {"sphere": True},
    "2lptpng/2lpt_z127_two_files/ics": {},
    "mpgenic/z49_mesh_n/IC": {"nyquist": "filled"},
    "monofonic/gadget_za_z49_two_files/ics": {},
    "monofonic/grafic_za_z49": {},
    "lpicola/gadget_z9/picola_z9p000": {},
    "fastpm/z9/fastpm_0.1000": {"nyquist": "filled"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    parsed = options(__doc__ or "", "fields").parse_args(arguments)
    record = start("Linear fields, power and masses against independent figures", "fields")
    reference = reference_directory(parsed.reference)
    if reference:
        _seeds(reference, record)
        _others(reference.parent / "foreign", record)
    _power(record)
    _masses(record)
    save(record, parsed)
    return 0


def _low(field: np.ndarray, share: float) -> np.ndarray:
    """The modes up to a share of the Nyquist wavenumber, off its planes."""
    n = len(field)
    size = np.sqrt(sum(k**2 for k in fft.wavenumbers(n)))
    modes = fft.zero_nyquist(np.fft.rfftn(np.asarray(field, float)))
    return np.fft.irfftn(np.where(size <= share * n / 2, modes, 0))


def _error(field: np.ndarray, truth: np.ndarray, share: float) -> float:
    field, truth = _low(field, share), _low(truth, share)
    return float((field - truth).std() / truth.std())


def _seeds(reference: Path, record: Record) -> None:
    heading("delta_lin of the references from seed and options alone, off the Nyquist planes")
    for name in REFERENCES:
        path = reference / f"{name}.npz"
        if path.exists():
            truth = read_initial_conditions(path)
            made = initial_conditions(truth.cosmology, truth.box, truth.n, truth.seed, phases="ngenic")
            error = _error(made.delta_lin, truth.delta_lin, 2.0)
            bar(record, "field_of_seed", error, SEEDS, ics=name, n=truth.n, box=truth.box)


def _others(foreign: Path, record: Record) -> None:
    if not foreign.is_dir():
        return
    heading("delta_lin behind initial conditions of other codes, k up to 0.7 of Nyquist")
    table = foreign / "common" / "pk_lin_z0.txt"
    for name, drawing in FOREIGN.items():
        case = "/".join(name.split("/")[:2])
        truth = json.loads((foreign / case / "truth.json").read_text())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # positions that are wrapped
            made = zeldo.initial_conditions(ics=foreign / name, cosmology="quijote")
        phases = NGenIC(seed=truth["seed"], **drawing)
        expected = initial_conditions(COSMOLOGY, made.box, made.n, power=table, phases=phases)
        error = _error(made.delta_lin, expected.delta_lin, 0.7)
        bar(record, "recovered_field", error, RECOVERED, ics=case, n=made.n, z=truth["redshift"])


def _snapshot(n: int, engine: str, redshift: float) -> zeldo.Snapshot:
    options = {"box": 2.0 * n, "n": n, "seed": 7, "power": "eisenstein-hu"}
    return zeldo.run(cosmology=COSMOLOGY, engine=engine, redshift=redshift, **options)[0]


def _power(record: Record) -> None:
    heading("P(k) against a direct sum over particles, to 0.9 of Nyquist")
    n = 32
    top = int(0.9 * n / 2)
    for engine, z in (("2lpt", 49), ("2lpt", 9), ("cola", 1), ("cola", 0)):
        made = _snapshot(n, engine, z)
        error = float(np.abs(power_spectrum(made).power[:top] / _direct_sum(made, top) - 1).max())
        bar(record, "power_off_direct_sum", error, POWER, n=n, box=made.box, z=z)


def _direct_sum(particles: zeldo.Snapshot, top: int) -> np.ndarray:
    """P(k) by summing exp(-ikx) over particles, in bins 1 to top of the fundamental."""
    waves = np.arange(-top, top + 1)
    x, y, z = (np.exp(-2j * np.pi / particles.box * waves[:, None] * q) for q in particles.positions().T)
    power = np.array([np.abs((y * column) @ z[top:].T) ** 2 for column in x])
    weight = np.where(waves[top:] == 0, 1.0, 2.0) * np.ones(power.shape)
    squares = waves[:, None, None] ** 2 + waves[:, None] ** 2 + waves[top:] ** 2
    shell = np.round(np.sqrt(squares)).astype(int).ravel()
    total = np.bincount(shell, (power * weight).ravel()) / np.bincount(shell, weight.ravel())
    return total[1 : top + 1] * particles.box**3 / x.shape[1] ** 2


def _masses(record: Record) -> None:
    heading("Spherical-overdensity masses against a count of particles around the same centres")
    snapshot = _snapshot(32, "cola:mesh_factor=2", 0)
    spheres = spherical_overdensity(snapshot, friends_of_friends(snapshot, 0.2))
    positions, mean = snapshot.positions(), (snapshot.n / snapshot.box) ** 3
    for name, over in zip(("200c", "200m", "vir"), overdensities(COSMOLOGY, 1.0), strict=True):
        found = getattr(spheres, f"m{name}") / snapshot.particle_mass
        counts = [_count(positions, snapshot.box, c, over * mean) for c in spheres.centre]
        error = float(np.abs(found / np.maximum(counts, 1) - 1)[np.array(counts) > 10].max())
        bar(record, "mass_off_count", error, MASS, n=snapshot.n, field=f"m{name}")


def _count(positions: np.ndarray, box: float, centre: np.ndarray, density: float) -> int:
    """Particles inside the radius where the mean density falls to a threshold, from the tenth on outwards or inwards."""
    away = positions - centre
    away -= box * np.round(away / box)
    distance = np.sort(np.sqrt((away**2).sum(axis=1)))
    volume, first = 4 / 3 * np.pi * distance**3, 10
    if first >= density * volume[first - 1]:
        outside = np.arange(first, len(distance)) < density * volume[first:]  # the next particle is out of it
        return int(first + np.argmax(outside))
    inside = np.flatnonzero(np.arange(1, first) >= density * volume[: first - 1])
    return int(inside[-1] + 1) if len(inside) else 0


if __name__ == "__main__":
    sys.exit(main())
