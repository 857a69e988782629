"""Send one batch, again and again while that may help, within a limit."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from undercroft._core.clock import Clock
from undercroft.monitoring._tracing._otlp_encode import Encoding
from undercroft.monitoring._tracing._otlp_settings import Target
from undercroft.monitoring._tracing._protocol import AttributeValue, FinishedSpan

_RETRYABLE = {429, 502, 503, 504}
"""https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes."""
_MAX_ANSWER_BYTES = 65_536
_MAX_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the sending of a batch ended. Nothing in it comes from a header or from the endpoint's secrets."""

    problem: str = ""
    """Why it was given up; empty when it was delivered."""
    rejected: int = 0
    """How many of its spans the receiver did not take although it took the batch."""
    why_rejected: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How one request ended."""

    problem: str = ""
    may_retry: bool = False
    retry_after: float = 0.0
    body: bytes = b""


class Post:
    """Posts batches to one endpoint with a client that somebody else opens and closes."""

    def __init__(
        self,
        client: Any,
        target: Target,
        encoding: Encoding,
        *,
        headers: Mapping[str, str],
        use_gzip: bool,
        timeout_s: float,
        retry_for_s: float,
        first_wait_s: float,
        clock: Clock,
        time_left: Callable[[], float],
    ) -> None:
        self._client = client
        self._target = target
        self._encoding = encoding
        self._headers = {**headers, "content-type": encoding.content_type}
        if target.authorization is not None:
            self._headers.setdefault("authorization", target.authorization)
        if use_gzip:
            self._headers["content-encoding"] = "gzip"
        self._use_gzip = use_gzip
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s
        self._first_wait_s = first_wait_s
        self._clock = clock
        self._time_left = time_left

    async def send(self, spans: Sequence[FinishedSpan], resource: Mapping[str, AttributeValue]) -> Outcome:
        """Return how it ended. Repeats on 429, 502, 503, 504 and on a connection that failed.

        That may deliver twice; a receiver tells spans apart by their ids.
        """
        content = self._encoding.encode(spans, resource)
        if self._use_gzip:
            content = gzip.compress(content, compresslevel=6, mtime=0)
        started = self._clock.monotonic()
        wait_s = self._first_wait_s
        while True:
            attempt = await self._attempt(content)
            if not attempt.problem:
                rejected, why = self._encoding.rejected(attempt.body)
                return Outcome(rejected=rejected, why_rejected=why)
            pause_s = max(wait_s * random.uniform(0.5, 1.5), attempt.retry_after)
            left_s = min(self._retry_for_s - (self._clock.monotonic() - started), self._time_left())
            if not attempt.may_retry or pause_s >= left_s:
                return Outcome(problem=attempt.problem)
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, _MAX_WAIT_S)

    async def _attempt(self, content: bytes) -> Attempt:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._request(content)
        except TimeoutError:
            return Attempt(problem=f"no whole answer within {self._timeout_s:g} s", may_retry=True)
        except OSError as exc:
            return Attempt(problem=f"the connection failed ({type(exc).__name__})", may_retry=True)
        except Exception as exc:  # the client's own tree: names of errors only, their texts may have anything
            return Attempt(problem=f"the connection failed ({type(exc).__name__})", may_retry=_is_transport(exc))

    async def _request(self, content: bytes) -> Attempt:
        request = self._client.stream("POST", self._target.url, content=content, headers=self._headers)
        async with request as response:
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    body = b""  # nobody's answer to an export; whether it was taken, the status says
                    break
            if 200 <= response.status_code < 300:
                return Attempt(body=body)
            return Attempt(
                problem=f"it answered {response.status_code}",
                may_retry=response.status_code in _RETRYABLE,
                retry_after=self._retry_after(response.headers.get("retry-after", "")),
            )

    def _retry_after(self, text: str) -> float:
        """Return seconds, from either form of the header (RFC 9110, section 10.2.3); 0 when it is neither."""
        if text.isascii() and text.isdecimal():
            return float(text[:9])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self._clock.time())
        except (ValueError, TypeError, OverflowError):
            return 0.0


def _is_transport(exc: Exception) -> bool:
    # httpx2.TransportError, whose module is loaded by whoever made the client.
    return any(kind.__name__ == "TransportError" for kind in type(exc).__mro__)
