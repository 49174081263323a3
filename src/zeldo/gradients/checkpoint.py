"""Where a reconstruction stands, on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.store.checkpoint import CheckpointFile
from zeldo.version import __version__

if TYPE_CHECKING:
    from zeldo.gradients.posterior import Posterior


class SearchCheckpoint(CheckpointFile):
    """The arrays of a search by name; the parameters are those of `CheckpointFile`."""

    others = "another reconstruction"

    @classmethod
    def of(
        cls, path: str | os.PathLike[str], posterior: Posterior, options: dict[str, Any], minutes: float
    ) -> SearchCheckpoint:
        """The file of a reconstruction, which its posterior and options tell from others.

        Files of weights and of linear power count by what is in them.
        """
        f, seen = posterior.function, posterior.observation
        facts = [
            f.box,
            f.n,
            f.redshift,
            f.cosmology.to_dict(),
            f.engine.weights_hash,
            options,
            __version__.split("+")[0],
        ]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
        for field in (f.delta_amplitude, seen.delta, seen.relative):  # the error of a cell, or none
            digest.update(b"" if field is None else field.cpu().numpy().tobytes())
        return cls(Path(path), digest.hexdigest(), minutes)

    def load(self) -> dict[str, np.ndarray]:
        """The arrays; empty where there is no file.

        Raises `InputError` where the file belongs to another reconstruction, `DamagedFileError` where it is not whole.
        """
        return self._read(self.path) if self.path.exists() else {}

    def save(self, values: Mapping[str, np.ndarray]) -> None:
        """Write the arrays."""
        self._write(self.path, values)

    def remove(self) -> None:
        """Remove the file: the work is done."""
        self.path.unlink(missing_ok=True)
