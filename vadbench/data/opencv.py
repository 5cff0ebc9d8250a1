"""The version of OpenCV without importing it: keys of features name it, and a finished run needs nothing else of it."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from importlib import metadata

_PACKAGES = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")


@cache
def opencv_version() -> str:
    """Return ``cv2.__version__``, such as "4.11.0", from the installed package, whose version has a fourth part."""
    found = set()
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found.add(metadata.version(package))
    if len(found) == 1 and (release := re.match(r"(\d+\.\d+\.\d+)\.\d+\Z", found.pop())):
        return release[1]
    import cv2  # of a system or of several packages

    return str(cv2.__version__)
