"""Decode-ahead: same items in the same order, errors in their place, bounded, no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadbench.data.readers.prefetch import prefetch


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(), max_size=60), st.integers(0, 9))
def test_the_items_are_the_same_in_the_same_order(items: list[int], ahead: int) -> None:
    assert list(prefetch(iter(items), ahead)) == items
    assert not threads()


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_an_error_comes_where_its_item_would_have_come(ahead: int) -> None:
    def frames() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("frame 2 is damaged")

    seen = []
    with pytest.raises(ValueError, match="frame 2 is damaged"):
        for frame in prefetch(frames(), ahead):
            seen.append(frame)  # noqa: PERF402
    assert seen == [1, 2]
    assert not threads()


def test_it_runs_ahead_by_no_more_than_asked() -> None:
    made = 0

    def frames() -> Iterator[int]:
        nonlocal made
        for number in range(100):
            made += 1
            yield number

    reader = prefetch(frames(), ahead=5)
    for taken in range(1, 21):
        next(reader)
        assert made <= taken + 6  # five waiting, one in the thread's hand
        deadline = time.monotonic() + 60
        while made < taken + 6:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    reader.close()  # type: ignore[attr-defined]


def test_dropping_the_reader_ends_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def frames() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    reader = prefetch(frames(), ahead=2)
    next(reader)
    assert len(threads()) == 1
    reader.close()  # type: ignore[attr-defined]
    assert closed.is_set() and not threads()


def test_a_reader_that_is_never_started_starts_no_thread() -> None:
    prefetch(iter([1]), ahead=3)
    assert not threads()


def test_decoding_really_runs_beside_the_reader() -> None:
    second = threading.Event()

    def frames() -> Iterator[int]:
        yield 0
        second.set()
        yield 1

    reader = prefetch(frames(), ahead=4)
    assert next(reader) == 0
    assert second.wait(60)  # the second frame is made while the reader still holds the first
    assert list(reader) == [1]


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        prefetch(iter([]), -1)
