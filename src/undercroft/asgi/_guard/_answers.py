"""Answers: fields added to those of the application, and refusals in its place."""

from __future__ import annotations

from undercroft._core.errors import UndercroftError
from undercroft.asgi._guard._errors import TooCostlyError
from undercroft.asgi._guard._here import HERE, RequestLimits
from undercroft.asgi._problem import Problem, build_problem
from undercroft.asgi._types import ASGIApp, Headers, Message, Receive, Scope, Send, respond
from undercroft.ratelimit import RateLimitedError, RateLimitUnavailableError

STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
_REFUSALS = (402, 429, 503)
_RAISED = (RateLimitedError, RateLimitUnavailableError, TooCostlyError)
_EXTENSION = "websocket.http.response"


class LimitedAnswer:
    """Passes an application's answer on, with the fields of its limits. Lives for one request.

    A framework that does not know our errors answers a route's refusal with a bare 500; the refusal takes its place.
    """

    def __init__(self, state: RequestLimits, send: Send) -> None:
        self._state = state
        self._send = send
        self._is_replaced = False
        self.has_started = False

    async def send(self, message: Message) -> None:
        """Take a message from the application."""
        if self._is_replaced:
            return
        if message["type"] in STARTS:
            refusal = self._state.refusal
            if refusal is not None and message.get("status", 0) >= 500 and not self.has_started:
                await self.refuse(refusal)
                return
            message = self._with_fields(message)
        self.has_started = True
        await self._send(message)

    async def refuse(self, error: UndercroftError) -> None:
        """Answer with a refusal; whatever the application still sends is dropped."""
        self._is_replaced = self.has_started = True
        await send_refusal(self._state.scope, self._send, error, fields=self._state.headers())

    def is_about(self, error: UndercroftError) -> bool:
        """Tell whether the answer that was sent is the refusal that `error` stands for."""
        return self._is_replaced and isinstance(error, _RAISED)

    def _with_fields(self, message: Message) -> Message:
        fields = self._state.headers()
        wait_s = self._state.retry_after()
        if wait_s is not None and message.get("status") in _REFUSALS:
            fields.append((b"retry-after", str(wait_s).encode("ascii")))
        if not fields:
            return message
        headers = list(message.get("headers", ()))
        set_already = {bytes(name).lower() for name, _ in headers}
        return {**message, "headers": [*headers, *(field for field in fields if field[0] not in set_already)]}


async def serve_limited(app: ASGIApp, state: RequestLimits, receive: Receive, send: Send) -> None:
    """Run `app` for a request whose limits are `state`, and answer what they raise inside of it.

    What is raised after the answer has begun goes on: `InfraMiddleware` may still hold that answer back.
    """
    answer = LimitedAnswer(state, send)
    token = HERE.set(state)
    try:
        await app(state.scope, receive, answer.send)
    except _RAISED as error:
        if answer.is_about(error):
            return
        if answer.has_started:
            raise
        if isinstance(error, RateLimitedError) and error.decision not in state.decisions:
            state.decisions.append(error.decision)
        await answer.refuse(error)
    finally:
        HERE.reset(token)
        await state.give_back()


async def send_refusal(scope: Scope, send: Send, error: UndercroftError, *, fields: Headers | None = None) -> Problem:
    """Refuse an HTTP request, or the handshake of a websocket, with a problem document; the body is not read."""
    problem = build_problem(error, show_details=False, fields=fields or [])
    headers = [*problem.headers, (b"cache-control", b"no-store")]
    if scope["type"] == "http":
        await respond(scope, send, status=problem.status, headers=headers, body=problem.body)
    elif _EXTENSION in (scope.get("extensions") or {}):
        await send({"type": f"{_EXTENSION}.start", "status": problem.status, "headers": headers})
        await send({"type": f"{_EXTENSION}.body", "body": problem.body})
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": ""})  # the server answers with 403
    return problem
