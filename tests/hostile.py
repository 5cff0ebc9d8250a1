"""Run and sweep folders as an enemy would hand them over: damaged, of other types, linked, with code to run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Random = np.random.Generator
Mutation = Callable[[Path, Random, Path], str]
"""``(folder, random, outside) -> what was done``; ``outside`` is a folder that nobody may write to."""


class Code:
    """Makes a file where it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def canary(outside: Path) -> Path:
    """What appears if code of a folder runs."""
    return outside.parent / "code-ran"


def values(random: Random) -> Any:
    """A value that a record should not hold, as Python."""
    nested: Any = []
    for _ in range(int(random.choice([60, 200]))):
        nested = [nested]
    found = [
        None, True, False, 0, -1, 10**30, 1e308, -1e308, float("nan"), float("inf"), "", "x" * 300_000,
        "../../../X", "/etc/passwd", "..", "a/b\x00c", "\x1b[2J\x1b]0;title\x07\x9b31m", "\ud800", "\r\n| x | y |",
        "=cmd|'/c calc'!A0", "$\\input{/etc/passwd}$", "<script>alert(1)</script>", "' OR 1=1 --", "{{ 7*7 }}", "*",
        [], {}, nested, [None] * 3, {"value": "x"}, {"value": 1e308, "ci_low": [], "n_videos": None},
        {"_target_": "os.mkdir", "path": "x"}, {"name": {"name": {}}}, [[1], {"a": 2}], ["x"] * 1000,
    ]  # fmt: skip
    return found[int(random.integers(len(found)))]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested mappings and lists."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        found += places(item, (*path, key))
    return found


def changed(document: Any, random: Random) -> tuple[Any, str]:
    """``document`` with one to three places of another value, another name, or gone."""
    said = []
    for _ in range(int(random.integers(1, 4))):
        everywhere = places(document)
        if not everywhere:
            break
        *above, last = everywhere[int(random.integers(len(everywhere)))]
        parent = document
        for key in above:
            parent = parent[key]
        how = int(random.integers(5))
        if how == 0:
            del parent[last]
        elif how == 1 and isinstance(parent, dict):
            parent[str(values(random))[:400]] = parent.pop(last)
        else:
            parent[last] = values(random)
        said.append(f"{'.'.join(map(str, (*above, last)))} (kind {how})")
    return document, "; ".join(said)


def some_file(folder: Path, random: Random) -> Path:
    """One of the regular files below ``folder``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return files[int(random.integers(len(files)))]


def in_json(folder: Path, random: Random, outside: Path) -> str:
    """Other values in a JSON file."""
    files = [path for path in sorted(folder.rglob("*.json")) for _ in range(6 if "run.json" in path.name else 1)]
    path = files[int(random.integers(len(files)))]
    document, said = changed(json.loads(path.read_text()), random)
    path.write_text(json.dumps(document))
    return f"{path.name}: {said}"


def another_json(folder: Path, random: Random, outside: Path) -> str:
    """Something else in place of a JSON file."""
    files = sorted(folder.rglob("*.json"))
    texts = ["", "null", "[]", "3", '"x"', "{", "[" * 100_000, '{"a":' * 5000, "1" * 10_000, '{"a": 1e999}', "\ufeff{}"]
    path, text = files[int(random.integers(len(files)))], texts[int(random.integers(len(texts)))]
    path.write_text(text)
    return f"{path.name}: {text[:20]!r}"


def in_yaml(folder: Path, random: Random, outside: Path) -> str:
    """Other values in the configuration, tags that make objects, aliases of aliases."""
    path = folder / "config.yaml"
    if not path.is_file():
        return "nothing"
    laughs = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))
    merges = "\n".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 10))
    texts = [
        f"x: !!python/object/apply:os.mkdir ['{canary(outside)}']\n",
        f"model: {{_target_: os.mkdir, path: '{canary(outside)}', name: _target_}}\n",
        "a0: &a0 [x, x, x]\n" + laughs,
        "m0: &m0 {x: 1}\n" + merges,
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
        "[" * 3000,
        "- 1\n- 2\n",
        "? [a, b]\n: 1\n",
        "a: 2026-13-45\n",
        "model: [\n",
        "\x00\x01",
        f"a: {'1' * 6000}\n",
    ]
    if random.integers(2):
        document, said = changed(yaml.safe_load(path.read_text()), random)
        path.write_text(yaml.safe_dump(json.loads(json.dumps(document))))
        return f"config.yaml: {said}"
    text = texts[int(random.integers(len(texts)))]
    path.write_text(text if random.integers(2) else path.read_text() + text)
    return f"config.yaml: {text[:60]!r}"


def in_parquet(folder: Path, random: Random, outside: Path) -> str:
    """A pickle in place of a table; other columns, types, numbers and names in it."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        return "nothing"
    path = files[int(random.integers(len(files)))]
    table = pd.read_parquet(path)
    how, column = int(random.integers(9)), str(random.choice(list(table)))
    if how == 0:
        path.write_bytes(pickle.dumps(Code(canary(outside))))
    elif how == 1:
        table.drop(columns=column).to_parquet(path, index=False)
    elif how == 2:
        pq.write_table(pa.table({name: pa.array([[1], None], pa.list_(pa.int64())) for name in table}), path)
    elif how == 3:
        pq.write_table(pa.table({name: pa.array([pickle.dumps(Code(canary(outside)))]) for name in table}), path)
    elif how == 4:
        hostile = [str(values(random))[:1000].encode("utf-8", "replace").decode() for _ in range(len(table))]
        table.assign(**{column: hostile}).to_parquet(path, index=False)
    elif how == 5:
        numbers = random.choice([np.nan, np.inf, -np.inf, 1e308, -1.0, 2.0**62], len(table))
        table.assign(**{column: numbers}).to_parquet(path, index=False)
    elif how == 6:
        table.iloc[:0].to_parquet(path, index=False)
    elif how == 7:
        table.sample(frac=float(random.choice([0.5, 3])), replace=True, random_state=0).to_parquet(path, index=False)
    else:
        made = pa.Table.from_pandas(table).replace_schema_metadata({b"pandas": b'{"columns": [1], "index_columns": 3}'})
        pq.write_table(made, path)
    return f"{path.name}, {column}: kind {how}"


def in_bytes(folder: Path, random: Random, outside: Path) -> str:
    """Bytes of any file are cut off, swapped, replaced, or far too many."""
    path = some_file(folder, random)
    data, how = bytearray(path.read_bytes()), int(random.integers(5))
    for _ in range(int(random.integers(1, 8)) if data else 0):
        place = int(random.integers(len(data)))
        data[place] = int(random.integers(256)) if how != 1 else data[-place]
    if how == 2:
        data = data[: int(random.integers(len(data) + 1))]
    elif how == 3:
        data = bytearray(random.bytes(int(random.integers(2000))))
    elif how == 4:
        data = bytearray(b"a" * 3_000_000)
    path.write_bytes(data)
    return f"{path.name}: bytes, kind {how}"


def no_file(folder: Path, random: Random, outside: Path) -> str:
    """A file is gone, or a folder, a link, a pipe or a device in its place."""
    path = some_file(folder, random)
    how = int(random.integers(8))
    copy = outside / "copies" / path.name
    if how == 0:
        path.unlink()
    else:
        kept = path.read_bytes()
        path.unlink()
        copy.parent.mkdir(exist_ok=True)
        targets = {2: copy, 3: outside / "secret.png", 4: Path("/dev/zero"), 5: path, 6: outside / "absent"}
        if how == 1:
            path.mkdir()
        elif how == 7:
            os.mkfifo(path)
        else:
            copy.write_bytes(kept)
            path.symlink_to(targets[how])
    return f"{path.name}: no file, kind {how}"


def more_files(folder: Path, random: Random, outside: Path) -> str:
    """Links, pipes and pickles beside what belongs there; a folder that is a link."""
    how = int(random.integers(8))
    odd = folder / ["leak.png", "report.html", "a\x1b[2Jb.txt", "x" * 250][int(random.integers(4))]
    if how in (0, 1):
        odd.unlink(missing_ok=True)
        odd.symlink_to(outside / "secret.png")
    elif how == 2:
        os.mkfifo(folder / "pipe.png")
    elif how == 3:
        shutil.rmtree(folder / "pictures", ignore_errors=True)
        (folder / "pictures").symlink_to(outside)
    elif how == 4:
        (folder / "maps").mkdir(exist_ok=True)
        np.save(folder / "maps" / "01.npy", np.array([Code(canary(outside))], object), allow_pickle=True)
    elif how == 5:
        (folder / "scores.parquet").unlink(missing_ok=True)
        np.save(folder / "01.npy", np.array([Code(canary(outside))], object), allow_pickle=True)
    elif how == 6:
        target = outside / "copies" / folder.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
        shutil.rmtree(folder)
        folder.symlink_to(target)
    else:
        lock = folder.with_suffix(".lock")
        lock.unlink(missing_ok=True)
        [lock.mkdir, lambda: lock.symlink_to(outside / "secret.png"), lambda: os.mkfifo(lock)][
            int(random.integers(3))
        ]()
    return f"{odd.name[:20]!r}: more files, kind {how}"


def another_state(folder: Path, random: Random, outside: Path) -> str:
    """No record, but a mark that says anything."""
    (folder / "run.json").unlink(missing_ok=True)
    state = [values(random), "running", "failed", "interrupted"][int(random.integers(4))]
    (folder / "state.json").write_text(json.dumps({"state": state, "pid": 1, "reason": values(random), "host": {}}))
    return f"state {state!r:.40}"


MUTATIONS: tuple[Mutation, ...] = (
    in_json, in_json, in_json, another_json, in_yaml, in_yaml, in_parquet, in_parquet, in_bytes, in_bytes, no_file,
    no_file, more_files, another_state,
)  # fmt: skip
