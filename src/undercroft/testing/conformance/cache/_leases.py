"""Leases: one holder, and an end whenever the key is touched."""

from __future__ import annotations

import time

import anyio
import anyio.lowlevel
import pytest

from undercroft.cache import CacheBackend, Item
from undercroft.testing.conformance.cache._base import LONG_S, SHORT_S, PassTime, Promises, put


async def take(backend: CacheBackend, space: str, token: str, ttl_s: float = LONG_S) -> bool:
    return await backend.take_lease(space, "a", token, ttl_s=ttl_s)


async def write_leased(backend: CacheBackend, space: str, token: str) -> bool:
    return await backend.write_leased(space, Item("a", b"leased", LONG_S), token)


class LeasePromises(Promises):
    async def test_a_lease_has_one_holder(self, backend: CacheBackend, space: str) -> None:
        assert await take(backend, space, "one")
        assert not await take(backend, space, "two")
        assert await backend.take_lease(space, "b", "two", ttl_s=LONG_S)

    async def test_of_many_who_ask_at_once_one_has_it(self, backend: CacheBackend, space: str) -> None:
        taken: list[str] = []

        async def ask(token: str) -> None:
            if await take(backend, space, token):
                taken.append(token)

        async with anyio.create_task_group() as group:
            for n in range(30):
                group.start_soon(ask, str(n))
        assert len(taken) == 1

    async def test_the_holder_writes_once(self, backend: CacheBackend, space: str) -> None:
        assert await take(backend, space, "one")
        assert await write_leased(backend, space, "one")
        assert await backend.get(space, "a") == b"leased"
        assert not await write_leased(backend, space, "one")
        assert await take(backend, space, "two")

    async def test_nobody_else_writes_renews_or_ends_it(self, backend: CacheBackend, space: str) -> None:
        assert await take(backend, space, "one")
        assert not await write_leased(backend, space, "two")
        assert not await backend.renew_lease(space, "a", "two", ttl_s=LONG_S)
        await backend.end_lease(space, "a", "two")
        assert await backend.get(space, "a") is None
        assert not await take(backend, space, "two")
        assert await write_leased(backend, space, "one")

    async def test_a_lease_that_nobody_took_allows_nothing(self, backend: CacheBackend, space: str) -> None:
        assert not await write_leased(backend, space, "one")
        assert not await backend.renew_lease(space, "a", "one", ttl_s=LONG_S)
        await backend.end_lease(space, "a", "one")
        assert await backend.get(space, "a") is None

    async def test_it_ends_at_its_time(self, backend: CacheBackend, space: str, pass_time: PassTime) -> None:
        assert await take(backend, space, "one", SHORT_S)
        await pass_time(SHORT_S * 1.2)
        assert not await backend.renew_lease(space, "a", "one", ttl_s=LONG_S)
        assert not await write_leased(backend, space, "one")
        assert await take(backend, space, "two")

    async def test_renewing_pushes_its_end(self, backend: CacheBackend, space: str, pass_time: PassTime) -> None:
        assert await take(backend, space, "one", SHORT_S)
        assert await backend.renew_lease(space, "a", "one", ttl_s=LONG_S)
        await pass_time(SHORT_S * 1.2)
        assert not await take(backend, space, "two")
        assert await write_leased(backend, space, "one")

    async def test_giving_it_back_lets_the_next_one_have_it(self, backend: CacheBackend, space: str) -> None:
        assert await take(backend, space, "one")
        await backend.end_lease(space, "a", "one")
        assert await take(backend, space, "two")

    @pytest.mark.parametrize("how", ["write", "delete", "clear", "clear prefix"])
    async def test_whoever_touches_the_key_ends_it(self, backend: CacheBackend, space: str, how: str) -> None:
        assert await take(backend, space, "one")
        if how == "write":
            await put(backend, space, a=b"1")
        elif how == "delete":
            await backend.delete(space, ["a"])
        else:
            await backend.clear(space, prefix="a" if how == "clear prefix" else "")
        assert not await write_leased(backend, space, "one")
        assert not await backend.renew_lease(space, "a", "one", ttl_s=LONG_S)
        assert await backend.get(space, "a") == (b"1" if how == "write" else None)
        assert await take(backend, space, "two")

    async def test_who_touches_another_key_does_not(self, backend: CacheBackend, space: str) -> None:
        assert await take(backend, space, "one")
        await put(backend, space, b=b"1")
        await backend.delete(space, ["b", "ab"])
        await backend.clear(space, prefix="b")
        await backend.invalidate_tags(space, ["a"])
        assert await write_leased(backend, space, "one")

    async def test_a_lease_does_not_hide_what_is_there(self, backend: CacheBackend, space: str) -> None:
        await put(backend, space, a=b"1")
        assert await take(backend, space, "one")
        assert await backend.get(space, "a") == b"1"

    async def test_who_waits_is_told_of_the_end(self, backend: CacheBackend, space: str) -> None:
        assert await take(backend, space, "one")
        started = time.monotonic()

        async def wait() -> None:
            # May return early, so it is asked again, as the facade does.
            while not await take(backend, space, "two"):
                await backend.wait_for_lease(space, "a", timeout_s=20)

        with anyio.fail_after(15):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                for _ in range(10):
                    await anyio.lowlevel.checkpoint()
                assert await write_leased(backend, space, "one")
        assert time.monotonic() - started < 10

    async def test_waiting_for_what_nobody_has_ends_at_once(self, backend: CacheBackend, space: str) -> None:
        with anyio.fail_after(5):
            await backend.wait_for_lease(space, "a", timeout_s=30)

    async def test_waiting_ends_with_its_timeout(self, backend: CacheBackend, space: str, pass_time: PassTime) -> None:
        assert await take(backend, space, "one")
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: backend.wait_for_lease(space, "a", timeout_s=SHORT_S))
                await anyio.lowlevel.checkpoint()
                await pass_time(SHORT_S * 1.2)
