"""What a contestant's own processes do. `ours.py` and each `peer_*.py` say how it is done there, and call `main`.

    ours.py fill URL JOBS         add jobs as fast as it goes, in bulk where there is a call for that
    ours.py tasks URL JOBS TASKS  add jobs from so many tasks, each awaiting one at a time
    ours.py work URL JOBS         run jobs: the time from the first call of the handler to the last, CPU, memory
    ours.py hear URL JOBS         run jobs that come one by one: the time from just before the enqueue to the handler
    ours.py pace URL JOBS         add such jobs
    ours.py both URL JOBS         the last two in one process
    ours.py stop URL              stop an idle worker

`measure.py` starts them. Each prints one JSON object; `work` and `hear` then go on until they are killed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Payload = dict[str, Any]
Hit = Callable[[Payload], None]
"""What the handler calls with its payload, and nothing else."""

BULK = 1000
_TOGETHER = 50
_PAUSE_S = (0.01, 0.04)
_SAMPLES = 50
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Producer:
    """How jobs are added."""

    one: Callable[[Payload], Awaitable[object]]
    many: Callable[[Sequence[Payload]], Awaitable[object]] | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """A contestant. What it cannot do, or is not asked, is `None`."""

    producer: Callable[[str], AbstractAsyncContextManager[Producer]]
    consume: Callable[[str, Hit], Coroutine[Any, Any, None]]
    """Works until it is cancelled or the process is killed."""
    settings: dict[str, object] = field(default_factory=dict)
    together: Callable[[str, Hit], AbstractAsyncContextManager[Producer]] | None = None
    """A producer, with a consumer at work in the same process."""
    stop: Callable[[str], Coroutine[Any, Any, float]] | None = None
    """Start a worker, let it become idle, stop it: how many seconds the stop took."""


def payload(number: int) -> Payload:
    """Return about 110 bytes of JSON; `t` is now, in nanoseconds."""
    return {
        "user_id": 100_000 + number,
        "email": "someone@example.com",
        "template": "welcome",
        "lang": "en",
        "t": time.time_ns(),
    }


def main(side: Side) -> None:
    """Run the command that the arguments name, under uvloop if this environment has it."""
    command, url, *numbers = sys.argv[1:]
    commands: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "fill": _fill,
        "tasks": _tasks,
        "work": _work,
        "hear": _hear,
        "pace": _pace,
        "both": _both,
        "stop": _stop,
    }
    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(commands[command](side, url, *map(int, numbers)))
        os._exit(0)  # some clients' threads have no end of their own


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _say(side: Side, **values: object) -> None:
    loop = "asyncio" if _loop() is None else "uvloop"
    print(json.dumps({**values, "settings": {**side.settings, "loop": loop}}), flush=True)


# Adding


async def _fill(side: Side, url: str, jobs: int) -> None:
    async with side.producer(url) as producer:
        await producer.one(payload(0))  # connected
        left = [payload(number) for number in range(1, jobs)]
        start = time.perf_counter()
        if producer.many is not None:
            for batch in _batches(left, BULK):
                await producer.many(batch)
        else:
            for batch in _batches(left, _TOGETHER):
                await asyncio.gather(*map(producer.one, batch))
        _say(side, seconds=time.perf_counter() - start, jobs=jobs - 1)


async def _tasks(side: Side, url: str, jobs: int, tasks: int) -> None:
    async def some(payloads: Sequence[Payload]) -> None:
        for each in payloads:
            await producer.one(each)

    async with side.producer(url) as producer:
        await producer.one(payload(0))
        shares = list(_batches([payload(number) for number in range(jobs)], jobs // tasks))
        start = time.perf_counter()
        await asyncio.gather(*map(some, shares))
        _say(side, seconds=time.perf_counter() - start, jobs=jobs)


def _batches(payloads: Sequence[Payload], size: int) -> list[Sequence[Payload]]:
    return [payloads[first : first + size] for first in range(0, len(payloads), size)]


# Running


async def _work(side: Side, url: str, jobs: int) -> None:
    await side.consume(url, Meter(side, jobs).hit)


class Meter:
    """Takes the time at the first and the last call, and the memory now and then. Called from any thread."""

    def __init__(self, side: Side, jobs: int) -> None:
        self._side = side
        self._jobs = jobs
        self._every = max(1, jobs // _SAMPLES)
        self._numbers = itertools.count(1)
        self._start = self._start_cpu = 0.0
        self._memory: list[tuple[int, float]] = []

    def hit(self, _: Payload) -> None:
        number = next(self._numbers)
        if number == 1:
            self._start, self._start_cpu = time.perf_counter(), time.process_time()
        if number % self._every == 0:
            self._memory.append((number, _resident_mb()))
        if number == self._jobs:
            self._report()

    def _report(self) -> None:
        seconds, cpu_s = time.perf_counter() - self._start, time.process_time() - self._start_cpu
        settled = self._memory[len(self._memory) // 5 :]  # the first fifth fills caches and pools
        slope = statistics.linear_regression(*zip(*settled, strict=True)).slope if len(settled) > 2 else 0.0
        _say(
            self._side,
            seconds=seconds,
            jobs=self._jobs - 1,
            cpu_s=cpu_s,
            growth_mb=slope * 100_000,
            resident_mb=round(self._memory[-1][1], 1),
        )


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6


# Waiting


class Stopwatch:
    """Says `ready` at the first job, takes the way of the following ones, reports after the last."""

    def __init__(self, side: Side, jobs: int) -> None:
        self.is_ready = asyncio.Event()
        self.is_done = asyncio.Event()
        self._side = side
        self._jobs = jobs
        self._loop = asyncio.get_running_loop()
        self._ways_ms: list[float] = []

    def hit(self, sent: Payload) -> None:
        now = time.time_ns()
        if not self.is_ready.is_set():
            self._loop.call_soon_threadsafe(self.is_ready.set)
            print(json.dumps({"ready": True}), flush=True)
            return
        self._ways_ms.append((now - sent["t"]) / 1e6)
        if len(self._ways_ms) == self._jobs:
            ways = sorted(self._ways_ms)
            p50, p99 = statistics.median(ways), ways[int(len(ways) * 0.99)]
            _say(self._side, p50_ms=p50, p99_ms=p99, jobs=self._jobs)
            self._loop.call_soon_threadsafe(self.is_done.set)


async def _hear(side: Side, url: str, jobs: int) -> None:
    await side.consume(url, Stopwatch(side, jobs).hit)


async def _pace(side: Side, url: str, jobs: int) -> None:
    async with side.producer(url) as producer:
        await producer.one(payload(0))  # connected: this one is what `hear` says `ready` at
        await asyncio.to_thread(sys.stdin.readline)
        await _add_slowly(producer, jobs)
        await asyncio.to_thread(sys.stdin.read)


async def _both(side: Side, url: str, jobs: int) -> None:
    assert side.together is not None
    watch = Stopwatch(side, jobs)
    async with side.together(url, watch.hit) as producer:
        await producer.one(payload(0))
        await watch.is_ready.wait()
        await _add_slowly(producer, jobs)
        await watch.is_done.wait()


async def _add_slowly(producer: Producer, jobs: int) -> None:
    for number in range(jobs):
        await asyncio.sleep(random.uniform(*_PAUSE_S))
        await producer.one(payload(number))


# Stopping


async def _stop(side: Side, url: str) -> None:
    assert side.stop is not None
    _say(side, stop_ms=await side.stop(url) * 1000)
