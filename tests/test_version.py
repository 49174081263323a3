"""The version is the repository's, and is asked for only where it is used."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import zeldo
from zeldo.version import __version__, checked_out, running

ROOT = Path(__file__).parents[1]


def test_the_version_is_that_of_the_installed_distribution():
    assert zeldo.__version__ == __version__
    assert __version__.partition("+")[0] == version("zeldo").partition("+")[0]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?(\+\S+)?", __version__)


def test_a_source_tree_that_nobody_installed_has_a_version_too(monkeypatch):
    from importlib import metadata, reload

    from zeldo import version as module

    def lacking(name):
        raise metadata.PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", lacking)
        assert reload(module).__version__.startswith("0+")
    assert reload(module).__version__ == __version__


def test_the_commit_is_that_which_is_checked_out(tmp_path):
    """An editable install keeps the version of the day it was made, while the code moves on."""

    def git(*arguments):
        options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *options, "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    assert checked_out(tmp_path) is None
    git("init")
    assert checked_out(tmp_path) is None  # no commit yet
    code = tmp_path / "code.py"
    seen = []
    for text in ("1", "2"):
        code.write_text(text)
        git("add", "code.py")
        git("commit", "-m", text)
        seen.append(checked_out(tmp_path))
    assert len(set(seen)) == 2 and all(re.fullmatch("g[0-9a-f]{9,}", commit) for commit in seen)
    code.write_text("3")
    assert checked_out(tmp_path) == f"{seen[1]}.dirty"
    assert running("0.2.0.dev655+g93175eaf5", seen[0]) == f"0.2.0.dev655+{seen[0]}"
    assert running("0.2.0", None) == "0.2.0"


def test_a_tree_without_git_can_be_built(tmp_path):
    pytest.importorskip("hatch_vcs")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert re.match(r"\d+\.\d+\.\d+", run.stdout), run.stderr
