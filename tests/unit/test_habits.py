"""The files for contributors agree with each other and with what they describe."""

from __future__ import annotations

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
