"""Gradients: against central differences, adjoint against autograd, memory, cost, JaxPM; initial conditions recovered."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import zeldo
from benchmarks.bench_cost import spawn
from benchmarks.gradient_differences import PARAMETERS, differences
from benchmarks.gradient_inference import SEEDS, reconstruction, sampler
from benchmarks.gradient_nuts import Lengths, nuts
from benchmarks.machine import threads
from benchmarks.output import bar, heading, keep_other_parts, options, save, start
from benchmarks.record import Record
from zeldo.cosmology.varied import VariedCosmology
from zeldo.gradients import statistics
from zeldo.gradients.function import Differentiable
from zeldo.gradients.linear import LinearField
from zeldo.initial.phases import Native

PARTS = (
    "differences",
    "adjoint",
    "memory",
    "cost",
    "power",
    "jaxpm",
    "reconstruction",
    "sampler",
    "nuts",
)
FAR = {"n_s": 1.05}  # by what a parameter is multiplied, where a fifth is out of range
MEMORY = """
import sys, torch, zeldo
n, steps = int(sys.argv[1]), int(sys.argv[2])
f = zeldo.differentiable(f"pm:steps={steps}", box=2.0 * n, n=n, power="eisenstein-hu")
x = torch.randn(n, n, n, generator=torch.Generator().manual_seed(1), requires_grad=True)
(f(x)[0] ** 2).sum().backward()
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "gradients", PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="of the reconstructions")
    parser.add_argument("--jax", metavar="PYTHON", help="a Python that has JaxPM")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(threads())
    record = start("Gradients and reconstruction", "gradients")
    keep_other_parts(record, parsed, PARTS)
    for part in parsed.parts:
        if part != "jaxpm" or parsed.jax:
            _measure(part, parsed, record)
            save(record, parsed)


def _measure(part: str, parsed: argparse.Namespace, record: Record) -> None:
    quick = parsed.quick
    match part:
        case "differences":
            differences(8 if quick else 16, record)
        case "adjoint":
            _adjoint(16 if quick else 32, record)
        case "memory":
            _memory(32 if quick else 64, record)
        case "cost":
            _cost((32,) if quick else (64, 128), record)
        case "power":
            _power(record)
        case "jaxpm":
            _jaxpm(parsed.jax, (32,) if quick else (64, 128), record)
        case "reconstruction":
            reconstruction(16 if quick else 64, parsed.seeds[:1] if quick else parsed.seeds, record)
        case "sampler":
            sampler(16 if quick else 32, 20 if quick else 1000, record)
        case "nuts":
            nuts(8 if quick else 16, Lengths(20, 20, 100, 50) if quick else Lengths(), record)


def _white_noise(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(Native(5).field(n)).to(dtype)


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
    heading("Linear power beside CAMB: errors of dlnP / dlnp, and of P further away, k = 0.02 to 1 h/Mpc")
    cosmology = zeldo.Cosmology.preset("quijote")
    field = LinearField(250.0, 8, cosmology, "camb", torch.float64)
    k = np.geomspace(0.02, 1, 60)
    for name in PARAMETERS[:5]:
        base = cosmology.to_dict()
        p, step, far = base[name], 0.02, FAR.get(name, 1.2)  # not the step that the function takes itself

        def logarithm(value: Tensor, name: str = name) -> Tensor:
            return field.spectrum(VariedCosmology.of(cosmology, {name: value}, "cpu"), k).log()

        point = torch.tensor(p, dtype=torch.float64)
        slope = p * torch.func.jvp(logarithm, (point,), (torch.ones_like(point),))[1].numpy()
        high, low = (
            np.log(zeldo.linear_power(zeldo.Cosmology(**{**base, name: p * (1 + s * step)}))(k))
            for s in (1, -1)
        )
        error = np.abs(slope - (high - low) / (2 * step)).max()
        there = zeldo.linear_power(zeldo.Cosmology(**{**base, name: p * far}))(k)
        off = np.abs(logarithm(torch.tensor(p * far, dtype=torch.float64)).exp().numpy() / there - 1).max()
        print(
            f"  {name}: at most {error:.4f} of {np.abs(slope).max():.3f}; P {100 * off:.2f} % off at {far:g} times"
        )
        record.add("power_slope_error", float(error), field=name)
        record.add("power_error", float(off), field=f"{name} times {far:g}")


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


if __name__ == "__main__":
    main()
