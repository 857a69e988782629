"""Messages a second published through Google's own client: `pubsub_publish_google.py default|100`."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from google.cloud import pubsub_v1

BATCHES = sys.argv[1]
MESSAGES = 500 if os.environ.get("BENCH_QUICK") else 10_000
PAYLOAD = {"user_id": 100_000, "email": "someone@example.com", "template": "welcome", "lang": "en", "note": "x" * 8}
TOPIC = "projects/bench/topics/events"
HERE = Path(__file__)
SERVER = [sys.executable, str(HERE.with_name("pubsub_publish_server.py"))]


def main(host: str) -> float:
    os.environ["PUBSUB_EMULATOR_HOST"] = host
    settings = pubsub_v1.types.BatchSettings() if BATCHES == "default" else pubsub_v1.types.BatchSettings(
        max_messages=int(BATCHES)
    )  # fmt: skip
    publisher = pubsub_v1.PublisherClient(batch_settings=settings)
    publisher.create_topic(name=TOPIC)
    publisher.publish(TOPIC, json.dumps(PAYLOAD).encode()).result()  # connected
    start = time.perf_counter()
    futures = [publisher.publish(TOPIC, json.dumps(PAYLOAD).encode()) for _ in range(MESSAGES)]
    ids = {future.result() for future in futures}
    elapsed = time.perf_counter() - start
    assert len(ids) == MESSAGES
    publisher.stop()
    return MESSAGES / elapsed


# The server is ours in both cases; this environment has what it imports, but not the library itself.
environ = {**os.environ, "PYTHONPATH": str(HERE.parents[3] / "src")}
with subprocess.Popen(SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as server:
    value = main(server.stdout.readline().strip())
    server.stdin.close()
print(json.dumps({"value": value, "settings": {"messages": MESSAGES, "batches": BATCHES, "payload": "JSON"}}))
