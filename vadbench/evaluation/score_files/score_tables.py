"""Tables of scores and labels, a row a frame: comma, semicolon or tab between the cells, or parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from vadbench.data.labels.label_table import is_label
from vadbench.errors import DataError

SUFFIXES = (".csv", ".parquet")


def read_frame_table(path: Path, rows: int | None = None) -> pd.DataFrame:
    """Return the table with its columns' names in lower case and videos as text; ``rows``: only the first of a csv
    file.

    Raises
    ------
    DataError: not a table, or not the text that a csv file should be.
    """
    try:
        table = _read_csv(path, rows) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: it is empty; its first line must name the columns.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: it is not UTF-8 text; save it as UTF-8.") from None
    except FileNotFoundError:
        raise
    except Exception as error:  # pandas and pyarrow raise anything where a file is damaged
        kind = path.suffix.lower()[1:]
        raise DataError(f"{path}: it can't be read as {kind}: {' '.join(str(error).split())}") from None
    return table.rename(columns={name: str(name).strip().lower() for name in table.columns})


def _read_csv(path: Path, rows: int | None) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig") as file:
        header, first = file.readline(), file.readline()
    separator = max(",;\t", key=header.count)
    decimal = "," if separator != "," and "," in first else "."  # as spreadsheets of many languages write numbers
    names = [name for name in header.rstrip("\r\n").split(separator) if name.strip(' "').lower() == "video"]
    return pd.read_csv(
        path,
        sep=separator,
        decimal=decimal,
        dtype={name.strip('"'): str for name in names},
        nrows=rows,
        encoding="utf-8-sig",
        skipinitialspace=True,
    )


def numbers(table: pd.DataFrame, column: str, path: Path) -> np.ndarray:
    """``float64 (N,)``, NaN for empty cells; of a column ``label`` true and false are numbers too.

    Raises
    ------
    DataError: a cell that is no number, with its row.
    """
    values = table[column]
    if values.dtype.kind in "fiub":
        return values.to_numpy(dtype=np.float64)
    if column == "label":
        values = values.map(lambda cell: known if (known := is_label(str(cell).strip())) is not None else cell)
    found = pd.to_numeric(values, errors="coerce")
    wrong = np.flatnonzero(found.isna() & values.notna())
    if wrong.size:
        row, cell = wrong[0] + 1, values.iloc[wrong[0]]
        raise DataError(f"{path}, row {row} below the header: {column} is {cell!r}, which is not a number.")
    return found.to_numpy(dtype=np.float64, na_value=np.nan)
