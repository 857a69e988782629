"""What is bound where: blocks, tasks, threads."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from undercroft._core.bound import BoundPart, bind, bound_source
from undercroft._core.errors import NotBoundError

pytestmark = pytest.mark.anyio
queue = BoundPart[str]("queue")


class Parts:
    """A source of parts, each of which is its own description."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_part(self, name: str) -> object:
        return f"{name} of {self.name}"


def test_part_is_that_of_the_bound_source() -> None:
    with bind(Parts("shop")):
        assert queue.require() == "queue of shop"


def test_source_is_what_was_bound() -> None:
    parts = Parts("shop")
    with bind(parts):
        assert bound_source() is parts


def test_nothing_is_bound_by_default() -> None:
    with pytest.raises(NotBoundError):
        bound_source()


def test_error_names_the_part_that_was_wanted() -> None:
    with pytest.raises(NotBoundError, match="'queue' has nothing to act on"):
        queue.require()


@pytest.mark.parametrize("way", ["InfraMiddleware", "worker", "async with infra", "infra.bind()", "anyio.to_thread"])
def test_error_says_each_way_to_bind(way: str) -> None:
    with pytest.raises(NotBoundError) as caught:
        queue.require()

    assert way in (caught.value.hint or "")


def test_error_hides_the_lookup_behind_it() -> None:
    with pytest.raises(NotBoundError) as caught:
        queue.require()

    assert caught.value.__suppress_context__


def test_inner_binding_wins() -> None:
    with bind(Parts("outer")), bind(Parts("inner")):
        assert queue.require() == "queue of inner"


def test_outer_binding_is_back_after_the_inner_one() -> None:
    with bind(Parts("outer")):
        with bind(Parts("inner")):
            pass
        assert queue.require() == "queue of outer"


def test_binding_ends_with_a_block_that_raises() -> None:
    with pytest.raises(KeyError), bind(Parts("shop")):
        raise KeyError

    with pytest.raises(NotBoundError):
        queue.require()


async def test_binding_reaches_tasks_started_in_the_block() -> None:
    found: list[str] = []

    async def look() -> None:
        found.append(queue.require())

    with bind(Parts("shop")):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)

    assert found == ["queue of shop"]


async def test_binding_stays_in_a_task_that_outlives_the_block() -> None:
    left = asyncio.Event()

    async def look() -> str:
        await left.wait()
        return queue.require()

    with bind(Parts("shop")):
        task = asyncio.create_task(look())
    left.set()

    assert await asyncio.wait_for(task, 5) == "queue of shop"


async def test_binding_of_one_task_is_not_seen_by_its_neighbour() -> None:
    both_bound = asyncio.Barrier(2)

    async def look(name: str) -> str:
        with bind(Parts(name)):
            await asyncio.wait_for(both_bound.wait(), 5)
            return queue.require()

    assert await asyncio.gather(look("a"), look("b")) == ["queue of a", "queue of b"]


async def test_binding_reaches_threads_started_by_anyio() -> None:
    with bind(Parts("shop")):
        assert await anyio.to_thread.run_sync(queue.require) == "queue of shop"


def test_plain_thread_has_no_binding() -> None:
    outcome: list[BaseException] = []

    def look() -> None:
        try:
            queue.require()
        except NotBoundError as exc:
            outcome.append(exc)

    with bind(Parts("shop")):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(10)

    assert len(outcome) == 1


async def test_binding_in_a_thread_does_not_leak_to_the_caller() -> None:
    def run() -> str:
        with bind(Parts("thread")):
            return queue.require()

    with bind(Parts("loop")):
        in_thread = await anyio.to_thread.run_sync(run)
        assert (in_thread, queue.require()) == ("queue of thread", "queue of loop")
