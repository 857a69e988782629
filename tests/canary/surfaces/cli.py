"""Commands, in processes of their own, with secrets in the environment and in what they are given."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import anyio
import anyio.to_thread

from tests.canary._world import World
from tests.cli._process import run

APP = """\
from undercroft import Infra
from undercroft.queue import current_job, job


@job("mark.pay", retries=0)
async def pay(card: str, password: str) -> None:
    await current_job().log(f"mark-log: https://u:{password}@h, card {card}")
    raise ConnectionError(f"mark-unpaid: https://u:{password}@h?token={password}")


infra = Infra(jobs=[pay], email_from="s@example.com")
"""
FILL = """\
import asyncio, os
from app import infra, pay


async def main():
    async with infra:
        await pay.enqueue(os.environ["CARD"], os.environ["PAY_PASSWORD"])
        await infra.queue.worker().drain()


asyncio.run(main())
"""
WITHOUT_SERVERS = (
    ("config", "show", "app"),
    ("config", "show", "app", "--json"),
    ("check", "app", "--json", "--debug"),
    ("services", "app", "--debug"),
    ("queue", "jobs", "app", "--debug"),
)
ON_THE_QUEUE = (("queue", "dead", "app"), ("queue", "stats", "app", "--json"))


async def drive(world: World) -> None:
    secret, argument = world.secret("cli.environment"), world.secret("cli.argument")
    (world.home / "app.py").write_text(APP)
    (world.home / "fill.py").write_text(FILL)
    away = {
        "REDIS_URL": f"redis://u:{secret}@127.0.0.1:1",
        "DATABASE_URL": f"postgresql://u:{secret}@127.0.0.1:1/shop",
        "SMTP_URL": f"smtp://u:{secret}@127.0.0.1:1?starttls=off",
        "UNDERCROFT_START_TIMEOUT": "200ms",
    }
    wrong = {"REDIS_URL": f"redis://u:{secret}@h:{secret}", "UNDERCROFT_SECRET_THING": secret}
    given = (("check", f"https://u:{argument}@h"), ("explain", f"redis://u:{argument}@h", "--debug"))
    async with anyio.create_task_group() as group:
        limiter = anyio.CapacityLimiter(2)
        for arguments in (*WITHOUT_SERVERS, *given):
            group.start_soon(_command, world, limiter, arguments, away)
        group.start_soon(_command, world, limiter, ("check", "app", "--debug"), wrong)
        group.start_soon(_on_the_queue, world, limiter)
    world.expect("mark.pay", "mark-log", "mark-unpaid", "REDIS_URL", "UC0200", "127.0.0.1:1")


async def _on_the_queue(world: World, limiter: anyio.CapacityLimiter) -> None:
    await _python(world, limiter, {"CARD": world.secret("job.card"), "PAY_PASSWORD": world.secret("job.exception")})
    for arguments in ON_THE_QUEUE:
        await _command(world, limiter, arguments, {})
    listed = await _command(world, limiter, ("queue", "jobs", "app", "--json"), {})
    for job in json.loads(listed)["jobs"]:
        # Without `--data`, which says that it may show secrets.
        await _command(world, limiter, ("queue", "job", "app", job["id"]), {})


async def _command(
    world: World, limiter: anyio.CapacityLimiter, arguments: tuple[str, ...], environ: dict[str, str]
) -> str:
    call = functools.partial(run, *arguments, cwd=world.home, **environ)
    done = await anyio.to_thread.run_sync(call, limiter=limiter)
    world.take(" ".join(["undercroft", *arguments[:2]]), done.stdout, done.stderr)
    return done.stdout


async def _python(world: World, limiter: anyio.CapacityLimiter, environ: dict[str, str]) -> None:
    call = functools.partial(_fill, world.home, environ)
    world.take("a worker's output", await anyio.to_thread.run_sync(call, limiter=limiter))


def _fill(home: Path, environ: dict[str, str]) -> str:
    import os
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "fill.py"],
        cwd=home,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout + done.stderr
