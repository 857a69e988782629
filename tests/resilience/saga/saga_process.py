"""A worker in a process of its own, for tests that kill it: `python saga_process.py URL EFFECTS [LEASE]`.

Each run of a step appends `key attempt` to the file EFFECTS when it begins, and `key done` when it has had its effect.
`KILL_AT` in the environment is the key of a step or compensation in the middle of which the process kills itself, as if
somebody had sent it a SIGKILL; `HOLD_AT` one in the middle of which it waits for ever.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio

from undercroft._core.url import Url
from undercroft.app._sagas import build_sagas, saga_jobs
from undercroft.queue import Queue, open_engine
from undercroft.resilience import CompensationContext, Saga, SagaContext, StepRefusedError


def note(line: str) -> None:
    with Path(sys.argv[2]).open("a") as effects:
        effects.write(f"{line}\n")


async def step(ctx: SagaContext[Any]) -> dict[str, str]:
    note(f"{ctx.idempotency_key} {ctx.attempt}")
    if os.environ.get("KILL_AT") == ctx.idempotency_key:
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("HOLD_AT") == ctx.idempotency_key:
        await anyio.sleep_forever()
    await anyio.sleep(0.01)
    note(f"{ctx.idempotency_key} done")
    return {"of": ctx.step}


async def undo(ctx: CompensationContext[Any]) -> None:
    note(f"{ctx.idempotency_key} {ctx.attempt}")
    if os.environ.get("KILL_AT") == ctx.idempotency_key:
        os.kill(os.getpid(), signal.SIGKILL)
    assert ctx.result == (None if ctx.is_uncertain else {"of": ctx.step})
    note(f"{ctx.idempotency_key} done")


async def refuse(ctx: SagaContext[Any]) -> None:
    raise StepRefusedError("no")


GOOD = Saga("good").step("a", step, compensate=undo).step("b", step, compensate=undo).step("c", step, compensate=undo)
BAD = Saga("bad").step("a", step, compensate=undo).step("b", step, compensate=undo).step("c", refuse)


async def main() -> None:
    lease = float(sys.argv[3]) if len(sys.argv) > 3 else 30.0
    engine = open_engine(Url.parse(sys.argv[1], what="queue"), what="queue")
    sagas = build_sagas(engine, [GOOD, BAD])
    async with Queue(engine, jobs=saga_jobs(sagas)) as queue:
        worker = queue.worker(concurrency=4, lease=lease, grace="1s")
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(worker.stop()))
        print("up", flush=True)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
