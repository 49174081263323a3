"""Tiles that are kept for a resumed run."""

import numpy as np

from zeldo.store.resume import KeptTiles


def test_a_kept_tile_that_is_damaged_is_made_again(tmp_path):
    kept, values = KeptTiles(tmp_path / "network1"), np.arange(24, dtype=np.float32).reshape(3, 2, 2, 2)
    kept.count(2)
    outputs = [values, -2 * values, np.arange(5, dtype=np.float32)]  # such as displacements and velocities
    kept.save((0, 0, 4), outputs)
    for found, output in zip(kept.load((0, 0, 4)), outputs, strict=True):
        np.testing.assert_array_equal(found, output)
    (path,) = (tmp_path / "network1").glob("*.tile")
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    assert kept.load((0, 0, 4)) is None and kept.load((0, 0, 0)) is None


def test_a_resumed_run_has_the_tiles_that_it_had(tmp_path):
    assert KeptTiles(tmp_path / "network1").count(2) == 2
    assert KeptTiles(tmp_path / "network1").count(3) == 2  # as where there is less memory now
