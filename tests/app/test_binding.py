"""Which Infra the functions of the faces act on."""

import threading
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from tests.app._jobs_here import welcome
from tests.app._transports import NotingTransport
from undercroft import Infra, UndercroftError, current
from undercroft._core.errors import NotBoundError, NotOpenError
from undercroft.email import load_template, send_email
from undercroft.health import register_health_check, remove_health_check, run_health_checks
from undercroft.queue import create_queue_worker, enqueue, job

pytestmark = pytest.mark.anyio


@pytest.fixture
def transport() -> NotingTransport:
    return NotingTransport()


@pytest.fixture
def infra(transport: NotingTransport) -> Infra:
    return Infra(environ={}, jobs=[welcome], email=transport)


# Where


async def test_unbound_says_what_is_missing() -> None:
    with pytest.raises(NotBoundError) as caught:
        current()
    assert "InfraMiddleware" in (caught.value.hint or "")


async def test_entering_binds_in_this_task_and_leaving_unbinds(infra: Infra) -> None:
    async with infra:
        assert current() is infra
    with pytest.raises(NotBoundError):
        current()


async def test_opening_alone_does_not_bind(infra: Infra) -> None:
    await infra.open()
    with pytest.raises(NotBoundError):
        current()
    await infra.close()


async def test_it_is_bound_in_tasks_that_are_started_inside(infra: Infra) -> None:
    seen: list[Infra] = []

    async def look() -> None:
        seen.append(current())

    async with infra, anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        tasks.start_soon(look)
    assert seen == [infra, infra]


async def test_it_is_bound_in_anyios_threads_and_on_the_way_back(infra: Infra) -> None:
    def in_thread() -> tuple[Infra, str]:
        return current(), anyio.from_thread.run(lambda: enqueue(welcome, 1)).id

    async with infra:
        seen, job_id = await anyio.to_thread.run_sync(in_thread)
        assert seen is infra
        assert await infra.queue.get_job(job_id) is not None


async def test_it_is_not_bound_in_a_bare_thread(infra: Infra) -> None:
    seen: list[type[Exception]] = []

    def in_thread() -> None:
        try:
            current()
        except NotBoundError as exc:
            seen.append(type(exc))

    async with infra:
        thread = threading.Thread(target=in_thread)
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
    assert seen == [NotBoundError]


async def test_it_is_bound_in_its_jobs() -> None:
    seen: list[Infra] = []

    @job("look")
    async def look() -> None:
        seen.append(current())

    infra = Infra(environ={}, jobs=[look])
    await infra.open()
    await infra.queue.enqueue(look)
    await infra.queue.worker().drain()
    await infra.close()
    assert seen == [infra]


async def test_two_infras_in_one_loop_stay_apart(home: Path) -> None:
    infras = [Infra(environ={}, home=home / name, jobs=[welcome]) for name in ("one", "two")]

    async def work(infra: Infra, count: int) -> None:
        async with infra:
            for number in range(count):
                await welcome.enqueue(number)
            assert current() is infra
            assert (await infra.queue.counts()).waiting == count

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, infras[0], 3)
        tasks.start_soon(work, infras[1], 5)


async def test_the_inner_of_two_is_bound(infra: Infra, home: Path) -> None:
    async with infra, Infra(environ={}, home=home / "inner") as inner:
        assert current() is inner
        with infra.bind():
            assert current() is infra
        assert current() is inner


# What the faces do


async def test_faces_act_on_the_bound_one(infra: Infra, transport: NotingTransport) -> None:
    async with infra:
        handle = await enqueue(welcome, user_id=1)
        receipt = await send_email(to="ann@example.com", subject="Hello", body="Hello")
        register_health_check("search", lambda: True)
        report = await run_health_checks()
        assert await create_queue_worker().drain() == 1
        assert remove_health_check("search")
    assert handle.name == "shop.welcome"
    assert [message.id for message in transport.sent] == [receipt.id]
    assert list(report.checks) == ["queue", "email", "search"]


async def call_every_face() -> list[UndercroftError]:
    errors: list[UndercroftError] = []
    calls = [
        lambda: enqueue(welcome, 1),
        lambda: welcome.enqueue(1),
        lambda: send_email(to="ann@example.com", subject="Hello", body="Hello"),
        lambda: load_template("welcome"),
        run_health_checks,
    ]
    for call in calls:
        with pytest.raises(UndercroftError) as caught:
            await call()
        errors.append(caught.value)
    for plain in (lambda: register_health_check("x", lambda: True), lambda: remove_health_check("x")):
        with pytest.raises(UndercroftError) as caught:
            plain()
        errors.append(caught.value)
    return errors


async def test_faces_without_one_say_what_is_missing() -> None:
    for error in await call_every_face():
        assert isinstance(error, NotBoundError)
        assert "async with infra" in (error.hint or "")


async def test_faces_of_one_that_is_bound_and_not_open_say_so(infra: Infra) -> None:
    with infra.bind():
        errors = await call_every_face()
    for error in errors:
        assert isinstance(error, NotOpenError)
        assert "async with infra" in (error.hint or "")
        assert "InfraMiddleware" in (error.hint or "")


async def test_faces_of_one_that_was_closed_say_so(infra: Infra) -> None:
    async with infra:
        pass
    with infra.bind(), pytest.raises(NotOpenError):
        await enqueue(welcome, 1)
