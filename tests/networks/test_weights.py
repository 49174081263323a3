"""Files of weights: every layout comes back as it went in, and nothing in a file is ever run."""

import dataclasses
import io
import json
import os
import pickle
import re
import shlex
import signal
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_networks import draw, getter_c, nested_c, plain_a, plain_styled, shapes_a, shapes_b
from safetensors import safe_open

import zeldo
from zeldo.commands import main
from zeldo.engines.parsing import parse_engine
from zeldo.errors import DamagedFileError, InputError, ZeldoError
from zeldo.networks import architectures
from zeldo.networks.card import ModelCard
from zeldo.networks.styled import StyledVNet
from zeldo.networks.vnet import VNet
from zeldo.networks.weights import import_model, load, save, shared
from zeldo.training.checkpoint import save_checkpoint


def same(net, state):
    ours = net.state_dict()
    assert set(ours) == set(state)
    return all(torch.equal(ours[name], state[name]) for name in state)


def card(**changes):
    arguments = {"channels": 2, "levels": 3, "in_channels": 3, "out_channels": 3}
    first = ModelCard("vnet", arguments, "deoliveira2020", {}, (0, 0), (1.9, 2.0), (0.1, 0.5), "a note")
    return dataclasses.replace(first, **changes)


def write_npz_pickle(path, content, name="params", dump=None):
    """An npz with one object array, as numpy writes it; dump: bytes of another pickle."""
    if dump is None:
        np.savez(path, **{name: np.array(content, dtype=object)})
        return
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": ()})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.npy", buffer.getvalue() + dump)


# ---- layouts


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("whole_state", [True, False])
def test_a_vnet_of_map2map_loads_unchanged(tmp_path, prefix, whole_state):
    state = draw(shapes_a(3))
    content = {prefix + name: value for name, value in state.items()}
    if whole_state:
        rng = torch.get_rng_state()
        content = {
            "epoch": 7,
            "model": content,
            "optimizer": {"state": {}},
            "scheduler": {},
            "rng": rng,
            "min_loss": np.float64(0.1) if prefix else 0.1,
        }
    torch.save(content, tmp_path / "state_7.pt")
    net = load(tmp_path / "state_7.pt")
    assert isinstance(net, VNet)
    assert not net.training
    assert same(net, state)
    assert net.card.task == "deoliveira2020"
    x = torch.randn(1, 3, 44, 44, 44)
    with torch.no_grad():
        assert torch.allclose(net(x), plain_a(state, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quantity", [None, "velocity"])
def test_a_styled_network_loads_unchanged(tmp_path, quantity):
    state = draw(shapes_b(3))
    torch.save({"model": state, "epoch": 1}, tmp_path / "params.pt")
    net = load(tmp_path / "params.pt", quantity=quantity)
    assert isinstance(net, StyledVNet)
    assert same(net, state)
    assert (net.card.task, net.card.quantity) == ("jamieson2022", quantity or "displacement")


def test_a_plain_npz_of_names_and_arrays_loads(tmp_path):
    state = draw(shapes_a(2))
    np.savez(tmp_path / "net.npz", **{name: value.numpy() for name, value in state.items()})
    assert same(load(tmp_path / "net.npz"), state)


class FakeJaxArray:
    """Pickles as a JAX array does, without JAX."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        construct, args, state = self.array.__reduce__()
        return sys.modules["jax._src.array"]._reconstruct_array, (
            construct,
            args,
            state,
            {"weak_type": False},
        )


@pytest.fixture
def fake_jax(monkeypatch):
    """A module of JAX's name while pickles are written; gone when they are read."""
    import types

    def _reconstruct_array(*args):
        raise AssertionError("the reader called into JAX")

    module = types.ModuleType("jax._src.array")
    _reconstruct_array.__module__, _reconstruct_array.__qualname__ = "jax._src.array", "_reconstruct_array"
    module._reconstruct_array = _reconstruct_array
    for name in ("jax", "jax._src"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "jax._src.array", module)


@pytest.mark.parametrize("leaves", ["numpy", "jax", "mixed"])
def test_the_emulator_with_redshift_loads_from_its_pickle(tmp_path, fake_jax, leaves):
    nested = nested_c(2)
    wrapped = {
        block: {
            layer: {
                name: FakeJaxArray(value)
                if leaves == "jax" or (leaves == "mixed" and name == "weight")
                else value
                for name, value in arrays.items()
            }
            for layer, arrays in layers.items()
        }
        for block, layers in reversed(nested.items())
    }
    path = tmp_path / "params.npz"
    write_npz_pickle(path, wrapped)
    net = load(path)
    assert isinstance(net, StyledVNet)
    assert net.styles == 2
    assert net.card.task == "jamieson2024"
    if leaves != "jax":
        return
    x, style = torch.randn(1, 3, 104, 104, 104), torch.tensor([0.2, -0.4])
    with torch.no_grad():
        out, expected = net(x, style), plain_styled(getter_c(nested), x, style, "interleaved")
    assert (out - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numpy_arrays_of_any_pickle_protocol_are_read_or_refused(tmp_path, protocol):
    nested = nested_c(2)
    write_npz_pickle(tmp_path / "p.npz", None, dump=pickle.dumps(nested, protocol=protocol))
    if protocol == 2:  # needs _codecs.encode, which arrays written by numpy do not
        with pytest.raises(DamagedFileError, match=r"_codecs\.encode"):
            load(tmp_path / "p.npz")
    else:
        got = load(tmp_path / "p.npz").state_dict()["conv_r1.skip.weight"]
        assert np.array_equal(got, nested["conv_r1"]["skip"]["weight"])


# ---- what does not fit


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("conv_l1.convs.4.running_mean"), r"lacks conv_l1\.convs\.4\.running_mean"),
        (lambda s: s.pop("conv_c.convs.0.weight"), r"lacks conv_c\.convs\.0\.weight"),
        (
            lambda s: s.update({"conv_l1.convs.9.weight": torch.zeros(3)}),
            r"unknown conv_l1\.convs\.9\.weight",
        ),
        (
            lambda s: s.update({"up_r1.convs.0.bias": torch.zeros(4)}),
            r"up_r1\.convs\.0\.bias has shape \(4,\)",
        ),
        (
            lambda s: s.update({"up_r1.convs.0.bias": torch.full((2,), np.nan)}),
            r"up_r1\.convs\.0\.bias .*not finite",
        ),
        (
            lambda s: s.update({"up_r1.convs.0.bias": torch.full((2,), 1e300, dtype=torch.float64)}),
            r"up_r1\.convs\.0\.bias .*not finite numbers in single precision",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_named(tmp_path, change, said):
    state = draw(shapes_a(2))
    change(state)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InputError, match=said):
        load(tmp_path / "net.pt")


def flat_c(c):
    return {
        f"{block}.{layer}.{name}": value
        for block, layers in nested_c(c).items()
        for layer, values in layers.items()
        for name, value in values.items()
    }


LAYOUTS = {
    "A": lambda: draw(shapes_a(4)),
    "A, module": lambda: {f"module.{name}": value for name, value in draw(shapes_a(2)).items()},
    "B": lambda: draw(shapes_b(4)),
    "C": lambda: flat_c(3),
    "C, params": lambda: {f"params.{name}": value for name, value in flat_c(2).items()},
}


@pytest.fixture
def loaded(monkeypatch):
    """`load` of arrays in memory, networks built once: hundreds of files in seconds."""
    from zeldo.networks import weights

    built = {}
    construct = weights._construct

    def once(card, path):
        key = (card.architecture, *sorted(card.arguments.items()))
        if key not in built:
            built[key] = construct(card, path)
        return built[key]

    monkeypatch.setattr(weights, "_construct", once)

    def loaded(arrays):
        monkeypatch.setattr(weights, "read_arrays", lambda path: (dict(arrays), {}))
        return load("a file")

    return loaded


def wrong_shapes(value):
    """The array with each of its axes one longer, and with one axis more."""
    for axis in range(value.ndim):
        yield np.pad(value, [(0, int(each == axis)) for each in range(value.ndim)], mode="wrap")
    yield value[None]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_key_that_is_wrong_is_named_whichever_it_is(loaded, layout):
    """No single tensor decides what the network is."""
    arrays = {name: np.asarray(value) for name, value in LAYOUTS[layout]().items()}
    for name, value in arrays.items():
        left = {other: each for other, each in arrays.items() if other != name}
        with pytest.raises(InputError, match=f"lacks {re.escape(name)}: it does not fit"):
            loaded(left)
        with pytest.raises(InputError, match=f"unknown {re.escape(name)}x"):
            loaded(arrays | {f"{name}x": value})
        for wrong in wrong_shapes(value):
            with pytest.raises(InputError, match=f"a file: {re.escape(name)} has shape"):
                loaded(arrays | {name: wrong})


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "extra",
    [
        "conv_l0.convs.0.style_weight",
        "down_l2.convs.0.weight2",
        "down_l3.convs.0.weight",
        "conv_l1.conv_0.weightx",
        "conv_l1.conv_9.weight",
        "conv_l1.convs.9.weight",
        "module.params.conv_c.skip.bias",
        "epoch",
    ],
)
def test_an_extra_key_is_named(loaded, layout, extra):
    with pytest.raises(InputError, match=f"unknown {re.escape(extra)}"):
        loaded({name: np.asarray(value) for name, value in LAYOUTS[layout]().items()} | {extra: np.zeros(3)})


@pytest.mark.parametrize(
    ("layout", "extra"),
    [
        ("A", "conv_l0.conv_0.weight"),
        ("A, module", "conv_l0.convs.0.weight"),
        ("C", "conv_l00.convs.0.weight"),
        ("C, params", "conv_l00.conv_0.weight"),
    ],
)
def test_no_name_takes_the_place_of_another_by_renaming(loaded, layout, extra):
    arrays = {name: np.asarray(value) for name, value in LAYOUTS[layout]().items()}
    with pytest.raises(InputError, match=f"unknown {re.escape(extra)}"):
        loaded(arrays | {extra: np.zeros((4, 3, 3, 3, 3))})


def test_what_is_left_of_a_network_is_refused(loaded):
    arrays = {name: np.asarray(value) for name, value in draw(shapes_b(2)).items()}
    for kept in ("conv_l00.", "conv_r01.", "up_r1.", "conv_c.skip.bias"):
        with pytest.raises(InputError, match=r"lacks|missing|no network that zeldo knows"):
            loaded({name: value for name, value in arrays.items() if name.startswith(kept)})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.pt", None, "cannot be read"),
        ("text.pt", b"not weights at all", r"not a file of weights alone \(torch writes no such files\)"),
        ("empty.pt", b"", "not a file of weights alone"),
        ("cut.npz", b"PK\x03\x04 and no more", "damaged"),
        ("cut.safetensors", (10**6).to_bytes(8, "little") + b"{", "not an intact safetensors"),
    ],
)
def test_files_that_are_no_weights_are_refused(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        load(tmp_path / name)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.to_sparse(),
        lambda x: x.to("meta"),
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    ],
    ids=["sparse", "meta", "quantised"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_not_plain_are_refused_by_name(tmp_path, make):
    state = draw(shapes_a(2))
    state["conv_c.convs.0.bias"] = make(state["conv_c.convs.0.bias"])
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(InputError, match=r"odd\.pt"):
        load(tmp_path / "odd.pt")


def test_another_network_is_refused(tmp_path):
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(InputError, match=r"no network that zeldo knows .*'weight'"):
        load(tmp_path / "linear.pt")


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_a_flipped_byte_in_a_tensor_is_damage(tmp_path, suffix):
    state, path = draw(shapes_a(2)), tmp_path / f"net{suffix}"
    if suffix == ".pt":
        torch.save(state, path)
    else:
        np.savez(path, **{name: value.numpy() for name, value in state.items()})
    content = bytearray(path.read_bytes())
    content[content.index(state["conv_c.convs.0.weight"].numpy().tobytes()) + 5] ^= 16
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"net\.(pt|npz).*damaged"):
        load(path)


def test_a_file_that_torch_wrote_without_check_sums_loads(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(draw(shapes_a(2)), tmp_path / "net.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert isinstance(load(tmp_path / "net.pt"), VNet)


# ---- code in files


class Evil:
    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


@pytest.mark.parametrize(
    ("call", "args", "named"),
    [
        (eval, ("open('{mark}', 'w')",), "builtins.eval"),
        (np.load, ("{mark}",), "load"),
        (getattr, (np, "save"), "builtins.getattr"),
        (__import__, ("os",), "builtins.__import__"),
    ],
)
def test_malicious_pickles_are_refused_by_name_and_not_run(tmp_path, call, args, named):
    mark = tmp_path / "mark"
    evil = Evil(call, *(a.format(mark=mark) if isinstance(a, str) else a for a in args))
    if call is getattr:
        evil = Evil(call, "text", "upper")
    write_npz_pickle(tmp_path / "evil.npz", {"conv_c": {"conv_0": evil}})
    with pytest.raises(DamagedFileError, match=named):
        load(tmp_path / "evil.npz")
    torch.save({"model": {"weight": evil}}, tmp_path / "evil.pt")
    with pytest.raises(DamagedFileError, match="not a file of weights alone"):
        load(tmp_path / "evil.pt")
    assert not mark.exists()


def test_a_pickle_cannot_alter_the_reader(tmp_path):
    # BUILD on a function: would set attributes of the reader's own
    dump = b"\x80\x04cjax._src.array\n_reconstruct_array\nN}\x8c\x05_callK\x01s\x86b."
    write_npz_pickle(tmp_path / "evil.npz", None, dump=dump)
    with pytest.raises(DamagedFileError, match="_call"):
        load(tmp_path / "evil.npz")


def test_objects_that_are_no_arrays_are_refused(tmp_path):
    write_npz_pickle(tmp_path / "list.npz", {"conv_c": {"conv_0": [1, 2]}})
    with pytest.raises(DamagedFileError, match=r"conv_c\.conv_0 is a list"):
        load(tmp_path / "list.npz")
    write_npz_pickle(tmp_path / "inner.npz", {"conv_c": np.array([None, {}], dtype=object)})
    with pytest.raises(DamagedFileError, match="conv_c is a ndarray, not an array"):
        load(tmp_path / "inner.npz")


# ---- zeldo's own files


def test_a_saved_network_comes_back_with_its_card(tmp_path):
    net = VNet(2).eval()
    net.load_state_dict(draw(shapes_a(2)))
    path = tmp_path / "net.safetensors"
    save(net, path, card(accuracy={"T": [1.0, 0.99]}), half=False)
    back = load(path)
    assert same(back, net.state_dict())
    assert back.card == card(accuracy={"T": [1.0, 0.99]})
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    save(net, path, card())
    half = load(path).state_dict()
    kernel = "conv_c.convs.0.weight"
    assert half[kernel].dtype == torch.float32
    assert torch.equal(half[kernel], net.state_dict()[kernel].half().float())
    assert torch.equal(half["conv_c.skip.bias"], net.state_dict()["conv_c.skip.bias"])


def test_an_imported_network_is_the_same_network(tmp_path):
    state = draw(shapes_b(2))
    torch.save({"model": state}, tmp_path / "v2v_params.pt")
    net = import_model(tmp_path / "v2v_params.pt", tmp_path / "net.safetensors", quantity="velocity")
    back = load(tmp_path / "net.safetensors")
    assert same(back, state)
    assert back.card == net.card
    assert back.card.quantity == "velocity"
    with pytest.raises(InputError, match="gives velocity by its model card"):
        load(tmp_path / "net.safetensors", quantity="displacement")


def test_a_checkpoint_of_a_training_is_called_that(tmp_path):
    for name, content in {
        "best.pt": {"model": draw(shapes_b(2)), "epoch": 1},
        "last.pt": {"steps": 3},
    }.items():
        save_checkpoint(tmp_path / name, content)
        with pytest.raises(InputError, match=rf"{name} is a checkpoint of a training: give NAME.safetensors"):
            load(tmp_path / name)


def test_an_import_does_not_write_over_its_own_file(tmp_path, capsys):
    save(VNet(2), tmp_path / "net.safetensors", card())
    before = (tmp_path / "net.safetensors").read_bytes()
    assert main(["models", "import", str(tmp_path / "net.safetensors")]) == 2
    assert (
        "net.safetensors would be written over: give the output another name, as -o"
        in capsys.readouterr().err
    )
    assert (tmp_path / "net.safetensors").read_bytes() == before


def test_the_command_that_an_import_prints_is_one_for_a_shell(tmp_path, capsys):
    save(VNet(2), tmp_path / "net.safetensors", card())
    out = tmp_path / "a place" / "net.safetensors"
    out.parent.mkdir()
    assert main(["models", "import", str(tmp_path / "net.safetensors"), "-o", str(out)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(last.removeprefix("use it: ")) == ["zeldo", "run", "--engine", str(out)]


def test_a_failed_save_leaves_nothing_and_keeps_what_was(tmp_path):
    net = VNet(2)
    path = tmp_path / "net.safetensors"
    save(net, path, card())
    before = path.read_bytes()
    with torch.no_grad():
        net.conv_c.skip.weight.fill_(1e6)
    with pytest.raises(InputError, match=r"conv_c\.skip\.weight is not finite"):
        save(net, path, card())
    with pytest.raises(InputError, match="describes another network"):
        save(net, path, card(arguments={"channels": 3}))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a limit on the size of files")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    """A limit on the size of files stands for a full disk: both come from the operating system."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(ZeldoError, match=r"net\.safetensors") as error:
            save(VNet(2), tmp_path / "net.safetensors", card())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def rewrite(path, change):
    from safetensors.torch import load_file, save_file

    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["zeldo"])
    change(header)
    save_file(load_file(path), path, metadata={"zeldo": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: h.update(format_version=99), "format version 99"),
        (lambda h: h.pop("card"), "not JSON with a model card"),
        (lambda h: h["card"].pop("spacing"), "lacks spacing"),
        (lambda h: h.update(card=None), "an entry of the wrong kind .*: get the file again"),
        (lambda h: h["card"].update(arguments=None), "an entry of the wrong kind"),
        (lambda h: h["card"].update(task=["jamieson2022"]), "an entry of the wrong kind"),
        (lambda h: h["card"].update(colour="red"), "unknown entry 'colour'"),
        (lambda h: h["card"].update(architecture="u-net"), "'u-net' is not known: choose one of vnet"),
        (lambda h: h["card"].update(omega_m=[0.5, 0.1]), "omega_m = .* is not a range"),
        (lambda h: h["card"]["arguments"].update(depth=3), "arguments do not fit"),
        (lambda h: h["card"]["arguments"].update(channels=4), "has shape"),
        (lambda h: h["card"]["arguments"].update(channels=10**9), "arguments do not fit"),
        (lambda h: h["card"]["arguments"].update(channels=10**5), "has shape"),
        (lambda h: h["card"]["arguments"].update(channels=float("inf")), "net.safetensors: "),
        (lambda h: h["card"]["arguments"].update(levels=9), "net.safetensors: levels = 9"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, change, said):
    path = tmp_path / "net.safetensors"
    save(VNet(2), path, card())
    rewrite(path, change)
    with pytest.raises(InputError, match=said):
        load(path)


def test_the_package_gives_its_names_without_loading_torch():
    import subprocess

    code = (
        "import sys, zeldo.networks as n; assert 'torch' not in sys.modules; assert n.load and n.VNet; "
        "assert all(getattr(n, name) for name in n.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_networks_that_share_weights_or_hold_tables_are_saved(tmp_path, monkeypatch):
    class Sharing(VNet):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.conv_l0.skip.bias = self.conv_l0.convs[2].bias
            self.register_buffer("table", torch.linspace(0, 1e6, 20).view(4, 5))

    monkeypatch.setitem(architectures._classes, "sharing", Sharing)
    arguments = {"channels": 2, "levels": 2, "in_channels": 3, "out_channels": 3}
    net = Sharing(**arguments)
    save(net, tmp_path / "net.safetensors", card(architecture="sharing", arguments=arguments))
    read = load(tmp_path / "net.safetensors")
    assert torch.equal(read.table, net.table)
    assert torch.equal(read.conv_l0.skip.bias, net.conv_l0.convs[2].bias)


def test_a_file_is_read_once_until_it_changes(tmp_path):
    path = tmp_path / "net.safetensors"
    for scale in (1.0, 2.0):
        net = VNet(2)
        with torch.no_grad():
            net.conv_c.skip.bias.fill_(scale)
        save(net, path, card(), half=False)
        first, again = shared(path), shared(path)
        assert first is again and first is not load(path)
        assert torch.equal(first.conv_c.skip.bias, net.conv_c.skip.bias)
    with pytest.raises(InputError, match="cannot be read"):
        shared(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("name", ["emulator", "vnet"])
def test_runs_leave_a_shared_network_as_it_is(name):
    engine = parse_engine(name)
    (net,) = engine._nets()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    modules = [type(module) for module in net.modules()]
    for omega_m in (0.2, 0.4):
        universe = zeldo.initial_conditions(n=24, box=48.0, seed=1, power="eisenstein-hu", omega_m=omega_m)
        list(replace(engine, extrapolate=True).run(universe, [0.0]))
    (after,) = engine._nets()
    assert after is net and modules == [type(module) for module in net.modules()]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
