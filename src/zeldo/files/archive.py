"""Reading NumPy's files from untrusted sources: nothing is unpickled, and every fault is reported in one line."""

from __future__ import annotations

import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError, InputError
from zeldo.files.formats import DAMAGED

# what zipfile and NumPy raise for bad files
BROKEN = (*DAMAGED, zipfile.BadZipFile, zlib.error, SyntaxError, tokenize.TokenError, MemoryError)


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
    with readable(path), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The named arrays of an npz file. `DamagedFileError` where one is missing, truncated or pickled."""
    present = names_in(path)
    names = list(names)
    missing = [name for name in names if name not in present]
    if missing:
        raise DamagedFileError(
            f"{path} lacks {', '.join(missing)}: it has {', '.join(present) or 'nothing'}; give a complete file"
        )
    with readable(path), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in names}


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever the reading of an npz file raises inside into a `DamagedFileError` of one line."""
    try:
        yield
    except DamagedFileError:
        raise
    except BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFileError(
            f"{path} is not a readable npz file ({reason}): it is damaged or incomplete, {AGAIN}"
        ) from error


def read_npy(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """The array of an npy file. `DamagedFileError` where it is truncated or pickled."""
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except BROKEN as error:
        reason = " ".join(str(error).split())
        raise DamagedFileError(f"{path} is not a readable npy file ({reason}); {AGAIN}") from error
