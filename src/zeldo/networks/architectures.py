"""The architectures of networks, by the names that model cards and configurations use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from zeldo.errors import InputError, nearest

MODULES = {
    "vnet": ("zeldo.networks.vnet", "VNet"),
    "styled vnet": ("zeldo.networks.styled", "StyledVNet"),
    "modulated vnet": ("zeldo.networks.modulated", "ModulatedVNet"),
    "modulated resnet": ("zeldo.networks.modulated", "ModulatedResNet"),
}
WEIGHTS = (".safetensors", ".pt", ".npz")
_classes: dict[str, Callable[..., Any]] = {}  # of `vnet.LayeredNet`
C = TypeVar("C", bound=type)


def is_weights(name: str) -> bool:
    """Whether a name is that of a file of weights, by its suffix in any case."""
    return name.lower().endswith(WEIGHTS)


def register(name: str) -> Callable[[C], C]:
    """Make an architecture from outside the package known by a name. Use it as a class decorator.

    Its constructor takes `channels`, `levels`, `in_channels` and `out_channels`, and `styles` for tasks that pass
    numbers to the network.

    Parameters
    ----------
    name : str
        The name in model cards and configurations.

    Returns
    -------
    callable
        The decorator.
    """

    def known(cls: C) -> C:
        _classes[name] = cls
        return cls

    return known


def names() -> list[str]:
    """The names of all architectures."""
    return [*MODULES, *(name for name in _classes if name not in MODULES)]


def architecture(name: str) -> Callable[..., Any]:
    """Find the class of an architecture.

    Parameters
    ----------
    name : str

    Returns
    -------
    type
        A subclass of `LayeredNet`.

    Raises
    ------
    InputError
        For an unknown name.
    """
    if name not in _classes:
        if name not in MODULES:
            raise InputError(
                f"architecture {name!r} is not known: choose one of {', '.join(names())}{nearest(str(name), names())}, "
                "or import the module that registers it"
            )
        module, cls = MODULES[name]
        _classes[name] = getattr(import_module(module), cls)
    return _classes[name]
