"""What every store of breakers promises, as tests. Subclass it in your own suite and give it one fixture:

    class TestMyStore(BreakerStoreConformance):
        @pytest.fixture
        async def rig(self):
            async with MyStore() as one, MyStore() as other:
                yield BreakerRig(stores=(one, other), advance=…, clock=…)

The stores are open, are two handles to one place, as two processes have them, and hold nothing. `advance` lets seconds
pass on the clock that they go by: move a virtual one, or sleep. Needs pytest with anyio's plugin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import anyio
import pytest

from undercroft._core.clock import Clock
from undercroft.resilience import (
    BreakerNotFoundError,
    Breakers,
    BreakerStore,
    CircuitBreaker,
    CircuitOpenError,
)

RESET_S = 0.5
_TASKS = 40


class DownError(Exception):
    """What the called service answers while it is down."""


@dataclass(frozen=True, slots=True)
class BreakerRig:
    """A place for breakers under test, and its time."""

    stores: tuple[BreakerStore, BreakerStore]
    advance: Callable[[float], Awaitable[None]]
    clock: Clock


class BreakerStoreConformance:
    """The promises of `undercroft.resilience.BreakerStore`, one test each, and those of breakers that share one."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def store(self, rig: BreakerRig) -> BreakerStore:
        """One of the two handles."""
        return rig.stores[0]

    @pytest.fixture
    async def sides(self, rig: BreakerRig) -> AsyncIterator[tuple[Breakers, Breakers]]:
        """Breakers over each of the handles, as two processes have them. They look each time."""
        one, other = (Breakers(_Opened(store), timeout="5s", look_every=0.001, clock=rig.clock) for store in rig.stores)
        async with one, other:
            yield one, other

    # --- The store

    async def test_store_answers(self, store: BreakerStore) -> None:
        assert store.name
        await store.ping()

    async def test_unknown_breaker_has_no_document(self, store: BreakerStore) -> None:
        found = await store.read("nobody")
        assert (found.data, found.version) == (None, 0)
        assert await store.read_all() == {}

    async def test_document_comes_back_as_it_was(self, rig: BreakerRig) -> None:
        data = b'{"a": "\\u00fc \xf0\x9d\x84\x9e"}' + bytes(range(256))
        assert await rig.stores[0].swap("grüße: 1 {x}", data, version=0)
        found = await rig.stores[1].read("grüße: 1 {x}")
        assert found.data == data
        assert found.version > 0

    async def test_change_of_what_was_read_is_taken(self, store: BreakerStore) -> None:
        assert await store.swap("b", b"1", version=0)
        first = await store.read("b")
        assert await store.swap("b", b"2", version=first.version)
        second = await store.read("b")
        assert second.data == b"2"
        assert second.version > first.version

    async def test_change_of_what_is_there_no_more_is_refused(self, store: BreakerStore) -> None:
        assert await store.swap("b", b"1", version=0)
        old = await store.read("b")
        assert await store.swap("b", b"2", version=old.version)
        for version in (0, old.version, old.version + 7):
            assert not await store.swap("b", b"3", version=version)
        assert not await store.swap("new", b"1", version=3)
        assert (await store.read("b")).data == b"2"
        assert (await store.read("new")).data is None

    async def test_of_many_changes_of_one_document_one_is_taken(self, rig: BreakerRig) -> None:
        for version in range(3):
            taken = await asyncio.gather(
                *(rig.stores[n % 2].swap("b", str(n).encode(), version=version) for n in range(_TASKS))
            )
            assert sum(taken) == 1
            found = await rig.stores[0].read("b")
            assert found.data == str(taken.index(True)).encode()
            assert found.version == version + 1

    async def test_all_documents_are_listed(self, rig: BreakerRig) -> None:
        for n in range(30):
            assert await rig.stores[n % 2].swap(f"b{n}", str(n).encode(), version=0)
        listed = await rig.stores[0].read_all()
        assert {name: stored.data for name, stored in listed.items()} == {f"b{n}": str(n).encode() for n in range(30)}
        for name, stored in listed.items():
            assert (await rig.stores[1].read(name)).version == stored.version

    async def test_time_passes_and_is_the_same_for_all(self, rig: BreakerRig) -> None:
        first = (await rig.stores[0].read("b")).now
        await rig.advance(0.2)
        second = (await rig.stores[1].read("b")).now
        assert 0.15 <= second - first < 30

    # --- Breakers that share it

    async def test_what_one_opens_is_open_in_the_other(self, sides: tuple[Breakers, Breakers], rig: BreakerRig) -> None:
        here, there = _both(sides, failure_threshold=2)
        assert await _call(there) == "ok"
        await _fail(here, 2)
        await rig.advance(0.01)
        assert await _call(there) == "refused"
        assert there.state == "open"

    async def test_what_one_opens_is_known_to_the_other_with_its_next_failure(
        self, rig: BreakerRig, sides: tuple[Breakers, Breakers]
    ) -> None:
        rarely = Breakers(_Opened(rig.stores[1]), timeout="5s", look_every="1h", clock=rig.clock)
        here = sides[0].breaker("b", failure_threshold=1)
        async with rarely:
            there = rarely.breaker("b", failure_threshold=2, reset_timeout="1m")
            assert await _call(there) == "ok"
            await _fail(here, 1)
            await _fail(there, 2)
            opened = {info.name: info for info in await rarely.list()}["b"]
            assert opened.reason == "1 failures in a row"

    async def test_both_together_probe_with_no_more_calls_than_allowed(
        self, sides: tuple[Breakers, Breakers], rig: BreakerRig
    ) -> None:
        pair = _both(sides, failure_threshold=1, reset_timeout=RESET_S, half_open_max=3, success_threshold=100)
        await _fail(pair[0], 1)
        await rig.advance(RESET_S + 0.1)
        gate, running, most, outcomes = anyio.Event(), 0, 0, list[str]()

        async def probe() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1

        async def one(breaker: CircuitBreaker) -> None:
            outcomes.append(await _call(breaker, probe))
            if len(outcomes) == _TASKS - 3:
                gate.set()

        async with anyio.create_task_group() as tasks:
            for n in range(_TASKS):
                tasks.start_soon(one, pair[n % 2])
        assert most == 3
        assert (outcomes.count("ok"), outcomes.count("refused")) == (3, _TASKS - 3)

    async def test_successes_of_both_close_it_for_both(self, sides: tuple[Breakers, Breakers], rig: BreakerRig) -> None:
        here, there = _both(sides, failure_threshold=1, reset_timeout=RESET_S, success_threshold=2)
        await _fail(here, 1)
        await rig.advance(RESET_S + 0.1)
        assert await _call(here) == "ok"
        assert await _call(there) == "ok"
        assert there.state == "closed"
        await rig.advance(0.01)
        assert await _call(here) == "ok"
        assert here.state == "closed"

    async def test_failed_probe_of_one_opens_it_for_both(
        self, sides: tuple[Breakers, Breakers], rig: BreakerRig
    ) -> None:
        here, there = _both(sides, failure_threshold=1, reset_timeout=RESET_S, success_threshold=2)
        await _fail(here, 1)
        await rig.advance(RESET_S + 0.1)
        await _fail(there, 1)
        await rig.advance(0.01)
        assert await _call(here) == "refused"

    async def test_slot_of_a_probe_that_died_is_free_after_its_lease(
        self, sides: tuple[Breakers, Breakers], rig: BreakerRig
    ) -> None:
        here, there = _both(sides, failure_threshold=1, reset_timeout=RESET_S, probe_lease=RESET_S)
        await _fail(here, 1)
        await rig.advance(RESET_S + 0.1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.call, anyio.sleep_forever)
            for _ in range(_TASKS):
                await anyio.sleep(0.005)
            assert await _call(there) == "refused"
            await rig.advance(RESET_S + 0.1)
            assert await _call(there) == "ok"
            tasks.cancel_scope.cancel()
        assert there.state == "closed"

    async def test_forced_states_are_shared_and_end(self, sides: tuple[Breakers, Breakers], rig: BreakerRig) -> None:
        here, there = _both(sides, failure_threshold=1)
        assert [await _call(one) for one in (here, there)] == ["ok", "ok"]
        await sides[0].force_open("b")
        await rig.advance(0.01)
        assert [await _call(one) for one in (here, there)] == ["refused", "refused"]
        info = await sides[1].force_closed("b", for_=RESET_S)
        assert (info.state, info.forced) == ("closed", "closed")
        await rig.advance(0.01)
        await _fail(here, 3)
        assert here.state == "closed"
        await rig.advance(RESET_S)
        await _fail(here, 1)
        await rig.advance(0.01)
        assert await _call(there) == "refused"
        await sides[1].reset("b")
        await rig.advance(0.01)
        assert [await _call(one) for one in (here, there)] == ["ok", "ok"]

    async def test_breaker_of_the_other_is_listed_and_can_be_forced(
        self, sides: tuple[Breakers, Breakers], rig: BreakerRig
    ) -> None:
        here = sides[0].breaker("only here")
        assert await _call(here) == "ok"
        (info,) = await sides[1].list()
        assert (info.name, info.state, info.is_here) == ("only here", "closed", False)
        assert sides[1].get("only here") is None
        await sides[1].force_open("only here", for_="1m")
        await rig.advance(0.01)
        assert await _call(here) == "refused"
        (info,) = await sides[0].list()
        assert (info.state, info.forced, info.is_here, info.rejected) == ("open", "open", True, 1)
        assert 50 < (info.retry_after or 0) <= 60
        assert info.forced_until is not None

    async def test_name_that_nobody_knows_is_told_with_near_ones(self, sides: tuple[Breakers, Breakers]) -> None:
        assert await _call(sides[0].breaker("payments")) == "ok"
        with pytest.raises(BreakerNotFoundError) as caught:
            await sides[1].force_open("payment")
        assert caught.value.near == ("payments",)


class _Opened:
    """A store that somebody else opens and closes."""

    def __init__(self, store: BreakerStore) -> None:
        self.name, self.is_local = store.name, store.is_local
        self.ping, self.read, self.swap, self.read_all = store.ping, store.read, store.swap, store.read_all

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


def _both(sides: tuple[Breakers, Breakers], **options: float) -> tuple[CircuitBreaker, CircuitBreaker]:
    one, other = (side.breaker("b", **options) for side in sides)  # type: ignore[arg-type]  # each is of its type
    return one, other


async def _nothing() -> None: ...


async def _call(breaker: CircuitBreaker, fn: Callable[[], Awaitable[None]] = _nothing) -> str:
    try:
        await breaker.call(fn)
    except CircuitOpenError:
        return "refused"
    return "ok"


async def _fail(breaker: CircuitBreaker, times: int) -> None:
    async def down() -> None:
        raise DownError

    for _ in range(times):
        with pytest.raises(DownError):
            await breaker.call(down)
