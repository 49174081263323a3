"""Networks with convolutions by Winograd's transform, against the same networks with torch's."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import torch

from benchmarks.machine import Timing, run_once
from benchmarks.output import heading, options, save, start, table
from zeldo.engines.emulator import Emulator
from zeldo.engines.trained import shipped_weights
from zeldo.networks import inference
from zeldo.networks.weights import load

NETWORKS = {
    "emulator": Emulator().path,
    "emulator:fast": Emulator(preset="fast").path,
    "vnet": shipped_weights(),
}
N = 128
PAIRED = 11  # runs of each, in turn


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = options(__doc__, "convolutions").parse_args(arguments)
    record = start("Convolutions", "convolutions")
    n = 32 if parsed.quick else N
    rows = []
    for name, path in NETWORKS.items():
        net = load(path)
        settled = net.settled(torch.zeros(getattr(net, "styles", 0)))
        ours, theirs = (
            inference.optimise(settled, dtype=torch.float32, derivatives=derivatives)
            for derivatives in (False, True)
        )
        x = torch.randn(1, net.in_channels, n, n, n, generator=torch.Generator().manual_seed(1))
        timings = [Timing(), Timing()]
        with torch.no_grad():
            made, wanted = (some(x, periodic=True) for some in (ours, theirs))
            for _ in range(2 if parsed.quick else PAIRED):
                for some, timing in zip((ours, theirs), timings, strict=True):
                    run_once(lambda some=some, x=x: some(x, periodic=True), timing)  # type: ignore[misc]
            added = wanted - x[:, : wanted.shape[1]]
            error = float((made - wanted).std() / added.std())
        ratio = median(a / b for a, b in zip(timings[0].wall, timings[1].wall, strict=True))
        rows.append(
            [name, f"{timings[1].median:.2f}", f"{timings[0].median:.2f}", f"{ratio:.2f}", f"{error:.1e}"]
        )
        about = {"engine": name, "field": "forward pass", "n": n}
        record.timing(timings[0], **about)
        record.add("wall_over_torch_median", ratio, **about)
        record.add("error_over_added", error, **about)
    heading(f"Forward passes of {n}^3 boxes in float32: seconds with torch's convolutions and with zeldo's")
    table(["", "torch", "zeldo", "median ratio", "error / added"], rows)
    save(record, parsed)


if __name__ == "__main__":
    main()
