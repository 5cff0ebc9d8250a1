"""What users read names each thing by one word."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = [*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("datasets/*.md"), *REPO.glob("results/*.md")]
CONF = [*(REPO / "conf").rglob("*.yaml")]

INSTEAD = {
    r"data\s+sets?": "dataset",
    r"verbs?": "command",
    r"rivals?": "baseline",
    r"the house": "architecture",
    r"can('t| not|not) be had": "unavailable",
    r"filled[- ]in|fills in": "interpolated",
    r"makes? it again|made again": "recomputes",
    r"shares? of variance|variance shares?": "explained variance ratio",
    r"foreign scores?": "third-party scores",
    r"(?-i:WORDS)|both words": "overrides",
}


TO_DO = {"backbones", "config", "density", "models"}
MODULES = [path for path in (REPO / "vadbench").rglob("*.py") if not TO_DO & set(path.parts)]


def odd_words(text: str) -> set[str]:
    """What to say instead of the odd words in ``text``."""
    return {use for word, use in INSTEAD.items() if re.search(rf"\b(?:{word})\b", text, flags=re.IGNORECASE)}


@pytest.mark.parametrize("page", PAGES + CONF, ids=lambda page: str(page.relative_to(REPO)))
def test_a_page_uses_the_terms_of_the_field(page: Path) -> None:
    assert odd_words(page.read_text()) == set()


def test_messages_help_and_docstrings_use_the_terms_of_the_field() -> None:
    texts = (
        (f"{module.relative_to(REPO)}:{node.lineno}", node.value)
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    found = [f"{where}: say {', '.join(odd_words(text))}" for where, text in texts if odd_words(text)]
    assert not found, "\n".join(found)
