"""The benchmark of the emulators compares them with their own dynamics."""

import numpy as np
import pytest

from benchmarks.bench_emulator import DYNAMICS, by_spacing, held_out, typical
from benchmarks.record import Record
from zeldo.cosmology.parameters import PRESETS
from zeldo.engines.parsing import parse_engine
from zeldo.initial.linear import initial_conditions
from zeldo.store.runs import RunStore

EH = {"power": "eisenstein-hu"}


@pytest.mark.parametrize("preset", DYNAMICS)
def test_the_dynamics_of_the_benchmark_are_those_of_the_card(preset):
    of_the_card = parse_engine(str(parse_engine(preset).settings["dynamics"]))
    assert parse_engine(DYNAMICS[preset]).settings == of_the_card.settings


# some wavenumbers have no shell on so small a lattice
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_a_store_of_held_out_runs_fills_the_record(tmp_path):
    """With 2LPT for the truth, which is not what the card was measured on."""
    store = RunStore(tmp_path / "runs.zarr")
    ics = initial_conditions(PRESETS["quijote"], 64.0, 32, 1, **EH)
    store.add("s1", ics, parse_engine("2lpt").run(ics, [1.0, 0.0]), regenerate=EH, part="test")
    record = Record("emulator")
    held_out(record, str(store.path))
    by_spacing(record, str(store.path))
    quantities = {row.quantity for row in record.rows if row.engine == "emulator"}
    assert {"error", "expected_error", "power_from_expected_most", "error_over_dynamics_most"} <= quantities
    assert any(name.startswith("error_over_dynamics_at_half_Nyquist") for name in quantities)
    assert not any(row.met for row in record.rows if row.quantity.endswith("from_expected_most"))


def test_typical_errors_are_those_that_a_card_expects():
    errors = [[0.01, np.nan], [-0.02, 0.04]]
    np.testing.assert_allclose(typical(errors, "density power"), [0.0005**0.5 / 2**0.5, 0.04])
    np.testing.assert_allclose(typical(np.abs(errors), "density one_minus_r2"), [0.0002**0.5, 0.04])
