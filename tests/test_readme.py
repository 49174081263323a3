"""What README and two pages of docs tell people to type, and the examples, all of it run on small universes."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import zeldo
from zeldo.commands import main
from zeldo.files.reference import write_initial_conditions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("method/p3m.md", "emulator.md")]
SMALL = {"n": 16, "box": 31.25}  # the lattice spacing of the defaults
# in Python code: the sizes, and what leads to a box of 64^3
SMALLER = {
    "box=250, n=128": "box=31.25, n=16",
    "range(10)": "range(2)",
    'zeldo.read_reference(zeldo.reference_path("small"))': "universe",
}


def commands(text: str, program: str) -> list[str]:
    """Lines of code that call a program, without their comments."""
    lines = re.findall(rf"^    ({program} .*)$", text, re.MULTILINE)
    return [line.partition("#")[0].strip() for line in lines]


def small(command: str) -> list[str]:
    """The arguments of a zeldo command, with SMALL where nothing else fixes the universe."""
    arguments = shlex.split(command)[1:]
    if arguments[0] == "run" and "--ics" not in arguments:
        for name in ("--n", "-n", "--box"):
            if name in arguments:
                del arguments[arguments.index(name) : arguments.index(name) + 2]
        fixed = ("box",) if "--phases" in arguments else ()  # a simulation's name brings its box
        arguments += [f"--{name}={value}" for name, value in SMALL.items() if name not in fixed]
    return arguments


def smaller(code: str) -> str:
    for text, by in SMALLER.items():
        code = code.replace(text, by)
    return code


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with the field that README speaks of."""
    monkeypatch.chdir(tmp_path)
    write_initial_conditions(zeldo.initial_conditions(power="eisenstein-hu", **SMALL), "my_field.npz")
    return tmp_path


RUNS = [
    *commands(README, "zeldo"),
    *(line for page in PAGES for line in commands(page, "zeldo") if not line.endswith("...")),
]


def test_the_commands_are_there():
    assert len(commands(README, "zeldo")) == 8 and len(RUNS) == 13


@pytest.mark.parametrize("command", RUNS)
def test_a_command_does_what_it_is_said_to(command, folder, capsys):
    if command.startswith("zeldo measure"):  # what an earlier line has made
        (earlier,) = (line for line in RUNS if line.endswith(" -o mock.hdf5"))
        assert main(small(earlier)) == 0
    if command.startswith("zeldo compare mine"):
        for name in ("mine.hdf5", "truth.npz"):
            assert main(["run", "--ics", "my_field.npz", "--engine", "2lpt", "-o", name]) == 0
    given = {path.name for path in folder.iterdir()}
    assert main(small(command)) == 0
    made = [path.name for path in folder.iterdir() if path.name not in given]
    named = re.search(r"-o (\S+)", command)
    stem = Path(named[1]).stem if named else "zeldo"
    redshifts = len(re.findall(r"--redshift|-z ", command))
    assert len(made) == max(redshifts, 1) and all(name.startswith(stem) for name in made)


def test_make_knows_its_targets():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"`make ([a-z]+)`", README) + [line.split()[1] for line in commands(README, "make")]
    assert {"demo", "test", "bench"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for target in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split():
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_python_of_readme_runs(folder):
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(smaller(code), names)
    assert names["snapshot"].n == SMALL["n"]
    assert (names["spectrum"].power > 0).all()


def test_mocks_prints_a_spectrum(folder, capsys):
    run_example("mocks.py", {})
    lines = re.findall(r"^k = (\S+) h/Mpc: P = +(\S+) \+- +(\S+) ", capsys.readouterr().out, re.MULTILINE)
    waves, power, scatter = np.array(lines, float).T
    assert len(lines) == 5 and (np.diff(waves) > 0).all() and (np.diff(power) < 0).all()
    assert (scatter > 0).all() and (scatter < power).all()


def test_picture_is_drawn(folder):
    ics = zeldo.initial_conditions(power="eisenstein-hu", **SMALL)
    universe = ics, {0.0: zeldo.run(ics=ics, engine="2lpt")[0]}
    run_example("picture.py", {"universe": universe})
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")


def run_example(name: str, names: dict) -> None:
    """An example as a program, that is told to write picture.png."""
    path = Path(name)
    path.write_text(smaller((ROOT / "examples" / name).read_text()))
    given, sys.argv = sys.argv, [name, "picture.png"]
    try:
        runpy.run_path(str(path), init_globals=names, run_name="__main__")
    finally:
        sys.argv = given


def test_no_example_is_left_out():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == {"mocks.py", "picture.py"}
