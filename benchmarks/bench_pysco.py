"""One step of a particle mesh by zeldo and by PySCo (pip install pysco-nbody), in turns on the same particles."""

from __future__ import annotations

import importlib
import logging
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.inputs import realisation
from benchmarks.machine import COLUMNS, Timing, cells, run_once, threads
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record
from zeldo.engines.registry import engine
from zeldo.mesh.gravity import gravity
from zeldo.particles.snapshot import Snapshot

TINY = 1e-12  # of a step: the particles stay where they are, the work is done

# title, PySCo's solver, zeldo's gradient
PAIRS = (
    ("potential on the mesh, fourth-order difference", "fft", "difference"),
    ("gradient in Fourier space", "full_fft", "spectral"),
)
SCHEMES = ("CIC", "TSC")


@dataclass
class Peer:
    """PySCo's leapfrog step on the particles of a snapshot: kick, drift, wrap, force, kick; float32, in its own order."""

    snapshot: Snapshot
    m: int
    solver: str
    scheme: str

    def __post_init__(self) -> None:
        import pandas as pd

        utils = importlib.import_module("pysco.utils")
        self.leapfrog: Any = importlib.import_module("pysco.integration").leapfrog
        _mend_full_fft()
        box, n = self.snapshot.box, self.snapshot.n
        # its mesh points are cell centres
        x = np.mod(self.snapshot.positions() / box + 0.5 / self.m, 1.0).astype(np.float32)
        x[x >= 1] = 0
        self.x, self.v, self.ids = x, np.zeros_like(x), np.arange(len(x))
        # particles along a space-filling curve, as PySCo keeps its own
        key = importlib.import_module("pysco.morton").positions_to_keys(self.x)
        self.ids = np.argsort(key)
        self.x = np.ascontiguousarray(self.x[self.ids])
        self.a = np.zeros_like(self.x)
        self.parameters = pd.Series(
            {
                "H0": 67.11, "boxlen": box, "Om_m": 0.3175, "Om_lambda": 0.6825, "npart": n**3, "t": 0.0,
                "aexp": 1.0, "aexp_old": 1.0, "theory": "newton", "mass_scheme": self.scheme,
                "linear_newton_solver": self.solver, "gradient_stencil_order": 5, "ncoarse": int(np.log2(self.m)),
                "nthreads": threads(), "save_power_spectrum": "no", "write_snapshot": False,
            }
        )  # fmt: skip
        utils.set_units(self.parameters)

    def __call__(self) -> None:
        tables = [lambda t: 0.0]
        empty = np.empty(0, np.float32)
        self.x, self.v, self.a, _, _ = self.leapfrog(
            self.x, self.v, self.a, empty, empty, np.float32(TINY), tables, self.parameters
        )

    def force(self) -> np.ndarray:
        """The force in zeldo's order and units: F = -grad lap^-1 delta, (3, n, n, n), Mpc/h."""
        out = np.empty_like(self.a)
        out[self.ids] = -self.a * np.float32(self.snapshot.box / (1.5 * 0.3175))
        return out.T.reshape(self.snapshot.psi.shape)


def _mend_full_fft() -> None:
    """PySCo 1.0.9 calls its own fft_force with one argument too many. Its modules import each other by bare names."""
    solver: Any = importlib.import_module("solver")
    if not hasattr(solver, "given_fft_force"):
        solver.given_fft_force = solver.fft_force
        solver.fft_force = lambda rhs, param, *more: solver.given_fft_force(rhs, param)


class Ours:
    """zeldo's step with the same arithmetic: kick, drift, force, kick."""

    def __init__(self, snapshot: Snapshot, m: int, gradient: str):
        # PySCo divides out both windows
        self.gravity = gravity(snapshot.box, m, gradient=gradient, deconvolution=2.0)
        self.psi, self.v = snapshot.psi.copy(), np.zeros_like(snapshot.psi)
        self.f = np.zeros_like(self.psi)

    def __call__(self) -> None:
        self.gravity.combine(self.v, (1.0, self.v), (TINY, self.f))
        self.gravity.combine(self.psi, (1.0, self.psi), (TINY, self.v))
        self.f = self.gravity(self.psi)
        self.gravity.combine(self.v, (1.0, self.v), (TINY, self.f))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "pysco")
    parser.add_argument("--n", type=int, help="particles per side, a power of two")
    parser.add_argument("--runs", type=int, help="pairs")
    parsed = parser.parse_args(arguments)
    n, runs = parsed.n or (32 if parsed.quick else 128), parsed.runs or (3 if parsed.quick else 11)
    m = 2 * n
    record = start(f"One PM step: {n}^3 particles, mesh {m}^3, beside PySCo's", "pysco")
    try:
        print("importing PySCo: the first time it compiles for a minute or more", flush=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("pysco")
            from importlib.metadata import version
        name = f"pysco {version('pysco-nbody')}"
    except ImportError as error:
        print(f"PySCo is not here ({error}): skipped; `pip install pysco-nbody` brings it")
        return
    logging.disable(logging.INFO)
    particles = next(iter(engine("cola").run(realisation(n), [0.0])))
    about = {"ics": "seed=7", "n": n, "box": particles.box, "z": 0}
    worst = 0.0
    for title, solver, gradient in PAIRS:
        # the fairest opponent is the faster of its two mass assignments
        peers = {
            f"{name}:solver={solver},scheme={scheme}": Peer(particles, m, solver, scheme)
            for scheme in SCHEMES
        }
        ours = f"step:mesh_factor=2,gradient={gradient}"
        worst = max(worst, _pair(title, ours, Ours(particles, m, gradient), peers, runs, record, about))
    bar(
        record, "wall_ratio_to_fastest_most", worst, 1.0, engine="step:mesh_factor=2", reference=name, **about
    )
    save(record, parsed)


def _pair(
    title: str, name: str, ours: Ours, peers: dict[str, Peer], runs: int, record: Record, about: dict
) -> float:
    """Time both; the wall time of zeldo over that of the fastest peer, pair by pair."""
    heading(f"{title}: {runs} times zeldo and PySCo in turn, compiled before")
    steps: dict[str, Callable[[], None]] = {name: ours, **peers}
    for step in steps.values():
        step()
    timings = {label: Timing() for label in steps}
    for _ in range(runs):
        for label, step in steps.items():
            run_once(step, timings[label])
    rows, ratios = [], {}
    for label, timing in timings.items():
        pairs = zip(timings[name].wall, timing.wall, strict=True)
        ratios[label] = statistics.median(a / b for a, b in pairs)
        record.timing(timing, engine=label, **about)
        rows.append([label, *cells(timing), f"{ratios[label]:.2f}"])
    table(["one step", *COLUMNS, "zeldo / it"], rows)
    for label, peer in peers.items():
        a, b = ours.f.ravel().astype(float), peer.force().ravel().astype(float)
        slope, r = float(a @ b / (a @ a)), float(np.corrcoef(a, b)[0, 1])
        record.add("wall_ratio_median", ratios[label], engine=name, reference=label, **about)
        record.add("slope", slope, engine=label, reference=name, field="force", **about)
        record.add("correlation", r, engine=label, reference=name, field="force", **about)
        print(f"same force: that of {label} = {slope:.4f} times zeldo's, correlation {r:.5f}")
    print(flush=True)
    return max(ratios[label] for label in peers)


if __name__ == "__main__":
    main()
