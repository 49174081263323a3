"""Convolutions by Winograd's transform: those of torch to rounding, of any fields, and only where they can replace them."""

from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import zeldo
from zeldo.engines.parsing import parse_engine
from zeldo.networks import field, inference, winograd
from zeldo.networks.modulated import ModulatedResNet, ModulatedVNet
from zeldo.networks.resampling import Resampled
from zeldo.networks.rows import grouped
from zeldo.networks.tasks import make_task
from zeldo.networks.vectors import READ
from zeldo.networks.vnet import VNet
from zeldo.networks.winograd import Beside, WinogradBlock, WinogradConv
from zeldo.networks.winograd_kernels import CACHE
from zeldo.networks.wrap import wrap
from zeldo.store.universe import run_into

LAST = torch.channels_last_3d


def convolution(inputs, outputs, seed=0, **options):
    torch.manual_seed(seed)
    return nn.Conv3d(inputs, outputs, 3, **options).requires_grad_(False)


def drawn(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def placed(x, order):
    """The same field with its channels first or last in memory, or as a view with gaps."""
    if order == "gaps":
        return nn.functional.pad(x, (1, 2, 0, 1, 1, 0))[:, :, 1:, : x.shape[3], 1 : 1 + x.shape[4]]
    return x.contiguous(memory_format=LAST if order == "last" else torch.contiguous_format)


def exact(layer, x, before, after):
    """The convolution in float64."""
    return nn.functional.conv3d(
        wrap((x,), before, after).double(), layer.weight.double(), layer.bias.double()
    )


@settings(max_examples=60)
@given(
    channels=st.tuples(st.integers(1, 18), st.integers(0, 9), st.integers(1, 13)),
    sides=st.tuples(*3 * [st.integers(3, 11)]),
    margin=st.integers(0, 2),
    order=st.sampled_from(["first", "last", "gaps"]),
    slope=st.sampled_from([1.0, 0.01]),
    seed=st.integers(0, 99),
)
def test_it_is_the_convolution_to_rounding(channels, sides, margin, order, slope, seed):
    first, second, outputs = channels
    layer = convolution(first + second, outputs, seed)
    x = drawn(2, first + second, *sides, seed=seed)
    parts = [placed(part, order) for part in x.split([first, second], dim=1) if part.shape[1]]
    made = WinogradConv(layer, slope)(*parts, margins=(margin, margin + 1))
    wanted = nn.functional.leaky_relu(exact(layer, x, margin, margin + 1), slope)
    assert made.shape == wanted.shape
    assert (made - wanted).abs().max() < 1e-4 * (1 + wanted.abs().max())


@settings(max_examples=40)
@given(
    channels=st.tuples(st.integers(1, 9), st.integers(1, 7), st.integers(0, 5), st.integers(1, 13)),
    sides=st.tuples(*3 * [st.integers(3, 21)]),
    shift=st.integers(-1, 2),
    order=st.sampled_from(["first", "last", "gaps"]),
)
def test_a_small_convolution_of_other_fields_is_added(channels, sides, shift, order):
    inputs, first, second, outputs = channels
    layer, x = convolution(inputs, outputs), drawn(1, inputs, *sides)
    skip = nn.Conv3d(first + second, outputs, 1, bias=False).requires_grad_(False)
    other = drawn(1, first + second, *sides, seed=2)
    parts = [placed(part, order) for part in other.split([first, second], dim=1) if part.shape[1]]
    beside = Beside(parts, grouped(skip.weight.numpy()[..., 0, 0, 0]), shift)
    made = WinogradConv(layer, 0.01)(x, margins=(1, 1), beside=beside)
    around = other.roll(3 * [-shift], (2, 3, 4)).double()
    added = nn.functional.conv3d(around, skip.weight.double())
    wanted = nn.functional.leaky_relu(exact(layer, x, 1, 1) + added, 0.01)
    assert (made - wanted).abs().max() < 1e-4 * (1 + wanted.abs().max())


@pytest.mark.parametrize("side", [62, 64, 101])
def test_long_rows_are_made_in_pieces(side):
    layer, x = convolution(9, 7), drawn(1, 9, 4, 6, side)
    assert (WinogradConv(layer)(x, margins=(1, 1)) - exact(layer, x, 1, 1)).abs().max() < 5e-5


@pytest.mark.parametrize("outputs", [8, 18])
def test_fields_that_fit_in_no_cache_are_convolved_alike(outputs):
    layer, x = convolution(60, outputs), drawn(1, 60, 4, 6, 64)
    assert 4 * 60 * 64 * READ**2 > CACHE
    assert (WinogradConv(layer)(x, margins=(1, 1)) - exact(layer, x, 1, 1)).abs().max() < 5e-5


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (48, 48)])
def test_its_errors_are_a_few_times_those_of_a_sum(inputs, outputs):
    layer, x = convolution(inputs, outputs), drawn(1, inputs, 18, 18, 18)
    wanted = exact(layer, x, 0, 0)
    ours, theirs = (float((made(x) - wanted).std()) for made in (WinogradConv(layer), layer))
    assert ours < 6 * theirs and ours < 1e-5 * float(wanted.std())


def test_any_number_of_threads_gives_the_same_bits():
    layer, x = WinogradConv(convolution(5, 6)), drawn(2, 5, 13, 9, 10)
    before = numba.get_num_threads()
    made = []
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            made.append(layer(x, margins=(1, 1)))
    finally:
        numba.set_num_threads(before)
    assert all(torch.equal(made[0], other) for other in made)


NETS = {
    "vnet of emulators": lambda: ModulatedVNet(9, 2, 13, 6),
    "deep one": lambda: ModulatedVNet(5, 3, 4, 3),
    "blocks in a row": lambda: ModulatedResNet(9, 2, 13, 6),
    "the paper's": lambda: VNet(5, 3),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("periodic", [True, False])
def test_a_network_gives_the_same_field(name, periodic):
    torch.manual_seed(2)
    net = NETS[name]().eval()
    made, plain = (
        inference.optimise(net, dtype=torch.float32, derivatives=derivatives) for derivatives in (False, True)
    )
    x = drawn(1, net.in_channels, *3 * [net.layout.smallest + 2 * net.layout.stride])
    x = x[..., :32, :32, :32] if periodic else x
    with torch.no_grad():
        ours, theirs = (some(x, periodic=periodic) for some in (made, plain))
        added = nn.functional.mse_loss(theirs, torch.zeros_like(theirs)) ** 0.5
    assert any(isinstance(layer, WinogradConv) for layer in made.modules())
    assert not any(isinstance(layer, WinogradConv) for layer in plain.modules())
    assert ours.shape == theirs.shape and (ours - theirs).abs().max() < 5e-5 * (1 + added)


@pytest.mark.parametrize("name", NETS)
def test_blocks_copy_no_fields(name):
    made = inference.optimise(NETS[name](), dtype=torch.float32)
    blocks = [layer.name for layer in made.layout.layers if layer.kind == "block"]
    assert all(isinstance(made.get_submodule(block), WinogradBlock) for block in blocks)
    assert not made.wrapped and NETS[name]().wrapped
    others = [layer.name for layer in made.layout.layers if layer.kind != "block"]
    assert all(isinstance(made.get_submodule(other), Resampled) for other in others)


class Own(ModulatedVNet):
    """Its blocks are convolutions in a row, some of which cannot be replaced."""

    def __init__(self, **options):
        super().__init__(12, 2, 3, 3)
        for layer in self.layout.layers:
            if layer.kind == "block":
                convolutions = nn.Conv3d(layer.inputs, 12, 3), nn.Conv3d(12, layer.outputs, 3, **options)
                self.add_module(layer.name, InARow(*convolutions))


class InARow(nn.Sequential):
    def forward(self, x, style):
        return super().forward(x)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"groups": 3}], ids=str)
def test_blocks_of_ones_own_keep_what_it_cannot_do(options):
    torch.manual_seed(1)
    net = Own(**options)
    made = inference.optimise(net, dtype=torch.float32)
    found = [name for name, layer in made.named_modules() if isinstance(layer, WinogradConv)]
    blocks = ("conv_l0", "conv_c", "conv_r0")
    assert found == [f"{block}.{i}" for block in blocks for i in (0, 1) if not options or not i]
    x = drawn(1, 3, 24, 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(made(x, periodic=True), net(x, periodic=True), atol=5e-5, rtol=1e-4)


def test_layers_of_another_type_stay():
    made = inference.optimise(ModulatedVNet(4, 2), dtype=torch.bfloat16)
    assert not any(isinstance(layer, WinogradConv) for layer in made.modules())


def test_tasks_that_take_a_derivative_keep_convolutions_that_have_one(monkeypatch):
    monkeypatch.setattr(inference, "native_bfloat16", lambda device="cpu": False)
    task = make_task("correction", engine="pm", inputs=("psi", "vel"))
    setting = field.Setting(zeldo.Cosmology.preset("quijote"), 0.0, 2.0)
    net = ModulatedVNet(2, 2, 6, 6, styles=4)
    assert isinstance(field.optimise(net, task, setting).conv_c, WinogradBlock)
    monkeypatch.setattr(type(task), "passes", 2)
    assert not isinstance(field.optimise(net, task, setting).conv_c, WinogradBlock)


@pytest.mark.parametrize("name", ["emulator", "emulator:fast"])
def test_tiles_and_particles_on_disk_are_as_the_whole_box(name, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "native_bfloat16", lambda device="cpu": False)
    # tiles of 18 begin within the squares of 4^2 rows that the whole box is made in
    monkeypatch.setattr("zeldo.files.universe_zarr.LARGEST_TILE", 18)
    universe = zeldo.initial_conditions(n=36, box=72.0, seed=3, power="eisenstein-hu")
    engine = parse_engine(name)
    (whole,), (tiled,) = (list(some.run(universe, [0.0])) for some in (engine, replace(engine, tiles=2)))
    (streamed,) = run_into(tmp_path / "u.zarr", engine, universe, [0.0], streamed=True)
    # on disk, sums of the dynamics are taken in another order
    for kind, on_disk in (("psi", 1e-5), ("vel", 5e-4)):
        ours = getattr(whole, kind)
        assert np.abs(getattr(tiled, kind) - ours).max() < 1e-5 * np.abs(ours).max()
        assert (np.asarray(getattr(streamed, kind)) - ours).std() < on_disk * ours.std()


def test_kernels_are_those_of_the_transform():
    """Of a kernel that is one in the middle, the products are the transformed rows themselves."""
    weight = np.zeros((1, 1, 3, 3, 3))
    weight[0, 0, 1, 1, 1] = 1
    made = winograd.transformed(weight)
    assert made.shape == (36, 1, 1, 3, 4)
    middle = winograd._KERNELS[:, 1]
    np.testing.assert_allclose(made[:, 0, 0, 1, 0].reshape(6, 6), np.outer(middle, middle), rtol=1e-6)
    assert not made[:, 0, 0, [0, 2]].any() and not made[..., 1:].any()
