"""Decode ahead: run an iterator of frames in a thread, a bounded number of frames in front of whoever reads them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

Item = TypeVar("Item")

_POLL_SECONDS = 0.1


def prefetch(frames: Iterable[Item], ahead: int = 8) -> Iterator[Item]:
    """Return the items of ``frames``, in order, made by a thread at most ``ahead`` items in front of the reader.

    An error of the producer is raised at the place where its item would have come. The thread ends when the reader
    stops, by exhaustion, by an error or by dropping the iterator. ``ahead=0`` means no thread.
    """
    if ahead < 0:
        raise ValueError(f"ahead must be at least 0, not {ahead}")
    return _ahead(frames, ahead) if ahead else iter(frames)


def _ahead(frames: Iterable[Item], ahead: int) -> Iterator[Item]:
    items: queue.Queue[tuple[str, Any]] = queue.Queue(ahead)
    stop = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            with suppress(queue.Full):
                items.put((kind, value), timeout=_POLL_SECONDS)
                return True
        return False

    thread = threading.Thread(target=_produce, args=(frames, put), name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = items.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()


def _produce(frames: Iterable[Any], put: Callable[[str, Any], bool]) -> None:
    """Put every item, then the end or the error that stopped it; close the iterator whatever happens."""
    iterator = iter(frames)
    try:
        for item in iterator:
            if not put("item", item):
                return
        put("end", None)
    except BaseException as error:
        put("error", error)
    finally:
        close = getattr(iterator, "close", None)
        if close:
            close()
