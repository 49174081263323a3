"""A universe so small that N-body takes a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from zeldo.api import initial_conditions
from zeldo.initial.conditions import InitialConditions

N, BOX = 16, 31.25


@pytest.fixture(scope="session")
def ics() -> InitialConditions:
    return initial_conditions(n=N, box=BOX, seed=3, power="eisenstein-hu")


@pytest.fixture
def watch():
    """Collects what was announced."""
    titles: list[str] = []

    @contextmanager
    def context(title: str) -> Iterator[None]:
        titles.append(title)
        yield None

    context.titles = titles  # type: ignore[attr-defined]
    return context
