"""Gradients against central differences: every differentiable engine, statistic and parameter, and white noise.

A central difference is wrong in its own way: large steps carry particles over the edges of cells and activations over
their kinks, small ones leave rounding. Several steps are taken, and the second best of their agreements counts: a wrong
gradient would have to agree with two differences by chance. Bins of a statistic are summed with the signs of their own
derivatives, so that no two of them cancel and leave the rounding of both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zeldo
from benchmarks.output import bar, heading, table
from benchmarks.record import Record
from zeldo.engines import registry
from zeldo.gradients import statistics
from zeldo.gradients.function import Differentiable
from zeldo.initial.phases import Native
from zeldo.networks.card import ModelCard
from zeldo.networks.styled import StyledVNet
from zeldo.networks.weights import save

PARAMETERS = ("omega_m", "omega_b", "h", "n_s", "sigma_8", "w0", "wa")
VARIANTS = {
    "cola": ("cola", "cola:mesh_factor=2"),
    "pm": ("pm", "pm:stepper=fastpm"),
    "emulator": ("emulator:extrapolate=true", "emulator:preset=fast,extrapolate=true"),
    "vnet": ("vnet:extrapolate=true",),
}
STEPS = (1e-6, 3e-7, 1e-7, 3e-8, 1e-8, 3e-6)
ROUGH = 1e-6  # the step that tells the signs of derivatives
LIMIT = 1e-6
SPACING = 1.953125  # of the networks' lattices, Mpc/h


def _square_sums(psi: Tensor, seed: int) -> Tensor:
    """Squares have no cancellation; a random weight for each value keeps errors of either sign from hiding."""
    weight = torch.rand(psi.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (weight * psi.square()).mean()


def _multipoles(psi: Tensor, vel: Tensor, f: Differentiable, cosmology: Any) -> Tensor:
    seen = statistics.redshift_space(psi, vel, f.redshift, cosmology)
    return statistics.multipoles(seen, f.box)[1]


STATISTICS: dict[str, Callable[..., Tensor]] = {
    "psi": lambda psi, vel, f, c: _square_sums(psi, 1),
    "vel": lambda psi, vel, f, c: _square_sums(vel / 100, 2),
    "density": lambda psi, vel, f, c: (statistics.density(psi, f.n, f.box) ** 3).mean(),
    "power": lambda psi, vel, f, c: statistics.power_spectrum(psi, f.box)[1],
    "multipoles": _multipoles,
    "bispectrum": lambda psi, vel, f, c: statistics.equilateral_bispectrum(psi, f.box)[1],
}
NEED_VELOCITIES = ("vel", "multipoles")


def differences(n: int, record: Record) -> None:
    """The whole grid, n^3 particles in float64; the worst of each engine is printed, and every cell recorded."""
    heading(f"Gradient against central differences, float64, {n}^3: largest relative difference")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, engine in engines(Path(folder)):
            worst = _of_engine(name, engine, n, record)
            rows.append([name, *(f"{worst[s]:.1e}" if s in worst else "-" for s in STATISTICS)])
            bar(record, "gradient_error_worst", max(worst.values()), LIMIT, engine=name, n=n)
    table(["engine", *STATISTICS], rows)


def engines(folder: Path) -> Iterator[tuple[str, str]]:
    """Names for the record and engines: all registered ones that are differentiable, and networks of the papers."""
    for name in registry.names():
        if name != "p3m":
            yield from ((engine, engine) for engine in VARIANTS.get(name, (name,)))
    yield "jamieson2022", f"{_network(folder, 'jamieson2022', 1)}:extrapolate=true"
    yield "jamieson2024", f"{_network(folder, 'jamieson2024', 2)}:extrapolate=true"


def _network(folder: Path, task: str, styles: int) -> Path:
    """A small network of random weights with the task of a paper."""
    torch.manual_seed(3)
    arguments = {"channels": 4, "styles": styles}
    card = ModelCard("styled vnet", arguments, task, {}, (0, 3), (1.9, 2.0), (0.1, 0.5))
    path = folder / f"{task}.safetensors"
    save(StyledVNet(**arguments), path, card, half=False)
    return path


def _of_engine(name: str, engine: str, n: int, record: Record) -> dict[str, float]:
    """The largest error of each statistic."""
    network = name not in ("zeldovich", "2lpt") and not name.startswith(("cola", "pm"))
    varied = {} if network else {"w0": -0.9, "wa": 0.1}
    redshift = 0.0 if network and name != "jamieson2024" else 0.3
    spacing = SPACING if network else 3.75
    f = zeldo.differentiable(engine, box=n * spacing, n=n, redshift=redshift, dtype=torch.float64, **varied)
    parameters = PARAMETERS[:5] if network else PARAMETERS
    errors = Errors(f, parameters)
    worst = {}
    for label, statistic in errors.statistics.items():
        found = errors.of(statistic)
        for parameter, error in found.items():
            about = {"engine": name, "n": n, "field": f"{label} by {parameter}"}
            record.add("gradient_error", error, limit=LIMIT, **about)
        worst[label] = max(found.values())
        print(f"  {name}, {label}: {worst[label]:.1e} by {max(found, key=lambda p: found[p])}", flush=True)
    return worst


class Errors:
    """What the gradient of a universe differs by from central differences.

    Parameters
    ----------
    f : Differentiable
        In float64.
    parameters : sequence of str
    """

    def __init__(self, f: Differentiable, parameters: Sequence[str]):
        self.f = f
        self.x = torch.from_numpy(Native(5).field(f.n)).double()
        self.along = torch.from_numpy(Native(3).field(f.n)).double()
        self.base = {name: f.cosmology.to_dict()[name] for name in parameters}
        with torch.no_grad():
            moving = f(self.x)[1] is not None
        self.statistics = {
            name: statistic for name, statistic in STATISTICS.items() if moving or name not in NEED_VELOCITIES
        }

    def values(self, statistic: Callable[..., Tensor], x: Tensor, cosmology: Mapping[str, Any]) -> Tensor:
        """The statistic, of no dimension or of one bin each."""
        return statistic(*self.f(x, **cosmology), self.f, self.f.varied(cosmology))

    def of(self, statistic: Callable[..., Tensor]) -> dict[str, float]:
        """By white noise in a random direction, and by each parameter."""
        return {name: self._error(statistic, name) for name in ("white noise", *self.base)}

    def _error(self, statistic: Callable[..., Tensor], name: str) -> float:
        with torch.no_grad():
            middle, high, low = (self._moved(statistic, name, step) for step in (0.0, ROUGH, -ROUGH))
            weights = torch.sign(high - low) / middle.abs() if middle.ndim else torch.ones_like(middle)
        step = torch.zeros((), dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad((weights * self._moved(statistic, name, step)).sum(), step)
        found: list[float] = []
        with torch.no_grad():
            for h in STEPS:
                ends = [self._moved(statistic, name, step) for step in (h, -h)]
                change = float((weights * (ends[0] - ends[1])).sum())
                found = sorted([*found, abs(float(slope) * 2 * h / change - 1)])
                if len(found) > 1 and found[1] < LIMIT / 10:
                    break
        return found[1]

    def _moved(self, statistic: Callable[..., Tensor], name: str, step: Any) -> Tensor:
        if name == "white noise":
            return self.values(statistic, self.x + step * self.along, self.base)
        return self.values(statistic, self.x, {**self.base, name: self.base[name] + step})
