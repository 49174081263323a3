"""Write the tables of measured figures into README.md and docs/, from the rows in benchmarks/results.

A table is between the lines `<!-- table: NAME -->` and `<!-- end -->`. Changes there by hand are overwritten.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import tables_emulator, tables_engines, tables_gradients, tables_p3m, tables_scale
from benchmarks.record import Rows

ROOT = Path(__file__).parents[1]
Table = list[list[str]]
TABLES: Mapping[str, Callable[[Rows], Table]] = {
    **tables_engines.TABLES,
    **tables_emulator.TABLES,
    **tables_gradients.TABLES,
    **tables_p3m.TABLES,
    **tables_scale.TABLES,
}
BLOCK = re.compile(
    r"(?P<begin><!-- table: (?P<name>.*?) -->\n)(?P<table>.*?)(?P<end><!-- end -->)", re.DOTALL
)


def pages() -> list[Path]:
    """The pages that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def markdown(table: Table) -> str:
    """A table in Markdown; the first row is the header. A bar inside a cell would end it."""
    table = [[cell.replace("|", r"\|") for cell in row] for row in table]
    lines = ["|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]]) + "\n"


def provenance(rows: Rows) -> str:
    """Where and when the rows that a table has looked at were measured."""
    commits: dict[str, list[str]] = {}
    for commit, date, machine in rows.sources():
        place = ", ".join(filter(None, (date, machine)))
        commits.setdefault(place, []).extend([f"`{commit}`"] if commit else [])
    parts = [", ".join([*names, place]) for place, names in commits.items()]
    return f"\n*Measured: {'; '.join(parts)}.*\n"


def names(text: str) -> list[str]:
    """The names of the tables that a page shows."""
    return [block["name"] for block in BLOCK.finditer(text)]


def filled(text: str, rows: Rows) -> str:
    """A page with its tables from the rows. `LookupError` for an unknown table or a missing row."""
    if text.count("<!-- table: ") != len(names(text)):
        raise LookupError("a table has no <!-- end -->")

    def table(block: re.Match[str]) -> str:
        if block["name"] not in TABLES:
            raise LookupError(f"table {block['name']!r} is not known: choose among {', '.join(TABLES)}")
        looked_at = rows.unused()
        made = markdown(TABLES[block["name"]](looked_at))
        return block["begin"] + made + provenance(looked_at) + block["end"]

    return BLOCK.sub(table, text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 where a page is behind")
    parsed = parser.parse_args()
    rows = Rows.committed()
    behind = 0
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = filled(before, rows)
        if before == after:
            continue
        behind += 1
        print(f"{'behind' if parsed.check else 'written'}: {page.relative_to(ROOT)}")
        if not parsed.check:
            page.write_text(after, encoding="utf-8")
    return 1 if parsed.check and behind else 0


if __name__ == "__main__":
    sys.exit(main())
