"""What reaches the terminal: this program's own messages. What libraries log or warn of goes to a run's log.txt."""

from __future__ import annotations

import logging
import sys

from vadbench.untrusted import printable


def show_own_messages() -> None:
    """Log to stderr, but of libraries only what they call an error; their Python warnings are logged too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(is_worth_showing)
    handler.setFormatter(_Printable("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)


class _Printable(logging.Formatter):
    """Formats without what a terminal would obey: a message may quote anybody's file."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return printable(super().format(record))


def is_worth_showing(record: logging.LogRecord) -> bool:
    """Return whether a log record is this program's own, or an error."""
    return record.name.partition(".")[0] in ("vadbench", "__main__") or record.levelno >= logging.ERROR
