"""What was made by one thing is not mixed with, or resumed by, another in silence."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest

import zeldo
from refusals import refusal
from zeldo.datasets.dataset import make_dataset
from zeldo.engines.registry import engine_class
from zeldo.particles.provenance import Provenance, minor_version, weights_hash
from zeldo.statistics import compare_snapshots
from zeldo.store.runs import RunStore
from zeldo.version import __version__

TINY = {"n": 8, "box": 32.0, "power": "eisenstein-hu"}
MADE = Provenance("0.2.1.dev3+gabc", 1, "12345678" + 56 * "0")


@pytest.fixture(scope="module")
def ics():
    return zeldo.initial_conditions(seed=3, **TINY)


@pytest.fixture
def snapshot(ics):
    (made,) = zeldo.run(ics=ics, engine="zeldovich")
    return made


def test_a_snapshot_says_by_what_it_was_made(snapshot):
    assert snapshot.provenance == Provenance(__version__, 1, None)


def test_a_networks_snapshot_says_the_hash_of_its_weights():
    from zeldo.engines.trained import shipped_weights

    ics = zeldo.initial_conditions(n=16, box=31.25, seed=3, power="eisenstein-hu")
    (made,) = zeldo.run(ics=ics, engine="vnet", extrapolate=True)
    assert made.weights == sha256(shipped_weights().read_bytes()).hexdigest()
    assert Provenance.of(zeldo.engine("vnet")).weights == made.weights


def test_weights_that_change_under_one_name_have_another_hash(tmp_path):
    path, other = tmp_path / "net.safetensors", tmp_path / "velocity.safetensors"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    before = weights_hash(path, other)
    assert before == f"{sha256(b'one').hexdigest()}+{sha256(b'two').hexdigest()}"
    path.write_bytes(b"three")
    assert weights_hash(path, other) != before


@pytest.mark.parametrize("suffix", [".hdf5", ".npz"])
def test_files_keep_it(snapshot, tmp_path, suffix):
    given = replace(snapshot, version=MADE.version, revision=7, weights=MADE.weights)
    assert zeldo.read(zeldo.write(given, tmp_path / f"a{suffix}")).provenance == replace(MADE, revision=7)
    silent = replace(snapshot, revision=None, weights=None)
    assert zeldo.read(zeldo.write(silent, tmp_path / f"b{suffix}")).provenance == Provenance(__version__)


def test_a_store_and_a_comparison_keep_it(ics, snapshot, tmp_path):
    given = replace(snapshot, revision=7, weights=MADE.weights)
    store = RunStore(tmp_path / "s.zarr")
    store.add("a", ics, [given])
    assert (
        store.snapshot("a").provenance == given.provenance == replace(MADE, version=__version__, revision=7)
    )
    content = json.loads(json.dumps(compare_snapshots(given, snapshot).to_dict()))
    assert [content[name] for name in ("version", "revision", "weights")] == [__version__, 7, MADE.weights]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "0.3.0"}, "version 0.3 there, 0.2 here"),
        ({"version": "1.2.1"}, "version 1.2 there, 0.2 here"),
        ({"revision": 2}, "engine revision 2 there, 1 here"),
        ({"weights": 64 * "f"}, "weights of sha256 ffffffff there, 12345678 here"),
        ({"version": "0.2.9"}, None),
        ({"version": "0+unknown"}, None),
        ({"revision": None, "weights": None}, None),
    ],
)
def test_what_may_not_be_mixed(change, words):
    assert MADE.clash(replace(MADE, **change)) == words
    if "version" in change and change["version"] != "0+unknown":
        assert (MADE.key == replace(MADE, **change).key) is (words is None)


def test_versions_count_to_the_minor_number():
    assert [minor_version(text) for text in ("0.2.0.dev3+g1", "10.12", "", "0+unknown")] == [
        "0.2",
        "10.12",
        None,
        None,
    ]


def test_a_store_takes_no_run_of_another_revision_of_its_engine(ics, snapshot, tmp_path):
    store = RunStore(tmp_path / "s.zarr")
    store.add("a", ics, [snapshot])
    line = refusal(lambda: store.add("b", ics, [replace(snapshot, revision=2)]))
    assert "holds runs of zeldovich that others may not join (engine revision 1 there, 2 here)" in line
    assert store.run_ids() == ["a"] and not list(store.path.glob(".partial*"))
    store.add("c", ics, [replace(snapshot, engine="another", revision=2)])


@pytest.mark.parametrize("what", ["revision", "version"])
def test_a_data_set_refuses_before_any_work(tmp_path, monkeypatch, what):
    given = {
        "store": tmp_path / "s.zarr",
        "engine": "zeldovich",
        "train": {"runs": 1, "first_seed": 1},
        **TINY,
    }
    make_dataset(given)
    if what == "revision":
        monkeypatch.setattr(engine_class("zeldovich"), "revision", 2, raising=False)
    else:
        monkeypatch.setattr("zeldo.particles.provenance.__version__", "99.0")
    given["train"] = {"runs": 2, "first_seed": 1}
    line = refusal(lambda: make_dataset(given))
    assert what in line and "choose another store" in line
    assert len(RunStore(tmp_path / "s.zarr")) == 1


def test_the_key_of_a_run_is_of_one_revision_minor_version_and_file_of_weights(ics, tmp_path, monkeypatch):
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"one")

    def key(version="0.2.1.dev3+gabc", revision=1):
        with monkeypatch.context() as patch:
            patch.setattr("zeldo.particles.provenance.__version__", version)
            patch.setattr(engine_class("vnet"), "revision", revision)
            return zeldo.engine("vnet", weights=weights).key(ics, [0.0])

    first = key()
    assert key("0.2.7") == first
    weights.write_bytes(b"three")
    assert len({first, key(), key("0.3.0"), key(revision=2)}) == 4


def test_a_checkpoint_of_another_version_is_refused(ics, tmp_path, monkeypatch):
    pm = zeldo.engine("pm", steps=8, checkpoint=tmp_path / "c.npz", checkpoint_minutes=0)
    next(pm.run(ics, [1.0, 0.0]))
    monkeypatch.setattr("zeldo.particles.provenance.__version__", "99.0")
    line = refusal(lambda: next(pm.run(ics, [1.0, 0.0])))
    assert "version" in line and "remove it or give another name" in line
