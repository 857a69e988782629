"""The promises of an engine, kept by each of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from undercroft._core.clock import VirtualClock
from undercroft._core.url import Url
from undercroft.connections.pubsub import open_engine
from undercroft.connections.pubsub.memory import MemoryPubSub
from undercroft.testing.conformance.pubsub import PubSubEngineConformance, Rig
from undercroft.testing.pubsub_server import PubSubServer, ScaledClock


class TestMemory(PubSubEngineConformance):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[Rig]:
        clock = VirtualClock()
        async with MemoryPubSub(clock=clock) as engine:
            yield Rig(engine, clock.advance, 0.02)


@pytest.mark.usefixtures("one_loop")
class TestGoogleOnOurServer(PubSubEngineConformance):
    @pytest.fixture
    async def rig(self, server: PubSubServer, fast: ScaledClock) -> AsyncIterator[Rig]:
        async with open_engine(Url.parse(server.url()), what="pubsub") as engine:
            yield Rig(engine, fast.sleep, 0.08)
