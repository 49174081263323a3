"""Files of a report: written beside and renamed, so that no half-written one bears the final name."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zeldo._version import __version__
from zeldo.errors import InputError
from zeldo.statistics.comparison import Comparison


def make_directory(directory: str | os.PathLike[str]) -> Path:
    """The directory, made where absent. `InputError` where a file has its name."""
    path = Path(directory)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: a report needs a directory; give another name")
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` as UTF-8 under `path`, all of it or nothing. Raises `OSError` where the disk does."""
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def plain(value: Any) -> Any:
    """`value` as JSON has it: arrays as lists, numbers that are not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def write_json(comparisons: Sequence[Comparison], path: str | os.PathLike[str], **extra: object) -> Path:
    """Write `{"zeldo": version, **extra, "comparisons": [...]}`, each by its `to_dict()`; nan is null."""
    content = {"zeldo": __version__, **extra, "comparisons": [one.to_dict() for one in comparisons]}
    return write_text(path, json.dumps(plain(content), indent=1, allow_nan=False) + "\n")
