"""What every cache promises, as tests. Subclass them in your own suite and give them a fixture:

    class TestMyBackend(CacheBackendConformance):
        @pytest.fixture
        async def backend(self, clock):
            async with MyBackend(clock=clock) as backend:
                yield backend

    class TestCacheOnMine(CacheConformance):
        @pytest.fixture
        def make_backend(self, clock):
            store = MyStore()
            return lambda: MyBackend(store, clock=clock)    # several of them, as of several processes

The store may hold other things: every test has a space of its own. `clock` is a `VirtualClock` from which the backend
must take its instants; override `pass_time`, and `clock` for the facade, when advancing it does not move all of the
backend's time. `machine.CacheMachine`
is a Hypothesis state machine over two caches on one store. Needs pytest with anyio's plugin.
"""

from __future__ import annotations

from undercroft.testing.conformance.cache._base import PassTime
from undercroft.testing.conformance.cache._entries import EntryPromises, SpacePromises, StorePromises
from undercroft.testing.conformance.cache._facade import CacheConformance, Counting, MakeBackend
from undercroft.testing.conformance.cache._leases import LeasePromises
from undercroft.testing.conformance.cache._outages import CacheOutageConformance
from undercroft.testing.conformance.cache._tags import TagPromises

__all__ = [
    "CacheBackendConformance",
    "CacheConformance",
    "CacheOutageConformance",
    "Counting",
    "MakeBackend",
    "PassTime",
]


class CacheBackendConformance(EntryPromises, SpacePromises, TagPromises, LeasePromises, StorePromises):
    """The promises of `CacheBackend`, one test each."""
