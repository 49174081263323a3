"""Rows that are spread over the parts of a set: a source that reads them one after another, and a sink."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from zeldo.errors import InputError
from zeldo.files.formats import Sink
from zeldo.keywords import scalar
from zeldo.particles.particles import FIELDS, Header, Source

MOST_FILES = 100_000


def split(count: int, files: int) -> list[int]:
    """Rows of each of several files, as even as can be. `InputError` for a number of files that is not allowed."""
    files = scalar(files)
    if not isinstance(files, int) or not 1 <= files <= MOST_FILES:
        raise InputError(f"files = {files!r} is not allowed: give a whole number from 1 to {MOST_FILES}")
    return [count // files + (number < count % files) for number in range(files)]


class PartedSink(Sink):
    """Writes rows that are spread over parts. A format defines `store` and `close`, and `converted` where numbers change.

    Parameters
    ----------
    header, fields
        As in `Sink`.
    counts : sequence of int
        Rows in each part.
    """

    def __init__(self, header: Header, fields: Mapping[str, np.dtype], counts: Sequence[int]) -> None:
        super().__init__(header, fields)
        self.counts = counts
        self._ends = np.cumsum(counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    @abstractmethod
    def store(self, part: int, field: str, start: int, values: np.ndarray) -> None:
        """Write the next rows of a part, the first of which is its row `start`."""

    def converted(self, field: str, values: np.ndarray) -> np.ndarray:
        """Rows as the file has them."""
        return values

    def put(self, field: str, start: int, values: np.ndarray) -> None:
        values = self.converted(field, values)
        while len(values):
            part = int(np.searchsorted(self._ends, start, side="right"))
            left = int(self._ends[part]) - start
            self.store(part, field, self.counts[part] - left, values[:left])
            values, start = values[left:], start + left


class PartedSource(Source):
    """Reads rows that are spread over parts. A format defines `stored`, and `converted` where numbers change.

    Parameters
    ----------
    name, header, fields
        As in `Source`.
    counts : sequence of int
        Rows in each part.
    """

    def __init__(
        self, name: str, header: Header, fields: Mapping[str, np.dtype], counts: Sequence[int]
    ) -> None:
        super().__init__(name, header, fields)
        self._begins = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])

    def close(self) -> None:
        """Close what is open."""
        return

    @abstractmethod
    def stored(self, part: int, field: str, start: int, stop: int) -> np.ndarray:
        """Rows start to stop of a part, as the file has them."""

    def converted(self, field: str, values: np.ndarray) -> np.ndarray:
        """Rows in zeldo's units, of the field's type."""
        return values

    def rows(self, field: str, start: int, stop: int) -> np.ndarray:
        first = int(np.searchsorted(self._begins, start, side="right")) - 1
        pieces = []
        for part in range(first, len(self._begins) - 1):
            begin, end = int(self._begins[part]), int(self._begins[part + 1])
            if begin >= stop:
                break
            if end > max(start, begin):
                pieces.append(self.stored(part, field, max(start, begin) - begin, min(stop, end) - begin))
        if not pieces:
            return np.empty((0, *FIELDS[field]), dtype=self.fields[field])
        return self.converted(field, pieces[0] if len(pieces) == 1 else np.concatenate(pieces))


class Scaled(PartedSource):
    """A source whose positions, velocities and masses are the stored numbers times a factor each.

    Parameters
    ----------
    factors : mapping of str to float
        By field; 1 where absent.
    """

    def __init__(
        self,
        name: str,
        header: Header,
        fields: Mapping[str, np.dtype],
        counts: Sequence[int],
        factors: Mapping[str, float],
    ) -> None:
        # a product in float32 would round positions once more
        wide = {
            field: np.dtype(np.float64)
            if field != "velocities" and factors.get(field, 1.0) != 1.0
            else dtype.newbyteorder("=")
            for field, dtype in fields.items()
        }
        super().__init__(name, header, wide, counts)
        self.stored_fields = {field: dtype.newbyteorder("=") for field, dtype in fields.items()}
        self._factors = factors

    def converted(self, field: str, values: np.ndarray) -> np.ndarray:
        factor = self._factors.get(field, 1.0)
        if factor == 1.0:
            return np.asarray(values, dtype=self.fields[field])
        return np.multiply(values, self.fields[field].type(factor), dtype=self.fields[field])
