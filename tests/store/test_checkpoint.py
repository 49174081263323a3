"""When a run writes down where it stands."""

import numpy as np
import pytest

from zeldo.errors import DamagedFileError
from zeldo.store.checkpoint import Checkpoint


def test_a_checkpoint_is_due_so_many_minutes_after_the_last_one(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("zeldo.store.checkpoint.monotonic", lambda: now)
    checkpoint, field = Checkpoint(tmp_path / "a.npz", "key", 10.0), np.zeros((3, 2, 2, 2), np.float32)
    for _ in range(2):
        now += 599
        assert not checkpoint.due()
        now += 2
        assert checkpoint.due()
        checkpoint.save(1, field, field)


@pytest.mark.parametrize("field", [0, 1])
def test_a_checkpoint_with_numbers_that_are_none_is_damaged(tmp_path, field):
    checkpoint, fields = Checkpoint(tmp_path / "a.npz", "key", 0.0), np.zeros((2, 3, 2, 2, 2), np.float32)
    checkpoint.save(1, *fields)
    assert checkpoint.load() is not None
    fields[field, 0, 1, 1, 1] = np.nan
    checkpoint.save(2, *fields)
    with pytest.raises(DamagedFileError, match="is damaged: remove it"):
        checkpoint.load()
