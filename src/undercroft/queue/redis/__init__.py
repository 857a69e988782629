"""The queue on Redis is BullMQ's (https://bullmq.io): its unmodified Lua scripts on its keys, driven by our own loop.

    from undercroft._core.url import Url
    from undercroft.queue.redis import RedisQueue

    async with RedisQueue.from_url(Url.parse("redis://jobs:6379/0")) as engine: ...

Node's `Queue` and `Worker` of the npm package `bullmq`, and every dashboard for it, work on the same queues at the same
time. URLs are those of `undercroft.connections.redis` with one option more, `prefix`: BullMQ's prefix of all keys,
`bull`, and `{bull}` on a cluster, where all keys of a prefix lie in one slot.

`_keys` names keys · `_scripts` finds the scripts · `_pipe` carries the commands of many tasks over one connection ·
`_store` runs commands, scripts and transactions in our errors · `_options` is a job's stored form · `_adding`,
`_claiming`, `_finishing`, `_leases`, `_waiting` are the life of a job · the rest looks at jobs and queues.
"""

from undercroft.queue.redis._engine import RedisQueue

__all__ = ["RedisQueue"]
