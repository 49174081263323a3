"""What particles were made by: the version of the code, the engine's revision, and the weights of its networks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import Any

from zeldo.version import __version__


@dataclass(frozen=True)
class Provenance:
    """What determines the results of a run besides its universe and options. None or "" where it is unknown.

    Parameters
    ----------
    version : str
        Version of zeldo, or of another code.
    revision : int or None
        Revision of the engine, which rises when the same options give other results.
    weights : str or None
        sha256 of the file of a network's weights; of two files, joined by "+".
    """

    version: str = __version__
    revision: int | None = None
    weights: str | None = None

    @classmethod
    def of(cls, engine: Any) -> Provenance:
        """The provenance of what an engine makes with this version of zeldo."""
        return cls(__version__, getattr(engine, "revision", 1), getattr(engine, "weights_hash", None))

    @classmethod
    def in_row(cls, values: Mapping[str, Any]) -> Provenance:
        """The provenance among the entries of a record. An older one may lack some."""
        return cls(values["version"], values.get("revision"), values.get("weights"))

    @property
    def key(self) -> str:
        """Equal for results that may be mixed or resumed."""
        return f"{minor_version(self.version)} {self.revision} {self.weights}"

    def clash(self, other: Provenance) -> str | None:
        """Why results of two provenances must not be mixed. An entry that is unknown on either side is no reason.

        Parameters
        ----------
        other : Provenance
            Of the results that exist already.

        Returns
        -------
        str or None
            The first difference in words, or None.
        """
        pairs = (
            ("version", minor_version(self.version), minor_version(other.version)),
            ("engine revision", self.revision, other.revision),
            ("weights of sha256", self.weights and self.weights[:8], other.weights and other.weights[:8]),
        )
        for quantity, ours, theirs in pairs:
            if ours is not None and theirs is not None and ours != theirs:
                return f"{quantity} {theirs} there, {ours} here"
        return None


PROVENANCE = tuple(field.name for field in fields(Provenance))


def minor_version(version: str) -> str | None:
    """ "0.2" of "0.2.1.dev3+g1234"; None where the text is no version of that form."""
    match = re.match(r"\d+\.\d+", version)
    return match[0] if match else None


def weights_hash(*paths: str | os.PathLike[str]) -> str:
    """sha256 of files of weights in hexadecimal, joined by "+"."""
    return "+".join(
        _hash(str(path), (status := Path(path).stat()).st_mtime_ns, status.st_size) for path in paths
    )


@lru_cache(maxsize=16)
def _hash(path: str, modified: int, size: int) -> str:
    return file_hash(path)


def file_hash(path: str | os.PathLike[str]) -> str:
    """sha256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()
