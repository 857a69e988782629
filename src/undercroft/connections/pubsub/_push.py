"""Push: Pub/Sub posts messages to us. Framework-free, and a small ASGI application around it."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from undercroft.connections.pubsub._envelope import read_envelope
from undercroft.connections.pubsub._errors import (
    PubSubDefinitionError,
    PubSubError,
    PubSubUnavailableError,
    PushClosedError,
    PushEnvelopeError,
    PushUnauthorizedError,
    SubscriptionNotFoundError,
)
from undercroft.connections.pubsub._facade import PubSub
from undercroft.connections.pubsub._oidc import Oidc, OidcVerifier
from undercroft.connections.pubsub._running import Outcome, Processor
from undercroft.logging import Logger

MAX_BODY_BYTES = 15 * 1024 * 1024
"""A message of 10 MB in base64, and what is around it."""
_log = Logger(module="undercroft.connections.pubsub")

_FAILURES = {
    Outcome.FAILED: (500, "HANDLER_ERROR", "the handler failed"),
    Outcome.UNCLAIMED: (503, "CLAIMS_UNAVAILABLE", "the claim store did not answer"),
    Outcome.BUSY: (409, "BUSY", "the message is being handled"),
    Outcome.UNDECODABLE: (400, "INVALID_PAYLOAD", "the data does not fit the topic"),
}
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PushResponse:
    """What to answer. Pub/Sub takes a status of 200 as acknowledged; any other brings the message again, later."""

    status: int
    body: Mapping[str, Any]
    """JSON: `handled`, `message_id`, perhaps `duplicate` or `dead_lettered`; or `error` with `code` and `message`."""

    def json(self) -> bytes:
        """Return the body as it goes out."""
        return msgspec.json.encode(self.body)


class PushEndpoint:
    """Takes what Pub/Sub posts, and handles it as a subscriber would. Lives as long as its `PubSub`, which is open.

    `await endpoint.handle(body, headers)` in any framework; or mount it, as it is an ASGI application itself.

    Every request must prove where it comes from: by `token`, as `Authorization: Bearer …` or `X-Pubsub-Token: …`, or
    by `oidc`; by both where both are given. With neither the endpoint is closed: it refuses everything.

    | answer | when |
    |---|---|
    | 200 `handled: true` | the handler returned |
    | 200 `duplicate: true` | it was handled before |
    | 200 `dead_lettered: true` | the data does not fit the topic; it is in the dead-letter topic |
    | 400 `INVALID_JSON`, `INVALID_STRUCTURE`, `INVALID_BASE64`, `INVALID_PAYLOAD` | the body is not a push request, or the data does not fit and there is no dead-letter topic |
    | 401 `UNAUTHORIZED` | token or OIDC are missing or wrong; the log says what |
    | 404 `UNKNOWN_SUBSCRIPTION` | not declared here. Not 200: that would acknowledge a message that nobody handled |
    | 405, 413 | not a POST; larger than Pub/Sub sends |
    | 409 `BUSY` | it is being handled elsewhere |
    | 500 `HANDLER_ERROR` | the handler raised |
    | 503 `CLOSED`, `CLAIMS_UNAVAILABLE`, `KEYS_UNAVAILABLE` | neither token nor OIDC is set; a store did not answer |

    Raises:
        PubSubDefinitionError: The token is empty, or the keys cannot be read.
    """  # noqa: E501 - a table

    def __init__(self, pubsub: PubSub, *, token: str | None = None, oidc: Oidc | None = None) -> None:
        if token is not None and not token.strip():
            raise PubSubDefinitionError("the push token is empty", hint="leave it out, or give one that is secret")
        self._pubsub = pubsub
        self._token = token
        self._verifier = OidcVerifier(oidc, pubsub.clock) if oidc else None
        self._processors: dict[str, Processor] = {name: pubsub.processor(name) for name in pubsub.subscriptions}

    async def handle(self, body: bytes, headers: Mapping[str, str]) -> PushResponse:
        """Check, decode and handle one request; returns an answer whatever happens.

        Args:
            headers: In any case.
        """
        try:
            await self._authorize({name.lower(): value for name, value in headers.items()})
            name, delivery = read_envelope(body, now=self._pubsub.clock.time())
            processor = self._processors.get(name)
            if processor is None:
                raise SubscriptionNotFoundError(f"subscription {name!r} is not declared here", subscription=name)
            outcome = await processor.process(delivery, may_wait=False)
        except PubSubError as exc:
            _log.warning("push request refused", {"code": exc.code, "why": exc.message})
            return _refusal(exc)
        return _answer(outcome, delivery.id)

    async def _authorize(self, headers: Mapping[str, str]) -> None:
        if self._token is None and self._verifier is None:
            raise PushClosedError(
                "this push endpoint is closed: it has no way to tell who sends", hint="give it a token or oidc"
            )
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        bearer = bearer.strip() if scheme.lower() == "bearer" else ""
        if self._token is not None:
            given = [headers.get("x-pubsub-token", ""), bearer]
            if not any(hmac.compare_digest(each.encode(), self._token.encode()) for each in given):
                raise PushUnauthorizedError("the token is missing or wrong")
        if self._verifier is not None:
            if not bearer:
                raise PushUnauthorizedError("there is no bearer token")
            await self._verifier.verify(bearer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request as an ASGI application."""
        if scope["type"] != "http":
            raise PubSubDefinitionError(f"a push endpoint serves http, not {scope['type']}", hint="mount it at a path")
        if scope["method"] != "POST":
            await _send(send, _error(405, "METHOD_NOT_ALLOWED", "Pub/Sub posts"))
            return
        body = await _read(receive)
        if body is None:
            return
        if len(body) > MAX_BODY_BYTES:
            await _send(send, _error(413, "TOO_LARGE", "larger than Pub/Sub sends"))
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        await _send(send, await self.handle(body, headers))


def _answer(outcome: Outcome, message_id: str) -> PushResponse:
    if outcome in _FAILURES:
        return _error(*_FAILURES[outcome], message_id=message_id)
    body: dict[str, Any] = {"handled": outcome is Outcome.HANDLED, "message_id": message_id}
    if outcome is not Outcome.HANDLED:
        body[outcome.value] = True
    return PushResponse(200, body)


def _refusal(exc: PubSubError) -> PushResponse:
    if isinstance(exc, PushEnvelopeError):
        return _error(400, exc.reason, exc.message)
    if isinstance(exc, PushClosedError):
        return _error(503, "CLOSED", exc.message)
    if isinstance(exc, SubscriptionNotFoundError):
        return _error(404, "UNKNOWN_SUBSCRIPTION", exc.message)
    if isinstance(exc, PubSubUnavailableError):
        return _error(503, "KEYS_UNAVAILABLE", "the sender could not be verified now")
    return _error(401, "UNAUTHORIZED", "the request does not prove where it comes from")


def _error(status: int, code: str, message: str, **more: str) -> PushResponse:
    return PushResponse(status, {"error": {"code": code, "message": message}, **more})


async def _read(receive: Receive) -> bytes | None:
    """Return the body, cut off where it is too large; `None` when the client went away."""
    body = bytearray()
    while len(body) <= MAX_BODY_BYTES:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        body += event.get("body", b"")
        if not event.get("more_body", False):
            break
    return bytes(body)


async def _send(send: Send, response: PushResponse) -> None:
    body = response.json()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if response.status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
