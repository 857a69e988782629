"""Forks processes that count, for `test_processes`: `python _nursery.py SCENARIO DIRECTORY`. Prints one JSON object.

Not done in the test's own process: a fork of pytest would inherit its threads' locks.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from undercroft.monitoring import Counter, Gauge, Registry

LIVE, RECYCLES, EACH = 16, 200, 200


def forked(work: Callable[[], None]) -> int:
    """Run `work` in a child that then ends at once, and return the child's id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def counted(registry: Registry, name: str = "work_total") -> float:
    lines = (line.rpartition(" ") for line in registry.render_prometheus().splitlines() if line.startswith(name))
    return sum(float(number) for _, _, number in lines)


def slots(directory: Path) -> int:
    return len([path for path in directory.iterdir() if path.name != "lock"])


def recycle(directory: Path) -> dict[str, object]:
    """Keep workers alive, each counting; half of them end, half are killed while they count; scrape all the while."""
    luck = random.Random(7)
    progress = memoryview(mmap.mmap(-1, 8 * RECYCLES)).cast("Q")

    def work(number: int, *, is_endless: bool) -> None:
        registry = Registry()
        registry.attach(directory)
        while is_endless or progress[number] < EACH:
            registry.increment("work", 1, {"kind": str(progress[number] % 3)})
            progress[number] += 1

    scraper, scrapes, backwards, before, most, killed = Registry(), 0, 0, 0.0, 0, 0
    scraper.attach(directory)
    live: dict[int, bool] = {}
    started = 0
    while started < RECYCLES or live:
        while started < RECYCLES and len(live) < LIVE:
            is_endless = luck.random() < 0.5
            number, started = started, started + 1
            live[forked(lambda number=number, endless=is_endless: work(number, is_endless=endless))] = is_endless
        for pid in luck.sample(list(live), len(live) // 2 + 1):
            if live[pid]:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            os.waitpid(pid, 0)
            del live[pid]
        now = counted(scraper)
        scrapes, backwards, before = scrapes + 1, backwards + (now < before), now
        most = max(most, slots(directory))
    return {
        "did": sum(progress),
        "counted": counted(scraper),
        "killed": killed,
        "scrapes": scrapes,
        "backwards": backwards,
        "most_slots": most,
        "processes": LIVE + 1,
    }


def fork(directory: Path) -> dict[str, object]:
    """Fork an attached process: what does its child tell, and whose is what it counts?"""
    registry = Registry()
    registry.attach(directory)
    handle = Counter("work", labels=("kind",), registry=registry).labels("a")
    handle.increment(5)
    Gauge("waiting", registry=registry).set(3)
    told, tell = os.pipe()

    def child() -> None:
        first = [slots(directory), handle.value, counted(registry)]
        handle.increment(2)
        registry.increment("work", 1, {"kind": "b"})
        registry.gauge("waiting", 4)
        last = [slots(directory), handle.value, counted(registry), counted(registry, "waiting")]
        os.write(tell, json.dumps([first, last]).encode())

    os.waitpid(forked(child), 0)
    first, last = json.loads(os.read(told, 10_000))
    return {
        "child_before": first,
        "child_after": last,
        "parent": [slots(directory), handle.value, counted(registry), counted(registry, "waiting")],
    }


def orphan(directory: Path) -> dict[str, object]:
    """Kill an attached process whose child, which never counts, lives on: its segment must be free."""
    holding, hold = os.pipe()

    def parent() -> None:
        registry = Registry()
        registry.attach(directory)
        registry.increment("work")
        child = forked(lambda: time.sleep(30))
        os.write(hold, str(child).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(forked(parent), 0)
    child = int(os.read(holding, 100))
    registry = Registry()
    registry.attach(directory)
    os.kill(child, signal.SIGKILL)
    return {"slots": slots(directory), "counted": counted(registry)}


def unattached(directory: Path) -> dict[str, object]:
    """Fork a process that is not attached, as a server does that loads the application first; its children attach."""
    registry = Registry()
    registry.increment("work", 5)
    registry.gauge("loaded", 1)
    go, ready = os.pipe()

    def child() -> None:
        with registry.attach(directory):
            registry.increment("work")
            os.write(ready, b".")
            time.sleep(30)

    children = [forked(child) for _ in range(3)]
    for _ in children:
        os.read(go, 1)
    scraper = Registry()
    scraper.attach(directory)
    found = {"counted": counted(scraper), "loaded": counted(scraper, "loaded"), "own": registry.get_counter("work")}
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    return found


def stranded(directory: Path) -> dict[str, object]:
    """Fork an attached process whose directory becomes unusable: the child counts for itself."""
    registry = Registry()
    attachment = registry.attach(directory)
    registry.increment("work", 5)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    directory.write_text("")
    told, tell = os.pipe()

    def child() -> None:
        registry.increment("work", 2)
        registry.increment("work", 1, {"kind": "b"})
        found = [registry.get_counter("work"), counted(registry)]
        attachment.detach()
        registry.increment("work", 2)
        os.write(tell, json.dumps([*found, counted(registry)]).encode())

    os.waitpid(forked(child), 0)
    return {"child": json.loads(os.read(told, 10_000)), "parent": counted(registry)}


if __name__ == "__main__":
    scenario = {"recycle": recycle, "fork": fork, "orphan": orphan, "unattached": unattached, "stranded": stranded}[
        sys.argv[1]
    ]
    print(json.dumps(scenario(Path(sys.argv[2]))))
