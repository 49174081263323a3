"""Tiles of a periodic lattice: every cell once, and the right neighbours around, whatever the sides are."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from zeldo.particles import tiles

sides = st.integers(1, 12)
origins = st.tuples(*3 * [st.integers(-30, 30)])


@given(n=sides, side=st.integers(1, 15))
def test_tiles_hold_every_cell_once(n, side):
    times = np.zeros((n, n, n), int)
    for tile in tiles.cover(n, side):
        times[tile.inside] += 1
        assert times[tile.inside].shape == tile.shape
        assert all(first % side == 0 for first in tile.origin)
    assert (times == 1).all()


@given(n=sides, thickness=st.integers(1, 15))
def test_slabs_hold_every_plane_once(n, thickness):
    pieces = list(tiles.slabs(n, thickness))
    assert [plane for first, end in pieces for plane in range(first, end)] == list(range(n))
    assert all(end - first == thickness for first, end in pieces[:-1])


@given(n=st.integers(1, 500), stride=st.integers(1, 8), data=st.data())
def test_sides_of_tiles_are_the_least_multiples_of_the_stride_that_do(n, stride, data):
    n *= stride
    pieces = data.draw(st.integers(1, n // stride))
    side = tiles.tile_side(n, pieces, stride)
    assert side % stride == 0
    assert len(list(tiles.slabs(n, side))) <= pieces
    assert side == stride or len(list(tiles.slabs(n, side - stride))) > pieces


@given(least=st.integers(-20, 300), smallest=st.integers(1, 100), stride=st.integers(1, 16))
def test_an_aligned_side_is_the_first_that_is_large_enough(least, smallest, stride):
    allowed = range(smallest, smallest + 400 + stride, stride)
    assert tiles.aligned_side(least, smallest, stride) == next(side for side in allowed if side >= least)


@given(n=sides, origin=origins, side=sides, halo=st.integers(0, 20))
def test_a_window_holds_the_neighbours_in_the_periodic_box(n, origin, side, halo):
    axes = tiles.window(origin, side, n, halo)
    for index, first in zip(axes, origin, strict=True):
        assert len(index) == side + 2 * halo
        assert index[halo] == first % n
        assert ((index >= 0) & (index < n)).all()
        assert (np.diff(index) % n == 1 % n).all()


@given(n=st.integers(1, 6), side=st.integers(1, 6), halo=st.integers(0, 8))
def test_what_each_tile_computes_with_its_halo_makes_up_the_whole(n, side, halo):
    """A sum over neighbours at the halo's distance, tile by tile, is that of the whole box."""
    field = np.arange(n**3).reshape(n, n, n) ** 2
    whole = sum(np.roll(field, halo * sign, axis) for axis in range(3) for sign in (-1, 1))
    out = np.full_like(field, -1)
    inner = slice(halo, halo + side)
    for tile in tiles.cover(n, side):
        piece = tiles.take(field, tiles.window(tile.origin, side, n, halo))
        sums = sum(np.roll(piece, halo * sign, axis) for axis in range(3) for sign in (-1, 1))
        out[tile.inside] = sums[inner, inner, inner][tile.valid]
    np.testing.assert_array_equal(out, whole)


@given(n=sides, origin=origins, side=sides)
def test_cells_are_taken_from_numpy_and_torch_alike(n, origin, side):
    field = np.arange(2 * n**3, dtype=np.float32).reshape(2, n, n, n)
    axes = tiles.window(origin, side, n)
    ours = tiles.take(field, axes)
    np.testing.assert_array_equal(ours, field[(slice(None), *np.ix_(*axes))])
    np.testing.assert_array_equal(tiles.take(torch.from_numpy(field), axes).numpy(), ours)
    assert not np.shares_memory(ours, field)
