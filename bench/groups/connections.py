"""What the connections cost on top of the clients they are made of."""

from bench._frame import Group, Peer, Script, Work
from bench._goal import Goal

# Redis


def _redis_get(name: str, how: str, tasks: str) -> Work:
    return Work(
        name=name,
        unit="us",
        ours=Script("connections/redis_get.py", ["undercroft", how]),
        ours_extras=["redis"],
        peers={"redis-py": Peer(Script("connections/redis_get.py", ["redis-py", how]), ["redis>=8.1", "hiredis>=3"])},
        goal=Goal("<=", 1.1, "redis-py"),
        better="lower",
        settings={"server": "on this machine, port $REDIS_PORT or 6379", "tasks": tasks, "value": "100 bytes"},
    )


REDIS = [
    _redis_get("Redis GET", "one", "1"),
    _redis_get("Redis GET, 20 tasks", "many", "20, over 20 connections"),
]

# Pub/Sub


def _publish(name: str, batches: str) -> Work:
    return Work(
        name=name,
        unit="messages/s",
        ours=Script("connections/pubsub_publish_undercroft.py", [batches]),
        ours_extras=["pubsub"],
        peers={
            "google-cloud-pubsub": Peer(
                Script("connections/pubsub_publish_google.py", [batches]),
                ["google-cloud-pubsub>=2.44", "msgspec", "anyio"],
            )
        },
        goal=Goal(">=", 1, "google-cloud-pubsub"),
        better="higher",
        settings={
            "server": "undercroft.testing.pubsub_server, in a process of its own",
            "message": "100 bytes, awaited",
        },
    )


PUBSUB = [
    _publish("Pub/Sub publish, each client's own batching", "default"),
    _publish("Pub/Sub publish, batches of 100", "100"),
]

# SQL


def _sql_select(dialect: str, extras: list[str], requirements: list[str]) -> Work:
    return Work(
        name=f"SQL select of one row, {dialect}",
        unit="us",
        ours=Script("connections/sql_select_undercroft.py", [dialect]),
        ours_extras=extras,
        peers={
            "SQLAlchemy": Peer(
                Script("connections/sql_select_sqlalchemy.py", [dialect]), ["sqlalchemy[asyncio]>=2.1", *requirements]
            )
        },
        goal=Goal("<=", 1.1, "SQLAlchemy"),
        better="lower",
        settings={
            "each": "a session, one select by primary key, the rollback at its end; one task, a warm pool",
            "server": "on this machine, port $MARIADB_PORT or 3306, $POSTGRES_PORT or 5432",
            "SQLAlchemy": "with its defaults: on SQLite it begins no transaction for a select, ours always does",
        },
    )


SQL = [
    _sql_select("sqlite", ["sql"], ["aiosqlite>=0.22"]),
    _sql_select("mariadb", ["sql", "mysql"], ["asyncmy>=0.2.10", "cryptography"]),
    _sql_select("postgresql", ["sql", "postgres"], ["asyncpg>=0.30"]),
]

GROUP = Group("connections", [*REDIS, *SQL, *PUBSUB])
