import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zeldo.interrupts import interruptible
from zeldo.store import claims as module
from zeldo.store.claims import OWNER, Claims, identity


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


def test_the_owner_is_known_before_the_claim_is_there(tmp_path, monkeypatch):
    """Whoever is killed between the two keeps others waiting for a whole lease."""
    folder, there = tmp_path / "claims", []
    monkeypatch.setattr(module, "identity", lambda: there.append(folder.exists()) or identity())
    with Claims(folder).claim("task") as claimed:
        assert claimed and there == [False]


def test_a_claim_is_freed_whole(tmp_path, monkeypatch):
    claims, original = Claims(tmp_path / "claims"), os.unlink

    def interrupted(*arguments, **options):
        original(*arguments, **options)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), interruptible(), claims.claim("task") as is_ours:
        assert is_ours
        monkeypatch.setattr("os.unlink", interrupted)
    assert not claims.are_there


linux = pytest.mark.skipif(identity()["machine"] is None, reason="the system does not tell processes apart")


def test_an_owner_gives_signs_of_life(tmp_path):
    with Claims(tmp_path, lease=1.0).claim("a") as ours:
        assert ours
        os.utime(tmp_path / "a.0", (0, 0))
        deadline = time.monotonic() + 4
        while not (tmp_path / "a.0").stat().st_mtime and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "a.0").stat().st_mtime


@linux
@pytest.mark.parametrize("name", ["a", "a.b"])  # a run may have a dot in its name
def test_what_another_process_took_over_is_not_freed(tmp_path, name):
    for generation in range(2):
        (tmp_path / f"{name}.{generation}").mkdir()
    (tmp_path / f"{name}.0" / OWNER).write_text(json.dumps({**identity(), "started": "0"}))
    claims = Claims(tmp_path)
    claims.free([os.getpid()])
    assert (tmp_path / f"{name}.0").exists() and (tmp_path / f"{name}.1").exists()
    (tmp_path / f"{name}.1").rmdir()
    claims.free([os.getpid() + 1])
    assert claims.are_there
    claims.free([os.getpid()])
    assert not claims.are_there


@linux
def test_no_lost_claim_is_left_without_its_successor(tmp_path, monkeypatch):
    (tmp_path / "a.0").mkdir()
    (tmp_path / "a.0" / OWNER).write_text(json.dumps({**identity(), "started": "0"}))
    removed, rmtree = [], module.shutil.rmtree
    monkeypatch.setattr(
        module.shutil, "rmtree", lambda path, **given: removed.append(path.name) or rmtree(path, **given)
    )
    with Claims(tmp_path).claim("a") as ours:
        assert ours
    assert removed == ["a.1", "a.0"]


@linux
def test_a_process_of_which_only_the_exit_status_is_left_has_ended():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert module._started(child.pid) is None
    child.wait()


@pytest.mark.parametrize(
    ("error", "claimed"),
    [
        (FileExistsError, False),  # another process freed its claim just now, which had its task done
        (FileNotFoundError, True),  # another process was done, and removed the empty folder
    ],
)
def test_other_processes_may_end_while_a_claim_is_made(tmp_path, monkeypatch, error, claimed):
    mkdir = Path.mkdir

    def fails_once(path, **options):
        monkeypatch.setattr(Path, "mkdir", mkdir)
        raise error

    monkeypatch.setattr(Path, "mkdir", fails_once)
    with Claims(tmp_path / "claims").claim("a") as ours:
        assert ours is claimed


def test_a_slow_owner_does_not_free_the_claim_of_its_successor(tmp_path):
    """Else a third process begins the task from the start, beside the second one."""
    with Claims(tmp_path).claim("a") as slow:
        (tmp_path / "a.1").mkdir()  # of another process, when the lease of this one had ended
    assert slow and {path.name for path in tmp_path.iterdir()} == {"a.0", "a.1"}


def test_what_is_no_claim_is_no_obstacle(tmp_path):
    (tmp_path / ".DS_Store").touch()
    Claims(tmp_path).free([os.getpid()])


def test_a_slow_owner_does_not_free_the_claim_of_a_third_process(tmp_path):
    """Its successor was done and freed both claims."""
    first, third = Claims(tmp_path).claim("a"), Claims(tmp_path).claim("a")
    assert first.__enter__()
    shutil.rmtree(tmp_path / "a.0")
    assert third.__enter__()
    first.__exit__(None, None, None)
    with Claims(tmp_path).claim("a") as fourth:
        assert not fourth
    third.__exit__(None, None, None)
    assert not any(tmp_path.iterdir())


def test_a_slow_owner_does_not_free_a_claim_that_has_no_owner_yet(tmp_path):
    """The process that made it has not come to write its name."""
    with Claims(tmp_path).claim("a"):
        shutil.rmtree(tmp_path / "a.0")
        (tmp_path / "a.0").mkdir()
    assert (tmp_path / "a.0").exists()


def test_a_claim_whose_owner_could_not_be_written_down_is_freed(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError("no space")

    monkeypatch.setattr(Path, "write_text", full)
    with Claims(tmp_path).claim("a") as ours:
        assert ours and (tmp_path / "a.0").exists()
    assert not (tmp_path / "a.0").exists()
