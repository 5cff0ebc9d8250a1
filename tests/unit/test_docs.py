"""Pages that follow from files say what the files say."""

from __future__ import annotations

import pytest

from scripts.write_docs import PAGES, REPO


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_its_source_says(name: str) -> None:
    assert (REPO / "docs" / name).read_text() == PAGES[name](), "out of date: run `make docs`"
