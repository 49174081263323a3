"""The documentation: what it tells to type is right, it leaves no public name out, and its sentences are short.

Tutorials run when the site is built (`make docs`), which also checks links and cross-references.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
import shlex
import sys
from pathlib import Path

import pytest

import zeldo
from test_readme import folder, smaller  # noqa: F401 (a fixture)
from zeldo.commands import app, main

DOCS = Path(__file__).parents[1] / "docs"
sys.path.append(str(DOCS / "_ext"))
generated_pages = pytest.importorskip("generated_pages", reason="the documentation is not here")
api_pages = importlib.import_module("api_pages")
configuration_page = importlib.import_module("configuration_page")

GENERATED = ("reference/api/", "reference/command", "reference/conf", "reference/model", "validation/bars")
SCRIPTS = {path.with_suffix(".md") for path in DOCS.glob("tutorials/*.py")}  # made into pages by the build
PAGES = [
    path
    for path in sorted(DOCS.rglob("*.md"))
    if path not in SCRIPTS and not str(path.relative_to(DOCS)).startswith(GENERATED)
]
ROOT = DOCS.parent
PROSE = [*PAGES, *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG"))]
LONGEST = 30  # words of a sentence


def name(path: Path) -> str:
    return str(path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT))


def typed(path: Path) -> list[str]:
    """Lines that call zeldo: indented, in blocks of a shell, and in cells for a shell."""
    text = path.read_text(encoding="utf-8")
    lines = re.findall(r"^(?: {4}|%%bash\n)(zeldo .*)$", text, re.MULTILINE)
    for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        lines += re.findall(r"^(zeldo .*)$", block, re.MULTILINE)
    return [re.split(r" +#| \|\| ", line)[0].strip() for line in lines]


TYPED = [(path, line) for path in PAGES for line in typed(path)]


@pytest.mark.parametrize(("path", "line"), TYPED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_command_has_the_options_that_it_is_given(path, line):
    line = line.replace("$SLURM_ARRAY_TASK_ID", "1").removesuffix(" ...")
    command, bound, _ = app().parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)
    assert command is not None and bound is not None


CONFIGS = sorted({word for _, line in TYPED for word in line.split() if word.startswith("configs/")})


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_that_is_named_is_there(config):
    assert (DOCS.parent / config).exists()


PYTHON = {
    path: blocks
    for path in PAGES
    if (
        blocks := re.findall(
            r"^```(?:python|{code-block} python)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S
        )
    )
}
SMALLER = {
    "n=64": "n=16",
    "box=125": "box=31.25",
    "n=512, box=1000, seed=7, side=128, buffer=16": "n=32, box=62.5, side=16, buffer=4",
    'seeds="0:100"': 'seeds="0:4"',
    "random(20)": "random(3)",
    # steps and universes take all the time; the covariance of the values of 8^3 particles needs no more
    '"cola", "power"': '"cola:steps=2", "power"',
    '"cola", large_scales': '"cola:steps=2", large_scales',
    "box=250, n=32, realisations=50": "box=62.5, n=8, realisations=7",
}


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_python_runs(path, folder):  # noqa: F811
    """The blocks of a page, one after the other; those for clusters, which start processes, are compiled only."""
    names = {"__name__": "a page"}
    for code in PYTHON[path]:
        for text, by in SMALLER.items():
            code = code.replace(text, by)
        compiled = compile(smaller(code), name(path), "exec")
        if "dask" not in code:
            exec(compiled, names)


def test_no_public_name_is_left_out():
    pages = "\n".join(api_pages.api_pages().values())
    for public_name in zeldo.__all__:
        item = getattr(zeldo, public_name)
        if api_pages.documented(item):
            assert f":: zeldo.{public_name}\n" in pages, public_name


def test_the_index_by_task_leaves_no_public_name_out():
    page = (DOCS / "reference" / "by-task.md").read_text(encoding="utf-8")
    for public_name in zeldo.__all__:
        if api_pages.documented(getattr(zeldo, public_name)):
            assert f"`zeldo.{public_name}`" in page, public_name
    for command in app():
        if not command.startswith("-"):
            assert f"`zeldo {command}" in page, command


def undocumented(item: type) -> list[str]:
    """Methods and properties of a class, of its own or of this package's classes above it, without a docstring."""
    return [
        f"{above.__name__}.{key}"
        for above in item.__mro__
        if above.__module__.startswith("zeldo")
        for key, value in vars(above).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(above, key))
    ]


def test_every_public_name_says_what_it_is():
    bare = []
    for names in api_pages.public().values():
        for module, public_name in names:
            item = getattr(importlib.import_module(module), public_name)
            bare += [] if item.__doc__ and item.__doc__.strip() else [public_name]
            bare += undocumented(item) if inspect.isclass(item) else []
    assert not bare


def imported(text: str) -> set[tuple[str, str]]:
    """Module and name of what the Python code of a page imports from a module below zeldo."""
    lines = re.findall(r"^from (zeldo\.[\w.]+) import ([\w, ]+)$", text, re.M)
    return {(module, each.strip()) for module, names in lines for each in names.split(",")}


def test_what_pages_import_is_in_the_reference():
    listed = [
        getattr(importlib.import_module(module), name)
        for names in api_pages.public().values()
        for module, name in names
    ]
    modules = {getattr(item, "__module__", "") for item in listed}
    pages = [*PAGES, *(DOCS / "tutorials").glob("*.py")]
    wanted = {pair for path in pages for pair in imported(path.read_text(encoding="utf-8"))}
    assert ("zeldo.report.slices", "slice_figure") in wanted
    for module, name in sorted(wanted):
        item = getattr(importlib.import_module(module), name, None)
        if item is None or inspect.ismodule(item):
            assert f"{module}.{name}" in modules, f"{module}.{name}"
        else:
            assert item in listed, f"{module}.{name}"


def test_every_command_is_in_the_reference():
    page = generated_pages.command_line()
    for command in app():
        if not command.startswith("-"):
            assert f"## zeldo {command}\n" in page


@pytest.mark.parametrize("model", configuration_page.FILES)
def test_every_key_of_a_configuration_says_what_it_is(model):
    for kind in (model, *(inner for inner, _ in configuration_page.inner_tables(model))):
        for key, field in kind.model_fields.items():
            assert field.description, f"{kind.__name__}.{key}"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_headings_go_down_by_single_steps(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.M)]
    assert levels[:1] in ([1], []) and levels.count(1) <= 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


END = re.compile(r"(?<=[.:;!?])(?<!et al\.)\s+")


def sentences(text: str) -> list[str]:
    """The sentences of the prose of a page and of its tables' cells, without code and formulas."""
    text = re.sub(r"\A---\n.*?^---$", "", text, flags=re.M | re.S)
    text = re.sub(r"^(```|\$\$).*?(^```$|\$\$$)", "", text, flags=re.M | re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    cells = [
        cell for line in text.split("\n") if line.startswith("|") for cell in re.split(r"(?<!\\)\|", line)
    ]
    kept = [line for line in text.split("\n") if not re.match(r"\||#| {4}\S|!\[", line)]
    paragraphs = re.split(r"\n\s*\n|\n(?=[*\d]+\.? )", "\n".join(kept))
    return [" ".join(sentence.split()) for part in (*paragraphs, *cells) for sentence in END.split(part)]


@pytest.mark.parametrize("path", PROSE, ids=name)
def test_sentences_are_short(path):
    long = [
        sentence
        for sentence in sentences(path.read_text(encoding="utf-8"))
        if len(sentence.split()) > LONGEST
    ]
    assert not long


def test_the_length_of_a_sentence_is_noticed():
    long = "word " * 40 + "end."
    for text in (f"A b c. {long}\n", f"| a | b. {long} |\n"):
        assert max(len(sentence.split()) for sentence in sentences(text)) == 41


def test_a_wrong_option_is_noticed():
    assert main(["run", "--enginee", "cola"]) == 2


def test_a_script_becomes_a_page_with_its_cells():
    script = '"""Doc."""\n\n# %% [markdown]\n# # Title\n#\n# Text.\n\n# %%\nn = 64\n'
    page = importlib.import_module("script_pages").page(script, {"n = 64": "n = 8"})
    assert "# Title\n\nText." in page and "```{code-cell} ipython3\nn = 8\n```" in page
    with pytest.raises(LookupError, match="n = 32"):
        importlib.import_module("script_pages").page(script, {"n = 32": "n = 8"})
