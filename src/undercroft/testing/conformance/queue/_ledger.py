"""The ledger: small documents, changed only by who has seen the last version."""

from __future__ import annotations

import anyio

from undercroft.queue._protocol import Engine
from undercroft.queue._values import Counts, Deduplication, Entry
from undercroft.testing.conformance.queue._base import NewJobs, Promises, claim, worker


class LedgerPromises(Promises):
    """The ledger."""

    async def test_entry_is_written_and_read(self, engine: Engine) -> None:
        data = '{"v":1,"text":"grüße \x00"}'.encode()

        assert await engine.save_entry("default", "cron:größe", data, version=0)

        assert await engine.entries("default") == {"cron:größe": Entry(1, data)}

    async def test_entry_is_changed_by_its_version_only(self, engine: Engine) -> None:
        assert await engine.save_entry("default", "a", b"1", version=0)

        assert not await engine.save_entry("default", "a", b"x", version=0)
        assert not await engine.save_entry("default", "a", b"x", version=2)
        assert await engine.save_entry("default", "a", b"2", version=1)
        assert not await engine.save_entry("default", "a", b"x", version=1)

        assert await engine.entries("default") == {"a": Entry(2, b"2")}

    async def test_entry_that_is_not_there_has_no_other_version(self, engine: Engine) -> None:
        assert not await engine.save_entry("default", "a", b"1", version=1)
        assert not await engine.save_entry("default", "a", None, version=1)

        assert await engine.entries("default") == {}

    async def test_entry_is_deleted(self, engine: Engine) -> None:
        await engine.save_entry("default", "a", b"1", version=0)

        assert not await engine.save_entry("default", "a", None, version=3)
        assert await engine.save_entry("default", "a", None, version=1)

        assert await engine.entries("default") == {}
        assert await engine.save_entry("default", "a", b"2", version=0)

    async def test_entries_are_found_by_the_beginning_of_their_key(self, engine: Engine) -> None:
        for key in ("cron:a", "cron:b", "cron_x", "cron", "Cron:c", "my cron:d"):
            await engine.save_entry("default", key, key.encode(), version=0)

        assert sorted(await engine.entries("default", prefix="cron:")) == ["cron:a", "cron:b"]
        assert sorted(await engine.entries("default", prefix="cron_")) == ["cron_x"]
        assert await engine.entries("default", prefix="%") == {}
        assert await engine.entries("default", prefix="cron:*") == {}
        assert len(await engine.entries("default")) == 6

    async def test_one_entry_is_read_by_its_key(self, engine: Engine) -> None:
        assert await engine.entry("default", "größe") is None
        await engine.save_entry("default", "größe", b"1", version=0)
        await engine.save_entry("default", "größer", b"x", version=0)
        await engine.save_entry("default", "größe", b"2", version=1)

        assert await engine.entry("default", "größe") == Entry(2, b"2")
        assert await engine.entry("mail", "größe") is None

        await engine.save_entry("default", "größe", None, version=2)
        assert await engine.entry("default", "größe") is None

    async def test_entries_are_listed_in_pages_and_none_is_left_out(self, engine: Engine) -> None:
        wanted = {f"saga-{number}": Entry(1, b'"%d"' % number + b" " * 100) for number in range(250)}
        for key, entry in wanted.items():
            await engine.save_entry("default", key, entry.data, version=0)
        await engine.save_entry("mail", "other", b"1", version=0)

        found, sizes = await _pages(engine, "default", limit=20)

        assert found == wanted
        assert len(sizes) > 3, f"in pages, and not at once: {sizes}"

    async def test_list_of_an_empty_ledger_ends_at_once(self, engine: Engine) -> None:
        assert await _pages(engine, "default", limit=5) == ({}, [0])

    async def test_entries_of_two_queues_are_apart(self, engine: Engine) -> None:
        await engine.save_entry("default", "a", b"1", version=0)

        assert await engine.entries("mail") == {}
        assert await engine.save_entry("mail", "a", b"2", version=0)

    async def test_entry_and_jobs_are_written_in_one_step(self, engine: Engine, jobs: NewJobs) -> None:
        new = [jobs(), jobs.later(60)]

        assert await engine.save_entry("default", "a", b"1", version=0, jobs=new)

        assert await engine.counts() == Counts(waiting=1, delayed=1)
        async with worker(engine) as me:
            assert [job.id for job in await claim(engine, me)] == [new[0].id]

    async def test_entry_and_one_job_of_any_kind_are_written_in_one_step(self, engine: Engine, jobs: NewJobs) -> None:
        held = Deduplication(key="k")
        kinds = [
            jobs(),
            jobs.later(60),
            jobs(priority=5),
            jobs(lifo=True),
            jobs(lifo=True, priority=5),
            jobs(deduplication=held),
            jobs(deduplication=held),
        ]
        for version, new in enumerate(kinds):
            assert not await engine.save_entry("default", "a", b"no", version=version + 1, jobs=[new])
            assert await engine.save_entry("default", "a", b"%d" % version, version=version, jobs=[new])

        assert await engine.entry("default", "a") == Entry(7, b"6")
        assert await engine.counts() == Counts(waiting=5, delayed=1)

    async def test_jobs_of_a_refused_write_are_not_added(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.save_entry("default", "a", b"1", version=0)

        assert not await engine.save_entry("default", "a", b"2", version=0, jobs=[jobs()])

        assert await engine.counts() == Counts()

    async def test_job_that_is_there_already_is_not_added_again(self, engine: Engine, jobs: NewJobs) -> None:
        new = jobs()
        await engine.add([new])

        assert await engine.save_entry("default", "a", b"1", version=0, jobs=[new, jobs()])

        assert await engine.counts() == Counts(waiting=2)

    async def test_deleting_may_add_jobs_too(self, engine: Engine, jobs: NewJobs) -> None:
        await engine.save_entry("default", "a", b"1", version=0)

        assert await engine.save_entry("default", "a", None, version=1, jobs=[jobs()])

        assert await engine.counts() == Counts(waiting=1)

    async def test_of_many_writers_of_one_version_one_wins(self, engine: Engine, jobs: NewJobs) -> None:
        wins: list[int] = []

        async def contend(number: int) -> None:
            if await engine.save_entry("default", "a", str(number).encode(), version=0, jobs=[jobs(), jobs()]):
                wins.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(64):
                tasks.start_soon(contend, number)

        assert len(wins) == 1
        assert await engine.entries("default") == {"a": Entry(1, str(wins[0]).encode())}
        assert await engine.counts() == Counts(waiting=2)

    async def test_ledger_is_no_job(self, engine: Engine) -> None:
        await engine.save_entry("default", "a", b"1", version=0)

        assert await engine.counts() == Counts()
        assert await engine.get("a") is None
        async with worker(engine) as me:
            assert await claim(engine, me, names=["a", "job"]) == ()


async def _pages(engine: Engine, queue: str, *, limit: int) -> tuple[dict[str, Entry], list[int]]:
    """Return all that the pages of a ledger hold, and how much each of them did."""
    page = await engine.list_entries(queue, limit=limit)
    found, sizes = dict(page.entries), [len(page.entries)]
    while page.cursor is not None:
        page = await engine.list_entries(queue, limit=limit, cursor=page.cursor)
        found.update(page.entries)
        sizes.append(len(page.entries))
    return found, sizes
