"""The files for contributors agree with each other and with what they describe."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.test_architecture import ORDER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPO = Path(__file__).resolve().parents[2]
MAKEFILE = (REPO / "Makefile").read_text()
PAGES = [*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("datasets/*.md"), *REPO.glob("results/*.md")]


def recipe(target: str) -> list[str]:
    """The commands of a make target, with the path of the environment written out."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)
    assert found, f"no make target {target}"
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]


def test_the_hooks_are_the_commands_of_make_lint() -> None:
    hooks = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for repo in hooks for hook in repo["hooks"]] == recipe("lint")


def test_continuous_integration_runs_make_targets() -> None:
    jobs = yaml.safe_load((REPO / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    commands = [step["run"].split() for job in jobs.values() for step in job["steps"] if "run" in step]
    assert {command[1] for command in commands} == {"test", "coverage", "test-lowest"}
    for command in commands:
        assert command[0] == "make" and recipe(command[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_and_make_targets_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target
    for target in re.findall(r"`make ([a-z-]+)`", text):
        assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE), f"no make target {target}"


def test_the_folders_that_contributing_names_exist() -> None:
    for path in re.findall(r"`((?:vadbench|conf|tests|datasets)/[\w/.]*)`", (REPO / "CONTRIBUTING.md").read_text()):
        assert (REPO / path).exists(), path


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text())
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_architecture_page_has_the_packages_in_the_order_of_imports() -> None:
    table = re.search(r"\| package \|.*\n(?:\|.*\n)+", (REPO / "docs" / "architecture.md").read_text())
    assert table
    shown = [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in table[0].splitlines()[2:]]
    place = {name: number for number, names in enumerate(shown) for name in names}
    packages = {path.parent.name for path in (REPO / "vadbench").glob("*/__init__.py")}
    assert packages <= place.keys(), packages - place.keys()
    ordered = [name for names in ORDER for name in sorted(names) if name in place]
    assert [place[name] for name in ordered] == sorted(place[name] for name in ordered)


ASSERTING = re.compile(r"np\.testing\.|testing\.check_|pytest\.(raises|warns|fail)\b|.*\.assert_")


def asserting(tree: ast.Module, known: dict[str, set[str]]) -> set[str]:
    """Names of the functions of a module that assert something: themselves, or through one of this module or of
    ``known`` (module to the names of such functions in it)."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = {a.asname or a.name for node in imports for a in node.names if a.name in known.get(node.module or "", ())}
    while more := {f.name for f in functions if f.name not in found and can_fail(f, found)}:
        found |= more
    return found


def can_fail(function: ast.FunctionDef, helpers: set[str]) -> bool:
    """Whether a function asserts something itself, or by what it calls."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            in_process = any(word.arg == "check" and ast.unparse(word.value) == "True" for word in node.keywords)
            if in_process or called in helpers or ASSERTING.match(called):
                return True
        elif isinstance(node, ast.Assert):
            return True
    return False


def without_assertion(modules: dict[str, ast.Module]) -> list[str]:
    """Tests that nothing but a crash can fail."""
    known: dict[str, set[str]] = {}
    while (more := {name: asserting(tree, known) for name, tree in modules.items()}) != known:
        known = more
    tests = [
        (name, node) for name, tree in modules.items() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    ]
    return [f"{name}.{t.name}" for name, t in tests if t.name.startswith("test_") and t.name not in known[name]]


def test_every_test_asserts_something() -> None:
    paths = {".".join(path.relative_to(REPO).with_suffix("").parts): path for path in (REPO / "tests").rglob("*.py")}
    assert without_assertion({name: ast.parse(path.read_text()) for name, path in paths.items()}) == []


def test_a_test_without_an_assertion_is_found() -> None:
    one = "from tests.two import f\ndef test_a():\n    f()\ndef test_b():\n    check = print\n    check(1)\n"
    two = "def f():\n    g()\ndef g():\n    assert 1\ndef check():\n    assert 2\n"
    modules = {"tests.one": ast.parse(one), "tests.two": ast.parse(two)}
    assert without_assertion(modules) == ["tests.one.test_b"]
