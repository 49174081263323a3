"""What a configuration file says is what is done, and a slip is named with the way out."""

import tomllib
from pathlib import Path

import pytest

from zeldo.configuration import load
from zeldo.cosmology.parameters import PRESETS
from zeldo.datasets.config import DatasetConfig
from zeldo.datasets.cosmologies import read_hypercube
from zeldo.datasets.design import make_design
from zeldo.errors import InputError
from zeldo.training.config import TrainConfig

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.glob("*.toml"))
DATASET = {"store": "s.zarr", "train": {"runs": 2, "first_seed": 5}}
TRAIN = {"output": "o", "data": {"store": "s.zarr"}}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_configurations_of_the_repository_are_valid(path, tmp_path):
    kind = DatasetConfig if path.stem.startswith("dataset") else TrainConfig
    config = load(path, kind)
    if isinstance(config, DatasetConfig):
        if config.latin_hypercube is not None:  # Quijote's file has 2000 rows and is not in the repository
            config = load(config, kind, {"latin_hypercube": hypercube(tmp_path, rows=2000)})
        runs = make_design(config)
        assert len(runs) == config.train.runs + config.validation.runs + config.test.runs
    elif config.data.dataset is not None:
        assert (CONFIGS.parent / config.data.dataset).is_file()


def test_the_paper_s_recipe_is_in_its_file():
    config = load(CONFIGS / "vnet_paper.toml", TrainConfig)
    option = config.optimizer
    assert (config.network.channels, config.network.levels, config.task.make().loss_weight) == (64, 3, 3.0)
    assert (option.rate, option.betas, option.schedule) == (1e-4, (0.9, 0.999), "plateau")
    assert (option.factor, option.patience, config.data.crop) == (0.5, 3, 128)


def test_overrides_reach_into_tables():
    override = {"data.store": "b.zarr", "optimizer.rate": 1e-2}
    config = load(TRAIN, TrainConfig, override)
    assert (str(config.data.store), config.optimizer.rate) == ("b.zarr", 1e-2)
    assert load(config, TrainConfig, {"epochs": 3}).optimizer.rate == 1e-2
    assert TRAIN["data"] == {"store": "s.zarr"}


def test_a_configuration_from_before_there_were_tasks_says_the_same():
    old = load(TRAIN | {"loss_weight": 1.0, "data": {"store": "s", "redshift": 0.5}}, TrainConfig)
    new = {"task": {"loss_weight": 1.0}, "data": {"store": "s", "redshifts": [0.5]}}
    assert old == load(TRAIN | new, TrainConfig)


@pytest.mark.parametrize("dotted", ["output.x", "output.x.y", "epochs.x"])
def test_a_value_is_no_table_to_reach_into(dotted):
    with pytest.raises(
        InputError, match=f"{dotted} cannot be set: {dotted.split('.')[0]} = .* is not a table"
    ):
        load(TRAIN | {"epochs": 2}, TrainConfig, {dotted: 3})


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (DatasetConfig, {"redshift": [0]}, r"unknown key 'redshift'; did you mean 'redshifts'\?"),
        (DatasetConfig, {"train": {"run": 1, "first_seed": 0}}, r"\[train\]; did you mean 'runs'"),
        (
            DatasetConfig,
            {"train": {"runs": -1, "first_seed": 0}},
            "train.runs = -1 is not allowed: give 0 or more",
        ),
        (
            DatasetConfig,
            {"box": [1, "a"]},
            "^the configuration: box.1 = 'a' is not allowed: give a number$",
        ),
        (
            DatasetConfig,
            {"box": "a"},
            "^the configuration: box = 'a' is not allowed: give a number or give a list$",
        ),
        (
            DatasetConfig,
            {"cosmology": {"omega_m": "x"}},
            "cosmology.omega_m = 'x' is not allowed: give a number$",
        ),
        (
            TrainConfig,
            {"devices": "all"},
            "devices = 'all' is not allowed: give a whole number or choose 'auto'",
        ),
        (DatasetConfig, {"train": 3}, "train = 3 is not allowed: give a table"),
        (TrainConfig, {"range_w0": [-1]}, r"range_w0 = \[-1\] is not allowed: give 2 values"),
        (TrainConfig, {"data": {"store": "a", "redshift": "b"}}, r"\[data\]: redshift must be a number"),
        (TrainConfig, {"seed": 2**63}, "seed = 9223372036854775808 is not allowed: give less than"),
        (
            TrainConfig,
            {"network": {"channels": 10**6}},
            "channels = 1000000 is not allowed: give 1024 or less",
        ),
        (TrainConfig, {"task": {"name": "correction", "weights": 3}}, "weights = 3 .* give a table"),
        (TrainConfig, {"task": {"name": "correction", "inputs": 3}}, "inputs = 3 .* give a list"),
        (TrainConfig, {"task": {"name": "correction", "inputs": "psi"}}, "inputs = 'psi' .* give a list"),
        (DatasetConfig, {"psi_step": 1e9}, "psi_step = 1000000000.0 is not allowed: give 1 or less"),
        (TrainConfig, {"epochs": 1.5}, "epochs = 1.5 is not allowed: give a whole number"),
        (TrainConfig, {"epochs": "16"}, "epochs = '16' is not allowed: give a whole number"),
        (TrainConfig, {"epochs": True}, "epochs = true is not allowed: give a whole number"),
        (DatasetConfig, {"box": [64.0, "125"]}, "box = \\[64.0, '125'\\] is not allowed: give a number"),
        (TrainConfig, {"precision": "half"}, "choose '32-true', 'bf16-mixed' or 'auto'"),
        (DatasetConfig, {"redshifts": [-0.5]}, "redshifts must be numbers, 0 or more"),
        (DatasetConfig, {"redshifts": [float("nan")]}, "redshifts must be numbers, 0 or more"),
        (DatasetConfig, {"redshifts": [1.0001, 1.0]}, "1.0001 and 1.0 are the same redshift"),
        (DatasetConfig, {"workers": 0}, "workers = 0"),
        (TrainConfig, {"optimizer": {"learning_rate": 1}}, r"in \[optimizer\].*known are name"),
        (TrainConfig, {"optimizer": {"rate": float("inf")}}, "optimizer.rate"),
        (TrainConfig, {"data": {}}, "give one of store, dataset or snapshots"),
        (TrainConfig, {"data": {"snapshots": [{"pth": "a"}]}}, "did you mean 'path'"),
        (TrainConfig, {"data": {"store": "a", "background": True}}, "background needs dataset"),
        (TrainConfig, {"optimizer": {"schedule": "linear"}}, "'plateau' or 'cosine'"),
        (TrainConfig, {"output": None}, "output"),
        (TrainConfig, {"output": ""}, "output = '' is not allowed: give a path"),
        (TrainConfig, {"start_from": ""}, "start_from = '' is not allowed: give a path"),
        (TrainConfig, {"task": {"name": "deoliviera2020"}}, r"\[task\]: .*did you mean 'deoliveira2020'"),
        (TrainConfig, {"task": {"loss_wight": 1}}, r"\[task\]: .*did you mean 'loss_weight'"),
        (TrainConfig, {"task": {"loss_weight": -1}}, r"\[task\]: loss_weight = -1 is not allowed"),
        (TrainConfig, {"task": {"loss_weight": float("nan")}}, "loss_weight = nan is not allowed"),
        (TrainConfig, {"loss_weight": 1, "task": "vnet"}, "task = 'vnet' is not allowed"),
        (TrainConfig, {"name": "a/b"}, "name = 'a/b' is not allowed: give a name without"),
        (TrainConfig, {"name": ""}, "name = '' is not allowed"),
        (TrainConfig, {"name": ".."}, "name = '..' is not allowed"),
        (TrainConfig, {"name": "a.safetensors"}, "without .safetensors"),
        (
            TrainConfig,
            {"optimizer": {"betas": [1.5, 0.9]}},
            "optimizer.betas = .* is not allowed: give two numbers",
        ),
        (TrainConfig, {"loss_weight": 1, "task": {"loss_weight": 1}}, "are one setting"),
        (TrainConfig, {"data": {"store": "a", "redshift": 0, "redshifts": [1]}}, "are one setting"),
        (TrainConfig, {"data": {"store": "a", "redshifts": [-1]}}, "redshifts must be numbers"),
        (TrainConfig, {"network": {"name": "vent"}}, "did you mean 'vnet'"),
        (TrainConfig, {"network": {"levels": 9}}, "network.levels = 9 is not allowed"),
        (TrainConfig, {"range_omega_m": [0.5, 0.1]}, "range_omega_m = .*the lowest and the highest"),
        (TrainConfig, {"range_sigma_8": [1.1, 0.5]}, "range_sigma_8 = .*the lowest and the highest sigma_8"),
        (
            TrainConfig,
            {"range_w0": [-0.1, -1]},
            "range_w0 = .*the lowest and the highest w0, from -3 to -0.3",
        ),
    ],
)
def test_a_slip_is_one_line_that_names_the_way_out(kind, change, words):
    given = (DATASET if kind is DatasetConfig else TRAIN) | change
    with pytest.raises(InputError, match=words) as error:
        load(given, kind)
    assert "\n" not in str(error.value)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(InputError, match="there is no configuration file"):
        load(tmp_path / "none.toml", TrainConfig)
    (tmp_path / "bad.toml").write_text("a = [")
    with pytest.raises(InputError, match="is not TOML"):
        load(tmp_path / "bad.toml", TrainConfig)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path, TrainConfig)


def test_redshifts_come_from_high_to_low_without_doubles():
    assert load(DATASET | {"redshifts": [0, 2, 1, 0]}, DatasetConfig).redshifts == (2.0, 1.0, 0.0)


def hypercube(tmp_path, rows=5):
    lines = ["#Omega_m Omega_b h n_s sigma_8"]
    lines += [f"{0.2 + 0.05 * i / rows} 0.05 0.7 0.96 {0.7 + 0.05 * i / rows}" for i in range(rows)]
    path = tmp_path / "lh.txt"
    path.write_text("\n".join(lines))
    return path


def test_fiducial_designs_repeat_one_cosmology_with_disjoint_seeds():
    given = DATASET | {"validation": {"runs": 1, "first_seed": 0}, "test": {"runs": 1, "first_seed": 9}}
    runs = make_design(load(given, DatasetConfig))
    assert [(r.part, r.universe.seed) for r in runs] == [
        ("validation", 0),
        ("train", 5),
        ("train", 6),
        ("test", 9),
    ]
    assert {r.universe.cosmology for r in runs} == {PRESETS["quijote"]}


def test_hypercube_designs_take_rows_of_the_file(tmp_path):
    path = hypercube(tmp_path)
    given = DATASET | {
        "latin_hypercube": path,
        "train": {"runs": 2, "first_seed": 5, "first_row": 1},
        "validation": {"runs": 1, "first_seed": 0, "first_row": 4},
    }
    runs = make_design(load(given, DatasetConfig))
    assert [r.universe.cosmology.omega_m for r in runs] == pytest.approx([0.24, 0.21, 0.22])
    assert read_hypercube(path, runs[0].universe.cosmology)[4] == runs[0].universe.cosmology


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"validation": {"runs": 2, "first_seed": 4}},
            "seed 5 is in validation and in train: .* of one of train, validation, test",
        ),
        ({"lh": True, "validation": {"runs": 1, "first_seed": 0}}, "row 0 of the hypercube"),
        ({"lh": True, "train": {"runs": 6, "first_seed": 5}}, "rows are 0 to 4"),
        ({"latin_hypercube": "none.txt"}, "cannot be read"),
        ({"cosmology": "quixote"}, "did you mean 'quijote'"),
        ({"cosmology": {"omega_m": 0.3}}, "lacks"),
        ({"cosmology": {"omega_x": 0.3}}, "no parameter 'omega_x'"),
        ({"n": 17}, "n = 17"),
    ],
)
def test_designs_that_will_not_do_are_refused(tmp_path, change, words):
    change = dict(change)
    if change.pop("lh", False):
        change["latin_hypercube"] = hypercube(tmp_path)
    with pytest.raises(InputError, match=words):
        make_design(load(DATASET | change, DatasetConfig))


def test_files_are_read_as_toml(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('store = "x"\n[train]\nruns = 1\nfirst_seed = 3\n')
    assert load(path, DatasetConfig) == load(tomllib.loads(path.read_text()), DatasetConfig)
