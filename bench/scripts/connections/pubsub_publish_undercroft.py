"""Messages a second published through undercroft: `pubsub_publish_undercroft.py default|100`."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from undercroft._core.url import Url
from undercroft.connections.pubsub import Batching, PubSub, Topic, open_engine

BATCHES = sys.argv[1]
MESSAGES = 500 if os.environ.get("BENCH_QUICK") else 10_000
PAYLOAD = {"user_id": 100_000, "email": "someone@example.com", "template": "welcome", "lang": "en", "note": "x" * 8}
EVENTS = Topic("events")
SERVER = [sys.executable, str(Path(__file__).with_name("pubsub_publish_server.py"))]


async def main(host: str) -> float:
    batching = Batching() if BATCHES == "default" else Batching(max_messages=int(BATCHES))
    engine = open_engine(Url.parse(f"pubsub://bench?emulator={host}"), what="bench")
    async with PubSub(engine, [EVENTS], batching=batching) as pubsub:
        await pubsub.provision()
        await pubsub.publish(EVENTS, PAYLOAD)  # connected
        start = time.perf_counter()
        handles = await asyncio.gather(*(pubsub.publish(EVENTS, PAYLOAD) for _ in range(MESSAGES)))
        elapsed = time.perf_counter() - start
    assert len({handle.id for handle in handles}) == MESSAGES
    return MESSAGES / elapsed


with subprocess.Popen(SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
    value = asyncio.run(main(server.stdout.readline().strip()))
    server.stdin.close()
print(json.dumps({"value": value, "settings": {"messages": MESSAGES, "batches": BATCHES, "payload": "checked, JSON"}}))
