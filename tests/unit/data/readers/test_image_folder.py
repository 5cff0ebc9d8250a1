"""Folders of images: order, stray files, holes, damage under both policies, bounds, digests."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.data.clips import moving_clip, write_images
from vadbench.data.readers.image_folder import ImageFolder, natural_key
from vadbench.data.readers.source import ArraySource, FirstFrames, Policy, TooLarge
from vadbench.errors import DataError

SKIP = Policy(on_fault="skip")


def read(source: ImageFolder | FirstFrames | ArraySource) -> np.ndarray:
    return np.stack(list(source.frames()))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
def test_frames_come_back_to_the_bit_in_order_and_once(tmp_path: Path, suffix: str) -> None:
    clip = moving_clip(12)
    source = ImageFolder(write_images(tmp_path, clip, suffix, digits=1))  # 10.png sorts before 2.png as text
    assert (source.n_frames, source.size) == (12, (48, 64))
    assert source.decoded == 0
    assert np.array_equal(read(source), clip)
    assert source.decoded == 12
    assert np.array_equal(read(source), clip)
    assert source.decoded == 24


def test_jpeg_passes_are_bit_equal_and_near_the_clip(tmp_path: Path) -> None:
    clip = moving_clip(5)
    source = ImageFolder(write_images(tmp_path, clip, ".jpg"))
    assert np.array_equal(read(source), read(source))
    assert np.abs(read(source).astype(int) - clip).mean() < 6


@given(st.lists(st.integers(0, 10**12), unique=True), st.randoms())
def test_natural_order_is_the_order_of_the_numbers(numbers: list[int], rng: random.Random) -> None:
    names = [f"frame {n}.png" for n in sorted(numbers)]
    mixed = names.copy()
    rng.shuffle(mixed)
    assert sorted(mixed, key=natural_key) == names


def test_names_with_unicode_and_spaces(tmp_path: Path) -> None:
    clip = moving_clip(3)
    folder = write_images(tmp_path / "Überwachung 监控 nord", clip)
    for path in sorted(folder.iterdir()):
        path.rename(folder / f"bild — {path.name}")
    assert np.array_equal(read(ImageFolder(folder)), clip)


def test_stray_entries_are_left_out_and_noted(tmp_path: Path) -> None:
    clip = moving_clip(4)
    write_images(tmp_path, clip, ".tif", first=1)
    for name in ("._001.tif", ".DS_Store", "Thumbs.db", "readme.txt", ".hidden.tif"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7 resource fork")
    (tmp_path / "005.tif").mkdir()  # a folder with an image's name
    source = ImageFolder(tmp_path)
    assert np.array_equal(read(source), clip)
    assert source.notes == [f"{tmp_path.name}: 6 stray entries left out (.DS_Store, ._001.tif, .hidden.tif, ...)"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_damaged_frame_is_an_error_that_names_file_and_frame(tmp_path: Path, damage: str) -> None:
    write_images(tmp_path, moving_clip(6), ".tif", first=1)
    spoil(tmp_path / "004.tif", damage)
    seen: list[np.ndarray] = []
    with pytest.raises(DataError, match=r"004\.tif: frame 3: .*dataset\.on_fault=skip"):
        seen.extend(ImageFolder(tmp_path).frames())
    assert len(seen) == 3


def spoil(path: Path, damage: str) -> None:
    data = path.read_bytes()
    path.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "text": b"not an image"}[damage])


def test_skip_repeats_the_good_frame_before_and_keeps_every_number(tmp_path: Path) -> None:
    clip = moving_clip(8)
    write_images(tmp_path, clip, ".tif", first=1)
    for name in ("004.tif", "005.tif"):
        spoil(tmp_path / name, "truncated")
    source = ImageFolder(tmp_path, SKIP)
    expected = clip[[0, 1, 2, 2, 2, 5, 6, 7]]
    assert np.array_equal(read(source), expected)
    assert np.array_equal(read(source), expected)
    assert sorted(source.faults) == [3, 4]
    assert "004.tif: frame 3" in source.faults[3]
    assert source.decoded == 12  # six a pass


def test_skip_at_the_start_shows_the_first_good_frame(tmp_path: Path) -> None:
    clip = moving_clip(5)
    write_images(tmp_path, clip, ".png")
    for name in ("000.png", "001.png"):
        spoil(tmp_path / name, "empty")
    source = ImageFolder(tmp_path, SKIP)
    assert np.array_equal(read(source), clip[[2, 2, 2, 3, 4]])


def test_a_repeated_frame_is_a_copy(tmp_path: Path) -> None:
    clip = moving_clip(3)
    write_images(tmp_path, clip, ".png")
    spoil(tmp_path / "001.png", "empty")
    for number, frame in enumerate(ImageFolder(tmp_path, SKIP).frames()):
        if number == 1:
            assert np.array_equal(frame, clip[0])
        frame[:] = 0  # what a careless reader might do


def test_a_folder_with_nothing_readable_is_an_error_even_under_skip(tmp_path: Path) -> None:
    write_images(tmp_path, moving_clip(3), ".png")
    for path in tmp_path.iterdir():
        path.write_bytes(b"no")
    with pytest.raises(DataError, match="no frame in it can be read"):
        list(ImageFolder(tmp_path, SKIP).frames())


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    source = ImageFolder(tmp_path)
    assert source.n_frames == 0
    with pytest.raises(DataError, match="holds no frames"):
        list(source.frames())


def test_a_missing_number_is_a_frame_that_cant_be_read(tmp_path: Path) -> None:
    clip = moving_clip(30)
    write_images(tmp_path, clip, ".png", first=1)
    (tmp_path / "015.png").unlink()
    assert ImageFolder(tmp_path).n_frames == 30
    with pytest.raises(DataError, match=r"frame 14 \(after 014\.png\): missing from the numbering"):
        list(ImageFolder(tmp_path).frames())
    kept = read(ImageFolder(tmp_path, SKIP))
    assert np.array_equal(kept[14], clip[13]) and np.array_equal(kept[15:], clip[15:])


def test_numbers_in_steps_are_no_holes(tmp_path: Path) -> None:
    write_images(tmp_path, moving_clip(20), ".png")
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f"t{int(path.stem) * 5:04d}.png")
    assert ImageFolder(tmp_path).n_frames == 20


def test_two_files_of_one_frame_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, moving_clip(4), ".png")
    (tmp_path / "2.png").write_bytes((tmp_path / "002.png").read_bytes())
    with pytest.raises(DataError, match=r"2\.png.*are the same frame"):
        ImageFolder(tmp_path)


def test_a_frame_of_another_size_is_a_fault(tmp_path: Path) -> None:
    clip = moving_clip(5)
    write_images(tmp_path, clip, ".png")
    write_images(tmp_path, moving_clip(1, 20, 30), ".png", first=3)
    with pytest.raises(DataError, match=r"003\.png: frame 3: its size is 30 x 20, not 64 x 48"):
        list(ImageFolder(tmp_path).frames())
    assert np.array_equal(read(ImageFolder(tmp_path, SKIP))[3], clip[2])


def test_bounds_refuse_under_either_policy(tmp_path: Path) -> None:
    write_images(tmp_path, moving_clip(4), ".png")
    with pytest.raises(TooLarge, match=r"000\.png: frame 0: a frame of 64 x 48.*dataset\.max_pixels=3072"):
        list(ImageFolder(tmp_path, Policy("skip", max_pixels=3071)).frames())
    with pytest.raises(TooLarge, match=r"dataset\.max_video_frames=4"):
        ImageFolder(tmp_path, Policy("skip", max_video_frames=3))


def test_digest_is_of_bytes_and_order_and_not_of_names(tmp_path: Path) -> None:
    clip = moving_clip(4)
    one = ImageFolder(write_images(tmp_path / "a", clip))
    other = ImageFolder(write_images(tmp_path / "b", clip, first=7, digits=5))
    swapped = ImageFolder(write_images(tmp_path / "c", clip[[1, 0, 2, 3]]))
    assert one.digest() == other.digest() != swapped.digest()
    assert len(one.digest()) == 64
    (tmp_path / "b" / "00007.png").write_bytes(b"x" + (tmp_path / "b" / "00007.png").read_bytes()[1:])
    assert ImageFolder(tmp_path / "b").digest() != one.digest()


def test_digest_knows_where_one_file_ends(tmp_path: Path) -> None:
    for folder, parts in (("a", (b"12", b"3")), ("b", (b"1", b"23"))):
        (tmp_path / folder).mkdir()
        for number, part in enumerate(parts):
            (tmp_path / folder / f"{number}.png").write_bytes(part)
    assert ImageFolder(tmp_path / "a").digest() != ImageFolder(tmp_path / "b").digest()


def test_first_frames_stop_early_and_change_the_digest(tmp_path: Path) -> None:
    clip = moving_clip(9)
    whole = ImageFolder(write_images(tmp_path, clip))
    first = FirstFrames(whole, 4)
    assert first.n_frames == 4 and first.size == (48, 64)
    assert np.array_equal(read(first), clip[:4])
    assert first.decoded == 4
    assert first.digest() not in (whole.digest(), FirstFrames(whole, 5).digest())


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(tmp_path / "none")


@pytest.mark.parametrize("grey", [False, True])
def test_array_frames(grey: bool) -> None:
    clip = moving_clip(6)
    array = clip[..., 0] if grey else clip
    source = ArraySource(array)
    expected = np.repeat(array[..., None], 3, axis=3) if grey else clip
    assert np.array_equal(read(source), expected)
    assert source.digest() == ArraySource(array.copy()).digest() != ArraySource(array[::-1]).digest()
    with pytest.raises(DataError, match="float64"):
        ArraySource(clip.astype(float))
