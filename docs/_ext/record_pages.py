"""The record of measurements: every bar with its value, and by which commit, on which machine and when."""

from __future__ import annotations

from benchmarks.record import Row, Rows, figure


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def measured(rows: list[Row]) -> str:
    """Which commits, dates and machines the rows come from."""
    lines = ["| benchmark | rows | commit | date | machine | versions |", "|---|---|---|---|---|---|"]
    groups: dict[tuple[str, ...], int] = {}
    for row in rows:
        key = (row.benchmark, row.commit, row.date[:10], row.machine, row.versions)
        groups[key] = groups.get(key, 0) + 1
    for (benchmark, commit, date, machine, versions), count in groups.items():
        lines.append(f"| {benchmark} | {count} | {code(commit)} | {date} | {machine} | {versions} |")
    return "\n".join(lines) + "\n"


def bars(rows: list[Row]) -> str:
    """Every measured value that has a limit."""
    head = "| engine | run | against | z | quantity | value | limit | aim | met | commit | date |"
    parts = []
    for benchmark in dict.fromkeys(row.benchmark for row in rows):
        lines = [head, "|---" * 11 + "|"]
        for row in rows:
            if row.benchmark != benchmark or row.limit is None:
                continue
            quantity = figure(row).replace("|", r"\|")
            run = ", ".join(filter(None, (row.ics, f"{row.n}³" if row.n else "")))
            cells = [
                code(row.engine),
                run,
                row.reference,
                "" if row.z is None else f"{row.z:g}",
                quantity,
                f"{row.value:.3g} {row.unit}".strip(),
                f"{row.limit:g}",
                "" if row.aim is None else f"{row.aim:g}",
                "yes" if row.met else "**no**",
                code(row.commit),
                row.date[:10],
            ]
            lines.append("| " + " | ".join(cells) + " |")
        if len(lines) > 2:
            parts.append(f"### {benchmark}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def record_pages() -> dict[str, str]:
    rows = Rows.committed().rows
    limited = [row for row in rows if row.limit is not None]
    missed = sum(not row.met for row in limited)
    text = (
        "# All measurements with a bar\n\nA *bar* is a limit that was set before the measurement. The tables below are "
        f"made from `benchmarks/results/`: {len(rows)} measured values, {len(limited)} of them with a bar, {missed} of "
        "these missed. `python -m benchmarks` measures them again on your machine.\n\n"
        f"## Where and when\n\n{measured(rows)}\n## Bars\n\n{bars(rows)}"
    )
    return {"validation/bars": text}
