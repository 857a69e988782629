"""Another process that calls over a breaker: `python breaker_process.py <url> <name> <calls at once>`.

It makes one call, which succeeds; prints "ready"; on a line from its standard input it makes so many calls at once,
each of which reports when it is let in, and is held until the next line; then prints what came of them.
"""

from __future__ import annotations

import asyncio
import sys

import anyio

from undercroft.resilience import CircuitOpenError, create_breakers


def say(*words: object) -> None:
    print(*words, flush=True)


async def main(url: str, name: str, count: int) -> None:
    async with create_breakers(url, timeout="5s", look_every="50ms") as breakers:
        breaker = breakers.breaker(
            name, failure_threshold=1, reset_timeout="500ms", half_open_max=3, success_threshold=100
        )
        may_end = asyncio.Event()
        outcomes: list[str] = []

        async def held() -> None:
            say("in")
            await may_end.wait()

        async def one() -> None:
            try:
                await breaker.call(held)
                outcomes.append("ok")
            except CircuitOpenError:
                outcomes.append("refused")

        async def quick() -> None: ...

        await breaker.call(quick)
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        tasks = [asyncio.ensure_future(one()) for _ in range(count)]
        with anyio.move_on_after(5):
            while len(outcomes) < count - 3:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        say("waiting")
        await asyncio.to_thread(sys.stdin.readline)
        may_end.set()
        await asyncio.gather(*tasks)
        say("done", outcomes.count("ok"), outcomes.count("refused"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
