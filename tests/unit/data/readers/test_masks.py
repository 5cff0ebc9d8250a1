"""Masks in every form give the same bits; nothing is executed; memory stays bounded."""

from __future__ import annotations

import io
import os
import pickle
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.clips import box_masks, write_images
from vadbench.data.readers.masks import FirstMasks, ImageMasks, StackMasks, any_of, load_npy, mask_digest, mask_size
from vadbench.data.readers.mat_masks import MatMasks, read_stack
from vadbench.data.video import MaskSource
from vadbench.errors import DataError

MASKS = box_masks(9, 14, 17, range(3, 7))


def as_cell(masks: np.ndarray, dtype: type = np.uint8, value: int = 1) -> np.ndarray:
    """A 1 x T cell of H x W matrices, as Avenue's ``volLabel``."""
    cell = np.empty((1, len(masks)), object)
    for t, mask in enumerate(masks):
        cell[0, t] = mask.astype(dtype) * value
    return cell


def written(folder: Path, form: str) -> MaskSource:
    if form in (".bmp", ".png", ".tif"):
        return ImageMasks(write_images(folder / form[1:], (MASKS * 255).astype(np.uint8), form))
    if form == "ones":
        return ImageMasks(write_images(folder / "ones", MASKS.astype(np.uint8), ".png"))
    if form == "colour":
        rgb = np.repeat((MASKS * 90).astype(np.uint8)[..., None], 3, axis=3) * np.array([0, 0, 1], np.uint8)
        return ImageMasks(write_images(folder / "colour", rgb, ".png"))
    if form == "npy":
        np.save(folder / "m.npy", MASKS.astype(np.uint8))
        return StackMasks(folder / "m.npy")
    if form == "npy_channel":
        np.save(folder / "c.npy", MASKS[..., None].astype(np.float32))
        return StackMasks(folder / "c.npy")
    if form == "array":
        return StackMasks(MASKS)
    values = {
        "cell": as_cell(MASKS),
        "cell_double": as_cell(MASKS, np.float64, 3),
        "cell_logical": as_cell(MASKS, bool),
        "cell_int16": as_cell(MASKS, np.int16, -5),
        "column": as_cell(MASKS).T,
        "stack": np.moveaxis(MASKS, 0, 2).astype(np.uint8),
        "stack_double": np.moveaxis(MASKS, 0, 2).astype(np.float64),
    }
    name, packed = form.rpartition("/")[::2] if "/" in form else (form, "packed")
    scipy.io.savemat(folder / f"{name}.mat", {"volLabel": values[name]}, do_compression=packed == "packed")
    return MatMasks(folder / f"{name}.mat")


FORMS = [".bmp", ".png", ".tif", "ones", "colour", "npy", "npy_channel", "array", "cell", "cell_double"]
FORMS += ["cell_logical", "cell_int16", "column", "stack", "stack_double", "cell/plain", "stack/plain"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_masks(tmp_path: Path, form: str) -> None:
    masks = written(tmp_path, form)
    assert mask_size(masks) == (14, 17)
    assert len(masks) == 9
    for frame in (8, 0, 4, 4):  # any order, more than once
        assert masks[frame].dtype == bool
        assert np.array_equal(masks[frame], MASKS[frame])
    assert np.array_equal(any_of(masks), MASKS.any(axis=(1, 2)))
    with pytest.raises(IndexError):
        masks[9]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(1, 30), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_stream_reads_what_scipy_reads(frames: int, height: int, width: int, packed: bool, seed: int) -> None:
    cell = as_cell(np.random.default_rng(seed).random((frames, height, width)) < 0.2)
    out = io.BytesIO()
    scipy.io.savemat(out, {"other": np.eye(3), "volLabel": cell, "note": "text"}, do_compression=packed)
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"vadbench_test_{os.getpid()}.mat"
    path.write_bytes(out.getvalue())
    try:
        wanted = scipy.io.loadmat(path)["volLabel"][0]
        got = list(read_stack(path, "volLabel"))
    finally:
        path.unlink()
    assert len(got) == frames
    assert all(np.array_equal(a, b != 0) for a, b in zip(got, wanted, strict=True))


def test_a_mat_stack_is_read_in_bounded_memory(tmp_path: Path) -> None:
    masks = box_masks(300, 200, 300, range(50, 250))  # 18 MB as bytes
    scipy.io.savemat(tmp_path / "m.mat", {"volLabel": as_cell(masks)}, do_compression=True)
    tracemalloc.start()
    source = MatMasks(tmp_path / "m.mat")
    assert source.any().sum() == 200
    assert np.array_equal(source[120], masks[120])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_known_labels_spare_the_inflating_until_a_mask_is_asked_for(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "m.mat", {"volLabel": as_cell(MASKS)}, do_compression=True)
    source = MatMasks(tmp_path / "m.mat", known=MASKS.any(axis=(1, 2)))
    assert len(source) == 9 and source._packed is None
    assert np.array_equal(source[3], MASKS[3])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("packed", [True, False])
def test_a_mat_file_cut_short_is_a_data_error(tmp_path: Path, share: float, packed: bool) -> None:
    path = tmp_path / "m.mat"
    noise = np.random.default_rng(0).random((20, 30, 40)) < 0.5
    scipy.io.savemat(path, {"volLabel": as_cell(noise)}, do_compression=packed)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError, match=r"m\.mat"):
        MatMasks(path).any()


def test_other_mat_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "v73.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM" + bytes(600))
    with pytest.raises(DataError, match=r"7\.3 files \(HDF5\) are not read.*-v7"):
        MatMasks(tmp_path / "v73.mat").any()
    scipy.io.savemat(tmp_path / "named.mat", {"volLable": as_cell(MASKS)})
    with pytest.raises(DataError, match="Did you mean: volLable"):
        MatMasks(tmp_path / "named.mat", "volLabel").any()
    scipy.io.savemat(tmp_path / "words.mat", {"volLabel": np.array([["a", "b"]], object)})
    with pytest.raises(DataError, match="not a numeric matrix"):
        MatMasks(tmp_path / "words.mat").any()
    sizes = as_cell(MASKS)
    sizes[0, 4] = np.ones((3, 3), np.uint8)
    scipy.io.savemat(tmp_path / "sizes.mat", {"volLabel": sizes})
    with pytest.raises(DataError, match=r"mask 4 is \(3, 3\)"):
        MatMasks(tmp_path / "sizes.mat").any()


class Armed:
    """Leaves a trace if it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return os.system, (f"touch '{self.trace}'",)  # type: ignore[return-value]


def test_a_pickled_npy_is_refused_and_nothing_in_it_runs(tmp_path: Path) -> None:
    trace = tmp_path / "it_ran"
    for name, content in (("object.npy", np.array([Armed(trace)], object)), ("plain.npy", None)):
        path = tmp_path / name
        if content is None:
            path.write_bytes(pickle.dumps(Armed(trace)))
        else:
            np.save(path, content, allow_pickle=True)
        with pytest.raises(DataError, match=rf"{name}: .*(pickle|sound)"):
            load_npy(path)
    assert not trace.exists()


def test_the_message_for_a_pickled_npy_says_how_to_convert_it_and_the_command_works(tmp_path: Path) -> None:
    import subprocess
    import sys

    ragged = np.empty(len(MASKS), object)
    for t, mask in enumerate(MASKS):
        ragged[t] = mask
    np.save(tmp_path / "old.npy", ragged, allow_pickle=True)
    with pytest.raises(DataError) as caught:
        StackMasks(tmp_path / "old.npy")
    command = str(caught.value).partition('python -c "')[2].rpartition('"')[0]
    subprocess.run([sys.executable, "-c", command], cwd=tmp_path, check=True)
    converted = StackMasks(tmp_path / "masks.npy")
    assert np.array_equal(np.stack([converted[t] for t in range(9)]), MASKS)


def test_a_stack_is_memory_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((400, 200, 200), np.uint8))  # 16 MB
    tracemalloc.start()
    masks = StackMasks(tmp_path / "m.npy")
    assert not masks[399].any()
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("shape", [(5,), (5, 6), (5, 6, 7, 3)])
def test_a_stack_of_another_shape_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "m.npy", np.zeros(shape))
    with pytest.raises(DataError, match=r"m\.npy: masks must be \(frames, height, width\)"):
        StackMasks(tmp_path / "m.npy")


def test_a_npy_cut_short_is_a_data_error(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((40, 20, 20)))
    (tmp_path / "m.npy").write_bytes((tmp_path / "m.npy").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"m\.npy"):
        StackMasks(tmp_path / "m.npy")


def test_a_damaged_mask_image_names_file_and_frame(tmp_path: Path) -> None:
    masks = ImageMasks(write_images(tmp_path, (MASKS * 255).astype(np.uint8), ".bmp", first=1))
    (tmp_path / "005.bmp").write_bytes(b"BM")
    with pytest.raises(DataError, match=r"005\.bmp: mask of frame 4: "):
        masks[4]


def test_lossy_masks_are_taken_as_they_are_and_that_is_any_pixel_above_zero(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.jpg"), np.full((16, 16), 7, np.uint8))
    assert ImageMasks(tmp_path)[0].all()


def test_first_masks_cut_and_pad(tmp_path: Path) -> None:
    cut, padded = FirstMasks(StackMasks(MASKS), 5, (14, 17)), FirstMasks(StackMasks(MASKS), 12, (14, 17))
    assert (len(cut), len(padded)) == (5, 12)
    assert np.array_equal(cut[4], MASKS[4]) and np.array_equal(padded[8], MASKS[8])
    assert padded[11].shape == (14, 17) and not padded[11].any()
    with pytest.raises(IndexError):
        cut[5]


@pytest.mark.parametrize("form", [".png", "npy", "array", "cell"])
def test_digests_follow_the_content(tmp_path: Path, form: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, same = written(tmp_path / "a", form), written(tmp_path / "b", form)
    if form != "cell":  # a .mat file holds the time at which it was written
        assert mask_digest(one) == mask_digest(same)
    assert mask_digest(one) != mask_digest(StackMasks(~MASKS))
    assert mask_digest(FirstMasks(one, 5, (14, 17))) != mask_digest(FirstMasks(one, 6, (14, 17)))
