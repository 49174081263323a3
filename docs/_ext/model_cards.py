"""The model cards of the networks that ship, as their files of weights tell them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

OTHERS = {"sigma_8": "σ₈", "omega_b": "Ω_b", "h": "h", "n_s": "n_s", "w0": "w0", "wa": "wa"}


def span(limits: tuple[float, float] | None) -> str:
    if limits is None:
        return "any"
    low, high = limits
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def model_cards() -> str:
    """A table for each file of weights, and the figures of its training."""
    from zeldo.networks.weights import load

    parts = [
        "# Model cards\n\nA card says what a set of weights is and where it may be used. `zeldo models show FILE` prints "
        "the card of any file of weights. Outside the ranges a run is refused, unless `extrapolate` is set.\n"
    ]
    weights = Path(str(files("zeldo.weights")))
    for path in sorted(weights.glob("*.safetensors")):
        net = load(path)
        card = net.card
        count = sum(parameter.numel() for parameter in net.parameters())
        options = ", ".join(f"{name} = {json.dumps(value)}" for name, value in card.options.items())
        rows = {
            "architecture": f"{card.architecture}: "
            + ", ".join(f"{name} = {value}" for name, value in card.arguments.items()),
            "parameters": f"{count:,}",
            "task": card.task,
            "options of the task": options,
            "predicts": card.quantity,
            "redshift": span(card.redshift),
            "lattice spacing, Mpc/h": span(card.spacing),
            "Ω_m": span(card.omega_m),
            **{label: span(getattr(card, name)) for name, label in OTHERS.items() if getattr(card, name)},
            "training": card.training,
        }
        lines = [f"| {name} | {value} |" for name, value in rows.items() if value]
        parts.append(f"## {path.stem}\n\n| entry | value |\n|---|---|\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)
