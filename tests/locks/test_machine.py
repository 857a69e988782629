"""Whatever is done, in whatever order: never two holders, and tokens only grow. On every store, against a model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.connections.redis._servers import RedisServer
from undercroft._core.clock import Clock, SystemClock, VirtualClock
from undercroft.resilience._locks import Lease, LockLostError, Locks, LockStore, open_lock_store
from undercroft.resilience._locks.memory import MemoryLocks
from undercroft.resilience._locks.sqlite import SqliteLocks

T = TypeVar("T")
NAMES = ["a", "b"]
LONG_S, SHORT_S, OVER_S = 600.0, 0.05, 0.08
a_name = st.sampled_from(NAMES)
a_ttl = st.sampled_from([LONG_S, LONG_S, SHORT_S])


class LockMachine(RuleBasedStateMachine):
    """Two processes, as it were, that acquire, extend and release, and a store that forgets.

    A short lease is over before the next step, so that the model needs no clock of its own.
    """

    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.begin()
        self.holder: dict[str, Lease] = {}  # who must be the only one to hold it
        self.orphans: list[Lease] = []  # that a store forgot, and that do not know it yet
        self.ended: list[Lease] = []
        self.last_token = dict.fromkeys(NAMES, 0)

    def begin(self) -> None:
        """Make the store and two `Locks` upon what it keeps."""
        raise NotImplementedError

    def forget(self) -> None:
        """Make the store forget everything."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        raise NotImplementedError

    processes: list[Locks]

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    def _is_over(self, name: str) -> None:
        if (lease := self.holder.pop(name, None)) is not None:
            self.ended.append(lease)

    def _let_end(self, ttl_s: float, name: str) -> None:
        if ttl_s == SHORT_S:
            self.run(self.pass_time(OVER_S))
            self._is_over(name)

    @rule(name=a_name, ttl_s=a_ttl, process=st.integers(0, 1))
    def acquire(self, name: str, ttl_s: float, process: int) -> None:
        locks = self.processes[process]
        lease = self.run(locks.try_acquire_lease(name, ttl_s=ttl_s, owner=None, renew=False))
        assert (lease is None) == (name in self.holder)
        if lease is not None:
            assert lease.token > self.last_token[name]
            self.last_token[name] = lease.token
            self.holder[name] = lease
            self._let_end(ttl_s, name)

    @rule(name=a_name, ttl_s=a_ttl)
    def extend(self, name: str, ttl_s: float) -> None:
        lease = self.holder.get(name)
        if lease is not None:
            with_ttl = max(ttl_s, 0.1)  # what `extend` takes at least
            self.run(lease.extend(with_ttl))
            assert lease.is_held
            if ttl_s == SHORT_S:
                self.run(self.pass_time(0.13))
                self._is_over(name)

    @rule(name=a_name)
    def release(self, name: str) -> None:
        lease = self.holder.get(name)
        if lease is not None:
            assert self.run(lease.release()) is True
            self._is_over(name)

    @rule(name=a_name, process=st.integers(0, 1))
    def force(self, name: str, process: int) -> None:
        info = self.run(self.processes[process].release(name))
        assert (info is None) == (name not in self.holder)
        if info is not None:
            assert info.token == self.holder[name].token
            self.orphans.append(self.holder.pop(name))

    @rule()
    def lose_the_store(self) -> None:
        self.forget()
        self.orphans += self.holder.values()
        self.holder.clear()

    @rule(data=st.data())
    def old_holder_comes_back(self, data: st.DataObject) -> None:
        for lease in [*self.ended, *self.orphans]:
            if data.draw(st.booleans()):
                with pytest.raises(LockLostError):
                    self.run(lease.extend())
            else:
                assert self.run(lease.release()) in ({True, False} if lease in self.ended else {False})
            assert not lease.is_held
        self.ended.clear()
        self.orphans.clear()

    @invariant()
    def there_is_one_holder(self) -> None:
        assert not any(lease.is_held for lease in self.ended)
        assert all(lease.is_held for lease in self.holder.values())

    @invariant()
    def list_is_the_truth(self) -> None:
        held = self.run(self.processes[0].list())
        assert {info.name: info.token for info in held} == {name: lease.token for name, lease in self.holder.items()}


class MemoryMachine(LockMachine):
    clock: VirtualClock

    def begin(self) -> None:
        self.clock = VirtualClock()
        store = MemoryLocks(clock=self.clock)
        self.store = store
        self.processes = [Locks(store, clock=self.clock), Locks(store, clock=self.clock)]
        for locks in self.processes:
            self.run(self.stack.enter_async_context(locks))

    def forget(self) -> None:
        self.store._rows.clear()
        self.store._token = 0
        self.run(self.clock.advance(0.001))

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)


class SqliteMachine(LockMachine):
    clock: VirtualClock

    def begin(self) -> None:
        self.clock = VirtualClock()
        self.folder = Path(self.stack.enter_context(_folder()))
        self.processes = [self.process(), self.process()]

    def process(self) -> Locks:
        locks = Locks(SqliteLocks(self.folder / "locks.db", clock=self.clock), clock=self.clock)
        return self.run(self.stack.enter_async_context(locks))

    def forget(self) -> None:
        store: Any = self.processes[0]._store
        self.run(
            store._store.write(lambda db: [db.execute("DELETE FROM locks"), db.execute("UPDATE fence SET token = 0")])
        )
        self.run(self.clock.advance(0.001))

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)


class RedisMachine(LockMachine):
    server: ClassVar[RedisServer]

    def begin(self) -> None:
        self.clock = SystemClock()
        self.server.cli("flushall")
        self.processes = [self.process(), self.process()]

    def process(self) -> Locks:
        store: LockStore = open_lock_store(self.server.url)
        return self.run(self.stack.enter_async_context(Locks(store)))

    def forget(self) -> None:
        self.server.cli("flushall")

    async def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)
        await asyncio.sleep(0.005)


def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(ignore_cleanup_errors=True)


def few(examples: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )


def test_memory_locks_are_as_the_model() -> None:
    run_state_machine_as_test(MemoryMachine, settings=few(80))


@pytest.mark.slow
def test_sqlite_locks_are_as_the_model() -> None:
    run_state_machine_as_test(SqliteMachine, settings=few(12))


@pytest.mark.slow
def test_redis_locks_are_as_the_model(redis_server: RedisServer) -> None:
    RedisMachine.server = redis_server
    run_state_machine_as_test(RedisMachine, settings=few(10))
