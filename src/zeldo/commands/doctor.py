"""zeldo doctor"""

from __future__ import annotations

from zeldo.commands.options import Flag, print_json


def doctor(*, json: Flag = False) -> None:
    """Check the installation: versions, threads, devices, caches, transforms, and a small run with a known answer.

    Parameters
    ----------
    json:
        Print the findings as JSON.
    """
    from dataclasses import asdict

    from zeldo.doctor import diagnose, healthy, print_findings
    from zeldo.errors import ZeldoError

    findings = diagnose()
    if json:
        print_json({"healthy": healthy(findings), "findings": [asdict(f) for f in findings]})
    else:
        print_findings(findings)
    if not healthy(findings):
        broken = ", ".join(finding.name for finding in findings if finding.state == "broken")
        raise ZeldoError(f"the checks of {broken} failed: the lines above say why")
