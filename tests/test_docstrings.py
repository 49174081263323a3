"""Public docstrings have numpydoc's form, so that an API site can be made of them, and name every parameter."""

import ast
import importlib
import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import zeldo

# beside everything in `zeldo.__all__`
PUBLIC = {
    "zeldo.comparing": ["CompareResult", "warm_up"],
    "zeldo.cosmology.background": ["omega_m_at"],
    "zeldo.cosmology.power": ["LinearPower", "check_model"],
    "zeldo.cosmology.redshifts": ["distinct_redshifts", "nearest_redshift", "same_redshift"],
    "zeldo.datasets.dataset": ["make_dataset"],
    "zeldo.doctor": ["diagnose"],
    "zeldo.engines.checks": ["check_number", "check_whole"],
    "zeldo.engines.driver": ["View"],
    "zeldo.engines.leapfrog": ["Leapfrog"],
    "zeldo.engines.registry": ["engine_class"],
    "zeldo.engines.state": ["Dynamics"],
    "zeldo.engines.steppers": ["BullFrog", "FastPM"],
    "zeldo.engines.stepping": ["Stepping"],
    "zeldo.engines.table": ["timetable"],
    "zeldo.files.reference": ["read_initial_conditions", "write_initial_conditions"],
    "zeldo.files.universe_zarr": ["UniverseZarr"],
    "zeldo.files.white_noise": ["read_white_noise", "write_white_noise"],
    "zeldo.gradients.assess": ["Agreement", "Assessment", "assess"],
    "zeldo.gradients.statistics": [
        "density",
        "equilateral_bispectrum",
        "multipoles",
        "power_spectrum",
        "redshift_space",
    ],
    "zeldo.initial.linear": ["initial_conditions"],
    "zeldo.initial.lpt": ["linear_displacement", "lpt_factors", "lpt_state"],
    "zeldo.initial.ngenic": ["NGenIC"],
    "zeldo.initial.noise": ["white_noise"],
    "zeldo.initial.phases": ["Native"],
    "zeldo.initial.white_noise": ["noise_of"],
    "zeldo.mesh.gravity": ["gravity"],
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
    "zeldo.networks.losses": ["momentum_error", "number_error", "paper_loss"],
    "zeldo.networks.scales": ["by_density", "by_scale", "number_by_scale"],
    "zeldo.particles.provenance": ["Provenance"],
    "zeldo.networks.tasks": ["make_task", "register"],
    "zeldo.report.slices": ["slice_figure"],
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
    "zeldo.suites.arrays": ["SuiteArrays"],
    "zeldo.training.loop": ["TrainResult", "train"],
    "zeldo.volumes.fields": ["VolumeFields"],
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


PACKAGE = Path(zeldo.__file__).parent
LONGEST = 30  # words of a sentence


def sentences(text: str) -> Iterator[str]:
    """The sentences of a docstring's prose: lines of one indent, without headings, code and lists in columns."""
    lines = [line for line in text.split("\n") if not re.search(r"^\s*-+$|\S {3,}\S| : ", line)]
    for _, group in itertools.groupby(
        lines, key=lambda line: len(line) - len(line.lstrip()) if line.strip() else None
    ):
        yield from re.split(r"(?<=[.:;!?])(?<!et al\.)\s+", " ".join(line.strip() for line in group))


def docstrings(source: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield getattr(node, "name", "the module"), ast.get_docstring(node) or ""


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_sentences_are_short(path):
    """Those of internal names, too: a docstring is there to be read."""
    long = {
        name: sentence
        for name, text in docstrings(path.read_text(encoding="utf-8"))
        for sentence in sentences(text)
        if len(sentence.split()) > LONGEST
    }
    assert not long


def test_a_long_sentence_is_noticed():
    text = (
        "A line.\n\nParameters\n----------\na : int\n    " + "word " * 20 + "\n    " + "word " * 20 + "end."
    )
    assert max(len(sentence.split()) for sentence in sentences(text)) == 41
