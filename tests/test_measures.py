"""Statistics, halos and pictures of files: the same numbers of a lattice and of its bare particles."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from dataclasses import replace
from functools import partial

import h5py
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

import zeldo
from refusals import refusal
from zeldo import Particles, measures
from zeldo.commands import main
from zeldo.errors import ZeldoWarning
from zeldo.particles.lattice import header_of
from zeldo.particles.particles import Header
from zeldo.report.density_picture import density_map, slab_of
from zeldo.report.measured_page import PLOTS, measured_figure, page
from zeldo.sources import names_of
from zeldo.statistics import overdensity
from zeldo.statistics.halos import friends_of_friends, mass_function
from zeldo.statistics.measurement import COLUMNS, Measurement, measurement
from zeldo.statistics.modes import density_modes
from zeldo.statistics.on_disk import OnDisk


@pytest.fixture(scope="module")
def snapshot(small):
    return small[1][0.0]


def bare_particles(snapshot, order, **changes):
    header = replace(header_of(snapshot), count=len(order), n=None, **changes)
    return Particles(header, snapshot.positions()[order], snapshot.velocities()[order])


@pytest.fixture(scope="module")
def bare(snapshot):
    """The same particles, shuffled, and no lattice."""
    return bare_particles(snapshot, np.random.default_rng(1).permutation(snapshot.n**3))


@pytest.fixture(scope="module")
def files(snapshot, tmp_path_factory):
    """A lattice's file, and one of two thirds of its particles."""
    folder = tmp_path_factory.mktemp("files")
    keep = np.flatnonzero(np.random.default_rng(2).random(snapshot.n**3) < 0.67)
    part = bare_particles(snapshot, keep)
    ids = np.arange(len(part)) + 1
    part = Particles(part.header, part.positions, part.velocities, ids)
    return zeldo.write(snapshot, folder / "whole.hdf5"), zeldo.write(part, folder / "part.hdf5")


def test_bare_particles_have_the_statistics_of_their_lattice(snapshot, bare):
    lattice, shuffled = (measurement(x, "all") for x in (snapshot, bare))
    assert list(lattice.tables) == list(shuffled.tables) and len(lattice.tables) == 5
    for statistic, table in lattice.tables.items():
        for column, values in table.items():
            ours = shuffled.tables[statistic][column]
            # of the hexadecapole near zero, a share of the monopole
            scale = np.abs(table["monopole" if column.endswith("pole") else column])
            assert np.all(np.abs(ours - values) <= 2e-4 * scale), (statistic, column)


def test_a_measurement_is_what_the_functions_give(snapshot):
    tables = measurement(snapshot, "all").tables
    assert np.array_equal(tables["power"]["power"], zeldo.power_spectrum(snapshot).power)
    assert np.array_equal(
        tables["squeezed_bispectrum"]["reduced"], zeldo.squeezed_bispectrum(snapshot).reduced
    )
    assert np.array_equal(
        tables["multipoles"]["quadrupole"], zeldo.redshift_space_multipoles(snapshot).quadrupole
    )


def test_what_a_file_does_not_say_may_be_given(snapshot, tmp_path, capsys):
    """A plain array has no box, no redshift and no units: the commands take them as `zeldo.read` does."""
    np.savez(tmp_path / "plain.npz", positions=snapshot.positions() * 1e3)
    options = ["--box", f"{snapshot.box * 1e3}", "-z", "0", "--length", "kpc/h", "--cosmology", "quijote"]
    assert main(["measure", str(tmp_path / "plain.npz"), "-s", "power", "--json", *options]) == 0
    (record,) = json.loads(capsys.readouterr().out)["measurements"]
    assert np.allclose(record["power"]["power"], zeldo.power_spectrum(snapshot).power, rtol=1e-4)
    assert main(["halos", str(tmp_path / "plain.npz"), "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["halos"] == len(zeldo.halos(snapshot).friends.count)
    picture = ["show", str(tmp_path / "plain.npz"), "-o", str(tmp_path / "out.png"), "--pixels", "32"]
    assert main([*picture, *options]) == 0
    assert "leave out length, which are for files" in refusal(lambda: zeldo.measure(snapshot, length="kpc/h"))


@pytest.mark.parametrize(
    ("width", "missing"), [(200, ""), (80, "mvir, r200m"), (60, "m200c, m200m, mvir, r200m")]
)
def test_a_narrow_terminal_has_fewer_columns_and_whole_numbers(files, capsys, monkeypatch, width, missing):
    monkeypatch.setattr("zeldo.report.measured_table._console", lambda: Console(width=width))
    assert main(["halos", str(files[0]), "--minimum", "50"]) == 0
    text = capsys.readouterr().out
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    assert (f"too narrow for {missing}: a file by -o has all" in " ".join(text.split())) == bool(missing)


def test_spectra_say_where_the_lattice_ends(files, capsys):
    assert main(["measure", str(files[0]), "-s", "power"]) == 0
    text = capsys.readouterr().out
    assert f"Nyquist wavenumber of a lattice of as many points is {np.pi * 64 / 125:.4g} h/Mpc" in " ".join(
        text.split()
    )


def test_halos_of_bare_particles_are_those_of_the_lattice(snapshot, bare):
    lattice, shuffled = zeldo.halos(snapshot), zeldo.halos(bare)
    assert np.array_equal(lattice.friends.count, shuffled.friends.count)
    assert np.allclose(np.sort(lattice.spherical.m200c), np.sort(shuffled.spherical.m200c))


def test_particles_without_a_cosmology_in_full_are_measured_too(snapshot, bare):
    header = replace(bare.header, cosmology=None, parameters={"omega_m": snapshot.cosmology.omega_m})
    known = Particles(header, bare.positions, bare.velocities)
    expected = zeldo.redshift_space_multipoles(bare).quadrupole
    assert np.array_equal(zeldo.redshift_space_multipoles(known).quadrupole, expected)
    unknown = Particles(replace(header, parameters={}), bare.positions, bare.velocities)
    assert np.array_equal(zeldo.power_spectrum(unknown).power, zeldo.power_spectrum(bare).power)
    assert "omega_m" in refusal(lambda: zeldo.redshift_space_multipoles(unknown))


def test_different_masses_are_refused(bare):
    masses = np.linspace(1, 2, len(bare))
    mixed = Particles(bare.header, bare.positions, masses=masses)
    assert "different masses" in refusal(lambda: zeldo.power_spectrum(mixed))


@pytest.mark.parametrize(
    "statistic",
    [
        zeldo.power_spectrum,
        zeldo.redshift_space_multipoles,
        zeldo.equilateral_bispectrum,
        zeldo.friends_of_friends,
        overdensity.halos,
        measurement,
    ],
)
def test_a_list_or_a_path_given_to_a_statistic_is_answered_with_what_to_give(snapshot, statistic):
    assert "snapshots[0]" in refusal(lambda: statistic([snapshot]))
    assert "zeldo.read" in refusal(lambda: statistic("snapshot.hdf5"))
    assert "zeldo.read" in refusal(lambda: statistic(None))


def test_numbers_as_text_are_taken_by_friends_of_friends(snapshot):
    expected = zeldo.friends_of_friends(snapshot, 0.2, 50).count
    assert np.array_equal(zeldo.friends_of_friends(snapshot, "0.2", "50").count, expected)
    assert np.array_equal(zeldo.friends_of_friends(snapshot, np.array(0.2), np.array(50)).count, expected)
    assert "linking_length" in refusal(lambda: zeldo.friends_of_friends(snapshot, "short"))
    assert "linking_length" in refusal(lambda: zeldo.friends_of_friends(snapshot, "nan"))
    assert "minimum" in refusal(lambda: zeldo.friends_of_friends(snapshot, minimum=2.5))


def test_files_of_measurements_agree_and_have_units(files, tmp_path):
    outputs = [tmp_path / f"m{suffix}" for suffix in (".csv", ".json", ".hdf5", ".html")]
    whole, part = zeldo.measure(files, "all", output=outputs)
    assert (whole.count, part.count > 100_000, part.count < whole.count) == (64**3, True, True)
    record = json.loads((tmp_path / "m.json").read_text())
    assert [each["name"] for each in record["measurements"]] == ["whole.hdf5", "part.hdf5"]
    with h5py.File(tmp_path / "m.hdf5") as file:
        for statistic, table in whole.tables.items():
            with open(tmp_path / f"m_{statistic}.csv") as stream:
                rows = [row for row in csv.DictReader(stream) if row["file"] == "whole.hdf5"]
            for column, values in table.items():
                assert [float(row[column]) for row in rows] == values.tolist()
                assert record["measurements"][0][statistic][column] == values.tolist()
                data = file[f"0/{statistic}/{column}"]
                assert np.array_equal(data[:], values)
                assert data.attrs["units"] == record["units"][statistic][column] != ""
                assert data.attrs["description"] == COLUMNS[column][1]
    page = (tmp_path / "m.html").read_text()
    assert page.count("data:image/svg+xml") == 7 and "part.hdf5" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://matplotlib.org", "")


def test_one_statistic_is_one_csv_file(files, tmp_path):
    zeldo.measure(files[0], "power", output=tmp_path / "p.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_measure_refuses_before_it_works(files, tmp_path):
    assert "did you mean 'power'" in refusal(lambda: zeldo.measure(files[0], "powr"))
    assert ".csv" in refusal(lambda: zeldo.measure("/nowhere.hdf5", output=tmp_path / "m.txt"))
    assert "/nowhere.hdf5" in refusal(lambda: zeldo.measure("/nowhere.hdf5"))
    assert "nothing was given" in refusal(lambda: zeldo.measure([]))


@pytest.mark.parametrize("given", [{"axis": "x"}, {"linking_length": 0.3}, {"minimum": 5}])
def test_an_option_that_no_chosen_statistic_has_is_refused(files, given):
    words = refusal(lambda: zeldo.measure(files[0], ("power", "bispectrum"), **given))
    assert f"{next(iter(given))} is not allowed with power and bispectrum alone: only" in words


def test_a_universe_of_several_redshifts_is_read_at_any_of_them(tmp_path, capsys):
    path = tmp_path / "u.zarr"
    made = zeldo.run(engine="2lpt", box=40, n=16, seed=3, power="eisenstein-hu", redshift=[1, 0], output=path)
    for snapshot in made:
        assert zeldo.read(path, redshift=snapshot.redshift).redshift == snapshot.redshift
        (measured,) = zeldo.measure(path, "power", redshift=snapshot.redshift)
        (expected,) = zeldo.measure(snapshot, "power")
        np.testing.assert_allclose(
            *(each.tables["power"]["power"] for each in (measured, expected)), rtol=1e-6
        )
    assert zeldo.read(path).redshift == 0
    assert "choose one of 1, 0" in refusal(lambda: zeldo.measure(path, redshift=0.5))
    assert main(["info", str(path), "-z", "1"]) == 0
    text = capsys.readouterr().out
    assert "universe in zarr arrays, with z = 1, 0" in text and str(path) in text
    assert "the lowest" not in text
    assert main(["convert", str(path), str(tmp_path / "today.npz")]) == 0
    assert "  of z = 1, 0, the lowest: --redshift chooses another\n" in capsys.readouterr().out


def test_an_order_of_ids_that_no_lattice_has_is_refused(snapshot, tmp_path):
    source = zeldo.write(snapshot, tmp_path / "source.hdf5")
    assert "ids = 'foo' is not an order" in refusal(lambda: zeldo.measure(source, ids="foo"))


def test_what_is_measured_is_not_written_over(snapshot, tmp_path):
    source = zeldo.write(snapshot, tmp_path / "source.hdf5")
    before = source.read_bytes()
    assert "output and source are the same file" in refusal(lambda: zeldo.measure(source, output=source))
    assert "output and source are the same file" in refusal(lambda: measures.halos(source, output=source))
    assert source.read_bytes() == before


def test_a_catalogue_has_every_column_with_its_unit(files, tmp_path):
    catalogue = zeldo.halos(files[0], output=tmp_path / "halos.hdf5")
    with h5py.File(tmp_path / "halos.hdf5") as file:
        halos, header = file["Halos"], file["Header"].attrs
        assert (header["BoxSize"], header["Redshift"], header["LinkingLength"]) == (125.0, 0.0, 0.2)
        assert header["omega_m"] == 0.3175 and header["engine"] == "mp-gadget"
        assert np.array_equal(halos["m200c"][:], catalogue.spherical.m200c)
        assert np.array_equal(halos["velocity"][:], catalogue.friends.velocity)
        units = {name: data.attrs["units"] for name, data in halos.items()}
        assert units["mvir"] == "1e10 Msun/h" and units["rvir"] == units["centre"] == "Mpc/h"
        assert all(data.attrs["description"] and data.attrs["to_cgs"] > 0 for data in halos.values())
    assert "hdf5" in refusal(lambda: measures.halos(files[0], output=tmp_path / "halos.txt"))


@pytest.mark.parametrize("axis", "xyz")
def test_pictures_of_a_lattice_and_of_bare_particles_show_the_same(snapshot, bare, axis):
    slab = slab_of(snapshot, axis, None, 15.0)
    assert slab == slab_of(bare, axis, None, 15.0)
    sheet, smoothed = density_map(snapshot, slab, 64), density_map(bare, slab, 64)
    x = bare.positions
    inside = (x[:, slab.axis] >= slab.start) & (x[:, slab.axis] < slab.start + 15)
    assert smoothed.mean() * 15 / 125 * len(bare) == pytest.approx(inside.sum(), rel=1e-3)
    assert np.corrcoef(np.log(sheet).ravel(), np.log(smoothed).ravel())[0, 1] > 0.85


@pytest.mark.parametrize(
    "option", [{"dpi": 0}, {"dpi": -5}, {"dpi": 10**6}, {"pixels": 3}, {"thickness": -1}]
)
def test_pictures_that_cannot_be_are_refused(files, tmp_path, option):
    with pytest.raises(zeldo.InputError, match=f"{next(iter(option))} = .* is not allowed"):
        zeldo.show(files[0], tmp_path / "d.png", **option)


def test_show_writes_a_picture(files, tmp_path):
    from matplotlib.image import imread

    shown = zeldo.show(files, tmp_path / "d.png", axis="x", pixels=128, dpi=50)
    picture = imread(tmp_path / "d.png")
    assert picture.shape[1] > picture.shape[0] > 200 and picture[..., :3].std() > 0.1
    assert shown.slabs[0] == shown.slabs[1] and shown.slabs[0].thickness == 15
    whole = zeldo.show(files[0], tmp_path / "p.png", projection=True, pixels=128, dpi=50)
    assert whole.slabs[0].thickness == 125 and whole.maps[0].mean() == pytest.approx(1, abs=1e-3)
    assert "leave out" in refusal(lambda: zeldo.show(files[0], tmp_path / "p.png", projection=True, start=3))
    assert "ends in .png or .pdf" in refusal(lambda: zeldo.show(files[0], tmp_path / "p.jpg"))
    assert "thickness" in refusal(lambda: zeldo.show(files[0], tmp_path / "p.png", thickness=999))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.png", "p.png"]
    zeldo.show(files[0], tmp_path / "d.pdf", pixels=64)
    assert (tmp_path / "d.pdf").read_bytes().startswith(b"%PDF")


def test_measure_names_the_files_that_it_wrote(files, tmp_path, capsys):
    outputs = [str(tmp_path / name) for name in ("m.csv", "m.hdf5")]
    assert main(["measure", str(files[0]), "--mesh", "32", "-o", outputs[0], "-o", outputs[1]]) == 0
    told = [
        line.split(": ")[1] for line in capsys.readouterr().out.splitlines() if line.startswith("written")
    ]
    names = ", ".join(told).split(", ")
    assert sorted(names) == sorted(str(path) for path in tmp_path.iterdir()) and len(names) == 3
    # who takes it for a snapshot is told what it is
    assert main(["info", outputs[1]]) == 2
    assert "holds what zeldo measure found, no particles" in capsys.readouterr().err


def test_a_redshift_that_the_file_gives_is_not_asked_for(files):
    assert "give their own redshift: leave redshift out" in refusal(
        lambda: zeldo.measure(files[0], redshift=0)
    )


def test_measurements_say_how_their_snapshot_was_made(files, tmp_path):
    settings = {"preset": "fast", "extrapolate": True}
    drawn = {"seed": 3, "fixed": True, "phases": "ngenic", "weights": "ab12"}
    snapshot = replace(zeldo.read(files[0]), engine="emulator", settings=settings, **drawn)
    zeldo.write(snapshot, tmp_path / "in.hdf5")
    names = [tmp_path / f"out{suffix}" for suffix in (".json", ".hdf5", ".html")]
    for name in names:
        zeldo.measure(tmp_path / "in.hdf5", "power", output=name)
    (told,) = json.loads(names[0].read_text())["measurements"]
    assert told["made"].items() >= {**drawn, "settings": settings}.items()
    with h5py.File(names[1]) as file:
        assert json.loads(file["0"].attrs["made"]) == told["made"]
    assert "emulator, preset fast, extrapolate on" in names[2].read_text(encoding="utf-8")


def test_commands_and_functions_name_an_axis_alike(files, tmp_path, capsys):
    whole, picture = str(files[0]), str(tmp_path / "d.png")
    expected = zeldo.redshift_space_multipoles(zeldo.read(whole), axis=1).quadrupole
    assert not np.allclose(expected, zeldo.redshift_space_multipoles(zeldo.read(whole), axis="z").quadrupole)
    for axis in ("y", "1"):
        assert main(["measure", whole, "-s", "multipoles", "--axis", axis, "--json"]) == 0
        (measured,) = json.loads(capsys.readouterr().out)["measurements"]
        assert np.allclose(measured["multipoles"]["quadrupole"], expected)
        assert measured["settings"]["axis"] == 1
        assert main(["show", whole, "--axis", axis, "--pixels", "32", "-o", picture, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["slabs"][0]["axis"] == 1
    for command in (["measure"], ["show"]):
        assert main([*command, whole, "--axis", "w"]) == 2
        message = capsys.readouterr().err
        assert '"x", "y", "z", "0", "1", "2"; see zeldo ' + f"{command[0]} --help" in message


def test_commands_print_json_and_tables(files, tmp_path, capsys):
    whole, part = map(str, files)
    assert main(["measure", whole, part, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["measurements"]) == 2
    assert record["units"]["power"] == {"k": "h/Mpc", "power": "(Mpc/h)^3", "modes": "1"}
    assert main(["halos", whole, "--minimum", "100", "-o", str(tmp_path / "h.hdf5"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["halos"] == len(record["m200m"]) > 20 and min(record["count"]) >= 100
    assert main(["show", part, "--thickness", "20", "-o", str(tmp_path / "s.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slabs"][0]["thickness"] == 20
    assert main(["measure", whole, "-s", "power"]) == 0
    text = capsys.readouterr().out
    assert "power of whole.hdf5" in text and "(Mpc/h)^3" in text
    assert main(["halos", whole]) == 0
    assert "1e10 Msun/h" in capsys.readouterr().out


def test_a_file_that_lacks_some_of_its_cosmology_is_measured(files, tmp_path, capsys):
    import shutil

    path = shutil.copy(files[0], tmp_path / "lacking.hdf5")
    with h5py.File(path, "r+") as file:
        del file["Zeldo"]
        for group in ("Header", "Parameters"):
            for name in ("Sigma8", "PrimordialIndex", "OmegaBaryon", "Omega0"):
                file[group].attrs.pop(name, None)
    (found,) = zeldo.measure(path, "power")
    assert np.allclose(
        found.tables["power"]["power"], zeldo.measure(files[0])[0].tables["power"]["power"], rtol=1e-3
    )
    assert main(["measure", str(path)]) == 2
    assert "omega_m" in capsys.readouterr().err
    assert main(["measure", str(path), "--omega-m", "0.3175", "--json"]) == 0
    quadrupole = json.loads(capsys.readouterr().out)["measurements"][0]["multipoles"]["quadrupole"]
    expected = zeldo.measure(files[0])[0].tables["multipoles"]["quadrupole"]
    assert np.abs(np.array(quadrupole) - expected).max() < 1e-2 * np.abs(expected).max()


def test_functions_that_read_files_take_parameters_of_the_cosmology_by_name(snapshot, tmp_path):
    """As zeldo.run does: they replace those of the cosmology that is given too."""
    np.savez(tmp_path / "arrays.npz", pos=snapshot.positions(), vel=snapshot.velocities())
    place = {"box": snapshot.box, "redshift": 0}
    quijote, path = zeldo.Cosmology.preset("quijote"), tmp_path / "arrays.npz"
    known = zeldo.read(path, **place, **quijote.to_dict())
    assert known.cosmology == quijote
    assert zeldo.read(path, "quijote", n_s=0.9, **place).cosmology == replace(quijote, n_s=0.9)
    assert zeldo.read(path, quijote, n_s="0.9", **place).cosmology.n_s == 0.9
    mixed = zeldo.read(path, {"omega_m": 0.3, "h": 0.7}, omega_m=0.31, ids="none", **place)
    assert mixed.header.parameters == {"omega_m": 0.31, "h": 0.7}
    assert zeldo.describe(path, omega_m=0.3, **place)["cosmology"] == {"omega_m": 0.3}
    zeldo.convert(path, tmp_path / "out.npz", omega_m=0.3, **place)
    with zeldo.open_particles(tmp_path / "out.npz") as particles:
        assert particles.header.parameters["omega_m"] == 0.3
    mass = zeldo.halos(path, omega_m=0.3, memory="9GB", **place).friends.particle_mass
    assert mass == pytest.approx(0.3 / 0.3175 * zeldo.halos(snapshot).friends.particle_mass)
    (one,) = zeldo.measure(path, ["multipoles"], omega_m=0.3175, memory="9GB", **place)
    assert one.tables["multipoles"].keys() == zeldo.measure(snapshot)[0].tables["multipoles"].keys()
    assert zeldo.show(path, tmp_path / "s.png", omega_m=0.3, pixels=16, **place).path.exists()


def test_a_parameter_by_name_is_held_to_the_file_as_others_are(files, snapshot):
    assert "omega_m = 0.3" in refusal(lambda: zeldo.measure(files[0], omega_m=0.3))
    assert "omega_m = 'much' is not allowed" in refusal(lambda: zeldo.measure(files[0], omega_m="much"))
    assert "did you mean 'omega_m'" in refusal(lambda: zeldo.measure(files[0], Om0=0.3))
    assert "already holds this: leave out omega_m" in refusal(lambda: zeldo.measure(snapshot, omega_m=0.3))


@pytest.mark.parametrize("call", [zeldo.measure, zeldo.halos, zeldo.show])
def test_an_argument_that_does_not_exist_is_named_with_the_nearest_one(files, snapshot, call):
    for source in (files[0], snapshot):
        wrong = f"{call.__name__} has no argument 'memroy'; did you mean 'memory'"
        assert wrong in refusal(lambda: call(source, memroy="8GB"))  # noqa: B023
        unlike = f"has no argument 'xyzzy': help(zeldo.{call.__name__})"
        assert unlike in refusal(lambda: call(source, xyzzy=1))  # noqa: B023


def test_a_list_cannot_be_written(snapshot, tmp_path):
    assert "snapshots[0]" in refusal(lambda: zeldo.write([snapshot], tmp_path / "out.hdf5"))
    assert not list(tmp_path.iterdir())


def test_a_lattice_at_half_cells_is_drawn_where_it_is(snapshot):
    slab = slab_of(snapshot, "z", 30.0, 15.0)
    moved = replace(snapshot, psi=snapshot.psi - np.float32(0.5 * 125 / 64), offset=(0.5, 0.5, 0.5))
    here, there = density_map(snapshot, slab, 256), density_map(moved, slab, 256)
    assert np.corrcoef(np.log(here).ravel(), np.log(there).ravel())[0, 1] > 0.999


def test_a_page_without_halos_says_so(tmp_path):
    """A logarithmic axis has no place for a mass function of zeros."""
    (snapshot,) = zeldo.run(engine="2lpt", n=16, box=31.25, power="eisenstein-hu")
    (result,) = zeldo.measure(snapshot, ("mass-function",), output=tmp_path / "page.html")
    assert not result.tables["mass_function"]["count"].any()
    text = (tmp_path / "page.html").read_text()
    assert "Nothing is drawn: no value is above 0" in text and "<img" not in text


@pytest.mark.parametrize("statistics", [("power", "multipoles"), ("multipoles", "power")])
def test_multipoles_that_are_left_out_are_told(bare, statistics):
    still = Particles(bare.header, bare.positions)
    with pytest.warns(ZeldoWarning, match="has no velocities, so multipoles in redshift space are"):
        (result,) = zeldo.measure(still, statistics)
    assert list(result.tables) == ["power"]


def test_what_is_given_for_a_file_is_refused_with_a_snapshot(snapshot, tmp_path):
    for call in (
        lambda: zeldo.measure(snapshot, "power", cosmology="planck2018"),
        lambda: zeldo.show(snapshot, tmp_path / "s.png", cosmology="planck2018"),
    ):
        assert "already holds this: leave out cosmology" in refusal(call)


def test_files_of_one_name_are_told_apart_by_their_paths(files, tmp_path):
    paths = [tmp_path / name / "particles.hdf5" for name in "abc"]
    assert names_of(paths) == [str(path) for path in paths]


def test_values_of_other_kinds_are_refused(snapshot, tmp_path):
    assert "device 'nowhere' cannot be used" in refusal(lambda: zeldo.measure(snapshot, device="nowhere"))
    assert len(zeldo.measure(snapshot, "power", output=None)) == 1
    for wrong in ({"pixels": "256"}, {"pixels": 256.0}, {"dpi": "x"}):
        ((name, value),) = wrong.items()
        line = refusal(lambda wrong=wrong: zeldo.show(snapshot, tmp_path / "s.png", **wrong))
        assert line.startswith(f"{name} = {value!r} is not allowed")
    assert "output = None is not allowed" in refusal(lambda: zeldo.show(snapshot, None))
    line = refusal(lambda: zeldo.measure(snapshot, 5))
    assert line.startswith("statistics = 5 is not allowed: give any of power, ") and line.endswith(" or all")
    friends = zeldo.friends_of_friends(snapshot)
    assert "given a Halos: give" in refusal(lambda: zeldo.write_halos(friends, tmp_path / "h.hdf5"))


def test_a_statistic_may_be_called_as_its_table(snapshot):
    (result,) = zeldo.measure(snapshot, "mass_function")
    assert list(result.tables) == ["mass_function"]


@pytest.mark.parametrize("count", [4999, 8**3])  # bare particles, and as many as a lattice has
def test_a_box_in_another_unit_is_refused(tmp_path, count, capsys):
    x = 125 * np.random.default_rng(3).random((count, 3))
    np.save(tmp_path / "pos.npy", x)
    options = ["measure", str(tmp_path / "pos.npy"), "--redshift", "0", "--box"]
    assert main([*options, "0.125"]) == 2
    line = capsys.readouterr().err
    assert "of the box" in line or "outside the box of 0.125 Mpc/h" in line
    assert "--box, --length" in line and line.count("\n") == 1
    header = Header(count=count, box=0.125, redshift=0.0)
    assert "100 % of the coordinates" in refusal(lambda: zeldo.measure(Particles(header, x), "power"))
    x[: count // 10] += 300  # some that left the box and were never wrapped
    np.save(tmp_path / "pos.npy", x)
    assert main([*options, "125", "--mesh", "16"]) == 0
    assert "are wrapped" in capsys.readouterr().err


def test_a_box_far_larger_than_its_particles_gets_a_warning(recwarn):
    x = np.random.default_rng(3).random((5000, 3))
    header = Header(count=5000, box=125.0, redshift=0.0)
    with pytest.warns(ZeldoWarning, match=r"1 Mpc/h across, in a box of 125 Mpc/h: check the box .*--length"):
        zeldo.measure(Particles(header, x), "power", mesh=16)
    recwarn.clear()
    few = Particles(replace(header, count=500), x[:500])
    tracers = Particles(replace(header, whole=False), x)
    across = Particles(header, np.mod(x - 0.5, 125.0))  # a halo on the edge of the box
    for particles in (few, tracers, across, Particles(replace(header, box=1.5), x)):
        zeldo.measure(particles, "power", mesh=16)
    assert not [told for told in recwarn if "across" in str(told.message)]


def test_numbers_in_any_byte_order_have_a_power_spectrum():
    field = np.random.default_rng(0).standard_normal((3, 8, 8, 8))
    expected = density_modes(field, 16, 50.0)
    for dtype in (">f8", np.longdouble):
        assert torch.equal(density_modes(field.astype(dtype), 16, 50.0), expected)


def test_snapshots_side_by_side_show_one_slab(tmp_path):
    """That with most mass in the first of them, of which the others have another."""
    universe = {"engine": "zeldovich", "n": 16, "box": 60.0, "power": "eisenstein-hu", "redshift": 0}
    both = [zeldo.run(seed=seed, **universe)[0] for seed in (1, 3)]
    alone = [zeldo.show(one, tmp_path / "one.png", pixels=16, dpi=20).slabs[0] for one in both]
    assert alone[0] != alone[1]
    assert zeldo.show(both, tmp_path / "both.png", pixels=16, dpi=20).slabs == 2 * alone[:1]


def test_boxes_of_different_sizes_show_a_slab_each(tmp_path):
    universe = {"engine": "zeldovich", "n": 16, "power": "eisenstein-hu", "redshift": 0}
    both = [zeldo.run(box=box, **universe)[0] for box in (500.0, 20.0)]
    alone = [zeldo.show(one, tmp_path / "one.png", pixels=16, dpi=20).slabs[0] for one in both]
    assert zeldo.show(both, tmp_path / "both.png", pixels=16, dpi=20).slabs == alone
    assert "start = 120" in refusal(lambda: zeldo.show(both, tmp_path / "p.png", start=120))


def test_part_of_a_masked_array_is_no_set_of_particles(snapshot):
    x = snapshot.positions()
    header = Header(len(x), snapshot.box, 0.0, snapshot.cosmology)
    masked = np.ma.masked_array(x, mask=x < 5)
    assert "positions is a masked array" in refusal(lambda: Particles(header, masked))
    psi = np.ma.masked_array(snapshot.psi, mask=snapshot.psi > 0)
    assert "psi is a masked array" in refusal(lambda: replace(snapshot, psi=psi))
    assert len(Particles(header, np.ma.masked_array(x))) == len(x)


def test_names_that_are_no_utf8_are_drawn_and_listed(snapshot, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.npz")
    zeldo.write(snapshot, path)
    zeldo.show(path, tmp_path / "p.png", pixels=16, dpi=20)
    for suffix in (".csv", ".json", ".hdf5", ".html"):
        zeldo.measure(path, "power", command=path, output=tmp_path / f"m{suffix}")
    assert "caf\N{REPLACEMENT CHARACTER}" in (tmp_path / "m.csv").read_text(encoding="utf-8")


FOUND = {"linking_length": 0.35, "minimum": 6}


@pytest.fixture(scope="module")
def universe(tmp_path_factory):
    path = tmp_path_factory.mktemp("u") / "u.zarr"
    zeldo.run(engine="zeldovich", n=16, box=16.0, power="eisenstein-hu", output=path)
    return path


def test_halos_are_found_as_asked_in_memory_and_on_disk(universe, monkeypatch):
    expected = friends_of_friends(zeldo.read(universe), **FOUND)
    usual = friends_of_friends(zeldo.read(universe))
    assert len(expected.count) != len(usual.count)
    whole = zeldo.halos(universe, **FOUND)
    monkeypatch.setattr("zeldo.measures.on_disk", lambda source, *_, **__: OnDisk.open(source))
    for found in (whole, zeldo.halos(universe, **FOUND)):
        np.testing.assert_array_equal(found.friends.count, expected.count)


def test_options_of_a_universe_on_disk_are_held_to_it(universe, monkeypatch, tmp_path):
    monkeypatch.setattr("zeldo.sources.available", lambda: 400 * 16**3 / 2)
    draw = partial(zeldo.show, output=tmp_path / "p.png")
    for call in (zeldo.measure, zeldo.halos, draw):
        assert "omega_m = 0.3175 in the file" in refusal(lambda: call(universe, omega_m=0.25))  # noqa: B023
        assert "leave ids out" in refusal(lambda: call(universe, ids="none"))  # noqa: B023


def test_a_mesh_that_is_too_coarse_for_bispectra_is_named_before_particles_are_painted(snapshot, monkeypatch):
    module = sys.modules["zeldo.statistics.measurement"]  # a function of this name hides it
    monkeypatch.setattr(module, "density_modes", None)
    assert "a mesh of 16 points a side is too coarse" in refusal(
        lambda: zeldo.measure(snapshot, ["bispectrum"], mesh=16)
    )


@pytest.mark.parametrize("subtracted", [True, False])
def test_the_page_says_whether_shot_noise_is_subtracted(snapshot, tmp_path, subtracted):
    page = tmp_path / "m.html"
    zeldo.measure(snapshot, "power", mesh=64, subtract_shot_noise=subtracted, output=page)
    text = page.read_text(encoding="utf-8")
    assert ("Shot noise, V/N, is subtracted." in text) == subtracted
    assert ("Shot noise is not subtracted." in text) != subtracted


def test_long_settings_wrap_and_leave_room_for_the_other_columns():
    """Those of the emulator filled the page, and what stood right of them was cut off in print."""
    settings = {"dynamics": "pm:steps=13,sharpening=2.0,start_redshift=16.0,spacing=graded"}
    (snapshot,) = zeldo.run(engine="zeldovich", n=8, box=50.0, power="eisenstein-hu")
    measured = replace(measurement(snapshot, "power"), made={"settings": settings}, tables={})
    (cell,) = re.findall(r"<td[^>]*>(.*dynamics pm.*?)</td>", page([measured]))
    assert cell.startswith('<span class="settings">')


def test_the_ratio_of_other_redshifts_is_in_its_panel():
    """The power of today is some ten times that at z = 3."""
    given = {"engine": "zeldovich", "n": 8, "box": 50.0, "power": "eisenstein-hu", "redshift": [3, 0]}
    early, late = (measurement(snapshot, "power") for snapshot in zeldo.run(**given))
    panel = measured_figure([early, late], PLOTS[0]).axes[1]
    ratio = panel.lines[1].get_ydata()
    assert np.median(ratio) > 5
    low, high = panel.get_ylim()
    assert low < 1 and np.mean((low < ratio) & (ratio < high)) > 0.5


def test_masses_have_plain_numbers():
    """Matplotlib's own are powers of ten that lie over each other."""
    mass = np.geomspace(1500, 15000, 10)
    table = {"mass": mass, "dn_dlnm": 1 / mass, "error": 0.1 / mass}
    one = Measurement("a", "pm", 0.0, 60.0, 32**3, 1.6, None, {}, {"mass_function": table})
    ax = measured_figure([one], PLOTS[-1]).axes[0]
    FigureCanvasAgg(ax.figure).draw()
    assert [label.get_text() for label in ax.get_xticklabels(which="both") if label.get_text()] == [
        "3000",
        "10000",
    ]


def test_mass_functions_from_disk_are_of_the_halos_asked_for(universe):
    expected = mass_function(friends_of_friends(zeldo.read(universe), **FOUND))
    made = measurement(OnDisk.open(universe), ["mass-function"], **FOUND).tables["mass_function"]
    np.testing.assert_array_equal(made["count"], expected.count)


class Told(list):
    """A progress callback that keeps what it was told: numbers that never fall, up to their total."""

    def __call__(self, done, total, text):
        assert 0 <= done <= total and (not self or done >= self[-1][0])
        self.append((done, total, text))

    @property
    def texts(self):
        return [text for *_, text in self]


def test_measure_tells_each_statistic_of_each_file(files):
    told = Told()
    zeldo.measure(files, ["power", "mass-function"], mesh=16, progress=told)
    parts = ["reading", "power", "mass-function"]
    assert told.texts == [f"{name}.hdf5: {part}" for name in ("whole", "part") for part in parts]
    assert [done for done, *_ in told] == [0, 0, 0.5, 1, 1, 1.5] and {total for _, total, _ in told} == {2}


def test_show_tells_the_planes_that_it_draws(files, tmp_path):
    told = Told()
    zeldo.show(files, tmp_path / "out.png", pixels=16, dpi=10, progress=told)
    assert told.texts[:2] == ["whole.hdf5: reading", "whole.hdf5: plane 1 of 64"] and len(told) > 4
    assert told[-1] == (1, 2, "part.hdf5: reading")


def test_halos_on_disk_tell_the_slabs(universe, monkeypatch):
    told = Told()
    zeldo.halos(universe, **FOUND, progress=told)
    assert not told  # one piece of work
    monkeypatch.setattr("zeldo.measures.on_disk", lambda source, *_, **__: OnDisk.open(source))
    monkeypatch.setattr("zeldo.statistics.streaming_halos.available", lambda: 400 * 16**3 / 2)
    zeldo.halos(universe, **FOUND, progress=told)
    assert told.texts == [
        "sorting particles",
        "groups in slab 1 of 2",
        "groups in slab 2 of 2",
        "spheres in slab 1 of 2",
        "spheres in slab 2 of 2",
    ]
    assert [done for done, *_ in told] == [0, 0, 1, 2, 3] and {total for _, total, _ in told} == {4}


@pytest.mark.parametrize("call", [zeldo.measure, zeldo.halos, zeldo.show])
def test_progress_is_a_function(call, universe):
    with pytest.raises(zeldo.InputError, match="progress = 3 is not allowed"):
        call(universe, progress=3)


@pytest.mark.parametrize("command", ["measure", "halos", "show"])
def test_commands_hand_their_progress_to_the_work(command, monkeypatch, tmp_path):
    def work(*args, progress, **kwargs):
        assert progress.title == command
        raise KeyboardInterrupt

    monkeypatch.setattr(measures, command, work)
    assert main([command, str(tmp_path / "absent")]) == 130


def test_shot_noise_is_subtracted_as_by_the_functions(universe, tmp_path, capsys):
    path = zeldo.write(zeldo.read(universe), tmp_path / "s.hdf5")
    assert main(["measure", str(path), "--subtract-shot-noise", "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["measurements"]
    snapshot = zeldo.read(path)
    power = zeldo.power_spectrum(snapshot, subtract_shot_noise=True)
    poles = zeldo.redshift_space_multipoles(snapshot, subtract_shot_noise=True)
    np.testing.assert_allclose(said["power"]["power"], power.power)
    np.testing.assert_allclose(said["multipoles"]["monopole"], poles.monopole)
    np.testing.assert_allclose(said["multipoles"]["quadrupole"], poles.quadrupole)
    noisy = zeldo.measure(snapshot)[0]
    np.testing.assert_allclose(noisy.tables["power"]["power"] - power.power, 1.0)  # (16 Mpc/h)^3 / 16^3
    np.testing.assert_allclose(noisy.tables["multipoles"]["monopole"] - poles.monopole, 1.0)
    assert said["settings"]["subtract_shot_noise"] is True and "subtract_shot_noise" not in noisy.settings
    from_disk = measurement(OnDisk.open(universe), subtract_shot_noise=True).tables
    np.testing.assert_allclose(from_disk["power"]["power"], power.power, rtol=1e-4, atol=1e-4)


def test_shot_noise_of_nothing_that_has_any_is_refused(universe, capsys):
    assert main(["measure", str(universe), "-s", "mass-function", "--subtract-shot-noise"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "mass-function with subtract_shot_noise is not allowed" in err
