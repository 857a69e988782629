"""The lifespan protocol: open the `Infra` before the application starts, close it after the application has stopped.

https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

from undercroft.app import Infra
from undercroft.asgi._types import ASGIApp, Message, Receive, Scope, Send
from undercroft.logging import Logger, redact_text

_log = Logger(module="undercroft.asgi")


async def serve_lifespan(app: ASGIApp, infra: Infra, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a server's lifespan scope for `app` and `infra` together.

    A failure to open is answered with `lifespan.startup.failed`: raising instead would make uvicorn's `lifespan="auto"`
    believe that there is no lifespan, and serve. Whatever ends the conversation goes out after the `Infra` is closed,
    since a server may end the process as soon as it has it.
    """
    startup = await receive()
    try:
        await infra.open()
    except Exception as exc:  # of any part, also one that the application made
        _log.error("startup failed", exc)
        await send({"type": "lifespan.startup.failed", "message": _text_of(exc)})
        return
    conversation = _Conversation(startup, receive, send)
    try:
        with infra.bind():
            await conversation.hold(app, scope)
    finally:
        problem = await _close(infra)
    await conversation.end(problem)


async def _close(infra: Infra) -> str | None:
    try:
        await infra.close()
    except Exception as exc:  # parts are closed; what they raised is told, and must not hide why we close
        _log.error("shutdown failed", exc)
        return _text_of(exc)
    return None


class _OverError(Exception):
    """The application wants to hear more after its last word; there is no more."""


class _Conversation:
    """What the server and the application have said to each other so far. Lives for one lifespan."""

    def __init__(self, startup: Message, receive: Receive, send: Send) -> None:
        self._startup = startup
        self._receive = receive
        self._send = send
        self._has_heard = False
        self._has_started = False
        self._is_stopping = False
        self._is_over = False
        self._failed_start: Message | None = None
        self._stop_problems: list[str] = []

    async def hold(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application's own lifespan, and return when the server wants to stop or startup has failed.

        Stands in for an application that has no lifespan, and for one whose lifespan ends before the server does:
        requests are still being served, and need what is open.
        """
        try:
            await app(scope, self._hear, self._say)
        except _OverError:
            pass
        except Exception as exc:
            self._note(exc)
        if self._failed_start is not None:
            return
        if not self._has_started:
            self._has_heard = self._has_started = True
            await self._send({"type": "lifespan.startup.complete"})
        while not self._is_stopping:
            await self._hear()

    async def end(self, problem: str | None) -> None:
        """Tell the server how it ended, now that everything is closed."""
        problems = [*self._stop_problems, *([problem] if problem is not None else [])]
        if self._failed_start is not None:
            await self._send(self._failed_start)
        elif problems:
            await self._send({"type": "lifespan.shutdown.failed", "message": "\n".join(problems)})
        else:
            await self._send({"type": "lifespan.shutdown.complete"})

    def _note(self, exc: Exception) -> None:
        if not self._has_heard:
            # It raised on seeing the scope: that is how an application says that it knows no lifespan.
            _log.debug("the application has no lifespan", error_type=type(exc).__name__)
        elif not self._has_started:
            if self._failed_start is None:  # else it has said so itself
                _log.error("startup of the application failed", exc)
                self._failed_start = {"type": "lifespan.startup.failed", "message": _text_of(exc)}
        elif self._is_stopping:
            _log.error("shutdown of the application failed", exc)
            self._stop_problems = self._stop_problems or [_text_of(exc)]
        else:
            _log.error("the lifespan of the application ended with an error; requests are served on", exc)
            self._stop_problems.append(_text_of(exc))

    async def _hear(self) -> Message:
        if self._is_over:  # the server has nothing to say before it gets what is held back, and that waits for this
            raise _OverError
        if not self._has_heard:
            self._has_heard = True
            return self._startup
        message = await self._receive()
        self._is_stopping = self._is_stopping or message["type"] == "lifespan.shutdown"
        return message

    async def _say(self, message: Message) -> None:
        kind = message["type"]
        self._is_over = self._is_over or kind != "lifespan.startup.complete"
        if kind == "lifespan.startup.failed":
            self._failed_start = message
        elif kind == "lifespan.shutdown.failed":
            self._stop_problems.append(message.get("message", ""))
        elif kind == "lifespan.startup.complete":
            self._has_started = True
            await self._send(message)


def _text_of(exc: Exception) -> str:
    if isinstance(exc, ExceptionGroup):
        return "\n".join([exc.message, *(_text_of(member) for member in exc.exceptions)])
    return redact_text(str(exc)) or type(exc).__name__
