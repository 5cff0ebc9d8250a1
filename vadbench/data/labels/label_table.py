"""Csv tables of labels: rows with the lines that they are on, columns by name, cells as numbers or a named error."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vadbench.errors import DataError, nearest

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Table:
    """A csv file: lower-case column names, and rows of text with their line numbers from 1."""

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[int, list[str]]]

    def has(self, *names: str) -> bool:
        """Return True if every one of ``names`` is a column."""
        return all(name in self.columns for name in names)

    def cells(self, *names: str) -> Iterator[tuple[int, list[str]]]:
        """For each row: its line, and its cells of ``names``, blanks stripped."""
        places = [self.columns.index(name) for name in names]
        for line, row in self.rows:
            yield line, [row[place].strip() for place in places]

    def at(self, line: int) -> str:
        """``file, line 3``, for messages."""
        return f"{self.path}, line {line}"


def read_table(path: Path) -> Table:
    """Return the table of a csv file with a header; comma, semicolon or tab between the cells, UTF-8.

    Raises
    ------
    DataError: not text, no header, a row with more or fewer cells than the header.
    """
    rows = read_rows(path)
    if not rows:
        raise DataError(f"{path}: it is empty; its first line must name the columns.")
    (line, header), rest = rows[0], rows[1:]
    columns = tuple(cell.strip().lower() for cell in header)
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice:
        raise DataError(f"{path}, line {line}: two columns are named {twice!r}.")
    for line, row in rest:
        if len(row) != len(columns):
            raise DataError(f"{path}, line {line}: it has {len(row)} cells, the header {len(columns)}.")
    return Table(path, columns, rest)


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows of a csv file that are not blank, with their line numbers."""
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: it can't be read as csv: {error}.") from None


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: it is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{path}: it can't be read: {error.strerror}.") from None


def unknown_columns(table: Table, expected: str) -> DataError:
    """Return the error for a table whose columns mean nothing here."""
    needed = {name for names in re.findall(r"[a-z0-9,]+", expected) for name in names.split(",") if name}
    given = [name for name in table.columns if name]
    typo = next((name for name in given if name not in needed), "")
    hint = nearest(typo, needed).partition("Available")[0] if typo else ""
    return DataError(f"{table.path}, line 1: the columns are {', '.join(given) or 'none'}. {hint}Expected: {expected}.")


def whole(text: str, where: str, name: str) -> int:
    """``text`` as a whole number; ``10.0`` is one too, as tables with gaps are written."""
    value = number(text, where, name)
    if not value.is_integer() or abs(value) >= 2**53:
        raise DataError(f"{where}: {name} is {text!r}, which is not a whole number.")
    return int(value)


def number(text: str, where: str, name: str) -> float:
    """``text`` as a finite number."""
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise DataError(f"{where}: {name} is {text!r}, which is not a number.")
    return float(text)


def label(text: str, where: str) -> bool:
    """``text`` as a label: 0 or 1 in any way of writing numbers, or true or false."""
    known = is_label(text)
    if known is None:
        raise DataError(f"{where}: the label is {text!r}; it must be 0 (normal) or 1 (anomalous).")
    return known


def is_label(text: str) -> bool | None:
    """Return the label that ``text`` is, None if it is none."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _NUMBER.fullmatch(text) and float(text) in (0.0, 1.0):
        return bool(float(text))
    return None
