"""What reaches the terminal: this program's own messages. What libraries log or warn of goes to a run's log.txt."""

from __future__ import annotations

import logging
import sys


def show_own_messages() -> None:
    """Log to stderr, but of libraries only what they call an error; their Python warnings are logged too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(is_worth_showing)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", handlers=[handler])
    logging.captureWarnings(True)


def is_worth_showing(record: logging.LogRecord) -> bool:
    """Return whether a log record is this program's own, or an error."""
    return record.name.partition(".")[0] in ("vadbench", "__main__") or record.levelno >= logging.ERROR
