"""The version is the repository's, and is asked for only where it is used."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import zeldo
from zeldo.version import __version__

ROOT = Path(__file__).parents[1]


def test_the_version_is_that_of_the_installed_distribution():
    assert zeldo.__version__ == __version__ == version("zeldo")
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?(\+\S+)?", __version__)


def test_a_source_tree_that_nobody_installed_has_a_version_too(monkeypatch):
    from importlib import metadata, reload

    from zeldo import version as module

    def lacking(name):
        raise metadata.PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", lacking)
        assert reload(module).__version__ == "0+unknown"
    assert reload(module).__version__ == version("zeldo")


def test_a_tree_without_git_can_be_built(tmp_path):
    pytest.importorskip("hatch_vcs")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert re.match(r"\d+\.\d+\.\d+", run.stdout), run.stderr
