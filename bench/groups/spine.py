"""The parts that every application pays for: importing, the middleware around each request, the queue."""

from bench._frame import Group, Peer, Script, Work
from bench._goal import Goal, Margin


def _import(statement: str) -> Script:
    return Script("spine/import_time.py", [statement])


_FRESH = {"interpreter": "a fresh one for each import, bytecode cached, time of the statement alone"}

IMPORTS = [
    Work(
        name="import undercroft",
        unit="ms",
        ours=_import("import undercroft"),
        peers={"asyncio": Peer(_import("import asyncio"))},
        goal=Margin("<=", 15, "asyncio"),
        better="lower",
        settings=_FRESH,
    ),
    Work(
        name="from undercroft import Infra",
        unit="ms",
        ours=_import("from undercroft import Infra"),
        peers={"asyncio": Peer(_import("import asyncio"))},
        better="lower",
        settings=_FRESH,
    ),
]


def _middleware(which: str) -> Script:
    return Script("spine/middleware.py", [which])


MIDDLEWARE = [
    Work(
        name="one request",
        unit="us",
        ours=_middleware("undercroft"),
        peers={
            "bare ASGI": Peer(_middleware("bare")),
            "BaseHTTPMiddleware": Peer(_middleware("starlette"), ["starlette>=1.0", "httpx2"]),
        },
        goal=Goal("<=", 1, "BaseHTTPMiddleware"),
        better="lower",
        settings={"called": "directly, no server", "log lines": "one JSON line a request into memory"},
    )
]


def _sqlite(work: str, synchronous: str) -> Work:
    arguments = [work, synchronous]
    return Work(
        name=f"{work} on SQLite, synchronous={synchronous}",
        unit="jobs/s",
        ours=Script("spine/sqlite_queue_undercroft.py", arguments),
        peers={"huey": Peer(Script("spine/sqlite_queue_huey.py", arguments), ["huey>=3.5"])},
        better="higher",
        settings={"drain": "first to last handler call", "enqueue": "ours from 100 tasks, huey from 8 threads"},
    )


SQLITE_QUEUE = [
    _sqlite("drain", "full"),
    _sqlite("drain", "normal"),
    _sqlite("enqueue", "full"),
]

GROUP = Group("spine", [*IMPORTS, *MIDDLEWARE, *SQLITE_QUEUE])
