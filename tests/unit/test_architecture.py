"""The house keeps its own rules: data flows one way, modules are small and say what they are for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGE = REPO / "vadbench"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Left to right: a room may import from rooms before it and from its own, never from one after it.
ORDER = [
    {"errors", "registry", "__init__"},
    {"files"},
    {"config"},
    {"data"},
    {"backbones"},
    {"density"},
    {"models"},
    {"store"},
    {"evaluation"},
    {"runs"},
    {"report", "tracking"},
    {"experiment"},
    {"sweep"},
    {"cli", "__main__"},
    {"plugins"},
]
PLACE = {room: place for place, rooms in enumerate(ORDER) for room in rooms}


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module] if node.module != "vadbench" else [f"vadbench.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("vadbench.")}
    return found


def typed_only(tree: ast.Module) -> set[str]:
    """Rooms imported for type checkers alone."""
    guarded = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
    return {name for node in guarded for name in imported_rooms(node)}


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_run_one_way(module: Path) -> None:
    own = room(module)
    assert own in PLACE, f"{own} has no place in the order of rooms"
    tree = ast.parse(module.read_text())
    for other in (imported_rooms(tree) - typed_only(tree)) & PLACE.keys():
        assert PLACE[other] <= PLACE[own], f"{module.relative_to(REPO)} imports from {other}, which is to its right"


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_a_module_is_one_idea(module: Path) -> None:
    text = module.read_text()
    assert ast.get_docstring(ast.parse(text)), "the first line says what a file is for"
    assert text.count("\n") <= 400, "a file of this length holds more than one idea"
    assert not {"utils", "util", "helpers", "misc", "manager"} & set(module.stem.split("_"))


def test_public_functions_say_what_they_do() -> None:
    silent = []
    for module in MODULES:
        for node in ast.parse(module.read_text()).body:
            is_public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            if is_public and not ast.get_docstring(node):
                silent.append(f"{module.relative_to(REPO)}:{node.name}")
    assert not silent
