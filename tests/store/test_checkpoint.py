"""When a run writes down where it stands."""

import numpy as np
import pytest

from refusals import refusal
from zeldo.errors import DamagedFileError
from zeldo.gradients.checkpoint import SearchCheckpoint
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
    now += 601
    checkpoint.save_output(0, field, field)  # which says nothing of where the run stands
    assert checkpoint.due()


@pytest.mark.parametrize("kind", [Checkpoint, SearchCheckpoint])
def test_other_files_are_no_checkpoints(tmp_path, kind):
    path = tmp_path / "a.npz"
    assert "ends in .npz" in refusal(lambda: kind(tmp_path / "a.txt", "key", 0.0))
    assert "does not exist" in refusal(lambda: kind(tmp_path / "nowhere" / "a.npz", "key", 0.0))
    assert not kind(path, "key", 0.0).load()
    np.savez(path, first=np.zeros(2))
    assert refusal(kind(path, "key", 0.0).load) == f"{path} is not a checkpoint: give another name"
    np.savez(path, key="another key", number=1, first=np.zeros(2), second=np.zeros(2))
    assert f"belongs to {kind.others}: remove it" in refusal(kind(path, "key", 0.0).load)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedFileError):
        kind(path, "key", 0.0).load()


@pytest.mark.parametrize("field", [0, 1])
def test_a_checkpoint_with_numbers_that_are_none_is_damaged(tmp_path, field):
    checkpoint, fields = Checkpoint(tmp_path / "a.npz", "key", 0.0), np.zeros((2, 3, 2, 2, 2), np.float32)
    checkpoint.save(1, *fields)
    assert checkpoint.load() is not None
    fields[field, 0, 1, 1, 1] = np.nan
    checkpoint.save(2, *fields)
    with pytest.raises(DamagedFileError, match="is damaged: remove it"):
        checkpoint.load()
