"""A worker in a process of its own, for tests that kill it: `python worker_process.py URL RUNS [LEASE] [CONCURRENCY]`.

Each run appends `job-id attempt` to the file RUNS when it starts. Log lines go to stderr, with their fields.
`KILL_AT` in the environment names a point at which the process kills itself, as if somebody had sent it a SIGKILL:

    after_claim     jobs were handed out, and none has begun
    before_finish   a run has ended, and nobody was told
    in_finish       the outcome was sent, and no answer has come
    after_finish    the outcome was recorded, and the next job handed out
    in_beat         a heartbeat is under way

`KILL_AFTER` is how often that point is passed before (default 3).
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from undercroft._core.url import Url
from undercroft.queue import Job, Queue, current_job, define_job, open_engine
from undercroft.queue._values import ClaimedJob

_passed = 0


def note() -> None:
    with Path(sys.argv[2]).open("a") as runs:
        runs.write(f"{current_job().id} {current_job().attempt}\n")


async def quick() -> None:
    note()


async def short() -> None:
    note()
    await anyio.sleep(0.1)


async def hold_first() -> str:
    note()
    if current_job().attempt == 1:
        await anyio.sleep_forever()
    return "second run"


async def sleep(seconds: float) -> str:
    note()
    await anyio.sleep(seconds)
    return f"attempt {current_job().attempt}"


async def block(seconds: float) -> str:
    note()
    time.sleep(seconds)
    return f"attempt {current_job().attempt}"


async def die() -> None:
    note()
    os.kill(os.getpid(), signal.SIGKILL)


JOBS: list[Job[..., object]] = [
    define_job(name="quick", handler=quick),
    define_job(name="short", handler=short),
    define_job(name="hold", handler=hold_first, options={"timeout": None}),
    define_job(name="sleep", handler=sleep),
    define_job(name="block", handler=block),
    define_job(name="die", handler=die),
]


def pass_by(point: str) -> None:
    """Die here, if it is time."""
    global _passed
    if os.environ.get("KILL_AT") == point:
        _passed += 1
        if _passed > int(os.environ.get("KILL_AFTER", "3")):
            os.kill(os.getpid(), signal.SIGKILL)


class MortalPulse:
    def __init__(self, pulse: Any) -> None:
        self._pulse = pulse

    def beat(self, jobs: Sequence[ClaimedJob], *, lease_s: float) -> Any:
        pass_by("in_beat")
        return self._pulse.beat(jobs, lease_s=lease_s)

    def close(self) -> None:
        self._pulse.close()


class MortalEngine:
    """An engine that passes by the named points."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def __aenter__(self) -> None:
        await self._engine.__aenter__()

    async def __aexit__(self, *exc_info: object) -> None:
        await self._engine.__aexit__(*exc_info)

    async def claim(self, **kwargs: Any) -> Any:
        claim = await self._engine.claim(**kwargs)
        if claim.jobs:
            pass_by("after_claim")
        return claim

    async def finish(self, *args: Any, **kwargs: Any) -> Any:
        pass_by("before_finish")
        asked = asyncio.ensure_future(self._engine.finish(*args, **kwargs))
        for _ in range(2):  # it is on its way
            await asyncio.sleep(0)
        pass_by("in_finish")
        finished = await asked
        pass_by("after_finish")
        return finished

    def pulse(self, worker_id: str) -> Any:
        pulse = self._engine.pulse(worker_id)
        return None if pulse is None else MortalPulse(pulse)


class Lines(logging.Handler):
    """Prints each log line with the fields that tests look for."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: record.__dict__.get(name) for name in ("job", "jobs", "at", "error_text", "code")}
        print(record.levelname, record.getMessage(), fields, file=sys.stderr, flush=True)


async def main() -> None:
    logging.getLogger().addHandler(Lines())
    lease = float(sys.argv[3]) if len(sys.argv) > 3 else 30.0
    concurrency = int(sys.argv[4]) if len(sys.argv) > 4 else 4
    engine: Any = MortalEngine(open_engine(Url.parse(sys.argv[1], what="queue"), what="queue"))
    async with Queue(engine, jobs=JOBS) as queue:
        worker = queue.worker(concurrency=concurrency, lease=lease)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(worker.stop()))
        print("up", flush=True)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
