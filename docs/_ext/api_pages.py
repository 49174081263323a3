"""Reference of the Python names: a page for each part of the package, made of docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zeldo

ROOT = Path(__file__).parents[2]
TITLES = {
    "api": "Running",
    "comparing": "Comparing",
    "cosmology": "Cosmology",
    "datasets": "Data sets",
    "doctor": "Checks of an installation",
    "engines": "Engines",
    "errors": "Errors",
    "files": "Files",
    "gradients": "Gradients",
    "initial": "Initial conditions",
    "linear_fields": "Initial conditions of other codes",
    "measures": "Measuring files",
    "mesh": "Forces on a mesh",
    "networks": "Networks",
    "particles": "Particles and snapshots",
    "planning": "Plans",
    "report": "Pictures and citations",
    "reproduce": "Published results",
    "statistics": "Statistics",
    "store": "Stores",
    "suites": "Many universes",
    "training": "Training",
    "universe": "Universe",
    "volumes": "Volumes larger than memory",
}


def listed() -> dict[str, list[str]]:
    """Names beside those of `zeldo` itself: those whose docstrings tests/test_docstrings.py holds to their signatures."""
    tree = ast.parse((ROOT / "tests" / "test_docstrings.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PUBLIC":
            return dict(ast.literal_eval(node.value))
    raise LookupError("tests/test_docstrings.py has no PUBLIC")


def documented(item: Any) -> bool:
    """Whether an object is a function or a class of this package."""
    return (inspect.isclass(item) or inspect.isroutine(item)) and str(item.__module__).startswith("zeldo")


def candidates() -> Iterator[tuple[str, str]]:
    """Module and name of all that is public; one object may come under several names, the shortest first."""
    yield from (("zeldo", name) for name in sorted(zeldo.__all__))
    for module in pkgutil.iter_modules(zeldo.__path__):
        if module.ispkg and module.name not in ("commands", "weights"):
            package = importlib.import_module(f"zeldo.{module.name}")
            yield from ((package.__name__, name) for name in getattr(package, "__all__", ()))
    for module_name, names in listed().items():
        yield from ((module_name, name) for name in names)
    for cls in engines().values():
        if cls.__module__.startswith("zeldo"):
            yield cls.__module__, cls.__name__


def engines() -> dict[str, type]:
    from zeldo.engines.registry import BUILT_IN, engine_class

    return {source.name: engine_class(source.name) for source in BUILT_IN}


def public() -> dict[str, list[tuple[str, str]]]:
    """Module and name by part of the package, every object once."""
    parts: dict[str, list[tuple[str, str]]] = {}
    seen: set[int] = set()
    for module, name in candidates():
        item = getattr(importlib.import_module(module), name)
        if documented(item) and id(item) not in seen:
            seen.add(id(item))
            parts.setdefault(item.__module__.split(".")[1], []).append((module, name))
    return parts


def entry(module: str, name: str) -> str:
    item = getattr(importlib.import_module(module), name)
    kind, options = "autofunction", ""
    if inspect.isclass(item):
        error = issubclass(item, Exception)
        kind, options = ("autoexception", "") if error else ("autoclass", "   :members:\n")
    return f"## {name}\n\n```{{eval-rst}}\n.. {kind}:: {module}.{name}\n{options}```\n"


def api_pages() -> dict[str, str]:
    """A page for each part, and one that lists them."""
    pages = {}
    rows = []
    parts = public()
    for part in sorted(parts, key=lambda part: TITLES.get(part, part.capitalize())):
        title = TITLES.get(part, part.capitalize())
        name = f"{part}-names"
        pages[f"reference/api/{name}"] = "\n".join(
            [f"# {title}\n", *(entry(*where) for where in parts[part])]
        )
        links = ", ".join(
            f"{{py:obj}}`{public_name} <{module}.{public_name}>`" for module, public_name in parts[part]
        )
        rows.append(f"| [{title}]({name}.md) | {links} |")
    toc = "\n".join(page.rpartition("/")[2] for page in pages)
    pages["reference/api/index"] = (
        "# Python names\n\nNames without a module in front are those of `zeldo` itself, such as `zeldo.run`. "
        "Arrays are NumPy's. Units are those of [Conventions](../../conventions.md).\n\n"
        "| part | names |\n|---|---|\n" + "\n".join(rows) + f"\n\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n"
    )
    return pages
