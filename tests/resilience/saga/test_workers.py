"""Sagas that are run by workers, in this process and in others, on each of the queue's engines; some of them killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.connections.redis._servers import RedisServer
from tests.resilience.saga.saga_process import BAD, GOOD
from undercroft._core.url import Url
from undercroft.app._sagas import SAGA_QUEUE, build_sagas, saga_jobs
from undercroft.connections.redis import RedisConnection
from undercroft.queue import Engine, Queue, open_engine
from undercroft.resilience import Saga, SagaContext, Sagas, SagaState, StepRetry

pytestmark = pytest.mark.anyio
PROCESS = Path(__file__).with_name("saga_process.py")
ROOT = PROCESS.parents[3]
PATIENCE_S = 40.0

MEMORY = "memory"
SQLITE = "sqlite"
REDIS = pytest.param("redis", marks=pytest.mark.redis)


@pytest.fixture
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the queue is: of the backend that the test is given."""
    backend: str = request.param
    if backend == "redis":
        server: RedisServer = request.getfixturevalue("shared_server")
        async with RedisConnection(server.url) as connection:
            await connection.client.flushall()
        return server.url
    return "memory://" if backend == "memory" else f"sqlite:///{tmp_path}/queue.db"


everywhere = pytest.mark.parametrize("url", [MEMORY, SQLITE, REDIS], indirect=True)
across_processes = pytest.mark.parametrize("url", [SQLITE, REDIS], indirect=True)


@pytest.fixture
async def engine(url: str) -> Engine:
    return open_engine(Url.parse(url, what="queue"), what="queue")


@everywhere
async def test_sagas_are_run_by_a_worker(engine: Engine) -> None:
    runs: Counter[str] = Counter()

    async def act(ctx: SagaContext[Any]) -> int:
        runs[ctx.idempotency_key] += 1
        await anyio.sleep(0.001)
        return int(ctx.data)

    saga = Saga("order").step("a", act).step("b", act).step("c", act)
    sagas = build_sagas(engine, [saga])
    async with Queue(engine, jobs=saga_jobs(sagas)) as queue, queue.worker(concurrency=20):
        handles = [await sagas.start(saga, number, id=f"order-{number}") for number in range(100)]
        with anyio.fail_after(PATIENCE_S):
            results = [await handle.result() for handle in handles]

    assert [result.results for result in results] == [dict.fromkeys("abc", number) for number in range(100)]
    assert set(runs.values()) == {1}
    assert len(runs) == 300


@everywhere
async def test_saga_that_waits_leaves_its_place_to_others(engine: Engine) -> None:
    async def act(ctx: SagaContext[Any]) -> int:
        if ctx.attempt == 1:
            raise ConnectionError("not yet")
        return ctx.attempt

    waits = Saga("waits").step("a", act, retry=StepRetry(2, base="1500ms", jitter=False))
    quick = Saga("quick").step("a", act, retry=StepRetry(2, base=0))
    sagas = build_sagas(engine, [waits, quick])
    async with Queue(engine, jobs=saga_jobs(sagas)) as queue, queue.worker(concurrency=1):
        slow = await sagas.start(waits)
        await anyio.sleep(0.3)
        with anyio.fail_after(1.0):
            await (await sagas.start(quick)).result()
        assert await slow.state() is SagaState.RUNNING
        assert (await slow.result()).results == {"a": 2}


@everywhere
async def test_saga_goes_on_in_another_worker_when_its_worker_stops(engine: Engine) -> None:
    begun = anyio.Event()
    attempts: list[int] = []

    async def act(ctx: SagaContext[Any]) -> str:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            begun.set()
            await anyio.sleep_forever()
        return "done"

    saga = Saga("order").step("a", act, timeout=None)
    sagas = build_sagas(engine, [saga])
    async with Queue(engine, jobs=saga_jobs(sagas)) as queue:
        handle = await sagas.start(saga)
        async with queue.worker(grace=0):
            await begun.wait()
        info = await handle.info()
        assert info is not None
        assert [(step.outcome, step.attempts) for step in info.steps] == [("waiting", 1)]
        async with queue.worker():
            assert (await handle.result()).results == {"a": "done"}
    assert attempts == [1, 2]


@everywhere
async def test_saga_whose_job_is_cancelled_gets_another(engine: Engine) -> None:
    sagas = build_sagas(engine, [ECHO])
    async with Queue(engine, jobs=saga_jobs(sagas)) as queue:
        handle = await sagas.start(ECHO, 5)
        (job,) = (await queue.list_jobs(queue=SAGA_QUEUE)).jobs
        assert await engine.cancel(job.id, queue=SAGA_QUEUE)
        async with queue.worker():
            assert (await handle.result()).results == {"a": 5}


async def echo(ctx: SagaContext[Any]) -> Any:
    return ctx.data


ECHO = Saga("echo").step("a", echo)


# --- Processes that are killed --------------------------------------------------------------------------------------


class Processes:
    """Workers in processes of their own."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._effects = folder / "effects"
        self._effects.touch()
        self._all: list[subprocess.Popen[str]] = []

    async def start(self, *, lease: float = 30.0, **environ: str) -> subprocess.Popen[str]:
        """Start one and wait until it is up."""
        process = subprocess.Popen(
            [sys.executable, str(PROCESS), self._url, str(self._effects), str(lease)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environ},
        )
        self._all.append(process)
        assert process.stdout is not None
        # In a thread: to block this loop for seconds is to have its own connections time out.
        assert await anyio.to_thread.run_sync(process.stdout.readline) == "up\n"
        return process

    @property
    def effects(self) -> list[str]:
        """What the steps did, in order."""
        return self._effects.read_text().splitlines()

    async def saw(self, line: str) -> None:
        """Wait until a step has noted this."""
        with anyio.fail_after(PATIENCE_S):
            while line not in self.effects:
                await anyio.sleep(0.02)

    def end(self) -> None:
        for process in self._all:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def processes(url: str, tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(url, tmp_path)
    yield processes
    processes.end()


@pytest.fixture
async def sagas(engine: Engine) -> AsyncIterator[Sagas]:
    """What starts sagas and runs none."""
    sagas = build_sagas(engine, [GOOD, BAD])
    async with Queue(engine, jobs=saga_jobs(sagas)):
        yield sagas


@across_processes
async def test_saga_of_a_killed_process_goes_on_behind_its_last_step(sagas: Sagas, processes: Processes) -> None:
    killed = await processes.start(KILL_AT="s:b")
    handle = await sagas.start(GOOD, id="s")
    assert await anyio.to_thread.run_sync(killed.wait) == -signal.SIGKILL
    await processes.start()

    result = await handle.result(PATIENCE_S)

    assert result.results == {name: {"of": name} for name in "abc"}
    assert processes.effects == ["s:a 1", "s:a done", "s:b 1", "s:b 2", "s:b done", "s:c 1", "s:c done"]


@across_processes
async def test_undoing_goes_on_in_another_process(sagas: Sagas, processes: Processes) -> None:
    killed = await processes.start(KILL_AT="s:b:compensate")
    handle = await sagas.start(BAD, id="s")
    assert await anyio.to_thread.run_sync(killed.wait) == -signal.SIGKILL
    await processes.start()

    result = await handle.result(PATIENCE_S, check=False)

    assert result.state is SagaState.COMPENSATED
    assert processes.effects[4:] == [
        "s:b:compensate 1",
        "s:b:compensate 2",
        "s:b:compensate done",
        "s:a:compensate 1",
        "s:a:compensate done",
    ]


@pytest.mark.parametrize("url", [SQLITE], indirect=True)
@pytest.mark.slow
async def test_step_that_kills_every_process_is_undone(sagas: Sagas, processes: Processes) -> None:
    """The queue gives up the saga's job at the third crash; the saga gets another, and turns round."""
    handle = await sagas.start(GOOD, id="s")
    for _ in range(3):
        killed = await processes.start(KILL_AT="s:b")
        assert await anyio.to_thread.run_sync(killed.wait) == -signal.SIGKILL
    await processes.start()

    result = await handle.result(PATIENCE_S, check=False)

    assert result.state is SagaState.COMPENSATED
    assert result.error is not None
    assert result.error.type == "SagaStepCrashedError"
    outcomes = [(report.name, report.outcome) for report in result.compensations]
    assert outcomes == [("b", "ok"), ("a", "ok")]


@across_processes
@pytest.mark.slow
async def test_stopped_process_that_wakes_up_records_nothing(sagas: Sagas, processes: Processes) -> None:
    """Of two processes that are both in the middle of one step, the one whose lease ended is fenced off."""
    stopped = await processes.start(lease=2.0, HOLD_AT="s:b")
    handle = await sagas.start(GOOD, id="s")
    await processes.saw("s:b 1")
    stopped.send_signal(signal.SIGSTOP)
    await processes.start(lease=2.0)
    result = await handle.result(PATIENCE_S)
    before = await sagas.require("s")
    stopped.send_signal(signal.SIGCONT)
    stopped.terminate()
    await anyio.to_thread.run_sync(stopped.wait)

    assert result.state is SagaState.COMPLETED
    assert await sagas.require("s") == before
    assert processes.effects == ["s:a 1", "s:a done", "s:b 1", "s:b 2", "s:b done", "s:c 1", "s:c done"]
