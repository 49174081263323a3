"""Convolutions of integers: near those of floats, the same for tiles, and only where the processor gains by them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import zeldo
from zeldo.engines.parsing import parse_engine
from zeldo.networks import field, inference, integers
from zeldo.networks.layout import Layer
from zeldo.networks.modulated import JoinedBlock, ModulatedBlock, ModulatedResNet, ModulatedVNet
from zeldo.networks.wrap import wrap
from zeldo.store.universe import run_into

needs_vnni = pytest.mark.skipif(
    not integers.supported(), reason="needs a processor with AVX-512 VNNI, without AMX"
)
ENGINES = ("emulator", "emulator:fast")


def convolution(channels, seed, dtype=torch.float32):
    torch.manual_seed(seed)
    return nn.Conv3d(channels, 5, 3).to(dtype).requires_grad_(False)


def samples(channels, seed, lowest):
    """Fields whose channels differ in size, and reach farther to one side than to the other."""
    x = torch.rand(2, channels, 6, 5, 7, generator=torch.Generator().manual_seed(seed))
    return (x * (1 - lowest) + lowest) * torch.logspace(-1, 1, channels).view(-1, 1, 1, 1)


def ends(x):
    return torch.aminmax(x.movedim(1, 0).flatten(1), dim=1)


@needs_vnni
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 999), st.sampled_from([0.0, -0.01, -0.3, -1.0, -5.0]))
def test_an_integer_convolution_is_that_of_floats_but_for_half_a_step(channels, seed, lowest):
    layer, x = convolution(channels, seed), samples(channels, seed, lowest)
    made = integers.IntegerConv(layer, *ends(x))
    step = torch.from_numpy(1 / made.per_step)
    spread = (layer.weight.abs().sum((2, 3, 4)) * step).sum(1) / 2
    kernels = made.scale / 2 * 27 * (x.abs().amax((0, 2, 3, 4)) / step + 0.5).sum()
    bound = 1.01 * (spread + kernels)
    assert ((made(x) - layer(x)).abs().amax((0, 2, 3, 4)) <= bound).all()
    # as noise these errors are far smaller than at worst
    assert (made(x) - layer(x)).std() < 0.03 * layer(x).std()


@needs_vnni
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)])
def test_fields_that_are_rounded_apart_are_as_if_they_were_joined(periodic, dtype, near):
    block = ModulatedBlock(Layer("block", "r", 8, 6, join=True, last=True), 0).to(dtype).requires_grad_(False)
    parts = tuple(samples(4, seed, -1.0)[..., :4, :6].to(dtype) for seed in (1, 2))
    joined = wrap(parts, 2, 2, last=True) if periodic else torch.cat(parts, 1).repeat(1, 1, 1, 2, 1)
    block.first = integers.IntegerConv(block.first, *ends(joined.float()), dither=1)
    expected = block(joined, None)
    given_parts = parts if periodic else joined.split(4, dim=1)
    ours = JoinedBlock(block)(given_parts, periodic, None)
    assert ours.shape == expected.shape and (ours - expected).abs().max() <= near * expected.abs().max()


@needs_vnni
def test_what_is_outside_the_range_takes_the_nearer_end():
    layer = convolution(3, 1)
    x = samples(3, 1, -1.0)
    made = integers.IntegerConv(layer, *ends(x))
    step = torch.from_numpy(1 / made.per_step).view(-1, 1, 1, 1)
    low, high = -made.zero * step, (integers.LEVELS - made.zero) * step
    far = 100 * x
    torch.testing.assert_close(made(far), made(torch.minimum(torch.maximum(far, low), high)), rtol=0, atol=0)


@needs_vnni
def test_bfloat16_is_read_as_the_numbers_it_stands_for():
    x = samples(16, 2, -0.5).bfloat16()
    layer = convolution(16, 2, torch.bfloat16)
    out = integers.IntegerConv(layer, *ends(x.float()))(x)
    same = integers.IntegerConv(layer.float(), *ends(x.float()))(x.float())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), same, rtol=0.01, atol=0.01 * float(same.abs().max()))


@needs_vnni
def test_dither_keeps_what_small_numbers_have_in_common():
    """Numbers below half a step all become zero without it."""
    layer = convolution(8, 4)
    x = samples(8, 4, -0.01)
    low, high = ends(x)
    near, dithered = (integers.IntegerConv(layer, low, high, dither=dither) for dither in (None, 1))
    step = torch.from_numpy(1 / near.per_step).view(-1, 1, 1, 1)
    small = 0.3 * step * torch.rand(1, 8, 12, 12, 12, generator=torch.Generator().manual_seed(5))
    wanted, flat = layer(small).mean((0, 2, 3, 4)), layer(torch.zeros_like(small)).mean((0, 2, 3, 4))
    torch.testing.assert_close(near(small).mean((0, 2, 3, 4)), flat)
    errors = [(made(small).mean((0, 2, 3, 4)) - wanted).abs().max() for made in (near, dithered)]
    assert errors[1] < 0.3 * errors[0]


@needs_vnni
def test_a_channel_without_signal_in_the_samples_still_has_a_range():
    layer, x = convolution(4, 3), samples(4, 3, -1.0)
    x[:, 1] = 0
    made = integers.IntegerConv(layer, *ends(x))
    assert np.isfinite(made.per_step).all()
    x[:, 1] = 0.01
    assert (made(x) - layer(x)).std() < 0.03 * layer(x).std()


@pytest.mark.parametrize(
    ("net", "replaced"),
    [
        (
            ModulatedVNet(9, 2, 13, 6),
            ["conv_l0.second", "conv_c.first", "conv_c.second", "conv_r0.first"],
        ),
        (
            ModulatedResNet(9, 2, 13, 6),
            ["block_0.first", "block_0.second", "block_1.first", "block_1.second"],
        ),
    ],
)
@needs_vnni
def test_the_first_and_the_last_layer_keep_their_floats(net, replaced):
    optimised = inference.optimise(net, dtype=torch.float32)
    x = np.random.default_rng(0).normal(size=(13, 24, 24, 24)).astype(np.float32)
    crop = lambda origin, side: np.resize(x, (13, side, side, side))  # noqa: E731
    made = integers.rounded(optimised, integers.peaks(x[9]), 24, crop, lambda net, x: net(x))
    found = [name for name, layer in made.named_modules() if isinstance(layer, integers.IntegerConv)]
    assert found == replaced
    assert not any(isinstance(layer, integers.IntegerConv) for layer in optimised.modules())


class Own(ModulatedVNet):
    """Its blocks are convolutions in a row, some of which cannot be of integers."""

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
@needs_vnni
def test_blocks_of_ones_own_may_join_and_keep_what_integers_cannot_do(options):
    torch.manual_seed(1)
    optimised = inference.optimise(Own(**options), dtype=torch.float32)
    x = np.random.default_rng(0).normal(size=(3, 24, 24, 24)).astype(np.float32)
    crop = lambda origin, side: np.resize(x, (3, side, side, side))  # noqa: E731
    made = integers.rounded(optimised, integers.peaks(x[0]), 24, crop, lambda net, x: net(x))
    found = [name for name, layer in made.named_modules() if isinstance(layer, integers.IntegerConv)]
    assert found == [
        name for name in ("conv_l0.1", "conv_c.0", "conv_c.1", "conv_r0.0") if not options or name[-1] == "0"
    ]
    field = torch.from_numpy(x)[None]
    with torch.no_grad():
        whole, exact = (net(field, periodic=True) - field for net in (made, optimised))
    assert (whole - exact).std() < 0.05 * exact.std()


@needs_vnni
def test_ranges_are_found_around_the_densest_places_that_lie_apart():
    """One of them near the end of the box is near what lies at its beginning."""
    n, places = 64, [(1, 20, 40), (62, 21, 40), (30, 5, 6)]
    density, corners = np.zeros((n, n, n), np.float32), []
    for height, place in zip((9, 8, 7), places, strict=True):
        density[place] = height
    rng = np.random.default_rng(0)

    def crop(origin, side):
        corners.append(np.array(origin) + side // 2)
        return rng.normal(size=(13, side, side, side)).astype(np.float32)

    net = inference.optimise(ModulatedResNet(9, 2, 13, 6), dtype=torch.float32)
    integers.rounded(net, integers.peaks(density), n, crop, lambda net, x: net(x))
    assert np.abs(np.array(corners) - [places[0], places[2]]).max() <= net.layout.stride


@needs_vnni
@pytest.mark.parametrize(("n", "dithered"), [(24, True), (22, False)])
def test_only_where_cells_alternate_around_the_box_are_they_dithered(n, dithered):
    net = inference.optimise(ModulatedResNet(9, 2, 13, 6), dtype=torch.float32)
    x = np.random.default_rng(0).normal(size=(13, n, n, n)).astype(np.float32)
    crop = lambda origin, side: np.resize(x, (13, side, side, side))  # noqa: E731
    made = integers.rounded(net, integers.peaks(x[9]), n, crop, lambda net, x: net(x))
    layers = [layer for layer in made.modules() if isinstance(layer, integers.IntegerConv)]
    assert layers
    assert all((np.ptp(layer.shifts) > 0) == dithered for layer in layers)


@given(st.integers(1, 4), st.integers(0, 999))
def test_peaks_of_slabs_are_those_of_the_lattice(thickness, seed):
    density = np.random.default_rng(seed).normal(size=(8, 5, 6))
    whole = list(integers.peaks(density))
    assert [float(density[peak.at]) for peak in whole] == [peak.density for peak in whole]
    assert [peak.density for peak in whole] == density.max((1, 2)).tolist()
    slabs = [
        p
        for first in range(0, 8, thickness)
        for p in integers.peaks(density[first : first + thickness], first)
    ]
    assert slabs == whole


@pytest.fixture(scope="module")
def universe():
    return zeldo.initial_conditions(n=36, box=72.0, seed=3, power="eisenstein-hu")


def run(engine, universe):
    (snapshot,) = engine.run(universe, [0.0])
    return snapshot


@needs_vnni
@pytest.mark.parametrize("name", ENGINES)
def test_integers_change_little_of_what_the_network_adds(name, universe, monkeypatch):
    engine = parse_engine(name)
    whole, dynamics = run(engine, universe), run(engine._dynamics, universe)
    monkeypatch.setattr(integers, "supported", lambda: False)
    floats = run(engine, universe)
    for kind in ("psi", "vel"):
        added = getattr(floats, kind) - getattr(dynamics, kind)
        error = getattr(whole, kind) - getattr(floats, kind)
        assert 0 < error.std() < 0.15 * added.std()


@needs_vnni
@pytest.mark.parametrize("name", ENGINES)
def test_tiles_and_particles_on_disk_are_rounded_like_the_whole_box(name, universe, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "native_bfloat16", lambda device="cpu": False)
    # tiles of 18 begin at odd cells of `emulator:fast`
    monkeypatch.setattr("zeldo.files.universe_zarr.LARGEST_TILE", 18)
    engine = parse_engine(name)
    whole, tiled = run(engine, universe), run(replace(engine, tiles=2), universe)
    (streamed,) = run_into(tmp_path / "u.zarr", engine, universe, [0.0], streamed=True)
    for kind, on_disk in (("psi", 1e-3), ("vel", 5e-3)):
        ours = getattr(whole, kind)
        assert np.abs(getattr(tiled, kind) - ours).max() < 1e-5 * np.abs(ours).max()
        # sums there are taken in another order, and a number between two integers may go to either
        assert (np.asarray(getattr(streamed, kind)) - ours).std() < on_disk * ours.std()


def described(monkeypatch, **capabilities):
    integers.supported.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    return integers.supported()


@pytest.fixture
def asked_again():
    yield
    integers.supported.cache_clear()


def test_processors_without_vnni_and_those_with_amx_keep_floats(monkeypatch, asked_again):
    assert not described(monkeypatch)
    assert not described(monkeypatch, avx512_vnni=False)
    assert not described(monkeypatch, avx512_vnni=True, amx_tile=True)


@needs_vnni
def test_to_ask_draws_no_random_numbers(asked_again):
    integers.supported.cache_clear()
    before = torch.get_rng_state()
    assert integers.supported()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_torch_without_the_operator_keeps_floats(monkeypatch, asked_again):
    def missing(*_):
        raise AttributeError("no such operator")

    monkeypatch.setattr(integers, "IntegerConv", missing)
    assert not described(monkeypatch, avx512_vnni=True)


def test_a_task_without_a_density_keeps_floats(monkeypatch):
    monkeypatch.setattr(integers, "supported", lambda: True)
    monkeypatch.setattr(integers, "rounded", None)
    from zeldo.networks.tasks import make_task

    task = make_task("correction", engine="pm", inputs=("psi", "vel"))
    setting = field.Setting(zeldo.Cosmology.preset("quijote"), 0.0, 2.0)
    net = ModulatedVNet(2, 2, 6, 6, styles=4)
    inputs = np.zeros((6, 8, 8, 8), np.float32)
    assert task.density_channel is None
    assert field.optimise(net, task, setting, inputs).compute_dtype is not None
