"""zeldo cite"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from zeldo.commands.universe import Named


def cite(file: Named, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Print BibTeX entries for everything that made a file: engine, phases, linear power, cosmology, and zeldo itself.

    Parameters
    ----------
    file:
        A snapshot or initial conditions in any format that zeldo reads.
    json:
        Print keys, roles and entries as JSON.
    """
    import json as text
    from dataclasses import asdict

    from zeldo.report.citations import cite as run

    citations = run(file)
    if json:
        print(text.dumps([asdict(citation) for citation in citations], indent=1))
        return
    print("\n\n".join(f"% {citation.role}\n{citation.bibtex}" for citation in citations))
