"""Files of a report: whole under their names or not there at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from zeldo.files.atomic import write_text
from zeldo.statistics.comparison import Comparison
from zeldo.version import __version__


def write_json(comparisons: Sequence[Comparison], path: str | os.PathLike[str], **extra: object) -> Path:
    """Write `{"zeldo": version, **extra, "comparisons": [...]}`, each by its `to_dict()`; nan is null."""
    content = {
        "zeldo": __version__,
        **extra,
        "comparisons": [comparison.to_dict() for comparison in comparisons],
    }
    return write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
