"""Files that anybody may have made: read within bounds, names that stay inside, text that a terminal only shows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vadbench.errors import DataError
from vadbench.untrusted import component, plain_files, printable, read_config, read_json, read_table, require_plain


@given(st.text(max_size=300))
@example("../../../X")
@example("..")
@example("")
@example("/etc/passwd")
@example("a\x00b")
@example("\ud800")
def test_any_name_is_one_component_that_stays_inside(name: str) -> None:
    found = component(name)
    inside = Path("/results/runs") / found
    assert os.path.normpath(inside) == str(inside) and inside.parent == Path("/results/runs")
    assert len(found.encode()) <= 255
    assert component(found) == found


def test_usual_names_stay_and_different_ones_stay_different() -> None:
    for name in ("ucsd_ped2", "x3d_s", "my data (2)", "données", ".hidden"):
        assert component(name) == name
    assert len({component(name) for name in ("a/b", "a_b", "a\\b", "a\x00b", "a" * 300, "a" * 301)}) == 6


@given(st.text())
@example("\x1b[2J\x1b]0;title\x07\x9b31m\x1b]8;;http://x\x1b\\")
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    shown = printable(text)
    assert not {chr(c) for c in (*range(9), *range(11, 32), *range(127, 160))} & {*shown}
    assert shown.encode().decode() == shown  # no lone surrogates
    assert printable("a\tb\nc ± é") == "a\tb\nc ± é"


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", "[" * 100_000, '{"a":' * 60 + "1" + "}" * 60, '{"a": 1' + "0" * 30 + "}"]
)
def test_what_is_no_record_is_said_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match=r"run\.json: it "):
        read_json(tmp_path / "run.json")


def test_numbers_are_finite_and_texts_printable(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(r'{"a": NaN, "b": 1e999, "\u001b[1mc": ["x\ud800\u0007y", 2, true, null]}')
    assert read_json(tmp_path / "x.json") == {"a": None, "b": None, "c": ["xy", 2, True, None]}


@pytest.mark.parametrize("merged", [True, False])
def test_aliases_of_aliases_are_refused_at_once(tmp_path: Path, merged: bool) -> None:
    one = "&a{n} {{<<: [{more}]}}" if merged else "&a{n} [{more}]"
    lines = [f"a{n}: {one.format(n=n, more=', '.join([f'*a{n - 1}'] * 10))}" for n in range(1, 12)]
    (tmp_path / "config.yaml").write_text("\n".join(["a0: &a0 {x: 1}", *lines]))
    started = time.process_time()
    with pytest.raises(DataError, match=r"config\.yaml: it "):
        read_config(tmp_path / "config.yaml")
    assert time.process_time() - started < 60  # a billion values would take hours, or all memory


@pytest.mark.parametrize(
    "text", ["a: !!python/object/apply:os.system ['x']", "a: &a [*a]", "- 1", "{", "a: 2026-13-45"]
)
def test_a_configuration_is_plain(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(DataError, match=r"config\.yaml: it "):
        read_config(tmp_path / "config.yaml")


def test_links_pipes_and_devices_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    assert read_json(tmp_path / "real.json") == {}
    for name in ("link", "zero", "folder", "pipe", "absent"):
        with pytest.raises(DataError, match=name):
            read_json(tmp_path / f"{name}.json")
    assert list(plain_files(tmp_path)) == [tmp_path / "real.json"]
    with pytest.raises(DataError, match="link or no regular file"):
        require_plain(tmp_path)


def test_nothing_behind_a_linked_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "pictures").symlink_to(tmp_path / "outside")
    assert list(plain_files(tmp_path / "run")) == []
    with pytest.raises(DataError, match="pictures"):
        require_plain(tmp_path / "run")


def test_a_table_has_the_columns_that_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    table = pd.DataFrame({"video": ["a\x1b[2J", "b"], "frame": [0, 1], "label": pd.array([True, None], "boolean")})
    table.to_parquet(path)
    kinds = {"video": "text", "frame": "number", "label": "flag"}
    found = read_table(path, kinds)
    assert list(found) == list(kinds) and list(found["video"]) == ["a", "b"] and list(found["frame"]) == [0, 1]
    assert found["label"].isna().tolist() == [False, True]
    with pytest.raises(DataError, match="no column 'score'"):
        read_table(path, {"score": "number"})
    with pytest.raises(DataError, match="'video' holds no numbers"):
        read_table(path, {"video": "number"})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"scores\.parquet: it is no Parquet"):
        read_table(path)
