"""Sixteen schedulers whose clocks disagree, for a week: every slot of every zone, and no other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from tests.queue.cron._oracle import firings, walk
from tests.queue.cron._world import START, World
from tests.queue.cron.test_year import ZONES
from undercroft._core.clock import VirtualClock
from undercroft.queue._cron._definition import CronJob, define_cron

pytestmark = pytest.mark.anyio

WEEK = 7 * 86400
BEFORE_THE_CHANGE = 1_774_483_200.0
"""2026-03-26T00:00Z: Berlin's clock is set forward, Casablanca's was on the 22nd."""


async def nothing() -> None: ...


class WrongClock:
    """A host's own clock: up to an hour off, and late by up to two seconds whenever it wakes somebody."""

    def __init__(self, store: VirtualClock, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._off_s = self._random.uniform(-3600, 3600)

    def time(self) -> float:
        return self._store.time() + self._off_s

    def monotonic(self) -> float:
        return self._store.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._store.sleep(seconds + self._random.choice([0.0, 0.0, 0.01, 2.0]))

    @contextmanager
    def cancel_after(self, seconds: float | None) -> Iterator[anyio.CancelScope]:
        with self._store.cancel_after(seconds) as scope:
            yield scope


def crons() -> list[CronJob[..., Any]]:
    daily = [
        define_cron(f"{kind}-{zone}", expression, tz=zone, handler=nothing, overlap="allow")
        for zone in ZONES
        for kind, expression in (("fixed", "30 2 * * *"), ("rhythm", "15 */8 * * *"))
    ]
    return [*daily, define_cron("every", every="97m", handler=nothing, overlap="allow")]


def expected(start: int) -> set[str]:
    ids = {f"cron-every-{slot}" for slot in range(start + 1, start + WEEK + 1) if slot % (97 * 60) == 0}
    for zone in ZONES:
        wall = walk(zone, start - 86400, start + WEEK + 60)
        for kind, expression in (("fixed", "30 2 * * *"), ("rhythm", "15 */8 * * *")):
            slots = [slot for slot in firings(expression, wall) if start < slot <= start + WEEK]
            ids |= {f"cron-{kind}-{zone}-{slot}" for slot in slots}
    return ids


@pytest.mark.timeout(120)
async def test_sixteen_schedulers_with_wrong_clocks_fire_each_slot_once() -> None:
    world = World(BEFORE_THE_CHANGE)
    async with anyio.create_task_group() as group:
        for seed in range(16):
            group.start_soon(world.crons(*crons(), clock=WrongClock(world.clock, seed)).scheduler(poll="1d").run)
        await anyio.wait_all_tasks_blocked()
        await world.clock.advance(WEEK + 3)  # the last of them may wake two seconds late
        group.cancel_scope.cancel()
    found = [job.id for job in await world.jobs()]
    assert set(found) == expected(int(BEFORE_THE_CHANGE))
    assert len(found) == len(set(found))
    assert {job.due_at <= job.created_at for job in await world.jobs()} == {True}  # none is early


async def test_schedulers_that_come_and_go_at_random_lose_no_slot() -> None:
    """At every moment at least one is at work; each of the others is killed and replaced within minutes."""
    world, chance = World(), random.Random(7)
    every_minute = define_cron("m", "* * * * *", handler=nothing, overlap="allow")

    async def come_and_go() -> None:
        while True:
            with anyio.CancelScope() as life:
                async with anyio.create_task_group() as group:
                    group.start_soon(world.crons(every_minute).scheduler(poll="10s").run)
                    await world.clock.sleep(chance.uniform(0, 150))
                    life.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(world.crons(every_minute).scheduler(poll="1h").run)
        for _ in range(4):
            group.start_soon(come_and_go)
        await world.at(6 * 3600)
        group.cancel_scope.cancel()
    assert await world.slots() == list(range(60, 6 * 3600 + 1, 60))
    assert world.clock.time() - 6 * 3600 == START
