"""One process of a contention test: `contender.py <url> <clients> <seconds>`; prints what was let through.

That is JSON: for each kind of limit, tried one after the other for so many seconds, a list of [instant, cost] by the
clock of the store, one for each call that was allowed.
"""

from __future__ import annotations

import json
import sys
import time

import anyio

from undercroft.ratelimit import RateLimits, RatePolicy, SlidingWindow, TokenBucket, create_rate_limits

LIMIT, WINDOW_S = 100, 0.25
RATE = 400
POLICIES = {
    "log": RatePolicy("log", SlidingWindow(LIMIT, WINDOW_S), fail="closed", timeout="20s"),
    "counter": RatePolicy("counter", SlidingWindow(LIMIT, WINDOW_S, "counter"), fail="closed", timeout="20s"),
    "bucket": RatePolicy("bucket", TokenBucket(LIMIT, f"{RATE}/s"), fail="closed", timeout="20s"),
}


async def contend(limits: RateLimits, kind: str, clients: int, until: float) -> list[tuple[float, int]]:
    passed: list[tuple[float, int]] = []

    async def client(number: int) -> None:
        cost = 1 + number % 3
        while time.monotonic() < until:
            decision = await limits.check(kind, "contended", cost=cost)
            assert decision.failure is None, decision
            if decision.allowed:
                passed.append((decision.decided_at_s, cost))
            else:
                await anyio.sleep(min(decision.retry_after, 0.02))

    async with anyio.create_task_group() as tasks:
        for number in range(clients):
            tasks.start_soon(client, number)
    return passed


async def main(url: str, clients: int, seconds: float) -> None:
    async with create_rate_limits(url, POLICIES.values()) as limits:
        print("ready", flush=True)
        sys.stdin.readline()
        start = time.monotonic()
        passed = {
            kind: await contend(limits, kind, clients, start + seconds * (number + 1))
            for number, kind in enumerate(POLICIES)
        }
    print(json.dumps(passed))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
