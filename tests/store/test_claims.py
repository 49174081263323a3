import os
import signal
from pathlib import Path

import pytest

from zeldo.interrupts import interruptible
from zeldo.store.claims import OWNER, Claims


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def asked(request, monkeypatch):
    """A function of Path that a signal interrupts just before or just after it did its work."""

    def at(name, *, before):
        original = getattr(Path, name)

        def interrupted(self, *arguments, **options):
            monkeypatch.setattr(Path, name, original)
            if before:
                signal.raise_signal(request.param)
            done = original(self, *arguments, **options)
            if not before:
                signal.raise_signal(request.param)
            return done

        monkeypatch.setattr(Path, name, interrupted)

    return at


@pytest.mark.parametrize(("name", "before"), [("mkdir", False), ("write_text", True), ("write_text", False)])
def test_a_claim_never_stays_without_its_owner(tmp_path, asked, name, before):
    claims = Claims(tmp_path / "claims")
    asked(name, before=before)
    with pytest.raises(KeyboardInterrupt), interruptible(), claims.claim("task"):
        pass
    assert all((path / OWNER).exists() for path in claims.folder.iterdir())


def test_a_claim_is_freed_whole(tmp_path, monkeypatch):
    claims, original = Claims(tmp_path / "claims"), os.unlink

    def interrupted(*arguments, **options):
        original(*arguments, **options)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), interruptible(), claims.claim("task") as is_ours:
        assert is_ours
        monkeypatch.setattr("os.unlink", interrupted)
    assert not claims.are_there
