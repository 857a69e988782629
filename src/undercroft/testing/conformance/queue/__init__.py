"""What every queue engine promises, as tests. Subclass it in your own suite and give it a fixture:

    class TestMyEngine(QueueEngineConformance):
        @pytest.fixture
        async def engine(self, clock):
            async with MyEngine(clock=clock) as engine:
                yield engine

The engine is empty for each test. `clock` is a `VirtualClock` from which the engine must take its instants; override
`pass_time` when advancing it does not move all of the engine's time (leases that a server counts down). Needs pytest
with anyio's plugin.
"""

from __future__ import annotations

from undercroft.testing.conformance.queue._adding import AddingPromises
from undercroft.testing.conformance.queue._base import NewJobs, PassTime
from undercroft.testing.conformance.queue._crashes import CrashPromises
from undercroft.testing.conformance.queue._deduplication import DeduplicationPromises
from undercroft.testing.conformance.queue._events import EventPromises
from undercroft.testing.conformance.queue._flows import FlowPromises
from undercroft.testing.conformance.queue._keeping import KeepingPromises
from undercroft.testing.conformance.queue._ledger import LedgerPromises
from undercroft.testing.conformance.queue._limits import LimitPromises
from undercroft.testing.conformance.queue._lists import ListPromises
from undercroft.testing.conformance.queue._one_job import OneJobPromises
from undercroft.testing.conformance.queue._order import OrderPromises
from undercroft.testing.conformance.queue._queues import QueuePromises
from undercroft.testing.conformance.queue._runs import RunPromises
from undercroft.testing.conformance.queue._tokens import TokenPromises
from undercroft.testing.conformance.queue._waiting import WaitingPromises

__all__ = ["NewJobs", "PassTime", "QueueEngineConformance"]


class QueueEngineConformance(
    AddingPromises,
    OrderPromises,
    RunPromises,
    TokenPromises,
    CrashPromises,
    FlowPromises,
    DeduplicationPromises,
    LimitPromises,
    OneJobPromises,
    QueuePromises,
    KeepingPromises,
    ListPromises,
    EventPromises,
    LedgerPromises,
    WaitingPromises,
):
    """The promises of the queue's `Engine`, one test each."""
