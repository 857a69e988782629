"""Kill workers while they work, and count what becomes of the jobs: `drill.py CONTESTANT OUTCOME FOLDER`.

200 jobs of one second, two worker processes of four slots each; six times, alternately, a whole worker process is ended
by SIGKILL every 1.5 to 2.5 seconds (spread evenly), and started again at once. Everything is the library's default.
Then it is watched until every job is completed in its store, 150 seconds at most.

`OUTCOME` `seconds` runs a drill and appends what came of it to a file in `FOLDER`; its value is the time from the first
start of a job to the last end. The first call only warms up: no kills, and nothing is recorded. The other outcomes run
nothing; their value is the worst of the drills recorded so far:

- `completed`: jobs that the store holds as completed at the end.
- `lost`: jobs whose handler never came to its end.
- `rerun`: runs that began, less the jobs. Six kills of four slots allow 24.
- `twice`: runs that came to their end, less the jobs that did.
- `last`: seconds from the last kill to the last end of a run.
- `least`: what that would be at the least, were all slots at work on what was left from the very moment of the kill.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

sys.path.append(str(Path(__file__).parents[1] / "queue"))

import stores
from stores import Store

HERE = Path(__file__).parent
SEED = 4
SLOTS = 8
"""Of both workers together."""
WATCH_S = 150.0
_READY_S = 30.0
_QUIET_S = 1.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    jobs: int
    job_s: float
    kills: int
    pause_s: tuple[float, float] = (1.5, 2.5)


WARM_UP = Plan(jobs=16, job_s=0.1, kills=0)
QUICK = Plan(jobs=40, job_s=0.5, kills=1)
FULL = Plan(jobs=200, job_s=1.0, kills=6)

CONTESTANTS: dict[str, tuple[str, Callable[[], AbstractContextManager[Store]]]] = {
    "redis": ("ours.py", stores.redis),
    "sqlite": ("ours.py", stores.sqlite),
    "bullmq": ("peer_bullmq.py", stores.redis),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    seed: int
    seconds: float
    completed: int
    lost: int
    rerun: int
    twice: int
    last: float
    least: float


# What the workers write down


@dataclass(frozen=True, slots=True)
class Line:
    """A run that began or came to its end. `kill -9` cannot take a line back that was written."""

    at: float
    event: str
    job: int
    pid: int


class Log:
    """The file that all workers append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self) -> list[Line]:
        complete = self.path.read_text().rpartition("\n")[0]
        return [Line(**json.loads(line)) for line in complete.splitlines()]

    def ended(self) -> set[int]:
        return {line.job for line in self.lines() if line.event == "end"}


# The workers


class Workers:
    """Two worker processes. A program of a contestant has the commands `fill`, `work` and `count`."""

    def __init__(self, program: str, store: Store, log: Log, plan: Plan) -> None:
        self._program = [sys.executable, str(HERE / program)]
        self._store = store
        self._log = log
        self._plan = plan
        self._complaints = log.path.with_name("complaints").open("w")
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._run("fill", str(self._plan.jobs))
        self._processes = [self._start(), self._start()]
        self._wait_until_both_work()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            _kill(process)

    def restart_by_kill(self, number: int) -> float:
        """Kill a worker, start another in its place; return the instant of the kill."""
        killed_at = time.time()
        _kill(self._processes[number])
        self._processes[number] = self._start()
        return killed_at

    def completed(self) -> int:
        """Ask the store how many jobs it holds as completed."""
        return int(json.loads(self._run("count"))["completed"])

    def _run(self, command: str, *args: str) -> str:
        call = [*self._program, command, self._store.url, *args]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {(done.stderr.strip() or 'it said nothing').splitlines()[-1]}")
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._program, "work", self._store.url, str(self._log.path), str(self._plan.job_s)],
            stdin=subprocess.DEVNULL,
            stdout=self._complaints,
            stderr=self._complaints,
        )

    def _wait_until_both_work(self) -> None:
        deadline = time.monotonic() + _READY_S
        while len({line.pid for line in self._log.lines()}) < 2:
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._processes):
                said = self._log.path.with_name("complaints").read_text().strip().splitlines() or ["nothing"]
                raise RuntimeError(f"the workers did not begin to work; they said: {said[-1]}")
            time.sleep(_POLL_S)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


# A drill


def _pauses(plan: Plan, rng: random.Random) -> list[float]:
    """Return the waits before each kill: spread evenly over their range, in a random order.

    Even, so that the last kill always comes at the same time: how long the rest takes afterwards hangs on that more
    than on anything a queue does. With eight slots, what is left of 200 seconds of work needs about 14.5 of them.
    """
    least, most = plan.pause_s
    pauses = [least + (most - least) * (kill + 0.5) / plan.kills for kill in range(plan.kills)]
    rng.shuffle(pauses)
    return pauses


def drill(contestant: str, plan: Plan, seed: int) -> Outcome:
    """Fill a new store, kill, watch, count."""
    program, make_store = CONTESTANTS[contestant]
    pauses = _pauses(plan, random.Random(seed))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd()))
        log = Log(Path(folder) / "log")
        workers = stack.enter_context(Workers(program, stack.enter_context(make_store()), log, plan))
        last_kill_at = log.lines()[0].at
        for number in range(plan.kills):
            time.sleep(pauses[number])
            last_kill_at = workers.restart_by_kill(number % 2)
        completed = _watch(workers, log, plan)
        return _outcome(log, plan, seed=seed, completed=completed, last_kill_at=last_kill_at)


def _watch(workers: Workers, log: Log, plan: Plan) -> int:
    """Return how many jobs are completed: when all are, or at the end of the watch."""
    deadline = time.monotonic() + WATCH_S
    while len(log.ended()) < plan.jobs and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    while (completed := workers.completed()) < plan.jobs and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    time.sleep(_QUIET_S)  # would anything run again?
    return completed


def _outcome(log: Log, plan: Plan, *, seed: int, completed: int, last_kill_at: float) -> Outcome:
    starts = [line for line in log.lines() if line.event == "start"]
    ends = [line for line in log.lines() if line.event == "end"]
    last_end_at = max(line.at for line in ends)
    done = {line.job for line in ends if line.at <= last_kill_at}
    return Outcome(
        seed=seed,
        seconds=round(last_end_at - starts[0].at, 2),
        completed=completed,
        lost=plan.jobs - len(log.ended()),
        rerun=len(starts) - plan.jobs,
        twice=len(ends) - len(log.ended()),
        last=round(last_end_at - last_kill_at, 2),
        least=math.ceil((plan.jobs - len(done)) / (SLOTS)) * plan.job_s,
    )


# The outcomes of all drills of a measurement


class Records:
    """The outcomes of a contestant's drills so far; a file, for each is run by a process of its own."""

    def __init__(self, folder: Path, contestant: str) -> None:
        folder.mkdir(exist_ok=True)
        self._path = folder / f"{contestant}.jsonl"

    def is_warm(self) -> bool:
        """Tell whether this was asked before."""
        was_there = self._path.exists()
        self._path.touch()
        return was_there

    def add(self, outcome: Outcome) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def all(self) -> list[Outcome]:
        return [Outcome(**json.loads(line)) for line in self._path.read_text().splitlines()]


def seconds(contestant: str, records: Records) -> float:
    if not records.is_warm():
        return drill(contestant, WARM_UP, SEED).seconds
    plan = QUICK if os.environ.get("BENCH_QUICK") else FULL
    outcome = drill(contestant, plan, SEED + len(records.all()))
    records.add(outcome)
    return outcome.seconds


def worst(outcome: str, records: Records) -> float:
    values = [float(getattr(each, outcome)) for each in records.all()]
    if not values:
        raise RuntimeError("no drill came to its end")
    return min(values) if outcome == "completed" else max(values)


def main(contestant: str, outcome: str, folder: str) -> None:
    records = Records(Path(folder), contestant)
    value = seconds(contestant, records) if outcome == "seconds" else worst(outcome, records)
    drills = [asdict(each) for each in records.all()]
    print(json.dumps({"value": value, "settings": {"drills": drills}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
