"""Jobs: their arguments, what they log and raise, and what the queue says about them.

`handle.info()` shows the arguments as they are, and the store keeps them: exempt, the worker needs them.
"""

from __future__ import annotations

from contextlib import suppress

from tests.canary._world import World
from undercroft import Infra
from undercroft._core.errors import UndercroftError
from undercroft.logging import logger
from undercroft.queue import JobFailedError, Unrecoverable, job


@job("mark.charge", retries=0)
async def charge(user: str, card: str, details: dict[str, str]) -> str:
    logger.info("mark-charging", details=details, card=card)
    return f"https://shop:{details['password']}@pay.example/receipt?token={details['token']}"


@job("mark.fail", retries=0)
async def fail(user: str, url: str) -> None:
    raise ConnectionError(f"mark-failed for {user}: {url}")


@job("mark.give_up", retries=3)
async def give_up(url: str) -> None:
    raise Unrecoverable(f"mark-given-up: {url}")


@job("mark.count", retries=0)
async def count(number: int) -> None: ...


async def drive(world: World) -> None:
    details = {"password": world.secret("job.nested"), "token": world.secret("job.result_url")}
    url = f"https://u:{world.secret('job.exception')}@h/x?api_key={world.secret('job.argument')}"
    infra = Infra(environ={}, jobs=[charge, fail, give_up, count], email_from="s@example.com", home=world.home)
    async with infra:
        handles = [
            await charge.enqueue(world.secret("job.email"), world.secret("job.card"), details),
            await fail.enqueue(world.secret("job.email"), url),
            await give_up.enqueue(url),
        ]
        world.take("repr", charge, fail, infra.queue, *handles)
        await infra.queue.worker(concurrency=1).drain()
        for handle in handles[1:]:
            with suppress(JobFailedError):
                try:
                    await handle.result(timeout="5s")
                except JobFailedError as error:
                    world.take("errors", error)
                    raise
        await _wrong_arguments(world, infra)
    world.expect("mark-charging", "mark-failed", "mark-given-up", "mark.count")


async def _wrong_arguments(world: World, infra: Infra) -> None:
    for name, data in (("mark.count", {"number": world.secret("job.bad_argument")}), ("mark.coutn", {"password": "x"})):
        try:
            await infra.queue.enqueue(name, data)
        except UndercroftError as error:
            world.take("errors", error)
