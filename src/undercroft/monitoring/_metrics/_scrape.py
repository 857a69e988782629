"""What `/metrics` is answered, over whichever protocol it comes."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from undercroft.monitoring._metrics._face import negotiate

METRICS_PATH = "/metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeAnswer:
    """An answer, ready to be written. Immutable."""

    status: int
    """Of HTTP."""
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Besides the type and the length."""


async def answer_scrape(*, accept: str = "", authorization: str = "", token: str | None = None) -> ScrapeAnswer:
    """Return what all processes that share a directory have counted, or this one alone.

    In Prometheus's text format, or as OpenMetrics, with exemplars, to those who ask for that. Rendered in a thread:
    files of many processes are read, and thousands of series written.

    Args:
        accept: The header `Accept`; the lines joined by commas where there are several.
        authorization: The header `Authorization`.
        token: What it must carry as a bearer token (RFC 6750), compared in constant time; anybody may look when `None`.
    """
    import anyio.to_thread  # late: whoever only counts does not need it

    if token is not None and not _is_bearer(authorization, token):
        challenge = {"www-authenticate": 'Bearer realm="metrics"'}
        body = b"the bearer token is missing or wrong\n"
        return ScrapeAnswer(status=401, body=body, content_type="text/plain; charset=utf-8", headers=challenge)
    render, content_type = negotiate(accept)
    body = (await anyio.to_thread.run_sync(render)).encode()
    headers = {"cache-control": "no-store", "vary": "accept"}
    return ScrapeAnswer(status=200, body=body, content_type=content_type, headers=headers)


def _is_bearer(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.strip().partition(" ")
    # As bytes: `compare_digest` refuses texts that are not ASCII.
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
