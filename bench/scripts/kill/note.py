"""How a run says that it began or came to its end: one line, appended in one write."""

from __future__ import annotations

import json
import os
import time


def note(log: str, event: str, job: int) -> None:
    """Append a line to the drill's log."""
    line = json.dumps({"at": time.time(), "event": event, "job": job, "pid": os.getpid()}) + "\n"
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
