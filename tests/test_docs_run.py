"""Every command and every block of code that the pages show is run here, or when the site is built, or stands in a list.

Commands of README and of two pages are run by test_readme.py. Cells of notebooks run in `make docs`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

import zeldo
from test_docs import PAGES, ROOT, name
from test_readme import RUNS, SMALL, small
from zeldo.commands import main
from zeldo.files.reference import write_initial_conditions

# what is not run, by the words that it holds, and why
SKIPPED = {
    "zeldo train configs/": "minutes to hours; tests/training trains smaller ones",
    "zeldo dataset configs/": "hours of N-body; tests/datasets makes smaller ones",
    "runs/emulator_tiny": "needs the training in the line above it",
    "for gpu in": "needs several GPUs",
    "for host in": "needs several machines",
}
# languages of blocks that are not code to run, and who looks at them
LANGUAGES = {
    "{code-cell} ipython3": "run when the site is built",
    "python": "test_docs.py runs it",
    "{code-block} python": "test_docs.py runs it",
    "bash": "below",
    "toml": "below",
    "docker": "needs docker and a network; read by people",
    "powershell": "needs Windows; read by people",
    "bibtex": "an entry to copy",
    "{toctree}": "Sphinx",
    "{include}": "Sphinx",
    "{literalinclude}": "Sphinx",
    "{eval-rst}": "Sphinx",
}
SHELL = (
    "#",
    "export ",
    "pip install ",
    "source ",
    "python3 -m venv ",
    "make ",
    "git ",
    "cd ",
    "mkdir ",
)  # lines of a shell beside zeldo's
SMALLER = {
    "0:10000": "0:2",
    "0:1000": "0:2",
    "/scratch/suite": "suite",
    " FILE": " snapshot.hdf5",
    " IN ": " snapshot.hdf5 ",
    "--box 62.5 -n 32": "--box 31.25 -n 16",
    "universe.zarr --memory 4GB": "large.zarr",
    "universe.zarr --memory 2GB": "large.zarr",
    "universe.zarr --box 1000 -n 512": "large.zarr --box 40 -n 20 --power eisenstein-hu",
    "--mesh 512": "--mesh 64",
}
MORE = {  # options that make a command short
    "zeldo reconstruct": ["--samples", "0", "--effort", "0.05"],
    "zeldo export-ics": [f"--{key}={value}" for key, value in SMALL.items()],
}


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of the fenced blocks."""
    return re.findall(r"^`{3}(\{?[\w-]+\}?(?: \w+)?)[^\n]*\n(.*?)^`{3}$", text, re.M | re.S)


def lines(text: str) -> list[str]:
    """Lines for a shell: indented ones that begin as zeldo, and those of bash blocks."""
    outside = re.sub(r"^`{3}.*?^`{3}$", "", text, flags=re.M | re.S)
    inside = [line for language, body in blocks(text) if language == "bash" for line in body.splitlines()]
    indented = re.findall(r"^ {4}((?:zeldo|make|for|export|pip|git|mkdir) .*)$", outside, re.M)
    return [re.split(r" +# ", line)[0].strip() for line in (*indented, *inside) if line.strip()]


def reason(line: str) -> str | None:
    return next((why for words, why in SKIPPED.items() if words in line), None)


SHOWN = {line: path for path in PAGES for line in lines(path.read_text(encoding="utf-8"))}
COMMANDS = [line for line in SHOWN if line.startswith("zeldo ") and line not in RUNS and not reason(line)]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """What the commands of the pages take: snapshots, a density, a table, weights."""
    import torch

    from zeldo.networks import VNet, import_model

    folder = tmp_path_factory.mktemp("files")
    ics = zeldo.initial_conditions(power="eisenstein-hu", **SMALL)
    (snapshot,) = zeldo.run(ics=ics, engine="2lpt")
    (larger,) = zeldo.run(engine="2lpt", power="eisenstein-hu", n=20, box=40)  # enough for bispectra
    for file, particles in {"snapshot": snapshot, "universe": snapshot, "a": larger, "b": larger}.items():
        zeldo.write(particles, folder / f"{file}.hdf5")
    zeldo.run(engine="2lpt", power="eisenstein-hu", n=20, box=40, output=folder / "large.zarr")
    (folder / "runs").mkdir()
    (folder / "snapdir_004").mkdir()
    zeldo.convert(folder / "a.hdf5", folder / "snapdir_004" / "snap_004.hdf5", write_options={"files": 2})
    write_initial_conditions(ics, folder / "ics.npz")
    np.save(folder / "density.npy", 1 + np.random.default_rng(1).normal(0, 0.1, (16, 16, 16)))
    (folder / "table.csv").write_text("omega_m,sigma_8\n0.3,0.8\n0.25,0.9\n")
    torch.manual_seed(1)
    torch.save({"model": VNet(channels=4).state_dict()}, folder / "paper.pt")
    import_model(folder / "paper.pt", folder / "paper.safetensors")
    return folder


@pytest.mark.parametrize("line", COMMANDS, ids=[f"{name(SHOWN[line])}: {line}" for line in COMMANDS])
def test_a_command_works(line, files, tmp_path, monkeypatch):
    folder = shutil.copytree(files, tmp_path / "here")
    monkeypatch.chdir(folder)
    for text, by in SMALLER.items():
        line = line.replace(text, by)
    more = [word for begin, words in MORE.items() if line.startswith(begin) for word in words]
    arguments = small(line) if line.startswith("zeldo run") else shlex.split(line)[1:]
    assert main([*arguments, *more]) == 0
    for output in re.findall(r"-o (\S+)", line):
        assert (folder / output).exists() or list(folder.glob(f"{Path(output).stem}_*"))


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_no_block_is_of_an_unknown_language(path):
    assert {language for language, _ in blocks(path.read_text(encoding="utf-8"))} <= set(LANGUAGES)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_line_for_a_shell_is_known(path):
    for line in lines(path.read_text(encoding="utf-8")):
        assert line.startswith(("zeldo ", *SHELL)) or reason(line), line
        for target in re.findall(r"^make (\w+)", line):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), line


def test_toml_is_toml():
    for path in PAGES:
        for language, body in blocks(path.read_text(encoding="utf-8")):
            if language == "toml":
                assert tomllib.loads(body)


def test_what_is_skipped_is_there():
    assert all(any(words in line for line in SHOWN) for words in SKIPPED)
