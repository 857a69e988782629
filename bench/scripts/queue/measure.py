"""Measure one figure of one contestant: `measure.py FIGURE CONTESTANT`, run by the contestant's own interpreter.

Producer and worker are processes of their own (`side.py`); this one starts the store and them, and watches. Figures:

- `drain`: jobs a second of one worker process, from the first call of the handler to the last. All jobs were added
  before; so the acknowledgements of the last few jobs are not in it, for nobody.
- `worker-cpu`, `redis-cpu`: CPU seconds for 10 000 jobs of such a drain, of the worker between those two calls, of the
  Redis server from the worker's start to shortly after the last call.
- `growth`: megabytes by which the worker's resident memory grows in 100 000 jobs: the slope after the first fifth.
- `bulk`, `one`, `tasks`: jobs added a second, in calls of 1000; one at a time, each awaited; so by each of 100 tasks.
- `latency`: median milliseconds from before the enqueue to the handler's first line, one job every 10 to 40 ms, an idle
  worker. The producer is another process; with `latency-here` it is the same.
- `stop`: milliseconds that stopping an idle worker takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import node
import stores
from stores import Store

HERE = Path(__file__).parent
IS_QUICK = bool(os.environ.get("BENCH_QUICK"))
QUICK_JOBS, QUICK_WAYS = 300, 20
WAYS = 100
TASKS = 100
GROWTH_JOBS = int(os.environ.get("BENCH_GROWTH_JOBS", "200000"))
_SETTLE_S = 0.3
Figure = tuple[float, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who is measured, and with how many jobs: a drain, and adding them, should take 1 to 3 seconds each."""

    program: str
    drain: int
    add: int = 10_000
    """For `bulk`."""
    one: int = 10_000
    """For `one` and `tasks`."""
    store: Callable[[], AbstractContextManager[Store]] = stores.redis
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        return ["node" if self.program.endswith(".js") else sys.executable, str(HERE / self.program)]

    def environ(self) -> dict[str, str]:
        paths = {"NODE_PATH": str(node.modules())} if self.program.endswith(".js") else {}
        return {**os.environ, **self.env, **paths}


CONTESTANTS = {
    "undercroft": Contestant("ours.py", drain=30_000, add=40_000, one=30_000),
    "undercroft-sqlite": Contestant("ours.py", drain=40_000, store=stores.sqlite),
    "bullmq": Contestant("peer_bullmq.py", drain=5_000, add=30_000),
    "bullmq-node": Contestant("peer_bullmq.js", drain=30_000, add=30_000),
    "repid": Contestant("peer_repid.py", drain=15_000),
    "saq": Contestant("peer_saq.py", drain=5_000),
    "taskiq-list": Contestant("peer_taskiq.py", drain=6_000, env={"BENCH_BROKER": "list"}),
    "taskiq-stream": Contestant("peer_taskiq.py", drain=6_000, env={"BENCH_BROKER": "stream"}),
    "arq": Contestant("peer_arq.py", drain=5_000),
    "dramatiq": Contestant("peer_dramatiq.py", drain=8_000),
    "pgqueuer": Contestant("peer_pgqueuer.py", drain=30_000, store=stores.postgres),
    "huey": Contestant("peer_huey.py", drain=5_000, store=stores.sqlite),
    "blpop": Contestant("peer_blpop.py", drain=0),
}


class SideError(RuntimeError):
    """A contestant's process ended without a figure; the text is the last that it said."""


class Process:
    """A contestant's own process."""

    def __init__(self, contestant: Contestant, command: str, store: Store, *numbers: int) -> None:
        self._what = f"{contestant.program} {command}"
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            [*contestant.command(), command, store.url, *map(str, numbers)],
            env=contestant.environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )

    def answer(self) -> dict[str, Any]:
        """Return the next object that it prints; other lines are somebody's log."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        code = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().strip().splitlines() or ["it said nothing"]
        raise SideError(f"{self._what} ended with {code}: {lines[-1]}")

    def go(self) -> None:
        """Let a producer begin that waits for a line."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._complaints.close()


@contextmanager
def running(contestant: Contestant, command: str, store: Store, *numbers: int) -> Iterator[Process]:
    process = Process(contestant, command, store, *numbers)
    try:
        yield process
    finally:
        process.end()


def answer(contestant: Contestant, command: str, store: Store, *numbers: int) -> dict[str, Any]:
    with running(contestant, command, store, *numbers) as process:
        return process.answer()


# Figures


def drained(contestant: Contestant, store: Store, jobs: int) -> tuple[dict[str, Any], dict[str, object]]:
    """Fill and drain; return what the worker said, and settings with everything that was seen."""
    jobs = QUICK_JOBS if IS_QUICK else jobs
    answer(contestant, "fill", store, jobs)
    before = store.cpu_s()
    with running(contestant, "work", store, jobs) as worker:
        said = worker.answer()
        time.sleep(_SETTLE_S)  # the last acknowledgements are work for the server, too
        after = store.cpu_s()
    said["per_s"] = said["jobs"] / said["seconds"]
    said["worker_cpu"] = said["cpu_s"] / said["jobs"] * 10_000
    if before is not None and after is not None:
        said["redis_cpu"] = (after - before) / jobs * 10_000
    seen = {name: round(said[name], 3) for name in ("per_s", "worker_cpu", "redis_cpu", "resident_mb") if name in said}
    return said, {**said["settings"], "jobs": jobs, "processes": 1, **seen}


def drain(figure: str) -> Callable[[Contestant, Store], Figure]:
    def measured(contestant: Contestant, store: Store) -> Figure:
        said, settings = drained(contestant, store, GROWTH_JOBS if figure == "growth_mb" else contestant.drain)
        return said[figure], settings

    return measured


def add(command: str, *tasks: int) -> Callable[[Contestant, Store], Figure]:
    def measured(contestant: Contestant, store: Store) -> Figure:
        jobs = QUICK_JOBS if IS_QUICK else contestant.add if command == "fill" else contestant.one
        said = answer(contestant, command, store, jobs, *tasks)
        return said["jobs"] / said["seconds"], {**said["settings"], "jobs": jobs}

    return measured


def latency(contestant: Contestant, store: Store) -> Figure:
    ways = QUICK_WAYS if IS_QUICK else WAYS
    with running(contestant, "hear", store, ways) as worker, running(contestant, "pace", store, ways) as producer:
        worker.answer()  # ready
        producer.go()
        return way(worker.answer())


def latency_here(contestant: Contestant, store: Store) -> Figure:
    with running(contestant, "both", store, QUICK_WAYS if IS_QUICK else WAYS) as process:
        process.answer()  # ready
        return way(process.answer())


def way(said: dict[str, Any]) -> Figure:
    return said["p50_ms"], {**said["settings"], "jobs": said["jobs"], "p99_ms": round(said["p99_ms"], 3)}


def stop(contestant: Contestant, store: Store) -> Figure:
    said = answer(contestant, "stop", store)
    return said["stop_ms"], said["settings"]


FIGURES: dict[str, Callable[[Contestant, Store], Figure]] = {
    "drain": drain("per_s"),
    "worker-cpu": drain("worker_cpu"),
    "redis-cpu": drain("redis_cpu"),
    "growth": drain("growth_mb"),
    "bulk": add("fill"),
    "one": add("tasks", 1),
    "tasks": add("tasks", TASKS),
    "latency": latency,
    "latency-here": latency_here,
    "stop": stop,
}


def main(figure: str, name: str) -> None:
    contestant = CONTESTANTS[name]
    with contestant.store() as store:
        value, settings = FIGURES[figure](contestant, store)
        settings["store"] = store.described
    print(json.dumps({"value": value, "settings": settings}))


if __name__ == "__main__":
    main(*sys.argv[1:])
