"""Architectures and their weights. Names load torch when they are first used."""

from typing import Any

_HOMES = {
    "ModelCard": "card",
    "Prediction": "field",
    "StyledVNet": "styled",
    "VNet": "vnet",
    "import_model": "weights",
    "load": "weights",
    "optimise": "inference",
    "predict": "field",
    "save": "weights",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
