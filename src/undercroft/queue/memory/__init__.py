"""The queue in this process: the reference for what every engine does, and the engine of tests.

Plain data structures in one event loop, no threads and no I/O: every step is one piece of code that does not await.
What it holds ends with the process. Workers of the same process share one engine object, and time comes from the clock
alone, so a virtual one drives leases, delays and rate limits.

    _engine.py      the engine: one short method for each promise
    _store.py       what may become of a job, from being added to being deleted
    _lines.py       one queue: states, limits, deduplication keys
    _jobs.py        a stored job, and the indexes that hold them
    _adding.py, _working.py, _lists.py, _retention.py, _events.py, _waiters.py
                    one subject each

URL: `memory://`.
"""

from undercroft.queue.memory._engine import MemoryQueue

__all__ = ["MemoryQueue"]
