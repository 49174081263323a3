"""Imports go one way: from the rows of docs/design.md's list to rows above them, and never in a circle."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "zeldo"


def module_name(path: Path, package: Path = PACKAGE) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def row(module: str) -> str:
    """The package or module right below zeldo that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def rows_of_the_document(text: str) -> list[str]:
    """What stands before / or .py in the indented list, from the top."""
    return re.findall(r"^    (\w+)(?:/|\.py)\s", text, re.MULTILINE)


def imports(source: str, modules) -> Iterator[str]:
    """The modules of zeldo that a source imports, those in functions too.

    Imports for type checkers alone are left out: nothing runs them.
    """
    tree = ast.parse(source)
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written in full"
            if (node.module or "").split(".")[0] == "zeldo":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in modules else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "zeldo")


def named(source: str, modules) -> set[str]:
    """The modules of zeldo that a source has in strings: a registry's, which it imports when they are asked for."""
    texts = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    return {text for text in texts if isinstance(text, str) and "." in text and text in modules}


def climbs(edges, rows: list[str]) -> list[str]:
    """The imports from a row below."""
    place = {name: number for number, name in enumerate(rows)}
    return [
        f"{module} imports {imported}"
        for module, reached in edges.items()
        for imported in sorted(reached)
        if row(module) != row(imported) and place[row(imported)] > place[row(module)]
    ]


def circle(edges) -> list[str]:
    """A circle of imports, or nothing."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def rows():
    return rows_of_the_document((ROOT / "docs" / "design.md").read_text())


@pytest.fixture(scope="module")
def edges():
    return {module: set(imports(path.read_text(), MODULES)) for module, path in MODULES.items()}


def test_every_package_and_module_has_its_row_once(rows):
    assert len(rows) == len(set(rows))
    assert {row(module) for module in MODULES} - {""} == set(rows)


def test_files_import_from_rows_above_their_own(edges, rows):
    assert climbs(edges, rows) == []
    assert climbs({module: named(path.read_text(), MODULES) for module, path in MODULES.items()}, rows) == []


def test_no_circle_of_imports_exists(edges):
    assert circle(edges) == []


def test_the_package_itself_imports_none_of_its_modules(edges):
    assert edges["zeldo"] == set()


def test_climbs_and_circles_are_seen(rows):
    source = (
        "def late():\n    from zeldo.commands import run\nif TYPE_CHECKING:\n    import zeldo.report.html\n"
    )
    reached = {"zeldo.mesh.fft": set(imports(source, MODULES))}
    assert climbs(reached, rows) == ["zeldo.mesh.fft imports zeldo.commands.run"]
    assert named('M = {"pm": "zeldo.engines.pm"}', MODULES) == {"zeldo.engines.pm"}
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
