"""What tests of an application, and of a backend of one's own, are made of.

    from undercroft.testing import VirtualClock

    clock = VirtualClock()
    async with create_queue(url, jobs=[remind], clock=clock) as queue:
        await remind.with_(delay="7d").enqueue(1)
        await clock.advance("7d")
        assert await queue.worker().drain() == 1

`undercroft.testing.conformance` has the promises of each backend protocol as test classes.
"""

from undercroft._core.clock import VirtualClock

__all__ = ["VirtualClock"]
