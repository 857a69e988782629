"""Redaction as an application hands it to the parts that may not import it."""

from __future__ import annotations

from undercroft.logging import redact_pii


def redact_attribute(name: str, value: object) -> object:
    """Return what may be kept of a span's attribute; for `setup_tracing(redact=…)`."""
    return redact_pii({name: value})[name]
