"""The benchmark of the emulators compares them with their own dynamics."""

import pytest

from benchmarks.bench_emulator import DYNAMICS
from zeldo.engines.parsing import parse_engine


@pytest.mark.parametrize("preset", DYNAMICS)
def test_the_dynamics_of_the_benchmark_are_those_of_the_card(preset):
    of_the_card = parse_engine(str(parse_engine(preset).settings["dynamics"]))
    assert parse_engine(DYNAMICS[preset]).settings == of_the_card.settings
