"""Tags: versions that are made, kept, replaced, and never come back."""

from __future__ import annotations

import anyio

from undercroft.cache import CacheBackend
from undercroft.testing.conformance.cache._base import LONG_S, SHORT_S, PassTime, Promises, put


async def versions(backend: CacheBackend, space: str, *tags: str) -> tuple[bytes | None, ...]:
    return (await backend.read(space, [], tags)).versions


class TagPromises(Promises):
    async def test_a_tag_has_no_version_before_it_is_made(self, backend: CacheBackend, space: str) -> None:
        assert await versions(backend, space, "a", "b") == (None, None)

    async def test_a_version_stays_until_the_tag_is_invalidated(self, backend: CacheBackend, space: str) -> None:
        made = await backend.ensure_tags(space, ["a", "b"], ttl_s=LONG_S)
        assert await backend.ensure_tags(space, ["b", "a"], ttl_s=LONG_S) == made[::-1]
        assert await versions(backend, space, "a", "b", "c") == (*made, None)
        await backend.invalidate_tags(space, ["a"])
        after = await versions(backend, space, "a", "b")
        assert after[0] != made[0]
        assert after[1] == made[1]

    async def test_a_version_is_short_ascii_text(self, backend: CacheBackend, space: str) -> None:
        for version in await backend.ensure_tags(space, ["a", "é ✓", "x" * 256], ttl_s=None):
            assert 0 < len(version) <= 64
            assert version.isascii()

    async def test_no_version_is_used_twice(self, backend: CacheBackend, space: str) -> None:
        seen: set[bytes] = set()
        for _ in range(20):
            seen.add((await backend.ensure_tags(space, ["a"], ttl_s=LONG_S))[0])
            await backend.invalidate_tags(space, ["a"])
        seen.update(await backend.ensure_tags(space, ["b", "c"], ttl_s=LONG_S))
        assert len(seen) == 22

    async def test_a_version_does_not_end_before_its_time(
        self, backend: CacheBackend, space: str, pass_time: PassTime
    ) -> None:
        made = await backend.ensure_tags(space, ["long", "forever"], ttl_s=SHORT_S)
        await backend.ensure_tags(space, ["long"], ttl_s=LONG_S)
        await backend.ensure_tags(space, ["forever"], ttl_s=None)
        await backend.ensure_tags(space, ["long", "forever"], ttl_s=SHORT_S)  # never takes away what is left
        await pass_time(SHORT_S * 1.2)
        assert await versions(backend, space, "long", "forever") == made

    async def test_entries_and_versions_are_read_together(self, backend: CacheBackend, space: str) -> None:
        await put(backend, space, a=b"1", t=b"2")
        (made,) = await backend.ensure_tags(space, ["t"], ttl_s=LONG_S)
        read = await backend.read(space, ["t", "a"], ["a", "t"])
        assert (read.values, read.versions) == ((b"2", b"1"), (None, made))

    async def test_clear_leaves_versions_alone(self, backend: CacheBackend, space: str) -> None:
        made = await backend.ensure_tags(space, ["a"], ttl_s=LONG_S)
        await backend.clear(space)
        assert await versions(backend, space, "a") == made

    async def test_what_is_made_at_once_is_made_once(self, backend: CacheBackend, space: str) -> None:
        made: set[bytes] = set()

        async def ensure() -> None:
            made.update(await backend.ensure_tags(space, ["a"], ttl_s=LONG_S))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ensure)
        assert len(made) == 1

    async def test_invalidating_what_is_not_there_is_harmless(self, backend: CacheBackend, space: str) -> None:
        await backend.invalidate_tags(space, ["a"])
        await backend.invalidate_tags(space, [])
        assert await backend.ensure_tags(space, [], ttl_s=LONG_S) == ()
