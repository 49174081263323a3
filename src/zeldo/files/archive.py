"""Reading NumPy's files from untrusted sources: nothing is unpickled, and every fault is reported in one line."""

from __future__ import annotations

import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError, InputError


def existing_file(path: str | os.PathLike) -> Path:
    """The path, if it is a file; otherwise `InputError`."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory: give the path of a file")
    if not path.is_file():
        raise InputError(f"{path} does not exist: check the path")
    return check_readable(path)


def check_readable(path: Path) -> Path:
    """The path, unless it exists and its permissions forbid to read it; otherwise `InputError`."""
    if path.exists() and not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read: give yourself permission, as by chmod u+r")
    return path


def names_in(path: Path) -> list[str]:
    """The names of the arrays in an npz file. `DamagedFileError` where it is not an npz file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError) as error:
        raise unreadable(path, error) from error


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The named arrays of an npz file. `DamagedFileError` where one is missing, truncated or pickled."""
    present = names_in(path)
    names = list(names)
    missing = [name for name in names if name not in present]
    if missing:
        raise DamagedFileError(
            f"{path} lacks {', '.join(missing)}: it has {', '.join(present) or 'nothing'}; give a complete file"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
        SyntaxError,
        tokenize.TokenError,
        MemoryError,
    ) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> DamagedFileError:
    """The error to raise for an npz file that cannot be read."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return DamagedFileError(
        f"{path} is not a readable npz file ({reason}): it is damaged or incomplete, {AGAIN}"
    )
