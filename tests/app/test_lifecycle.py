"""Opening all or nothing, closing everything, once at a time, and again."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.app._jobs_here import welcome
from tests.app._transports import NotingQueue, NotingTransport
from undercroft import Infra
from undercroft._core.errors import CloseTimeoutError, NotOpenError
from undercroft.app import AlreadyOpenError
from undercroft.email import send_email
from undercroft.queue import enqueue

pytestmark = pytest.mark.anyio


class RefusedError(Exception):
    """A transport's own way to say no."""


async def refuse() -> None:
    raise RefusedError


def make(events: list[str], home: Path, **transport: object) -> Infra:
    return Infra(
        environ={},
        queue=NotingQueue(home / "queue.db", events),
        email=NotingTransport(events, **transport),  # type: ignore[arg-type]  # the steps of a test
        close_timeout=1,
        jobs=[welcome],
    )


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sqlite ")]


def require_unlocked(database: Path) -> None:
    """Fail when anybody has the file open: only the last one to close it removes the log beside it."""
    assert not database.with_name(f"{database.name}-wal").exists()
    connection = sqlite3.connect(database, timeout=0)
    connection.execute("BEGIN EXCLUSIVE")
    connection.close()


# Opening


async def test_parts_open_in_order_and_close_in_reverse(home: Path) -> None:
    events: list[str] = []
    infra = make(events, home)
    assert (infra.is_open, events) == (False, [])
    async with infra:
        assert infra.is_open
        assert events == ["queue open", "email opening", "email open"]
        events.clear()
    assert events == ["email closing", "email closed", "queue closed"]
    assert not infra.is_open


async def test_the_home_is_made_at_opening_and_hidden_from_git(home: Path) -> None:
    infra = Infra(environ={})
    assert not (home / ".undercroft").exists()
    async with infra:
        assert (home / ".undercroft" / "queue.db").exists()
        assert (home / ".undercroft" / ".gitignore").read_text() == "*\n"


async def test_a_home_that_has_something_already_is_not_hidden_from_git(home: Path) -> None:
    (home / "shop.py").touch()
    async with Infra(environ={"UNDERCROFT_HOME": str(home)}):
        assert (home / "queue.db").exists()
    assert not (home / ".gitignore").exists()


async def test_no_home_is_made_when_nothing_is_kept_there(home: Path) -> None:
    async with make([], home).override(env="test"):
        assert not (home / ".undercroft").exists()


async def test_failing_to_open_leaves_nothing_open(home: Path) -> None:
    events: list[str] = []
    infra = make(events, home, opening=refuse)
    with pytest.raises(RefusedError):
        await infra.open()
    assert events == ["queue open", "email opening", "queue closed"]
    assert not infra.is_open
    assert our_threads() == []
    require_unlocked(home / "queue.db")
    async with Infra(environ={}, queue=f"sqlite:///{home}/queue.db", jobs=[welcome]) as second:
        await second.queue.enqueue(welcome, 1)


async def test_an_infra_that_failed_to_open_can_be_opened_again(home: Path) -> None:
    answers = [refuse, anyio.lowlevel.checkpoint]

    async def refuse_once() -> None:
        await answers.pop(0)()

    infra = make([], home, opening=refuse_once)
    with pytest.raises(RefusedError):
        await infra.open()
    async with infra:
        assert infra.is_open


async def test_it_is_not_open_while_it_is_opening_or_closing(home: Path) -> None:
    seen: list[bool] = []

    async def look() -> None:
        seen.append(infra.is_open)
        with pytest.raises(AlreadyOpenError):
            await infra.open()

    infra = make([], home, opening=look, closing=look)
    async with infra:
        pass
    assert seen == [False, False]


async def test_opening_twice_is_refused_and_changes_nothing(home: Path) -> None:
    events: list[str] = []
    async with make(events, home) as infra:
        with pytest.raises(AlreadyOpenError) as caught:
            await infra.open()
        assert caught.value.hint
        assert events.count("queue open") == 1
        await infra.queue.ping()


async def test_two_tasks_that_open_together_open_it_once(home: Path) -> None:
    events: list[str] = []
    infra = make(events, home, opening=anyio.lowlevel.checkpoint)
    results = await asyncio.gather(infra.open(), infra.open(), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), AlreadyOpenError]
    assert events.count("queue open") == 1
    await infra.close()


@pytest.mark.parametrize("kind", ["native", "anyio"])
async def test_cancelling_the_opening_closes_what_was_open(home: Path, kind: str) -> None:
    events: list[str] = []
    is_opening = anyio.Event()

    async def hang() -> None:
        is_opening.set()
        await anyio.sleep_forever()

    infra = make(events, home, opening=hang)
    if kind == "native":
        task = asyncio.create_task(infra.open())
        await is_opening.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(infra.open)
            await is_opening.wait()
            tasks.cancel_scope.cancel()
    assert events == ["queue open", "email opening", "queue closed"]
    assert (infra.is_open, our_threads()) == (False, [])
    require_unlocked(home / "queue.db")


# Closing


async def test_every_part_is_closed_when_one_fails_to(home: Path) -> None:
    events: list[str] = []
    infra = make(events, home, closing=refuse)
    await infra.open()
    with pytest.raises(ExceptionGroup) as caught:
        await infra.close()
    assert [type(error) for error in caught.value.exceptions] == [RefusedError]
    assert events[-1] == "queue closed"
    assert (infra.is_open, our_threads()) == (False, [])


async def test_a_part_that_does_not_close_in_time_is_named_and_the_others_are_closed(home: Path) -> None:
    events: list[str] = []
    infra = make(events, home, closing=anyio.sleep_forever).override(close_timeout="300ms")
    await infra.open()
    started = time.monotonic()
    with pytest.raises(ExceptionGroup) as caught:
        await infra.close()
    (error,) = caught.value.exceptions
    assert isinstance(error, CloseTimeoutError)
    assert "email" in error.message
    assert events[-1] == "queue closed"
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("kind", ["native", "anyio"])
async def test_cancelling_the_closing_does_not_leave_it_half_done(home: Path, kind: str) -> None:
    events: list[str] = []
    is_closing, may_close = anyio.Event(), anyio.Event()

    async def wait() -> None:
        is_closing.set()
        await may_close.wait()

    infra = make(events, home, closing=wait)
    await infra.open()
    if kind == "native":
        task = asyncio.create_task(infra.close())
        await is_closing.wait()
        task.cancel()
        may_close.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(infra.close)
            await is_closing.wait()
            tasks.cancel_scope.cancel()
            may_close.set()
    assert events[-3:] == ["email closing", "email closed", "queue closed"]
    assert not infra.is_open


async def test_an_error_in_the_block_closes_everything_and_gets_through(home: Path) -> None:
    events: list[str] = []
    with pytest.raises(RefusedError):
        async with make(events, home):
            await refuse()
    assert events[-1] == "queue closed"


async def test_closing_twice_and_closing_unopened_are_harmless(home: Path) -> None:
    events: list[str] = []
    infra = make(events, home)
    await infra.close()
    await infra.open()
    await asyncio.gather(infra.close(), infra.close())
    await infra.close()
    assert events.count("queue closed") == 1


async def test_an_infra_can_be_closed_inside_its_own_block(home: Path) -> None:
    async with make([], home) as infra:
        await infra.close()
        with pytest.raises(NotOpenError):
            await enqueue(welcome, 1)


# Again


async def test_an_infra_can_be_opened_again_and_finds_its_jobs() -> None:
    infra = Infra(environ={}, jobs=[welcome], email_from="shop@example.com")
    async with infra:
        handle = await welcome.enqueue(1)
        await send_email(to="ann@example.com", subject="One", body="One")
    async with infra:
        assert await infra.queue.get_job(handle.id) is not None
        await send_email(to="ann@example.com", subject="Two", body="Two")
        assert await infra.queue.worker().drain() == 1
        assert (await infra.health.run()).status == "healthy"


@pytest.mark.parametrize("email", ["smtp://127.0.0.1:1?starttls=off", "resend://:k@127.0.0.1:1?tls=off"])
async def test_the_transports_of_ours_can_be_opened_again(email: str) -> None:
    infra = Infra(environ={}, email=email, email_from="shop@example.com")
    messages = []
    for _ in range(2):
        async with infra:
            messages.append((await infra.health.run()).checks["email"].message)
    assert messages[0] == messages[1]  # nobody answers there, the second time for the same reason
    assert "not open" not in str(messages[1])


def test_an_infra_can_be_opened_again_in_another_event_loop() -> None:
    infra = Infra(environ={}, jobs=[welcome])

    async def enqueue_one() -> int:
        async with infra:
            await welcome.enqueue(1)
            return (await infra.queue.counts()).waiting

    assert [asyncio.run(enqueue_one()) for _ in range(3)] == [1, 2, 3]


def test_an_infra_that_was_left_open_is_closed_with_its_loop() -> None:
    infra = Infra(environ={}, jobs=[welcome])
    asyncio.run(infra.open())
    assert (infra.is_open, our_threads()) == (False, [])
    asyncio.run(use(infra))


async def use(infra: Infra) -> None:
    async with infra:
        await infra.queue.ping()


# From several tasks


@pytest.fixture
async def opened() -> AsyncIterator[Infra]:
    async with Infra(environ={}, jobs=[welcome]) as infra:
        yield infra


async def test_a_fixture_opens_it_and_binds_it_for_the_test(opened: Infra) -> None:
    handle = await enqueue(welcome, 7)
    assert await opened.queue.get_job(handle.id) is not None


async def test_it_can_be_entered_in_one_task_and_left_in_another(home: Path) -> None:
    events: list[str] = []
    infra = make(events, home)
    await asyncio.create_task(infra.__aenter__())
    assert infra.is_open
    await asyncio.create_task(infra.__aexit__(None, None, None))
    assert (infra.is_open, events[-1], our_threads()) == (False, "queue closed", [])
