"""The version of zeldo: that of the installed distribution, with the commit whose code runs.

An editable install keeps the version of the day it was made. So in a git checkout the commit after the "+" is that which is
checked out, with ".dirty" where tracked files differ from it.
"""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]  # of src/zeldo; elsewhere it holds no .git


def checked_out(root: Path) -> str | None:
    """The commit of a git checkout, as in "g93175eaf5" or "g93175eaf5.dirty"; None elsewhere, and without git."""
    if not (root / ".git").exists():
        return None
    # without locks, which the processes of a suite would contend for
    command = [
        "git",
        "--no-optional-locks",
        "describe",
        "--always",
        "--dirty",
        "--abbrev=9",
        "--exclude",
        "*",
    ]
    try:
        run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return "g" + run.stdout.strip().replace("-", ".")


def running(installed: str, commit: str | None) -> str:
    """The version of the code that runs, from that of the installed distribution and the commit that is checked out."""
    return installed if commit is None else f"{installed.partition('+')[0]}+{commit}"


try:
    __version__ = running(version("zeldo"), checked_out(CHECKOUT))
except PackageNotFoundError:  # a source tree on the path that nobody installed
    __version__ = running("0+unknown", checked_out(CHECKOUT))
