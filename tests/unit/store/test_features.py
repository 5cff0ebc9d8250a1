"""The store finds what was made by what it depends on, and only that; damage and other faults are noticed."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.unit.store.stand_in import ArraySource, Rows, video
from vadbench.data.video import Video
from vadbench.errors import StoreError
from vadbench.store import FeatureStore, MemoryStore
from vadbench.store import entry as entry_module
from vadbench.store.entry import Entry, entries
from vadbench.store.features import keys_of


@pytest.fixture(autouse=True)
def _forget_what_was_verified():
    """As in a new process."""
    entry_module._verified.clear()


def _files(root: Path) -> list[str]:
    return sorted(p.name for p in root.rglob("*") if p.is_file() and p.suffix != ".lock")


def _only(root: Path) -> Entry:
    (entry,) = entries(root)
    return entry


def test_extracted_once_and_then_opened(tmp_path):
    extractor, clip = Rows({"a": 1.0, "b": 2.0}), video()
    store = FeatureStore(tmp_path)
    first = store.get(extractor, clip)
    second = FeatureStore(tmp_path).get(extractor, clip)
    assert extractor.calls == [["a", "b"]]
    assert (store.counts.hits, store.counts.misses) == (0, 2)
    for name in "ab":
        assert np.array_equal(first[name]["features"], second[name]["features"])
        assert np.array_equal(second[name]["starts"], np.arange(6))


def test_only_the_missing_outputs_are_asked_for_and_the_others_handed_over(tmp_path):
    seen = {}

    class Watching(Rows):
        def extract(self, video, wanted, have):
            seen[tuple(wanted)] = sorted(have)
            return super().extract(video, wanted, have)

    FeatureStore(tmp_path).get(Watching({"a": 1.0}), video())
    FeatureStore(tmp_path).get(Watching({"a": 1.0, "b": 2.0, "c": 3.0}), video())
    assert seen == {("a",): [], ("b", "c"): ["a"]}


def test_the_first_run_sees_the_numbers_of_the_second(tmp_path):
    extractor = Rows({"a": 1 / 3}, dtype="float64")
    fresh = FeatureStore(tmp_path, "float16").get(extractor, video())["a"]["features"]
    again = FeatureStore(tmp_path, "float16").get(extractor, video())["a"]["features"]
    memory = MemoryStore("float16").get(extractor, video())["a"]["features"]
    assert fresh.dtype == again.dtype == memory.dtype == np.float16
    assert fresh.tobytes() == again.tobytes() == memory.tobytes()


def test_the_key_holds_what_matters_and_nothing_else():
    clip = video(1, "01")
    same = keys_of(Rows(), clip, "float32")["a"]
    assert keys_of(Rows(seconds=9), Video("another id", clip.source), "float32")["a"] == same
    assert keys_of(Rows(), clip, "float32", clip.source.digest())["a"] == same

    other_decoder = ArraySource(np.stack(list(clip.frames())))
    other_decoder.decoder = "array-2"
    changed = [
        keys_of(Rows({"a": 2.0}), clip, "float32")["a"],
        keys_of(Rows(), clip, "float16")["a"],
        keys_of(Rows(), video(2), "float32")["a"],
        keys_of(Rows(), Video("01", other_decoder), "float32")["a"],
    ]
    assert len({same, *changed}) == 5


def test_the_order_of_keys_in_a_spec_does_not_matter():
    from vadbench.store.key import feature_key

    assert feature_key({"x": 1, "y": [1, 2]}, "v", "d", "float32") == feature_key(
        {"y": [1, 2], "x": 1}, "v", "d", "float32"
    )
    with pytest.raises(ValueError):
        feature_key({"x": float("nan")}, "v", "d", "float32")


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda e: e.data.write_bytes(b"\0" * e.data.stat().st_size), "digest"),
        (lambda e: _flip_a_bit(e.data), "digest"),
        (lambda e: e.data.write_bytes(e.data.read_bytes()[:-7]), "bytes"),
        (lambda e: e.data.unlink(), "missing"),
        (lambda e: e.manifest.write_text("{"), "manifest"),
        (lambda e: e.manifest.write_text("{}"), "manifest"),
    ],
)
def test_a_damaged_entry_is_noticed_and_made_again(tmp_path, caplog, harm, word):
    extractor = Rows()
    good = np.array(FeatureStore(tmp_path).get(extractor, video())["a"]["features"])
    entry_module._verified.clear()
    harm(_only(tmp_path))
    store = FeatureStore(tmp_path)
    with caplog.at_level(logging.WARNING):
        again = store.get(extractor, video())["a"]["features"]
    assert "damaged" in caplog.text
    assert word in caplog.text
    assert len(extractor.calls) == 2
    assert np.array_equal(again, good)
    assert _only(tmp_path).fault(fresh=True) is None


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("key", ["sha256", "bytes"])
def test_a_manifest_that_lacks_what_the_check_needs_is_damage(tmp_path, key):
    FeatureStore(tmp_path).get(Rows(), video())
    entry = _only(tmp_path)
    note = entry.note()
    del note[key]
    entry.manifest.write_text(json.dumps(note))
    assert entry.note() is None and entry.fault() == "its manifest can't be read"
    assert entry.open() is None


def test_the_digest_of_an_entry_is_read_once_a_process_unless_asked_for(tmp_path, monkeypatch):
    FeatureStore(tmp_path).get(Rows(), video())
    entry, read, digest_of = _only(tmp_path), [], entry_module.digest_of
    monkeypatch.setattr(entry_module, "digest_of", lambda path: read.append(path) or digest_of(path))
    assert entry.fault() is None and read == []  # who wrote it knows it
    entry_module._verified.clear()  # as in a new process
    assert entry.fault() is entry.fault() is None and read == [entry.data]
    assert entry.fault(fresh=True) is None and len(read) == 2
    entry.data.unlink()
    assert entry.fault() == "its data file is missing"


def test_an_entry_says_what_it_is_and_when_and_can_be_removed_twice(tmp_path):
    entry = Entry(tmp_path / "new" / "store", "ab" * 32)
    entry.write({"x": np.zeros((2, 3), np.float32)}, {"output": "a"})
    note = entry.note()
    assert (note["key"], note["output"], note["host"]) == (entry.key, "a", socket.gethostname())
    assert note["arrays"] == {"x": {"shape": [2, 3], "dtype": "float32"}}
    assert abs(time.time() - datetime.fromisoformat(note["created"]).timestamp()) < 3600
    assert datetime.fromisoformat(note["created"]).utcoffset() == timedelta(0)
    entry.remove()
    entry.remove()
    assert not entry.complete() and not entry.data.exists()


def test_arrays_without_a_manifest_are_not_an_entry(tmp_path):
    extractor = Rows()
    FeatureStore(tmp_path).get(extractor, video())
    _only(tmp_path).manifest.unlink()
    assert list(entries(tmp_path)) == []
    FeatureStore(tmp_path).get(extractor, video())
    assert len(extractor.calls) == 2


def test_an_entry_is_not_complete_while_its_arrays_are_replaced(tmp_path, monkeypatch):
    """A manifest that outlived its arrays would describe others."""
    FeatureStore(tmp_path).get(Rows(), video())
    entry, write, complete = _only(tmp_path), entry_module.array_file.write, []

    def watched(*args):
        complete.append(entry.complete())
        return write(*args)

    monkeypatch.setattr(entry_module.array_file, "write", watched)
    entry.write({"x": np.zeros(3)}, {})
    assert complete == [False] and entry.complete()


@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_other_bytes_of_the_same_size_and_time_are_noticed(tmp_path, how):
    """Within one process, which has read the digest already."""
    extractor = Rows()
    FeatureStore(tmp_path).get(extractor, video())
    data = _only(tmp_path).data
    sound, before = data.read_bytes(), data.stat()
    assert _only(tmp_path).fault() is None
    harmed = sound[:-4] + b"\x00\x00\x80\x3f"
    if how == "replaced":
        (tmp_path / "other").write_bytes(harmed)
        (tmp_path / "other").replace(data)
    else:
        with data.open("r+b") as file:
            file.write(harmed)
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert _only(tmp_path).fault() == "its digest differs from its manifest"


@pytest.mark.parametrize("moment", ["extract", "arrays", "before manifest", "manifest"])
def test_a_killed_writer_leaves_nothing_that_reads_as_complete(tmp_path, moment):
    """A process of its own is killed with SIGKILL inside the writing; the next one does the work and cleans up."""
    root = Path(__file__).resolve().parents[3]
    code = textwrap.dedent(f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(root)!r})
        from tests.unit.store.stand_in import Rows, video
        from vadbench.store import FeatureStore, entry
        moment = {moment!r}
        def die(*a, **k):
            os.kill(os.getpid(), signal.SIGKILL)
        class Dying(Rows):
            def extract(self, *a):
                return die() if moment == "extract" else super().extract(*a)
        synced = os.fsync
        count = [0]
        def fsync(fd):
            count[0] += 1
            if (moment, count[0]) in (("arrays", 1), ("manifest", 2)):
                die()
            synced(fd)
        os.fsync = fsync
        if moment == "before manifest":
            entry.write_atomically = lambda path, text: die()
        FeatureStore({str(tmp_path)!r}).get(Dying(), video())
    """)
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert list(entries(tmp_path)) == []
    extractor = Rows()
    got = FeatureStore(tmp_path).get(extractor, video())
    assert len(extractor.calls) == 1
    assert np.array_equal(got["a"]["features"], np.stack(list(video().frames())))
    entry = _only(tmp_path)
    assert _files(tmp_path) == sorted([entry.data.name, entry.manifest.name])


def test_an_extractor_that_raises_leaves_the_lock_free_and_nothing_behind(tmp_path):
    class Broken(Rows):
        def extract(self, *args):
            raise RuntimeError("no GPU")

    with pytest.raises(RuntimeError, match="no GPU"):
        FeatureStore(tmp_path).get(Broken(), video())
    assert _files(tmp_path) == []
    assert FeatureStore(tmp_path).get(Rows(), video())


def test_an_extractor_that_forgets_an_output_is_told(tmp_path):
    class Forgetful(Rows):
        def extract(self, video, wanted, have):
            return super().extract(video, wanted[:1], have)

    for store in (FeatureStore(tmp_path), MemoryStore()):
        with pytest.raises(StoreError, match=r"\['b'\] was asked for"):
            store.get(Forgetful({"a": 1.0, "b": 2.0}), video())


def test_a_full_disk_says_so_and_the_work_goes_on_elsewhere(tmp_path):
    """On a real file system of 1 MB, mounted in a namespace of its own."""
    root = Path(__file__).resolve().parents[3]
    code = textwrap.dedent(f"""
        import os, sys
        sys.path.insert(0, {str(root)!r})
        from pathlib import Path
        from tests.unit.store.stand_in import Rows, video
        from vadbench.errors import StoreError
        from vadbench.store import FeatureStore
        small = Path({str(tmp_path)!r})
        FeatureStore(small).get(Rows(), video(0, "01", 100))
        try:
            FeatureStore(small).get(Rows(), video(1, "02", 2000))
        except StoreError as error:
            print(error)
        left = [p for p in small.rglob("*") if p.suffix == ".tmp"]
        assert left == [], left
        extractor = Rows()
        FeatureStore(small).get(extractor, video(0, "01", 100))
        assert extractor.calls == []
    """)
    mount = f'mount -t tmpfs -o size=1m none {tmp_path} && exec {sys.executable} -c "$CODE"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount],
        env={"CODE": code, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "is full" in done.stdout
    assert "video 02" in done.stdout
    assert "cache prune" in done.stdout
    assert "store.path=" in done.stdout


def test_a_read_only_store_serves_what_it_has_and_says_what_it_has_not(tmp_path):
    root = Path(__file__).resolve().parents[3]
    FeatureStore(tmp_path).get(Rows(), video())
    code = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(root)!r})
        from tests.unit.store.stand_in import Rows, video
        from vadbench.errors import StoreError
        from vadbench.store import FeatureStore
        extractor = Rows()
        assert FeatureStore({str(tmp_path)!r}).get(extractor, video())["a"]["features"].shape[0] == 6
        assert extractor.calls == []
        try:
            FeatureStore({str(tmp_path)!r}).get(extractor, video(1, "02"))
        except StoreError as error:
            print(error)
    """)
    mount = (
        f'mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} && exec {sys.executable} -c "$CODE"'
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount],
        env={"CODE": code, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "can't be written" in done.stdout
    assert "video 02" in done.stdout


def test_an_unknown_precision_is_refused_with_the_choices(tmp_path):
    with pytest.raises(StoreError, match="float32, float16"):
        FeatureStore(tmp_path, "bfloat16")


def test_overflow_of_float16_is_warned_of_and_recorded(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        FeatureStore(tmp_path, "float16").get(Rows({"a": 1e6}), video())
    assert "overflows float16" in caplog.text
    assert json.loads(_only(tmp_path).manifest.read_text())["kept_float32"] == ["features"]


def test_the_manifest_says_what_the_entry_is(tmp_path):
    FeatureStore(tmp_path).get(Rows(seconds=0.02), video(), "cafe")
    note = _only(tmp_path).note()
    assert note["spec"] == {"extractor": "rows", "gain": 1.0}
    assert note["video"] == {"id": "01", "digest": "cafe", "decoder": "array-1", "n_frames": 6}
    assert note["seconds"] >= 0.02
    assert note["arrays"]["features"] == {"shape": [6, 8, 10, 3], "dtype": "float32"}


def test_derived_arrays_are_made_once_and_kept_exactly(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"basis": np.full((2, 2), 1 / 3)}

    for store in (FeatureStore(tmp_path, "float16"), FeatureStore(tmp_path), MemoryStore()):
        assert store.derived("pca", {"level": 0.9}, make)["basis"].dtype == np.float64
    assert len(made) == 2  # once for both on disk, once in memory
    FeatureStore(tmp_path).derived("pca", {"level": 0.8}, make)
    assert len(made) == 3
