"""Arrays on disk: bit-equal back, readable by the format's own library, damage never read as data."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vadbench.files import digest_of
from vadbench.store import arrays

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint16", "uint8", "bool"]


def _written(content: dict[str, np.ndarray], path: Path) -> str:
    with path.open("wb") as file:
        sha, size = arrays.write(file, content)
    assert size == path.stat().st_size
    return sha


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(np.dtype(d), hnp.array_shapes(min_side=0, max_side=4))),
        max_size=4,
    )
)
def test_back_to_the_bit_and_readable_by_safetensors(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("arrays") / "x.safetensors"
    sha = _written(content, path)
    assert digest_of(path) == sha
    mine, theirs = arrays.read(path), safetensors.numpy.load_file(path)
    assert set(mine) == set(theirs) == set(content)
    for name, array in content.items():
        for back in (mine[name], theirs[name]):
            assert back.dtype == array.dtype
            assert back.shape == array.shape
            assert back.tobytes() == array.tobytes()


def test_every_array_is_aligned_to_its_items(tmp_path):
    content = {d: np.ones(3, d) for d in DTYPES}
    _written(content, tmp_path / "x")
    assert all(array.flags.aligned for array in arrays.read(tmp_path / "x").values())


def test_what_is_read_is_memory_mapped_and_read_only(tmp_path):
    import mmap

    _written({"a": np.arange(5.0)}, tmp_path / "x")
    array = arrays.read(tmp_path / "x")["a"]
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_strided_and_big_endian_arrays_are_stored_by_value(tmp_path):
    given = {"a": np.arange(12.0).reshape(3, 4).T[::2], "b": np.arange(3, dtype=">i4")}
    _written(given, tmp_path / "x")
    back = arrays.read(tmp_path / "x")
    assert np.array_equal(back["a"], given["a"])
    assert np.array_equal(back["b"], [0, 1, 2])


def test_an_array_that_has_no_code_is_refused_by_name():
    with pytest.raises(TypeError, match="'words' has dtype"):
        arrays.write(io.BytesIO(), {"words": np.array(["a"])})


@pytest.mark.parametrize("cut", [0, 4, 8, 40, -1])
def test_a_truncated_file_is_never_read_as_data(tmp_path, cut):
    path = tmp_path / "x"
    _written({"a": np.arange(100.0)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    with pytest.raises(ValueError):
        arrays.read(path)


def test_lowered_leaves_what_is_not_floating_and_never_widens():
    given = {"f": np.ones(2), "h": np.ones(2, np.float16), "i": np.arange(2), "b": np.array([True])}
    out, kept = arrays.lowered(given, "float32")
    assert kept == []
    assert {name: a.dtype.name for name, a in out.items()} == {
        "f": "float32",
        "h": "float16",
        "i": "int64",
        "b": "bool",
    }


def test_what_float16_cannot_hold_stays_in_float32_and_is_named():
    out, kept = arrays.lowered({"big": np.array([1.0, 7e4]), "edge": np.array([65504.0, np.inf, np.nan])}, "float16")
    assert kept == ["big"]
    assert out["big"].dtype == np.float32
    assert out["big"][1] == np.float32(7e4)
    assert out["edge"].dtype == np.float16
    assert out["edge"][0] == 65504
