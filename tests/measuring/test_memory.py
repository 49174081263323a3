"""What memory there is, and what a process may still take of it."""

import io

import pytest

from zeldo.measuring import memory
from zeldo.measuring.memory import available, budget, limited, size_in_bytes, size_in_words


def test_a_budget_is_what_is_free_and_what_the_process_has(monkeypatch):
    monkeypatch.setattr(memory, "resident", lambda: 3e9)
    monkeypatch.setattr(memory, "_machine", lambda: 10e9)
    monkeypatch.setattr(memory, "_control_group", lambda: [])
    assert (budget(), available()) == (13e9, 10e9)
    monkeypatch.setattr(memory, "_control_group", lambda: [20e9, 8e9])
    assert (budget(), available()) == (11e9, 8e9)
    with limited("9GB"):
        assert (budget(), available()) == (9e9, 6e9)
    with limited(2):
        assert (budget(), available()) == (2e9, 0)


def test_memory_that_the_system_can_let_go_is_free(monkeypatch):
    told = "MemTotal: 900 kB\nMemFree: 10 kB\nMemAvailable: 50 kB\n"
    monkeypatch.setattr(memory, "open", lambda path: io.StringIO(told), raising=False)
    assert memory._machine() == 50 * 1024


@pytest.mark.parametrize(
    ("text", "size"),
    [("8", 8e9), (0.5, 5e8), ("3B", 3), ("2kB", 2e3), ("500MB", 5e8), ("8 GB", 8e9), ("1TB", 1e12)]
    + [("2KiB", 2**11), ("3MiB", 3 * 2**20), ("1.5GiB", 1.5 * 2**30), ("1TiB", 2**40)],
)
def test_sizes_have_units(text, size):
    assert size_in_bytes(text) == size
    assert size_in_bytes(size_in_words(size)) == pytest.approx(size, rel=5e-3)


def test_a_limit_holds_inside_its_block_alone(monkeypatch):
    monkeypatch.setattr(memory, "_machine", lambda: 1e15)
    monkeypatch.setattr(memory, "_control_group", list)
    with pytest.raises(ZeroDivisionError), limited("3GB"):
        with limited("2GB"):
            assert budget() == 2e9
        assert budget() == 3e9
        raise ZeroDivisionError
    assert budget() >= 1e15
