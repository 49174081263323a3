"""Tutorials that are scripts with cells, as pages: their sizes are made small, so that they run when the site is built."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
HEAD = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n\n"
# what is replaced in each script, by its name
SMALLER = {
    "initial_conditions": {
        "BOX, N, SEED = 250.0, 64, 11": "BOX, N, SEED = 62.5, 16, 11",
        '"cola"': '"cola:steps=2"',
        "samples=40": "samples=4, effort=0.2",
    },
}
NOTE = "> On this page the box is small, so that it is built fast: {changes}.\n\n"
LINK = "{{nb-download}}`Download this page as a notebook <{name}.ipynb>`"


def page(script: str, smaller: dict[str, str], name: str = "page") -> str:
    """A script in the percent format as a notebook in Markdown. `LookupError` where it lacks what is to be replaced."""
    for text, by in smaller.items():
        if text not in script:
            raise LookupError(f"the script has no {text!r} any more: say anew how it is made small")
        script = script.replace(text, by)
    parts = []
    for cell in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            parts.append(re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip())
        else:
            parts.append(f"```{{code-cell}} ipython3\n{body.strip()}\n```")
    changes = "; ".join(f"`{by}` in place of `{text}`" for text, by in smaller.items())
    if smaller:
        parts.insert(1, NOTE.format(changes=changes).strip())
    parts.insert(1, LINK.format(name=name))
    return HEAD + "\n\n".join(parts) + "\n"


def script_pages() -> dict[str, str]:
    """The pages by their paths in docs/, without suffix."""
    scripts = sorted((DOCS / "tutorials").glob("*.py"))
    return {
        f"tutorials/{path.stem}": page(
            path.read_text(encoding="utf-8"), SMALLER.get(path.stem, {}), path.stem
        )
        for path in scripts
    }
