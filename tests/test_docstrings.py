"""Public docstrings have numpydoc's form, so that an API site can be made of them, and name every parameter."""

import importlib
import inspect
import re

import pytest

PUBLIC = {
    "zeldo.api": ["initial_conditions"],
    "zeldo.cosmology.background": ["expansion", "growth", "omega_m_at"],
    "zeldo.cosmology.parameters": ["Cosmology"],
    "zeldo.cosmology.power": ["LinearPower", "check_model", "linear_power"],
    "zeldo.cosmology.redshifts": ["distinct_redshifts", "nearest_redshift", "same_redshift"],
    "zeldo.datasets.dataset": ["make_dataset"],
    "zeldo.initial.conditions": ["InitialConditions"],
    "zeldo.initial.linear": ["initial_conditions"],
    "zeldo.initial.lpt": ["lpt_factors", "lpt_state"],
    "zeldo.initial.noise": ["white_noise"],
    "zeldo.particles.provenance": ["Provenance"],
    "zeldo.statistics": [
        "Bispectrum",
        "Halos",
        "MassFunction",
        "Multipoles",
        "Spectrum",
        "compare_snapshots",
        "cross_power",
        "density_modes",
        "equilateral_bispectrum",
        "field_modes",
        "friends_of_friends",
        "mass_function",
        "power_spectrum",
        "redshift_space_multipoles",
        "squeezed_bispectrum",
    ],
    "zeldo.store.runs": ["RunStore"],
    "zeldo.universe": ["Universe"],
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in PUBLIC.items() for name in names]
)
def test_every_parameter_has_its_entry(module, name):
    thing = getattr(importlib.import_module(module), name)
    text = inspect.getdoc(thing)
    section = re.search(r"\nParameters\n-{10}\n(.*?)(?=\n\n\w+\n-+\n|\Z)", text, re.DOTALL)
    assert section, "no section of parameters"
    headings = re.findall(r"^(\S[^:\n]*?)(?: :.*)?$", section[1], re.MULTILINE)
    described = [entry.strip() for heading in headings for entry in heading.split(",")]
    assert described == list(inspect.signature(thing).parameters)
    assert text.splitlines()[0].endswith(".")
