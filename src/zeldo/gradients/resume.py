"""Where a reconstruction stands, on disk: a killed run goes on from here."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from zeldo.errors import InputError
from zeldo.files.archive import names_in, read_arrays
from zeldo.files.atomic import check_writable, writing
from zeldo.version import __version__

if TYPE_CHECKING:
    from zeldo.gradients.posterior import Posterior


@dataclass
class Memory:
    """A file of arrays by name.

    Parameters
    ----------
    path : Path
        Ends in .npz.
    key : str
        Tells one reconstruction from all others.
    minutes : float
        The time between two writes.
    """

    path: Path
    key: str
    minutes: float

    def __post_init__(self) -> None:
        if self.path.suffix != ".npz":
            raise InputError(f"checkpoint {self.path} is not allowed: give a name that ends in .npz")
        check_writable(self.path)
        self._written = monotonic()

    @classmethod
    def of(
        cls, path: str | os.PathLike[str], posterior: Posterior, options: dict[str, Any], minutes: float
    ) -> Memory:
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
        if not self.path.exists():
            return {}
        names = names_in(self.path)
        if "key" not in names:
            raise InputError(f"{self.path} is not a checkpoint: give another name")
        values = read_arrays(self.path, names)
        if str(values.pop("key")) != self.key:
            raise InputError(
                f"checkpoint {self.path} belongs to another reconstruction: remove it or give another name"
            )
        return values

    def due(self) -> bool:
        """Whether it is time to write."""
        return monotonic() - self._written >= 60 * self.minutes

    def save(self, values: dict[str, np.ndarray]) -> None:
        """Write the arrays."""
        size = sum(value.nbytes for value in values.values())
        with writing(self.path, size) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, key=np.array(self.key), **values)  # type: ignore[arg-type]
        self._written = monotonic()

    def remove(self) -> None:
        """Remove the file: the work is done."""
        with suppress(FileNotFoundError):
            self.path.unlink()
