"""A copy with some arguments replaced, and the objects that the two share."""

from pathlib import Path

import pytest

from tests.app._jobs_here import tidy, welcome
from tests.app._transports import NotingQueue, NotingTransport
from undercroft import Infra
from undercroft.app import AlreadyOpenError
from undercroft.app._arguments import InfraArguments
from undercroft.queue import JobNotRegisteredError
from undercroft.queue.sqlite import SqliteQueue

pytestmark = pytest.mark.anyio


def test_the_arguments_of_override_are_those_of_infra() -> None:
    import inspect

    assert list(inspect.signature(Infra.__init__).parameters)[1:] == list(InfraArguments.__annotations__)


async def test_a_copy_has_what_was_replaced_and_the_rest_of_the_original(home: Path) -> None:
    infra = Infra(environ={"LOG_LEVEL": "debug"}, jobs=[welcome], home=home / "a", health_checks=[])
    copy = infra.override(jobs=[tidy], home=home / "b")
    assert (list(copy.queue.jobs), copy.settings.home.value) == (["shop.tidy"], home / "b")
    assert copy.settings.log_level == infra.settings.log_level


async def test_the_original_stays_as_it_is(home: Path) -> None:
    infra = Infra(environ={}, jobs=[welcome])
    before = (infra.settings, infra.queue, infra.email, infra.describe())
    async with infra.override(jobs=[tidy], email=NotingTransport(), home=home / "b") as copy:
        with pytest.raises(JobNotRegisteredError):
            await copy.queue.enqueue(welcome, 1)
        assert not infra.is_open
    assert (infra.settings, infra.queue, infra.email, infra.describe()) == before


async def test_a_copy_of_one_that_is_open_can_be_opened_beside_it() -> None:
    async with Infra(environ={}, jobs=[welcome]) as infra, infra.override() as copy:
        handle = await infra.queue.enqueue(welcome, 1)
        assert await copy.queue.get_job(handle.id) is not None


async def test_an_object_that_both_have_is_open_in_one_at_a_time(home: Path) -> None:
    events: list[str] = []
    infra = Infra(environ={}, queue=NotingQueue(home / "queue.db", events))
    copy = infra.override(env="test").override()
    async with infra:
        with pytest.raises(AlreadyOpenError) as caught:
            await copy.open()
        assert "queue=" in (caught.value.hint or "")
        await infra.queue.ping()
    async with copy:
        await copy.queue.ping()
    assert events == ["queue open", "queue closed"] * 2


async def test_a_copy_with_an_object_of_its_own_can_be_opened_beside_it(home: Path) -> None:
    infra = Infra(environ={}, queue=SqliteQueue(home / "a.db"))
    async with infra, infra.override(queue=SqliteQueue(home / "b.db")) as copy:
        await copy.queue.ping()


def test_an_argument_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="cashe"):
        Infra(environ={}).override(cashe="memory://")  # type: ignore[call-arg]  # that is the mistake
