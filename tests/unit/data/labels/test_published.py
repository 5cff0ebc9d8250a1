"""Label files: ranges, vectors, and how files that are passed around differ from the official labels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tests.unit.data.trees import write_list, write_ranges_mat
from vadbench.data.labels.published import (
    as_labels,
    disagreement,
    from_ranges,
    pick,
    read_m,
    read_mat,
    read_npy,
)
from vadbench.data.readers.mat_file import read_variables
from vadbench.errors import DataError


def test_the_list_as_the_data_set_ships_it(tmp_path: Path) -> None:
    path = tmp_path / "UCSDped1.m"
    path.write_text(
        "% a comment: gt_frame = [1:2];\n"
        "TestVideoFile = {};\r\n"
        "TestVideoFile{end+1}.gt_frame = [60:152];\r\n"
        "TestVideoFile{end+1}.gt_frame = [5:90, 140:200];\n"
        "TestVideoFile{end+1}.gt_frame=[ 1:15 ,45:113 ] ;\n"
        "TestVideoFile{end+1}.gt_frame = [];\n"
    )
    assert read_m(path) == [[(60, 152)], [(5, 90), (140, 200)], [(1, 15), (45, 113)], []]


def test_a_list_without_lines_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "x.m").write_text("nothing here")
    with pytest.raises(DataError, match="gt_frame"):
        read_m(tmp_path / "x.m")


def test_ranges_count_from_one_and_include_both_ends() -> None:
    assert from_ranges([(1, 2), (5, 5)], 6, "").tolist() == [True, True, False, False, True, False]
    assert from_ranges([], 3, "").tolist() == [False] * 3
    assert len(from_ranges([(2, 9)], 6, "")) == 9  # longer than the video, for the caller to see
    for wrong in ((0, 3), (4, 3)):
        with pytest.raises(DataError, match="is not a range"):
            from_ranges([wrong], 6, "x")


def test_both_forms_of_mat_say_the_same(tmp_path: Path) -> None:
    ranges = [[(2, 3)], [(1, 2), (5, 6)], []]
    write_ranges_mat(tmp_path / "gt.mat", ranges)
    vectors = {f"{n:02d}": from_ranges(r, 6, "").astype(np.int32)[None] for n, r in enumerate(ranges, 1)}
    scipy.io.savemat(tmp_path / "vectors.mat", vectors)
    by_ranges, by_vectors = read_mat(tmp_path / "gt.mat"), read_mat(tmp_path / "vectors.mat")
    assert by_ranges == ranges
    for number in (1, 2, 3):
        one = pick(by_ranges, f"{number:02d}", 6, "gt.mat")
        other = pick(by_vectors, f"{number:02d}", 6, "vectors.mat")
        assert one is not None and other is not None
        assert np.array_equal(one, other)
    assert pick(by_ranges, "04", 6, "") is None and pick(by_vectors, "04", 6, "") is None


@pytest.mark.parametrize("values", [{"gt": np.eye(3)}, {"labels": np.ones(4)}, {"gt": np.array([[np.eye(3)]], object)}])
def test_other_mat_files_are_a_data_error(tmp_path: Path, values: dict[str, np.ndarray]) -> None:
    scipy.io.savemat(tmp_path / "x.mat", values)
    with pytest.raises(DataError, match=r"x\.mat"):
        read_mat(tmp_path / "x.mat")


def test_a_damaged_mat_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "x.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM" + bytes(range(200)))
    with pytest.raises(DataError, match=r"x\.mat"):
        read_mat(tmp_path / "x.mat")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64, np.uint64])
def test_our_reader_of_mat_files_reads_what_scipy_reads(tmp_path: Path, packed: bool, dtype: type) -> None:
    rng = np.random.default_rng(0)
    cell = np.empty((2, 2), object)
    for place in np.ndindex(2, 2):
        cell[place] = rng.integers(0, 200, (2, 1 + sum(place))).astype(dtype)
    values = {"a": rng.integers(0, 100, (3, 5)).astype(dtype), "long_name_of_it": np.ones((1, 40), dtype), "gt": cell}
    values["cube"] = rng.integers(0, 100, (2, 3, 4)).astype(dtype)
    scipy.io.savemat(tmp_path / "x.mat", {**values, "text": "left out"}, do_compression=packed)
    wanted, found = scipy.io.loadmat(tmp_path / "x.mat"), read_variables(tmp_path / "x.mat")
    assert set(found) == set(values)
    for name in ("a", "long_name_of_it", "cube"):
        assert np.array_equal(np.asarray(found[name]), wanted[name])
    theirs = wanted["gt"].ravel(order="F")  # MATLAB goes through a cell column by column
    assert all(np.array_equal(one, other) for one, other in zip(found["gt"], theirs, strict=True))


@pytest.mark.parametrize("packed", [True, False])
def test_no_damage_to_a_mat_file_is_more_than_a_data_error(tmp_path: Path, packed: bool) -> None:
    """Damage of this kind ends the process where SciPy reads the file."""
    write_ranges_mat(tmp_path / "x.mat", [[(1, 4), (7, 9)], [(2, 3)], []])
    cell = scipy.io.loadmat(tmp_path / "x.mat")["gt"]
    scipy.io.savemat(tmp_path / "x.mat", {"gt": cell}, do_compression=packed)
    sound = (tmp_path / "x.mat").read_bytes()
    rng = np.random.default_rng(1)
    read = refused = 0
    for _ in range(400):
        data = bytearray(sound)
        for place in rng.integers(100, len(data), size=int(rng.integers(1, 6))):
            data[place] = int(rng.integers(256))
        (tmp_path / "d.mat").write_bytes(data[: int(rng.integers(100, 2 * len(data)))])
        try:
            found = read_mat(tmp_path / "d.mat")
        except DataError as error:
            refused += 1
            assert "d.mat" in str(error)
        else:
            read += 1
            assert isinstance(found, (dict, list))
    assert read + refused == 400 and refused > 100


def test_a_size_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    array = (
        struct.pack("<4I", 6, 8, 6, 0) + struct.pack("<4I", 5, 8, 30000, 30000) + struct.pack("<2I", 1 | 1 << 16, 97)
    )
    array += struct.pack("<2I", 9, 7_200_000_000 % 2**32)
    packed = zlib.compress(struct.pack("<2I", 14, 2**31) + array + bytes(10_000_000))
    (tmp_path / "x.mat").write_bytes(head + struct.pack("<2I", 15, len(packed)) + packed)
    with pytest.raises(DataError, match="above the bound"):
        read_mat(tmp_path / "x.mat")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.float64, bool])
@pytest.mark.parametrize("shape", [(-1,), (1, -1), (-1, 1)])
def test_vectors_of_every_type_and_shape(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    labels = np.array([0, 1, 1, 0, 1])
    np.save(tmp_path / "l.npy", labels.astype(dtype).reshape(shape))
    assert read_npy(tmp_path / "l.npy").tolist() == labels.astype(bool).tolist()


def test_labels_that_are_none() -> None:
    with pytest.raises(DataError, match="must be 0 or 1; it holds"):
        as_labels(np.array([0, 1, 2]), "x")
    with pytest.raises(DataError, match="must be a vector"):
        as_labels(np.zeros((2, 3)), "x")
    with pytest.raises(DataError, match="must be 0 or 1"):
        as_labels(np.array([0.0, np.nan]), "x")


OFFICIAL = {"01": np.array([0, 0, 1, 1, 0, 0], bool), "02": np.array([1, 1, 1, 1], bool)}


def saved(path: Path, labels: np.ndarray) -> Path:
    np.save(path, labels)
    return path


def test_disagreement_in_numbers(tmp_path: Path) -> None:
    whole = np.concatenate(list(OFFICIAL.values()))
    equal = disagreement(saved(tmp_path / "a.npy", whole[None].astype(np.int64)), OFFICIAL)
    assert equal == "a.npy: equals the official labels, 6 anomalous against 6"
    other = whole.copy()
    other[[1, 9]] ^= True
    line = disagreement(saved(tmp_path / "b.npy", other), OFFICIAL)
    assert line == "b.npy: 2 of 10 frames differ (20.0%), 6 anomalous against 6; most in 01: 1, 02: 1"
    inverted = disagreement(saved(tmp_path / "c.npy", ~whole), OFFICIAL)
    assert "10 of 10 frames differ" in inverted and "1 may mean normal" in inverted
    assert "of other clips" in disagreement(saved(tmp_path / "d.npy", np.zeros(11)), OFFICIAL)
    assert "of other clips" in disagreement(saved(tmp_path / "e.npy", np.zeros(1)), OFFICIAL)


def test_labels_that_lack_the_first_frames_of_every_clip(tmp_path: Path) -> None:
    cut = np.concatenate([labels[2:] for labels in OFFICIAL.values()]).astype(float)
    line = disagreement(saved(tmp_path / "a.npy", cut), OFFICIAL)
    assert line.startswith("a.npy: equals the official labels, 4 anomalous against 4")
    assert "the first 2 frames of every clip are left out" in line


def test_disagreement_of_mat_files(tmp_path: Path) -> None:
    write_ranges_mat(tmp_path / "gt.mat", [[(3, 4)], [(1, 3)]])
    assert "1 of 10 frames differ" in disagreement(tmp_path / "gt.mat", OFFICIAL)
    write_ranges_mat(tmp_path / "long.mat", [[(3, 4)], [(1, 9)]])
    assert "of other clips" in disagreement(tmp_path / "long.mat", OFFICIAL)
    scipy.io.savemat(tmp_path / "v.mat", {name: labels[None].astype(int) for name, labels in OFFICIAL.items()})
    assert "equals the official labels" in disagreement(tmp_path / "v.mat", OFFICIAL)


def test_writing_and_reading_a_list_is_the_same(tmp_path: Path) -> None:
    ranges = [[(1, 4), (6, 8)], [(2, 2)]]
    write_list(tmp_path / "x.m", ranges)
    assert read_m(tmp_path / "x.m") == ranges
