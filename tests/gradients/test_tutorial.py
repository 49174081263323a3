"""The tutorial and the code of docs/gradients.md, run on small universes."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(source, capsys):
    exec(compile(source, "tutorial", "exec"), {"__name__": "tutorial"})
    return capsys.readouterr().out


def test_the_tutorial_runs_and_finds_the_cosmology(capsys):
    source = (ROOT / "docs" / "tutorials" / "initial_conditions.py").read_text(encoding="utf-8")
    for text, by in (
        ("BOX, N, SEED = 250.0, 64, 11", "BOX, N, SEED = 62.5, 16, 11"),
        ('"cola"', '"cola:steps=2"'),
        ("samples=40", "samples=4, effort=0.05"),
    ):
        assert text in source
        source = source.replace(text, by)
    out = run(source, capsys)
    assert "step 4: Omega_m = 0.2900, sigma_8 = 0.7800" in out


def test_the_code_of_the_page_runs(capsys):
    page = (ROOT / "docs" / "gradients.md").read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(code) == 2
    source = "\n".join(code)
    for text, by in (
        ("n=32, realisations=50", "n=8, realisations=12"),
        ("box=125, n=32", "box=31.25, n=8"),
        ("32, 32, 32", "8, 8, 8"),
    ):
        assert text in source
        source = source.replace(text, by)
    run(source, capsys)
