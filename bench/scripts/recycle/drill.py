"""Recycle worker processes that count into one directory, and look at what a scrape says: `drill.py OUTCOME FOLDER`.

10 000 processes are forked one after another, 64 alive at once. Each attaches the directory, counts 50 times in one of
eight label sets, observes 10 values and lives on for 0.3 s; then every third ends itself by SIGKILL, the others exit.
What each counted is known, since it counts before it dies and the parent waits for it. Meanwhile this one scrapes 20
times a second.

`OUTCOME` `seconds` runs the drill and appends what came of it to a file in `FOLDER`. The first call only warms up. The
other outcomes run nothing; their value is the worst of the drills recorded so far: `lost` (counts that the last scrape
does not have, or has twice), `backwards` (scrapes in which a counter was less than before), `files`, `p99` (of the
scrapes, in milliseconds of wall clock, while two cores are busy with the workers).
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from undercroft.monitoring import attach, increment, observe, render_prometheus

ALIVE = 64
COUNTS = 50
LIVES_S = 0.3
_EACH_S = 0.05


def work(number: int) -> None:
    """Be one worker: count, and end."""
    for _ in range(COUNTS):
        increment("drill_orders", labels={"shop": str(number % 8), "method": "card"})
    for value in range(10):
        observe("drill_seconds", value / 10)
    time.sleep(LIVES_S)
    if number % 3 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def total(text: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("drill_orders_total{"))


def drill(processes: int) -> dict[str, float]:
    """Recycle so many processes, and return every outcome."""
    started, scrapes, backwards, last, due = time.perf_counter(), [], 0, 0.0, 0.0
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, attach(folder):
        alive: set[int] = set()
        for number in range(processes):
            pid = os.fork()
            if pid == 0:
                work(number)
            alive.add(pid)
            while len(alive) >= ALIVE:
                alive.discard(os.waitpid(-1, 0)[0])
            if time.perf_counter() >= due:
                due = time.perf_counter() + _EACH_S
                began = time.perf_counter()
                text = render_prometheus()
                scrapes.append((time.perf_counter() - began) * 1000)
                backwards += total(text) < last
                last = total(text)
        while alive:
            alive.discard(os.waitpid(-1, 0)[0])
        lost = abs(processes * COUNTS - total(render_prometheus()))
        files = len(list(Path(folder).glob("*.metrics")))
    p99 = sorted(scrapes)[math.ceil(0.99 * len(scrapes)) - 1]
    return {"seconds": time.perf_counter() - started, "lost": lost, "backwards": backwards, "files": files, "p99": p99}


def main(outcome: str, folder: str) -> None:
    path = Path(folder) / "outcomes.jsonl"
    is_first = not path.exists()
    path.parent.mkdir(exist_ok=True)
    if outcome == "seconds":
        found = drill(200 if is_first or os.environ.get("BENCH_QUICK") else 10_000)
        with path.open("a") as file:
            file.write("" if is_first else f"{json.dumps(found)}\n")
        value = found["seconds"]
    else:
        value = max(json.loads(line)[outcome] for line in path.read_text().splitlines())
    print(json.dumps({"value": value, "settings": {"alive": ALIVE, "counts each": COUNTS}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
