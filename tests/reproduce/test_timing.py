"""One paired run: in turns, medians, kept for the next time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from zeldo.engines.parsing import parse_engine
from zeldo.errors import InputError
from zeldo.measuring import energy
from zeldo.measuring.cost import Cost
from zeldo.measuring.energy import Meter, Used
from zeldo.reproduce import timing
from zeldo.reproduce.tables import timing_rows
from zeldo.reproduce.timing import Entry, TimingTable, paired_run, table_key


class KnownMeter:
    """1, 2, 3 ... Wh."""

    how = "by hand"

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def measured(self) -> Iterator[Used]:
        self.count += 1
        yield Used(float(self.count), 10.0 * self.count)


@pytest.fixture
def entries():
    names = {"N-body": "2lpt", "COLA": "zeldovich", "network": "zeldovich"}
    return [Entry(what, parse_engine(name), 1 if what == "N-body" else 3) for what, name in names.items()]


@pytest.fixture
def table(entries, ics, watch):
    return paired_run(entries, ics, KnownMeter(), "the key", watch)[0]


def test_engines_run_in_turns(entries, ics, watch):
    table, last = paired_run(entries, ics, KnownMeter(), "key", watch)
    assert [title.split()[2].rstrip(",") for title in watch.titles] == [
        *("N-body", "COLA", "network"),
        *("COLA", "network"),
        *("COLA", "network"),
    ]
    assert [len(one.runs) for one in table.timings] == [1, 3, 3]
    # N-body was 1st; COLA 2nd, 4th, 6th; the network 3rd, 5th, 7th
    assert [one.energy for one in table.timings] == [1.0, 4.0, 5.0]
    assert [one.co2 for one in table.timings] == [10.0, 40.0, 50.0]
    assert last["N-body"].engine == "2lpt" and last["network"].engine == "zeldovich"


def test_a_ratio_is_of_medians(table):
    slow, cola, fast = table.timings
    table = replace(
        table,
        timings=[
            replace(slow, runs=[12.0]),
            replace(cola, runs=[4.0, 99.0, 6.0]),
            replace(fast, runs=[2.0, 3.0, 9.0]),
        ],
    )
    assert table.ratio("N-body", "network") == 4.0
    assert table.ratio("COLA", "network") == 2.0


def test_a_table_is_read_back_where_its_key_is_the_same(table, tmp_path):
    path = tmp_path / "table1.json"
    table.write(path, paper="1e5 s")
    again = TimingTable.read(path, "the key")
    assert again is not None
    assert [one.seconds for one in again.timings] == [one.seconds for one in table.timings]
    assert again.machine == dict(table.machine) and again.measured == table.measured
    assert TimingTable.read(path, "another key") is None
    assert TimingTable.read(tmp_path / "nothing.json", "the key") is None
    path.write_text(path.read_text()[:100])
    assert TimingTable.read(path, "the key") is None


def test_the_file_holds_ratios_and_the_machine(table, tmp_path):
    path = tmp_path / "table1.json"
    table.write(path)
    content = json.loads(path.read_text())
    assert set(content["ratios"]) == {"N-body / COLA", "N-body / network", "COLA / network"}
    first, last = content["timings"][0]["seconds"], content["timings"][2]["seconds"]
    assert content["ratios"]["N-body / network"] == pytest.approx(first / last)
    assert content["machine"]["processor"] and content["machine"]["threads"]["numba"] >= 1
    assert {"zeldo", "numba", "torch"} <= set(content["machine"]["versions"])


def test_other_weights_of_the_same_name_are_another_table(ics, tmp_path):
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"one")
    entries = [Entry("network", parse_engine(str(weights)))]
    first = table_key(entries, ics, "how")
    assert table_key(entries, ics, "how") == first
    weights.write_bytes(b"two")
    assert table_key(entries, ics, "how") != first


@pytest.mark.parametrize("what", ["settings", "phases", "machine", "energy"])
def test_other_circumstances_are_another_table(ics, what, monkeypatch):
    first = table_key([Entry("COLA", parse_engine("cola"))], ics, "how")
    name, how = "cola", "how"
    if what == "settings":
        name = "cola:steps=20"
    elif what == "phases":
        ics = replace(ics, delta_lin=-ics.delta_lin)
    elif what == "machine":
        monkeypatch.setattr(timing, "processor", lambda: "another")
    else:
        how = "otherwise"
    assert table_key([Entry("COLA", parse_engine(name))], ics, how) != first


def test_without_codecarbon_energy_is_not_known(monkeypatch):
    monkeypatch.setattr(energy.importlib.util, "find_spec", lambda name: None)
    meter = Meter("FRA")
    with meter.measured() as used:
        pass
    assert used.energy is None and used.co2 is None
    assert "not installed" in meter.how
    with pytest.raises(InputError, match="'FR' is not known: give its three letters"):
        Meter("FR")


def test_energy_is_in_wh_and_carbon_dioxide_in_g(monkeypatch):
    """What codecarbon gives in kWh and kg."""
    monkeypatch.setattr(energy.importlib.util, "find_spec", lambda name: None)
    meter, told = Meter(), SimpleNamespace(energy_consumed=0.002, emissions=0.0005)
    meter._tracker = SimpleNamespace(start_task=lambda: None, stop_task=lambda: told)
    with meter.measured() as used:
        pass
    assert (used.energy, used.co2) == pytest.approx((2.0, 0.5))


def test_energy_grows_with_time_and_carbon_with_the_country(capfd):
    pytest.importorskip("codecarbon")
    import time

    meter = Meter("FRA")
    found = []
    for seconds in (0.1, 0.5):
        with meter.measured() as used:
            time.sleep(seconds)
        found.append(used)
    short, long = found
    assert 0 < 2 * short.energy < long.energy
    assert 0 < long.co2 / long.energy < 0.2  # g/Wh: mostly nuclear; the world's average is about 0.5
    assert "FRA" in meter.how and "estimate" in meter.how
    assert capfd.readouterr() == ("", "")  # it is not the place of a library to write into the table


def test_an_unknown_country_is_refused():
    pytest.importorskip("codecarbon")
    with pytest.raises(InputError, match=r"'fra'.*did you mean 'FRA'"):
        Meter("fra")


def test_peak_memory_is_the_largest_of_the_runs(entries, ics, watch, monkeypatch):
    peaks = iter([1.0, 2.0, 3.0, 5.0, 4.0, 0.5, None])

    @contextmanager
    def known() -> Iterator[Cost]:
        yield Cost(1.0, next(peaks))

    monkeypatch.setattr(timing, "measured", known)
    table, _ = paired_run(entries, ics, KnownMeter(), "key", watch)
    # N-body was 1st; COLA 2nd, 4th, 6th; the network 3rd, 5th, 7th
    assert [one.peak_memory for one in table.timings] == [1.0, 5.0, 4.0]


def test_times_are_in_units_of_the_networks(table):
    """Whatever follows it."""
    slow, cola, fast = table.timings
    runs = [(slow, 12.0), (cola, 4.0), (fast, 2.0), (replace(fast, what="emulator"), 1.0)]
    table = replace(table, timings=[replace(one, runs=[seconds]) for one, seconds in runs])
    assert [texts[1] for _, texts in timing_rows(table)] == ["6", "2", "1", "0.5"]


def test_energy_is_that_of_a_run_in_the_middle():
    entry = Entry(
        "COLA", parse_engine("cola"), runs=[1.0, 2.0, 9.0], energy=[3.0, 1.0, 8.0], co2=[9.0, 70.0, 6.0]
    )
    assert (entry.timing().seconds, entry.timing().energy, entry.timing().co2) == (2.0, 3.0, 9.0)
