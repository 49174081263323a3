"""V-Nets: time of the forward pass against what convolutions reach here, and the shipped network against MP-Gadget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.bench_accuracy import at
from benchmarks.inputs import peers, references
from benchmarks.machine import COLUMNS, Timing, cells, measure
from benchmarks.output import bar, heading, options, save, start, table
from zeldo.engines.network import Network, shipped_weights
from zeldo.engines.registry import engine
from zeldo.errors import InputError
from zeldo.files.reference import read_reference
from zeldo.initial.conditions import InitialConditions
from zeldo.networks.inference import optimise
from zeldo.networks.vnet import VNet
from zeldo.networks.weights import load
from zeldo.statistics import K_SHOWN, Comparison, Reference

FILES = ("fiducial.npz", "small.npz", "figure2b_small.npz")
FIDUCIAL = FILES[:2]
WIDTHS = (16, 32, 64)
NBODY = 7200.0  # s: MP-Gadget as published, 128^3 on two cores, by the README of the references
LIMIT, WIDEST_LIMIT = 3.0, 8.0  # s, the shipped width and 64 channels
PEER = "l-picola, mesh N"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "bench_vnet")
    parser.add_argument("--weights", metavar="FILE", help="a file of weights instead of the shipped one")
    parser.add_argument("--no-time", action="store_true", help="accuracy alone")
    given = parser.parse_args(arguments)
    result = start("V-Net")
    try:
        path = given.weights or str(shipped_weights())
    except InputError as error:
        path = None
        print(error)
    width = None if path is None else load(path).layout.layers[0].outputs
    if not given.no_time:
        forward(result, width, 32 if given.quick else 128)
    if path is not None:
        files = references(given.reference, FILES[1:2] if given.quick else FILES)
        others = peers(given.reference)
        for name, file in files.items():
            ics, truth = read_reference(file)
            accuracy(result, name, path, ics, Reference(truth[0.0], name="MP-Gadget"), others.get(name, {}))
    save(result, given.json)


def forward(result: dict, width: int | None, n: int) -> None:
    """Whole periodic boxes at several widths, beside one convolution of the same width."""
    heading(f"Forward pass of a {n}^3 box, weights drawn at random")
    rows, times, result["forward"] = [], {}, {}
    for channels in sorted({*WIDTHS, width or WIDTHS[0]}):
        torch.manual_seed(0)
        net = optimise(VNet(channels))
        x = torch.randn(1, 3, n, n, n).contiguous(memory_format=torch.channels_last_3d)
        with torch.no_grad():
            timing = times[channels] = measure(lambda net=net, x=x: net(x, periodic=True), 3)  # type: ignore[misc]
        rate = flops(channels, n) / timing.median
        peak = convolution_rate(channels, n // 2)
        rows.append([f"{channels} channels", *cells(timing), f"{rate / 1e9:.0f}", f"{rate / peak:.2f}"])
        result["forward"][str(channels)] = timing.to_dict() | {"flops": rate, "convolution": peak}
        bar(result, f"{channels} channels: convolution time over the whole pass", peak / rate, 1 / 0.6, "")
    table(["", *COLUMNS, "GFLOP/s", "of a convolution's"], rows)
    if width is not None:
        bar(result, f"forward pass, {n}^3, shipped width {width}", times[width].median, LIMIT, "s", 2.0)
    bar(result, f"forward pass, {n}^3, 64 channels", times[64].median, WIDEST_LIMIT, "s", 2.0)


def flops(channels: int, n: int) -> float:
    """Of the convolutions in one forward pass of a whole periodic box of n^3 cells: two a multiplication."""
    net = VNet(channels)
    sides = net.layout.sides(n, periodic=True)
    total = 0.0
    before = n
    for layer, after in zip(net.layout.layers, sides, strict=True):
        if layer.kind == "block":
            a, m, b = layer.inputs, layer.middle, layer.outputs
            total += 27 * a * m * (before + 2) ** 3 + 27 * m * b * before**3 + a * b * before**3
        else:
            total += 8 * layer.inputs * layer.outputs * min(before, after) ** 3
        before = after
    return 2 * total


def convolution_rate(channels: int, side: int) -> float:
    """FLOP/s of one 3^3 convolution as the network's own are: float32 or bfloat16, channels last."""
    net = optimise(VNet(channels))
    dtype = net.compute_dtype or torch.float32
    layer = torch.nn.Conv3d(channels, channels, 3).to(dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    x = torch.randn(1, channels, side + 2, side + 2, side + 2, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        timing = measure(lambda: layer(x), 5)
    return 2 * 27 * channels**2 * side**3 / timing.median


def accuracy(
    result: dict, name: str, path: str, ics: InitialConditions, truth: Reference, others: dict
) -> None:
    heading(f"{name}: {ics.n}^3 particles in {ics.box:g} Mpc/h against MP-Gadget, z = 0")
    network = Network(weights=path, extrapolate=name not in FIDUCIAL)
    timing = Timing()
    found: dict[str, Comparison] = {}
    for label, one in {
        "zeldovich": engine("zeldovich"),
        "cola, mesh N": engine("cola"),
        "cola, mesh 2N": engine("cola", mesh_factor=2),
        "vnet": network,
    }.items():
        (made,) = one.run(ics, [0.0])
        found[label] = truth.compare(made)
    if ics.n == 128:
        timing = measure(lambda: list(network.run(ics, [0.0])), 3)
        table(["vnet engine, weights read from disk", *COLUMNS], [["", *cells(timing)]])
        bar(result, f"{name}: MP-Gadget's time as published over the network's, 1000 over it",
            1000 / (NBODY / timing.median), 1.0, "")  # fmt: skip
    for field in ("density", "displacement"):
        for title, attribute in (("T", "transfer"), ("1 - r^2", "one_minus_r2")):
            rows = [
                [label, *[f"{at(one, field, attribute, k):.{4 if title == 'T' else 5}f}" for k in K_SHOWN]]
                for label, one in found.items()
            ]
            if PEER in others:
                key = "T" if title == "T" else attribute
                rows.append(
                    [
                        "L-PICOLA, mesh N",
                        *[f"{x:.{4 if title == 'T' else 5}f}" for x in others[PEER][field][key]],
                    ]
                )
            table([f"{field}, {title}", *[f"k = {k:g}" for k in K_SHOWN]], rows)
    result[name] = {
        label: {
            field: {attribute: [at(one, field, attribute, k) for k in K_SHOWN] for attribute in ("transfer", "one_minus_r2")}
            for field in ("density", "displacement")
        }
        for label, one in found.items()
    }  # fmt: skip
    bars(result, name, found, others.get(PEER))


def bars(result: dict, name: str, found: dict[str, Comparison], peer: dict | None) -> None:
    net, za = found["vnet"], found["zeldovich"]
    density = net.fields["density"]

    def off(limit: float) -> float:
        return float(np.max(np.abs(density.transfer[density.k <= limit] - 1)))

    if name not in FIDUCIAL:
        bar(result, f"{name}: T of density off 1 for k <= 1", off(1.0), 0.05, "")
        return
    bar(result, f"{name}: T of density off 1 for k <= 0.5", off(0.5), 0.01, "")
    bar(result, f"{name}: T of density off 1 for k <= 1", off(1.0), 0.02, "", 0.01)
    for field in ("density", "displacement"):
        ratio = max(
            at(net, field, "one_minus_r2", k) / at(za, field, "one_minus_r2", k) for k in K_SHOWN if k <= 0.7
        )
        bar(result, f"{name}: 1 - r^2 of {field} over Zel'dovich's for k <= 0.7", ratio, 0.1, "")
    for i, k in enumerate(K_SHOWN):
        if peer is None:
            break
        if k >= 0.3:
            ratio = abs(at(net, "density", "transfer", k) - 1) / abs(peer["density"]["T"][i] - 1)
            bar(result, f"{name}: |T - 1| of density over L-PICOLA's (mesh N) at k = {k:g}", ratio, 1.0, "")
        for field in ("density", "displacement") if k >= 0.7 else ():
            ratio = at(net, field, "one_minus_r2", k) / peer[field]["one_minus_r2"][i]
            bar(result, f"{name}: 1 - r^2 of {field} over L-PICOLA's (mesh N) at k = {k:g}", ratio, 1.0, "")


if __name__ == "__main__":
    main()
