"""What users read names each thing by one word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = [*REPO.glob("*.md"), *REPO.glob("docs/*.md"), *REPO.glob("datasets/*.md"), *REPO.glob("results/*.md")]
CONF = [*(REPO / "conf").rglob("*.yaml")]

INSTEAD = {
    r"data sets?": "dataset",
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


@pytest.mark.parametrize("page", PAGES + CONF, ids=lambda page: str(page.relative_to(REPO)))
def test_a_page_uses_the_terms_of_the_field(page: Path) -> None:
    text = page.read_text()
    found = {word: use for word, use in INSTEAD.items() if re.search(rf"\b(?:{word})\b", text, flags=re.IGNORECASE)}
    assert not found, f"{page.relative_to(REPO)}: say {', '.join(found.values())}"
