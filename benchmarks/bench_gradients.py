"""Gradients: against central differences, adjoint against autograd, memory, cost, JaxPM; initial conditions recovered."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import zeldo
from benchmarks.bench_cost import spawn
from benchmarks.machine import threads
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record
from zeldo.gradients import statistics
from zeldo.gradients.assess import Agreement, Whiteness
from zeldo.gradients.function import Differentiable
from zeldo.gradients.linear import LinearField
from zeldo.initial.phases import Native

ENGINES = ("zeldovich", "2lpt", "cola", "cola:mesh_factor=2", "pm", "pm:stepper=fastpm")
NETWORKS = ("vnet:extrapolate=true", "emulator:extrapolate=true")
PARAMETERS = ("omega_m", "omega_b", "h", "n_s", "sigma_8", "w0", "wa")
STEPS = (1e-7, 1e-6, 2e-8, 1e-5)  # cloud-in-cell has kinks, which large steps meet
PARTS = ("differences", "adjoint", "memory", "cost", "power", "jaxpm", "reconstruction")
MEMORY = """
import sys, torch, zeldo
n, steps = int(sys.argv[1]), int(sys.argv[2])
f = zeldo.differentiable(f"pm:steps={steps}", box=2.0 * n, n=n, power="eisenstein-hu")
x = torch.randn(n, n, n, generator=torch.Generator().manual_seed(1), requires_grad=True)
(f(x)[0] ** 2).sum().backward()
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "gradients")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="some of them")
    parser.add_argument("--jax", metavar="PYTHON", help="a Python that has JaxPM")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(threads())
    record = start("Gradients and reconstruction", "gradients")
    quick = parsed.quick
    if "differences" in parsed.parts:
        _differences(8 if quick else 16, record)
    if "adjoint" in parsed.parts:
        _adjoint(16 if quick else 32, record)
    if "memory" in parsed.parts:
        _memory(32 if quick else 64, record)
    if "cost" in parsed.parts:
        _cost((32,) if quick else (64, 128), record)
    if "power" in parsed.parts:
        _power(record)
    if "jaxpm" in parsed.parts and parsed.jax:
        _jaxpm(parsed.jax, (32,) if quick else (64, 128), record)
    if "reconstruction" in parsed.parts:
        _reconstruction(16 if quick else 64, record)
    save(record, parsed)


def _white_noise(n: int, dtype: torch.dtype = torch.float32, seed: int = 5) -> Tensor:
    return torch.from_numpy(Native(seed).field(n)).to(dtype)


def _random(shape: Sequence[int], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _fields(psi: Tensor, vel: Tensor | None, f: Differentiable, cosmology: Any) -> Tensor:
    total = (_random(psi.shape, 1) * psi).sum()
    return total if vel is None else total + (_random(psi.shape, 2) * vel).sum() / 100


def _multipoles(psi: Tensor, vel: Tensor | None, f: Differentiable, cosmology: Any) -> Tensor:
    assert vel is not None
    seen = statistics.redshift_space(psi, vel, f.redshift, cosmology)
    return statistics.multipoles(seen, f.box)[1].sum()


STATISTICS: dict[str, Callable[..., Tensor]] = {
    "fields": _fields,
    "density": lambda psi, vel, f, c: (statistics.density(psi, f.n, f.box) ** 3).sum(),
    "power": lambda psi, vel, f, c: statistics.power_spectrum(psi, f.box)[1].log().sum(),
    "multipoles": _multipoles,
    "bispectrum": lambda psi, vel, f, c: statistics.equilateral_bispectrum(psi, f.box)[1].sum(),
}


def _differences(n: int, record: Record) -> None:
    heading(f"Gradient against central differences, float64, {n}^3: largest relative difference")
    rows = []
    for engine in (*ENGINES, *NETWORKS):
        network = engine in NETWORKS
        spacing = 1.953125 if network else 3.75
        varied = {} if network else {"w0": -0.9, "wa": 0.1}
        redshift = 0.0 if network else 0.3
        f = zeldo.differentiable(
            engine, box=n * spacing, n=n, redshift=redshift, dtype=torch.float64, **varied
        )
        names = PARAMETERS[:5] if network else PARAMETERS
        worst = []
        for name, statistic in STATISTICS.items():
            if name == "multipoles" and engine.startswith("vnet"):
                worst.append("-")  # no velocities
                continue
            error = _worst_difference(f, statistic, names)
            bar(record, "gradient_error", error, 1e-6, engine=engine, n=n, field=name)
            worst.append(f"{error:.1e}")
        rows.append([engine, *worst])
    table(["engine", *STATISTICS], rows)


def _worst_difference(f: Differentiable, statistic: Callable[..., Tensor], names: Sequence[str]) -> float:
    """The largest over white noise in a random direction and all parameters; the best step decides."""
    x, along = _white_noise(f.n, torch.float64), _random(3 * (f.n,), 3)
    base = {name: f.cosmology.to_dict()[name] for name in names}

    def value(x: Tensor, **cosmology: Any) -> Tensor:
        return statistic(*f(x, **cosmology), f, f.varied(cosmology))

    point = {name: torch.tensor(v, dtype=torch.float64, requires_grad=True) for name, v in base.items()}
    at = x.clone().requires_grad_()
    by_noise, *by_cosmology = torch.autograd.grad(value(at, **point), (at, *point.values()))
    errors = [_difference(float((by_noise * along).sum()), lambda h: value(x + h * along, **base))]
    for name, slope in zip(names, by_cosmology, strict=True):

        def moved(h: float, name: str = name) -> Tensor:
            return value(x, **{**base, name: base[name] + h})

        errors.append(_difference(float(slope), moved))
    return max(errors)


def _difference(slope: float, function: Callable[[float], Tensor]) -> float:
    best = np.inf
    with torch.no_grad():
        for h in STEPS:
            best = min(best, abs(slope * 2 * h / float(function(h) - function(-h)) - 1))
            if best < 1e-7:
                break
    return best


def _adjoint(n: int, record: Record) -> None:
    heading(f"Adjoint against autograd, {n}^3, 10 steps: relative difference of the gradient")
    for engine in ("cola", "pm"):
        for dtype, limit in ((torch.float64, 1e-8), (torch.float32, 1e-3)):
            found = []
            for gradient in ("adjoint", "autograd"):
                f = zeldo.differentiable(engine, box=2.0 * n, n=n, gradient=gradient, dtype=dtype)
                x = _white_noise(n, dtype).requires_grad_()
                psi, vel = f(x)
                assert vel is not None
                loss = (statistics.density(psi, n, f.box) ** 2).sum() + (vel / 100).square().sum()
                found.append(torch.autograd.grad(loss, x)[0])
            error = float((found[0] - found[1]).norm() / found[1].norm())
            name = str(dtype).removeprefix("torch.")
            bar(record, "adjoint_error", error, limit, engine=engine, n=n, field=name)


def _memory(n: int, record: Record) -> None:
    heading(f"Memory of value and gradient by the adjoint, pm, {n}^3, above that of 8^3 particles")

    def peak(n: int, steps: int) -> float:
        child = spawn([sys.executable, "-c", MEMORY, str(n), str(steps)])
        if child["status"] != 0:
            raise RuntimeError(child["text"][-300:])
        return child["peak_gb"]

    least = peak(8, 5)
    few, many = peak(n, 5) - least, peak(n, 40) - least
    record.add("adjoint_memory", few, "GB", engine="pm:steps=5", n=n)
    record.add("adjoint_memory", many, "GB", engine="pm:steps=40", n=n)
    bar(record, "adjoint_memory_growth", many / few - 1, 0.1, engine="pm", n=n)


def _cost(sizes: Sequence[int], record: Record) -> None:
    heading(
        "Value and gradient over the value alone: CPU seconds of all threads, least of several runs in turns"
    )
    for n in sizes:
        f = zeldo.differentiable("pm", box=2.0 * n, n=n, power="eisenstein-hu")
        x = _white_noise(n)

        def value(f: Differentiable = f, x: Tensor = x) -> None:
            with torch.no_grad():
                f(x)

        def both(f: Differentiable = f, x: Tensor = x) -> None:
            y = x.clone().requires_grad_()
            f(y)[0].square().sum().backward()

        for run in (value, both):
            run()
        least = {value: np.inf, both: np.inf}
        for _ in range(5 if n < 100 else 3):
            for run in (value, both):
                before = time.process_time()
                run()
                least[run] = min(least[run], time.process_time() - before)
        record.add("value_cpu", least[value], "s", engine="pm", n=n)
        record.add("value_and_gradient_cpu", least[both], "s", engine="pm", n=n)
        bar(record, "gradient_cost_ratio", least[both] / least[value], 4.0, engine="pm", n=n)


def _power(record: Record) -> None:
    heading("CAMB with its ratio to Eisenstein & Hu frozen: error of dlnP / dlnp, k = 0.02 to 1 h/Mpc")
    cosmology = zeldo.Cosmology.preset("quijote")
    field = LinearField(250.0, 8, cosmology, "camb", torch.float64)
    k = np.geomspace(0.02, 1, 60)
    for name in PARAMETERS[:5]:
        base = cosmology.to_dict()
        p, step = base[name], 0.01

        def logarithm(value: Tensor, name: str = name) -> Tensor:
            from zeldo.cosmology.varied import VariedCosmology

            return field.spectrum(VariedCosmology.of(cosmology, {name: value}, "cpu"), k).log()

        point = torch.tensor(p, dtype=torch.float64)
        slope = p * torch.func.jvp(logarithm, (point,), (torch.ones_like(point),))[1].numpy()
        high, low = (
            np.log(zeldo.linear_power(zeldo.Cosmology(**{**base, name: p * (1 + s * step)}))(k))
            for s in (1, -1)
        )
        error = np.abs(slope - (high - low) / (2 * step)).max()
        print(f"  {name}: at most {error:.3f} of {np.abs(slope).max():.3f}")
        record.add("frozen_ratio_error", float(error), field=name)


def _jaxpm(python: str, sizes: Sequence[int], record: Record) -> None:
    heading(
        "Against JaxPM: particles and mesh of n^3, ten forces, value and gradient; seconds, least of runs in turns"
    )
    script = str(Path(__file__).parent / "jaxpm_child.py")
    for n in sizes:
        f = zeldo.differentiable("pm:mesh_factor=1", box=2.0 * n, n=n, power="eisenstein-hu")
        x = _white_noise(n)
        own = {"value": [np.inf, np.inf], "both": [np.inf, np.inf]}
        peer = {"value": [np.inf, np.inf], "both": [np.inf, np.inf]}
        for _ in range(2):
            for name in own:
                for _ in range(3):
                    before = time.perf_counter(), time.process_time()
                    if name == "value":
                        with torch.no_grad():
                            f(x)
                    else:
                        y = x.clone().requires_grad_()
                        f(y)[0].square().sum().backward()
                    spent = time.perf_counter() - before[0], time.process_time() - before[1]
                    own[name] = [min(a, b) for a, b in zip(own[name], spent, strict=True)]
            done = subprocess.run([python, script, str(n)], capture_output=True, text=True, check=True)
            for name, spent in json.loads(done.stdout.splitlines()[-1]).items():
                peer[name] = [min(a, b) for a, b in zip(peer[name], spent, strict=True)]
        for name in own:
            for kind, unit in (("wall", 0), ("cpu", 1)):
                about = {"engine": "pm:mesh_factor=1", "reference": "jaxpm", "n": n, "field": name}
                record.add(f"{kind}", own[name][unit], "s", **about)
                record.add(f"{kind}_of_reference", peer[name][unit], "s", **about)
                bar(record, f"{kind}_ratio", own[name][unit] / peer[name][unit], 1.0, **about)


def _reconstruction(n: int, record: Record) -> None:
    box = 250.0 * n / 64
    heading(
        f"Initial conditions of {n}^3 particles in {box:g} Mpc/h from the noiseless density at z = 0, cola"
    )
    (snapshot,) = zeldo.run(engine="cola", box=box, n=n, seed=11)
    truth = zeldo.initial_conditions(box=box, n=n, seed=11)
    before = time.perf_counter(), time.process_time()
    result = zeldo.reconstruct(snapshot, samples=40)
    wall, cpu = time.perf_counter() - before[0], time.process_time() - before[1]
    about = {"engine": "cola", "n": n, "box": box}
    bar(record, "reconstruction_wall", wall / 60, 20.0, "min", **about)
    record.add("reconstruction_cpu_per_thread", cpu / 60 / threads(), "min", **about)
    estimate = Agreement.of(result.delta_lin(result.estimate), truth.delta_lin, box)
    low = estimate.correlation[estimate.k <= 0.4].min()
    bar(record, "one_minus_r_to_k", 1 - low, 0.05, k=0.4, **about)
    bar(record, "one_minus_r", 1 - estimate.at(0.6)[0], 0.2, k=0.6, **about)
    variance = Whiteness.of(result.white_noise).variance
    bar(record, "white_noise_variance_error", abs(variance - 1), 0.05, **about)


if __name__ == "__main__":
    main()
