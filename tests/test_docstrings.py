"""Public docstrings have numpydoc's form, so that an API site can be made of them, and name every parameter."""

import importlib
import inspect
import re

import pytest

import zeldo

# beside everything in `zeldo.__all__`
PUBLIC = {
    "zeldo.comparing": ["CompareResult", "warm_up"],
    "zeldo.cosmology.background": ["omega_m_at"],
    "zeldo.cosmology.power": ["LinearPower", "check_model"],
    "zeldo.cosmology.redshifts": ["distinct_redshifts", "nearest_redshift", "same_redshift"],
    "zeldo.datasets.dataset": ["make_dataset"],
    "zeldo.engines.driver": ["View"],
    "zeldo.engines.registry": ["engine_class"],
    "zeldo.files.reference": ["read_initial_conditions", "write_initial_conditions"],
    "zeldo.initial.linear": ["initial_conditions"],
    "zeldo.initial.lpt": ["lpt_factors", "lpt_state"],
    "zeldo.initial.noise": ["white_noise"],
    "zeldo.networks": [
        "ModelCard",
        "Prediction",
        "StyledVNet",
        "VNet",
        "import_model",
        "load",
        "predict",
        "save",
    ],
    "zeldo.networks.inference": ["apply", "optimise"],
    "zeldo.networks.losses": ["by_scale", "momentum_error", "number_by_scale", "number_error", "paper_loss"],
    "zeldo.particles.provenance": ["Provenance"],
    "zeldo.reproduce.deoliveira2020": ["reproduce"],
    "zeldo.statistics": [
        "Bispectrum",
        "Halos",
        "MassFunction",
        "Multipoles",
        "Spectrum",
        "cross_power",
        "density_modes",
        "field_modes",
    ],
    "zeldo.store.runs": ["RunStore"],
    "zeldo.training.loop": ["TrainResult", "train"],
}
ENGINES = ["zeldovich", "2lpt", "cola", "pm", "p3m", "vnet", "emulator"]


def exported():
    """Functions and classes of the package itself; errors take a message like any exception."""
    for name in zeldo.__all__:
        item = getattr(zeldo, name)
        error = isinstance(item, type) and issubclass(item, Exception)
        if callable(item) and not inspect.ismodule(item) and not error:
            yield "zeldo", name


LISTED = [*exported(), *((module, name) for module, names in PUBLIC.items() for name in names)]


def section(text, title):
    """The entries under a title of a docstring, or None."""
    match = re.search(rf"\n{title}\n-{{{len(title)}}}\n(.*?)(?=\n\n\w+\n-+\n|\Z)", text, re.DOTALL)
    return match and match[1]


def described(text):
    """The names of the parameters that a docstring has entries for."""
    entries = section(text, "Parameters")
    headings = re.findall(r"^(\S[^:\n]*?)(?: :.*)?$", entries or "", re.MULTILINE)
    return [name.strip().lstrip("*") for heading in headings for name in heading.split(",")]


@pytest.mark.parametrize(("module", "name"), LISTED)
def test_every_parameter_has_its_entry(module, name):
    item = getattr(importlib.import_module(module), name)
    text = inspect.getdoc(item)
    assert described(text) == list(inspect.signature(item).parameters)
    assert text.splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    "name", [name for module, name in exported() if inspect.isroutine(getattr(zeldo, name))]
)
def test_every_function_says_what_it_returns(name):
    text = inspect.getdoc(getattr(zeldo, name))
    assert section(text, "Returns") or section(text, "Yields")


@pytest.mark.parametrize("name", ENGINES)
def test_every_option_of_an_engine_has_its_entry(name):
    cls = zeldo.engines.registry.engine_class(name)
    assert set(described(inspect.getdoc(cls))) >= set(cls.options()) - {"checkpoint", "checkpoint_minutes"}
