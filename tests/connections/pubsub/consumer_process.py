"""A consumer in a process of its own, for tests that kill it: `python consumer_process.py URL SPEED FILE HOLD`.

Each run appends its number to FILE when it starts. With HOLD it then never ends.
"""

import asyncio
import sys
from pathlib import Path

import anyio

from undercroft._core.url import Url
from undercroft.connections.pubsub import PubSub, Topic, open_engine, subscription
from undercroft.testing.pubsub_server import ScaledClock

URL, SPEED, FILE, HOLD = sys.argv[1:]
EVENTS: Topic[int] = Topic("events", schema=int)


@subscription("events-sub", EVENTS, ack_deadline="10s", concurrency=20, dead_letter="events-dead", max_deliveries=50)
async def handle(number: int) -> None:
    with Path(FILE).open("a") as file:
        file.write(f"{number}\n")
    if HOLD == "hold":
        await anyio.sleep_forever()
    await anyio.sleep(0.005)


async def main() -> None:
    clock = ScaledClock(float(SPEED))
    async with PubSub(open_engine(Url.parse(URL), what="pubsub"), subscriptions=[handle], clock=clock) as pubsub:
        print("up", flush=True)
        await pubsub.subscriber().run()


if __name__ == "__main__":
    asyncio.run(main())
