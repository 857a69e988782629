"""Tell of logging's own failures, which must not reach whoever logged."""

from __future__ import annotations

import logging as stdlib_logging
import os
import select
import sys
import traceback

from undercroft.logging._output import has_descriptor

_MAX_BYTES = 4_096


def report_failure(failure: BaseException) -> None:
    """Do what the standard library's handlers do with their own failures: standard error, if `raiseExceptions`.

    Without waiting for whoever reads that, and at most 4,096 bytes: it may be what does not take our lines.
    """
    stream = sys.stderr
    if not stdlib_logging.raiseExceptions or stream is None:
        return
    try:
        text = "--- Logging error ---\n" + "".join(traceback.format_exception(failure))
        if not has_descriptor(stream):
            stream.write(text)
        elif _is_ready(stream.fileno()):
            os.write(stream.fileno(), text.encode("utf-8", "backslashreplace")[-_MAX_BYTES:])
    except (OSError, ValueError):
        return  # standard error is gone or closed: nobody is left to tell


def _is_ready(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & select.POLLOUT for _, events in poll.poll(0))
