"""Both public formats of track files, their corners, and what is refused."""

from __future__ import annotations

import pytest

from vadbench.errors import DataError
from vadbench.evaluation import rbdc_tbdc, read_tracks
from vadbench.evaluation.metrics.tracks import to_edges


def test_commas(tmp_path):
    (tmp_path / "01_0014.txt").write_text("0,154,4,142,119,249\n0,155,6,145,129,254\n1,155,7,8,9,10\n")
    table = read_tracks(tmp_path / "01_0014.txt")
    assert table.to_numpy().tolist() == [
        ["01_0014", 154, 0, 4, 142, 119, 249],
        ["01_0014", 155, 0, 6, 145, 129, 254],
        ["01_0014", 155, 1, 7, 8, 9, 10],
    ]


def test_blanks_with_centre_and_size(tmp_path):
    (tmp_path / "Test001_gt.txt").write_text("061.tif 0 20.5 30.0 11 20\n062.tif 0 21.5 30.0 11 20\n")
    table = read_tracks(tmp_path / "Test001_gt.txt")
    assert table.to_numpy().tolist() == [
        ["Test001", 60, 0, 15.0, 20.0, 25.0, 39.0],
        ["Test001", 61, 0, 16.0, 20.0, 26.0, 39.0],
    ]
    edges = to_edges(table)
    assert (edges["x2"] - edges["x1"]).tolist() == [11, 11]
    assert (edges["y2"] - edges["y1"]).tolist() == [20, 20]


def test_one_row_no_row_and_a_folder(tmp_path):
    (tmp_path / "b.txt").write_text("3,7,1,2,3,4")
    (tmp_path / "a.txt").write_text("\n")
    (tmp_path / "readme.txt").write_text("track_id,frame_idx,x_min,y_min,x_max,y_max")
    (tmp_path / "LICENSE.txt").write_text("words")
    table = read_tracks(tmp_path)
    assert table.to_numpy().tolist() == [["b", 7, 3, 1, 2, 3, 4]]
    assert len(read_tracks(tmp_path / "a.txt")) == 0
    assert read_tracks(tmp_path / "b.txt", video="07")["video"].tolist() == ["07"]
    found = table.rename(columns={"track": "score"}).assign(score=1.0)
    assert rbdc_tbdc(found, table, {"b": 8}).rbdc == 1.0


def test_rows_not_grouped_by_track_and_gaps_between_ids_are_fine(tmp_path):
    (tmp_path / "a.txt").write_text("5,0,0,0,9,9\n2,0,50,50,59,59\n5,1,0,0,9,9\n")
    table = read_tracks(tmp_path / "a.txt")
    one = table[table["track"] == 2].rename(columns={"track": "score"})
    result = rbdc_tbdc(one, table, {"a": 2})
    assert (result.n_tracks, result.tbdc, result.rbdc) == (2, 0.5, pytest.approx(1 / 3))


@pytest.mark.parametrize("line", ["0,154,4,142,119", "nonsense", "061.tif 0 20.5 30.0 eleven 20", "name 0 1 2 3 4"])
def test_other_lines_are_refused_with_their_number(tmp_path, line):
    (tmp_path / "a.txt").write_text(f"0,1,2,3,4,5\n{line}\n")
    with pytest.raises(DataError, match=r"a\.txt, line 2"):
        read_tracks(tmp_path / "a.txt")


def test_absent_files(tmp_path):
    with pytest.raises(DataError, match="No track file"):
        read_tracks(tmp_path / "a.txt")
    with pytest.raises(DataError, match="No track files"):
        read_tracks(tmp_path)
