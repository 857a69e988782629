"""What is left of 200 jobs when workers are killed while they work: `bench/scripts/kill/drill.py`.

A drill takes about a minute, so `--rounds 1` is enough to know whether the promises hold. Counts are the worst of all
drills, never a median: one lost job is one too many. `BENCH_PEERS=1` lets bullmq's own Python client through the
same drill, which takes two to three minutes each time.
"""

import atexit
import os
import shutil
import tempfile
import time

from bench._frame import Group, Peer, Script, Work
from bench._goal import Better, Limit
from bench.groups.queue import BULLMQ

_SETTINGS = {
    "drill": "200 jobs of 1 s, 2 worker processes of 4 slots, 6 x SIGKILL of a whole process, restarted at once",
    "pauses": "1.5 to 2.5 s between kills, spread evenly, in an order that is seeded",
    "library settings": "defaults",
    "counts": "the worst of all drills",
}
# Takes the drills' outcomes from one process to the next.
_FOLDER = f"{tempfile.gettempdir()}/undercroft-bench-kills-{os.getpid()}-{time.time_ns()}"
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def _drill(contestant: str, outcome: str) -> Script:
    return Script("kill/drill.py", [contestant, outcome, _FOLDER])


def _peers(engine: str, outcome: str) -> dict[str, Peer]:
    if engine != "redis" or not os.environ.get("BENCH_PEERS"):
        return {}
    return {"bullmq-py": Peer(_drill("bullmq", outcome), BULLMQ)}


def _all(name: str, engine: str) -> Work:
    return Work(
        name=f"{name}, all of a drill",
        unit="s",
        ours=_drill(engine, "seconds"),
        ours_extras=["bullmq"],
        peers=_peers(engine, "seconds"),
        better="lower",
        settings=_SETTINGS,
        deadline_s=300,
    )


def _least(name: str, engine: str) -> Work:
    return Work(
        name=name,
        unit="s",
        ours=_drill(engine, "least"),
        ours_extras=["bullmq"],
        peers={},
        better="lower",
        settings=_SETTINGS,
    )


def _outcome(name: str, engine: str, outcome: str, unit: str, goal: Limit, *, better: Better = "lower") -> Work:
    return Work(
        name=name,
        unit=unit,
        ours=_drill(engine, outcome),
        ours_extras=["bullmq"],
        peers=_peers(engine, outcome),
        goal=goal,
        better=better,
        settings=_SETTINGS,
    )


def _works(name: str, engine: str) -> list[Work]:
    return [
        _all(name, engine),
        _outcome(f"{name}, completed", engine, "completed", "jobs", Limit(">=", 200), better="higher"),
        _outcome(f"{name}, lost", engine, "lost", "jobs", Limit("<=", 0)),
        _outcome(f"{name}, re-run", engine, "rerun", "runs", Limit("<=", 24)),
        _outcome(f"{name}, completed twice", engine, "twice", "runs", Limit("<=", 0)),
        _outcome(f"{name}, last after the last kill", engine, "last", "s", Limit("<=", 15)),
        _least(f"{name}, the least that could be", engine),
    ]


GROUP = Group("kill", [*_works("Redis", "redis"), *_works("SQLite", "sqlite")])
