"""Pruning: the size bound, what goes first, what never goes; and the command ``cache``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from filelock import FileLock

from tests.unit.store.stand_in import Rows, video
from vadbench.cli.cache import run
from vadbench.files import HOST
from vadbench.store import FeatureStore
from vadbench.store.entry import Entry, entries
from vadbench.store.features import keys_of
from vadbench.store.prune import held, prune


def _entry(root, seed: int) -> Entry:
    return Entry(root, keys_of(Rows(), video(seed), "float32")["a"])


def _filled(root, n: int = 4) -> int:
    """A store of ``n`` videos, video i last used at second 1000 + i; returns the size of one entry in bytes."""
    for seed in range(n):
        FeatureStore(root).get(Rows(), video(seed))
        os.utime(_entry(root, seed).manifest, (1000 + seed, 1000 + seed))
    return max(h.size for h in held(root))


def test_what_was_unused_for_longest_goes_first(tmp_path):
    size = _filled(tmp_path)
    FeatureStore(tmp_path).get(Rows(), video(0))  # video 0 is used again
    done = prune(tmp_path, 2 * size)
    assert (done.removed, done.bytes_left <= 2 * size) == (2, True)
    assert [_entry(tmp_path, seed).complete() for seed in range(4)] == [True, False, False, True]


def test_a_store_keeps_its_bound_while_it_is_written(tmp_path):
    size = _filled(tmp_path, 3)
    FeatureStore(tmp_path, max_bytes=2 * size + 100).get(Rows(), video(9))
    assert [_entry(tmp_path, seed).complete() for seed in (0, 1, 2, 9)] == [False, False, True, True]


def test_what_a_run_uses_is_never_taken_from_it(tmp_path, caplog):
    store = FeatureStore(tmp_path, max_bytes=1)
    kept = [store.get(Rows(), video(seed))["a"]["features"] for seed in range(3)]
    assert len(list(entries(tmp_path))) == 3
    assert "over its bound" in caplog.text
    for seed, array in enumerate(kept):
        assert np.array_equal(array, np.stack(list(video(seed).frames())))


def test_a_locked_entry_stays(tmp_path):
    _filled(tmp_path, 2)
    with FileLock(_entry(tmp_path, 0).lock):
        prune(tmp_path, 0)
    assert [h.entry for h in held(tmp_path)] == [_entry(tmp_path, 0)]


def test_an_open_entry_can_be_pruned_and_still_be_read(tmp_path):
    array = FeatureStore(tmp_path).get(Rows(), video())["a"]["features"]
    prune(tmp_path, 0)
    assert np.array_equal(array, np.stack(list(video().frames())))


def test_entries_unused_since(tmp_path):
    _filled(tmp_path)
    assert prune(tmp_path, None, unused_since=1002).removed == 2
    assert [_entry(tmp_path, seed).complete() for seed in range(4)] == [False, False, True, True]


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    _filled(tmp_path, 1)
    entry = _entry(tmp_path, 0)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    name = f"{entry.data.name}.{HOST}"
    left = entry.data.with_name(f"{name}.{dead.pid}.abc.tmp")
    at_work = entry.data.with_name(f"{name}.{os.getppid()}.abc.tmp")
    elsewhere = entry.data.with_name(f"{entry.data.name}.another-host.{dead.pid}.abc.tmp")
    orphan = Entry(tmp_path, "ab" * 32).data
    orphan.parent.mkdir(exist_ok=True)
    for path in (left, at_work, elsewhere, orphan):
        path.write_bytes(b"x")
    assert prune(tmp_path, None).leftovers == 2
    assert [p.exists() for p in (left, at_work, elsewhere, orphan, entry.data)] == [False, True, True, False, True]


def test_the_verb_lists_what_is_stored(tmp_path, capsys):
    _filled(tmp_path, 3)
    assert run(["ls", "--path", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "rows" in out
    assert "3 entries" in out
    assert run(["ls", "--json", "--path", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["video"]["n_frames"] for row in rows} == {6}
    assert len(rows) == 3


def test_the_verb_lists_the_parts_of_a_fit_in_one_line(tmp_path, capsys):
    store = FeatureStore(tmp_path)
    for name in ("basis0", "basis64", "scores0 of 14 clips from 0", "scores64 of 14 clips from 0"):
        store.derived(name, {"fit": {"fit": "pca/1", "layer": "blocks.3"}}, lambda: {"a": np.zeros(3)})
    assert run(["ls", "--path", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert [row[:5] for row in rows] == [[n, "pca/1", "blocks.3", "exact", "2"] for n in ("basis", "scores")]


def test_the_verb_prunes_to_a_size(tmp_path, capsys):
    size = _filled(tmp_path)
    assert run(["prune", "--max-gb", str(2 * size / 1e9), "--path", str(tmp_path)]) == 0
    assert "removed 2 entries" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(["prune", "--path", str(tmp_path)])
    assert len(held(tmp_path)) == 2


def test_the_verb_verifies_every_byte(tmp_path, capsys):
    _filled(tmp_path, 2)
    assert run(["verify", "--path", str(tmp_path)]) == 0
    data = _entry(tmp_path, 1).data
    stat, content = data.stat(), bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    os.utime(data, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size and time: only the digest can tell
    assert run(["verify", "--path", str(tmp_path)]) == 1
    assert "1 sound, 1 damaged" in capsys.readouterr().out
    assert run(["verify", "--remove", "--path", str(tmp_path)]) == 0
    assert [h.entry for h in held(tmp_path)] == [_entry(tmp_path, 0)]


def test_a_store_that_does_not_exist_is_no_error(tmp_path, capsys):
    assert run(["ls", "--path", str(tmp_path / "none")]) == 0
    assert "No feature store" in capsys.readouterr().out


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit):
        run(["--help"])
    out = capsys.readouterr().out
    assert all(word in out for word in ("ls", "prune", "verify", "--max-gb", "--unused-days"))


def test_pruning_a_folder_that_vanishes_is_no_crash(tmp_path):
    _filled(tmp_path, 1)
    shutil.rmtree(tmp_path / _entry(tmp_path, 0).key[:2])
    assert prune(tmp_path, 0).removed == 0
