"""What every store of sagas promises, as tests. Subclass it in your own suite and give it two fixtures:

    class TestMyStore(SagaStoreConformance):
        @pytest.fixture
        async def store(self):
            async with MyStore() as store:
                yield store

        @pytest.fixture
        def jobs(self, store):
            async def jobs() -> list[str]: ...   # the ids of the jobs that were enqueued, in any order

            return jobs

The store is open and empty. Needs pytest with anyio's plugin.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio
import pytest

from undercroft.resilience import SagaStore, StoredSaga

Jobs = Callable[[], Awaitable[list[str]]]


class SagaStoreConformance:
    """The promises of `SagaStore`."""

    pytestmark = pytest.mark.anyio

    async def test_saga_is_written_and_read(self, store: SagaStore) -> None:
        data = '{"text":"grüße \\u0000"}'.encode()

        assert await store.load("größe:7") is None
        assert await store.save("größe:7", data, version=0)

        assert await store.load("größe:7") == StoredSaga(1, data)

    async def test_saga_is_changed_by_its_version_only(self, store: SagaStore) -> None:
        assert await store.save("a", b"1", version=0)

        assert not await store.save("a", b"8", version=0)
        assert not await store.save("a", b"8", version=2)
        assert await store.save("a", b"2", version=1)
        assert not await store.save("a", b"8", version=1)

        assert await store.load("a") == StoredSaga(2, b"2")

    async def test_saga_that_is_not_there_has_no_other_version(self, store: SagaStore) -> None:
        assert not await store.save("a", b"1", version=1)
        assert not await store.save("a", None, version=1)

        assert await store.load("a") is None

    async def test_saga_is_deleted_by_its_version(self, store: SagaStore) -> None:
        await store.save("a", b"1", version=0)

        assert not await store.save("a", None, version=2)
        assert await store.save("a", None, version=1)

        assert await store.load("a") is None
        assert await store.save("a", b"2", version=0)

    async def test_saga_and_its_job_are_written_in_one_step(self, store: SagaStore, jobs: Jobs) -> None:
        job_id = store.new_id()

        assert await store.save("a", b"1", version=0, job_id=job_id)

        assert await jobs() == [job_id]

    async def test_job_of_a_refused_write_is_not_enqueued(self, store: SagaStore, jobs: Jobs) -> None:
        await store.save("a", b"1", version=0)

        assert not await store.save("a", b"2", version=0, job_id=store.new_id())

        assert await jobs() == []

    async def test_of_many_writers_of_one_version_one_wins(self, store: SagaStore, jobs: Jobs) -> None:
        wins: list[tuple[int, str]] = []

        async def contend(number: int) -> None:
            job_id = store.new_id()
            if await store.save("a", str(number).encode(), version=0, job_id=job_id):
                wins.append((number, job_id))

        async with anyio.create_task_group() as tasks:
            for number in range(64):
                tasks.start_soon(contend, number)

        ((number, job_id),) = wins
        assert await store.load("a") == StoredSaga(1, str(number).encode())
        assert await jobs() == [job_id]

    async def test_writers_of_different_sagas_do_not_disturb_each_other(self, store: SagaStore) -> None:
        async def write(number: int) -> None:
            for version in range(10):
                assert await store.save(f"saga-{number}", b"%d" % version, version=version)

        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(write, number)

        assert [await store.load(f"saga-{number}") for number in range(16)] == [StoredSaga(10, b"9")] * 16

    async def test_sagas_are_listed_in_pages_and_none_is_left_out(self, store: SagaStore) -> None:
        wanted = {f"saga-{number}": StoredSaga(1, b'"%d"' % number + b" " * 100) for number in range(150)}
        for saga_id, saga in wanted.items():
            await store.save(saga_id, saga.data, version=0)

        page = await store.list(limit=20)
        found = dict(page.sagas)
        while page.cursor is not None:
            page = await store.list(limit=20, cursor=page.cursor)
            found.update(page.sagas)

        assert found == wanted

    async def test_list_of_nothing_is_empty(self, store: SagaStore) -> None:
        page = await store.list(limit=5)

        assert (dict(page.sagas), page.cursor) == ({}, None)

    async def test_ids_are_never_the_same(self, store: SagaStore) -> None:
        assert len({store.new_id() for _ in range(1000)}) == 1000

    async def test_waiting_for_a_job_that_does_not_end_has_its_limit(self, store: SagaStore) -> None:
        job_id = store.new_id()
        await store.save("a", b"1", version=0, job_id=job_id)
        started = time.monotonic()

        await store.wait_for_end(job_id, timeout=0.2)

        assert time.monotonic() - started < 5.0
