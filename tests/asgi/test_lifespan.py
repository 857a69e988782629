"""Starting and stopping: what the server hears, and when."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette

from tests.app._transports import NotingTransport
from tests.asgi._calls import LogLines, answering, call, http_scope
from undercroft import Infra, current
from undercroft._core.errors import NotBoundError
from undercroft.app import HomeNotWritableError
from undercroft.asgi import ASGIApp, InfraMiddleware, Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

STARTED = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}


class Server:
    """A server's side of a lifespan. What it hears comes with whether the Infra was open at that moment."""

    def __init__(self, app: ASGIApp, infra: Infra) -> None:
        self.heard: list[Message] = []
        self.was_open: list[bool] = []
        self.state: dict[str, Any] = {}
        self._app, self._infra = app, infra
        self._orders: asyncio.Queue[Message] = asyncio.Queue()
        self._news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> Message:
        """Begin, and return the answer to `lifespan.startup`."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self.task = asyncio.create_task(self._run(scope))
        return await self.order("startup")

    async def order(self, what: str) -> Message:
        """Send a lifespan event and return the answer."""
        count = len(self.heard)
        self._orders.put_nowait({"type": f"lifespan.{what}"})
        with anyio.fail_after(5):
            while len(self.heard) == count:
                assert self.task is not None
                assert not self.task.done(), f"no answer to {what}: {self.task}"
                self._news.clear()
                await self._news.wait()
        return self.heard[-1]

    async def stop(self) -> Message:
        """Send `lifespan.shutdown`, wait for the end, and return the answer."""
        answer = await self.order("shutdown")
        await self.end()
        return answer

    async def end(self) -> None:
        """Wait for the application's lifespan to end."""
        assert self.task is not None
        with anyio.fail_after(5):
            await self.task

    async def _run(self, scope: Scope) -> None:
        try:
            await self._app(scope, self._orders.get, self._hear)
        finally:
            self._news.set()

    async def _hear(self, message: Message) -> None:
        self.heard.append(message)
        self.was_open.append(self._infra.is_open)
        self._news.set()


def serve(app: ASGIApp, infra: Infra) -> Server:
    return Server(InfraMiddleware(app, infra), infra)


def starlette(events: list[str], infra: Infra, **failing: Callable[[], None]) -> ASGIApp:
    """Return an application that notes whether the Infra is open when it starts and stops."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, str]]:
        events.append(f"starts, {infra.is_open}, {current() is infra}")
        failing.get("start", lambda: None)()
        yield {"pool": "the pool"}
        events.append(f"stops, {infra.is_open}, {current() is infra}")
        failing.get("stop", lambda: None)()

    return Starlette(lifespan=lifespan)


def fail() -> None:
    raise RuntimeError("the application's own")


async def test_the_application_runs_inside_of_the_infra(closed: Infra) -> None:
    events: list[str] = []
    server = serve(starlette(events, closed), closed)
    assert await server.start() == STARTED
    assert await server.stop() == STOPPED
    assert events == ["starts, True, True", "stops, True, True"]


async def test_stopped_is_said_after_everything_is_closed(closed: Infra) -> None:
    server = serve(starlette([], closed), closed)
    await server.start()
    await server.stop()
    assert (server.heard, server.was_open) == ([STARTED, STOPPED], [True, False])


async def test_state_of_the_lifespan_reaches_the_server(closed: Infra) -> None:
    server = serve(starlette([], closed), closed)
    await server.start()
    assert server.state == {"pool": "the pool"}
    await server.stop()


async def test_starting_binds_it_for_no_request(closed: Infra) -> None:
    server = serve(starlette([], closed), closed)
    await server.start()
    with pytest.raises(NotBoundError):
        current()
    await server.stop()


async def test_it_can_be_served_again(closed: Infra) -> None:
    for _ in range(2):
        server = serve(starlette([], closed), closed)
        assert await server.start() == STARTED
        assert await server.stop() == STOPPED


# Failing to start


async def test_failing_to_open_is_said_and_nothing_is_started(home: Path, lines: LogLines) -> None:
    events: list[str] = []
    (home / "file").touch()
    infra = Infra(environ={}, home=home / "file")
    server = serve(starlette(events, infra), infra)
    answer = await server.start()
    await server.end()
    assert answer["type"] == "lifespan.startup.failed"
    assert answer["message"].startswith("UC0206 the home directory")
    assert "UNDERCROFT_HOME" in answer["message"]
    assert (server.heard, events, infra.is_open) == ([answer], [], False)
    (line,) = [line for line in lines.all if line["message"] == "startup failed"]
    assert line["error"]["type"] == HomeNotWritableError.__name__


async def test_whatever_an_own_transport_raises_is_a_failed_start(home: Path) -> None:
    async def refuse() -> None:
        raise KeyError("broker")

    infra = Infra(environ={}, home=home / "state", email=NotingTransport(opening=refuse))
    server = serve(answering(), infra)
    assert await server.start() == {"type": "lifespan.startup.failed", "message": "'broker'"}
    await server.end()


async def test_the_applications_own_failing_start_is_said_after_everything_is_closed(closed: Infra) -> None:
    server = serve(starlette([], closed, start=fail), closed)
    answer = await server.start()
    await server.end()
    assert answer["type"] == "lifespan.startup.failed"
    assert "the application's own" in answer["message"]  # Starlette's traceback
    assert (len(server.heard), server.was_open) == (1, [False])


async def test_an_application_that_raises_at_startup_without_a_word_has_failed(closed: Infra) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        fail()

    server = serve(app, closed)
    answer = await server.start()
    await server.end()
    assert answer == {"type": "lifespan.startup.failed", "message": "the application's own"}
    assert server.was_open == [False]


# Applications without a lifespan, or with an odd one


async def raises_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http", "only HTTP here"


async def returns_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def returns_after_hearing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def returns_after_starting(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(STARTED)


async def says_nothing_at_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    await returns_after_starting(scope, receive, send)
    await receive()


@pytest.mark.parametrize(
    "app",
    [raises_at_once, returns_at_once, returns_after_hearing, returns_after_starting, says_nothing_at_the_end],
    ids=lambda app: app.__name__,
)
async def test_it_stays_open_until_the_server_stops(closed: Infra, app: ASGIApp) -> None:
    server = serve(app, closed)
    assert await server.start() == STARTED
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    assert closed.is_open
    assert await server.stop() == STOPPED
    assert not closed.is_open


async def test_an_application_that_breaks_while_it_serves_keeps_what_it_stands_on(
    closed: Infra, lines: LogLines
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await returns_after_starting(scope, receive, send)
        fail()

    server = serve(app, closed)
    assert await server.start() == STARTED
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    assert closed.is_open
    assert [line["error"]["message"] for line in lines.all if line["level"] == "error"] == ["the application's own"]
    answer = await server.stop()
    assert answer == {"type": "lifespan.shutdown.failed", "message": "the application's own"}
    assert server.was_open == [True, False]


def listening_on(answers: dict[str, Message]) -> ASGIApp:
    """Return an application that listens for ever, as in the specification's example, but without its `return`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            await send(answers[(await receive())["type"]])

    return app


async def test_an_application_that_listens_on_after_its_last_word_is_not_waited_for(closed: Infra) -> None:
    server = serve(listening_on({"lifespan.startup": STARTED, "lifespan.shutdown": STOPPED}), closed)
    assert await server.start() == STARTED
    assert await server.stop() == STOPPED
    assert server.was_open == [True, False]


async def test_an_application_that_listens_on_after_a_failed_start_is_not_waited_for(closed: Infra) -> None:
    failed = {"type": "lifespan.startup.failed", "message": "no tables"}
    server = serve(listening_on({"lifespan.startup": failed}), closed)
    assert await server.start() == failed
    await server.end()
    assert server.was_open == [False]


# Failing to stop


async def test_the_applications_own_failing_stop_is_said_after_everything_is_closed(closed: Infra) -> None:
    server = serve(starlette([], closed, stop=fail), closed)
    await server.start()
    answer = await server.stop()
    assert answer["type"] == "lifespan.shutdown.failed"
    assert "the application's own" in answer["message"]
    assert server.was_open == [True, False]


async def test_an_application_that_raises_at_shutdown_without_a_word_has_failed(closed: Infra) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await says_nothing_at_the_end(scope, receive, send)
        fail()

    server = serve(app, closed)
    await server.start()
    assert await server.stop() == {"type": "lifespan.shutdown.failed", "message": "the application's own"}


async def test_failing_to_close_is_said_with_every_reason(home: Path, lines: LogLines) -> None:
    async def refuse() -> None:
        raise OSError("amqp://shop:pa55@broker hung up")

    infra = Infra(environ={}, home=home / "state", email=NotingTransport(closing=refuse))
    server = serve(starlette([], infra, stop=fail), infra)
    await server.start()
    answer = await server.stop()
    assert answer["type"] == "lifespan.shutdown.failed"
    assert "the application's own" in answer["message"]
    assert "amqp://***@broker hung up" in answer["message"]
    assert not infra.is_open
    assert "shutdown failed" in [line["message"] for line in lines.all]


# Cancellation


@pytest.mark.parametrize("app", [starlette, returns_at_once], ids=["with a lifespan", "without one"])
async def test_cancelling_the_lifespan_closes_everything(closed: Infra, app: Any) -> None:
    server = serve(app([], closed) if app is starlette else app, closed)
    await server.start()
    assert server.task is not None
    server.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await server.end()
    assert (closed.is_open, server.heard) == (False, [STARTED])


async def test_cancelling_while_it_opens_closes_what_was_open(home: Path) -> None:
    events: list[str] = []
    is_opening = asyncio.Event()

    async def hang() -> None:
        is_opening.set()
        await anyio.sleep_forever()

    infra = Infra(environ={}, home=home / "state", email=NotingTransport(events, opening=hang))
    server = serve(answering(), infra)
    starting = asyncio.create_task(server.start())
    await is_opening.wait()
    assert server.task is not None
    server.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await server.task
    starting.cancel()
    await asyncio.wait({starting})
    assert (infra.is_open, server.heard) == (False, [])


async def test_the_exit_of_the_application_closes_everything(closed: Infra) -> None:
    class Exit(BaseException):
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise Exit

    server = serve(app, closed)
    with pytest.raises((Exit, AssertionError)):
        await server.start()
    with pytest.raises(Exit):
        await server.end()
    assert not closed.is_open


# Opened by somebody else


async def test_an_infra_that_is_open_already_is_only_bound(infra: Infra) -> None:
    events: list[str] = []
    server = serve(starlette(events, infra), infra)
    assert await server.start() == STARTED
    assert await server.stop() == STOPPED
    assert events == ["starts, True, True", "stops, True, True"]
    assert infra.is_open


async def test_an_application_that_is_wrapped_twice_is_opened_once(closed: Infra) -> None:
    events: list[str] = []
    server = serve(InfraMiddleware(starlette(events, closed), closed), closed)
    assert await server.start() == STARTED
    answer = await call(InfraMiddleware(answering(), closed), http_scope("/readyz"))
    assert answer.status == 200
    assert await server.stop() == STOPPED
    assert not closed.is_open


async def test_without_a_lifespan_faces_say_what_is_missing(closed: Infra) -> None:
    from undercroft.queue import enqueue

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await enqueue("shop.welcome")

    answer = await call(InfraMiddleware(app, closed))
    assert (answer.status, answer.json["code"]) == (500, "UC0302")
    assert "lifespan" in answer.json["hint"]


async def test_a_scope_of_another_kind_is_passed_on_with_it_bound(infra: Infra) -> None:
    seen: list[tuple[str, bool]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["type"], current() is infra))

    async def nothing(*_: object) -> Any: ...

    await InfraMiddleware(app, infra)({"type": "webtransport"}, nothing, nothing)
    assert seen == [("webtransport", True)]
