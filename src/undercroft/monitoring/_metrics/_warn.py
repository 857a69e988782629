"""Warnings, for whoever operates the process: on the standard library's logger `undercroft.monitoring`."""

from __future__ import annotations


def warn(message: str, *values: object) -> None:
    """Log a warning."""
    import logging  # late: counting alone does not need it

    logging.getLogger("undercroft.monitoring").warning(message, *values)
