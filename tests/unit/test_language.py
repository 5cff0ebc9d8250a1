"""What users and developers read names each thing by one term of the field."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = [
    *REPO.glob("*.md"),
    *REPO.glob("docs/*.md"),
    *REPO.glob("datasets/*.md"),
    *REPO.glob("results/*.md"),
    *(REPO / "conf").rglob("*.yaml"),
    REPO / "Makefile",
]
MODULES = sorted(path for folder in ("vadbench", "examples", "scripts") for path in (REPO / folder).rglob("*.py"))
TESTS = sorted((REPO / "tests").rglob("*.py"))
THIS = Path(__file__).resolve()

INSTEAD = {
    r"data[\s-]+sets?": "dataset",
    r"verbs?": "command",
    r"rivals?": "baseline",
    r"the house": "architecture",
    r"be had": "available, unavailable",
    r"fill(ed|s|ing)?[- ]in|(filled|interpolated) by (a )?policy": "interpolated",
    r"(made|makes?|making)( it| them| the run)? again": "recomputes",
    r"shares? of( the)? variance|variance shares?": "explained variance ratio",
    r"foreign scores?": "third-party scores",
    r"words(?!:)": "overrides, arguments",
    r"remember(s|ed|ing)?(?!:)": "cache, memoize",
}
CODE = re.compile(r"(`+)[^`]+\1")


def odd_words(text: str) -> set[str]:
    """Return what to say instead of the odd words in ``text``, code in backticks aside."""
    text = CODE.sub(" ", text)
    return {use for word, use in INSTEAD.items() if re.search(rf"\b(?:{word})\b", text, flags=re.IGNORECASE)}


def comments(module: Path) -> Iterator[tuple[int, str]]:
    with module.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield node.body[0].lineno, text


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module that are sentences and not names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("two Data\nsets", "dataset"),
        ("weights that can't be had", "available, unavailable"),
        ("the score was filled in", "interpolated"),
        ("the words of the command line", "overrides, arguments"),
        ("a remembered digest", "cache, memoize"),
        ("share of variance", "explained variance ratio"),
    ],
)
def test_an_odd_word_is_found(text: str, use: str) -> None:
    assert odd_words(text) == {use}


def test_names_in_code_are_no_words_of_a_text() -> None:
    assert odd_words("``remember(name, make)``: see ``words``; a dataset.\n    words: the overrides.") == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_a_page_uses_the_terms_of_the_field(page: Path) -> None:
    assert odd_words(page.read_text()) == set()


def test_modules_use_the_terms_of_the_field() -> None:
    """Messages, help, docstrings and comments; of tests their docstrings and comments."""
    found = []
    for module in [*MODULES, *TESTS]:
        if module == THIS:
            continue
        tree = ast.parse(module.read_text())
        said = [*(texts if module in MODULES else docstrings)(tree), *comments(module)]
        where = module.relative_to(REPO)
        found += [f"{where}:{line}: say {', '.join(odd_words(text))}" for line, text in said if odd_words(text)]
    assert not found, "\n".join(found)
