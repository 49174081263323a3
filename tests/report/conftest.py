"""Comparisons and snapshots made by hand, small and with known numbers."""

import numpy as np
import pytest

from zeldo.cosmology.parameters import Cosmology
from zeldo.particles.snapshot import Snapshot
from zeldo.statistics.comparison import Comparison, FieldComparison

BOX, N = 100.0, 16


def spectrum(transfer: float, one_minus_r2: float, bins: int = 32) -> FieldComparison:
    k = 2 * np.pi / BOX * np.arange(bins)
    reference = np.where(k > 0, 1e4 / (1 + (k / 0.1) ** 2), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return FieldComparison(
            k=k,
            power=transfer**2 * reference,
            power_reference=reference,
            transfer=np.where(k > 0, transfer + 0.01 * k, np.nan),
            one_minus_r2=np.where(k > 0, one_minus_r2 * (1 + k), np.nan),
        )


def comparison(engine: str, transfer: float, one_minus_r2: float, **options) -> Comparison:
    fields = {name: spectrum(transfer, one_minus_r2) for name in ("density", "displacement", "velocity")}
    known = {"settings": {}, "reference": "N-body", "redshift": 0.0, "box": BOX, "n": N, "fields": fields}
    return Comparison(engine=engine, **{**known, **options})


@pytest.fixture
def comparisons() -> list[Comparison]:
    without_velocity = {name: spectrum(0.98, 0.02) for name in ("density", "displacement")}
    return [
        comparison("zeldovich", 0.75, 0.3, wall_seconds=0.0123, peak_memory=0.25),
        comparison("cola", 0.95, 0.004, settings={"steps": 10, "mesh_factor": 1}, wall_seconds=1.5),
        comparison("cola", 0.999, 3e-5, settings={"steps": 10, "mesh_factor": 2}, peak_memory=1.25),
        comparison("net", 0.98, 0.02, fields=without_velocity),
    ]


@pytest.fixture
def snapshot():
    def make(
        engine: str = "N-body", amplitude: float = 3.0, redshift: float = 0.0, seed: int = 1
    ) -> Snapshot:
        rng = np.random.default_rng(seed)
        psi = amplitude * rng.standard_normal((3, N, N, N), dtype=np.float32)
        return Snapshot(psi, None, BOX, Cosmology.preset("quijote"), redshift, engine, seed)

    return make
