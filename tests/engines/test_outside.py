"""An engine that somebody else wrote, outside the package: it runs and compares like zeldo's own."""

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import zeldo
from refusals import refusal
from zeldo.engines import registry
from zeldo.engines.checks import one_for_each

TINY = {"n": 8, "box": 20, "power": "eisenstein-hu"}
DOCS = Path(__file__).parents[2] / "docs" / "tutorials" / "own-engine.md"


def example(start):
    """The cell of the tutorial that begins with a line."""
    if not DOCS.exists():
        pytest.skip("the documentation is not here")
    (block,) = [
        text for text in DOCS.read_text().split("```{code-cell} ipython3\n")[1:] if text.startswith(start)
    ]
    return block.split("```")[0]


@pytest.fixture
def clean(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.fixture
def package(tmp_path, monkeypatch, clean):
    """Makes a package and tells of it as an installer does: by a directory of metadata on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, entries, code, distribution=None):
        folder = tmp_path / f"{distribution or name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: 1.0\n"
        )
        (folder / "entry_points.txt").write_text("[zeldo.engines]\n" + "\n".join(entries) + "\n")
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()  # of the directory, too young for its time stamp to tell
        registry._installed.cache_clear()

    yield install
    registry._installed.cache_clear()


def test_a_redshift_off_by_rounding_is_the_one_that_was_asked_for():
    """1 / a - 1, as engines may say it."""
    (made,) = zeldo.run(engine="zeldovich", redshift=0.1, **TINY)
    given = replace(made, redshift=0.10000000000000009)
    (found,) = one_for_each("mine", [given], [0.1])
    assert found.redshift == 0.1 and found.psi is made.psi


def in_place(snapshots, field):
    """As an engine that keeps a field in one array, and hands out that array each time."""
    array = None
    for snapshot in snapshots:
        array = getattr(snapshot, field).copy() if array is None else array
        array[:] = getattr(snapshot, field)
        yield replace(snapshot, **{field: array})


@pytest.mark.parametrize("field", ["psi", "vel"])
def test_an_engine_does_not_change_a_snapshot_that_it_gave(field):
    given = zeldo.run(engine="zeldovich", redshift=[0, 1, 2], **TINY)
    line = refusal(lambda: list(one_for_each("mine", in_place(given, field), [2, 1, 0])))
    assert line.startswith("engine mine put z = 1 into the arrays of its snapshot at z = 2, which changed")
    made = one_for_each("mine", in_place(given, field), [2, 1, 0])
    assert [next(made).redshift for _ in given] == [2, 1, 0]  # nobody has an earlier one any more
    assert len(list(one_for_each("mine", given, [2, 1, 0]))) == 3


def test_an_engine_gives_snapshots():
    line = refusal(lambda: list(one_for_each("mine", [{"psi": 0}], [0])))
    assert line == "engine mine gave a dict: its `evolve` must yield what `self.snapshot` returns"


def test_the_engine_of_the_documentation_runs_and_compares_by_name(package, tmp_path):
    package("slowly", ["slowed = slowly:Slowed"], example("# slowly.py"))
    (ours,) = zeldo.run(engine="slowed:share=0.5", **TINY)
    (whole,) = zeldo.run(engine="zeldovich", **TINY)
    np.testing.assert_allclose(ours.psi, whole.psi / 2, rtol=1e-6)
    assert ours.engine == "slowed" and ours.settings == {"share": 0.5}
    result = zeldo.compare(
        engine=["slowed", "zeldovich"], reference="2lpt", output=tmp_path / "report", **TINY
    )
    assert [one.engine for one in result.comparisons] == ["slowed", "zeldovich"]
    assert "slowed" in (tmp_path / "report" / "index.html").read_text()
    against = zeldo.compare(engine="zeldovich", reference="slowed:share=1", **TINY).comparisons[0]
    assert against.reference == "slowed:share=1"
    assert against.fields["displacement"].transfer == pytest.approx(1, abs=1e-5)


def test_the_command_line_knows_it(package, tmp_path):
    package("slowly", ["slowed = slowly:Slowed"], example("# slowly.py"))
    source = str(Path(zeldo.__file__).parents[1])
    told = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), source])}

    def command(*arguments):
        line = [
            sys.executable,
            "-m",
            "zeldo",
            *arguments,
            "--n",
            "8",
            "--box",
            "20",
            "--power",
            "eisenstein-hu",
        ]
        return subprocess.run(line, env=told, capture_output=True, text=True, cwd=tmp_path)

    ran = command("run", "--engine", "slowed", "-o", "out.npz")
    assert ran.returncode == 0, ran.stderr
    assert "by slowed" in ran.stdout and (tmp_path / "out.npz").exists()
    compared = command("compare", "--engine", "slowed", "--reference", "2lpt")
    assert compared.returncode == 0, compared.stderr
    assert "slowed" in compared.stdout
    wrong = command("run", "--engine", "slowed:sharp=1")
    assert wrong.returncode == 2
    assert "engine slowed has no option 'sharp': it takes share; did you mean 'share'?" in wrong.stderr


def test_the_stepping_engine_of_the_documentation_is_resumable_and_observed(clean, tmp_path):
    namespace = {"__name__": "mine"}
    exec(compile(example("# late.py"), "late.py", "exec"), namespace)
    seen = []
    path = tmp_path / "c.npz"
    engine = namespace["Late"](steps=3, checkpoint=path, checkpoint_minutes=0)

    def killed(view):
        seen.append(view.step)
        if view.step == 3:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        zeldo.run(engine=engine, observers=[killed], **TINY)
    assert seen == [0, 1, 2, 3] and path.exists()
    (again,) = zeldo.run(engine=engine, **TINY)
    (whole,) = zeldo.run(engine="late:steps=3", **TINY)
    np.testing.assert_array_equal(again.psi, whole.psi)


def test_objects_names_and_files_stand_beside_one_another(package):
    package("slowly", ["slowed = slowly:Slowed"], example("# slowly.py"))
    mine = zeldo.engine("slowed", share=0.9)
    (ours,) = zeldo.run(engine=mine, **TINY)
    assert ours.settings == {"share": 0.9}
    result = zeldo.compare(engine=[mine, "cola"], reference=zeldo.engine("2lpt"), steps=2, **TINY)
    assert [one.engine for one in result.comparisons] == ["slowed", "cola"]
    assert result.snapshots[1].settings["steps"] == 2 and result.comparisons[0].reference == "2lpt"
    line = refusal(lambda: zeldo.run(engine=zeldo.engine("cola"), steps=3, **TINY))
    assert line.startswith("engine cola is an object with its options, so steps cannot be given too")
    line = refusal(lambda: zeldo.compare(engine=[zeldo.engine("cola")], steps=3, reference="2lpt", **TINY))
    assert "so steps cannot be given too" in line
    assert "give a name such as cola" in refusal(lambda: zeldo.run(engine=object(), **TINY))
    assert "made from the class: write" in refusal(lambda: zeldo.run(engine=type(mine), **TINY))


def test_a_package_that_is_broken_breaks_nothing_else(package):
    package("broken", ["broken = broken:Engine"], "import nothing_of_this_name\n")
    assert "broken" in registry.names()
    assert zeldo.engine("zeldovich").name == "zeldovich"
    line = refusal(lambda: zeldo.run(engine="broken", **TINY))
    assert line.startswith("engine broken (broken:Engine) cannot be loaded (ModuleNotFoundError")
    package("empty", ["empty = empty:Nothing"], "")
    assert "engine empty (empty:Nothing) cannot be loaded" in refusal(lambda: zeldo.engine("empty"))
    package("wrong", ["wrong = wrong:Thing"], "class Thing: pass\n")
    assert "is not an engine: give a class that inherits from zeldo.Engine" in refusal(
        lambda: zeldo.engine("wrong")
    )


def test_two_engines_of_one_name_are_refused(package):
    code = example("# slowly.py")
    package("slowly", ["slowed = slowly:Slowed"], code)
    package("others", ["slowed = others:Slowed"], code)
    line = refusal(lambda: zeldo.engine("slowed"))
    assert line.startswith("engine slowed is offered twice, by ") and "uninstall" in line
    package("colas", ["cola = colas:Slowed"], code)
    line = refusal(lambda: zeldo.engine("cola"))
    assert "offered twice, by zeldo.engines.cola:Cola and colas:Slowed" in line


def test_an_entry_point_of_another_name_than_its_class_is_refused(package):
    package("slowly", ["quick = slowly:Slowed"], example("# slowly.py"))
    assert "calls itself 'slowed': both names must agree" in refusal(lambda: zeldo.engine("quick"))


def test_a_class_needs_a_name_of_its_own_and_its_method(clean):
    def evolve(self, ics, redshifts, progress):
        return iter(())

    def registered(**attributes):
        return zeldo.register(type("Mine", (zeldo.Engine,), {"evolve": evolve, **attributes}))

    assert "engine cola exists already (zeldo.engines.cola:Cola)" in refusal(lambda: registered(name="cola"))
    for name in ("a b", "", "net.pt", 3, "a:b"):
        assert f"has the name {name!r}" in refusal(lambda name=name: registered(name=name))
    assert "revision = '2'" in refusal(lambda: registered(name="mine", revision="2"))
    assert "lacks evolve" in refusal(lambda: zeldo.register(type("Mine", (zeldo.Engine,), {"name": "mine"})))
    assert "not an engine" in refusal(lambda: zeldo.register(dict))
    registered(name="mine")
    again = registered(name="mine")  # as when a notebook's cell is run twice
    assert type(zeldo.engine("mine")) is again
    other = type("Other", (zeldo.Engine,), {"name": "mine", "evolve": evolve})
    assert "engine mine exists already" in refusal(lambda: zeldo.register(other))


class _Faulty(zeldo.Engine):
    """An engine whose snapshots are chosen by a test."""

    name = "faulty"
    given = staticmethod(lambda ics, redshifts: None)

    def evolve(self, ics, redshifts, progress):
        return self.given(ics, redshifts)

    def plan(self, n, redshifts=(0.0,)):
        return zeldo.engine("zeldovich").plan(n, redshifts)


def _snapshots(*redshifts):
    return lambda ics, wanted: zeldo.engine("zeldovich").run(ics, redshifts)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (_snapshots(1), "engine faulty gave no snapshot in place of z = 0"),
        (_snapshots(1, 0.5), "engine faulty gave z = 0.5 in place of z = 0"),
        (
            lambda ics, wanted: [*_snapshots(1, 0)(ics, wanted)] * 2,
            "engine faulty gave z = 1 after the last one",
        ),
        (lambda ics, wanted: None, "engine faulty gave no snapshot in place of z = 1"),
    ],
)
@pytest.mark.parametrize("output", [None, "u.npz", "u.zarr"])
def test_an_engine_gives_a_snapshot_for_each_redshift(tmp_path, monkeypatch, clean, given, words, output):
    monkeypatch.setattr(_Faulty, "given", staticmethod(given))
    where = None if output is None else tmp_path / output
    assert words in refusal(lambda: zeldo.run(engine=_Faulty(), redshift=[1, 0], output=where, **TINY))


@pytest.mark.parametrize("observers", [[3], print, "ab", {"a": print}])
def test_observers_are_functions(tmp_path, observers):
    out = tmp_path / "u.zarr"
    words = refusal(lambda: zeldo.run(engine="cola", observers=observers, output=out, **TINY))
    assert "is not allowed: give a list of functions" in words and not out.exists()
    ics = zeldo.initial_conditions(**TINY)
    assert words == refusal(lambda: zeldo.engine("cola").run(ics, [0], observers=observers))
