"""The architecture: data flows one way, modules are small and say what they are for, names have one meaning."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from vadbench import registry

REPO = Path(__file__).resolve().parents[2]
PACKAGE = REPO / "vadbench"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Left to right: a room may import from rooms before it and from its own, never from one after it.
ORDER = [
    {"errors", "files", "registry", "untrusted", "__init__"},
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
    {"testing"},
    {"bench"},
    {"cli", "__main__"},
    {"plugins"},
]
# Names that mean the same role wherever they stand.
ROLES = {"base", "registry", "weights", "baselines", "check", "evaluate", "extractor", "keys", "to_frames"}
# Folders of like parts, one file a part.
LIKE_PARTS = {"cli", "density", "data/datasets", "evaluation/metrics"}
DOZEN = 12
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


def collections_of_names(tree: ast.AST, names: set[str]) -> Iterator[set[str]]:
    """Those of ``names`` that a literal tuple, list, set or the keys of a literal dict hold, where they are several."""
    for node in ast.walk(tree):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        found = {item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)} & names
        if len(found) > 1:
            yield found


@pytest.mark.parametrize("kind", registry.FOLDERS)
def test_no_module_lists_built_in_parts_by_hand(kind: str) -> None:
    """Only the module that registers parts may name them together."""
    parts = [part for part in registry.parts(kind) if part.is_built_in]
    assert len(parts) > 1, "parts are found"
    own = {sys.modules[part.build.__module__].__file__ for part in parts}
    by_hand = {
        f"{module.relative_to(REPO)}: {sorted(found)}"
        for module in MODULES
        if str(module) not in own
        for found in collections_of_names(ast.parse(module.read_text()), {part.name for part in parts})
    }
    assert not by_hand


def test_a_list_of_names_is_found() -> None:
    code = "a = ('knn', 'other', 'pca')\nb = {'knn': 1, 'gmm': 2}\nc = ['knn', 'x']\nd: Literal['pca', 'gmm']"
    found = list(collections_of_names(ast.parse(code), {"pca", "knn", "gmm"}))
    assert sorted(map(sorted, found)) == [["gmm", "knn"], ["gmm", "pca"], ["knn", "pca"]]


def module_name(path: Path) -> str:
    """``vadbench.data.video`` of ``data/video.py``, a package's own name of its ``__init__.py``."""
    return ".".join(("vadbench", *path.with_suffix("").parts)).removesuffix(".__init__")


def imports(sources: Mapping[Path, str]) -> dict[str, set[str]]:
    """Module to the modules that it imports, in functions too; not those imported for type checkers alone."""
    known = {module_name(path) for path in sources}
    graph: dict[str, set[str]] = {}
    for path, text in sources.items():
        own, tree, found = module_name(path), ast.parse(text), set()
        guarded = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test).endswith("TYPE_CHECKING")]
        skipped = {id(inner) for node in guarded for statement in node.body for inner in ast.walk(statement)}
        package = own.split(".") if path.name == "__init__.py" else own.split(".")[:-1]
        for node in ast.walk(tree):
            if id(node) in skipped:
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                whence = ".".join([*above, *([node.module] if node.module else [])])
                # "from a import b": b is a module, or a name in the module a.
                found |= {full if (full := f"{whence}.{alias.name}") in known else whence for alias in node.names}
        graph[own] = (found & known) - {own}
    return graph


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Modules that import each other in a circle; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def ambiguous(paths: Iterable[Path]) -> set[str]:
    """Names that several modules have and that are no role."""
    names = Counter(path.stem for path in paths if path.name != "__init__.py")
    return {name for name, count in names.items() if count > 1} - ROLES


def crowded(paths: Iterable[Path]) -> set[str]:
    """Folders with more than a dozen modules."""
    counts = Counter(path.parent.as_posix() for path in paths if path.name != "__init__.py")
    return {folder for folder, count in counts.items() if count > DOZEN} - LIKE_PARTS


PATHS = [module.relative_to(PACKAGE) for module in MODULES]


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = imports({path: (PACKAGE / path).read_text() for path in PATHS})
    assert sum(map(len, graph.values())) > len(graph), "imports are found"
    assert not circle(graph)


@pytest.mark.parametrize(
    "back",
    [
        "def late():\n    from vadbench.data.video import Video",
        "def late():\n    from vadbench.data import video",
        "def late():\n    from .video import Video",
        "def late():\n    from . import video",
        "def late():\n    import vadbench.data.video",
    ],
)
def test_a_circle_is_found_even_inside_a_function(back: str) -> None:
    names = ("data/__init__.py", "data/video.py", "data/check.py")
    sources = {Path(name): "" for name in names} | {Path("data/video.py"): "import vadbench.data.check"}
    assert not circle(imports(sources))
    assert {"vadbench.data.video", "vadbench.data.check"} == set(circle(imports({**sources, Path(names[2]): back})))


def test_an_import_for_type_checkers_alone_makes_no_circle() -> None:
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vadbench.b import B"
    assert not circle(imports({Path("a.py"): guarded, Path("b.py"): "import vadbench.a"}))


def test_a_module_name_has_one_meaning() -> None:
    assert not ambiguous(PATHS)


def test_a_name_with_two_meanings_is_found() -> None:
    assert ambiguous([Path("store/entry.py"), Path("tracking/entry.py"), Path("report/table.py")]) == {"entry"}
    assert not ambiguous([Path("models/base.py"), Path("density/base.py"), Path("a/__init__.py"), Path("__init__.py")])


def test_a_folder_has_at_most_a_dozen_modules() -> None:
    assert not crowded(PATHS)


def test_a_crowded_folder_is_found() -> None:
    modules = [Path(f"store/{i}.py") for i in range(12)]
    assert not crowded([*modules, Path("store/__init__.py"), Path("store/inner/one.py")])
    assert crowded([*modules, Path("store/one_more.py")]) == {"store"}
    assert not crowded(Path(f"evaluation/metrics/{i}.py") for i in range(20))


def test_an_import_to_the_right_is_found() -> None:
    assert room(PACKAGE / "data" / "video.py") == "data"
    assert imported_rooms(ast.parse("def f():\n    from vadbench.models.base import Extractor")) == {"models"}
    assert PLACE["models"] > PLACE["data"]


@pytest.mark.parametrize("folder", ["runs", "report", "tracking"])
def test_readers_of_run_folders_parse_nothing_themselves(folder: str) -> None:
    """Anybody may have made what they read: vadbench.untrusted bounds it, follows no link and runs no code."""
    parsers = re.compile(r"json\.loads?\(|read_parquet|yaml\.\w*load|np\.load|read_yaml|pickle")
    texts = {path.name: path.read_text() for path in (PACKAGE / folder).rglob("*.py")}
    assert {name: parsers.findall(text) for name, text in texts.items() if parsers.search(text)} == {}
