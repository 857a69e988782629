"""Two processes with a tier each over one store: in whatever order requests, replies and messages come, it is right.

The store, its network and its messages are played here, so that Hypothesis can hold each of them up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from undercroft._core.clock import VirtualClock
from undercroft.cache._protocol import CacheBackend, Changes, Fetched, Item, Read, Tell
from undercroft.cache._tier import LocalTier, TieredCache

SPACE = "app"
KEYS = ("a", "b")
TAGS = ("t",)
a_key = st.sampled_from(["a", "a", "b"])
a_process = st.sampled_from([0, 1])
a_number = st.integers(min_value=0, max_value=9)


@dataclass
class World:
    """The store, and what is on the way to and from it."""

    values: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, bytes] = field(default_factory=dict)
    history: dict[str, list[bytes | None]] = field(default_factory=lambda: {key: [None] for key in KEYS})
    on_the_way: list[asyncio.Future[None]] = field(default_factory=list)
    listeners: list[PlayedChanges] = field(default_factory=list)
    count: int = 0

    async def travel(self) -> None:
        passing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_the_way.append(passing)
        await passing

    def put(self, key: str, data: bytes | None) -> None:
        if data is None:
            self.values.pop(key, None)
        else:
            self.values[key] = data
        self.history[key].append(data)
        self.publish((key,), ())

    def publish(self, keys: Sequence[str], tags: Sequence[str]) -> None:
        for listener in self.listeners:
            if listener.is_connected:
                listener.queued.append((tuple(keys), tuple(tags)))


class PlayedChanges:
    """A listener whose messages come when the test says so."""

    def __init__(self) -> None:
        self.is_connected = False
        self.is_listening = False
        self.queued: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.tell: Tell | None = None

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def listen(self, tell: Tell) -> None:
        self.tell = tell


class PlayedStore:
    """One process's way to the store. Every request and every reply takes as long as the test wants."""

    name = "played"
    is_local = False

    def __init__(self, world: World, changes: PlayedChanges) -> None:
        self.world = world
        self.done = dict.fromkeys(KEYS, 0)
        """Where in the history of each key the last change of this process is that it knows to be done."""
        self._changes = changes

    def changes(self) -> Changes:
        return self._changes

    async def fetch(self, _: str, keys: Sequence[str], tags: Sequence[str]) -> Fetched:
        await self.world.travel()
        values = tuple(self.world.values.get(key) for key in keys)
        versions = tuple(self.world.versions.get(tag) for tag in tags)
        await self.world.travel()
        return Fetched(values=values, left_s=(None,) * len(values), versions=versions)

    async def get(self, space: str, key: str) -> bytes | None:
        return (await self.fetch(space, [key], [])).values[0]

    async def read(self, space: str, keys: Sequence[str], tags: Sequence[str] = ()) -> Read:
        found = await self.fetch(space, keys, tags)
        return Read(found.values, found.versions)

    async def write(self, _: str, items: Sequence[Item]) -> None:
        await self.world.travel()
        for item in items:
            self.world.put(item.key, item.data)
        await self._answer([item.key for item in items])

    async def delete(self, _: str, keys: Sequence[str]) -> int:
        await self.world.travel()
        for key in keys:
            self.world.put(key, None)
        await self._answer(keys)
        return len(keys)

    async def _answer(self, keys: Sequence[str]) -> None:
        places = {key: len(self.world.history[key]) - 1 for key in keys}
        await self.world.travel()
        self.done.update({key: max(self.done[key], place) for key, place in places.items()})

    async def clear(self, _: str, *, prefix: str = "") -> int:
        return await self.delete(_, [key for key in KEYS if key.startswith(prefix)])

    async def invalidate_tags(self, _: str, tags: Sequence[str]) -> None:
        await self.world.travel()
        for tag in tags:
            self.world.count += 1
            self.world.versions[tag] = str(self.world.count).encode()
        self.world.publish((), tags)
        await self.world.travel()


class Tiers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.stores: list[PlayedStore] = []
        self.tiers: list[TieredCache] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.count = 0
        for _ in range(2):
            changes = PlayedChanges()
            self.world.listeners.append(changes)
            self.stores.append(PlayedStore(self.world, changes))
            store = cast("CacheBackend", self.stores[-1])
            self.tiers.append(TieredCache(store, LocalTier(max_entries=3, ttl="1h"), clock=VirtualClock()))
            changes.is_connected = changes.is_listening = True

    def start(self, call: Coroutine[Any, Any, None]) -> None:
        async def begin() -> None:
            self.tasks.append(asyncio.create_task(call))
            await asyncio.sleep(0)

        self.runner.run(begin())

    def turn(self) -> None:
        async def turns() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        self.runner.run(turns())
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            task.result()

    # --- What processes do ------------------------------------------------------------------------------------------

    @rule(process=a_process, key=a_key)
    def read(self, process: int, key: str) -> None:
        changes, history = self.world.listeners[process], self.world.history[key]
        has_heard_all = changes.is_connected and not changes.queued
        is_passed_by = not changes.is_listening
        since = len(history) - 1 if has_heard_all or is_passed_by else self.stores[process].done[key]

        async def call() -> None:
            assert await self.tiers[process].get(SPACE, key) in history[since:]

        self.start(call())

    @rule(process=a_process, key=a_key)
    def read_with_tag(self, process: int, key: str) -> None:
        async def call() -> None:
            await self.tiers[process].read(SPACE, KEYS if key == "a" else (key,), TAGS)

        self.start(call())

    @rule(process=a_process, key=a_key)
    def write(self, process: int, key: str) -> None:
        self.count += 1
        item = Item(key, str(self.count).encode(), 60.0)

        async def call() -> None:
            await self.tiers[process].write(SPACE, [item])

        self.start(call())

    @rule(key=a_key, is_heard=st.booleans())
    def others_write(self, key: str, is_heard: bool) -> None:
        self.count += 1
        self.world.put(key, str(self.count).encode())
        self.world.count += 1
        self.world.versions["t"] = str(self.world.count).encode()
        self.world.publish((), ("t",))
        if is_heard:
            self.hear_all(0)
            self.hear_all(1)

    @rule(process=a_process, key=a_key, is_all=st.booleans())
    def delete(self, process: int, key: str, is_all: bool) -> None:
        async def call() -> None:
            if is_all:
                await self.tiers[process].clear(SPACE)
            else:
                await self.tiers[process].delete(SPACE, [key])

        self.start(call())

    @rule(process=a_process)
    def invalidate(self, process: int) -> None:
        async def call() -> None:
            await self.tiers[process].invalidate_tags(SPACE, TAGS)

        self.start(call())

    # --- What the network does --------------------------------------------------------------------------------------

    def arrive(self, number: int) -> None:
        if self.world.on_the_way:
            passing = self.world.on_the_way.pop(number % len(self.world.on_the_way))
            passing.set_result(None)
            self.turn()

    @rule(number=a_number)
    def one_arrives(self, number: int) -> None:
        self.arrive(number)

    @rule(numbers=st.lists(a_number, min_size=2, max_size=6))
    def some_arrive(self, numbers: list[int]) -> None:
        for number in numbers:
            self.arrive(number)

    @rule()
    def all_is_heard(self) -> None:
        self.hear_all(0)
        self.hear_all(1)

    def hear_all(self, process: int) -> None:
        while self.world.listeners[process].queued:
            self.hear(process)

    @precondition(lambda self: self.tasks)
    @rule(number=a_number)
    def cancel(self, number: int) -> None:
        task = self.tasks.pop(number % len(self.tasks))
        task.cancel()
        self.turn()
        self.world.on_the_way = [passing for passing in self.world.on_the_way if not passing.done()]

    def hear(self, process: int) -> None:
        changes = self.world.listeners[process]
        keys, tags = changes.queued.pop(0)
        assert changes.tell is not None
        changes.tell(SPACE, keys, tags)

    @rule(process=a_process)
    def hear_one(self, process: int) -> None:
        if self.world.listeners[process].queued:
            self.hear(process)

    @rule(process=a_process, what=st.sampled_from(["lose", "notice", "connect", "be sure"]))
    def have_trouble(self, process: int, what: str) -> None:
        changes = self.world.listeners[process]
        if what == "lose":
            changes.is_connected = False
            changes.queued.clear()
        elif what == "notice":
            changes.is_listening = changes.is_listening and changes.is_connected
        elif what == "connect" and not changes.is_connected:
            changes.is_connected, changes.is_listening = True, False
        elif what == "be sure" and changes.is_connected and not changes.is_listening:
            assert changes.tell is not None
            changes.tell(None, (), ())
            changes.is_listening = True

    # --- What must be so --------------------------------------------------------------------------------------------

    @invariant()
    def front_is_right_when_all_was_heard(self) -> None:
        for tier, changes in zip(self.tiers, self.world.listeners, strict=True):
            if changes.is_listening and changes.is_connected and not changes.queued:
                for key in KEYS:
                    kept = tier._values.get(SPACE, key)
                    assert kept is None or kept == self.world.values.get(key)
                for tag in TAGS:
                    kept = tier._versions.get(SPACE, tag)
                    assert kept is None or kept == self.world.versions.get(tag)

    @invariant()
    def front_is_never_older_than_own_changes(self) -> None:
        for tier, store in zip(self.tiers, self.stores, strict=True):
            for key in KEYS:
                kept = tier._values.get(SPACE, key)
                assert kept is None or kept in self.world.history[key][store.done[key] :]

    @invariant()
    def front_is_bounded(self) -> None:
        assert all(len(tier._values) <= 3 for tier in self.tiers)

    def teardown(self) -> None:
        async def end() -> None:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

        self.runner.run(end())
        self.runner.close()


TestTiers = Tiers.TestCase
TestTiers.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
