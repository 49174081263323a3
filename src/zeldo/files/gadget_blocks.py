"""Where the blocks of a Gadget binary file are. Lengths in its records wrap at 4 GiB: the counts of the header decide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeldo.errors import AGAIN, DamagedFileError
from zeldo.files.gadget_header import SIZE, BinaryHeader, ByteOrder, gadget4_types, parse

LABELS = {"POS ": "positions", "VEL ": "velocities", "ID  ": "ids", "MASS": "masses"}
ORDER = ("positions", "velocities", "ids", "masses")  # of the blocks of format 1
WRAP = 2**32
LABEL = 8  # bytes of the record that names a block in format 2


@dataclass(frozen=True)
class Block:
    """A block of all types: where its numbers begin, and their type."""

    offset: int
    dtype: np.dtype


@dataclass(frozen=True)
class Layout:
    """One file: its header, byte order, format (1 or 2) and blocks by field."""

    header: BinaryHeader
    order: ByteOrder
    format: int
    blocks: dict[str, Block]


def byte_order(start: bytes) -> tuple[ByteOrder, int] | None:
    """The byte order and format (1 or 2) of a file from its first 8 bytes or more; None where it is not Gadget's."""
    if len(start) < 8:
        return None
    orders: tuple[ByteOrder, ByteOrder] = ("<", ">")
    for order in orders:
        length = int(np.frombuffer(start[:4], f"{order}u4")[0])
        if length == LABEL and start[4:8] == b"HEAD":
            return order, 2
        if length == SIZE or gadget4_types(length) is not None:
            return order, 1
    return None


def layout(path: Path) -> Layout:
    """Read the header of a file and find its blocks.

    Raises
    ------
    DamagedFileError
        Where records contradict the header, or the file is shorter than they say.
    """
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        known = byte_order(stream.read(8))
        if known is None:
            raise DamagedFileError(
                f"{path} is not Gadget's binary format: its first record is not a header; {AGAIN}"
            )
        order, version = known
        reader = _Reader(stream, size, order, path)
        at = reader.skip(0, LABEL)[1] if version == 2 else 0
        length = reader.length(at)
        if length != SIZE and gadget4_types(length) is None:
            raise DamagedFileError(f"{path}: a header of {length} bytes is not Gadget's; {AGAIN}")
        start, at = reader.skip(at, length)
        stream.seek(start)
        header = parse(stream.read(length), order, path)
        blocks = _labelled(reader, at, header) if version == 2 else _in_order(reader, at, header)
    return Layout(header, order, version, blocks)


class _Reader:
    def __init__(self, stream, size: int, order: str, path: Path) -> None:
        self.stream, self.size, self.order, self.path = stream, size, order, path

    def length(self, at: int) -> int:
        """The length before a record, or after it."""
        self.stream.seek(at)
        word = self.stream.read(4)
        if len(word) < 4:
            raise DamagedFileError(f"{self.path} is truncated: it ends at byte {self.size}; {AGAIN}")
        return int(np.frombuffer(word, f"{self.order}u4")[0])

    def skip(self, at: int, length: int) -> tuple[int, int]:
        """Where the record's content begins, and where the next record begins, after a check of both lengths."""
        start, end = at + 4, at + 4 + length
        if end + 4 > self.size:
            raise DamagedFileError(
                f"{self.path} is truncated: {self.size} bytes, and a record ends at byte {end + 4}; {AGAIN}"
            )
        for place in (at, end):
            if self.length(place) != length % WRAP:
                raise DamagedFileError(
                    f"{self.path}: the lengths of the record at byte {at} are not the {length} bytes that its header's "
                    f"counts need; {AGAIN}"
                )
        return start, end + 4

    def block(self, at: int, field: str, count: int, whole: int) -> tuple[Block, int]:
        """The block of `count` particles in the record at a byte, of either precision, and where the next record is."""
        length, width = self.length(at), 3 if field in ("positions", "velocities") else 1
        for size in (4, 8):
            needed = count * width * size
            if (
                needed % WRAP == length
                and at + 8 + needed <= self.size
                and (needed < WRAP or self.length(at + 4 + needed) == length)
            ):
                start, after = self.skip(at, needed)
                kind = "u" if field == "ids" else "f"
                return Block(start, np.dtype(f"{self.order}{kind}{size}")), after
        needed = count * width * 4
        if at + 8 + needed > self.size:
            raise DamagedFileError(
                f"{self.path} is truncated: {self.size} bytes do not hold the {field} of {whole} particles; {AGAIN}"
            )
        raise DamagedFileError(
            f"{self.path}: a record of {length} bytes does not hold the {field} of the {count} particles in its header; "
            f"{AGAIN}"
        )


def _sizes(header: BinaryHeader) -> tuple[int, int]:
    """Particles of all types, and those with a mass of their own."""
    count = sum(header.npart)
    return count, sum(n for n, mass in zip(header.npart, header.mass, strict=True) if mass == 0)


def _in_order(reader: _Reader, at: int, header: BinaryHeader) -> dict[str, Block]:
    count, massive = _sizes(header)
    blocks: dict[str, Block] = {}
    if not count:
        return blocks
    for field in ORDER:
        number = massive if field == "masses" else count
        # what follows positions may be absent at the end of a file, and velocities before the ids too
        if (
            not number
            or (blocks and at >= reader.size)
            or (field == "velocities" and _are_ids(reader, at, count))
        ):
            continue
        blocks[field], at = reader.block(at, field, number, count)
    return blocks


def _are_ids(reader: _Reader, at: int, count: int) -> bool:
    """Whether the record at a byte has the length of ids, and not of velocities."""
    length = reader.length(at)
    return length in (4 * count % WRAP, 8 * count % WRAP) and length not in (
        12 * count % WRAP,
        24 * count % WRAP,
    )


def _labelled(reader: _Reader, at: int, header: BinaryHeader) -> dict[str, Block]:
    count, massive = _sizes(header)
    blocks: dict[str, Block] = {}
    while at < reader.size:
        start, at = reader.skip(at, LABEL)
        reader.stream.seek(start)
        field = LABELS.get(reader.stream.read(4).decode("latin-1"))
        number = massive if field == "masses" else count
        if field is None or not number:
            at = reader.skip(at, reader.length(at))[1]
            continue
        blocks[field], at = reader.block(at, field, number, count)
    if count and "positions" not in blocks:
        raise DamagedFileError(f"{reader.path} lacks the block POS; {AGAIN}")
    return blocks
