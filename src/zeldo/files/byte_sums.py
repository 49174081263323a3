"""The checksum of bigfile, at the speed of memory: NumPy would make a wider copy of every byte first."""

from __future__ import annotations

import numpy as np

from zeldo.mesh.compile import kernel


@kernel()
def byte_sum(content):  # type: ignore[no-untyped-def]
    """The sum of bytes, (size,) uint8, modulo 2^32."""
    total = np.uint32(0)
    for i in range(content.size):
        total = np.uint32(total + np.uint32(content[i]))
    return total
