"""Checkpoints: a killed run goes on to the same bits, whatever engine steps."""

import dataclasses

import numpy as np
import pytest
from waves import universe

from refusals import refusal
from zeldo.engines.registry import engine, engine_class, names

OPTIONS = {
    "cola": {"steps": 6},
    "pm": {"steps": 6},
    "p3m": {"mesh_step": 0.5, "pair_accuracy": 50.0, "start_redshift": 9.0},
}
STEPPING = pytest.mark.parametrize("name", list(OPTIONS))
ON_A_STEP = 1 / 0.55 - 1  # from a = 0.1 to 1 in six steps


class KilledError(Exception):
    pass


def kill_after(share):
    def progress(done, total, text):
        if done > share * total:
            raise KilledError

    return progress


def checkpointed(name, tmp_path, **options):
    options = {"checkpoint": tmp_path / "state.npz", "checkpoint_minutes": 0, **OPTIONS[name], **options}
    return engine(name, **options)


def test_engines_that_step_can_be_resumed():
    resumable = {name for name in names() if engine_class(name).resumable}
    assert resumable == set(OPTIONS)


@STEPPING
@pytest.mark.parametrize("share", [0.05, 0.4, 0.6, 0.999])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, name, share):
    """Outputs on steps and between them, made before the kill and after it."""
    ics, redshifts = universe(), [9.0, 4.0, 2.1, ON_A_STEP, 0.6, 0.0]
    whole = list(engine(name, **{**OPTIONS[name], "start_redshift": 9.0}).run(ics, redshifts))
    chosen = checkpointed(name, tmp_path, start_redshift=9.0)
    with pytest.raises(KilledError):
        list(chosen.run(ics, redshifts, kill_after(share)))
    told = []
    again = list(chosen.run(ics, redshifts, lambda done, total, text: told.append(done / total)))
    assert told[0] > share - 0.35 and told[-1] == pytest.approx(1)
    assert [one.redshift for one in again] == redshifts
    for first, second in zip(whole, again, strict=True):
        np.testing.assert_array_equal(first.psi, second.psi)
        np.testing.assert_array_equal(first.vel, second.vel)
        assert first.settings == second.settings
    assert not list(tmp_path.iterdir())


@STEPPING
def test_a_checkpoint_of_another_revision_option_or_universe_is_refused(tmp_path, name, monkeypatch):
    chosen, ics = checkpointed(name, tmp_path), universe()
    with pytest.raises(KilledError):
        list(chosen.run(ics, [0.0], kill_after(0.5)))
    darker = dataclasses.replace(ics.cosmology, w0=-0.9)  # which may have the same linear field
    other = {"p3m": {"softening": 0.05}}.get(name, {"steps": 7})
    runs = [
        lambda: list(dataclasses.replace(chosen, **other).run(ics, [0.0])),
        lambda: list(chosen.run(ics, [0.5])),
        lambda: list(chosen.run(universe(seed=2), [0.0])),
        lambda: list(chosen.run(dataclasses.replace(ics, box=60.0), [0.0])),
        lambda: list(chosen.run(dataclasses.replace(ics, cosmology=darker), [0.0])),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(type(chosen), "revision", 99)
        runs.append(lambda: list(chosen.run(ics, [0.0])))
        assert "with another version, engine revision, options or initial conditions" in refusal(runs.pop())
    for run in runs:
        assert "with another version, engine revision, options or initial conditions" in refusal(run)
    assert len(list(chosen.run(ics, [0.0]))) == 1


@STEPPING
def test_where_a_checkpoint_lies_is_no_setting(tmp_path, name):
    (snapshot,) = checkpointed(name, tmp_path).run(universe(), [1.0])
    assert not any("checkpoint" in key for key in snapshot.settings)
    assert checkpointed(name, tmp_path).for_trial().checkpoint is None


@STEPPING
def test_a_checkpoint_that_cannot_be_is_refused_before_work(tmp_path, name):
    line = refusal(lambda: engine(name, checkpoint=5))
    assert line == "checkpoint = 5 is not allowed: give the name of a .npz file"
    assert "checkpoint_minutes = -1 is not allowed" in refusal(lambda: engine(name, checkpoint_minutes=-1))
    chosen = checkpointed(name, tmp_path, checkpoint=tmp_path / "state.txt")
    assert "give a name that ends in .npz" in refusal(lambda: chosen.run(universe(), [0.0]))


@pytest.mark.parametrize("name", ["pm", "cola"])
def test_observers_and_checkpoints_on_a_device_of_torch_change_nothing(name, tmp_path):
    ics = universe(16, 50.0)
    seen = []
    options = {"steps": 2, "device": "torch"}
    (alone,) = engine(name, **options).run(ics, [0.0])
    (watched,) = engine(name, **options).run(
        ics, [0.0], observers=[lambda view: seen.append((view.psi, view.velocity))]
    )
    kept = engine(name, **options, checkpoint=tmp_path / "a.npz", checkpoint_minutes=0.0)
    (resumable,) = kept.run(ics, [0.0])
    for made in (watched, resumable):
        assert np.array_equal(made.psi, alone.psi) and np.array_equal(made.vel, alone.vel)
    assert np.array_equal(seen[-1][0], alone.psi) and np.array_equal(seen[-1][1], alone.vel)
