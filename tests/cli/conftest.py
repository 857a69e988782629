"""A small project in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

APP = '''\
"""A small application: a page, and jobs that say in files what they do."""
import os
import time
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from undercroft import Infra
from undercroft.asgi import InfraMiddleware
from undercroft.queue import job

ANSWER = "first"


@job("note")
async def note(text: str) -> None:
    Path("noted").write_text(f"{text} {os.getpid()}")


@job("slow")
async def slow(seconds: float) -> None:
    Path("started").touch()
    await anyio.sleep(seconds)
    Path("finished").touch()


@job("block")
def block(seconds: float) -> None:
    Path("started").touch()
    time.sleep(seconds)


async def index(request):
    return JSONResponse({"answer": ANSWER, "pid": os.getpid()})


async def add(request):
    await note.enqueue(text=request.query_params["text"])
    return JSONResponse({})


infra = Infra(jobs=[note, slow, block])
web = Starlette(routes=[Route("/", index), Route("/add", add)])
app = InfraMiddleware(web, infra)
'''


LISTENER = '''\
"""An application with a subscription, whose handler says in files what it does; a job publishes."""
from pathlib import Path

import anyio
from starlette.applications import Starlette

from undercroft import Infra, current
from undercroft.asgi import InfraMiddleware
from undercroft.connections.pubsub import Topic, subscription
from undercroft.queue import job

notes = Topic("notes")


@subscription("notes-to-file", notes)
async def write(note):
    Path("received").touch()
    await anyio.sleep(note["seconds"])
    Path("handled").touch()


@job("publish")
async def publish(seconds: float) -> None:
    await current().pubsub.publish(notes, {"seconds": seconds})


infra = Infra(jobs=[publish], subscriptions=[write])
app = InfraMiddleware(Starlette(), infra)
'''

SLOW_TO_CLOSE = '''\
"""An application with a part that takes its time to close."""
from pathlib import Path

import anyio

from undercroft import Infra
from undercroft.queue import job


class Transport:
    name = "slow"
    default_from = "shop@example.com"
    is_idempotent = False

    async def send(self, message): ...

    async def ping(self): ...

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc_info):
        Path("closing").touch()
        await anyio.sleep(40)


@job("noop")
async def noop() -> None: ...


infra = Infra(jobs=[noop], email=Transport(), close_timeout="30s")
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with `app.py` in it."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "app.py").write_text(APP)
    (directory / "listener.py").write_text(LISTENER)
    (directory / "slow_to_close.py").write_text(SLOW_TO_CLOSE)
    return directory
