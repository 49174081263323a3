"""V-Nets: the time of a forward pass against the speed of single convolutions, and the accuracy against MP-Gadget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.bench_accuracy import at
from benchmarks.inputs import peers, references
from benchmarks.machine import COLUMNS, cells, measure
from benchmarks.output import bar, heading, options, save, start, table
from benchmarks.record import Record
from zeldo.engines.network import Network
from zeldo.engines.parsing import parse_engine
from zeldo.engines.trained import shipped_weights
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
PEER = "l-picola:mesh_factor=1"
ENGINES = ("zeldovich", "cola", "cola:mesh_factor=2", "vnet")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options(__doc__, "vnet")
    parser.add_argument("--weights", metavar="FILE", help="a file of weights instead of the shipped one")
    parser.add_argument("--no-time", action="store_true", help="accuracy alone")
    parsed = parser.parse_args(arguments)
    record = start("V-Net", "vnet")
    try:
        path = parsed.weights or str(shipped_weights())
    except InputError as error:
        path = None
        print(error)
    width = None if path is None else load(path).layout.layers[0].outputs
    if not parsed.no_time:
        forward(record, width, 32 if parsed.quick else 128)
    if path is not None:
        files = references(parsed.reference, FILES[1:2] if parsed.quick else FILES)
        others = peers(parsed.reference)
        for name, file in files.items():
            ics, truth = read_reference(file)
            accuracy(record, name, path, ics, Reference(truth[0.0], name="MP-Gadget"), others.get(name, {}))
    save(record, parsed)


def forward(record: Record, width: int | None, n: int) -> None:
    """Whole periodic boxes at several widths, beside one convolution of the same width."""
    heading(f"Forward pass of a {n}^3 box, weights drawn at random")
    rows = []
    for channels in sorted({*WIDTHS, width or WIDTHS[0]}):
        torch.manual_seed(0)
        net = optimise(VNet(channels))
        x = torch.randn(1, 3, n, n, n).contiguous(memory_format=torch.channels_last_3d)
        with torch.no_grad():
            timing = measure(lambda net=net, x=x: net(x, periodic=True), 3)  # type: ignore[misc]
        rate = net.layout.flops(n, periodic=True) / timing.median
        peak = convolution_rate(channels, n // 2)
        rows.append([f"{channels} channels", *cells(timing), f"{rate / 1e9:.0f}", f"{rate / peak:.2f}"])
        about = {"engine": f"vnet, {channels} channels", "field": "forward pass", "n": n}
        record.timing(timing, **about)
        record.add("rate", rate, "FLOP/s", **about)
        record.add("rate_of_a_convolution", peak, "FLOP/s", **about)
        bar(record, "rate_of_a_convolution_over_rate", peak / rate, 1 / 0.6, **about)
        if channels in (width, 64):
            limit = LIMIT if channels == width else WIDEST_LIMIT
            bar(record, "wall_median", timing.median, limit, "s", aim=2.0, **about)
    table(["", *COLUMNS, "GFLOP/s", "of a convolution's"], rows)


def convolution_rate(channels: int, side: int) -> float:
    """FLOP/s of a single 3^3 convolution in the network's own format: float32 or bfloat16, channels last."""
    net = optimise(VNet(channels))
    dtype = net.compute_dtype or torch.float32
    layer = torch.nn.Conv3d(channels, channels, 3).to(dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    x = torch.randn(1, channels, side + 2, side + 2, side + 2, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        timing = measure(lambda: layer(x), 5)
    return 2 * 27 * channels**2 * side**3 / timing.median


def accuracy(
    record: Record, name: str, path: str, ics: InitialConditions, truth: Reference, others: dict
) -> None:
    heading(f"{name}: {ics.n}^3 particles in {ics.box:g} Mpc/h against MP-Gadget, z = 0")
    about = {"ics": name, "n": ics.n, "box": ics.box, "z": 0}
    network = Network(weights=path, extrapolate=name not in FIDUCIAL)
    comparisons: dict[str, Comparison] = {}
    for label in ENGINES:
        (snapshot,) = (network if label == "vnet" else parse_engine(label)).run(ics, [0.0])
        comparisons[label] = truth.compare(snapshot)
        record.comparison(comparisons[label], K_SHOWN, engine=label, reference="mp-gadget", **about)
    if ics.n == 128:
        timing = measure(lambda: list(network.run(ics, [0.0])), 3)
        table(["vnet engine, weights read from disk", *COLUMNS], [["", *cells(timing)]])
        record.timing(timing, engine="vnet", **about)
        bar(record, "wall_median", timing.median, NBODY / 1000, "s", engine="vnet", **about)
    for field in ("density", "displacement"):
        for title, attribute in (("T", "transfer"), ("1 - r^2", "one_minus_r2")):
            rows = [
                [
                    label,
                    *[f"{at(comparison, field, attribute, k):.{4 if title == 'T' else 5}f}" for k in K_SHOWN],
                ]
                for label, comparison in comparisons.items()
            ]
            if PEER in others:
                key = "T" if title == "T" else attribute
                rows.append(
                    [
                        PEER,
                        *[f"{x:.{4 if title == 'T' else 5}f}" for x in others[PEER][field][key]],
                    ]
                )
            table([f"{field}, {title}", *[f"k = {k:g}" for k in K_SHOWN]], rows)
    bars(record, comparisons, others.get(PEER), about | {"engine": "vnet", "reference": "mp-gadget"})


def bars(record: Record, comparisons: dict[str, Comparison], peer: dict | None, about: dict) -> None:
    net, za = comparisons["vnet"], comparisons["zeldovich"]
    density = net.fields["density"]

    def off(k: float, limit: float, aim: float | None = None) -> None:
        most = float(np.max(np.abs(density.transfer[density.k <= k] - 1)))
        bar(record, "T_off_to_k", most, limit, aim=aim, field="density", k=k, **about)

    if about["ics"] not in FIDUCIAL:
        off(1.0, 0.05)
        return
    off(0.5, 0.01)
    off(1.0, 0.02, 0.01)
    for field in ("density", "displacement"):
        ratio = max(
            at(net, field, "one_minus_r2", k) / at(za, field, "one_minus_r2", k) for k in K_SHOWN if k <= 0.7
        )
        bar(record, "one_minus_r2_over_zeldovich_to_k", ratio, 0.1, field=field, k=0.7, **about)
    for i, k in enumerate(K_SHOWN):
        if peer is None:
            break
        if k >= 0.3:
            ratio = abs(at(net, "density", "transfer", k) - 1) / abs(peer["density"]["T"][i] - 1)
            bar(record, "T_off_over_l-picola", ratio, 1.0, field="density", k=k, **about)
        for field in ("density", "displacement") if k >= 0.7 else ():
            ratio = at(net, field, "one_minus_r2", k) / peer[field]["one_minus_r2"][i]
            bar(record, "one_minus_r2_over_l-picola", ratio, 1.0, field=field, k=k, **about)


if __name__ == "__main__":
    main()
