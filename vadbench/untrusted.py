"""What is read from run and sweep folders that anybody may have made: plain files within bounds, cleaned, no code run.

Names that come from a record become one component of a path; links, pipes and devices are never opened.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vadbench.errors import DataError, VadbenchError, nearest
from vadbench.files import sha256

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MAX_TEXT_BYTES = 64 << 20
MAX_TABLE_BYTES = 1 << 30
MAX_ROWS = 50_000_000
_MAX_DEPTH = 50
_MAX_COST = 2_000_000  # values of one document, long texts counted as several
_MAX_NAME_BYTES = 200
_LONGEST_CUT = 50  # characters of a shortened name: at most 200 bytes in UTF-8

_HIDDEN = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_]"  # terminal escape sequences
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"  # controls, bidi overrides, surrogates
)
_NOT_IN_A_NAME = re.compile(r"[/\\\x00-\x1f\x7f\ud800-\udfff]")


def printable(text: str) -> str:
    """Return ``text`` without terminal escape sequences and control characters; tabs and line ends stay.

    >>> printable("a\\x1b[31mb\\x07")
    'ab'
    """
    return text if text.isprintable() else _HIDDEN.sub("", text)


def component(name: str) -> str:
    """Return ``name`` as exactly one component of a path: itself if it is one, else quoted, with a digest of it.

    >>> component("ucsd_ped2"), component("../x")
    ('ucsd_ped2', '.._x-d6b96a97')
    """
    cleaned = _NOT_IN_A_NAME.sub("_", name)
    whole = cleaned == name and len(name.encode()) <= _MAX_NAME_BYTES
    if whole and name not in ("", ".", ".."):
        return name
    return f"{cleaned[:_LONGEST_CUT] or '_'}-{sha256([name.encode(errors='backslashreplace')])[:8]}"


@contextmanager
def damage(folder: Path) -> Iterator[None]:
    """Turn whatever the content of ``folder`` makes the code inside raise into a DataError that names the folder."""
    try:
        yield
    except (VadbenchError, OSError):  # the latter says which file it is about
        raise
    except Exception as error:
        log.debug("%s", folder, exc_info=True)
        said = printable(f"{type(error).__name__}: {error}").partition("\n")[0][:200]
        raise DataError(
            f"{folder}: it does not hold what vadbench writes there ({said}). It is damaged, or something else."
        ) from error


def plain_files(folder: Path, hidden: bool = False) -> Iterator[Path]:
    """Yield every regular file below ``folder``, in order; nothing behind a link, and with ``hidden`` dot files too."""
    for path in sorted(folder.iterdir()) if not folder.is_symlink() and folder.is_dir() else ():
        if path.name.startswith(".") and not hidden:
            continue
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from plain_files(path, hidden)
        elif stat.S_ISREG(mode):
            yield path


def require_plain(folder: Path) -> None:
    """DataError if ``folder`` is, or holds, a link, a pipe or a device, through which a write would go elsewhere."""
    for path in (folder, *folder.rglob("*")) if folder.is_dir() and not folder.is_symlink() else (folder,):
        if path.is_symlink() or (path.exists() and not (path.is_file() or path.is_dir())):
            raise DataError(
                f"{path}: it is a link or no regular file, so nothing is written to {folder}. No run makes one: look "
                "where it is from, and remove it."
            )


@contextmanager
def plain_file(path: Path, max_bytes: int) -> Iterator[IO[bytes]]:
    """Yield the open file at ``path``; DataError if it is absent, a link, no regular file, or larger."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        linked = isinstance(error, OSError) and error.errno == errno.ELOOP
        said = "it is a link, which is not followed" if linked else getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: it can't be read ({said})") from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise DataError(f"{path}: it can't be read (it is no regular file)")
    with os.fdopen(handle, "rb") as file:
        if found.st_size > max_bytes:
            raise DataError(f"{path}: it is not read, because it has {found.st_size} bytes, more than {max_bytes}")
        yield file


def read_text(path: Path) -> str:
    """Return the text of a regular file, printable; DataError if there is none."""
    with plain_file(path, MAX_TEXT_BYTES) as file:
        return printable(file.read().decode("utf-8", errors="replace"))


def read_json(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file: texts printable, numbers finite or None; DataError if it holds none."""
    try:
        return _mapping(json.loads(read_text(path), parse_constant=lambda _: None), path)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: it is no JSON that can be read ({_short(error)})") from None


def read_config(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file without tags, as :func:`read_json` does; DataError if it holds none."""
    import yaml

    text = read_text(path)
    try:
        return _mapping(yaml.load(text, _yaml_loader()), path)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: it is no plain YAML that can be read ({_short(error)})") from None


@cache
def _yaml_loader() -> Any:
    """Return a loader that refuses merge keys: nested ones make gigabytes of a short text while it is parsed."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def flatten_mapping(self, node: Any) -> None:
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge":
                    raise yaml.constructor.ConstructorError(None, None, "merge keys (<<) are not read", key.start_mark)

    return Loader


def read_table(path: Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the table in a Parquet file; nothing of what the file says about pandas or Python types is used.

    Parameters
    ----------
    columns: name to kind, ``"text"``, ``"number"`` or ``"flag"`` (bool, or null); None: all that are of such a kind.

    Raises
    ------
    DataError: no regular file, no Parquet, a column that is missing or of another kind.
    """
    import pyarrow.parquet

    with plain_file(path, MAX_TABLE_BYTES) as file:
        try:
            parquet = pyarrow.parquet.ParquetFile(file)
            if parquet.metadata.num_rows > MAX_ROWS:
                raise DataError(f"{path}: it is not read, because it has more than {MAX_ROWS} rows")
            kinds = {field.name: _kind(field.type) for field in parquet.schema_arrow}
            for name, kind in (columns or {}).items():
                if name not in kinds:
                    raise DataError(f"{path}: it has no column {name!r}. {nearest(name, map(printable, kinds))}")
                if kinds[name] not in (kind, "nothing"):
                    raise DataError(f"{path}: its column {name!r} holds no {kind}s")
            wanted = list(columns or [name for name, kind in kinds.items() if kind not in ("", "nothing")])
            table: pd.DataFrame = parquet.read(columns=wanted).to_pandas(ignore_metadata=True)
            for name in wanted:
                if kinds[name] == "text":
                    table[name] = table[name].map(printable, na_action="ignore")
            return table[wanted]
        except DataError:
            raise
        except Exception as error:  # the reader of a damaged file raises anything
            raise DataError(f"{path}: it is no Parquet that can be read ({_short(error)})") from None


def _kind(kind: Any) -> str:
    """Return text, number or flag, "nothing" for a column of nulls, "" for all other types."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    if types.is_boolean(kind) or types.is_null(kind):
        return "flag" if types.is_boolean(kind) else "nothing"
    return "number" if types.is_integer(kind) or types.is_floating(kind) else ""


def _mapping(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{path}: it holds no mapping")
    cleaned = _Cleaner(path).clean(value, 0)
    assert isinstance(cleaned, dict)
    return cleaned


class _Cleaner:
    """Makes plain values of what a parser returned; what is too deep or too much is refused, such as nested aliases."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cost = 0

    def clean(self, value: Any, depth: int) -> Any:
        """Return ``value`` with texts printable, keys as texts, infinite numbers as None."""
        self._cost += 1 + (len(value) // 100 if isinstance(value, str) else 0)
        if depth > _MAX_DEPTH or self._cost > _MAX_COST:
            raise DataError(f"{self._path}: it is nested too deeply, or holds too much")
        if isinstance(value, dict):
            return {printable(str(key)): self.clean(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.clean(item, depth + 1) for item in value]
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, int) and abs(value) >= 1 << 63:
            raise DataError(f"{self._path}: it holds a whole number of more than 64 bits")
        return value if value is None or isinstance(value, (bool, int)) else printable(str(value))


def _short(error: Exception) -> str:
    return printable(" ".join(str(error).split()))[:200] or type(error).__name__
