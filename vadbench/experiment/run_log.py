"""log.txt of a run: all that is logged while it works, the traceback of what stopped it included."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)


class _RunLog(logging.FileHandler):
    """The log of one run, log.txt in its folder; where the disk is full, that is said once and by the run itself."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: logging would print a traceback to the terminal."""


@contextmanager
def logged_into(folder: Path) -> Iterator[None]:
    """Log into log.txt of ``folder``, also the traceback of what goes wrong: whoever catches it says on the terminal
    what it is."""
    handler = _RunLog(folder / "log.txt", mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    except Exception as error:
        cause = (type(error), error, error.__traceback__)
        handler.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, "failed", (), cause))
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        with suppress(OSError):
            handler.close()
