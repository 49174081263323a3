import dataclasses
import io
import re

import numpy as np
import pytest
from rich.console import Console

from zeldo.engines import registry
from zeldo.engines.lpt import SecondOrder
from zeldo.engines.parsing import parse_engine
from zeldo.engines.trained import shipped_weights
from zeldo.report.labels import MIDDLE, at_k, best, cost_text, decorrelation_text, in_lines, labels, waves
from zeldo.report.table import columns_that_fit, print_table
from zeldo.statistics.comparison import K_SHOWN


def printed(comparisons, width=100, **options) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    print_table(comparisons, console)
    return console.file.getvalue()


def rows_of(text: str, heading: str) -> dict[str, list[str]]:
    lines = iter(text.splitlines())
    next(line for line in lines if line.strip() == heading)
    rows = {}
    for line in lines:
        if not line.startswith("  ") or not line.strip():
            break
        name, *values = re.split(r"\s{2,}|(?<=[\d)]) (?=\d)", line.strip())
        rows[name] = values
    return rows


def test_the_table_holds_the_numbers_given(comparisons):
    text = printed(comparisons)
    for heading, quantity, digits in (("T", "transfer", 4), ("1 - r^2", "one_minus_r2", 5)):
        for field in ("density", "displacement"):
            rows = rows_of(text, f"{field}, {heading}")
            for name, one in (("zeldovich", comparisons[0]), ("cola (mesh_factor 1)", comparisons[1])):
                found = [float(value) for value in rows[name][: len(K_SHOWN)]]
                wanted = [at_k(one, field, quantity, k) for k in K_SHOWN]
                np.testing.assert_allclose(found, wanted, atol=0.51 * 10**-digits)
    density = rows_of(text, "density, T")
    assert density["zeldovich"][-2:] == ["0.012", "0.250"]
    assert density["cola (mesh_factor 1)"][-2:] == ["1.50", "-"]


def test_title_names_reference_redshift_and_size(comparisons):
    other = [dataclasses.replace(one, redshift=1.0, reference="MP-Gadget") for one in comparisons]
    text = printed([*other, *comparisons])
    assert "Against N-body at z = 0: 16^3 particles in a box of 100 Mpc/h" in text
    assert "Against MP-Gadget at z = 1" in text
    assert text.index("z = 0") < text.index("z = 1")
    assert "T = sqrt(P / P_reference)" in text and "k [h/Mpc]" in text


def test_an_engine_without_velocity_gets_dashes(comparisons):
    rows = rows_of(printed(comparisons), "velocity, T")
    assert rows["net"] == ["-"] * len(K_SHOWN)
    assert rows["zeldovich"][0].startswith("0.75")
    only = [comparisons[3]]
    assert "velocity" not in printed(only)


def test_a_wave_longer_than_the_box_gets_a_dash(comparisons):
    fields = {
        name: dataclasses.replace(field, k=3 * field.k) for name, field in comparisons[0].fields.items()
    }
    small = dataclasses.replace(comparisons[0], box=comparisons[0].box / 3, fields=fields)
    rows = rows_of(printed([small]), "density, T")
    assert np.pi / comparisons[0].box < 0.1 and 0.1 in K_SHOWN
    assert rows["zeldovich"][0].startswith("0.75")
    smaller = dataclasses.replace(small, box=comparisons[0].box / 4)
    assert rows_of(printed([smaller]), "density, T")["zeldovich"][0] == "-"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_lines_keep_within_the_width(comparisons, width):
    lines = printed(comparisons, width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert not any("…" in line for line in lines)  # a number without its last digits is another number
    assert all(name in "".join(lines) for name in ("zeldovich", "cola", "net"))


def test_a_pipe_gets_a_hundred_plain_columns(comparisons, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    print_table(comparisons)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert 80 < max(len(line) for line in text.splitlines()) <= 100
    assert "Bold" not in text


def test_the_best_is_bold_in_a_terminal(comparisons):
    text = printed(comparisons, force_terminal=True, color_system="standard")
    bold = re.findall(r"\x1b\[1;32m\s*([\d.e-]+)", text)
    assert f"{at_k(comparisons[2], 'density', 'transfer', 0.1):.4f}" in bold
    assert f"{at_k(comparisons[0], 'density', 'transfer', 0.1):.4f}" not in bold
    assert "Bold: best." in text


def test_fewer_columns_where_there_is_less_room():
    assert columns_that_fit(K_SHOWN, 100, 22) == K_SHOWN
    assert columns_that_fit(K_SHOWN, 54, 22) == (0.5, 1.0)
    sizes = [len(columns_that_fit(K_SHOWN, width, 22)) for width in range(30, 120)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("scale", "shown"),
    [
        (1.0, K_SHOWN),
        (0.7, (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)),
        (0.05, (0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02)),
    ],
)
def test_a_box_whose_bins_end_early_has_smaller_k_in_its_tables(comparisons, scale, shown):
    scale *= K_SHOWN[MIDDLE] / np.nanmax(comparisons[0].fields["density"].k)
    larger = [
        dataclasses.replace(
            one,
            box=one.box / scale,
            fields={name: dataclasses.replace(f, k=f.k * scale) for name, f in one.fields.items()},
        )
        for one in comparisons
    ]
    assert waves(larger) == shown
    assert waves([]) == K_SHOWN
    text = printed(larger)
    assert all(f" {k:g}" in text for k in shown)
    assert rows_of(text, "density, T")["zeldovich"][MIDDLE] != "-"


def test_labels_tell_engines_apart_by_the_settings_that_differ(comparisons):
    names = labels(comparisons)
    assert names == ["zeldovich", "cola (mesh_factor 1)", "cola (mesh_factor 2)", "net"]
    assert len(set(labels([comparisons[1]] * 3))) == 3


def test_no_value_is_shown_for_a_k_beyond_the_bins(comparisons):
    one = comparisons[0]
    last = one.fields["density"].k[-1]
    assert np.isfinite(at_k(one, "density", "transfer", last))
    assert np.isnan(at_k(one, "density", "transfer", 2 * last))
    assert np.isnan(at_k(one, "momentum", "transfer", 0.1))


def test_best_is_the_nearest_to_the_target_and_ties_share():
    assert best([0.9, 1.05, np.nan], ["0.9", "1.05", "-"], 1.0) == [False, True, False]
    assert best([1.001, 0.999, 0.5], ["1.0", "1.0", "0.5"], 1.0) == [True, True, False]
    assert best([1.0, None], ["1.0", "-"]) == [False, False]
    assert best([1.0, 1.0], ["1.0", "1.0"]) == [False, False]


def test_small_numbers_stay_readable():
    assert decorrelation_text(3.21e-5) == "3.2e-05"
    assert decorrelation_text(-1e-8) == "< 1e-6"
    assert decorrelation_text(float("nan")) == "-"
    assert [cost_text(t) for t in (0.0123, 4.4, 123.4, None)] == ["0.012", "4.40", "123", "-"]
    assert in_lines("cola (steps 10, mesh_factor 2)", 16) == "cola\n(steps 10,\nmesh_factor 2)"


def test_one_setting_that_tells_engines_apart_is_enough(comparisons):
    """COLA's other defaults follow the mesh: they would only lengthen the names."""
    coarse, fine, longer = (
        dataclasses.replace(comparisons[0], engine="cola", settings=settings)
        for settings in (
            {"mesh_factor": 1, "exponent": -2.5, "steps": 10},
            {"mesh_factor": 2, "exponent": -3.0, "steps": 10},
            {"mesh_factor": 2, "exponent": -3.0, "steps": 20},
        )
    )
    assert labels([coarse, fine]) == ["cola (mesh_factor 1)", "cola (mesh_factor 2)"]
    assert labels([coarse, fine, longer])[2] == "cola (mesh_factor 2, steps 20)"


def test_an_engine_alone_is_named_with_the_options_that_were_given(comparisons):
    def named(text):
        made = parse_engine(text)
        return labels([dataclasses.replace(comparisons[0], engine=made.name, settings=made.settings)])

    assert named("cola") == ["cola"]
    assert named("pm:steps=3") == ["pm (steps 3)"]
    assert named("emulator") == ["emulator"]
    assert named("emulator:fast") == ["emulator (preset fast)"]
    own = parse_engine(str(shipped_weights("emulator_fast")))
    assert [*own.settings][:2] == ["weights", "preset"] and own.settings["preset"] is None
    assert named(str(own.path)) == ["emulator (weights emulator_fast.safetensors)"]


def test_settings_that_are_no_options_name_no_engine_alone(comparisons, monkeypatch):
    vnet = {**parse_engine("vnet").settings, "task": "deoliveira2020"}
    assert labels([dataclasses.replace(comparisons[0], engine="vnet", settings=vnet)]) == ["vnet"]

    class Mine(SecondOrder):
        name = "test-mine"

        def __init__(self, path):
            self.path = path

    monkeypatch.setitem(
        registry._registered, "test-mine", Mine
    )  # an engine that is not made by its name alone
    mine = dataclasses.replace(comparisons[0], engine="test-mine", settings={"path": "x"})
    assert labels([mine]) == ["test-mine"]
