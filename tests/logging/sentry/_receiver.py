"""Sentry's end of the wire: a local HTTP server that keeps what came, and envelopes read back into what was sent.

The format is https://develop.sentry.dev/sdk/data-model/envelopes/: a line of headers, then for each item a line of
headers and a payload, of `length` bytes or up to the next newline.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.email._http import Answer, Recorder, answer, recorder

PUBLIC_KEY = "caNARyPublicKey5f2e"
ACCEPTED = answer(200, {"id": "0"})


@dataclass(frozen=True)
class Item:
    kind: str
    payload: Any


@dataclass
class Sentry:
    """A project that nobody but the test knows."""

    recorder: Recorder

    @property
    def dsn(self) -> str:
        return f"http://{PUBLIC_KEY}@127.0.0.1:{self.recorder.port}/42"

    @property
    def items(self) -> list[Item]:
        """Everything that came, in order."""
        return [item for request in self.recorder.requests for item in read_envelope(_body(request))]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [item.payload for item in self.items if item.kind == "event"]

    @property
    def transactions(self) -> list[dict[str, Any]]:
        return [item.payload for item in self.items if item.kind == "transaction"]

    @property
    def text(self) -> str:
        """Everything that came, as it was written, uncompressed."""
        return "\n".join(_body(request).decode() for request in self.recorder.requests)

    @property
    def event(self) -> dict[str, Any]:
        """The one event that came."""
        (event,) = self.events
        return event


@asynccontextmanager
async def receiving(respond: Answer | None = None) -> AsyncIterator[Sentry]:
    """Listen as Sentry does; answers 200 unless told otherwise."""
    async with recorder() as recording:
        recording.respond = respond or (lambda request: ACCEPTED)
        yield Sentry(recording)


def read_envelope(data: bytes) -> list[Item]:
    """Return the items of an envelope."""
    _, _, rest = data.partition(b"\n")
    items = []
    while rest.strip():
        head, _, rest = rest.partition(b"\n")
        headers = json.loads(head)
        end = headers["length"] if "length" in headers else rest.find(b"\n") % (len(rest) + 1)
        payload, rest = rest[:end], rest[end:].removeprefix(b"\n")
        items.append(Item(headers["type"], _decoded(payload)))
    return items


def _decoded(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def _body(request: Any) -> bytes:
    is_gzip = request.headers.get("content-encoding") == "gzip"
    return gzip.decompress(request.body) if is_gzip else request.body
