"""Work in threads: all at once, in order, as many as are allowed."""

from __future__ import annotations

import threading

import pytest

from vadbench.models.ai_vad.in_threads import in_threads


def test_results_are_in_order_and_tasks_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    meeting = threading.Barrier(3, timeout=30)  # breaks unless three tasks are there at the same time
    threads = set()

    def work(a: int, b: str) -> str:
        meeting.wait()
        threads.add(threading.get_ident())
        return f"{a}{b}"

    assert in_threads(work, range(6), "abcdef") == ["0a", "1b", "2c", "3d", "4e", "5f"]
    assert len(threads) == 3


def test_one_thread_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    assert set(in_threads(lambda _: threading.get_ident(), range(4))) == {threading.get_ident()}
    assert in_threads(str, []) == []


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_error_in_order_is_raised(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)

    def work(n: int) -> int:
        if n > 1:
            raise ValueError(f"task {n}")
        return n

    with pytest.raises(ValueError, match="task 2"):
        in_threads(work, range(6))
    with pytest.raises(ValueError, match="argument"):
        in_threads(lambda a, b: a, range(3), range(4))
