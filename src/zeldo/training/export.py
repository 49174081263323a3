"""Writes the trained network with its model card, ready to be an engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zeldo.engines.registry import dynamics_of
from zeldo.files.atomic import writing
from zeldo.networks.card import DARK_ENERGY, OPTIONAL, ModelCard
from zeldo.networks.tasks.base import Task
from zeldo.networks.vnet import LayeredNet
from zeldo.networks.weights import save
from zeldo.training.config import SUFFIX, TrainConfig
from zeldo.training.players import network_arguments
from zeldo.version import __version__


def weights_path(config: TrainConfig) -> Path:
    """The file of weights that a training writes."""
    return config.output / f"{config.name}{SUFFIX}"


def export(net: LayeredNet, config: TrainConfig, task: Task, facts_of_run: dict[str, Any]) -> Path:
    """Write the weights with their card to `weights_path`, and all facts of the run beside them as JSON.

    Parameters
    ----------
    net : LayeredNet
    config : TrainConfig
    task : Task
    facts_of_run : dict
        "data" as from `Samples.described`, measured figures as "validation", and further facts for the JSON file.

    Returns
    -------
    Path
        The file of weights.
    """
    path = weights_path(config)
    facts = {
        **facts_of_run,
        **_recipe(config, task),
        "version": __version__,
        "date": str(datetime.now(UTC).date()),
    }
    save(net, path, model_card(config, task, facts))
    with writing(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(facts, indent=1, default=str) + "\n")
    return path


def model_card(config: TrainConfig, task: Task, facts: dict[str, Any]) -> ModelCard:
    """What the network is, and where it may be used: by default in the ranges of its training."""
    data, dynamics = facts["data"], dynamics_of(task)
    return ModelCard(
        architecture=config.network.name,
        arguments=network_arguments(config.network, task),
        task=task.name,
        options=task.options(),
        redshift=(min(data["redshifts"]), max(data["redshifts"])),
        spacing=(min(data["spacing"]), max(data["spacing"])),
        omega_m=config.range_omega_m or tuple(data["cosmology"]["omega_m"]),
        training=_note(config, facts),
        accuracy=facts.get("validation") or {},
        **_optional_ranges(config, data["cosmology"]),
        dynamics_revision=None if dynamics is None else dynamics.revision,
    )


def _optional_ranges(config: TrainConfig, cosmology: dict[str, Any]) -> dict[str, Any]:
    """The ranges that were chosen, or else those of the training runs. A parameter that the runs do not vary may have any
    value, but for sigma_8 and dark energy."""
    ranges = {}
    for name in OPTIONAL:
        chosen = getattr(config, f"range_{name}")
        low, high = cosmology.get(name) or 2 * [DARK_ENERGY[name]]
        varied = name == "sigma_8" or low < high or low != DARK_ENERGY.get(name, low)
        if chosen or varied:
            ranges[name] = chosen or (low, high)
    return ranges


def _note(config: TrainConfig, facts: dict[str, Any]) -> str:
    """A paragraph on the training, for people."""
    data = facts["data"]
    held_out = facts["validation_data"] or {"seeds": []}
    low, high = data["cosmology"]["omega_m"]
    universes = f"omega_m {low:g}" if low == high else f"omega_m {low:g} to {high:g}"
    text = (
        f"{data['runs']} runs by {data['engine']} ({_listed(data['n'])}^3 particles in "
        f"{_listed(data['box'])} Mpc/h, z = {_listed(data['redshifts'])}, {universes}), seeds "
        f"{_ranges(data['seeds'])}; validated on seeds {_ranges(held_out['seeds']) or 'none'}. "
        f"{facts['samples']} {facts['crop']} in {facts['steps']} steps, {facts['epochs']} epochs, "
        f"{facts['hours']:.2f} hours on {facts['device']}"
    )
    if facts.get("energy_kwh") is not None:
        text += f", {facts['energy_kwh']:.3g} kWh"
        if facts["energy_hours"] < 0.99 * facts["hours"]:
            text += f" in {facts['energy_hours']:.2f} of them"
    if facts.get("start_from"):
        text += f". It began with the weights {facts['start_from']}"
    text += f". {facts['optimizer']}, batch {facts['batch']}, {facts['loss']}, {facts['precision']}, seed "
    return f"{text}{facts['seed']}, zeldo {__version__}, {facts['date']}. {config.notes}".rstrip()


def _recipe(config: TrainConfig, task: Task) -> dict[str, Any]:
    option = config.optimizer
    ema = f", weights averaged with decay {option.ema:g}" if option.ema else ""
    return {
        "name": config.name,
        "crop": f"crops of {config.data.crop}^3" if config.data.crop else "whole periodic boxes",
        "augmentation": "48 rotations and reflections, shifts" if config.data.augment else "none",
        "task": task.name,
        "task_options": task.options(),
        "loss": task.describe_loss(),
        "optimizer": f"{option.name.capitalize()} {option.rate:g} {tuple(option.betas)}, {option.schedule}{ema}",
        "precision": config.precision,
        "seed": config.seed,
        "notes": config.notes,
    }


def _ranges(seeds: Sequence[int | None]) -> str:
    """Seeds as text, such as "3, 10-19"."""
    ranges: list[list[int]] = []
    for seed in sorted(s for s in seeds if s is not None):
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in ranges)


def _listed(values: Sequence[float]) -> str:
    return " and ".join(f"{value:g}" for value in values)
