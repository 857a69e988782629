"""How much memory this process uses, for workers that end before they use too much."""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path

from undercroft.queue._errors import JobDefinitionError

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([kmg]?)(?:i?b)?", re.IGNORECASE)


def to_bytes(size: int | str, *, name: str) -> int:
    """Return a size in bytes, from a number of bytes or text such as `"512MB"` or `"2GiB"`; a kilobyte is 1024 bytes.

    Raises:
        JobDefinitionError: Anything else.
    """
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    match = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    if match is None or float(match[1]) <= 0:
        raise JobDefinitionError(f"{name} {size!r} is not a size", hint='give bytes, or text such as "512MB"')
    return int(float(match[1]) * _UNITS[match[2].lower()])


def rss_bytes() -> int:
    """Return the memory of this process that is resident now; where the system does not tell, the most it ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
