"""What the command line shows of what is logged."""

from __future__ import annotations

import logging

import pytest

from vadbench.cli import _worth_showing


@pytest.mark.parametrize(
    ("name", "level", "shown"),
    [
        ("vadbench.runner", logging.INFO, True),
        ("mlflow", logging.WARNING, True),
        ("root", logging.WARNING, False),
        ("root", logging.ERROR, True),
    ],
)
def test_libraries_that_log_without_a_name_are_not_shown(name: str, level: int, shown: bool) -> None:
    assert _worth_showing(logging.makeLogRecord({"name": name, "levelno": level})) is shown
