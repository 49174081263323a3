"""Formats whose users may say which units, velocities and particles they mean, in place of what a file says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from zeldo.cosmology.parameters import Cosmology
from zeldo.files.formats import Format
from zeldo.files.parted import PartedSource
from zeldo.particles.particles import Source


@dataclass(frozen=True)
class Asked:
    """What the caller says of a file, None where the file is to say it.

    Parameters
    ----------
    length, velocities : str, optional
        A name of `units.LENGTHS`, and of `units.VELOCITIES`.
    particle_type : int, optional
        Which particles to read.
    redshift : float, optional
        For files that do not say theirs.
    box : float, optional
        In the file's unit of lengths, for files whose header has it in another.
    """

    length: str | None = None
    velocities: str | None = None
    particle_type: int | None = None
    redshift: float | None = None
    box: float | None = None

    @property
    def box_note(self) -> list[str]:
        """That the box is not the file's, if so."""
        return [] if self.box is None else [f"box = {self.box:g} by option"]


class AskingFormat(Format):
    """A format of snapshots. It defines `source` in place of `open`."""

    @contextmanager
    def open(
        self,
        path: Path,
        cosmology: Cosmology | None = None,
        *,
        length: str | None = None,
        velocities: str | None = None,
        particle_type: int | None = None,
        box: float | None = None,
    ) -> Iterator[Source]:
        with closing(
            self.source(path, cosmology, Asked(length, velocities, particle_type, box=box))
        ) as source:
            yield source

    @abstractmethod
    def source(self, path: Path, fallback: Cosmology | None, asked: Asked) -> PartedSource:
        """The particles in the file at a path, with errors as those of `open`.

        `fallback` is the cosmology where the file does not say it.
        """
