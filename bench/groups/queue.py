"""Jobs: how fast they are added, run and begun, and what that costs.

bullmq-py is bullmq's Python package, bullmq-node the original.

`BENCH_GROWTH_JOBS=1000000 make bench ARGS=queue` watches the worker's memory over a million jobs.
"""

import hashlib
import os

from bench._frame import ROOT, Group, Peer, Script, Work
from bench._goal import Goal, Limit

UVLOOP = "uvloop==0.23.0"
BULLMQ = ["bullmq==3.4.4", "hiredis>=3.2", UVLOOP]


def _measure(figure: str, contestant: str) -> Script:
    return Script("queue/measure.py", [figure, contestant])


def _ours_on_uvloop() -> list[str]:
    # The marker is always true. It makes another environment when the project's dependencies change.
    project = hashlib.sha256(str(ROOT).encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()[:12]
    return ["-e", ".[bullmq]", f"{UVLOOP}; platform_version != '{project}'"]


REQUIREMENTS = {
    "undercroft": _ours_on_uvloop(),
    "bullmq": BULLMQ,
    "bullmq-node": [],
    "repid": ["repid[redis]==2.1.4", "typing_extensions", "hiredis>=3.2", UVLOOP],
    "saq": ["saq[redis]==0.26.4", "typing_extensions", "hiredis>=3.2", UVLOOP],
    "taskiq-list": ["taskiq==0.13.0", "taskiq-redis==1.2.4", "hiredis>=3.2", UVLOOP],
    "taskiq-stream": ["taskiq==0.13.0", "taskiq-redis==1.2.4", "hiredis>=3.2", UVLOOP],
    "arq": ["arq==0.28.0", "hiredis>=3.2", UVLOOP],
    "dramatiq": ["dramatiq[redis]==2.2.1", "hiredis>=3.2"],
    "pgqueuer": ["pgqueuer[asyncpg]==1.6.0", UVLOOP],
    "huey": ["huey==3.5.4"],
    "blpop": ["redis>=8.1", "hiredis>=3.2"],
}


def _peer(figure: str, contestant: str) -> Peer:
    return Peer(_measure(figure, contestant), REQUIREMENTS[contestant])


NAMES = {
    "undercroft": "ours on uvloop",
    "bullmq": "bullmq-py",
    "taskiq-list": "taskiq, list",
    "taskiq-stream": "taskiq, stream",
    "arq": "arq, 10 ms poll",
    "blpop": "BLPOP",
}


def _peers(figure: str, *contestants: str) -> dict[str, Peer]:
    return {NAMES.get(each, each): _peer(figure, each) for each in contestants}


_DRAIN = {"drain": "first to last call of a handler that does nothing, all jobs added before", "payload": "110 B JSON"}


# On Redis


def _drain(against: str, *contestants: str, goal: Goal | None = None) -> Work:
    return Work(
        name=f"Redis drain: {against}",
        unit="jobs/s",
        ours=_measure("drain", "undercroft"),
        ours_extras=["bullmq"],
        peers=_peers("drain", *contestants),
        goal=goal,
        better="higher",
        settings=_DRAIN,
    )


DRAINS = [
    _drain("bullmq-py", "undercroft", "bullmq", goal=Goal(">=", 5, "bullmq-py")),
    _drain("repid", "repid", goal=Goal(">=", 1.3, "repid")),
    _drain("bullmq-node", "bullmq-node", goal=Goal(">=", 0.9, "bullmq-node")),
    _drain("others", "pgqueuer", "saq", "taskiq-list", "taskiq-stream", "arq", "dramatiq"),
]

ENQUEUES = [
    Work(
        name="Redis enqueue: bulk",
        unit="jobs/s",
        ours=_measure("bulk", "undercroft"),
        ours_extras=["bullmq"],
        peers=_peers("bulk", "undercroft", "bullmq", "bullmq-node"),
        goal=Goal(">=", 1.5, "bullmq-py"),
        better="higher",
        settings={"calls": "of 1000 jobs, one call at a time", "payload": "110 B JSON"},
    ),
    Work(
        name="Redis enqueue: 100 tasks",
        unit="jobs/s",
        ours=_measure("tasks", "undercroft"),
        ours_extras=["bullmq"],
        peers={
            **_peers("tasks", "undercroft"),
            "bullmq-py": _peer("one", "bullmq"),
            "bullmq-py, 100": _peer("tasks", "bullmq"),
        },
        goal=Goal(">=", 3, "bullmq-py"),
        better="higher",
        settings={
            "undercroft": "100 tasks, each adds one at a time and awaits it",
            "bullmq-py": "1 task, adds one at a time and awaits it",
            "bullmq-py, 100": "100 tasks, like ours",
            "payload": "110 B JSON",
        },
    ),
]

REDIS_LATENCY = Work(
    name="Redis idle latency",
    unit="ms",
    ours=_measure("latency", "undercroft"),
    ours_extras=["bullmq"],
    peers=_peers("latency", "blpop", "undercroft", "bullmq", "bullmq-node"),
    goal=Goal("<=", 1.5, "BLPOP"),
    better="lower",
    settings={
        "latency": "p50 from before the enqueue to the handler's first line; one job every 10 to 40 ms",
        "producer": "another process, everybody's",
        "BLPOP": "redis-py: RPUSH by one process, BLPOP by another; asyncio without uvloop, like ours",
    },
)


def _cost(what: str, figure: str) -> Work:
    return Work(
        name=f"Redis drain: {what} CPU, 10k jobs",
        unit="s",
        ours=_measure(figure, "undercroft"),
        ours_extras=["bullmq"],
        peers=_peers(figure, "bullmq", "bullmq-node"),
        better="lower",
        settings=_DRAIN,
    )


GROWTH = Work(
    name="Redis drain: growth, 100k jobs",
    unit="MB",
    ours=_measure("growth", "undercroft"),
    ours_extras=["bullmq"],
    goal=Limit("<=", 1),
    better="lower",
    settings={
        "growth": "slope of the worker's resident memory after the first fifth of the jobs",
        "jobs": os.environ.get("BENCH_GROWTH_JOBS", "200000, or $BENCH_GROWTH_JOBS"),
    },
    deadline_s=600,
)

REDIS = [
    *DRAINS,
    *ENQUEUES,
    REDIS_LATENCY,
    _cost("worker", "worker-cpu"),
    _cost("Redis", "redis-cpu"),
    GROWTH,
]

# On SQLite

_FULL = {"synchronous": "FULL", "huey": "fsync=True; it pops a job before running it"}


def _sqlite_latency(name: str, figure: str, limit_ms: float) -> Work:
    return Work(
        name=f"SQLite idle latency: {name}",
        unit="ms",
        ours=_measure(figure, "undercroft-sqlite"),
        peers=_peers(figure, "huey"),
        goal=Limit("<=", limit_ms),
        better="lower",
        settings={**_FULL, "latency": "p50 from before the enqueue to the handler's first line"},
    )


SQLITE = [
    Work(
        name="SQLite drain",
        unit="jobs/s",
        ours=_measure("drain", "undercroft-sqlite"),
        peers=_peers("drain", "huey"),
        goal=Goal(">=", 5, "huey"),
        better="higher",
        settings={**_DRAIN, **_FULL},
    ),
    _sqlite_latency("same process", "latency-here", 2),
    _sqlite_latency("other process", "latency", 25),
]

# Stopping


def _stop(name: str, ours: str, *peers: str) -> Work:
    return Work(
        name=f"{name} idle worker's stop",
        unit="ms",
        ours=_measure("stop", ours),
        ours_extras=["bullmq"],
        peers=_peers("stop", *peers),
        goal=Limit("<=", 100),
        better="lower",
        settings={"idle": "for 1.3 s after one job"},
    )


STOPS = [
    _stop("Redis", "undercroft", "bullmq", "bullmq-node"),
    _stop("SQLite", "undercroft-sqlite", "huey"),
]

GROUP = Group("queue", [*REDIS, *SQLITE, *STOPS])
