"""Tell of logging's own failures, which must not reach whoever logged."""

from __future__ import annotations

import logging as stdlib_logging
import sys
import traceback


def report_failure(failure: BaseException) -> None:
    """Do what the standard library's handlers do with their own failures: standard error, if `raiseExceptions`."""
    if not stdlib_logging.raiseExceptions or sys.stderr is None:
        return
    try:
        sys.stderr.write("--- Logging error ---\n")
        traceback.print_exception(failure, file=sys.stderr)
    except (OSError, ValueError):
        return  # standard error is gone or closed: nobody is left to tell
