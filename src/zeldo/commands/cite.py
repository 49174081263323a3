"""zeldo cite"""

from __future__ import annotations

from zeldo.commands.options import Flag, Named, print_json


def cite(file: Named, /, *, json: Flag = False) -> None:
    """Print BibTeX entries for everything that made a file: engine, phases, linear power, cosmology, and zeldo itself.

    Parameters
    ----------
    file:
        A snapshot or initial conditions in any format that zeldo reads.
    json:
        Print keys, roles and entries as JSON.
    """
    from dataclasses import asdict

    from zeldo.report.citations import cite as run

    citations = run(file)
    if json:
        print_json([asdict(citation) for citation in citations])
        return
    print("\n\n".join(f"% {citation.role}\n{citation.bibtex}" for citation in citations))
