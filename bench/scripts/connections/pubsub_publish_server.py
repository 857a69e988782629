"""The Pub/Sub server that both clients publish to: prints its address, and serves until its input ends."""

import sys

from undercroft.testing.pubsub_server import PubSubServer

with PubSubServer() as server:
    print(server.host, flush=True)
    sys.stdin.read()
