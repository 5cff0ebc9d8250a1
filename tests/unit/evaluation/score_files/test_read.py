"""Scores and labels from every supported form of file, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vadbench.errors import DataError
from vadbench.evaluation.score_files.read import has_labels, natural, read_values

SCORES = {"2": np.array([0.1, 0.2, 0.3]), "10": np.array([0.5, 0.25])}


def table():
    rows = [(v, t, s, s > 0.2) for v, values in SCORES.items() for t, s in enumerate(values)]
    return pd.DataFrame(rows, columns=["video", "frame", "score", "label"])


def same(found):
    assert list(found.by_video) == ["2", "10"]
    for video, values in SCORES.items():
        assert found.by_video[video].dtype == np.float64
        assert found.by_video[video].tolist() == values.tolist()


def test_every_form_gives_the_same(tmp_path):
    table().sample(frac=1, random_state=0).to_csv(tmp_path / "a.csv", index=False)
    table().astype({"video": int}).to_parquet(tmp_path / "a.parquet", index=False)
    table().rename(columns=str.upper).to_csv(tmp_path / "upper.csv", index=False)
    np.savez(tmp_path / "a.npz", **SCORES)
    (tmp_path / "folder").mkdir()
    for video, values in SCORES.items():
        np.save(tmp_path / "folder" / f"{video}.npy", values[None])
    for name in ("a.csv", "a.parquet", "upper.csv", "a.npz", "folder"):
        same(read_values(tmp_path / name, "score"))
    assert read_values(tmp_path / "a.csv", "score").frames["2"].tolist() == [0, 1, 2]
    assert read_values(tmp_path / "a.csv", "label").by_video["2"].tolist() == [0, 0, 1]


def test_ids_keep_their_zeros(tmp_path):
    (tmp_path / "a.csv").write_text("video,frame,score\n01,0,0.5\n")
    assert list(read_values(tmp_path / "a.csv", "score").by_video) == ["01"]


def test_flat_lists(tmp_path):
    flat = np.concatenate(list(SCORES.values()))
    np.save(tmp_path / "a.npy", flat[None])
    np.save(tmp_path / "b.npy", flat[:, None].astype(np.float32))
    np.savetxt(tmp_path / "a.txt", flat)
    np.savez(tmp_path / "one.npz", flat)
    np.savez(tmp_path / "many.npz", flat + 1, flat)
    np.savez(tmp_path / "named.npz", scores=flat, lengths=[3, 2])
    for name, array in (
        ("a.npy", None),
        ("a.txt", None),
        ("one.npz", None),
        ("many.npz", "arr_1"),
        ("named.npz", None),
    ):
        assert read_values(tmp_path / name, "score", array).flat.tolist() == flat.tolist()
    assert read_values(tmp_path / "many.npz:arr_1", "score").flat.tolist() == flat.tolist()
    assert read_values(tmp_path / "named.npz", "score").lengths == [3, 2]
    np.testing.assert_allclose(read_values(tmp_path / "b.npy", "score").flat, flat, atol=1e-7)


def test_ranges(tmp_path):
    (tmp_path / "a.m").write_text("TestVideoFile{end+1}.gt_frame = [3:4, 6:6];\n")
    assert read_values(tmp_path / "a.m", "label").ranges == [[(3, 4), (6, 6)]]


def test_has_labels(tmp_path):
    table().to_csv(tmp_path / "a.csv", index=False)
    table().drop(columns="label").to_parquet(tmp_path / "a.parquet")
    assert has_labels(tmp_path / "a.csv")
    assert not has_labels(tmp_path / "a.parquet")
    assert not has_labels(tmp_path / "a.npz")


def test_nothing_is_executed(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=np.array([{"a": 1}], dtype=object))
    (tmp_path / "a.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    for name in ("a.npy", "a.npz", "a.pkl"):
        with pytest.raises(DataError, match=r"(?i)pickle"):
            read_values(tmp_path / name, "score")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,frame,scores\na,0,1\n", "no column 'score'.*scores"),
        ("frame,score\n0,1\n", "no column 'video'"),
        ("video,frame,score\na,0,1\na,0,2\n", "frame 0 of video 'a' is there twice"),
        ("video,frame,score\na,-1,1\n", "whole numbers from 0; there is -1"),
        ("video,frame,score\na,0.5,1\n", "whole numbers from 0; there is 0.5"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_values(tmp_path / "a.csv", "score")


def test_other_wrong_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no"):
        read_values(tmp_path / "absent.csv", "score")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \.npy files"):
        read_values(tmp_path / "empty", "score")
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match=r"one number a frame.*\(2, 2, 2\)"):
        read_values(tmp_path / "cube.npy", "score")
    np.savez(tmp_path / "many.npz", a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(DataError, match=r"no array 'c'.*a, b"):
        read_values(tmp_path / "many.npz", "score", "c")
    (tmp_path / "a.m").write_text("x")
    with pytest.raises(DataError, match="scores come as"):
        read_values(tmp_path / "a.m", "score")
    (tmp_path / "holes.csv").write_text("video,frame,label\na,0,1\na,1,\n")
    with pytest.raises(DataError, match="1 labels are unknown"):
        read_values(tmp_path / "holes.csv", "label")


def test_natural_order():
    assert sorted(["arr_10", "arr_2", "01_0014", "a"], key=natural) == ["01_0014", "a", "arr_2", "arr_10"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv", "", "it is empty; its first line must name the columns"),
        ("s.csv", "\n\n", "it is empty"),
        ("s.csv", "video,frame,score\n", "no rows below its header"),
        (
            "s.csv",
            "video,frame,score\na,0,1\na,1,high\n",
            "row 2 below the header: score is 'high', which is not a num",
        ),
        ("s.csv", "video,frame,score\na,zero,1\n", "row 1 below the header: frame is 'zero'"),
        ("s.csv", "video,frame,score\na,,1\n", "frames must be whole numbers from 0"),
        ("s.csv", "video,frame,score\na,0,1\na,1,2,3\n", "it can't be read as csv"),
        ("s.csv", b"video,frame,score\n\xff\xfe,0,1\n", "not UTF-8 text"),
        ("s.parquet", "", "it can't be read as parquet"),
        ("s.npz", "", "it can't be read as .npz"),
        ("s.npz", b"PK\x03\x04 cut off", "it can't be read as .npz"),
        ("s.npy", "", "it can't be read as .npy"),
        ("s.txt", "", "it holds no numbers"),
        ("s.txt", "0.5\nhigh\n", "line 2: a value is 'high', which is not a number"),
    ],
)
def test_strings_and_empty_files_are_answered(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as caught:
        read_values(path, "score")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_labels_that_are_words_are_answered(tmp_path):
    path = tmp_path / "l.csv"
    path.write_text("video,frame,label\na,0,no\na,1,yes\n")
    with pytest.raises(DataError, match="row 1 below the header: label is 'no'"):
        read_values(path, "label")
    with pytest.raises(DataError, match="it is empty"):
        (tmp_path / "e.csv").write_text("")
        has_labels(tmp_path / "e.csv")
