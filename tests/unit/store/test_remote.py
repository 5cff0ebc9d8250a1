"""A store behind a URL: read through a local copy, shared between machines, its failures survived."""

from __future__ import annotations

import fsspec
import numpy as np
import pytest

from tests.unit.store.stand_in import Rows, video
from vadbench.store import FeatureStore
from vadbench.store import entry as entry_module


@pytest.fixture
def url(tmp_path):
    """A file URL: fsspec's local file system stands for the far side."""
    return f"file://{tmp_path / 'far'}"


def test_a_second_machine_reads_what_the_first_made(tmp_path, url):
    first, second = Rows(), Rows()
    a = FeatureStore(url, local=tmp_path / "one").get(first, video())
    store = FeatureStore(url, local=tmp_path / "two")
    b = store.get(second, video())
    assert (len(first.calls), len(second.calls), store.counts.fetched) == (1, 0, 1)
    assert np.array_equal(a["a"]["features"], b["a"]["features"])
    assert not list((tmp_path / "two").rglob("*.part"))
    third = Rows()
    FeatureStore("memory://gone", local=tmp_path / "two").get(third, video())
    assert third.calls == []  # the local copy serves without the far side


def test_an_object_store_without_folders_works_too(tmp_path):
    fsspec.filesystem("memory").store.clear()
    FeatureStore("memory://features", local=tmp_path / "one").get(Rows(), video())
    again = Rows()
    FeatureStore("memory://features", local=tmp_path / "two").get(again, video())
    assert again.calls == []


def test_a_far_side_that_can_not_be_reached_costs_a_warning(tmp_path, caplog):
    extractor = Rows()
    got = FeatureStore("nosuchprotocol://x", local=tmp_path).get(extractor, video())
    assert got["a"]["features"].shape[0] == 6
    assert "nosuchprotocol" in caplog.text


def test_a_damaged_far_copy_is_not_used_and_is_replaced(tmp_path, url, caplog):
    FeatureStore(url, local=tmp_path / "one").get(Rows(), video())
    (far,) = (tmp_path / "far").rglob("*.safetensors")
    far.write_bytes(b"\0" * far.stat().st_size)
    entry_module._verified.clear()
    second, third = Rows(), Rows()
    FeatureStore(url, local=tmp_path / "two").get(second, video())
    assert "damaged copy" in caplog.text
    FeatureStore(url, local=tmp_path / "three").get(third, video())
    assert (len(second.calls), len(third.calls)) == (1, 0)


def test_a_far_writer_that_never_finished_is_not_believed(tmp_path, url):
    FeatureStore(url, local=tmp_path / "one").get(Rows(), video())
    (manifest,) = (tmp_path / "far").rglob("*.json")
    manifest.unlink()
    second = Rows()
    FeatureStore(url, local=tmp_path / "two").get(second, video())
    assert len(second.calls) == 1
