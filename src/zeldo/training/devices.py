"""Settings that depend on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from zeldo.training.config import TrainConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def memory_format(config: TrainConfig, fabric: Fabric) -> torch.memory_format:
    """channels_last where it is faster: on GPUs and in bfloat16.

    In float32 on a CPU, oneDNN's own blocked format is faster; its gradient of the kernel takes twice as long in
    channels_last.
    """
    choice = config.memory_format
    if choice == "auto":
        last = fabric.device.type == "cuda" or config.precision != "32-true"
        choice = "channels_last" if last else "contiguous"
    return torch.channels_last_3d if choice == "channels_last" else torch.contiguous_format
