"""A universe in numbers: spectra, comparison with a reference, bispectrum, redshift space, halos.

Names load their module, and torch with it, when first used.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Comparison": "comparison",
    "FieldComparison": "comparison",
    "K_SHOWN": "comparison",
    "Reference": "comparison",
    "compare_snapshots": "comparison",
    "Spectrum": "spectra",
    "cloud_in_cell_modes": "spectra",
    "cross_power": "spectra",
    "density_modes": "spectra",
    "field_modes": "spectra",
    "power_spectrum": "spectra",
    "Multipoles": "redshift_space",
    "redshift_space_multipoles": "redshift_space",
    "Bispectrum": "bispectrum",
    "equilateral_bispectrum": "bispectrum",
    "squeezed_bispectrum": "bispectrum",
    "Halos": "halos",
    "MassFunction": "halos",
    "friends_of_friends": "halos",
    "mass_function": "halos",
    "HaloCatalogue": "spherical_overdensity",
    "SphericalOverdensity": "spherical_overdensity",
    "spherical_overdensity": "spherical_overdensity",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
