"""What about a Redis server's own settings endangers jobs."""

from __future__ import annotations

from undercroft.queue._values import Advice
from undercroft.queue.redis._store import Store

_DURING_A_CRASH = "what was enqueued since its last snapshot is lost when it ends"


async def advice(store: Store) -> list[Advice]:
    """See `Engine.advice`. By `INFO`, which servers allow that forbid `CONFIG`; of a cluster, one node's."""
    reply: bytes = await store.command("INFO")
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    facts = {name: value.strip() for name, _, value in lines}
    found = []
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        message = f"maxmemory-policy is {policy}: Redis deletes jobs, and parts of them, when its memory is full"
        found.append(Advice(message=message, hint="set maxmemory-policy noeviction, and watch used_memory"))
    if facts.get("aof_enabled") == "0":
        message = f"appendonly is off: {_DURING_A_CRASH}"
        found.append(Advice(message=message, hint="set appendonly yes, unless jobs may be lost"))
    return found
