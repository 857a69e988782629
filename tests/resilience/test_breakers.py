"""The breakers of a process: by name, joined where an `Infra` is bound, and alone when their store is away."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest

from tests.resilience._calls import Service, outcome
from undercroft._core.bound import bind
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import NotOpenError
from undercroft.monitoring import get_counter
from undercroft.resilience import (
    BreakerNotFoundError,
    Breakers,
    BreakersUnavailableError,
    CircuitBreaker,
    CircuitOpenError,
    PolicyError,
    StateChange,
    Stored,
    create_breakers,
)
from undercroft.resilience._breaker.memory import MemoryBreakers

pytestmark = pytest.mark.anyio
DOWN = ConnectionError("down")


class FlakyStore(MemoryBreakers):
    """Memory that can be away: it fails, or stalls. Counts what it is asked."""

    name = "flaky"
    is_local = False

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.mode = "up"
        self.asked = 0

    async def _answer(self) -> None:
        self.asked += 1
        if self.mode == "failing":
            raise BreakersUnavailableError("it is away")
        if self.mode == "stalled":
            await asyncio.Event().wait()
        if self.mode == "slow":
            await self._clock.sleep(0.1)
        if self.mode == "closed":
            raise NotOpenError("it is closed")

    async def read(self, name: str) -> Stored:
        await self._answer()
        return await super().read(name)

    async def swap(self, name: str, data: bytes, *, version: int) -> bool:
        await self._answer()
        return await super().swap(name, data, version=version)

    async def read_all(self) -> Mapping[str, Stored]:
        await self._answer()
        return await super().read_all()


class Parts:
    """What is bound."""

    def __init__(self, breakers: Breakers) -> None:
        self.breakers = breakers

    def get_part(self, name: str) -> object:
        return getattr(self, name)


@pytest.fixture
def store(clock: VirtualClock) -> FlakyStore:
    return FlakyStore(clock)


@pytest.fixture
async def breakers(store: FlakyStore, clock: VirtualClock) -> AsyncIterator[Breakers]:
    async with Breakers(store, clock=clock) as breakers:
        yield breakers


async def call(breaker: CircuitBreaker, *answers: object) -> list[object]:
    return [await outcome(breaker.call(Service(answer))) for answer in answers]


# --- By name


async def test_breaker_of_a_name_is_made_once(breakers: Breakers) -> None:
    made = breakers.breaker("payments", failure_threshold=2)
    assert breakers.breaker("payments") is made
    assert breakers.get("payments") is made
    assert breakers.require("payments") is made
    with pytest.raises(PolicyError, match="made already"):
        breakers.breaker("payments", failure_threshold=3)
    assert breakers.get("other") is None
    with pytest.raises(BreakerNotFoundError, match="near: payments"):
        breakers.require("payment")


async def test_list_tells_all_there_is_to_know(breakers: Breakers, clock: VirtualClock) -> None:
    await call(breakers.breaker("b", failure_threshold=2, reset_timeout=30), "ok", DOWN, DOWN, "ok")
    await call(breakers.breaker("a"), "ok")
    await clock.advance(10)
    a, b = await breakers.list()
    assert (a.name, a.state, a.calls, a.failures, a.opened_at) == ("a", "closed", 1, 0, None)
    assert (b.name, b.state, b.calls, b.failures, b.rejected) == ("b", "open", 3, 2, 1)
    assert (b.reason, b.retry_after) == ("2 failures in a row", 20)
    assert b.opened_at is not None
    assert b.opened_at.timestamp() == pytest.approx(clock.time() - 10)
    assert json.loads(msgspec.json.encode(b))["state"] == "open"


async def test_breaker_that_is_not_used_is_listed_too(breakers: Breakers) -> None:
    breakers.breaker("idle")
    assert [(info.name, info.is_here) for info in await breakers.list()] == [("idle", True)]


async def test_not_open_is_told(store: FlakyStore) -> None:
    with pytest.raises(NotOpenError):
        await Breakers(store).list()


async def test_breaker_made_before_opening_is_shared_from_then_on(store: FlakyStore, clock: VirtualClock) -> None:
    breakers = Breakers(store, clock=clock)
    early = breakers.breaker("early", failure_threshold=1)
    await call(early, "ok")
    assert not early.is_shared
    async with breakers:
        assert early.is_shared
        await call(early, DOWN)
        assert [info.state for info in await breakers.list()] == ["open"]
    assert not early.is_shared
    assert early.state == "open"


# --- Where an Infra is bound


async def test_breaker_joins_the_bound_ones_with_its_first_call(breakers: Breakers, clock: VirtualClock) -> None:
    breaker = CircuitBreaker("anywhere", clock=clock)
    with bind(Parts(breakers)):
        await call(breaker, "ok")
    assert breaker.is_shared
    assert [info.name for info in await breakers.list()] == ["anywhere"]
    await breakers.force_open("anywhere")
    await clock.advance(1)
    assert isinstance((await call(breaker, "ok"))[0], CircuitOpenError)


async def test_breaker_that_was_called_before_joins_with_a_failure(breakers: Breakers, clock: VirtualClock) -> None:
    breaker = CircuitBreaker("anywhere", failure_threshold=2, clock=clock)
    await call(breaker, "ok", DOWN)
    with bind(Parts(breakers)):
        await call(breaker, DOWN)
    assert breaker.is_shared
    assert [info.state for info in await breakers.list()] == ["open"]


async def test_local_one_never_joins(breakers: Breakers, clock: VirtualClock) -> None:
    breaker = CircuitBreaker("mine", failure_threshold=1, clock=clock, is_local=True)
    with bind(Parts(breakers)):
        await call(breaker, "ok", DOWN)
    assert not breaker.is_shared
    assert await breakers.list() == ()


async def test_nothing_bound_and_what_has_no_breakers_leave_it_alone(clock: VirtualClock) -> None:
    class Without:
        def get_part(self, name: str) -> object:
            return getattr(self, name)

    breaker = CircuitBreaker("alone", clock=clock)
    with bind(Without()):
        assert await call(breaker, "ok") == ["ok"]
    assert not breaker.is_shared


async def test_closed_breakers_let_theirs_go_on_and_join_others(clock: VirtualClock) -> None:
    breaker = CircuitBreaker("module level", failure_threshold=1, clock=clock)
    for _ in range(2):
        async with create_breakers(clock=clock) as breakers:
            with bind(Parts(breakers)):
                assert await call(breaker, "ok") == ["ok"]
            assert [info.name for info in await breakers.list()] == ["module level"]
        assert not breaker.is_shared
    assert await call(breaker, "ok", DOWN) == ["ok", DOWN]
    assert breaker.state == "open"


async def test_breakers_keep_none_alive(breakers: Breakers, clock: VirtualClock) -> None:
    breaker = CircuitBreaker("short lived", clock=clock, store=breakers)
    await call(breaker, "ok")
    assert breakers.get("short lived") is breaker
    del breaker
    gc.collect()
    assert breakers.get("short lived") is None


async def test_store_and_local_contradict_each_other(breakers: Breakers) -> None:
    with pytest.raises(PolicyError):
        CircuitBreaker("b", store=breakers, is_local=True)


# --- How often the store is asked


async def test_calls_of_one_second_ask_the_store_once(
    breakers: Breakers, store: FlakyStore, clock: VirtualClock
) -> None:
    breaker = breakers.breaker("b")
    await call(breaker, *["ok"] * 10)
    first = store.asked
    assert first <= 2  # a read, and the note that there is such a breaker
    await call(breaker, *["ok", DOWN] * 50)
    assert store.asked == first
    await clock.advance(1)
    await call(breaker, *["ok"] * 100)
    assert store.asked == first + 1


async def test_refused_calls_ask_no_more_often(breakers: Breakers, store: FlakyStore, clock: VirtualClock) -> None:
    breaker = breakers.breaker("b", failure_threshold=1)
    await call(breaker, DOWN)
    asked = store.asked
    assert all(isinstance(one, CircuitOpenError) for one in await call(breaker, *["ok"] * 100))
    assert store.asked <= asked + 1


# --- The store is away


@pytest.mark.parametrize("mode", ["failing", "stalled"])
async def test_without_its_store_a_breaker_goes_on_alone(
    breakers: Breakers, store: FlakyStore, clock: VirtualClock, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    changes: list[StateChange] = []
    breaker = breakers.breaker("b", failure_threshold=2, reset_timeout=20, on_state_change=changes.append)
    await call(breaker, "ok")
    store.mode = mode
    counted = get_counter("undercroft_breaker_store_errors_total", labels={"store": "flaky"}) or 0
    await clock.advance(1)

    task = asyncio.ensure_future(call(breaker, DOWN, DOWN, "ok"))
    await clock.advance(0.25)  # what one call waits for a store that stalls
    outcomes = await task
    assert outcomes[:2] == [DOWN, DOWN]
    assert isinstance(outcomes[2], CircuitOpenError)
    await clock.advance(20)
    task = asyncio.ensure_future(call(breaker, "ok", "ok"))
    await clock.advance(1)
    assert await task == ["ok", "ok"]
    assert breaker.state == "closed"
    assert [change.after for change in changes] == ["open", "half_open", "closed"]
    assert (get_counter("undercroft_breaker_store_errors_total", labels={"store": "flaky"}) or 0) >= counted + 1
    assert caplog.text.count("until their store answers") == 1


async def test_store_that_is_back_learns_what_opened_meanwhile(
    breakers: Breakers, store: FlakyStore, clock: VirtualClock
) -> None:
    breaker = breakers.breaker("b", failure_threshold=1, reset_timeout=60)
    await call(breaker, "ok")
    store.mode = "failing"
    await call(breaker, DOWN)
    store.mode = "up"
    (info,) = await breakers.list()
    assert info.state == "closed"
    await clock.advance(6)
    await call(breaker, "ok")
    (info,) = await breakers.list()
    assert info.state == "open"
    assert info.retry_after == pytest.approx(54)


async def test_store_that_lost_everything_closes_them_and_knows_them_again(
    breakers: Breakers, store: FlakyStore, clock: VirtualClock
) -> None:
    breaker = breakers.breaker("b", failure_threshold=1, reset_timeout=60)
    await call(breaker, DOWN)
    store._documents.clear()
    await clock.advance(1)
    assert await call(breaker, "ok") == ["ok"]
    assert [info.name for info in await breakers.list()] == ["b"]


async def test_damaged_document_counts_as_closed_and_is_replaced(
    breakers: Breakers, store: FlakyStore, clock: VirtualClock
) -> None:
    assert await store.swap("b", b"\xff{", version=0)
    breaker = breakers.breaker("b", failure_threshold=1)
    assert await call(breaker, "ok", DOWN) == ["ok", DOWN]
    assert [info.state for info in await breakers.list()] == ["open"]


async def test_commands_say_that_the_store_is_away_and_change_nothing(breakers: Breakers, store: FlakyStore) -> None:
    breaker = breakers.breaker("b")
    await call(breaker, "ok")
    store.mode = "failing"
    for command in (breaker.force_open, breaker.reset, breakers.list):
        with pytest.raises(BreakersUnavailableError):
            await command()
    with pytest.raises(BreakersUnavailableError):
        await breakers.force_open("b")
    assert breaker.state == "closed"


async def test_cancelled_while_it_asks_for_a_probe_takes_no_slot(
    breakers: Breakers, store: FlakyStore, clock: VirtualClock
) -> None:
    breaker = breakers.breaker("b", failure_threshold=1, reset_timeout=10)
    await call(breaker, DOWN)
    await clock.advance(10)
    for turns in range(12):  # cancelled at each await on its way
        task = asyncio.ensure_future(breaker.call(asyncio.Event().wait))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert breaker.info().probes == 0
        assert [info.probes for info in await breakers.list()] == [0]
    assert await call(breaker, "ok") == ["ok"]


async def test_opening_while_the_store_is_asked_is_not_forgotten(
    breakers: Breakers, store: FlakyStore, clock: VirtualClock
) -> None:
    changes: list[StateChange] = []
    breaker = breakers.breaker("b", failure_threshold=1, on_state_change=changes.append)
    await call(breaker, "ok")
    await clock.advance(1)
    store.mode = "slow"
    looking = asyncio.ensure_future(call(breaker, "ok"))
    await clock.advance(0.05)  # it has been told "closed", or will be
    failing = asyncio.ensure_future(call(breaker, DOWN))
    await clock.advance(1)
    assert isinstance((await looking)[0], CircuitOpenError)
    assert await failing == [DOWN]
    store.mode = "up"
    assert [change.after for change in changes] == ["open"]
    assert [info.state for info in await breakers.list()] == ["open"]


async def test_store_that_was_closed_under_a_call_does_not_fail_it(
    breakers: Breakers, store: FlakyStore, clock: VirtualClock
) -> None:
    breaker = breakers.breaker("b")
    store.mode = "closed"
    assert await call(breaker, "ok") == ["ok"]
