"""The tutorial, run on small universes."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tutorial_runs_and_finds_the_cosmology(capsys):
    source = (ROOT / "docs" / "tutorials" / "initial_conditions.py").read_text(encoding="utf-8")
    for text, by in (
        ("BOX, N, SEED = 250.0, 64, 11", "BOX, N, SEED = 62.5, 16, 11"),
        ('"cola"', '"cola:steps=2"'),
        ("samples=40", "samples=4, effort=0.05"),
    ):
        assert text in source
        source = source.replace(text, by)
    exec(compile(source, "tutorial", "exec"), {"__name__": "tutorial"})
    assert "step 4: Omega_m = 0.2900, sigma_8 = 0.7800" in capsys.readouterr().out
