"""How many tiles a network divides a box into follows from the memory that there is."""

import pytest
import torch

from refusals import refusal
from zeldo.commands import main
from zeldo.measuring.memory import limited, size_in_words
from zeldo.networks import tiling
from zeldo.networks.layout import Layer, Layout
from zeldo.networks.modulated import ModulatedVNet
from zeldo.networks.vnet import VNet


def test_the_number_of_tiles_follows_from_memory():
    layout = VNet(64).layout
    whole = tiling.memory_estimate(layout, 128, periodic=True)
    # the block that joins on the finest level holds its wrapped input and the field between its convolutions
    assert whole == pytest.approx(4 * (2 * 64 * 132**3 + 2 * 64 * 130**3), rel=0.05)
    assert tiling.choose_tiles(layout, 128, whole) == 1
    assert tiling.choose_tiles(layout, 128, 0.99 * whole) > 1
    assert tiling.choose_tiles(layout, 128, whole, passes=2) > 1
    few = tiling.choose_tiles(layout, 128, 0.5 * whole)
    assert tiling.choose_tiles(layout, 128, 0.25 * whole) > few
    assert tiling.choose_tiles(layout, 128, 2 * whole, share=0.5) == 1
    assert tiling.choose_tiles(layout, 128, 1.9 * whole, share=0.5) > 1


def test_on_a_gpu_the_input_and_the_output_count_and_no_field_has_too_many_numbers():
    layout = ModulatedVNet(16, 2, 13, 6).layout
    fields = tiling.memory_estimate(layout, 128, periodic=True, item_bytes=2)
    beside = 4 * (13 + 2 * 6) * 128**3
    assert tiling.choose_tiles(layout, 128, fields, item_bytes=2) == 1
    assert tiling.choose_tiles(layout, 128, fields + 0.99 * beside, item_bytes=2, device="cuda") > 1
    assert tiling.choose_tiles(layout, 128, fields + beside, item_bytes=2, device="cuda") == 1
    assert tiling.largest_field(layout, 128, periodic=True) == 32 * 132**3  # what the last block joins
    assert tiling.choose_tiles(layout, 512, 1e12) == 1
    assert tiling.choose_tiles(layout, 512, 1e12, device="cuda") == 2
    assert tiling.choose_tiles(layout, 1024, 1e15, device="cuda") == 3  # those of two have too many as well


def test_memory_that_torch_keeps_on_a_gpu_is_free(monkeypatch):
    for name, value in (("mem_get_info", (10.0, 80.0)), ("memory_reserved", 60.0), ("memory_allocated", 1.0)):
        monkeypatch.setattr(torch.cuda, name, lambda device=None, value=value: value)
    assert tiling.free_memory("cuda") == 69.0


def test_too_little_memory_is_refused_with_what_is_needed_and_the_remedy(monkeypatch):
    monkeypatch.setattr(tiling, "resident", lambda: 4e8)
    layout = VNet(64).layout
    side = tiling.crop_side(layout, layout.stride)
    needed = tiling.memory_estimate(layout, side, periodic=False)
    with limited("1kB"):
        line = refusal(lambda: tiling.choose_tiles(layout, 128, 0.0, share=0.5))
    words = size_in_words(2 * needed + 4e8)
    assert f"smallest tile of this network needs about {words} of memory with Python" in line
    assert "but only 1KB is available: raise --memory (memory= in Python)" in line
    assert tiling.choose_tiles(layout, 128, 2 * needed, share=0.5) == 128 // layout.stride
    line = refusal(lambda: tiling.choose_tiles(layout, 128, 1e6, device="cuda"))
    needed += 4 * (3 + 2 * 3) * side**3
    assert f"about {size_in_words(needed)} of memory, but only 1MB is available: free some on cuda" in line


def test_a_run_of_too_little_memory_names_the_limit_that_was_given(tmp_path, capsys):
    arguments = ["run", "-n", "16", "--box", "32", "--power", "eisenstein-hu", "-o", str(tmp_path / "a.npz")]
    assert main([*arguments, "--memory", "1kB"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "1KB is available" in line and "raise --memory" in line


def test_a_block_of_a_small_box_takes_the_memory_of_a_crop_with_its_margin():
    layout = Layout((Layer("block", "only", 1, 1, narrowed=8),))
    crop = tiling.memory_estimate(layout, 12, periodic=False)
    assert crop == 4 * (12**3 + 8 * 10**3 + 2 * 8**3)
    assert tiling.memory_estimate(layout, 8, periodic=True) == crop
