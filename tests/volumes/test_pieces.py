"""COLA in pieces, held against the whole."""

from dataclasses import replace

import numpy as np
from in_memory import in_pieces

import zeldo
from refusals import refusal
from zeldo.engines.registry import engine
from zeldo.mesh.numba_gravity import NumbaGravity
from zeldo.statistics import compare_snapshots
from zeldo.volumes.pieces import check_piece


def universe(n):
    return zeldo.initial_conditions(n=n, box=2.0 * n, seed=4, power="eisenstein-hu")


def made(ics, side, buffer):
    return in_pieces(engine("cola"), ics, 0.0, side=side, buffer=buffer)


def test_a_piece_as_large_as_the_volume_is_the_volume():
    """Its own 2LPT is then that of the whole."""
    ics = universe(32)
    (whole,) = engine("cola").run(ics, [0.0])
    pieces = made(ics, 16, 8)
    np.testing.assert_allclose(pieces.psi, whole.psi, atol=1e-4)
    np.testing.assert_allclose(pieces.vel, whole.vel, atol=0.02)


def test_pieces_come_close_to_the_whole_and_closer_with_a_wider_buffer():
    ics = universe(64)
    (whole,) = engine("cola").run(ics, [0.0])
    errors = []
    for buffer in (4, 12):
        density = compare_snapshots(made(ics, 32, buffer), whole).fields["density"]
        errors.append([density.one_minus_r2[density.nearest(k)] for k in (0.2, 0.5)])
    assert errors[1][0] < 5e-3 and errors[1][1] < 3e-2
    assert errors[1][0] < 0.5 * errors[0][0]


def test_the_buffer_must_fit():
    cola, ics = engine("cola"), universe(32)
    assert "buffer" in refusal(lambda: in_pieces(cola, ics, 0.0, side=16, buffer=12))
    assert "divisor" in refusal(lambda: in_pieces(cola, ics, 0.0, side=15, buffer=2))


def test_of_an_odd_side_its_message_says_what_helps():
    line = refusal(lambda: check_piece(50, 5, 3))
    assert "11 cells wide" in line and "even side" in line
    check_piece(50, 10, 3)
    assert "is 2 cells wide" in refusal(lambda: check_piece(24, 2, 0))


def test_pieces_end_at_any_redshift():
    ics = universe(32)
    (whole,) = engine("cola").run(ics, [1.0])
    pieces = in_pieces(engine("cola"), ics, 1.0, side=16, buffer=8)
    np.testing.assert_allclose(pieces.vel, whole.vel, atol=0.02)


def test_pieces_move_with_the_whole_volume():
    """Where particles hardly move they follow 2LPT, with the flow that carries a piece as a whole."""
    ics = zeldo.initial_conditions(n=32, box=64.0, seed=4, power="eisenstein-hu")
    faint = replace(ics, delta_lin=np.float32(1e-3) * ics.delta_lin)
    (whole,) = engine("2lpt").run(faint, [0.0])
    pieces = in_pieces(engine("cola", steps=3), faint, 0.0, side=8, buffer=4)
    for field in ("psi", "vel"):
        mine, true = (getattr(x, field).reshape(3, 4, 8, 4, 8, 4, 8).mean((2, 4, 6)) for x in (pieces, whole))
        assert (mine - true).std() < 0.05 * true.std()


def test_the_steps_of_a_piece_share_one_mesh(monkeypatch):
    made_meshes = []
    allocate = NumbaGravity._allocate
    monkeypatch.setattr(NumbaGravity, "_allocate", lambda mesh: (made_meshes.append(mesh), allocate(mesh))[1])
    made(universe(32), 16, 8)
    assert len(made_meshes) == len(set(map(id, made_meshes))) == 8
