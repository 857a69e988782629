"""What a cached value, a rate limit, a lock and a breaker cost, and how often a crowd computes."""

from bench._frame import Group, Peer, Script, Work
from bench._goal import Goal, Limit

_REDIS_PY = ["redis>=8.1", "hiredis>=3"]
_SERVER = "on this machine, port $REDIS_PORT or 6379"
_VALUE = "a dict of six fields, 142 bytes of JSON"
_HOW = {"one": "1", "many": "20"}


def _peer(path: str, name: str, *arguments: str, requires: list[str]) -> Peer:
    return Peer(Script(path, [name, *arguments]), requires)


# Cache


def _sqlite_get(name: str, how: str, goal: Goal | None) -> Work:
    path = "cache/cache_sqlite.py"
    return Work(
        name=name,
        unit="us",
        ours=Script(path, ["undercroft", how]),
        peers={"diskcache": _peer(path, "diskcache", how, requires=["diskcache>=5.6"])},
        goal=goal,
        better="lower",
        settings={
            "value": _VALUE,
            "diskcache": "its default, pickle; "
            + ("a plain call that blocks its thread" if how == "one" else "in asyncio's threads"),
            "tasks": _HOW[how],
        },
    )


def _redis_get(name: str, how: str) -> Work:
    path = "cache/cache_redis.py"
    return Work(
        name=name,
        unit="us",
        ours=Script(path, ["undercroft", how]),
        ours_extras=["redis"],
        peers={"redis-py": _peer(path, "redis-py", how, requires=_REDIS_PY)},
        goal=Goal("<=", 1.3, "redis-py"),
        better="lower",
        settings={"server": _SERVER, "value": _VALUE, "tasks": _HOW[how], "redis-py": "GET and json.loads"},
    )


def _stampede(where: str, waiters: str) -> Work:
    return Work(
        name=f"1 000 on a cold key, {where}",
        unit="computes",
        ours=Script("cache/cache_stampede.py", [where]),
        ours_extras=["redis"] if where == "redis" else (),
        goal=Limit("<=", 1),
        better="lower",
        settings={"waiters": waiters, "computing takes": "50 ms"},
    )


_MEMORY = "cache/cache_memory.py"
CACHE = [
    Work(
        name="memory get",
        unit="us",
        ours=Script(_MEMORY, ["undercroft"]),
        peers={
            "cashews": _peer(_MEMORY, "cashews", requires=["cashews>=7.4"]),
            "aiocache": _peer(_MEMORY, "aiocache", requires=["aiocache>=0.12"]),
        },
        goal=Goal("<=", 0.5, "fastest"),
        better="lower",
        settings={
            "value": _VALUE,
            "peers": "as they come: both hand out the object that was stored; ours decodes a new one each time",
        },
    ),
    _sqlite_get("SQLite get", "one", Goal("<=", 1, "diskcache")),
    _sqlite_get("SQLite get, 20 tasks", "many", None),
    _redis_get("Redis get", "one"),
    _redis_get("Redis get, 20 tasks", "many"),
    _stampede("memory", "tasks of one process"),
    _stampede("sqlite", "250 tasks in each of four processes"),
    _stampede("redis", "250 tasks in each of four processes"),
]

# Rate limits


def _limiter_memory(name: str, how: str) -> Work:
    path = "cache/limiter_memory.py"
    return Work(
        name=name,
        unit="us",
        ours=Script(path, ["undercroft", how]),
        peers={
            "limits": _peer(path, "limits", how, requires=["limits>=5"]),
            "throttled-py": _peer(path, "throttled-py", how, requires=["throttled-py>=3"]),
        },
        goal=Goal("<=", 0.7, "fastest"),
        better="lower",
        settings={
            "kind": "a fixed window, which all have; asynchronous, in memory",
            "answers": "limits: yes or no; throttled-py and ours: what is left, and when; ours counts a metric too",
        },
    )


def _limiter_redis(name: str, how: str) -> Work:
    path = "cache/limiter_redis.py"
    return Work(
        name=name,
        unit="us",
        ours=Script(path, ["undercroft", how]),
        ours_extras=["redis"],
        peers={"redis-py": _peer(path, "redis-py", how, requires=_REDIS_PY)},
        goal=Goal("<=", 1.3, "redis-py"),
        better="lower",
        settings={
            "server": _SERVER,
            "kind": "a token bucket by the server's clock",
            "tasks": _HOW[how],
            "redis-py": "EVALSHA of the shortest script that decides the same; its answer unread",
        },
    )


LIMITS = [
    _limiter_memory("memory limiter, allowed", "allowed"),
    _limiter_memory("memory limiter, refused", "refused"),
    _limiter_redis("Redis limiter", "one"),
    _limiter_redis("Redis limiter, 20 tasks", "many"),
]

# Locks

LOCKS = [
    Work(
        name="Redis lock, acquire and release",
        unit="us",
        ours=Script("cache/lock_undercroft.py"),
        ours_extras=["redis"],
        peers={"redis-py": Peer(Script("cache/lock_redis_py.py"), _REDIS_PY)},
        goal=Goal("<=", 1.5, "redis-py"),
        better="lower",
        settings={
            "server": _SERVER,
            "round trips": "2, both",
            "redis-py": "no fencing token, no renewal, no cancellation of a holder that lost its lease",
        },
    )
]

# Breakers


def _breaker(name: str, where: str) -> Work:
    return Work(
        name=name,
        unit="us",
        ours=Script("cache/breaker_undercroft.py", [where]),
        peers={"purgatory": Peer(Script("cache/breaker_purgatory.py"), ["purgatory>=3"])},
        goal=Goal("<=", 1, "purgatory"),
        better="lower",
        settings={
            "value": "what a closed breaker adds to a bare await of an async function, by its decorator",
            "ours": "of this process alone" if where == "local" else "shared, over a store in memory",
            "purgatory": "its factory as documented, in memory",
        },
    )


BREAKERS = [_breaker("breaker, one call", "local"), _breaker("breaker, one call, shared", "shared")]

GROUP = Group("cache", [*CACHE, *LIMITS, *LOCKS, *BREAKERS])
